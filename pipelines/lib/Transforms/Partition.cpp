//===- Partition.cpp
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Partition.h"

#include "fleet/Conversion/ManyRows.h"

using namespace mlir;
using namespace mlir::fleet;

static Value rootOf(func::FuncOp body) {
  return body.getBody().front().getTerminator()->getOperand(0);
}

PartitionAttr fleet::getDefaultPartition(func::FuncOp body, TargetAttr target) {
  MLIRContext *context = body.getContext();
  Value root = rootOf(body);
  auto shape = cast<RankedTensorType>(root.getType()).getShape();
  int64_t manyRows = getManyRows(target.getBackend());
  if (auto attention = root.getDefiningOp<AttentionOp>()) {
    int64_t heads =
        cast<ShapedType>(attention.getInputs()[1].getType()).getDimSize(1);
    return PartitionAttr::get(context, PartitionKind::Heads, heads,
                              shape[1] / heads, 1);
  }
  if (auto partial = root.getDefiningOp<AttentionPartialOp>())
    return PartitionAttr::get(context, PartitionKind::Heads,
                              shape[0] * partial.getRowGroups(), 1, 1);
  if (root.getDefiningOp<ArgmaxPartialOp>())
    return PartitionAttr::get(context, PartitionKind::Heads, shape[0], 1, 1);
  if (auto merge = root.getDefiningOp<AttentionMergeOp>()) {
    int64_t group =
                cast<ShapedType>(merge.getInputs()[0].getType()).getDimSize(2),
            heads = shape[1] / group;
    if (merge.getByRows()) {
      // Rows of a head together, as many as leave no worker a second tile: a
      // tile of one row has work for a quarter of a worker's threads.
      int64_t size = 1;
      if (target.getBackend() == Backend::NVVM && target.getChiplets() == 1)
        while (size < shape[0] &&
               (shape[0] % size || shape[0] / size * heads > target.getWorkers()))
          ++size;
      return PartitionAttr::get(context, PartitionKind::Heads,
                                shape[0] / size * heads, size, 1);
    }
    // The workers of a chiplet share the query heads of its groups: all of them
    // wait for the merge. So do those of a die with one row, whose parts come
    // flagged; with more rows it keeps the tiles that were measured.
    bool isSingle = target.getBackend() == Backend::NVVM && shape[0] == 1;
    int64_t size = target.getChiplets() > 1 || isSingle ? 1 : group;
    return PartitionAttr::get(context, PartitionKind::Heads, shape[1] / size,
                              size, 1);
  }
  if (target.getBackend() != Backend::LLVM && shape.size() >= 2 &&
      shape[0] >= manyRows) {
    // Queries and keys of many rows: heads apart, or rows, if there are as many
    // and no die wants its heads: a row's heads have one angle. (8 rows keep the
    // tiles that were measured.) Of another op that is a task of its own: rows.
    bool isByRows = target.getBackend() == Backend::NVVM &&
                    target.getChiplets() == 1 && shape[0] > nv::kRows &&
                    shape[0] >= shape[1];
    if (root.getDefiningOp<RopeOp>() && isByRows)
      return PartitionAttr::get(context, PartitionKind::Heads, shape[0], 1, 1);
    if (root.getDefiningOp<RopeOp>())
      return PartitionAttr::get(context, PartitionKind::Columns, shape[1], 1,
                                1);
    if (isa_and_present<GatherOp, RmsNormOp, LayerNormOp>(root.getDefiningOp()))
      return PartitionAttr::get(context, PartitionKind::Heads, shape[0], 1, 1);
  }
  if (target.getBackend() == Backend::NVVM && root.getDefiningOp<ArgmaxOp>() &&
      shape[0] >= manyRows)
    return PartitionAttr::get(context, PartitionKind::Heads, shape[0], 1, 1);
  bool contraction = !body.getOps<linalg::MatmulOp>().empty();
  if (contraction && shape.size() == 2) {
    // The widest tile that divides the columns: a tile is never partial.
    int64_t size = std::min(target.getTile(), shape[1]);
    while (shape[1] % size)
      --size;
    return PartitionAttr::get(context, PartitionKind::Columns, shape[1] / size,
                              size, 1);
  }
  return PartitionAttr::get(context, PartitionKind::Whole, 1,
                            shape.empty() ? 1 : shape.back(), 1);
}

