//===- LowerMath.cpp - Math functions to instructions
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fleet/Conversion/GPUPasses.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/TypeUtilities.h"

namespace mlir::fleet {
#define GEN_PASS_DEF_GPULOWERMATH
#include "fleet/Conversion/GPUPasses.h.inc"
} // namespace mlir::fleet

using namespace mlir;

namespace {
struct GPULowerMath : mlir::fleet::impl::GPULowerMathBase<GPULowerMath> {
  void runOnOperation() override {
    getOperation()->walk([&](Operation *op) {
      if (op->getNumResults() != 1 || !getElementTypeOrSelf(op->getResult(0).getType()).isF32())
        return;
      OpBuilder b(op);
      Location loc = op->getLoc();
      Type type = op->getResult(0).getType();
      auto call = [&](StringRef name, ValueRange operands) {
        Value result = LLVM::CallIntrinsicOp::create(b, loc, type, b.getStringAttr(name), operands)
                           .getResult(0);
        op->replaceAllUsesWith(ValueRange{result});
        op->erase();
      };
      if (isa<math::ExpOp>(op)) {
        TypedAttr log2e = b.getF32FloatAttr(1.44269504f);
        if (auto vector = dyn_cast<VectorType>(type))
          log2e = DenseElementsAttr::get(vector, 1.44269504f);
        Value scale = arith::ConstantOp::create(b, loc, log2e);
        call("llvm.exp2", Value(arith::MulFOp::create(b, loc, op->getOperand(0), scale)));
      } else if (isa<math::FloorOp>(op)) {
        call("llvm.floor", op->getOperands());
      } else if (isa<math::RoundEvenOp>(op)) {
        call("llvm.roundeven", op->getOperands());
      } else if (isa<math::SqrtOp>(op)) {
        call("llvm.sqrt", op->getOperands());
      } else if (isa<math::FmaOp>(op)) {
        call("llvm.fma", op->getOperands());
      } else if (isa<math::AbsFOp>(op)) {
        call("llvm.fabs", op->getOperands());
      } else if (isa<math::CopySignOp>(op)) {
        call("llvm.copysign", op->getOperands());
      }
    });
  }
};
} // namespace
