//===- KeepPrecision.cpp
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Utils.h"

#include "fleet/Target/TargetModel.h"
#include "fleet/Transforms/Passes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace mlir::fleet {
#define GEN_PASS_DEF_KEEPPRECISION
#include "fleet/Transforms/Passes.h.inc"

namespace {
/// What the step's contractions take in f32 on the left of a weight in bf16. Where
/// they take it, attention takes queries, keys and values in f32, too.
WideLeft wideLeftOf(func::FuncOp func) {
  auto target = func->getParentOfType<ModuleOp>()->getAttrOfType<TargetAttr>("fleet.target");
  WideLeft wide = target ? getWideLeft(target.getBackend()) : WideLeft();
  bool isFew = llvm::all_of(func.getOps<linalg::MatmulOp>(), [&](linalg::MatmulOp op) {
    return cast<ShapedType>(op.getInputs()[0].getType()).getDimSize(0) <= wide.rows;
  });
  return isFew ? wide : WideLeft();
}

bool takesF32(linalg::MatmulOp op, WideLeft wide) {
  auto left = cast<ShapedType>(op.getInputs()[0].getType());
  auto right = cast<ShapedType>(op.getInputs()[1].getType());
  return left.hasStaticShape() && right.hasStaticShape() && right.getElementType().isBF16() &&
         wide.takes(left.getDimSize(0), left.getDimSize(1));
}

/// True if every reader of `value` computes in f32 what it reads, and so takes
/// it in f32 as well. Contractions, queries, keys and values want the storage type,
/// unless they are `wide`.
bool takesF32(Value value, WideLeft wide) {
  return llvm::all_of(value.getUses(), [&](OpOperand &use) {
    Operation *user = use.getOwner();
    unsigned index = use.getOperandNumber();
    if (isElementwise(user))
      return cast<linalg::GenericOp>(user).isDpsInput(&use);
    if (isView(user))
      return takesF32(user->getResult(0), wide);
    if (auto matmul = dyn_cast<linalg::MatmulOp>(user))
      return index == 0 && takesF32(matmul, wide);
    if (isa<AttentionOp>(user))
      return index < 3 && wide.rows > 0;
    if (isa<RmsNormOp, LayerNormOp>(user))
      return index == 0;
    if (isa<RopeOp>(user))
      return index < 3;
    // What is gathered is for the last contraction: no layer amplifies its rounding, and
    // a worker would hold it in f32 twice.
    return isa<GatherOp>(user) && index == 0 && takesF32(user->getResult(0), WideLeft());
  });
}

/// True if `generic` does nothing but round a contraction's result for readers
/// that are not element-wise: that value is stored, and contractions whose
/// results are stored alike can be merged.
bool isStoredContraction(linalg::GenericOp generic) {
  if (generic.getNumDpsInputs() != 1 || !llvm::hasSingleElement(generic.getBody()->without_terminator()))
    return false;
  if (!generic.getDpsInputs()[0].getDefiningOp<linalg::MatmulOp>())
    return false;
  return !llvm::all_of(generic->getUsers(), isElementwise);
}

Type withElement(Type type, Type element) { return cast<RankedTensorType>(type).clone(element); }

Value emptyLike(OpBuilder &b, Value value, Type element) {
  auto type = cast<RankedTensorType>(value.getType());
  return tensor::EmptyOp::create(b, value.getLoc(), type.getShape(), element);
}

/// Follows a value that has become f32 into its readers.
void retypeUsers(OpBuilder &b, Value value, Type f32) {
  for (OpOperand &use : value.getUses()) {
    Operation *user = use.getOwner();
    if (auto generic = dyn_cast<linalg::GenericOp>(user)) {
      BlockArgument arg = generic.getMatchingBlockArgument(&use);
      Type narrow = arg.getType();
      arg.setType(f32);
      for (OpOperand &inner : llvm::make_early_inc_range(arg.getUses())) {
        if (auto ext = dyn_cast<arith::ExtFOp>(inner.getOwner())) {
          ext.replaceAllUsesWith(Value(arg));
          ext.erase();
          continue;
        }
        b.setInsertionPoint(inner.getOwner());
        inner.set(arith::TruncFOp::create(b, user->getLoc(), narrow, arg));
      }
    } else if (isView(user)) {
      user->getResult(0).setType(cast<RankedTensorType>(withElement(user->getResult(0).getType(), f32)));
      retypeUsers(b, user->getResult(0), f32);
    } else if (auto gather = dyn_cast<GatherOp>(user)) {
      b.setInsertionPoint(gather);
      gather.getOutputsMutable()[0].set(emptyLike(b, gather.getOutputs()[0], f32));
      gather.getResult(0).setType(cast<RankedTensorType>(gather.getOutputs()[0].getType()));
      retypeUsers(b, gather.getResult(0), f32);
    }
  }
}

struct KeepPrecision : impl::KeepPrecisionBase<KeepPrecision> {
  void runOnOperation() override {
    OpBuilder b(&getContext());
    Type f32 = b.getF32Type();
    for (auto func : getOperation().getOps<func::FuncOp>()) {
      WideLeft wide = wideLeftOf(func);
      // A norm before a rotary embedding: rounded once, after both.
      func.walk([&](Operation *op) {
        if (!isa<RmsNormOp, LayerNormOp, RopeOp, AttentionOp>(op) || !takesF32(op->getResult(0), wide))
          return;
        Value result = op->getResult(0);
        if (cast<RankedTensorType>(result.getType()).getElementTypeBitWidth() >= 32)
          return;
        b.setInsertionPoint(op);
        cast<DestinationStyleOpInterface>(op).getDpsInitsMutable()[0].set(emptyLike(b, result, f32));
        result.setType(withElement(result.getType(), f32));
        retypeUsers(b, result, f32);
      });
      func.walk([&](linalg::GenericOp generic) {
        if (!isElementwise(generic) || (!wide.rows && isStoredContraction(generic)))
          return;
        Value result = generic.getResult(0);
        if (cast<RankedTensorType>(result.getType()).getElementTypeBitWidth() >= 32)
          return;
        auto yield = cast<linalg::YieldOp>(generic.getBody()->getTerminator());
        auto round = yield.getOperand(0).getDefiningOp<arith::TruncFOp>();
        if (!round || round.getIn().getType() != f32 || !takesF32(result, wide) ||
            !generic.getRegionOutputArgs()[0].use_empty())
          return;
        b.setInsertionPoint(generic);
        generic.getOutputsMutable()[0].set(emptyLike(b, result, f32));
        generic.getRegionOutputArgs()[0].setType(f32);
        yield.setOperand(0, round.getIn());
        result.setType(withElement(result.getType(), f32));
        retypeUsers(b, result, f32);
      });
      // Their regions say which types are multiplied.
      SmallVector<linalg::MatmulOp> widened;
      for (auto matmul : func.getOps<linalg::MatmulOp>())
        if (getElementTypeOrSelf(matmul.getInputs()[0]) != matmul.getBlock()->getArgument(0).getType())
          widened.push_back(matmul);
      for (linalg::MatmulOp matmul : widened) {
        b.setInsertionPoint(matmul);
        auto wider = linalg::MatmulOp::create(b, matmul.getLoc(), matmul.getInputs(), matmul.getOutputs());
        matmul.replaceAllUsesWith(wider);
        matmul.erase();
      }
    }
    // What is rounded only to be widened again need not be rounded: canonicalisation
    // drops such pairs where both allow it.
    auto contract = arith::FastMathFlagsAttr::get(&getContext(), arith::FastMathFlags::contract);
    getOperation().walk([&](linalg::GenericOp generic) {
      if (isElementwise(generic))
        generic.walk([&](Operation *op) {
          if (isa<arith::TruncFOp, arith::ExtFOp>(op))
            op->setAttr("fastmath", contract);
        });
    });
  }
};
} // namespace
} // namespace mlir::fleet
