//===- LowerNamedOps.cpp - Named ops to code of a workgroup
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "AttentionParts.h"
#include "Utils.h"

#include "fleet/Conversion/GPUPasses.h"
#include "fleet/IR/Fleet.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "llvm/ADT/TypeSwitch.h"
#include "llvm/Support/MathExtras.h"

namespace mlir::fleet {
#define GEN_PASS_DEF_GPULOWERNAMEDOPS
#include "fleet/Conversion/GPUPasses.h.inc"
} // namespace mlir::fleet

using namespace mlir;
using namespace mlir::fleet;
using namespace mlir::fleet::gpugen;

/// Stands for minus infinity: exp of a difference with it is 0, never a NaN.
static constexpr float kLowest = -1.0e30f;

static ArrayRef<int64_t> shapeOf(Value value) {
  return cast<ShapedType>(value.getType()).getShape();
}
static Type elementOf(Value value) { return cast<ShapedType>(value.getType()).getElementType(); }

static SmallVector<Value> with(ArrayRef<Value> indices, Value last) {
  SmallVector<Value> all(indices);
  all.push_back(last);
  return all;
}

/// Elements that a thread takes at once: a power of two that divides `size`, at
/// most 16 bytes of the narrower type.
static int64_t widthFor(int64_t size, ArrayRef<Value> buffers) {
  int64_t width = 1;
  for (Value buffer : buffers)
    width = std::max(width, elementsOf16Bytes(elementOf(buffer)));
  while (size % width)
    width /= 2;
  return width;
}

static Value sqrtInverse(Emitter &e, Value x) {
  return e.div(e.f32(1.0f), math::SqrtOp::create(e.b, e.loc, x));
}

static Value exponential(Emitter &e, Value x) { return math::ExpOp::create(e.b, e.loc, x); }

static void lower(Emitter &e, GatherOp op) {
  Value table = op.getInputs()[0], indices = op.getInputs()[1], out = op.getOutputs()[0];
  int64_t rows = shapeOf(out)[0], size = shapeOf(out)[1], lanes = widthFor(size, {table, out});
  e.forThreads(rows * (size / lanes), [&](Value i) {
    auto at = e.delinearize(i, {rows, size / lanes});
    Value row = e.toIndex(e.load(indices, at[0])), column = e.mulIndex(at[1], lanes);
    e.storeVector(e.loadVector(table, {row, column}, lanes), out, {at[0], column});
  });
  e.barrier();
}

/// Elements of a row that keep a whole workgroup busy: a shorter one is a
/// subgroup's, even where there are fewer rows than subgroups.
static constexpr int64_t kLongRow = 1024;

/// body(row, whether it is the whole workgroup's) for every row of `shape` but
/// its last dimension.
static void forRows(Emitter &e, ArrayRef<int64_t> shape,
                    function_ref<void(SmallVector<Value>, bool)> body) {
  int64_t rows = 1;
  for (int64_t size : shape.drop_back())
    rows *= size;
  if (rows >= e.workgroup.waves() || shape.back() < kLongRow) {
    e.forWaves(rows, [&](Value i) { body(e.delinearize(i, shape.drop_back()), false); });
    return;
  }
  for (int64_t i = 0; i < rows; ++i)
    body(e.delinearize(e.index(i), shape.drop_back()), true);
}

/// `for i = own part of [0, size) in steps of lanes elements`, with carried vectors.
static SmallVector<Value> alongRow(Emitter &e, int64_t size, int64_t lanes, bool whole,
                                   ValueRange carried,
                                   function_ref<SmallVector<Value>(Value, ValueRange)> body) {
  Value first = e.mulIndex(whole ? e.thread() : e.lane(), lanes);
  int64_t step = lanes * (whole ? e.workgroup.threads : e.workgroup.lanes);
  return e.loop(first, e.index(size), step, carried, body);
}

/// The sum of the values of a row's threads; all of them get it.
static Value addRow(Emitter &e, Value sum, bool whole) {
  if (!whole)
    return e.sumLanes(sum, 1, e.workgroup.lanes);
  return e.combineThreads({sum}, [&](ArrayRef<Value> a, ArrayRef<Value> b) {
    return SmallVector<Value>{e.add(a[0], b[0])};
  })[0];
}

