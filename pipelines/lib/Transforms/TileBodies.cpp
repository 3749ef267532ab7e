//===- TileBodies.cpp
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Utils.h"

#include "fleet/Transforms/Passes.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/SCF/Transforms/TileUsingInterface.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Tensor/Transforms/Transforms.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

namespace mlir::fleet {
#define GEN_PASS_DEF_TILEBODIES
#include "fleet/Transforms/Passes.h.inc"

namespace {
/// Replaces a transposed tile of the parameter `weight` (torch layout, `NxK`) by
/// the same tile of its packed form (`N/size x K x size`).
LogicalResult packWeight(BlockArgument weight, int64_t size, Value tile) {
  auto type = cast<RankedTensorType>(weight.getType());
  int64_t n = type.getDimSize(0), k = type.getDimSize(1);
  auto packed = RankedTensorType::get({n / size, k, size}, type.getElementType());
  for (Operation *user : llvm::make_early_inc_range(weight.getUsers())) {
    auto slice = dyn_cast<tensor::ExtractSliceOp>(user);
    auto transpose = slice && slice->hasOneUse()
                         ? dyn_cast<linalg::TransposeOp>(*slice->getUsers().begin())
                         : linalg::TransposeOp();
    if (!transpose)
      return user->emitError("expected a weight to be used as a transposed tile, found '") << user->getName() << "'";
    OpBuilder b(transpose);
    SmallVector<OpFoldResult> offsets = {tile, b.getIndexAttr(0), b.getIndexAttr(0)};
    SmallVector<OpFoldResult> sizes = {b.getIndexAttr(1), b.getIndexAttr(k), b.getIndexAttr(size)};
    SmallVector<OpFoldResult> strides(3, b.getIndexAttr(1));
    Value contiguous = tensor::ExtractSliceOp::create(
        b, transpose.getLoc(), RankedTensorType::get({k, size}, type.getElementType()), weight, offsets, sizes, strides);
    transpose->getResult(0).replaceAllUsesWith(contiguous);
    transpose.erase();
    slice.erase();
  }
  weight.setType(packed);
  return success();
}

struct TileBodies : impl::TileBodiesBase<TileBodies> {
  LogicalResult tileBody(func::FuncOp body, PartitionAttr partition) {
    Location loc = body.getLoc();
    Block &block = body.getBody().front();
    Operation *terminator = block.getTerminator();
    Value root = terminator->getOperand(0);
    auto rootType = cast<RankedTensorType>(root.getType());
    IRRewriter rewriter(&getContext());
    Type index = rewriter.getIndexType();
    Value out = block.addArgument(rootType, loc);
    Value lo = block.addArgument(index, loc);
    Value hi = block.addArgument(index, loc);
    body.setType(rewriter.getFunctionType(block.getArgumentTypes(), rootType));

    // The result is written where the caller says.
    auto dps = root.getDefiningOp<DestinationStyleOpInterface>();
    if (!dps)
      return body.emitError("expected a result in destination style, found '")
             << root.getDefiningOp()->getName() << "'";
    OpOperand *init = dps.getDpsInitOperand(cast<OpResult>(root).getResultNumber());
    while (auto fill = init->get().getDefiningOp<linalg::FillOp>()) {
      rewriter.setInsertionPoint(dps);
      auto own = cast<linalg::FillOp>(rewriter.clone(*fill));
      init->set(own.getResult(0));
      init = own.getDpsInitOperand(0);
    }
    init->set(out);
    // One tile: nothing to loop over. The range is [0, 1) for who runs it.
    if (partition.getTiles() == 1)
      return success();

    SmallVector<int64_t> tileSizes;
    if (partition.getKind() == PartitionKind::Heads)
      tileSizes = {partition.getSize()}; // the only dimension that attention is tiled on
    else
      tileSizes = {0, partition.getSize()};
    scf::SCFTilingOptions tiling;
    tiling.setTileSizes(getAsIndexOpFoldResult(&getContext(), tileSizes));
    scf::SCFTileAndFuseOptions options;
    options.setTilingOptions(tiling);
    options.setFusionControlFn([](tensor::ExtractSliceOp slice, OpResult producer, bool)
                                   -> std::optional<scf::SCFTileAndFuseOptions::ControlFnResult> {
      // What a tile needs whole is computed once, before the loop.
      auto whole = cast<RankedTensorType>(producer.getType());
      if (slice.getType().getNumElements() == whole.getNumElements())
        return std::nullopt;
      return scf::SCFTileAndFuseOptions::ControlFnResult{};
    });
    rewriter.setInsertionPoint(dps);
    FailureOr<scf::SCFTileAndFuseResult> result =
        scf::tileConsumerAndFuseProducersUsingSCF(rewriter, cast<TilingInterface>(dps.getOperation()), options);
    if (failed(result) || result->loops.size() != 1)
      return body.emitError("expected a body that can be tiled by the partition of its tasks");
    auto loop = cast<scf::ForOp>(result->loops.front().getOperation());
    rewriter.setInsertionPoint(loop);
    Value size = arith::ConstantIndexOp::create(rewriter, loc, partition.getSize());
    loop.setLowerBound(arith::MulIOp::create(rewriter, loc, lo, size));
    loop.setUpperBound(arith::MulIOp::create(rewriter, loc, hi, size));
    terminator->setOperand(0, result->replacements.lookup(root));
    // The untiled root may write caches: nothing but its lack of uses says it is dead.
    dps->erase();
    // What was fused into the loop is dead outside it.
    SmallVector<Operation *> inner;
    body.walk<WalkOrder::PreOrder>([&](Operation *op) {
      if (op != body && !isa_and_present<linalg::LinalgOp>(op->getParentOp()))
        inner.push_back(op);
    });
    for (Operation *op : llvm::reverse(inner))
      if (isOpTriviallyDead(op))
        op->erase();
    return success();
  }

