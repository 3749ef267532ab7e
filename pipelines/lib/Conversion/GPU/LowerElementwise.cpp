//===- LowerElementwise.cpp - Remaining linalg ops to loops over the threads
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Utils.h"

#include "fleet/Conversion/GPUPasses.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Linalg/Transforms/Transforms.h"
#include "mlir/Dialect/Linalg/Utils/Utils.h"
#include "mlir/IR/IRMapping.h"

namespace mlir::fleet {
#define GEN_PASS_DEF_GPULOWERELEMENTWISE
#include "fleet/Conversion/GPUPasses.h.inc"
} // namespace mlir::fleet

using namespace mlir;
using namespace mlir::fleet;
using namespace mlir::fleet::gpugen;

namespace {
/// How an operand moves along the innermost loop.
enum class Along { Contiguous, Constant };

/// One op, all sizes known.
struct Nest {
  Emitter &e;
  linalg::GenericOp op;
  SmallVector<int64_t> sizes;
  int64_t mostRounds;

  std::optional<Along> alongInnermost(OpOperand &operand) {
    AffineMap map = op.getMatchingIndexingMap(&operand);
    unsigned innermost = op.getNumLoops() - 1;
    for (auto [i, result] : llvm::enumerate(map.getResults()))
      if (result.isFunctionOfDim(innermost)) {
        if (i + 1 != map.getNumResults() || !cpu::isContiguousInLastDim(operand.get()))
          return std::nullopt;
        return Along::Contiguous;
      }
    return Along::Constant;
  }

  bool isParallel() { return op.getNumParallelLoops() == op.getNumLoops(); }

  /// Elements of the innermost loop that a thread takes at once; 0: one point.
  int64_t width() {
    if (!op.getNumLoops() || !isParallel())
      return 0;
    int64_t width = 1;
    for (OpOperand &operand : op->getOpOperands()) {
      auto type = dyn_cast<MemRefType>(operand.get().getType());
      if (!type)
        continue;
      std::optional<Along> along = alongInnermost(operand);
      if (!along || (op.isDpsInit(&operand) && *along == Along::Constant))
        return 0;
      width = std::max(width, elementsOf16Bytes(type.getElementType()));
    }
    if (!cpu::isMappable(op))
      return 0;
    while (sizes.back() % width)
      width /= 2;
    return width > 1 ? width : 0;
  }

  SmallVector<Value> indicesOf(OpOperand &operand, ArrayRef<Value> at) {
    SmallVector<Value> indices;
    for (AffineExpr result : op.getMatchingIndexingMap(&operand).getResults()) {
      auto dim = dyn_cast<AffineDimExpr>(result);
      indices.push_back(dim ? at[dim.getPosition()] : e.index(0));
    }
    return indices;
  }

  Value asVector(Value value, int64_t lanes) {
    return lanes && !isa<VectorType>(value.getType()) ? e.broadcast(value, lanes) : value;
  }

  /// The yielded values at one point (lanes = 0) or at `lanes` points of the
  /// innermost loop; `outs` stand for the initial values, if not empty.
  SmallVector<Value> compute(ArrayRef<Value> at, int64_t lanes, ValueRange outs) {
    IRMapping mapping;
    for (OpOperand &operand : op->getOpOperands()) {
      BlockArgument argument = op.getMatchingBlockArgument(&operand);
      if (argument.use_empty())
        continue;
      if (!outs.empty() && op.isDpsInit(&operand))
        mapping.map(argument, outs[operand.getOperandNumber() - op.getNumDpsInputs()]);
      else if (!isa<MemRefType>(operand.get().getType()))
        mapping.map(argument, asVector(operand.get(), lanes));
      else if (lanes && alongInnermost(operand) == Along::Contiguous)
        mapping.map(argument, e.loadRaw(operand.get(), indicesOf(operand, at), lanes));
      else
        mapping.map(argument, asVector(e.load(operand.get(), indicesOf(operand, at)), lanes));
    }
    return cpu::computeBody(e, op, mapping, at, lanes);
  }

  void store(ArrayRef<Value> results, ArrayRef<Value> at, int64_t lanes) {
    for (auto [i, result] : llvm::enumerate(results)) {
      OpOperand &out = *op.getDpsInitOperand(i);
      if (lanes)
        e.storeRaw(result, out.get(), indicesOf(out, at));
      else
        memref::StoreOp::create(e.b, e.loc, result, out.get(), indicesOf(out, at));
    }
  }

