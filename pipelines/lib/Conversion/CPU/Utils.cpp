//===- Utils.cpp - Building blocks of CPU code ------------------*- C++ -*-===//
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Utils.h"

#include "mlir/Interfaces/FunctionInterfaces.h"

using namespace mlir;
using namespace mlir::fleet::cpu;

int64_t mlir::fleet::cpu::vectorWidth(int64_t size) {
  int64_t width = kLanes;
  while (size % width)
    width /= 2;
  return width;
}

bool mlir::fleet::cpu::isContiguousInLastDim(Value memref) {
  return cast<MemRefType>(memref.getType()).isLastDimUnitStride();
}

Value Emitter::widen(Value value) {
  Type type = value.getType();
  if (getElementTypeOrSelf(type).isF32())
    return value;
  Type wide = b.getF32Type();
  if (auto vector = dyn_cast<VectorType>(type))
    wide = VectorType::get(vector.getShape(), wide);
  return arith::ExtFOp::create(b, loc, wide, value);
}

Value Emitter::round(Value value, Type elementType) {
  if (elementType.isF32())
    return value;
  Type narrow = elementType;
  if (auto vector = dyn_cast<VectorType>(value.getType()))
    narrow = VectorType::get(vector.getShape(), elementType);
  return arith::TruncFOp::create(b, loc, narrow, value);
}

Value Emitter::loadRaw(Value memref, ValueRange indices, int64_t lanes) {
  Type element = cast<MemRefType>(memref.getType()).getElementType();
  return vector::LoadOp::create(b, loc, VectorType::get({lanes}, element), memref, indices);
}

void Emitter::storeVector(Value vector, Value memref, ValueRange indices) {
  storeRaw(round(vector, cast<MemRefType>(memref.getType()).getElementType()), memref, indices);
}

SmallVector<Value> Emitter::loop(Value lo, Value hi, int64_t step, ValueRange carried,
                                 function_ref<SmallVector<Value>(Value, ValueRange)> body) {
  auto loop = scf::ForOp::create(b, loc, lo, hi, index(step), carried);
  OpBuilder::InsertionGuard guard(b);
  if (carried.empty())
    b.setInsertionPoint(loop.getBody()->getTerminator());
  else
    b.setInsertionPointToEnd(loop.getBody());
  SmallVector<Value> next = body(loop.getInductionVar(), loop.getRegionIterArgs());
  if (!carried.empty())
    scf::YieldOp::create(b, loc, next);
  return llvm::to_vector_of<Value>(loop.getResults());
}

void Emitter::loop(int64_t hi, int64_t step, function_ref<void(Value)> body) {
  if (hi <= step) {
    if (hi > 0)
      body(index(0));
    return;
  }
  loop(index(0), index(hi), step, {}, [&](Value i, ValueRange) {
    body(i);
    return SmallVector<Value>();
  });
}

void Emitter::nest(ArrayRef<int64_t> shape, function_ref<void(SmallVector<Value>)> body) {
  SmallVector<Value> indices;
  std::function<void()> descend = [&] {
    if (indices.size() == shape.size())
      return body(indices);
    loop(shape[indices.size()], 1, [&](Value i) {
      indices.push_back(i);
      descend();
      indices.pop_back();
    });
  };
  descend();
}

void Emitter::ifThen(Value condition, function_ref<void()> then) {
  auto op = scf::IfOp::create(b, loc, condition, /*withElseRegion=*/false);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(op.thenBlock());
  then();
}

Value Emitter::stack(MemRefType type) {
  auto function = b.getInsertionBlock()->getParent()->getParentOfType<FunctionOpInterface>();
  if (auto direct = dyn_cast<FunctionOpInterface>(b.getInsertionBlock()->getParentOp()))
    function = direct;
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(&function.getFunctionBody().front());
  return memref::AllocaOp::create(b, loc, type, b.getI64IntegerAttr(64));
}

Value mlir::fleet::cpu::viewAt(Emitter &e, Value arena, int64_t offset, MemRefType type) {
  return memref::ViewOp::create(e.b, e.loc, type, arena, e.index(offset), ValueRange());
}

bool mlir::fleet::cpu::isMappable(linalg::GenericOp op) {
  return llvm::all_of(op.getBody()->without_terminator(), [](Operation &inner) {
    return isa<linalg::IndexOp>(inner) ||
           (inner.getNumRegions() == 0 &&
            (OpTrait::hasElementwiseMappableTraits(&inner) || isa<arith::ConstantOp>(inner)));
  });
}

SmallVector<Value> mlir::fleet::cpu::computeBody(Emitter &e, linalg::GenericOp op, IRMapping &arguments,
                                                 ArrayRef<Value> at, int64_t lanes) {
  auto asVector = [&](Value value) {
    return lanes && !isa<VectorType>(value.getType()) ? e.broadcast(value, lanes) : value;
  };
  for (Operation &inner : op.getBody()->without_terminator()) {
    if (auto index = dyn_cast<linalg::IndexOp>(inner)) {
      Value value = asVector(at[index.getDim()]);
      if (lanes && index.getDim() + 1 == op.getNumLoops())
        value = arith::AddIOp::create(e.b, e.loc, value,
                                      vector::StepOp::create(e.b, e.loc, VectorType::get({lanes}, e.b.getIndexType())));
      arguments.map(index.getResult(), value);
      continue;
    }
    if (!lanes || isa<arith::ConstantOp>(inner)) {
      Operation *copy = e.b.clone(inner, arguments);
      if (lanes)
        arguments.map(inner.getResult(0), asVector(copy->getResult(0)));
      continue;
    }
    OperationState state(inner.getLoc(), inner.getName());
    for (Value operand : inner.getOperands())
      state.addOperands(asVector(arguments.lookupOrDefault(operand)));
    for (Type type : inner.getResultTypes())
      state.addTypes(VectorType::get({lanes}, type));
    state.addAttributes(inner.getAttrs());
    arguments.map(inner.getResults(), e.b.create(state)->getResults());
  }
  SmallVector<Value> results;
  for (Value value : cast<linalg::YieldOp>(op.getBody()->getTerminator()).getValues())
    results.push_back(asVector(arguments.lookupOrDefault(value)));
  return results;
}