/// The sum over a row of `of(x)`; all threads of the row get it.
static Value sumRow(Emitter &e, Value x, ArrayRef<Value> row, bool whole,
                    function_ref<Value(Value)> of) {
  int64_t size = shapeOf(x).back(), lanes = widthFor(size, {x});
  Value sum = alongRow(e, size, lanes, whole, {e.splat(0, lanes)},
                       [&](Value i, ValueRange carried) -> SmallVector<Value> {
                         return {e.add(carried[0], of(e.loadVector(x, with(row, i), lanes)))};
                       })[0];
  return addRow(e, e.reduce(vector::CombiningKind::ADD, sum), whole);
}

/// What the ops of a block may ask for together.
struct Ahead {
  /// Iterations of a subgroup or thread whose loads are asked for at once; 1: nothing is asked for ahead.
  int64_t rounds;
  /// The last op in front of the block's work, null for none: what other tasks have made can be read from there on.
  Operation *front;

  /// Emits `loads` of `buffers` in front of the block's work, if these are there: not behind a barrier of it.
  void emit(Emitter &e, ArrayRef<Value> buffers, function_ref<void()> loads) const {
    Block *block = e.b.getInsertionBlock();
    bool isThere = llvm::all_of(buffers, [&](Value buffer) {
      Operation *def = buffer.getDefiningOp();
      return !def || def->getBlock() != block || (front && (def == front || def->isBeforeInBlock(front)));
    });
    OpBuilder::InsertionGuard guard(e.b);
    if (isThere && front)
      e.b.setInsertionPointAfter(front);
    else if (isThere)
      e.b.setInsertionPointToStart(block);
    loads();
  }
};

/// Whether element-wise work in front of `op` makes `x`, or a wait for it: then a barrier stands between.
static bool isMadeInFront(Operation *op, Value x) {
  return llvm::any_of(x.getUsers(), [&](Operation *user) {
    if (user->getBlock() != op->getBlock() || !user->isBeforeInBlock(op))
      return false;
    auto maker = dyn_cast<linalg::LinalgOp>(user);
    return isa<ReceiveOp>(user) || (maker && llvm::is_contained(maker.getDpsInits(), x));
  });
}

/// Rows that a thread can hold its part of: everything is loaded at once, and
/// the weights do not wait for the sum.
static constexpr int64_t kMostHeld = 32;

/// The most iterations, of `count` in all, that can be taken together: a divisor, at most `most`.
static int64_t atOnce(int64_t count, int64_t most) {
  int64_t n = std::max<int64_t>(1, std::min(count, most));
  while (count % n)
    --n;
  return n;
}

