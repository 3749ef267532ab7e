//===- Utils.h - Building blocks of CPU code --------------------*- C++ -*-===//
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FLEET_LIB_CONVERSION_CPU_UTILS_H
#define FLEET_LIB_CONVERSION_CPU_UTILS_H

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/IRMapping.h"

namespace mlir::fleet::cpu {

/// f32 lanes of a vector register of the widest target.
constexpr int64_t kLanes = 16;

/// The widest power of two of at most kLanes that divides `size`.
int64_t vectorWidth(int64_t size);

/// True if elements next to each other in the last dimension are so in memory.
bool isContiguousInLastDim(Value memref);

/// A builder at a place, with short names for what the bodies are made of.
/// Arithmetic is on f32 vectors; loads widen and stores round.
struct Emitter {
  OpBuilder &b;
  Location loc;

  Value index(int64_t value) { return arith::ConstantIndexOp::create(b, loc, value); }
  Value i32(int32_t value) { return arith::ConstantIntOp::create(b, loc, value, 32); }
  Value f32(float value) {
    return arith::ConstantOp::create(b, loc, b.getF32FloatAttr(value));
  }
  Value splat(float value, int64_t lanes) {
    auto type = VectorType::get({lanes}, b.getF32Type());
    return arith::ConstantOp::create(b, loc, DenseElementsAttr::get(type, value));
  }
  Value broadcast(Value scalar, int64_t lanes) {
    return vector::BroadcastOp::create(b, loc, VectorType::get({lanes}, scalar.getType()), scalar);
  }
  Value add(Value x, Value y) { return arith::AddFOp::create(b, loc, x, y); }
  Value sub(Value x, Value y) { return arith::SubFOp::create(b, loc, x, y); }
  Value mul(Value x, Value y) { return arith::MulFOp::create(b, loc, x, y); }
  Value div(Value x, Value y) { return arith::DivFOp::create(b, loc, x, y); }
  Value fma(Value x, Value y, Value z) { return vector::FMAOp::create(b, loc, x, y, z); }
  Value addIndex(Value x, Value y) { return arith::AddIOp::create(b, loc, x, y); }
  Value addIndex(Value x, int64_t y) { return y ? addIndex(x, index(y)) : x; }
  Value mulIndex(Value x, int64_t y) { return arith::MulIOp::create(b, loc, x, index(y)); }
  Value toIndex(Value x) { return arith::IndexCastOp::create(b, loc, b.getIndexType(), x); }
  Value reduce(vector::CombiningKind kind, Value vector) {
    return vector::ReductionOp::create(b, loc, kind, vector);
  }

  Value widen(Value value);
  Value round(Value value, Type elementType);
  Value load(Value memref, ValueRange indices) {
    return memref::LoadOp::create(b, loc, memref, indices);
  }
  Value loadRaw(Value memref, ValueRange indices, int64_t lanes);
  Value loadVector(Value memref, ValueRange indices, int64_t lanes) {
    return widen(loadRaw(memref, indices, lanes));
  }
  void storeRaw(Value vector, Value memref, ValueRange indices) {
    vector::StoreOp::create(b, loc, vector, memref, indices);
  }
  void storeVector(Value vector, Value memref, ValueRange indices);

  /// `for i = lo to hi step step` with carried values; `body` returns the next ones.
  SmallVector<Value> loop(Value lo, Value hi, int64_t step, ValueRange carried,
                          function_ref<SmallVector<Value>(Value, ValueRange)> body);
  void loop(int64_t hi, int64_t step, function_ref<void(Value)> body);
  /// A loop nest over all points of `shape`.
  void nest(ArrayRef<int64_t> shape, function_ref<void(SmallVector<Value>)> body);
  void ifThen(Value condition, function_ref<void()> then);

  /// A buffer on the stack, allocated once on entry of the function around.
  Value stack(MemRefType type);
};

/// The i8 memref's bytes from `offset` as a buffer of `type`.
Value viewAt(Emitter &e, Value arena, int64_t offset, MemRefType type);

/// Whether all that the op's body has can be done to vectors.
bool isMappable(linalg::GenericOp op);
/// What the op's body yields at the point `at` of its loops (lanes = 0), or, if it is mappable, at `lanes` points of
/// the innermost one from there on; `arguments` has the values of its arguments.
SmallVector<Value> computeBody(Emitter &e, linalg::GenericOp op, IRMapping &arguments, ArrayRef<Value> at,
                               int64_t lanes);

} // namespace mlir::fleet::cpu

#endif // FLEET_LIB_CONVERSION_CPU_UTILS_H