std::optional<RowContraction> fleet::matchRowContraction(func::FuncOp body) {
  SmallVector<linalg::MatmulOp> matmuls(body.getOps<linalg::MatmulOp>());
  auto shape = cast<RankedTensorType>(rootOf(body).getType()).getShape();
  if (matmuls.size() != 1 || shape.size() != 2)
    return std::nullopt;
  linalg::MatmulOp matmul = matmuls.front();
  auto out = cast<RankedTensorType>(matmul.getResult(0).getType());
  auto transpose = matmul.getInputs()[1].getDefiningOp<linalg::TransposeOp>();
  if (!transpose || out.getShape() != shape || !out.getElementType().isF32() ||
      !transpose->hasOneUse())
    return std::nullopt;
  auto weight = dyn_cast<BlockArgument>(transpose.getInput());
  if (!weight || !weight.hasOneUse())
    return std::nullopt;
  // The whole of one argument, in another shape: a slice of the depth is a
  // slice of its bytes.
  Value input = matmul.getInputs()[0];
  while (auto collapse = input.getDefiningOp<tensor::CollapseShapeOp>())
    input = collapse.getSrc();
  auto argument = dyn_cast<BlockArgument>(input);
  if (!argument)
    return std::nullopt;
  auto left = cast<RankedTensorType>(matmul.getInputs()[0].getType());
  return RowContraction{
      matmul,  weight, argument, left.getDimSize(0), left.getDimSize(1),
      shape[1]};
}

/// The columns of an argument that `value`, `T x heads x depth`, is computed
/// from, head by head.
static void traceHeads(Value value,
                       SmallVectorImpl<std::pair<unsigned, Segment>> &found) {
  while (Operation *op = value.getDefiningOp()) {
    if (isa<RopeOp, RmsNormOp, LayerNormOp>(op)) {
      value = op->getOperand(0);
      continue;
    }
    // Q, K and V of a head side by side: its part of the columns is the same
    // for each.
    if (auto slice = dyn_cast<tensor::ExtractSliceOp>(op);
        slice && slice.getSourceType().getRank() == 3 &&
        slice.hasUnitStride() &&
        slice.getSourceType().getShape().take_front(2) ==
            slice.getType().getShape().take_front(2)) {
      value = slice.getSource();
      continue;
    }
    auto expand = dyn_cast<tensor::ExpandShapeOp>(op);
    if (!expand || expand.getSrcType().getRank() != 2)
      return;
    value = expand.getSrc();
    Segment segment{0, cast<RankedTensorType>(value.getType()).getDimSize(1)};
    if (auto slice = value.getDefiningOp<tensor::ExtractSliceOp>()) {
      if (slice.hasUnitStride() &&
          !ShapedType::isDynamic(slice.getStaticOffsets()[1])) {
        segment.offset = slice.getStaticOffsets()[1];
        value = slice.getSource();
      }
    }
    if (auto arg = dyn_cast<BlockArgument>(value))
      found.push_back({arg.getArgNumber(), segment});
    return;
  }
  // Heads that another task has made, one after the other.
  auto arg = dyn_cast<BlockArgument>(value);
  if (auto type = arg ? dyn_cast<RankedTensorType>(arg.getType()) : nullptr;
      type && type.getRank() == 3)
    found.push_back({arg.getArgNumber(), {0, type.getDimSize(1)}});
}

SmallVector<Segment> fleet::segmentsRead(func::FuncOp body, unsigned arg) {
  SmallVector<std::pair<unsigned, Segment>> found;
  Value root = rootOf(body);
  if (Operation *op = root.getDefiningOp();
      isa_and_present<AttentionOp, AttentionPartialOp>(op)) {
    for (Value input : op->getOperands().take_front(3))
      traceHeads(input, found);
  } else if (isa_and_present<RopeOp>(root.getDefiningOp())) {
    traceHeads(root, found);
  } else if (auto merge = root.getDefiningOp<AttentionMergeOp>()) {
    if (auto from = dyn_cast<BlockArgument>(merge.getInputs()[0]))
      found.push_back({from.getArgNumber(),
                       {0, cast<ShapedType>(from.getType()).getDimSize(0)}});
  } else if (auto rows = matchRowContraction(body)) {
    found.push_back({rows->input.getArgNumber(), {0, rows->depth}});
  }
  SmallVector<Segment> segments;
  for (auto [number, segment] : found)
    if (number == arg && !llvm::is_contained(segments, segment))
      segments.push_back(segment);
  return segments;
}

int64_t fleet::bytesOfTile(TaskOp task, PartitionAttr partition) {
  // A gather reads rows of its table, as many as it gives.
  int64_t bytes = 0;
  for (Value operand : task.getOperands()) {
    auto type = dyn_cast<ShapedType>(operand.getType());
    Operation *def = operand.getDefiningOp();
    bool isState = isa_and_present<StateOp>(def);
    bool isMatrix = isa_and_present<ParamOp>(def) && type.getRank() == 2 &&
                    partition.getKind() != PartitionKind::Whole;
    if (isState || isMatrix)
      bytes += type.getNumElements() * type.getElementTypeBitWidth() / 8;
  }
  if (!bytes)
    for (Type type : task.getResultTypes())
      bytes += cast<ShapedType>(type).getNumElements() *
               cast<ShapedType>(type).getElementTypeBitWidth() / 8;
  return std::max<int64_t>(1, bytes / partition.getTiles());
}
