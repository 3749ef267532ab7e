//===- SplitAttention.cpp
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CostModel.h"
#include "Utils.h"

#include "fleet/Conversion/ManyRows.h"
#include "fleet/Transforms/Passes.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace mlir::fleet {
#define GEN_PASS_DEF_SPLITATTENTION
#include "fleet/Transforms/Passes.h.inc"

namespace {
/// Positions of a part below which its fixed costs outweigh the reading.
constexpr int64_t kLeastPositions = 64;
/// One worker merges the parts of a head: more cost more than they save.
constexpr int64_t kMostParts = 16;
/// Positions that the threads of a worker take at once: a part has no fewer.
constexpr int64_t kPositionsAtOnce = 16;
/// What twice as many parts must save of the time: less is within the model's error.
constexpr double kWorthwhile = 0.05;

/// Where rows are dealt to workers as well a row's positions are still read by so many: a row much
/// longer than the others would else keep the step.
constexpr int64_t kFewestParts = 4;

/// How many groups rows are dealt to, on NVIDIA chips: a worker's warps have a row each, and more
/// groups make for fewer parts, which are written and merged.
int64_t chooseRowGroups(TargetAttr target, int64_t heads, int64_t rows) {
  int64_t groups = 1;
  if (target.getBackend() == Backend::NVVM && target.getChiplets() == 1)
    while (2 * groups * nv::kWaves <= rows && 2 * groups * kFewestParts * heads <= target.getWorkers())
      groups *= 2;
  return groups;
}

/// How many parts of the context each key/value head has, a part for each of `workers` at
/// most. Where a chiplet's workers share the merge, by query heads, there may be more
/// of them: as many as cost least.
int64_t chooseParts(TargetAttr target, int64_t workers, int64_t heads, int64_t rows, int64_t group, int64_t size,
                    int64_t context) {
  int64_t parts = 1;
  while (parts < kMostParts && 2 * parts * heads <= workers && context >= 2 * parts * kLeastPositions)
    parts *= 2;
  if (parts == 1 || target.getChiplets() == 1)
    return parts;
  CostModel costs(target);
  auto cost = [&](int64_t parts) { return costs.attendInParts(parts, rows, group, size, context); };
  while (2 * parts * heads <= workers && context >= 2 * parts * kPositionsAtOnce &&
         cost(2 * parts) < (1 - kWorthwhile) * cost(parts))
    parts *= 2;
  return parts;
}

/// What gives a head of queries or keys its angle: of which value, and the weight and eps of the norm before it, if
/// there is one.
struct Rotation {
  Value source, cosines, sines, weight;
  FloatAttr eps;

  /// Without a source if not all elements of `value` are rotated, or if it is rounded between norm and rotation.
  explicit Rotation(Value value) {
    auto sizeOf = [](Value value) { return cast<ShapedType>(value.getType()).getShape().back(); };
    auto rope = value.getDefiningOp<RopeOp>();
    if (!rope || sizeOf(rope.getInputs()[1]) != sizeOf(value))
      return;
    Value from = rope.getInputs()[0];
    cosines = rope.getInputs()[1], sines = rope.getInputs()[2];
    if (auto norm = from.getDefiningOp<RmsNormOp>(); norm && getElementTypeOrSelf(from).isF32())
      from = norm.getInputs()[0], weight = norm.getInputs()[1], eps = norm.getEpsAttr();
    if (from.getType() == value.getType())
      source = from;
  }
};

/// What attention over parts takes in place of rotated queries and keys, where it rotates them itself.
struct Unrotated {
  SmallVector<Value> inputs, angles, weights;
  FloatAttr eps;

  Unrotated(TargetAttr target, AttentionOp op) : inputs(op.getInputs()) {
    auto shape = cast<ShapedType>(inputs[0].getType());
    int64_t heads = cast<ShapedType>(inputs[1].getType()).getDimSize(1);
    if (target.getBackend() != Backend::NVVM || target.getChiplets() != 1 ||
        !nv::rotatesHeads(shape.getDimSize(0), shape.getDimSize(1) / heads, shape.getDimSize(2)) ||
        !getElementTypeOrSelf(inputs[5]).isBF16() || !getElementTypeOrSelf(inputs[6]).isBF16())
      return;
    Rotation q(inputs[0]), k(inputs[1]);
    if (!q.source || !k.source || q.cosines != k.cosines || q.sines != k.sines || q.eps != k.eps)
      return;
    inputs[0] = q.source, inputs[1] = k.source;
    angles = {q.cosines, q.sines};
    if (q.weight)
      weights = {q.weight, k.weight};
    eps = q.eps;
  }
};

struct SplitAttention : impl::SplitAttentionBase<SplitAttention> {
  void runOnOperation() override {
    TargetAttr target = requireTarget(getOperation());
    if (!target)
      return signalPassFailure();
    // One core walks all queues there: parts would only be merged again.
    if (target.getBackend() == Backend::LLVM)
      return;
    SmallVector<AttentionOp> ops;
    getOperation().walk([&](AttentionOp op) { ops.push_back(op); });
    for (AttentionOp op : ops) {
      auto result = op->getNumResults() ? dyn_cast<RankedTensorType>(op->getResult(0).getType()) : RankedTensorType();
      auto keys = cast<ShapedType>(op.getInputs()[1].getType());
      auto cache = cast<ShapedType>(op.getInputs()[5].getType());
      if (!result)
        continue;
      int64_t heads = keys.getDimSize(1), workers = target.getChiplets() * target.getWorkers();
      int64_t rowGroups = chooseRowGroups(target, heads, result.getDimSize(0));
      int64_t parts = chooseParts(target, workers / rowGroups, heads, result.getDimSize(0),
                                  result.getDimSize(1) / heads, result.getDimSize(2), cache.getDimSize(2));
      if (parts == 1)
        continue;
      OpBuilder b(op);
      Location loc = op.getLoc();
      auto type = RankedTensorType::get(
          {heads * parts, result.getDimSize(0), result.getDimSize(1) / heads, result.getDimSize(2) + kAttentionExtra},
          b.getF32Type());
      Value empty = tensor::EmptyOp::create(b, loc, type.getShape(), type.getElementType());
      auto count = b.getI64IntegerAttr(parts);
      // All rows wait for the worker that has most to read. (Of few rows ranges are asked for
      // ahead.)
      bool isMany = result.getDimSize(0) >= getManyRows(target.getBackend());
      bool isDealt = target.getBackend() == Backend::NVVM && isMany;
      IntegerAttr dealt = isDealt ? b.getI64IntegerAttr(nv::kPositions) : IntegerAttr();
      Unrotated from(target, op);
      auto partial =
          AttentionPartialOp::create(b, loc, TypeRange(type), from.inputs, Value(), Value(), from.angles, from.weights,
                                     empty, op.getScaleAttr(), count, dealt, b.getI64IntegerAttr(rowGroups), from.eps);
      auto merge = AttentionMergeOp::create(b, loc, TypeRange(result), partial->getResults(), op.getOutputs(), count,
                                            isMany ? b.getUnitAttr() : UnitAttr());
      op->replaceAllUsesWith(merge);
      op.erase();
    }
  }
};
} // namespace
} // namespace mlir::fleet