  void emitParallel() {
    int64_t lanes = width();
    SmallVector<int64_t> shape = sizes;
    if (lanes)
      shape.back() /= lanes;
    auto placeOf = [&](Value i) {
      SmallVector<Value> at = e.delinearize(i, shape);
      if (lanes)
        at.back() = e.mulIndex(at.back(), lanes);
      return at;
    };
    int64_t count = ShapedType::getNumElements(shape), threads = e.workgroup.threads, rounds = count / threads;
    if (lanes && count % threads == 0 && rounds > 1 && rounds <= mostRounds) {
      SmallVector<std::pair<SmallVector<Value>, SmallVector<Value>>> done;
      for (int64_t r = 0; r < rounds; ++r) {
        SmallVector<Value> at = placeOf(e.addIndex(e.threadInTurn(), r * threads));
        done.push_back({at, compute(at, lanes, {})});
      }
      for (auto &[at, results] : done)
        store(results, at, lanes);
      return;
    }
    e.forThreads(count, [&](Value i) {
      SmallVector<Value> at = placeOf(i);
      store(compute(at, lanes, {}), at, lanes);
    });
  }

  /// A thread a result, the reduction in order.
  void emitReduction() {
    SmallVector<int64_t> shape;
    SmallVector<unsigned> parallel, reduced;
    for (unsigned d = 0; d < op.getNumLoops(); ++d) {
      if (op.getIteratorTypesArray()[d] == utils::IteratorType::parallel) {
        shape.push_back(sizes[d]);
        parallel.push_back(d);
      } else {
        reduced.push_back(d);
      }
    }
    e.forThreads(ShapedType::getNumElements(shape), [&](Value i) {
      SmallVector<Value> at(sizes.size());
      for (auto [d, value] : llvm::zip_equal(parallel, e.delinearize(i, shape)))
        at[d] = value;
      for (unsigned d : reduced)
        at[d] = e.index(0);
      SmallVector<Value> sums;
      for (OpOperand &out : op.getDpsInitsMutable())
        sums.push_back(e.load(out.get(), indicesOf(out, at)));
      std::function<SmallVector<Value>(unsigned, ValueRange)> descend =
          [&](unsigned depth, ValueRange carried) -> SmallVector<Value> {
        if (depth == reduced.size())
          return compute(at, 0, carried);
        return e.loop(e.index(0), e.index(sizes[reduced[depth]]), 1, carried,
                      [&](Value k, ValueRange inner) {
                        at[reduced[depth]] = k;
                        return descend(depth + 1, inner);
                      });
      };
      SmallVector<Value> results = descend(0, sums);
      for (unsigned d : reduced)
        at[d] = e.index(0);
      store(results, at, 0);
    });
  }
};

struct GPULowerElementwise : mlir::fleet::impl::GPULowerElementwiseBase<GPULowerElementwise> {
  using GPULowerElementwiseBase::GPULowerElementwiseBase;

  LogicalResult lower(IRRewriter &rewriter, linalg::LinalgOp op) {
    rewriter.setInsertionPoint(op);
    auto generic = dyn_cast<linalg::GenericOp>(op.getOperation());
    if (!generic) {
      FailureOr<linalg::GenericOp> made = linalg::generalizeNamedOp(rewriter, op);
      if (failed(made))
        return op.emitOpError("cannot be lowered to loops over the threads");
      generic = *made;
    }
    auto sizes = generic.getStaticLoopRanges();
    bool isSimple = generic.hasPureBufferSemantics() && !ShapedType::isDynamicShape(sizes);
    for (OpOperand &operand : generic->getOpOperands()) {
      AffineMap map = generic.getMatchingIndexingMap(&operand);
      isSimple &= map.isProjectedPermutation(/*allowZeroInResults=*/true);
      if (generic.isDpsInit(&operand))
        for (unsigned d = 0; d < generic.getNumLoops(); ++d)
          isSimple &= generic.getIteratorTypesArray()[d] == utils::IteratorType::parallel ||
                      !map.isFunctionOfDim(d);
    }
    if (!isSimple)
      return generic.emitOpError("expected buffers of static shape, each indexed by loops in any "
                                 "order, found ")
             << generic->getOperandTypes();
    rewriter.setInsertionPoint(generic);
    Emitter e(rewriter, generic.getLoc(), getOperation());
    auto firstWave = generic->getAttrOfType<IntegerAttr>(kFirstWave);
    if (firstWave)
      e.firstWave = firstWave.getInt();
    Nest nest{e, generic, SmallVector<int64_t>(sizes), rounds};
    if (nest.isParallel())
      nest.emitParallel();
    else
      nest.emitReduction();
    if (!firstWave)
      e.barrier();
    rewriter.eraseOp(generic);
    return success();
  }

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
    for (linalg::LinalgOp op : ops)
      if (failed(lower(rewriter, op)))
        return signalPassFailure();
  }
};
} // namespace
