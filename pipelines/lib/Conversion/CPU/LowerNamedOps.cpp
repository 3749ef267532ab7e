//===- LowerNamedOps.cpp - Named ops to loops on vectors
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Utils.h"

#include "fleet/Conversion/Passes.h"
#include "fleet/IR/Fleet.h"

#include "mlir/Dialect/Math/IR/Math.h"

namespace mlir::fleet {
#define GEN_PASS_DEF_CPULOWERNAMEDOPS
#include "fleet/Conversion/Passes.h.inc"
} // namespace mlir::fleet

using namespace mlir;
using namespace mlir::fleet;
using namespace mlir::fleet::cpu;

/// Stands for minus infinity: exp of a difference with it is 0, never a NaN.
static constexpr float kLowest = -1.0e30f;
/// Positions of the cache that one step of the online softmax takes.
static constexpr int64_t kBlock = 64;

static ArrayRef<int64_t> shapeOf(Value value) {
  return cast<ShapedType>(value.getType()).getShape();
}
static Type elementOf(Value value) { return cast<ShapedType>(value.getType()).getElementType(); }

static SmallVector<Value> with(ArrayRef<Value> indices, Value last) {
  SmallVector<Value> all(indices);
  all.push_back(last);
  return all;
}

static Value sqrtInverse(Emitter &e, Value x) {
  return e.div(e.f32(1.0f), math::SqrtOp::create(e.b, e.loc, x));
}

/// Copies `size` contiguous elements.
static void copyRow(Emitter &e, Value from, ArrayRef<Value> fromAt, Value to, ArrayRef<Value> toAt,
                    int64_t size) {
  int64_t lanes = vectorWidth(size);
  e.loop(size, lanes, [&](Value i) {
    Value row = e.loadRaw(from, with(fromAt, i), lanes);
    if (elementOf(from) == elementOf(to))
      e.storeRaw(row, to, with(toAt, i));
    else
      e.storeVector(e.widen(row), to, with(toAt, i));
  });
}

static void lower(Emitter &e, GatherOp op) {
  Value table = op.getInputs()[0], indices = op.getInputs()[1], out = op.getOutputs()[0];
  e.loop(shapeOf(out)[0], 1, [&](Value i) {
    Value row = e.toIndex(e.load(indices, i));
    copyRow(e, table, {row}, out, {i}, shapeOf(out)[1]);
  });
}

/// The sum over the last dimension of `of(x)`, for one row.
static Value sumRow(Emitter &e, Value x, ArrayRef<Value> row, function_ref<Value(Value)> of) {
  int64_t size = shapeOf(x).back(), lanes = vectorWidth(size);
  Value sum = e.loop(e.index(0), e.index(size), lanes, {e.splat(0, lanes)},
                     [&](Value i, ValueRange carried) -> SmallVector<Value> {
                       return {e.add(carried[0], of(e.loadVector(x, with(row, i), lanes)))};
                     })[0];
  return e.reduce(vector::CombiningKind::ADD, sum);
}

static void lower(Emitter &e, RmsNormOp op) {
  Value x = op.getInputs()[0], weight = op.getInputs()[1], out = op.getOutputs()[0];
  int64_t size = shapeOf(x).back(), lanes = vectorWidth(size);
  float eps = op.getEps().convertToDouble();
  e.nest(shapeOf(x).drop_back(), [&](SmallVector<Value> row) {
    Value squares = sumRow(e, x, row, [&](Value v) { return e.mul(v, v); });
    Value scale = sqrtInverse(e, e.add(e.div(squares, e.f32(size)), e.f32(eps)));
    scale = e.broadcast(scale, lanes);
    e.loop(size, lanes, [&](Value i) {
      Value v = e.mul(e.loadVector(x, with(row, i), lanes), scale);
      e.storeVector(e.mul(v, e.loadVector(weight, i, lanes)), out, with(row, i));
    });
  });
}

