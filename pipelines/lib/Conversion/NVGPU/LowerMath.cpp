//===- LowerMath.cpp - Conversions and functions that NVIDIA chips have
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Most code of a body runs once a task, and then it is the fetching of its
// instructions that takes the time: one instruction for a pair of roundings
// instead of eight is not a detail.
//
//===----------------------------------------------------------------------===//

#include "PTX.h"

#include "fleet/Conversion/NVGPUPasses.h"

#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"

namespace mlir::fleet {
#define GEN_PASS_DEF_NVGPULOWERMATH
#include "fleet/Conversion/NVGPUPasses.h.inc"
} // namespace mlir::fleet

using namespace mlir;
using namespace mlir::fleet;
using namespace mlir::fleet::gpugen;

static int64_t lanesOf(Type type) {
  auto vector = dyn_cast<VectorType>(type);
  return vector ? vector.getNumElements() : 1;
}

static bool isFlat(Type type) { return !isa<VectorType>(type) || cast<VectorType>(type).getRank() == 1; }

static SmallVector<Value> elementsOf(Emitter &e, Value value) {
  if (!isa<VectorType>(value.getType()))
    return {value};
  SmallVector<Value> elements;
  for (int64_t i = 0; i < lanesOf(value.getType()); ++i)
    elements.push_back(vector::ExtractOp::create(e.b, e.loc, value, i));
  return elements;
}

static Value assemble(Emitter &e, Type type, ArrayRef<Value> elements) {
  return isa<VectorType>(type) ? vector::FromElementsOp::create(e.b, e.loc, cast<VectorType>(type), elements).getResult()
                               : elements.front();
}

static Value bitcast(Emitter &e, Type type, Value value) { return arith::BitcastOp::create(e.b, e.loc, type, value); }

/// f32 to bf16, round to nearest even, two at once.
static Value truncate(Emitter &e, arith::TruncFOp op) {
  SmallVector<Value> in = elementsOf(e, op.getIn()), words;
  for (size_t i = 0; i < in.size(); i += 2)
    words.push_back(nv::packBf16(e, in[i], i + 1 < in.size() ? in[i + 1] : e.f32(0)));
  if (auto vector = dyn_cast<VectorType>(op.getType()); vector && in.size() % 2 == 0) {
    Type i32 = e.b.getI32Type();
    Value packed = vector::FromElementsOp::create(e.b, e.loc, VectorType::get({(int64_t)words.size()}, i32), words);
    return vector::BitCastOp::create(e.b, e.loc, vector, packed);
  }
  SmallVector<Value> out;
  for (size_t i = 0; i < in.size(); ++i) {
    Value word = words[i / 2];
    if (i % 2)
      word = arith::ShRUIOp::create(e.b, e.loc, word, e.i32(16));
    Value half = arith::TruncIOp::create(e.b, e.loc, e.b.getI16Type(), word);
    out.push_back(bitcast(e, e.b.getBF16Type(), half));
  }
  return assemble(e, op.getType(), out);
}

/// bf16 to f32: the upper half of the word, two of which stand in one.
static Value extend(Emitter &e, arith::ExtFOp op) {
  Type i32 = e.b.getI32Type(), f32 = e.b.getF32Type();
  int64_t lanes = lanesOf(op.getType());
  if (lanes % 2) {
    SmallVector<Value> out;
    for (Value element : elementsOf(e, op.getIn())) {
      Value half = bitcast(e, e.b.getI16Type(), element);
      Value word = arith::ShLIOp::create(e.b, e.loc, arith::ExtUIOp::create(e.b, e.loc, i32, half), e.i32(16));
      out.push_back(bitcast(e, f32, word));
    }
    return assemble(e, op.getType(), out);
  }
  Value words = vector::BitCastOp::create(e.b, e.loc, VectorType::get({lanes / 2}, i32), op.getIn());
  SmallVector<Value> out;
  for (Value word : elementsOf(e, words)) {
    auto [lower, upper] = nv::unpackBf16(e, word);
    out.push_back(lower);
    out.push_back(upper);
  }
  return assemble(e, op.getType(), out);
}

namespace {
struct NVGPULowerMath : mlir::fleet::impl::NVGPULowerMathBase<NVGPULowerMath> {
  void runOnOperation() override {
    SmallVector<Operation *> ops;
    getOperation()->walk([&](Operation *op) {
      if (isa<arith::TruncFOp, arith::ExtFOp, arith::DivFOp, math::ExpOp>(op))
        ops.push_back(op);
    });
    for (Operation *op : ops) {
      OpBuilder builder(op);
      Emitter e(builder, op->getLoc(), getOperation());
      if (Value value = lower(e, op)) {
        op->replaceAllUsesWith(ValueRange{value});
        op->erase();
      }
    }
  }

  Value lower(Emitter &e, Operation *op) {
    Type to = op->getResult(0).getType(), from = op->getOperand(0).getType();
    Type narrow = getElementTypeOrSelf(to), wide = getElementTypeOrSelf(from);
    if (!isFlat(to))
      return {};
    if (auto cast = dyn_cast<arith::TruncFOp>(op))
      return narrow.isBF16() && wide.isF32() ? truncate(e, cast) : Value();
    if (auto cast = dyn_cast<arith::ExtFOp>(op))
      return narrow.isF32() && wide.isBF16() ? extend(e, cast) : Value();
    if (!narrow.isF32())
      return {};
    SmallVector<Value> out;
    if (auto divide = dyn_cast<arith::DivFOp>(op)) {
      // A division by a constant is a product already where that is exact.
      Attribute constant;
      if (matchPattern(divide.getRhs(), m_Constant(&constant)))
        return {};
      auto root = divide.getRhs().getDefiningOp<math::SqrtOp>();
      bool isInverseRoot = root && matchPattern(divide.getLhs(), m_OneFloat());
      for (auto [x, y] : llvm::zip_equal(elementsOf(e, divide.getLhs()),
                                         elementsOf(e, isInverseRoot ? root.getOperand() : divide.getRhs())))
        out.push_back(isInverseRoot ? nv::inverseRoot(e, y) : nv::divide(e, x, y));
    } else {
      for (Value x : elementsOf(e, op->getOperand(0)))
        out.push_back(nv::powerOfTwo(e, e.mul(x, e.f32(1.44269504f))));
    }
    return assemble(e, to, out);
  }
};
} // namespace
