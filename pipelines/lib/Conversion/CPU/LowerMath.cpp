//===- LowerMath.cpp - Math without a library
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Utils.h"

#include "fleet/Conversion/Passes.h"

#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Math/Transforms/Approximation.h"
#include "mlir/Dialect/Math/Transforms/Passes.h"
#include "mlir/IR/TypeUtilities.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

namespace mlir::fleet {
#define GEN_PASS_DEF_CPULOWERMATH
#include "fleet/Conversion/Passes.h.inc"
} // namespace mlir::fleet

using namespace mlir;
using namespace mlir::fleet::cpu;

namespace {
/// sin or cos of an f32 or of a vector of them.
template <typename OpTy>
struct LowerSinCos : OpRewritePattern<OpTy> {
  using OpRewritePattern<OpTy>::OpRewritePattern;
  LogicalResult matchAndRewrite(OpTy op, PatternRewriter &b) const override {
    Type type = op.getType();
    if (!getElementTypeOrSelf(type).isF32())
      return failure();
    Emitter e{b, op.getLoc()};
    auto like = [&](Type element) -> Type {
      auto vector = dyn_cast<VectorType>(type);
      return vector ? VectorType::get(vector.getShape(), element) : element;
    };
    auto constant = [&](float value) -> Value {
      TypedAttr attr = b.getF32FloatAttr(value);
      if (auto vector = dyn_cast<VectorType>(type))
        attr = DenseElementsAttr::get(vector, value);
      return arith::ConstantOp::create(b, e.loc, attr);
    };
    Type words = like(b.getI32Type());
    auto word = [&](int32_t value) -> Value {
      TypedAttr attr = b.getI32IntegerAttr(value);
      if (auto vector = dyn_cast<VectorType>(words))
        attr = DenseElementsAttr::get(vector, value);
      return arith::ConstantOp::create(b, e.loc, attr);
    };
    auto fma = [&](Value x, Value y, Value z) -> Value {
      return math::FmaOp::create(b, e.loc, x, y, z);
    };
    // x = k * pi/2 + r, pi/2 as a sum of three parts (Cody and Waite).
    Value x = op.getOperand();
    Value k = math::RoundEvenOp::create(b, e.loc, e.mul(x, constant(0.636619772f)));
    Value r = fma(k, constant(-1.57079601f), x);
    r = fma(k, constant(-3.13916473e-7f), r);
    r = fma(k, constant(-5.39030253e-15f), r);
    Value square = e.mul(r, r);
    Value sine = fma(square, constant(-1.9515295891e-4f), constant(8.3321608736e-3f));
    sine = fma(square, sine, constant(-1.6666654611e-1f));
    sine = fma(e.mul(square, r), sine, r);
    Value cosine = fma(square, constant(2.443315711809948e-5f), constant(-1.388731625493765e-3f));
    cosine = fma(square, cosine, constant(4.166664568298827e-2f));
    cosine = fma(e.mul(square, square), cosine, fma(square, constant(-0.5f), constant(1.0f)));
    Value quadrant = arith::FPToSIOp::create(b, e.loc, words, k);
    if (std::is_same_v<OpTy, math::CosOp>)
      quadrant = arith::AddIOp::create(b, e.loc, quadrant, word(1));
    auto bit = [&](int32_t mask) -> Value {
      Value masked = arith::AndIOp::create(b, e.loc, quadrant, word(mask));
      return arith::CmpIOp::create(b, e.loc, arith::CmpIPredicate::ne, masked, word(0));
    };
    Value value = arith::SelectOp::create(b, e.loc, bit(1), cosine, sine);
    Value negated = arith::NegFOp::create(b, e.loc, value);
    b.replaceOp(op, arith::SelectOp::create(b, e.loc, bit(2), negated, value).getResult());
    return success();
  }
};

/// f32 to bf16 by integer arithmetic, round to nearest even. A quiet NaN, the
/// only kind that arithmetic gives, is cut and stays one. The select chooses
/// the addend, before the shift: LLVM turns a select of the result into one of
/// bf16 values, takes it apart and rounds each element by a library call.
struct LowerTruncToBF16 : OpRewritePattern<arith::TruncFOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(arith::TruncFOp op, PatternRewriter &rewriter) const override {
    Type to = op.getType(), from = op.getIn().getType();
    if (!getElementTypeOrSelf(to).isBF16())
      return failure();
    Location loc = op.getLoc();
    if (getElementTypeOrSelf(from).isF64()) {
      // A constant of the model's source.
      Type f32 = rewriter.getF32Type();
      auto vector = dyn_cast<VectorType>(from);
      Value narrower = arith::TruncFOp::create(rewriter, loc, vector ? Type(vector.clone(f32)) : f32, op.getIn());
      rewriter.replaceOpWithNewOp<arith::TruncFOp>(op, to, narrower);
      return success();
    }
    if (!getElementTypeOrSelf(from).isF32())
      return failure();
    auto like = [&](unsigned width) -> Type {
      Type integer = rewriter.getIntegerType(width);
      auto vector = dyn_cast<VectorType>(to);
      return vector ? Type(vector.clone(integer)) : integer;
    };
    auto constant = [&](int64_t value) -> Value {
      Type type = like(32);
      auto attr = rewriter.getI32IntegerAttr(value);
      if (auto vector = dyn_cast<VectorType>(type))
        return arith::ConstantOp::create(rewriter, loc, DenseElementsAttr::get(vector, Attribute(attr)));
      return arith::ConstantOp::create(rewriter, loc, attr);
    };
    Value bits = arith::BitcastOp::create(rewriter, loc, like(32), op.getIn());
    Value sixteen = constant(16);
    Value odd = arith::ShRUIOp::create(rewriter, loc, bits, sixteen);
    odd = arith::AndIOp::create(rewriter, loc, odd, constant(1));
    Value up = arith::AddIOp::create(rewriter, loc, constant(0x7fff), odd);
    Value nan = arith::CmpFOp::create(rewriter, loc, arith::CmpFPredicate::UNO, op.getIn(), op.getIn());
    up = arith::SelectOp::create(rewriter, loc, nan, constant(0), up);
    Value sum = arith::AddIOp::create(rewriter, loc, bits, up);
    Value rounded = arith::ShRUIOp::create(rewriter, loc, sum, sixteen);
    Value narrow = arith::TruncIOp::create(rewriter, loc, like(16), rounded);
    rewriter.replaceOpWithNewOp<arith::BitcastOp>(op, to, narrow);
    return success();
  }
};