static void lower(Emitter &e, LayerNormOp op) {
  Value x = op.getInputs()[0], weight = op.getInputs()[1], bias = op.getInputs()[2];
  Value out = op.getOutputs()[0];
  int64_t size = shapeOf(x).back(), lanes = vectorWidth(size);
  float eps = op.getEps().convertToDouble();
  e.nest(shapeOf(x).drop_back(), [&](SmallVector<Value> row) {
    Value mean = e.div(sumRow(e, x, row, [](Value v) { return v; }), e.f32(size));
    mean = e.broadcast(mean, lanes);
    Value squares = sumRow(e, x, row, [&](Value v) {
      Value centred = e.sub(v, mean);
      return e.mul(centred, centred);
    });
    Value scale = sqrtInverse(e, e.add(e.div(squares, e.f32(size)), e.f32(eps)));
    scale = e.broadcast(scale, lanes);
    e.loop(size, lanes, [&](Value i) {
      Value v = e.mul(e.sub(e.loadVector(x, with(row, i), lanes), mean), scale);
      v = e.add(e.mul(v, e.loadVector(weight, i, lanes)), e.loadVector(bias, i, lanes));
      e.storeVector(v, out, with(row, i));
    });
  });
}

static void lower(Emitter &e, RopeOp op) {
  Value x = op.getInputs()[0], cos = op.getInputs()[1], sin = op.getInputs()[2];
  Value out = op.getOutputs()[0];
  int64_t size = shapeOf(x)[2], half = shapeOf(cos)[1] / 2, lanes = half ? vectorWidth(half) : 1;
  e.nest(shapeOf(x).drop_back(), [&](SmallVector<Value> row) {
    e.loop(half, lanes, [&](Value i) {
      Value j = e.addIndex(i, half);
      Value low = e.loadVector(x, with(row, i), lanes), high = e.loadVector(x, with(row, j), lanes);
      auto rotate = [&](Value at, Value straight, Value across) {
        Value c = e.loadVector(cos, {row[0], at}, lanes), s = e.loadVector(sin, {row[0], at}, lanes);
        return e.add(e.mul(straight, c), e.mul(across, s));
      };
      Value minusHigh = arith::NegFOp::create(e.b, e.loc, high);
      Value newLow = rotate(i, low, minusHigh), newHigh = rotate(j, high, low);
      e.storeVector(newLow, out, with(row, i));
      e.storeVector(newHigh, out, with(row, j));
    });
    int64_t rest = size - 2 * half;
    if (!rest)
      return;
    int64_t restLanes = vectorWidth(rest);
    e.loop(rest, restLanes, [&](Value i) {
      Value at = e.addIndex(i, 2 * half);
      e.storeVector(e.loadVector(x, with(row, at), restLanes), out, with(row, at));
    });
  });
}

static Value exponential(Emitter &e, Value x) { return math::ExpOp::create(e.b, e.loc, x); }