static void lower(Emitter &e, RmsNormOp op, const Ahead &ahead) {
  Value x = op.getInputs()[0], weight = op.getInputs()[1], out = op.getOutputs()[0];
  int64_t size = shapeOf(x).back(), lanes = widthFor(size, {x, weight, out});
  float eps = op.getEps().convertToDouble();
  auto scaleOf = [&](Value squares) -> Value {
    Value scale = sqrtInverse(e, e.add(e.div(squares, e.f32(size)), e.f32(eps)));
    return e.broadcast(scale, lanes);
  };
  // Short rows, several of each subgroup: it has those of a round in registers.
  int64_t rows = ShapedType::getNumElements(shapeOf(x).drop_back()), waves = e.workgroup.waves();
  int64_t each = size / e.workgroup.lanes;
  if (ahead.rounds > 1 && rows > waves && rows % waves == 0 && size % e.workgroup.lanes == 0 && each <= kMostHeld) {
    lanes = atOnce(each, lanes);
    int64_t together = atOnce(rows / waves, std::min(ahead.rounds, kMostHeld / each));
    e.loop(e.waveInTurn(), e.index(rows), together * waves, {}, [&](Value first, ValueRange) {
      SmallVector<Value> columns, weights, sums;
      SmallVector<SmallVector<Value>> at, values(together);
      for (int64_t i = 0; i < each; i += lanes) {
        columns.push_back(e.addIndex(e.mulIndex(e.lane(), lanes), i * e.workgroup.lanes));
        weights.push_back(e.loadRaw(weight, columns.back(), lanes));
      }
      for (int64_t r = 0; r < together; ++r) {
        at.push_back(e.delinearize(e.addIndex(first, r * waves), shapeOf(x).drop_back()));
        for (Value column : columns)
          values[r].push_back(e.loadVector(x, with(at[r], column), lanes));
      }
      for (ArrayRef<Value> row : values) {
        Value sum;
        for (Value v : row)
          sum = sum ? e.fma(v, v, sum) : e.mul(v, v);
        sums.push_back(e.reduce(vector::CombiningKind::ADD, sum));
      }
      // All rows a step of the way together: shuffles take long.
      sums = e.combineLanes(sums, 1, e.workgroup.lanes, [&](ArrayRef<Value> a, ArrayRef<Value> b) {
        SmallVector<Value> both;
        for (auto [x, y] : llvm::zip_equal(a, b))
          both.push_back(e.add(x, y));
        return both;
      });
      for (int64_t r = 0; r < together; ++r) {
        Value scale = scaleOf(sums[r]);
        for (auto [v, column, w] : llvm::zip_equal(values[r], columns, weights))
          e.storeVector(e.mul(e.mul(v, scale), e.widen(w)), out, with(at[r], column));
      }
      return SmallVector<Value>();
    });
    return e.barrier();
  }
  forRows(e, shapeOf(x), [&](SmallVector<Value> row, bool whole) {
    int64_t step = lanes * (whole ? e.workgroup.threads : e.workgroup.lanes);
    if (size % step == 0 && size / step * lanes <= kMostHeld) {
      Value first = e.mulIndex(whole ? e.thread() : e.lane(), lanes);
      SmallVector<Value> values, weights;
      bool isEarly = ahead.rounds > 1 && whole && isMadeInFront(op, x);
      if (isEarly)
        ahead.emit(e, weight, [&] {
          Value early = e.mulIndex(e.thread(), lanes);
          for (int64_t i = 0; i < size; i += step)
            weights.push_back(e.loadRaw(weight, e.addIndex(early, i), lanes));
        });
      for (int64_t i = 0; i < size; i += step) {
        values.push_back(e.loadVector(x, with(row, e.addIndex(first, i)), lanes));
        if (!isEarly)
          weights.push_back(e.loadRaw(weight, e.addIndex(first, i), lanes));
      }
      Value sum;
      for (Value v : values)
        sum = sum ? e.fma(v, v, sum) : e.mul(v, v);
      Value squares = addRow(e, e.reduce(vector::CombiningKind::ADD, sum), whole);
      Value scale = scaleOf(squares);
      for (auto [i, v] : llvm::enumerate(values))
        e.storeVector(e.mul(e.mul(v, scale), e.widen(weights[i])), out, with(row, e.addIndex(first, i * step)));
      return;
    }
    Value scale = scaleOf(sumRow(e, x, row, whole, [&](Value v) { return e.mul(v, v); }));
    alongRow(e, size, lanes, whole, {}, [&](Value i, ValueRange) {
      Value v = e.mul(e.loadVector(x, with(row, i), lanes), scale);
      e.storeVector(e.mul(v, e.loadVector(weight, i, lanes)), out, with(row, i));
      return SmallVector<Value>();
    });
  });
  e.barrier();
}

static void lower(Emitter &e, LayerNormOp op) {
  Value x = op.getInputs()[0], weight = op.getInputs()[1], bias = op.getInputs()[2];
  Value out = op.getOutputs()[0];
  int64_t size = shapeOf(x).back(), lanes = widthFor(size, {x, weight, bias, out});
  float eps = op.getEps().convertToDouble();
  forRows(e, shapeOf(x), [&](SmallVector<Value> row, bool whole) {
    Value mean = e.div(sumRow(e, x, row, whole, [](Value v) { return v; }), e.f32(size));
    Value squares = sumRow(e, x, row, whole, [&](Value v) {
      int64_t n = cast<VectorType>(v.getType()).getNumElements();
      Value centred = e.sub(v, e.broadcast(mean, n));
      return e.mul(centred, centred);
    });
    Value scale = sqrtInverse(e, e.add(e.div(squares, e.f32(size)), e.f32(eps)));
    scale = e.broadcast(scale, lanes);
    Value centre = e.broadcast(mean, lanes);
    alongRow(e, size, lanes, whole, {}, [&](Value i, ValueRange) {
      Value v = e.mul(e.sub(e.loadVector(x, with(row, i), lanes), centre), scale);
      v = e.add(e.mul(v, e.loadVector(weight, i, lanes)), e.loadVector(bias, i, lanes));
      e.storeVector(v, out, with(row, i));
      return SmallVector<Value>();
    });
  });
  e.barrier();
}

