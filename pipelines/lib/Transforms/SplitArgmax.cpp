//===- SplitArgmax.cpp
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Utils.h"

#include "fleet/Target/TargetModel.h"
#include "fleet/Transforms/Passes.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/Support/MathExtras.h"

namespace mlir::fleet {
#define GEN_PASS_DEF_SPLITARGMAX
#include "fleet/Transforms/Passes.h.inc"

namespace {
/// Elements that one worker has in flight at once: 256 threads with 8 loads of 16 bytes of f32.
/// With no more than these, another exchange costs more than it saves.
constexpr int64_t kOneWorker = 256 * 8 * 4;
/// Columns of a part: one for each thread, and whole lines of 64 bytes.
constexpr int64_t kLeastColumns = 256, kLineColumns = 16;

struct SplitArgmax : impl::SplitArgmaxBase<SplitArgmax> {
  void runOnOperation() override {
    TargetAttr target = requireTarget(getOperation());
    if (!target)
      return signalPassFailure();
    // One core walks all queues there: parts would only be merged again.
    if (target.getBackend() == Backend::LLVM)
      return;
    int64_t workers = target.getChiplets() * target.getWorkers();
    SmallVector<ArgmaxOp> ops;
    getOperation().walk([&](ArgmaxOp op) { ops.push_back(op); });
    for (ArgmaxOp op : ops) {
      auto type = dyn_cast<RankedTensorType>(op.getInputs()[0].getType());
      if (!type)
        continue;
      int64_t rows = type.getDimSize(0), columns = type.getDimSize(1);
      bool isByRows = target.getBackend() == Backend::NVVM && rows >= getManyRows(target.getBackend());
      if (rows * columns <= kOneWorker || isByRows)
        continue;
      int64_t width = llvm::alignTo(std::max<int64_t>(kLeastColumns, llvm::divideCeil(columns, workers)), kLineColumns);
      int64_t parts = llvm::divideCeil(columns, width);
      if (parts < 2)
        continue;
      OpBuilder b(op);
      Location loc = op.getLoc();
      // Two words a row; no line of 64 bytes has results of two parts.
      int64_t room = llvm::alignTo(rows, kArenaAlignment / 8);
      auto partType = RankedTensorType::get({parts, 2, room}, b.getI32Type());
      Value empty = tensor::EmptyOp::create(b, loc, partType.getShape(), partType.getElementType());
      auto partial = ArgmaxPartialOp::create(b, loc, TypeRange(partType), op.getInputs(), Value(), empty,
                                             b.getI64IntegerAttr(width));
      auto merge = ArgmaxMergeOp::create(b, loc, op->getResultTypes(), partial->getResults(), op.getOutputs());
      op->replaceAllUsesWith(merge);
      op.erase();
    }
  }
};
} // namespace
} // namespace mlir::fleet