static void lower(Emitter &e, AttentionOp op) {
  ValueRange in = op.getInputs();
  Value q = in[0], slots = in[3], positions = in[4], keys = in[5], values = in[6];
  Value out = op.getOutputs()[0];
  int64_t rows = shapeOf(q)[0], heads = shapeOf(q)[1], size = shapeOf(q)[2];
  int64_t kvHeads = shapeOf(in[1])[1], group = heads / kvHeads;
  int64_t lanes = vectorWidth(size), count = size / lanes;
  float scale = op.getScale().convertToDouble();
  Value zero = e.index(0);

  auto slotOf = [&](Value row) { return e.load(slots, row); };
  auto isActive = [&](Value slot) -> Value {
    return arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::sge, slot, e.i32(0));
  };
  // All rows are stored before any is read: rows of one slot see each other.
  e.loop(rows, 1, [&](Value row) {
    Value slot = slotOf(row);
    e.ifThen(isActive(slot), [&] {
      Value at = e.toIndex(slot), position = e.toIndex(e.load(positions, row));
      e.loop(kvHeads, 1, [&](Value g) {
        copyRow(e, in[1], {row, g}, keys, {at, g, position}, size);
        copyRow(e, in[2], {row, g}, values, {at, g, position}, size);
      });
    });
  });

  Value weights = e.stack(MemRefType::get({kBlock}, e.b.getF32Type()));
  int64_t blocks = kBlock / kLanes;
  auto attend = [&](Value row, Value slot, Value g, Value h, Value length) {
    SmallVector<Value> query;
    for (int64_t j = 0; j < count; ++j)
      query.push_back(e.loadVector(q, {row, h, e.index(j * lanes)}, lanes));
    // Carried: the maximum, the sum of weights, the weighted values.
    SmallVector<Value> state = {e.f32(kLowest), e.f32(0)};
    state.append(count, e.splat(0, lanes));
    state = e.loop(zero, length, kBlock, state, [&](Value begin, ValueRange carried) {
      Value left = arith::SubIOp::create(e.b, e.loc, length, begin);
      Value size = arith::MinSIOp::create(e.b, e.loc, left, e.index(kBlock));
      for (int64_t j = 0; j < blocks; ++j)
        e.storeRaw(e.splat(kLowest, kLanes), weights, e.index(j * kLanes));
      e.loop(zero, size, 1, {}, [&](Value i, ValueRange) {
        Value at = e.addIndex(begin, i);
        Value dot;
        for (int64_t j = 0; j < count; ++j) {
          Value key = e.loadVector(keys, {slot, g, at, e.index(j * lanes)}, lanes);
          dot = dot ? e.fma(query[j], key, dot) : e.mul(query[j], key);
        }
        Value score = e.mul(e.reduce(vector::CombiningKind::ADD, dot), e.f32(scale));
        memref::StoreOp::create(e.b, e.loc, score, weights, i);
        return SmallVector<Value>();
      });
      SmallVector<Value> scores;
      Value top;
      for (int64_t j = 0; j < blocks; ++j) {
        scores.push_back(e.loadVector(weights, e.index(j * kLanes), kLanes));
        top = top ? arith::MaxNumFOp::create(e.b, e.loc, top, scores[j]).getResult() : scores[j];
      }
      Value maximum = arith::MaxNumFOp::create(
          e.b, e.loc, carried[0], e.reduce(vector::CombiningKind::MAXNUMF, top));
      Value shrink = exponential(e, e.sub(carried[0], maximum));
      Value shift = e.broadcast(maximum, kLanes), sum;
      for (int64_t j = 0; j < blocks; ++j) {
        Value weight = exponential(e, e.sub(scores[j], shift));
        e.storeRaw(weight, weights, e.index(j * kLanes));
        sum = sum ? e.add(sum, weight) : weight;
      }
      sum = e.add(e.mul(carried[1], shrink), e.reduce(vector::CombiningKind::ADD, sum));
      SmallVector<Value> total;
      for (Value part : carried.drop_front(2))
        total.push_back(e.mul(part, e.broadcast(shrink, lanes)));
      total = e.loop(zero, size, 1, total, [&](Value i, ValueRange parts) {
        Value at = e.addIndex(begin, i), weight = e.broadcast(e.load(weights, i), lanes);
        SmallVector<Value> next;
        for (auto [j, part] : llvm::enumerate(parts))
          next.push_back(e.fma(
              weight, e.loadVector(values, {slot, g, at, e.index(j * lanes)}, lanes), part));
        return next;
      });
      SmallVector<Value> next = {maximum, sum};
      next.append(total);
      return next;
    });
    Value inverse = e.broadcast(e.div(e.f32(1), state[1]), lanes);
    for (int64_t j = 0; j < count; ++j)
      e.storeVector(e.mul(state[2 + j], inverse), out, {row, h, e.index(j * lanes)});
  };

  e.loop(rows, 1, [&](Value row) {
    Value slot = slotOf(row);
    auto active = scf::IfOp::create(e.b, e.loc, isActive(slot), /*withElseRegion=*/true);
    OpBuilder::InsertionGuard guard(e.b);
    e.b.setInsertionPointToStart(active.thenBlock());
    Value at = e.toIndex(slot);
    Value length = e.addIndex(e.toIndex(e.load(positions, row)), 1);
    e.loop(kvHeads, 1, [&](Value g) {
      e.loop(group, 1, [&](Value i) {
        attend(row, at, g, e.addIndex(e.mulIndex(g, group), i), length);
      });
    });
    e.b.setInsertionPointToStart(active.elseBlock());
    e.loop(heads, 1, [&](Value h) {
      for (int64_t j = 0; j < count; ++j)
        e.storeVector(e.splat(0, lanes), out, {row, h, e.index(j * lanes)});
    });
  });
}

