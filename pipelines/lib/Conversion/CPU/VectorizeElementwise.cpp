//===- VectorizeElementwise.cpp - Remaining linalg ops to loops on vectors
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Utils.h"

#include "fleet/Conversion/Passes.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Linalg/Transforms/Transforms.h"
#include "mlir/Dialect/Linalg/Utils/Utils.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/IR/IRMapping.h"

namespace mlir::fleet {
#define GEN_PASS_DEF_CPUVECTORIZEELEMENTWISE
#include "fleet/Conversion/Passes.h.inc"
} // namespace mlir::fleet

using namespace mlir;
using namespace mlir::fleet::cpu;

namespace {
/// How an operand moves along the innermost loop.
enum class Along { Contiguous, Constant };
} // namespace

static std::optional<Along> alongInnermost(linalg::GenericOp op, OpOperand &operand) {
  AffineMap map = op.getMatchingIndexingMap(&operand);
  if (!map.isProjectedPermutation(/*allowZeroInResults=*/true))
    return std::nullopt;
  unsigned innermost = op.getNumLoops() - 1;
  for (auto [i, result] : llvm::enumerate(map.getResults()))
    if (result.isFunctionOfDim(innermost)) {
      if (i + 1 != map.getNumResults() || !isContiguousInLastDim(operand.get()))
        return std::nullopt;
      return Along::Contiguous;
    }
  return Along::Constant;
}

static bool isVectorizable(linalg::GenericOp op) {
  if (!op.getNumLoops() || op.getNumParallelLoops() != op.getNumLoops())
    return false;
  for (OpOperand &operand : op->getOpOperands()) {
    if (!isa<MemRefType>(operand.get().getType()))
      continue;
    std::optional<Along> along = alongInnermost(op, operand);
    if (!along || (op.isDpsInit(&operand) && *along == Along::Constant))
      return false;
  }
  return isMappable(op);
}

/// One point (lanes = 0) or `lanes` points of the innermost loop.
static void emitPoints(Emitter &e, linalg::GenericOp op, ArrayRef<Value> at, int64_t lanes) {
  IRMapping mapping;
  auto asVector = [&](Value value) -> Value {
    return lanes && !isa<VectorType>(value.getType()) ? e.broadcast(value, lanes) : value;
  };
  auto indicesOf = [&](OpOperand &operand) {
    SmallVector<Value> indices;
    for (AffineExpr result : op.getMatchingIndexingMap(&operand).getResults()) {
      auto dim = dyn_cast<AffineDimExpr>(result);
      indices.push_back(dim ? at[dim.getPosition()] : e.index(0));
    }
    return indices;
  };
  for (OpOperand &operand : op->getOpOperands()) {
    BlockArgument argument = op.getMatchingBlockArgument(&operand);
    if (argument.use_empty())
      continue;
    if (!isa<MemRefType>(operand.get().getType()))
      mapping.map(argument, asVector(operand.get()));
    else if (lanes && alongInnermost(op, operand) == Along::Contiguous)
      mapping.map(argument, e.loadRaw(operand.get(), indicesOf(operand), lanes));
    else
      mapping.map(argument, asVector(e.load(operand.get(), indicesOf(operand))));
  }
  for (auto [i, result] : llvm::enumerate(computeBody(e, op, mapping, at, lanes))) {
    OpOperand &out = *op.getDpsInitOperand(i);
    if (lanes)
      e.storeRaw(result, out.get(), indicesOf(out));
    else
      memref::StoreOp::create(e.b, e.loc, result, out.get(), indicesOf(out));
  }
}

static void emitLoops(Emitter &e, linalg::GenericOp op) {
  SmallVector<Range> ranges = cast<linalg::LinalgOp>(*op).createLoopRanges(e.b, e.loc);
  SmallVector<Value> extents;
  for (Range range : ranges)
    extents.push_back(getValueOrCreateConstantIndexOp(e.b, e.loc, range.size));
  SmallVector<Value> at;
  std::function<void()> descend = [&] {
    Value extent = extents[at.size()];
    auto points = [&](Value lo, Value hi, int64_t lanes) {
      e.loop(lo, hi, std::max<int64_t>(lanes, 1), {}, [&](Value i, ValueRange) {
        at.push_back(i);
        emitPoints(e, op, at, lanes);
        at.pop_back();
        return SmallVector<Value>();
      });
    };
    if (at.size() + 1 < extents.size()) {
      e.loop(e.index(0), extent, 1, {}, [&](Value i, ValueRange) {
        at.push_back(i);
        descend();
        at.pop_back();
        return SmallVector<Value>();
      });
      return;
    }
    Value main;
    if (auto known = getConstantIntValue(ranges.back().size)) {
      main = e.index(*known / kLanes * kLanes);
    } else {
      Value rest = arith::RemUIOp::create(e.b, e.loc, extent, e.index(kLanes));
      main = arith::SubIOp::create(e.b, e.loc, extent, rest);
    }
    points(e.index(0), main, kLanes);
    points(main, extent, 0);
  };
  descend();
}

namespace {
struct CPUVectorizeElementwise
    : mlir::fleet::impl::CPUVectorizeElementwiseBase<CPUVectorizeElementwise> {
  void runOnOperation() override {
    IRRewriter rewriter(&getContext());
    SmallVector<memref::CopyOp> copies;
    getOperation()->walk([&](memref::CopyOp op) { copies.push_back(op); });
    for (memref::CopyOp op : copies) {
      OpBuilder builder(op);
      linalg::makeMemRefCopyOp(builder, op.getLoc(), op.getSource(), op.getTarget());
      op.erase();
    }
    SmallVector<linalg::LinalgOp> ops;
    getOperation()->walk([&](linalg::LinalgOp op) { ops.push_back(op); });
    for (linalg::LinalgOp op : ops) {
      if (!op.hasPureBufferSemantics()) {
        op.emitOpError("expected an operation on buffers, found tensors");
        return signalPassFailure();
      }
      rewriter.setInsertionPoint(op);
      auto generic = dyn_cast<linalg::GenericOp>(op.getOperation());
      if (!generic) {
        FailureOr<linalg::GenericOp> made = linalg::generalizeNamedOp(rewriter, op);
        if (failed(made)) {
          op.emitOpError("cannot be lowered to loops");
          return signalPassFailure();
        }
        generic = *made;
      }
      rewriter.setInsertionPoint(generic);
      if (isVectorizable(generic)) {
        Emitter e{rewriter, generic.getLoc()};
        emitLoops(e, generic);
      } else if (failed(linalg::linalgOpToLoops(rewriter, generic))) {
        generic.emitOpError("cannot be lowered to loops");
        return signalPassFailure();
      }
      rewriter.eraseOp(generic);
    }
  }
};
} // namespace