static void lower(Emitter &e, RopeOp op, const Ahead &ahead) {
  Value x = op.getInputs()[0], cos = op.getInputs()[1], sin = op.getInputs()[2];
  Value out = op.getOutputs()[0];
  int64_t rows = shapeOf(x)[0], heads = shapeOf(x)[1], size = shapeOf(x)[2];
  int64_t half = shapeOf(cos)[1] / 2, lanes = half ? widthFor(half, {x, cos, out}) : 1;
  // Both halves of a rotation: where they are, and what they become.
  auto rotatePoint = [&](Value point) {
    auto at = e.delinearize(point, {rows, heads, half / lanes});
    Value i = e.mulIndex(at[2], lanes), j = e.addIndex(i, half);
    SmallVector<Value> row = {at[0], at[1]};
    Value low = e.loadVector(x, with(row, i), lanes), high = e.loadVector(x, with(row, j), lanes);
    auto rotate = [&](Value at, Value straight, Value across) {
      Value c = e.loadVector(cos, {row[0], at}, lanes), s = e.loadVector(sin, {row[0], at}, lanes);
      return e.add(e.mul(straight, c), e.mul(across, s));
    };
    Value minusHigh = arith::NegFOp::create(e.b, e.loc, high);
    Value newLow = rotate(i, low, minusHigh), newHigh = rotate(j, high, low);
    return std::array{std::pair(with(row, i), newLow), std::pair(with(row, j), newHigh)};
  };
  int64_t points = rows * heads * (half / lanes), threads = e.workgroup.threads;
  // Of each six loads.
  int64_t together = points % threads ? 1 : atOnce(points / threads, ahead.rounds / 2);
  if (together > 1) {
    e.loop(e.threadInTurn(), e.index(points), together * threads, {}, [&](Value first, ValueRange) {
      SmallVector<std::pair<SmallVector<Value>, Value>> rotated;
      for (int64_t r = 0; r < together; ++r)
        llvm::append_range(rotated, rotatePoint(e.addIndex(first, r * threads)));
      for (auto &[at, value] : rotated)
        e.storeVector(value, out, at);
      return SmallVector<Value>();
    });
  } else {
    e.forThreads(points, [&](Value point) {
      for (auto &[at, value] : rotatePoint(point))
        e.storeVector(value, out, at);
    });
  }
  int64_t rest = size - 2 * half;
  if (rest) {
    int64_t restLanes = widthFor(rest, {x, out});
    e.forThreads(rows * heads * (rest / restLanes), [&](Value point) {
      auto at = e.delinearize(point, {rows, heads, rest / restLanes});
      at[2] = e.addIndex(e.mulIndex(at[2], restLanes), 2 * half);
      e.storeVector(e.loadVector(x, at, restLanes), out, at);
    });
  }
  e.barrier();
}

