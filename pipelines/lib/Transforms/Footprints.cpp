//===- Footprints.cpp
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Footprints.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

using namespace mlir;
using namespace mlir::fleet;

static void normalize(Bytes &bytes) {
  llvm::sort(bytes);
  size_t kept = 0;
  for (auto [begin, end] : bytes)
    if (kept && begin <= bytes[kept - 1].second)
      bytes[kept - 1].second = std::max(bytes[kept - 1].second, end);
    else
      bytes[kept++] = {begin, end};
  bytes.resize(kept);
}

static bool contains(const Bytes &outer, const Bytes &inner) {
  size_t i = 0;
  for (auto [begin, end] : inner) {
    while (i < outer.size() && outer[i].second < end)
      ++i;
    if (i == outer.size() || outer[i].first > begin)
      return false;
  }
  return true;
}

Footprints::Footprints(ModuleOp module) : module(module) {
  if (auto target = module->getAttrOfType<TargetAttr>("fleet.target"))
    chiplets = target.getChiplets();
  if (auto manifest = module->getAttrOfType<DictionaryAttr>("fleet.manifest"))
    if (auto tokens = manifest.getAs<IntegerAttr>("tokens"))
      rows = tokens.getInt();
}

Footprints::Ranges Footprints::rangesOf(TaskOp task) {
  Ranges ranges;
  for (auto part : task.getChiplets().getOps<ChipletTaskOp>())
    ranges.push_back({static_cast<int64_t>(part.getChiplet()),
                      static_cast<int64_t>(part.getLo()),
                      static_cast<int64_t>(part.getHi())});
  return ranges;
}

llvm::BitVector Footprints::chipletsOf(TaskOp task) const {
  llvm::BitVector found(chiplets);
  for (auto part : task.getChiplets().getOps<ChipletTaskOp>())
    found.set(part.getChiplet());
  return found;
}

const sim::Body *Footprints::bodyOf(TaskOp task) {
  auto func = module.lookupSymbol<func::FuncOp>(task.getBody());
  if (!func || func.isExternal() || !task.getPartition() ||
      func.getNumArguments() < task.getNumOperands() + 2)
    return nullptr;
  auto [it, isNew] =
      bodies.try_emplace({func, task.getPartition()->getTiles()});
  if (isNew) {
    SmallVector<StringRef> arenas;
    for (Value operand : task.getOperands()) {
      auto buffer = operand.getDefiningOp<BufferOp>();
      arenas.push_back(buffer ? buffer.getArena() : "work");
    }
    // Who cannot be followed is not known to stay where he is: no error.
    ScopedDiagnosticHandler quiet(module.getContext(),
                                  [](Diagnostic &) { return success(); });
    FailureOr<sim::Body> body =
        sim::readBody(func, arenas, task.getPartition()->getTiles(), rows, 0);
    if (succeeded(body))
      it->second = std::move(*body);
  }
  return it->second ? &*it->second : nullptr;
}

const std::vector<Bytes> *Footprints::find(TaskOp task, unsigned operand,
                                           bool writes) {
  const sim::Body *body = bodyOf(task);
  if (!body)
    return nullptr;
  Ranges ranges = rangesOf(task);
  auto [it, isNew] = known.try_emplace(
      {module.lookupSymbol(task.getBody()), ranges, operand, writes});
  std::vector<Bytes> &found = it->second;
  if (!isNew)
    return &found;
  found.resize(chiplets);
  auto add = [&](int64_t chiplet, const sim::Work &work) {
    for (const sim::Access &access : work.accesses)
      if (access.operand == operand && access.writes == writes)
        for (int64_t i = 0; i < access.count; ++i) {
          int64_t begin = access.offset + i * access.stride;
          found[chiplet].push_back({begin, begin + access.bytes});
        }
  };
  for (auto [chiplet, lo, hi] : ranges) {
    add(chiplet, body->prologue);
    for (int64_t tile = lo; tile < hi; ++tile)
      add(chiplet, body->tiles[tile]);
  }
  for (Bytes &bytes : found)
    normalize(bytes);
  return &found;
}

bool Footprints::staysOnChiplets(TaskOp writer, TaskOp reader,
                                 unsigned operand) {
  if (chipletsOf(writer) != chipletsOf(reader))
    return false;
  auto key = std::make_tuple(
      module.lookupSymbol(writer.getBody()), rangesOf(writer), operand,
      module.lookupSymbol(reader.getBody()), rangesOf(reader));
  auto [it, isNew] = compared.try_emplace(key, false);
  if (isNew) {
    const auto *written = find(writer, writer.getNumOperands() - 1, true);
    const auto *read = find(reader, operand, false);
    it->second = written && read &&
                 llvm::all_of(llvm::zip_equal(*written, *read), [](auto pair) {
                   return contains(std::get<0>(pair), std::get<1>(pair));
                 });
  }
  return it->second;
}
