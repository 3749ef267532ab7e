//===- CutChiplets.cpp
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Utils.h"

#include "fleet/Transforms/Passes.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"

namespace mlir::fleet {
#define GEN_PASS_DEF_CUTCHIPLETS
#include "fleet/Transforms/Passes.h.inc"

namespace {
/// How a body is cut: by what computes its result.
PartitionAttr choosePartition(func::FuncOp body, TargetAttr target) {
  MLIRContext *context = body.getContext();
  Value root = body.getBody().front().getTerminator()->getOperand(0);
  auto shape = cast<RankedTensorType>(root.getType()).getShape();
  if (auto attention = root.getDefiningOp<AttentionOp>()) {
    int64_t heads = cast<ShapedType>(attention.getInputs()[1].getType()).getDimSize(1);
    return PartitionAttr::get(context, PartitionKind::Heads, heads, shape[1] / heads);
  }
  if (root.getDefiningOp<AttentionPartialOp>())
    return PartitionAttr::get(context, PartitionKind::Heads, shape[0], 1);
  if (auto merge = root.getDefiningOp<AttentionMergeOp>()) {
    int64_t group = cast<ShapedType>(merge.getInputs()[0].getType()).getDimSize(2);
    return PartitionAttr::get(context, PartitionKind::Heads, shape[1] / group, group);
  }
  bool contraction = !body.getOps<linalg::MatmulOp>().empty();
  if (contraction && shape.size() == 2) {
    // The widest tile that divides the columns: a tile is never partial.
    int64_t size = std::min(target.getTile(), shape[1]);
    while (shape[1] % size)
      --size;
    return PartitionAttr::get(context, PartitionKind::Columns, shape[1] / size, size);
  }
  return PartitionAttr::get(context, PartitionKind::Whole, 1, shape.empty() ? 1 : shape.back());
}

struct CutChiplets : impl::CutChipletsBase<CutChiplets> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    TargetAttr target = requireTarget(module);
    if (!target)
      return signalPassFailure();
    OpBuilder b(&getContext());
    WalkResult result = module.walk([&](TaskOp task) {
      func::FuncOp body = requireBody(module, task);
      if (!body)
        return WalkResult::interrupt();
      PartitionAttr partition = choosePartition(body, target);
      task.setPartitionAttr(partition);
      // All rows of a tile run together: each weight byte is fetched once.
      task.setTraversalAttr(TraversalAttr::get(&getContext(), Traversal::FullM));
      b.createBlock(&task.getChiplets());
      int64_t chiplets = target.getChiplets(), tiles = partition.getTiles();
      for (int64_t c = 0; c < chiplets; ++c) {
        int64_t lo = c * tiles / chiplets, hi = (c + 1) * tiles / chiplets;
        if (lo < hi)
          ChipletTaskOp::create(b, task.getLoc(), c, lo, hi);
      }
      return WalkResult::advance();
    });
    if (result.wasInterrupted())
      signalPassFailure();
  }
};
} // namespace
} // namespace mlir::fleet