/// Attention of one (row, head) by one subgroup. Lane l takes elements
/// [part * width, part * width + width) of keys and values, part = l % parts, at
/// positions l / parts, l / parts + groups, ... Each group of lanes has an online
/// softmax of its own; they are merged in a fixed order.
static void lower(Emitter &e, AttentionOp op) {
  ValueRange in = op.getInputs();
  Value q = in[0], slots = in[3], positions = in[4], keys = in[5], values = in[6];
  Value out = op.getOutputs()[0];
  int64_t rows = shapeOf(q)[0], heads = shapeOf(q)[1], size = shapeOf(q)[2];
  int64_t kvHeads = shapeOf(in[1])[1], group = heads / kvHeads;
  float scale = op.getScale().convertToDouble();

  auto slotOf = [&](Value row) { return e.load(slots, row); };
  auto isActive = [&](Value slot) -> Value {
    return arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::sge, slot, e.i32(0));
  };
  // All rows are stored before any is read: rows of one slot see each other.
  int64_t copyLanes = widthFor(size, {in[1], keys});
  e.forThreads(rows * kvHeads * (size / copyLanes), [&](Value point) {
    auto at = e.delinearize(point, {rows, kvHeads, size / copyLanes});
    Value slot = slotOf(at[0]);
    e.ifThen(isActive(slot), [&] {
      Value position = e.toIndex(e.load(positions, at[0]));
      SmallVector<Value> from = {at[0], at[1], e.mulIndex(at[2], copyLanes)};
      SmallVector<Value> to = {e.toIndex(slot), at[1], position, from[2]};
      e.storeVector(e.loadVector(in[1], from, copyLanes), keys, to);
      e.storeVector(e.loadVector(in[2], from, copyLanes), values, to);
    });
  });
  e.barrier();

  // Lanes along the head's elements: a power of two, 16 bytes a lane if it can be.
  int64_t parts = std::min(e.workgroup.lanes, size & -size);
  while (parts > 1 && size / parts < elementsOf16Bytes(elementOf(keys)) &&
         size / (parts / 2) <= 2 * elementsOf16Bytes(elementOf(keys)) && parts * 8 > size)
    parts /= 2;
  int64_t width = size / parts, groups = e.workgroup.lanes / parts;

  e.forWaves(rows * heads, [&](Value pair) {
    auto at = e.delinearize(pair, {rows, heads});
    Value row = at[0], h = at[1];
    Value g = group == 1 ? h : Value(arith::DivUIOp::create(e.b, e.loc, h, e.index(group)));
    Value lane = e.lane();
    Value part = arith::RemUIOp::create(e.b, e.loc, lane, e.index(parts));
    Value first = arith::DivUIOp::create(e.b, e.loc, lane, e.index(parts));
    Value column = e.mulIndex(part, width);
    Value slot = slotOf(row);
    auto active = scf::IfOp::create(e.b, e.loc, isActive(slot), /*withElseRegion=*/true);
    OpBuilder::InsertionGuard guard(e.b);
    e.b.setInsertionPointToStart(active.thenBlock());
    Value where = e.toIndex(slot);
    Value length = e.addIndex(e.toIndex(e.load(positions, row)), 1);
    Value query = e.loadVector(q, {row, h, column}, width);
    query = e.mul(query, e.splat(scale, width));
    // Carried: the maximum, the sum of weights, the weighted values. Every lane
    // takes part in every shuffle: positions past the end weigh nothing.
    SmallVector<Value> state = {e.f32(kLowest), e.f32(0), e.splat(0, width)};
    state = e.loop(
        e.index(0), length, groups, state,
        [&](Value begin, ValueRange carried) -> SmallVector<Value> {
          Value position = e.addIndex(begin, first);
          Value isInside =
              arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::ult, position, length);
          Value safe = arith::SelectOp::create(e.b, e.loc, isInside, position, begin);
          Value key = e.loadVector(keys, {where, g, safe, column}, width);
          Value value = e.loadVector(values, {where, g, safe, column}, width);
          Value dot = e.reduce(vector::CombiningKind::ADD, e.mul(query, key));
          Value score = e.sumLanes(dot, 1, parts);
          score = arith::SelectOp::create(e.b, e.loc, isInside, score, e.f32(kLowest));
          Value maximum = arith::MaxNumFOp::create(e.b, e.loc, carried[0], score);
          Value shrink = exponential(e, e.sub(carried[0], maximum));
          Value weight = exponential(e, e.sub(score, maximum));
          weight = arith::SelectOp::create(e.b, e.loc, isInside, weight, e.f32(0));
          Value sum = e.add(e.mul(carried[1], shrink), weight);
          Value total = e.fma(e.broadcast(weight, width), value,
                              e.mul(carried[2], e.broadcast(shrink, width)));
          return {maximum, sum, total};
        });
    SmallVector<Value> flat = {state[0], state[1]};
    for (int64_t i = 0; i < width; ++i)
      flat.push_back(vector::ExtractOp::create(e.b, e.loc, state[2], i));
    flat = e.combineLanes(
        flat, parts, e.workgroup.lanes, [&](ArrayRef<Value> x, ArrayRef<Value> y) {
          Value maximum = arith::MaxNumFOp::create(e.b, e.loc, x[0], y[0]);
          Value shrinkX = exponential(e, e.sub(x[0], maximum));
          Value shrinkY = exponential(e, e.sub(y[0], maximum));
          SmallVector<Value> next = {maximum};
          for (auto [a, b] : llvm::zip_equal(x.drop_front(), y.drop_front()))
            next.push_back(e.add(e.mul(a, shrinkX), e.mul(b, shrinkY)));
          return next;
        });
    Value inverse = e.div(e.f32(1), flat[1]);
    SmallVector<Value> results;
    for (Value value : ArrayRef<Value>(flat).drop_front(2))
      results.push_back(e.mul(value, inverse));
    auto vectorType = VectorType::get({width}, e.b.getF32Type());
    Value result = vector::FromElementsOp::create(e.b, e.loc, vectorType, results);
    auto store = [&](Value value) {
      Value isFirst =
          arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::eq, first, e.index(0));
      e.ifThen(isFirst, [&] { e.storeVector(value, out, {row, h, column}); });
    };
    store(result);
    e.b.setInsertionPointToStart(active.elseBlock());
    store(e.splat(0, width));
  });
  e.barrier();
}

