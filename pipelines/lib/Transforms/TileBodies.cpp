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
/// Marks the loop over the tiles until weights are packed.
constexpr StringRef kColumns = "fleet.columns";

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
  /// A loop over tiles of slices of the contracted dimension. Tile t has columns of slice
  /// t / (tiles of a slice), and the loop runs as if there were `splits` times as many columns. All tiles
  /// of a range are of one slice; on a chip of one die its part of the left side stands in front of the loop,
  /// for code generators that read it once for several tiles.
  LogicalResult tileRows(func::FuncOp body, PartitionAttr partition) {
    Location loc = body.getLoc();
    Block &block = body.getBody().front();
    Operation *terminator = block.getTerminator();
    SmallVector<linalg::GenericOp> generics(body.getOps<linalg::GenericOp>());
    auto expandOf = [&](unsigned i) {
      return generics.size() == 1 && generics.front().getNumDpsInputs() == 2
                 ? generics.front().getInputs()[i].getDefiningOp<tensor::ExpandShapeOp>()
                 : tensor::ExpandShapeOp();
    };
    tensor::ExpandShapeOp left = expandOf(0), right = expandOf(1);
    auto weight = right ? dyn_cast<BlockArgument>(right.getSrc()) : BlockArgument();
    auto rootType = cast<RankedTensorType>(terminator->getOperand(0).getType());
    if (!left || !weight || rootType.getRank() != 2)
      return body.emitError("expected a contraction of slices in a body that is cut by rows, found another");
    OpBuilder b(terminator);
    Type index = b.getIndexType();
    Value out = block.addArgument(rootType, loc), lo = block.addArgument(index, loc), hi = block.addArgument(index, loc);
    body.setType(b.getFunctionType(block.getArgumentTypes(), rootType));
    int64_t rows = rootType.getDimSize(0), columns = rootType.getDimSize(1) / partition.getSplits();
    int64_t depth = cast<RankedTensorType>(weight.getType()).getDimSize(1), size = partition.getSize();
    auto constant = [&](int64_t value) -> Value { return arith::ConstantIndexOp::create(b, loc, value); };
    Value step = constant(size), zero = arith::ConstantOp::create(b, loc, b.getF32FloatAttr(0));
    Value begin = arith::MulIOp::create(b, loc, lo, step), end = arith::MulIOp::create(b, loc, hi, step);
    SmallVector<OpFoldResult> ones(2, b.getIndexAttr(1));
    auto cut = [&](Value from, OpFoldResult row, OpFoldResult column, int64_t height, int64_t width) -> Value {
      auto type = RankedTensorType::get({height, width}, getElementTypeOrSelf(from.getType()));
      SmallVector<OpFoldResult> offsets = {row, column}, sizes = {b.getIndexAttr(height), b.getIndexAttr(width)};
      return tensor::ExtractSliceOp::create(b, loc, type, from, offsets, sizes, ones);
    };
    auto cutLeft = [&](Value at) {
      Value slice = arith::DivUIOp::create(b, loc, at, constant(columns));
      Value first = arith::MulIOp::create(b, loc, slice, constant(depth));
      return cut(left.getSrc(), b.getIndexAttr(0), first, rows, depth);
    };
    auto target = getOperation()->getAttrOfType<TargetAttr>("fleet.target");
    bool isBefore = target && target.getChiplets() == 1;
    Value x = isBefore ? cutLeft(begin) : Value();
    auto loop = scf::ForOp::create(b, loc, begin, end, step, out);
    loop->setAttr(kColumns, b.getUnitAttr());
    b.setInsertionPointToStart(loop.getBody());
    Value at = loop.getInductionVar();
    if (!isBefore)
      x = cutLeft(at);
    Value tile = cut(weight, at, b.getIndexAttr(0), size, depth);
    Value empty = tensor::EmptyOp::create(b, loc, {depth, size}, getElementTypeOrSelf(weight.getType()));
    Value transposed = linalg::TransposeOp::create(b, loc, tile, empty, ArrayRef<int64_t>{1, 0}).getResult()[0];
    Value to = cut(loop.getRegionIterArg(0), b.getIndexAttr(0), at, rows, size);
    to = linalg::FillOp::create(b, loc, zero, to).getResult(0);
    Value sums = linalg::MatmulOp::create(b, loc, ValueRange{x, transposed}, to).getResult(0);
    SmallVector<OpFoldResult> offsets = {b.getIndexAttr(0), at}, sizes = {b.getIndexAttr(rows), b.getIndexAttr(size)};
    Value all = tensor::InsertSliceOp::create(b, loc, sums, loop.getRegionIterArg(0), offsets, sizes, ones);
    scf::YieldOp::create(b, loc, all);
    terminator->setOperand(0, loop.getResult(0));
    // The contraction of all slices, and what only it used.
    for (Operation &op : llvm::make_early_inc_range(llvm::reverse(block)))
      if (isOpTriviallyDead(&op))
        op.erase();
    return success();
  }

  LogicalResult tileBody(func::FuncOp body, PartitionAttr partition, TraversalAttr traversal) {
    if (partition.getKind() == PartitionKind::Rows)
      return tileRows(body, partition);
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
    int64_t rows = partition.getKind() == PartitionKind::Columns && traversal ? traversal.getRows() : 0;
    if (rows && (rootType.getRank() != 2 || rootType.getDimSize(0) % rows))
      return body.emitError("expected tiles of rows that divide the rows of ") << rootType << ", found " << rows;
    if (partition.getTiles() == 1 && !rows)
      return success();

    SmallVector<int64_t> tileSizes;
    if (partition.getKind() == PartitionKind::Heads)
      tileSizes = {partition.getSize()}; // the only dimension that attention is tiled on
    else
      tileSizes = {rows, partition.getSize()};
    scf::SCFTilingOptions tiling;
    bool isWindowed = rows && traversal.getValue() == Traversal::Windowed;
    if (isWindowed)
      tileSizes[0] = rows * std::max<int64_t>(1, traversal.getWindow());
    if (isWindowed && rootType.getDimSize(0) % tileSizes[0])
      return body.emitError("expected windows that divide the rows of ") << rootType << ", found " << tileSizes[0];
    // The outer loop is the first: over columns where the rows of one column tile run together.
    if (rows && traversal.getValue() == Traversal::MMajor)
      tiling.setInterchange({1, 0});
    tiling.setTileSizes(getAsIndexOpFoldResult(&getContext(), tileSizes));
    scf::SCFTileAndFuseOptions options;
    options.setTilingOptions(tiling);
    options.setFusionControlFn([](tensor::ExtractSliceOp slice, OpResult producer, bool)
                                   -> std::optional<scf::SCFTileAndFuseOptions::ControlFnResult> {
      // What a tile needs whole is computed once, before the loop.
      auto whole = cast<RankedTensorType>(producer.getType());
      if (slice.getType().getNumElements() == whole.getNumElements())
        return std::nullopt;
      // So is what a contraction reads on its left, whichever rows a tile has.
      if (llvm::any_of(slice->getUsers(), [&](Operation *user) {
            auto matmul = dyn_cast<linalg::MatmulOp>(user);
            return matmul && matmul.getInputs()[0] == slice.getResult();
          }))
        return std::nullopt;
      return scf::SCFTileAndFuseOptions::ControlFnResult{};
    });
    rewriter.setInsertionPoint(dps);
    FailureOr<scf::SCFTileAndFuseResult> result =
        scf::tileConsumerAndFuseProducersUsingSCF(rewriter, cast<TilingInterface>(dps.getOperation()), options);
    if (failed(result) || result->loops.size() != (rows ? 2 : 1))
      return body.emitError("expected a body that can be tiled by the partition of its tasks");
    bool isOuter = !rows || traversal.getValue() == Traversal::MMajor;
    auto loop = cast<scf::ForOp>((isOuter ? result->loops.front() : result->loops.back()).getOperation());
    loop->setAttr(kColumns, rewriter.getUnitAttr());
    if (isWindowed && traversal.getWindow() > 1) {
      // The row tiles of a window, inside.
      Operation *window = result->tiledAndFusedOps.front();
      scf::SCFTileAndFuseOptions inner = options;
      inner.tilingOptions.setTileSizes(getAsIndexOpFoldResult(&getContext(), {rows, 0}));
      rewriter.setInsertionPoint(window);
      FailureOr<scf::SCFTileAndFuseResult> tiles =
          scf::tileConsumerAndFuseProducersUsingSCF(rewriter, cast<TilingInterface>(window), inner);
      if (failed(tiles))
        return body.emitError("expected a body that can be tiled by the partition of its tasks");
      rewriter.replaceOp(window, tiles->replacements.lookup(window->getResult(0)));
    }
    rewriter.setInsertionPoint(isOuter ? loop : result->loops.front());
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
    if (partition.getKind() != PartitionKind::Columns && partition.getKind() != PartitionKind::Rows) {
      body.walk([](scf::ForOp loop) { loop->removeAttr(kColumns); });
      return success();
    }
    // A weight is what a transposed matmul operand is cut from.
    SmallVector<scf::ForOp> loops;
    body.walk([&](scf::ForOp loop) {
      if (loop->removeAttr(kColumns))
        loops.push_back(loop);
    });
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
      if (inserted && (failed(tileBody(body, *task.getPartition(), task.getTraversalAttr())) ||
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
                                      b.getI64IntegerAttr(task.getPartition()->getSize()), IntegerAttr(),
                                      param.getSplitsAttr());
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
