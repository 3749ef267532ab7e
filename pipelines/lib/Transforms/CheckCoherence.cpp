//===- CheckCoherence.cpp
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Footprints.h"

#include "fleet/Transforms/Passes.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/BitVector.h"
#include "llvm/ADT/MapVector.h"

namespace mlir::fleet {
#define GEN_PASS_DEF_CHECKCOHERENCE
#include "fleet/Transforms/Passes.h.inc"

namespace {
/// Bytes of an arena that a task touches.
struct Access {
  int64_t task, begin, end;
  bool writes;
  unsigned operand;
};

/// True where the parts of two tasks touch bytes of one another on different chiplets, one of them writing.
/// What cannot be followed is taken to.
bool meetAcrossChiplets(Footprints &footprints, TaskOp early, unsigned earlyOperand, TaskOp late, unsigned lateOperand) {
  auto from = early.getOperand(earlyOperand).getDefiningOp<BufferOp>();
  auto to = late.getOperand(lateOperand).getDefiningOp<BufferOp>();
  for (auto [earlyWrites, lateWrites] : {std::pair(true, false), std::pair(true, true), std::pair(false, true)}) {
    const auto *before = footprints.find(early, earlyOperand, earlyWrites);
    const auto *after = footprints.find(late, lateOperand, lateWrites);
    if (!before || !after)
      return true;
    std::vector<std::array<int64_t, 3>> all; // begin, end, chiplet and who
    for (auto [who, set, buffer] : {std::tuple(0, before, from), std::tuple(1, after, to)})
      for (auto [c, bytes] : llvm::enumerate(*set))
        for (auto [begin, end] : bytes) {
          int64_t base = buffer.getOffset() + c * buffer.getChipletStride().value_or(0);
          all.push_back({base + begin, base + end, static_cast<int64_t>(2 * c + who)});
        }
    llvm::sort(all);
    for (auto [i, one] : llvm::enumerate(all))
      for (const auto &two : ArrayRef(all).drop_front(i + 1)) {
        if (two[0] >= one[1])
          break;
        if (one[2] % 2 != two[2] % 2 && one[2] / 2 != two[2] / 2)
          return true;
      }
  }
  return false;
}

MemoryScope scopeOf(BufferOp buffer) {
  return cast<MemoryScopeAttr>(cast<MemRefType>(buffer.getType()).getMemorySpace()).getValue();
}

/// True if every chiplet that has a part of `reader` runs all tiles of `writer`.
bool isWholeWhereRead(TaskOp writer, TaskOp reader) {
  if (!writer.getPartition() || writer.getChiplets().empty() || reader.getChiplets().empty())
    return false;
  llvm::DenseMap<int64_t, int64_t> tiles;
  for (auto part : writer.getChiplets().getOps<ChipletTaskOp>())
    tiles[part.getChiplet()] += part.getHi() - part.getLo();
  return llvm::all_of(reader.getChiplets().getOps<ChipletTaskOp>(), [&](ChipletTaskOp part) {
    return tiles.lookup(part.getChiplet()) == writer.getPartition()->getTiles();
  });
}

/// What is in l2 scope stays on its chiplet, what is in lds scope with its worker.
LogicalResult checkScopes(ArrayRef<TaskOp> tasks, Footprints &footprints) {
  struct Home {
    int64_t chiplet, worker, task;
  };
  llvm::DenseMap<std::pair<StringRef, int64_t>, Home> homes;
  llvm::DenseMap<std::pair<StringRef, int64_t>, int64_t> writers;
  for (TaskOp task : tasks) {
    int64_t id = task.getId();
    for (OpOperand &operand : task->getOpOperands()) {
      auto buffer = operand.get().getDefiningOp<BufferOp>();
      MemoryScope scope = scopeOf(buffer);
      if (scope == MemoryScope::Hbm)
        continue;
      if (scope == MemoryScope::Registers)
        return task.emitError("expected a value of the step in lds, l2 or hbm scope, found one in registers");
      if (task.getChiplets().empty())
        return task.emitError("expected a task cut into chiplet tasks, as it has a value in l2 or lds scope, found none");
      std::pair<StringRef, int64_t> place = {buffer.getArena(), static_cast<int64_t>(buffer.getOffset())};
      bool writes = operand.getOperandNumber() + 1 == task->getNumOperands();
      if (!writes) {
        auto writer = writers.find(place);
        if (writer == writers.end())
          return task.emitError("expected a value in l2 or lds scope to be written by an earlier task, found none that writes offset ")
                 << place.second << " of arena " << place.first;
        TaskOp from = tasks[writer->second];
        if (!isWholeWhereRead(from, task) && !footprints.staysOnChiplets(from, task, operand.getOperandNumber()))
          return task.emitError("expected a value in l2 or lds scope to be read where it is written, found that task ")
                 << id << " reads on a chiplet what task " << writer->second << " writes on another";
      }
      if (writes)
        writers[place] = id;
      // Of an instance for each chiplet, whoever is on a chiplet has its own.
      if (scope == MemoryScope::L2 && buffer.getChipletStride())
        continue;
      for (auto part : task.getChiplets().getOps<ChipletTaskOp>()) {
        Home here{static_cast<int64_t>(part.getChiplet()), -1, id};
        Home home = homes.try_emplace(place, here).first->second;
        if (home.chiplet != here.chiplet)
          return task.emitError("expected a value in ")
                 << stringifyMemoryScope(scope) << " scope to stay on chiplet " << home.chiplet << ", where task "
                 << home.task << " has it, found chiplet " << here.chiplet;
        if (scope != MemoryScope::Lds || part.getCus().empty())
          continue;
        for (auto cu : part.getCus().getOps<CuTaskOp>()) {
          int64_t worker = cu.getWorker();
          Home &owner = homes[place];
          if (owner.worker < 0)
            owner.worker = worker;
          if (owner.worker != worker)
            return task.emitError("expected a value in lds scope to stay with worker ")
                   << owner.worker << ", as in task " << owner.task << ", found worker " << worker;
        }
      }
    }
  }
  return success();
}

struct CheckCoherence : impl::CheckCoherenceBase<CheckCoherence> {
  void runOnOperation() override {
    func::FuncOp step = requireStep(getOperation());
    if (!step)
      return signalPassFailure();
    // This knows nothing of how events were found: it looks at bytes only.
    llvm::MapVector<StringRef, SmallVector<Access>> arenas;
    SmallVector<TaskOp> tasks(step.getOps<TaskOp>());
    auto target = getOperation()->getAttrOfType<TargetAttr>("fleet.target");
    // Tasks that are over, and seen, when a task begins: on all chiplets, and on its own.
    std::vector<llvm::BitVector> before, here;
    Footprints footprints(getOperation());
    for (auto [place, task] : llvm::enumerate(tasks)) {
      int64_t id = place;
      if (static_cast<int64_t>(task.getId()) != id) {
        task.emitError("expected task ids in order, found ") << task.getId() << " at place " << id;
        return signalPassFailure();
      }
      llvm::BitVector past(tasks.size()), own(tasks.size());
      for (int64_t wait : task.getWaits().value_or(ArrayRef<int64_t>())) {
        past.set(wait);
        past |= here[wait];
      }
      for (int64_t wait : task.getChipletWaits().value_or(ArrayRef<int64_t>())) {
        if (footprints.chipletsOf(tasks[wait]) != footprints.chipletsOf(task)) {
          task.emitError("expected a wait on the own chiplet for a task with parts on the same chiplets, found task ") << wait;
          return signalPassFailure();
        }
        own.set(wait);
        own |= here[wait];
        past |= before[wait];
      }
      own |= past;
      before.push_back(past);
      here.push_back(own);
      if (!requireBuffers(task))
        return signalPassFailure();
      for (OpOperand &operand : task->getOpOperands()) {
        auto buffer = operand.get().getDefiningOp<BufferOp>();
        auto type = cast<MemRefType>(buffer.getType());
        int64_t begin = buffer.getOffset();
        int64_t bytes = type.getNumElements() * (type.getElementTypeBitWidth() / 8);
        if (buffer.getChipletStride() && target)
          bytes += (target.getChiplets() - 1) * *buffer.getChipletStride();
        bool last = operand.getOperandNumber() + 1 == task->getNumOperands();
        arenas[buffer.getArena()].push_back({id, begin, begin + bytes, last || buffer.getArena() == "state",
                                             operand.getOperandNumber()});
      }
    }
    if (failed(checkScopes(tasks, footprints)))
      return signalPassFailure();
    for (auto &[arena, accesses] : arenas) {
      // Sorted by place, only neighbours that overlap are compared.
      llvm::sort(accesses, [](const Access &x, const Access &y) {
        return std::tie(x.begin, x.task) < std::tie(y.begin, y.task);
      });
      for (auto [i, one] : llvm::enumerate(accesses))
        for (const Access &two : ArrayRef(accesses).drop_front(i + 1)) {
          if (two.begin >= one.end)
            break;
          if (!(one.writes || two.writes))
            continue;
          // Workers of one task do not wait for each other, and bodies take their buffers to be apart.
          if (one.task == two.task) {
            tasks[one.task].emitError("expected what a task writes to be apart from its other operands, found both in arena ")
                << arena << " at offset " << two.begin;
            return signalPassFailure();
          }
          auto [early, late] = std::minmax(one.task, two.task);
          if (before[late].test(early))
            continue;
          // On its own chiplet alone: then no other chiplet may have touched what it touches.
          auto [first, second] = one.task < two.task ? std::pair(one, two) : std::pair(two, one);
          if (here[late].test(early)) {
            if (!meetAcrossChiplets(footprints, tasks[early], first.operand, tasks[late], second.operand))
              continue;
            tasks[late].emitError("expected a wait at device scope for task ")
                << early << ", of which another chiplet has touched the same bytes of arena " << arena << ", found one on its own chiplet";
            return signalPassFailure();
          }
          tasks[late].emitError("expected a wait for task ")
              << early << ", which touches the same bytes of arena " << arena << " from offset "
              << std::max(one.begin, two.begin) << ", found none";
          return signalPassFailure();
        }
    }
  }
};
} // namespace
} // namespace mlir::fleet