/// Of two pairs (value, index) the one with the greater value, of equals the one with the lower
/// index. A NaN as `b` is never taken.
static SmallVector<Value> better(Emitter &e, ArrayRef<Value> a, ArrayRef<Value> b) {
  Value greater = arith::CmpFOp::create(e.b, e.loc, arith::CmpFPredicate::OGT, b[0], a[0]);
  Value equal = arith::CmpFOp::create(e.b, e.loc, arith::CmpFPredicate::OEQ, b[0], a[0]);
  Value earlier = arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::slt, b[1], a[1]);
  Value both = arith::AndIOp::create(e.b, e.loc, equal, earlier);
  Value take = arith::OrIOp::create(e.b, e.loc, greater, both);
  return {arith::SelectOp::create(e.b, e.loc, take, b[0], a[0]), arith::SelectOp::create(e.b, e.loc, take, b[1], a[1])};
}

/// What every element is better than, but for NaN.
static SmallVector<Value> worst(Emitter &e) {
  Value lowest = arith::ConstantOp::create(
      e.b, e.loc, e.b.getFloatAttr(e.b.getF32Type(), APFloat::getInf(APFloat::IEEEsingle(), true)));
  return {lowest, e.i32(INT32_MAX)};
}

static Value toI32(Emitter &e, Value index) {
  return arith::IndexCastOp::create(e.b, e.loc, e.b.getI32Type(), index);
}

/// A part of each row, all loads of a round at once. What is past its end is the last vector again,
/// which changes nothing.
static void lower(Emitter &e, ArgmaxPartialOp op) {
  constexpr int64_t kAtOnce = 8;
  Value x = op.getInputs()[0], out = op.getOutputs()[0], zero = e.index(0);
  int64_t size = shapeOf(x)[1], width = widthFor(size, {x});
  auto combine = [&](ArrayRef<Value> a, ArrayRef<Value> b) { return better(e, a, b); };
  forRows(e, shapeOf(x), [&](SmallVector<Value> row, bool whole) {
    int64_t threads = whole ? e.workgroup.threads : e.workgroup.lanes;
    int64_t atOnce = std::min<int64_t>(kAtOnce, llvm::divideCeil(size, width * threads));
    Value own = e.mulIndex(whole ? e.thread() : e.lane(), width);
    SmallVector<Value> best = e.loop(
        zero, e.index(size), atOnce * threads * width, worst(e), [&](Value begin, ValueRange carried) {
          SmallVector<Value> loaded, places, next(carried);
          for (int64_t j = 0; j < atOnce; ++j) {
            Value at = e.addIndex(e.addIndex(begin, own), j * threads * width);
            places.push_back(arith::MinUIOp::create(e.b, e.loc, at, e.index(size - width)));
            loaded.push_back(e.loadVector(x, with(row, places[j]), width));
          }
          for (int64_t j = 0; j < atOnce; ++j)
            for (int64_t k = 0; k < width; ++k) {
              Value at = e.addIndex(e.addIndex(places[j], k), op.getFirst());
              next = better(e, next, {vector::ExtractOp::create(e.b, e.loc, loaded[j], k), toI32(e, at)});
            }
          return next;
        });
    best = whole ? e.combineThreads(best, combine) : e.combineLanes(best, 1, e.workgroup.lanes, combine);
    Value isFirst = arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::eq, whole ? e.thread() : e.lane(), zero);
    e.ifThen(isFirst, [&] {
      Value bits = arith::BitcastOp::create(e.b, e.loc, e.b.getI32Type(), best[0]);
      memref::StoreOp::create(e.b, e.loc, bits, out, ValueRange{zero, zero, row[0]});
      memref::StoreOp::create(e.b, e.loc, best[1], out, ValueRange{zero, e.index(1), row[0]});
    });
  });
  e.barrier();
}

