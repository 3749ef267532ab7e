//===- ImportStep.cpp
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fleet/Transforms/Passes.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

namespace mlir::fleet {
#define GEN_PASS_DEF_IMPORTSTEP
#include "fleet/Transforms/Passes.h.inc"

namespace {
/// An element-wise generic on `1xTx...` becomes one on `Tx...`: rows are a flat
/// axis, and the importer runs the model with a batch of one.
struct DropBatch : OpRewritePattern<linalg::GenericOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(linalg::GenericOp op, PatternRewriter &rewriter) const override {
    if (op.getNumDpsInits() != 1 || op.getNumResults() != 1 || op.hasIndexSemantics() ||
        op.getNumLoops() != op.getNumParallelLoops())
      return failure();
    auto type = cast<RankedTensorType>(op.getResult(0).getType());
    if (type.getRank() < 3 || type.getDimSize(0) != 1 ||
        !op.getMatchingIndexingMap(op.getDpsInitOperand(0)).isIdentity())
      return failure();
    MLIRContext *context = op.getContext();
    Location loc = op.getLoc();
    unsigned rank = type.getRank();
    SmallVector<AffineExpr> shifted = {getAffineConstantExpr(0, context)};
    for (unsigned i = 1; i < rank; ++i)
      shifted.push_back(getAffineDimExpr(i - 1, context));
    SmallVector<AffineMap> maps;
    SmallVector<Value> inputs;
    for (OpOperand &operand : op->getOpOperands()) {
      AffineMap map = op.getMatchingIndexingMap(&operand);
      auto shaped = dyn_cast<RankedTensorType>(operand.get().getType());
      Value value = operand.get();
      SmallVector<AffineExpr> results;
      for (AffineExpr expr : map.getResults())
        results.push_back(expr.replaceDims(shifted));
      bool drops = shaped && shaped.getRank() >= 2 && shaped.getDimSize(0) == 1 &&
                   (results[0] == getAffineConstantExpr(0, context));
      if (drops) {
        SmallVector<ReassociationIndices> groups = {{0, 1}};
        for (int64_t i = 2; i < shaped.getRank(); ++i)
          groups.push_back({i});
        value = tensor::CollapseShapeOp::create(rewriter, loc, value, groups);
        results.erase(results.begin());
      }
      maps.push_back(AffineMap::get(rank - 1, 0, results, context));
      inputs.push_back(value);
    }
    Value init = inputs.pop_back_val();
    SmallVector<utils::IteratorType> iterators(rank - 1, utils::IteratorType::parallel);
    auto flat = linalg::GenericOp::create(rewriter, loc, init.getType(), inputs, init, maps, iterators);
    rewriter.inlineRegionBefore(op.getRegion(), flat.getRegion(), flat.getRegion().begin());
    SmallVector<ReassociationIndices> groups = {{0, 1}};
    for (unsigned i = 2; i < rank; ++i)
      groups.push_back({static_cast<int64_t>(i)});
    rewriter.replaceOpWithNewOp<tensor::ExpandShapeOp>(op, type, flat.getResult(0), groups);
    return success();
  }
};

/// One row of a table of one row is the table. A step of one token has no rows to
/// choose from, and no worker needs room for a copy of its row.
struct SkipGather : OpRewritePattern<GatherOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(GatherOp op, PatternRewriter &rewriter) const override {
    Value table = op.getInputs()[0];
    auto type = dyn_cast<RankedTensorType>(table.getType());
    if (!type || type.getDimSize(0) != 1 || op->getNumResults() != 1 || op->getResult(0).getType() != type)
      return failure();
    rewriter.replaceOp(op, table);
    return success();
  }
};

/// What an element-wise op that does nothing but widen each element reads.
Value widenedFrom(Value value) {
  auto generic = value.getDefiningOp<linalg::GenericOp>();
  if (!generic || generic.getNumDpsInputs() != 1 || generic.getNumResults() != 1 ||
      generic.getNumLoops() != generic.getNumParallelLoops() ||
      !llvm::all_of(generic.getIndexingMapsArray(), [](AffineMap map) { return map.isIdentity(); }))
    return {};
  Block &body = *generic.getBody();
  auto widen = dyn_cast<arith::ExtFOp>(body.front());
  bool isAll = widen && widen.getIn() == body.getArgument(0) && widen->getNextNode() == body.getTerminator() &&
               body.getTerminator()->getOperand(0) == widen.getResult();
  return isAll ? generic.getDpsInputs()[0] : Value();
}

/// A contraction widens what it multiplies itself: torch's product with a bias widens both sides first,
/// weights and all, and no weight is to be stored in f32 for that.
struct WidenInContraction : OpRewritePattern<linalg::MatmulOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(linalg::MatmulOp op, PatternRewriter &rewriter) const override {
    if (op.hasUserDefinedMaps() || op->getNumResults() != 1)
      return failure();
    Value left = widenedFrom(op.getInputs()[0]), right = widenedFrom(op.getInputs()[1]);
    auto turned = op.getInputs()[1].getDefiningOp<linalg::TransposeOp>();
    if (turned)
      right = widenedFrom(turned.getInput());
    if (!left || !right || getElementTypeOrSelf(left) != getElementTypeOrSelf(right) ||
        getElementTypeOrSelf(op.getOutputs()[0]) != getElementTypeOrSelf(op.getInputs()[0]))
      return failure();
    if (turned) {
      auto type = cast<RankedTensorType>(turned->getResult(0).getType());
      Value empty = tensor::EmptyOp::create(rewriter, op.getLoc(), type.getShape(), getElementTypeOrSelf(right));
      right = linalg::TransposeOp::create(rewriter, op.getLoc(), right, empty, turned.getPermutation())->getResult(0);
    }
    rewriter.replaceOpWithNewOp<linalg::MatmulOp>(op, ValueRange{left, right}, op.getOutputs());
    return success();
  }
};