static void lower(Emitter &e, ArgmaxOp op) {
  Value x = op.getInputs()[0], out = op.getOutputs()[0];
  int64_t size = shapeOf(x)[1], lanes = vectorWidth(size);
  auto indexType = VectorType::get({lanes}, e.b.getI32Type());
  SmallVector<int32_t> firstLanes = llvm::to_vector(llvm::seq<int32_t>(0, lanes));
  Value first =
      arith::ConstantOp::create(e.b, e.loc, DenseIntElementsAttr::get(indexType, firstLanes));
  e.loop(shapeOf(x)[0], 1, [&](Value row) {
    // Each lane keeps its own first maximum; the least index among equals wins.
    Value low = e.loadVector(x, {row, e.index(0)}, lanes);
    auto best = e.loop(
        e.index(0), e.index(size), lanes, {low, first},
        [&](Value i, ValueRange carried) -> SmallVector<Value> {
          Value next = e.loadVector(x, {row, i}, lanes);
          Value base = arith::IndexCastOp::create(e.b, e.loc, e.b.getI32Type(), i);
          Value at = arith::AddIOp::create(e.b, e.loc, e.broadcast(base, lanes), first);
          Value greater = arith::CmpFOp::create(e.b, e.loc, arith::CmpFPredicate::OGT, next,
                                                carried[0]);
          return {arith::SelectOp::create(e.b, e.loc, greater, next, carried[0]),
                  arith::SelectOp::create(e.b, e.loc, greater, at, carried[1])};
        });
    Value maximum = e.broadcast(e.reduce(vector::CombiningKind::MAXNUMF, best[0]), lanes);
    Value equal =
        arith::CmpFOp::create(e.b, e.loc, arith::CmpFPredicate::OEQ, best[0], maximum);
    Value none = e.broadcast(e.i32(INT32_MAX), lanes);
    Value candidates = arith::SelectOp::create(e.b, e.loc, equal, best[1], none);
    memref::StoreOp::create(e.b, e.loc, e.reduce(vector::CombiningKind::MINSI, candidates), out,
                            row);
  });
}

namespace {
struct CPULowerNamedOps : fleet::impl::CPULowerNamedOpsBase<CPULowerNamedOps> {
  void runOnOperation() override {
    SmallVector<Operation *> ops;
    getOperation()->walk([&](Operation *op) {
      if (isa<GatherOp, RmsNormOp, LayerNormOp, RopeOp, AttentionOp, ArgmaxOp>(op))
        ops.push_back(op);
    });
    for (Operation *op : ops) {
      for (Value operand : op->getOperands()) {
        auto type = dyn_cast<MemRefType>(operand.getType());
        if (!type || !isContiguousInLastDim(operand)) {
          op->emitOpError("expected buffers contiguous in the last dimension, found ")
              << operand.getType();
          return signalPassFailure();
        }
      }
      OpBuilder builder(op);
      Emitter e{builder, op->getLoc()};
      if (auto gather = dyn_cast<GatherOp>(op))
        lower(e, gather);
      else if (auto norm = dyn_cast<RmsNormOp>(op))
        lower(e, norm);
      else if (auto norm = dyn_cast<LayerNormOp>(op))
        lower(e, norm);
      else if (auto rope = dyn_cast<RopeOp>(op))
        lower(e, rope);
      else if (auto attention = dyn_cast<AttentionOp>(op))
        lower(e, attention);
      else
        lower(e, cast<ArgmaxOp>(op));
      op->erase();
    }
  }
};
} // namespace