/// A subgroup for each row: its lanes take the parts.
static void lower(Emitter &e, ArgmaxMergeOp op) {
  Value parts = op.getInputs()[0], out = op.getOutputs()[0], zero = e.index(0);
  int64_t count = shapeOf(parts)[0], lanes = e.workgroup.lanes;
  auto combine = [&](ArrayRef<Value> a, ArrayRef<Value> b) { return better(e, a, b); };
  e.forWaves(shapeOf(out)[0], [&](Value row) {
    SmallVector<Value> bits, indices, best = worst(e);
    for (int64_t i = 0; i < count; i += lanes) {
      // Past the end: the last part again.
      Value part = arith::MinUIOp::create(e.b, e.loc, e.addIndex(e.lane(), i), e.index(count - 1));
      bits.push_back(e.load(parts, {part, zero, row}));
      indices.push_back(e.load(parts, {part, e.index(1), row}));
    }
    for (auto [word, index] : llvm::zip_equal(bits, indices)) {
      Value value = arith::BitcastOp::create(e.b, e.loc, e.b.getF32Type(), word);
      best = better(e, best, {value, index});
    }
    best = e.combineLanes(best, 1, lanes, combine);
    Value isFirst = arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::eq, e.lane(), zero);
    e.ifThen(isFirst, [&] { memref::StoreOp::create(e.b, e.loc, best[1], out, row); });
  });
  e.barrier();
}

static void lower(Emitter &e, ArgmaxOp op) {
  Value x = op.getInputs()[0], out = op.getOutputs()[0];
  int64_t rows = shapeOf(x)[0], size = shapeOf(x)[1];
  // Many loads at once: one worker reads the logits of a whole row.
  constexpr int64_t kAtOnce = 8;
  int64_t width = widthFor(size, {x}), round = width * kAtOnce * e.workgroup.threads;
  for (int64_t row = 0; row < rows; ++row) {
    Value r = e.index(row);
    auto take = [&](Value value, Value at, ValueRange best) {
      return better(e, {best[0], best[1]}, {value, toI32(e, at)});
    };
    SmallVector<Value> best = worst(e);
    best = e.loop(e.mulIndex(e.thread(), width), e.index(size / round * round), round, best,
                  [&](Value i, ValueRange carried) {
                    SmallVector<Value> loaded, next(carried);
                    for (int64_t j = 0; j < kAtOnce; ++j)
                      loaded.push_back(
                          e.loadVector(x, {r, e.addIndex(i, j * width * e.workgroup.threads)}, width));
                    for (int64_t j = 0; j < kAtOnce; ++j)
                      for (int64_t k = 0; k < width; ++k)
                        next = take(vector::ExtractOp::create(e.b, e.loc, loaded[j], k),
                                    e.addIndex(i, j * width * e.workgroup.threads + k), next);
                    return next;
                  });
    best = e.loop(e.addIndex(e.thread(), size / round * round), e.index(size), e.workgroup.threads, best,
                  [&](Value i, ValueRange carried) { return take(e.load(x, {r, i}), i, carried); });
    best = e.combineThreads(best, [&](ArrayRef<Value> a, ArrayRef<Value> b) { return better(e, a, b); });
    e.forOneThread([&] { memref::StoreOp::create(e.b, e.loc, best[1], out, r); });
  }
  e.barrier();
}

namespace {
/// Bytes of a buffer: all of what stands behind `base`, or a part of a scratch.
struct Place {
  Value base;
  int64_t begin = 0, end = INT64_MAX;

  explicit Place(Value value) {
    while (Operation *op = value.getDefiningOp()) {
      if (auto view = dyn_cast<memref::ViewOp>(op)) {
        if (auto offset = getConstantIntValue(view.getByteShift())) {
          auto type = cast<MemRefType>(view.getType());
          begin = *offset;
          end = begin + type.getNumElements() * llvm::divideCeil(type.getElementTypeBitWidth(), 8);
        }
        value = view.getSource();
      } else if (isa<memref::SubViewOp, memref::ExpandShapeOp, memref::CollapseShapeOp, memref::CastOp,
                     memref::MemorySpaceCastOp>(op)) {
        value = op->getOperand(0);
      } else {
        break;
      }
    }
    base = value;
  }
  bool overlaps(const Place &other) const {
    return base == other.base && begin < other.end && other.begin < end;
  }
};

/// What an op reads and writes.
struct Accesses {
  SmallVector<Place> reads, writes;