struct CPULowerMath : mlir::fleet::impl::CPULowerMathBase<CPULowerMath> {
  void runOnOperation() override {
    // Widening leaves casts that may be contracted, which would drop the
    // rounding to the storage type after each operation.
    getOperation()->walk([](Operation *op) {
      if (isa<arith::ExtFOp, arith::TruncFOp>(op))
        op->setAttr("fastmath",
                    arith::FastMathFlagsAttr::get(op->getContext(), arith::FastMathFlags::none));
    });
    RewritePatternSet patterns(&getContext());
    patterns.add<LowerTruncToBF16>(&getContext());
    patterns.add<LowerSinCos<math::SinOp>, LowerSinCos<math::CosOp>>(&getContext(), 10);
    for (StringRef op : {"exp", "exp2", "expm1", "log", "log1p", "log2", "tanh", "erf", "erfc", "atan",
                         "atan2", "asin", "acos"})
      ops.push_back(("math." + op).str());
    populateMathPolynomialApproximationPatterns(
        patterns, [&](StringRef name) { return llvm::is_contained(ops, name); });
    math::populateExpansionPatterns(patterns, {"powf", "fpowi", "sinh", "cosh", "tan", "asinh",
                                               "acosh", "atanh"});
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns))))
      return signalPassFailure();
  }
  SmallVector<std::string> ops;
};
} // namespace