  LogicalResult packBody(func::FuncOp body, PartitionAttr partition, llvm::BitVector &packed) {
    if (partition.getKind() != PartitionKind::Columns)
      return success();
    // A weight is what a transposed matmul operand is cut from.
    SmallVector<scf::ForOp> loops(body.getOps<scf::ForOp>());
    for (BlockArgument arg : body.getArguments()) {
      auto type = dyn_cast<RankedTensorType>(arg.getType());
      bool weight = type && type.getRank() == 2 && !arg.use_empty() && llvm::any_of(arg.getUsers(), [](Operation *user) {
        if (isa<linalg::TransposeOp>(user))
          return true;
        return isa<tensor::ExtractSliceOp>(user) &&
               llvm::any_of(user->getUsers(), [](Operation *u) { return isa<linalg::TransposeOp>(u); });
      });
      if (!weight)
        continue;
      packed.set(arg.getArgNumber());
      OpBuilder b(&getContext());
      Value tile;
      if (loops.empty()) {
        b.setInsertionPointToStart(&body.getBody().front());
        tile = arith::ConstantIndexOp::create(b, body.getLoc(), 0);
        // One tile: no slice stands between the parameter and its transpose.
        for (Operation *user : llvm::make_early_inc_range(arg.getUsers()))
          if (auto transpose = dyn_cast<linalg::TransposeOp>(user)) {
            OpBuilder at(transpose);
            SmallVector<OpFoldResult> zeros(2, at.getIndexAttr(0)), ones(2, at.getIndexAttr(1));
            transpose->setOperand(0, tensor::ExtractSliceOp::create(
                                         at, transpose.getLoc(), arg, zeros,
                                         getAsIndexOpFoldResult(&getContext(), type.getShape()), ones));
          }
      } else {
        scf::ForOp loop = loops.front();
        b.setInsertionPointToStart(loop.getBody());
        Value size = arith::ConstantIndexOp::create(b, body.getLoc(), partition.getSize());
        tile = arith::DivUIOp::create(b, body.getLoc(), loop.getInductionVar(), size);
      }
      if (failed(packWeight(arg, partition.getSize(), tile)))
        return failure();
    }
    body.setType(FunctionType::get(&getContext(), body.getBody().front().getArgumentTypes(),
                                   body.getResultTypes()));
    return success();
  }

  void runOnOperation() override {
    ModuleOp module = getOperation();
    llvm::DenseMap<Operation *, llvm::BitVector> packed;
    SmallVector<TaskOp> tasks;
    module.walk([&](TaskOp task) { tasks.push_back(task); });
    for (TaskOp task : tasks) {
      func::FuncOp body = requireBody(module, task);
      if (!body)
        return signalPassFailure();
      if (!task.getPartition()) {
        task.emitError("expected a task with a partition, found none");
        return signalPassFailure();
      }
      auto [it, inserted] = packed.try_emplace(body, llvm::BitVector(body.getNumArguments() + 3));
      if (inserted && (failed(tileBody(body, *task.getPartition())) ||
                       failed(packBody(body, *task.getPartition(), it->second))))
        return signalPassFailure();
      // The packed form is the parameter's own type from here on.
      for (auto [i, operand] : llvm::enumerate(task.getOperands()))
        if (it->second.test(i)) {
          auto param = operand.getDefiningOp<ParamOp>();
          auto type = cast<RankedTensorType>(body.getArgumentTypes()[i]);
          if (!param) {
            task.emitError("expected a parameter as the contraction's right side, found another value");
            return signalPassFailure();
          }
          if (param.getType() == type)
            continue;
          OpBuilder b(param);
          auto copy = ParamOp::create(b, param.getLoc(), type, param.getNames(),
                                      b.getI64IntegerAttr(task.getPartition()->getSize()), IntegerAttr());
          task->setOperand(i, copy);
          if (param->use_empty())
            param.erase();
        }
    }
    // A slice of an empty tensor is a smaller empty tensor: temporaries of a
    // tile's size, not of the whole result's.
    RewritePatternSet patterns(&getContext());
    tensor::populateFoldTensorEmptyPatterns(patterns);
    if (failed(applyPatternsGreedily(module, std::move(patterns))))
      return signalPassFailure();
  }
};
} // namespace
} // namespace mlir::fleet