  void add(Operation *op) {
    SmallVector<MemoryEffects::EffectInstance> effects;
    cast<MemoryEffectOpInterface>(op).getEffects(effects);
    for (auto &effect : effects)
      (isa<MemoryEffects::Write>(effect.getEffect()) ? writes : reads).push_back(Place(effect.getValue()));
  }
  bool mustPrecede(const Accesses &next) const {
    auto any = [](ArrayRef<Place> xs, ArrayRef<Place> ys) {
      return llvm::any_of(xs, [&](const Place &x) {
        return llvm::any_of(ys, [&](const Place &y) { return x.overlaps(y); });
      });
    };
    return any(writes, next.reads) || any(writes, next.writes) || any(reads, next.writes);
  }
};

bool isNamed(Operation *op) {
  return isa<GatherOp, RmsNormOp, LayerNormOp, RopeOp, AttentionOp, AttentionPartialOp, AttentionMergeOp, ArgmaxOp,
             ArgmaxPartialOp, ArgmaxMergeOp>(op);
}

/// Views and index arithmetic first, so that named ops stand side by side.
void hoistViews(Block &block) {
  llvm::SmallPtrSet<Operation *, 32> hoisted;
  Operation *place = &block.front();
  for (Operation &op : llvm::make_early_inc_range(block)) {
    if (op.getNumRegions() || op.hasTrait<OpTrait::IsTerminator>() || !isMemoryEffectFree(&op))
      continue;
    bool isReady = llvm::all_of(op.getOperands(), [&](Value value) {
      Operation *def = value.getDefiningOp();
      return !def || def->getBlock() != &block || hoisted.contains(def);
    });
    if (!isReady)
      continue;
    hoisted.insert(&op);
    if (&op == place)
      place = op.getNextNode();
    else
      op.moveBefore(place);
  }
}

struct GPULowerNamedOps : fleet::impl::GPULowerNamedOpsBase<GPULowerNamedOps> {
  using GPULowerNamedOpsBase::GPULowerNamedOpsBase;

  LogicalResult lowerOne(Operation *op, Emitter &e, const Ahead &ahead) {
    for (Value operand : op->getOperands()) {
      if (operand.getType().isIndex())
        continue;
      auto type = dyn_cast<MemRefType>(operand.getType());
      if (!type || !cpu::isContiguousInLastDim(operand))
        return op->emitOpError("expected buffers contiguous in the last dimension, found ") << operand.getType();
    }
    if (auto partial = dyn_cast<AttentionPartialOp>(op); partial && !partial.getPart())
      return op->emitOpError("expected a tile of one part, found all parts");
    if (auto partial = dyn_cast<AttentionPartialOp>(op); partial && !partial.getAngles().empty())
      return op->emitOpError("expected rotated queries and keys, found some to rotate");
    if (auto partial = dyn_cast<ArgmaxPartialOp>(op); partial && !partial.getFirst())
      return op->emitOpError("expected a tile of one part, found all parts");
    TypeSwitch<Operation *>(op)
        .Case<GatherOp, LayerNormOp, AttentionOp, ArgmaxOp, ArgmaxPartialOp, ArgmaxMergeOp>(
            [&](auto named) { lower(e, named); })
        .Case<RmsNormOp, RopeOp>([&](auto named) { lower(e, named, ahead); })
        .Case([&](AttentionPartialOp partial) { lowerAttentionPartial(e, partial); })
        .Case([&](AttentionMergeOp merge) { lowerAttentionMerge(e, merge); });
    return success();
  }

  void runOnOperation() override {
    SmallVector<Operation *> ops;
    getOperation()->walk([&](Operation *op) {
      if (isNamed(op))
        ops.push_back(op);
    });
    llvm::DenseMap<Block *, Operation *> fronts;
    for (Operation *op : ops) {
      auto [front, isNew] = fronts.try_emplace(op->getBlock(), nullptr);
      if (!isNew)
        continue;
      hoistViews(*op->getBlock());
      for (Operation &other : *op->getBlock()) {
        if (isNamed(&other) || !isMemoryEffectFree(&other))
          break;
        front->second = &other;
      }
    }
    // Each op ends with a barrier, which the next one may not need.
    Accesses open;
    int64_t taken = 0;
    for (Operation *op : ops) {
      OpBuilder builder(op);
      Emitter e(builder, op->getLoc(), getOperation());
      e.firstWave = taken % e.workgroup.waves();
      open.add(op);
      if (failed(lowerOne(op, e, Ahead{rounds, fronts.lookup(op->getBlock())})))
        return signalPassFailure();
      Operation *next = op->getNextNode();
      auto barrier = dyn_cast_or_null<gpu::BarrierOp>(op->getPrevNode());
      int64_t rows = 1;
      for (int64_t size : shapeOf(op->getOperands().back()).drop_back())
        rows *= size;
      op->erase();
      Accesses after;
      if (next && isNamed(next))
        after.add(next);
      if (barrier && next && isNamed(next) && !open.mustPrecede(after)) {
        barrier.erase();
        taken += rows;
        continue;
      }
      open = Accesses();
      taken = 0;
    }
  }
};
} // namespace