struct ImportStep : impl::ImportStepBase<ImportStep> {
  LogicalResult convertCall(func::CallOp call, func::FuncOp callee, int64_t slots, int64_t context) {
    OpBuilder b(call);
    Location loc = call.getLoc();
    StringRef name = callee->getAttrOfType<StringAttr>("fleet.op").getValue();
    auto number = [&](StringRef key) { return callee->getAttrOfType<FloatAttr>(key); };
    if (call.getNumResults() != 1)
      return call.emitError("expected one result of fleet op '") << name << "', found " << call.getNumResults();
    auto type = cast<RankedTensorType>(call.getResult(0).getType());
    Value empty = tensor::EmptyOp::create(b, loc, type.getShape(), type.getElementType());
    SmallVector<Value> in(call.getOperands());
    Operation *op = nullptr;
    if (name == "gather")
      op = GatherOp::create(b, loc, type, in, empty);
    else if (name == "argmax")
      op = ArgmaxOp::create(b, loc, type, in, empty);
    else if (name == "rope")
      op = RopeOp::create(b, loc, type, in, empty);
    else if (name == "rms_norm" || name == "layer_norm") {
      if (!number("eps"))
        return call.emitError("expected an eps attribute of fleet op '") << name << "', found none";
      op = name == "rms_norm" ? RmsNormOp::create(b, loc, type, in, empty, number("eps")).getOperation()
                              : LayerNormOp::create(b, loc, type, in, empty, number("eps")).getOperation();
    } else if (name == "attention") {
      auto layer = callee->getAttrOfType<IntegerAttr>("layer");
      if (!layer || !number("scale") || in.size() != 5)
        return call.emitError("expected 5 operands, layer and scale of fleet op 'attention'");
      auto k = cast<RankedTensorType>(in[1].getType());
      auto cache = MemRefType::get({slots, k.getDimSize(1), context, k.getDimSize(2)}, k.getElementType(),
                                   MemRefLayoutAttrInterface(),
                                   MemoryScopeAttr::get(&getContext(), MemoryScope::Hbm));
      for (StringRef which : {"k_cache", "v_cache"})
        in.push_back(StateOp::create(b, loc, cache, which, layer.getInt(), IntegerAttr()));
      op = AttentionOp::create(b, loc, type, in, empty, number("scale"));
    } else {
      return call.emitError("unknown fleet op '")
             << name << "', expected gather, rms_norm, layer_norm, rope, attention or argmax";
    }
    call.replaceAllUsesWith(op->getResults());
    call.erase();
    return success();
  }

  void runOnOperation() override {
    ModuleOp module = getOperation();
    auto step = module.lookupSymbol<func::FuncOp>("step");
    auto slots = module->getAttrOfType<IntegerAttr>("fleet.slots");
    auto context = module->getAttrOfType<IntegerAttr>("fleet.context");
    if (!step || !slots || !context) {
      module.emitError("expected a function @step and the attributes fleet.slots and fleet.context");
      return signalPassFailure();
    }
    OpBuilder b = OpBuilder::atBlockBegin(&step.getBody().front());
    llvm::BitVector dead(step.getNumArguments());
    for (BlockArgument arg : step.getArguments()) {
      unsigned i = arg.getArgNumber();
      auto type = dyn_cast<RankedTensorType>(arg.getType());
      if (!type || !type.hasStaticShape()) {
        step.emitError("expected arguments of static shape, found ") << arg.getType();
        return signalPassFailure();
      }
      if (auto name = step.getArgAttrOfType<StringAttr>(i, "fleet.param")) {
        arg.replaceAllUsesWith(ParamOp::create(b, step.getLoc(), type, b.getStrArrayAttr({name.getValue()}),
                                               IntegerAttr(), IntegerAttr()));
        dead.set(i);
      } else if (!step.getArgAttrOfType<StringAttr>(i, "fleet.input")) {
        step.emitError("expected argument ") << i << " to carry fleet.input or fleet.param, found neither";
        return signalPassFailure();
      }
    }
    if (failed(step.eraseArguments(dead)))
      return signalPassFailure();

    SmallVector<func::CallOp> calls(step.getOps<func::CallOp>());
    for (func::CallOp call : calls) {
      auto callee = module.lookupSymbol<func::FuncOp>(call.getCallee());
      if (!callee || !callee->hasAttr("fleet.op")) {
        call.emitError("unsupported call of @") << call.getCallee() << " in the step";
        return signalPassFailure();
      }
      if (failed(convertCall(call, callee, slots.getInt(), context.getInt())))
        return signalPassFailure();
    }
    for (auto func : llvm::make_early_inc_range(module.getOps<func::FuncOp>()))
      if (func->hasAttr("fleet.op"))
        func.erase();

    RewritePatternSet patterns(&getContext());
    patterns.add<DropBatch, SkipGather, WidenInContraction>(&getContext());
    tensor::CollapseShapeOp::getCanonicalizationPatterns(patterns, &getContext());
    tensor::ExpandShapeOp::getCanonicalizationPatterns(patterns, &getContext());
    tensor::EmptyOp::getCanonicalizationPatterns(patterns, &getContext());
    if (failed(applyPatternsGreedily(module, std::move(patterns))))
      signalPassFailure();
  }
};
} // namespace
} // namespace mlir::fleet
