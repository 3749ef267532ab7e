//===- MergeContractions.cpp
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fleet/Transforms/Passes.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/IRMapping.h"
#include "llvm/Support/raw_ostream.h"

#include <map>

namespace mlir::fleet {
#define GEN_PASS_DEF_MERGECONTRACTIONS
#include "fleet/Transforms/Passes.h.inc"

namespace {
/// A matmul by a transposed parameter, and the element-wise ops that follow it
/// one by one, each with no other tensor operand but vectors of parameters.
struct Branch {
  linalg::MatmulOp matmul;
  linalg::TransposeOp transpose;
  ParamOp weight;
  SmallVector<linalg::GenericOp> chain;
  Value result() { return chain.empty() ? matmul.getResult(0) : chain.back().getResult(0); }
};

bool isVectorParam(Value value) {
  return value.getDefiningOp<ParamOp>() && cast<RankedTensorType>(value.getType()).getRank() == 1;
}

std::optional<Branch> matchBranch(linalg::MatmulOp matmul) {
  Branch branch{matmul, matmul.getInputs()[1].getDefiningOp<linalg::TransposeOp>(), {}, {}};
  if (!branch.transpose || branch.transpose.getPermutation() != ArrayRef<int64_t>({1, 0}))
    return std::nullopt;
  branch.weight = branch.transpose.getInput().getDefiningOp<ParamOp>();
  if (!branch.weight || branch.weight.getNames().size() != 1)
    return std::nullopt;
  Value tail = matmul.getResult(0);
  while (tail.hasOneUse()) {
    auto generic = dyn_cast<linalg::GenericOp>(*tail.getUsers().begin());
    if (!generic || generic.getNumLoops() != generic.getNumParallelLoops() || generic.getNumResults() != 1 ||
        generic.hasIndexSemantics())
      break;
    auto type = cast<RankedTensorType>(generic.getResult(0).getType());
    if (type.getShape() != cast<RankedTensorType>(tail.getType()).getShape())
      break;
    bool linear = llvm::all_of(generic.getDpsInputs(),
                               [&](Value in) { return in == tail || isVectorParam(in); });
    if (!linear || !generic.getDpsInits()[0].getDefiningOp<tensor::EmptyOp>())
      break;
    branch.chain.push_back(generic);
    tail = generic.getResult(0);
  }
  return branch;
}

/// Text in which two chains are equal if they compute the same thing.
std::string signature(Branch &branch) {
  std::string text;
  llvm::raw_string_ostream os(text);
  Value tail = branch.matmul.getResult(0);
  for (linalg::GenericOp generic : branch.chain) {
    os << generic.getIndexingMaps();
    for (Value in : generic.getDpsInputs())
      os << (in == tail) << getElementTypeOrSelf(in);
    os << getElementTypeOrSelf(generic.getResult(0));
    generic.getRegion().front().print(os);
    tail = generic.getResult(0);
  }
  os << getElementTypeOrSelf(branch.matmul.getResult(0)) << getElementTypeOrSelf(branch.weight);
  return text;
}

void merge(MutableArrayRef<Branch> branches) {
  Branch &first = branches.front();
  OpBuilder b(first.matmul);
  Location loc = first.matmul.getLoc();
  SmallVector<Attribute> names;
  int64_t columns = 0;
  SmallVector<int64_t> widths;
  for (Branch &branch : branches) {
    names.push_back(branch.weight.getNames()[0]);
    widths.push_back(branch.weight.getType().getShape()[0]);
    columns += widths.back();
  }
  auto weightType = cast<RankedTensorType>(first.weight.getType());
  int64_t depth = weightType.getDimSize(1);
  auto makeParam = [&](ArrayRef<Attribute> all, RankedTensorType type) -> Value {
    return ParamOp::create(b, loc, type, b.getArrayAttr(all), IntegerAttr(), IntegerAttr());
  };
  Value weight = makeParam(names, RankedTensorType::get({columns, depth}, weightType.getElementType()));
  Value empty = tensor::EmptyOp::create(b, loc, {depth, columns}, weightType.getElementType());
  Value transposed =
      linalg::TransposeOp::create(b, loc, weight, empty, ArrayRef<int64_t>{1, 0}).getResult()[0];
  auto resultType = cast<RankedTensorType>(first.matmul.getResult(0).getType());
  int64_t rows = resultType.getDimSize(0);
  Value zero = first.matmul.getDpsInits()[0].getDefiningOp<linalg::FillOp>().value();
  Value acc = tensor::EmptyOp::create(b, loc, {rows, columns}, resultType.getElementType());
  acc = linalg::FillOp::create(b, loc, zero, acc).getResult(0);
  Value tail = linalg::MatmulOp::create(b, loc, ValueRange{first.matmul.getInputs()[0], transposed}, acc).getResult(0);
  Value oldTail = first.matmul.getResult(0);
  for (unsigned i = 0; i < first.chain.size(); ++i) {
    linalg::GenericOp generic = first.chain[i];
    SmallVector<Value> inputs;
    for (auto [j, in] : llvm::enumerate(generic.getDpsInputs())) {
      if (in == oldTail) {
        inputs.push_back(tail);
        continue;
      }
      SmallVector<Attribute> vectors;
      for (Branch &branch : branches)
        vectors.push_back(branch.chain[i].getDpsInputs()[j].getDefiningOp<ParamOp>().getNames()[0]);
      inputs.push_back(makeParam(vectors, RankedTensorType::get({columns}, getElementTypeOrSelf(in))));
    }
    Type element = getElementTypeOrSelf(generic.getResult(0));
    Value init = tensor::EmptyOp::create(b, loc, {rows, columns}, element);
    SmallVector<Value> operands(inputs);
    operands.push_back(init);
    Operation *merged = mlir::clone(b, generic, init.getType(), operands);
    oldTail = generic.getResult(0);
    tail = merged->getResult(0);
  }
  int64_t offset = 0;
  for (auto [branch, width] : llvm::zip_equal(branches, widths)) {
    SmallVector<OpFoldResult> offsets = {b.getIndexAttr(0), b.getIndexAttr(offset)};
    SmallVector<OpFoldResult> sizes = {b.getIndexAttr(rows), b.getIndexAttr(width)};
    SmallVector<OpFoldResult> strides(2, b.getIndexAttr(1));
    branch.result().replaceAllUsesWith(
        tensor::ExtractSliceOp::create(b, loc, tail, offsets, sizes, strides).getResult());
    offset += width;
  }
}

struct MergeContractions : impl::MergeContractionsBase<MergeContractions> {
  void runOnOperation() override {
    auto step = getOperation().lookupSymbol<func::FuncOp>("step");
    if (!step)
      return;
    // Branches of one left side, by what follows them; the first op of all must
    // come before every use of any, which holds since operands are shared.
    std::map<std::string, unsigned> places;
    SmallVector<SmallVector<Branch>> sets;
    for (auto matmul : step.getOps<linalg::MatmulOp>())
      if (std::optional<Branch> branch = matchBranch(matmul))
        if (matmul.getDpsInits()[0].getDefiningOp<linalg::FillOp>()) {
          std::string key = signature(*branch) +
                            std::to_string(reinterpret_cast<uintptr_t>(matmul.getInputs()[0].getAsOpaquePointer()));
          auto [it, inserted] = places.try_emplace(key, sets.size());
          if (inserted)
            sets.emplace_back();
          sets[it->second].push_back(*branch);
        }
    for (SmallVector<Branch> &branches : sets) {
      // Branches that meet in one element-wise op (gate and up) are fused there,
      // tile by tile, and need no merging.
      auto meets = [&](Branch &branch) {
        return llvm::any_of(branch.result().getUsers(),
                            [](Operation *user) { return isa<linalg::GenericOp>(user); });
      };
      if (branches.size() < 2 || llvm::any_of(branches, meets))
        continue;
      merge(branches);
    }
  }
};
} // namespace
} // namespace mlir::fleet
