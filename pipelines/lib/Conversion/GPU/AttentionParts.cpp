//===- AttentionParts.cpp - Attention over parts of the context
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "AttentionParts.h"

#include "mlir/Dialect/Math/IR/Math.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace mlir::fleet;
using namespace mlir::fleet::gpugen;

/// Stands for minus infinity: exp of a difference with it is 0, never a NaN.
static constexpr float kLowest = -1.0e30f;
/// Positions that a group of lanes has in flight at once.
static constexpr int64_t kMostInFlight = 8;

static ArrayRef<int64_t> shapeOf(Value value) { return cast<ShapedType>(value.getType()).getShape(); }
static Type elementOf(Value value) { return cast<ShapedType>(value.getType()).getElementType(); }

Value gpugen::scaleOfHead(Emitter &e, Value squares, int64_t size, const APFloat &eps) {
  Value mean = e.add(e.div(squares, e.f32(size)), e.f32(eps.convertToDouble()));
  return e.div(e.f32(1), math::SqrtOp::create(e.b, e.loc, mean));
}

Value gpugen::normHead(Emitter &e, Value x, Value weight, const APFloat &eps) {
  int64_t lanes = e.workgroup.lanes, own = cast<VectorType>(x.getType()).getNumElements();
  Value squares = e.sumLanes(e.reduce(vector::CombiningKind::ADD, e.mul(x, x)), 1, lanes);
  return e.mul(e.mul(x, e.broadcast(scaleOfHead(e, squares, own * lanes, eps), own)), weight);
}

Value gpugen::rotateHead(Emitter &e, Value x, Value cosine, Value sine, Value lane) {
  int64_t half = e.workgroup.lanes / 2;
  SmallVector<Value> others;
  for (int64_t i = 0; i < cast<VectorType>(x.getType()).getNumElements(); ++i)
    others.push_back(e.shuffleXor(vector::ExtractOp::create(e.b, e.loc, x, i), half));
  Value other = vector::FromElementsOp::create(e.b, e.loc, x.getType(), others);
  Value isLow = arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::ult, lane, e.index(half));
  Value minus = arith::NegFOp::create(e.b, e.loc, other);
  Value across = arith::SelectOp::create(e.b, e.loc, isLow, minus, other);
  return e.add(e.mul(x, cosine), e.mul(across, sine));
}
static Value exponential(Emitter &e, Value x) { return math::ExpOp::create(e.b, e.loc, x); }
static Value greater(Emitter &e, Value x, Value y) { return arith::MaxNumFOp::create(e.b, e.loc, x, y); }
static Value less(Emitter &e, Value x, Value y) {
  return arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::ult, x, y);
}
static Value choose(Emitter &e, Value condition, Value x, Value y) {
  return arith::SelectOp::create(e.b, e.loc, condition, x, y);
}

Value DealtPart::first() { return e.mulIndex(op.getPart(), block); }

Value DealtPart::has(Value position) {
  Value number = arith::DivUIOp::create(e.b, e.loc, position, e.index(block));
  Value owner = arith::RemUIOp::create(e.b, e.loc, number, e.index(parts));
  return arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::eq, owner, op.getPart());
}

Value DealtRows::count() {
  if (rows % groups == 0)
    return e.index(most);
  Value last = arith::SubIOp::create(e.b, e.loc, e.index(rows + groups - 1), op.getRowGroup());
  return arith::DivUIOp::create(e.b, e.loc, last, e.index(groups));
}

Value DealtRows::at(Value i) { return groups == 1 ? i : e.addIndex(e.mulIndex(i, groups), op.getRowGroup()); }

void DealtRows::forEach(function_ref<void(Value)> body) {
  if (rows % groups == 0)
    return e.loop(most, 1, [&](Value i) { body(at(i)); });
  e.loop(e.index(0), count(), 1, {}, [&](Value i, ValueRange) {
    body(at(i));
    return SmallVector<Value>();
  });
}

void DealtRows::forSharedRows(function_ref<Value(Value)> isHere, function_ref<void(Value)> body) {
  Value slots = op.getInputs()[3];
  if (groups == 1)
    return;
  e.forThreads(rows, [&](Value row) {
    Value slot = e.load(slots, row);
    Value isActive = arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::sge, slot, e.i32(0));
    Value group = arith::RemUIOp::create(e.b, e.loc, row, e.index(groups));
    Value isOther = arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::ne, group, op.getRowGroup());
    Value isCandidate = arith::AndIOp::create(e.b, e.loc, isActive, isOther);
    isCandidate = arith::AndIOp::create(e.b, e.loc, isCandidate, isHere(row));
    e.ifThen(isCandidate, [&] {
      Value no = arith::ConstantIntOp::create(e.b, e.loc, e.b.getI1Type(), 0);
      Value isShared = e.loop(e.index(0), count(), 1, {no}, [&](Value i, ValueRange found) {
        Value isSame = arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::eq, e.load(slots, at(i)), slot);
        return SmallVector<Value>{arith::OrIOp::create(e.b, e.loc, found[0], isSame)};
      })[0];
      e.ifThen(isShared, [&] { body(row); });
    });
  });
}

/// (maximum, sum, values...) of two sets of positions, of both together.
static SmallVector<Value> merge(Emitter &e, ArrayRef<Value> x, ArrayRef<Value> y) {
  Value maximum = greater(e, x[0], y[0]);
  Value shrinkX = exponential(e, e.sub(x[0], maximum)), shrinkY = exponential(e, e.sub(y[0], maximum));
  SmallVector<Value> next = {maximum};
  for (auto [a, b] : llvm::zip_equal(x.drop_front(), y.drop_front())) {
    bool isVector = isa<VectorType>(a.getType());
    int64_t lanes = isVector ? cast<VectorType>(a.getType()).getNumElements() : 1;
    Value sx = isVector ? e.broadcast(shrinkX, lanes) : shrinkX;
    Value sy = isVector ? e.broadcast(shrinkY, lanes) : shrinkY;
    next.push_back(e.add(e.mul(a, sx), e.mul(b, sy)));
  }
  return next;
}

/// Asks for the part's keys and values ahead of the ops in front, which they do
/// not wait for. What a row of this very step adds is not among them yet.
static void prefetch(Emitter &e, AttentionPartialOp op, int64_t length) {
  Value keys = op.getInputs()[5], values = op.getInputs()[6];
  Block *block = op->getBlock();
  Operation *last = nullptr;
  Value needed[] = {keys, values, op.getPart(), op.getInputs()[3], op.getInputs()[4]};
  for (Value value : needed)
    if (Operation *def = value.getDefiningOp(); def && def->getBlock() == block)
      last = !last || last->isBeforeInBlock(def) ? def : last;
  OpBuilder::InsertionGuard guard(e.b);
  if (last)
    e.b.setInsertionPointAfter(last);
  else
    e.b.setInsertionPointToStart(block);
  constexpr int64_t kLine = 128;
  int64_t size = shapeOf(keys)[3], perLine = std::max<int64_t>(1, kLine * 8 / elementOf(keys).getIntOrFloatBitWidth());
  int64_t lines = llvm::divideCeil(size, perLine);
  Value begin = e.mulIndex(op.getPart(), length);
  e.loop(shapeOf(op.getInputs()[0])[0], 1, [&](Value row) {
    Value slot = e.load(op.getInputs()[3], row);
    Value isActive = arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::sge, slot, e.i32(0));
    Value end = arith::MinUIOp::create(e.b, e.loc, e.toIndex(e.load(op.getInputs()[4], row)),
                                       e.addIndex(begin, length));
    Value count = arith::SubIOp::create(e.b, e.loc, end, begin);
    count = choose(e, isActive, e.mulIndex(count, lines), e.index(0));
    e.loop(e.thread(), count, e.workgroup.threads, {}, [&](Value i, ValueRange) {
      Value position = e.addIndex(begin, arith::DivUIOp::create(e.b, e.loc, i, e.index(lines)));
      Value column = e.mulIndex(arith::RemUIOp::create(e.b, e.loc, i, e.index(lines)), perLine);
      for (Value cache : {keys, values})
        memref::PrefetchOp::create(e.b, e.loc, cache, ValueRange{e.toIndex(slot), e.index(0), position, column},
                                   /*isWrite=*/false, /*localityHint=*/1, /*isDataCache=*/true);
      return SmallVector<Value>();
    });
  });
}

/// Groups of lanes take positions; a lane holds 16 bytes of a key or a value
/// and serves all query heads, so that the cache is read once. All loads of a
/// round are issued before the first is used: a part is a round or two.
void gpugen::lowerAttentionPartial(Emitter &e, AttentionPartialOp op) {
  ValueRange in = op.getInputs();
  Value q = in[0], slots = in[3], positions = in[4], keys = in[5], values = in[6];
  Value out = op.getOutputs()[0];
  int64_t rows = shapeOf(q)[0], heads = shapeOf(q)[1], size = shapeOf(q)[2], context = shapeOf(keys)[2];
  int64_t length = llvm::divideCeil(context, static_cast<int64_t>(op.getParts()));
  float scale = op.getScale().convertToDouble();
  std::optional<DealtPart> dealt;
  DealtRows own{e, op};
  if (op.getDealt())
    dealt.emplace(DealtPart{e, op});
  else
    prefetch(e, op, length);
  Value zero = e.index(0);

  // Lanes along a head: a power of two that divides it, 16 bytes each if possible.
  int64_t width = elementsOf16Bytes(elementOf(keys));
  while (size % width)
    width /= 2;
  int64_t lanes = llvm::bit_floor(static_cast<uint64_t>(size / width));
  lanes = std::min(lanes, e.workgroup.lanes);
  while (size % (width * lanes))
    lanes /= 2;
  int64_t pieces = size / (width * lanes); // of a head's elements in a lane
  int64_t groups = e.workgroup.threads / lanes;
  int64_t inFlight = std::min(kMostInFlight, static_cast<int64_t>(llvm::divideCeil(length, groups)));

  Value begin = e.mulIndex(op.getPart(), length);
  Value end = arith::MinUIOp::create(e.b, e.loc, e.addIndex(begin, length), e.index(context));
  auto isActive = [&](Value slot) -> Value {
    return arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::sge, slot, e.i32(0));
  };
  // The part that reads a position is the one that stores it, of all rows: some of this row
  // group may be of the same slots.
  e.forThreads(rows * (size / width), [&](Value point) {
    auto at = e.delinearize(point, {rows, size / width});
    Value slot = e.load(slots, at[0]), position = e.toIndex(e.load(positions, at[0]));
    Value isHere = dealt ? arith::AndIOp::create(e.b, e.loc, less(e, position, e.index(context)),
                                                 dealt->has(position))
                         : arith::AndIOp::create(
                               e.b, e.loc, less(e, position, end),
                               arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::uge, position, begin));
    e.ifThen(arith::AndIOp::create(e.b, e.loc, isActive(slot), isHere), [&] {
      SmallVector<Value> from = {at[0], zero, e.mulIndex(at[1], width)};
      SmallVector<Value> to = {e.toIndex(slot), zero, position, from[2]};
      e.storeVector(e.loadVector(in[1], from, width), keys, to);
      e.storeVector(e.loadVector(in[2], from, width), values, to);
    });
  });
  e.barrier();

  // Rows of the exchange stay aligned to 16 bytes.
  int64_t extended = size + kAttentionExtra;
  Value partial = e.shared(kBodyBuffer, inWorkgroupMemory({e.workgroup.waves(), heads, extended}, e.b.getF32Type()));
  Value thread = e.thread();
  Value lane = arith::RemUIOp::create(e.b, e.loc, thread, e.index(lanes));
  Value group = arith::DivUIOp::create(e.b, e.loc, thread, e.index(lanes));
  auto column = [&](int64_t piece) { return e.addIndex(e.mulIndex(lane, width), piece * width * lanes); };
  own.forEach([&](Value row) {
    Value slot = e.load(slots, row);
    // A row that is idle or stands before this part has nothing here.
    Value last = e.addIndex(e.toIndex(e.load(positions, row)), 1);
    Value isTaken = isActive(slot);
    last = arith::MinUIOp::create(e.b, e.loc, last, dealt ? e.index(context) : end);
    last = choose(e, isTaken, last, zero);
    // The part's positions, or their numbers where they are dealt: then those of whole blocks.
    Value from = begin, until = last, first;
    if (dealt) {
      from = zero, first = dealt->first();
      Value left = arith::SubIOp::create(e.b, e.loc, arith::MaxUIOp::create(e.b, e.loc, last, first), first);
      Value blocks = arith::DivUIOp::create(e.b, e.loc, e.addIndex(left, dealt->stride() - 1),
                                            e.index(dealt->stride()));
      until = e.mulIndex(blocks, dealt->block);
    }
    auto positionOf = [&](Value number) -> Value {
      if (!dealt)
        return number;
      Value block = arith::DivUIOp::create(e.b, e.loc, number, e.index(dealt->block));
      Value inBlock = arith::RemUIOp::create(e.b, e.loc, number, e.index(dealt->block));
      return e.addIndex(e.addIndex(first, e.mulIndex(block, dealt->stride())), inBlock);
    };
    Value where = e.toIndex(arith::MaxSIOp::create(e.b, e.loc, slot, e.i32(0)));
    SmallVector<Value> query;
    for (int64_t h = 0; h < heads; ++h)
      for (int64_t i = 0; i < pieces; ++i)
        query.push_back(e.mul(e.loadVector(q, {row, e.index(h), column(i)}, width), e.splat(scale, width)));
    // Carried, per head: the maximum, the sum of weights, the weighted values.
    int64_t stride = 2 + pieces;
    SmallVector<Value> state;
    for (int64_t h = 0; h < heads; ++h) {
      state.append({e.f32(kLowest), e.f32(0)});
      state.append(pieces, e.splat(0, width));
    }
    state = e.loop(from, until, groups * inFlight, state, [&](Value base, ValueRange carried) {
      SmallVector<Value> key, value, isInside;
      for (int64_t u = 0; u < inFlight; ++u) {
        Value position = positionOf(e.addIndex(e.addIndex(base, group), u * groups));
        isInside.push_back(less(e, position, last));
        Value safe = choose(e, isInside[u], position, dealt ? first : begin);
        for (int64_t i = 0; i < pieces; ++i)
          key.push_back(e.loadRaw(keys, {where, zero, safe, column(i)}, width));
        for (int64_t i = 0; i < pieces; ++i)
          value.push_back(e.loadRaw(values, {where, zero, safe, column(i)}, width));
      }
      SmallVector<Value> next;
      for (int64_t h = 0; h < heads; ++h) {
        auto own = carried.slice(h * stride, stride);
        SmallVector<Value> scores;
        Value maximum = own[0];
        for (int64_t u = 0; u < inFlight; ++u) {
          Value dot;
          for (int64_t i = 0; i < pieces; ++i) {
            Value wide = e.widen(key[u * pieces + i]);
            dot = dot ? e.fma(query[h * pieces + i], wide, dot) : e.mul(query[h * pieces + i], wide);
          }
          Value score = e.sumLanes(e.reduce(vector::CombiningKind::ADD, dot), 1, lanes);
          scores.push_back(choose(e, isInside[u], score, e.f32(kLowest)));
          maximum = greater(e, maximum, scores[u]);
        }
        Value shrink = exponential(e, e.sub(own[0], maximum));
        Value sum = e.mul(own[1], shrink);
        SmallVector<Value> totals;
        for (Value total : own.drop_front(2))
          totals.push_back(e.mul(total, e.broadcast(shrink, width)));
        for (int64_t u = 0; u < inFlight; ++u) {
          Value weight = choose(e, isInside[u], exponential(e, e.sub(scores[u], maximum)), e.f32(0));
          sum = e.add(sum, weight);
          for (int64_t i = 0; i < pieces; ++i)
            totals[i] = e.fma(e.broadcast(weight, width), e.widen(value[u * pieces + i]), totals[i]);
        }
        next.append({maximum, sum});
        llvm::append_range(next, totals);
      }
      return next;
    });

    // Groups of a wave, then waves, each in a fixed order.
    Value wave = e.wave();
    Value isFirst = less(e, e.lane(), e.index(lanes));
    for (int64_t h = 0; h < heads; ++h) {
      SmallVector<Value> flat = {state[h * stride], state[h * stride + 1]};
      for (int64_t i = 0; i < pieces; ++i)
        for (int64_t j = 0; j < width; ++j)
          flat.push_back(vector::ExtractOp::create(e.b, e.loc, state[h * stride + 2 + i], j));
      flat = e.combineLanes(flat, lanes, e.workgroup.lanes,
                            [&](ArrayRef<Value> x, ArrayRef<Value> y) { return merge(e, x, y); });
      e.ifThen(isFirst, [&] {
        Value head = e.index(h);
        // 16 bytes at once: lanes stand `width` elements apart.
        int64_t wide = std::min<int64_t>(width, 4);
        auto type = VectorType::get({wide}, e.b.getF32Type());
        for (int64_t i = 0; i < pieces; ++i)
          for (int64_t j = 0; j < width; j += wide) {
            ValueRange elements = ArrayRef<Value>(flat).slice(2 + i * width + j, wide);
            Value several = vector::FromElementsOp::create(e.b, e.loc, type, elements);
            e.storeRaw(several, partial, {wave, head, e.addIndex(column(i), j)});
          }
        // All lanes of a group have the same maximum and sum.
        memref::StoreOp::create(e.b, e.loc, flat[0], partial, ValueRange{wave, head, e.index(size)});
        memref::StoreOp::create(e.b, e.loc, flat[1], partial, ValueRange{wave, head, e.index(size + 1)});
      });
    }
    e.barrier();
    e.forThreads(heads * (size + 2), [&](Value point) {
      auto at = e.delinearize(point, {heads, size + 2});
      Value maximum, isMaximum = arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::eq, at[1], e.index(size));
      SmallVector<Value> tops;
      for (int64_t w = 0; w < e.workgroup.waves(); ++w) {
        tops.push_back(e.load(partial, {e.index(w), at[0], e.index(size)}));
        maximum = maximum ? greater(e, maximum, tops[w]) : tops[w];
      }
      Value sum = e.f32(0);
      for (int64_t w = 0; w < e.workgroup.waves(); ++w) {
        Value element = e.load(partial, {e.index(w), at[0], at[1]});
        sum = e.add(sum, e.mul(element, exponential(e, e.sub(tops[w], maximum))));
      }
      // Written [values, maximum, sum]: the maximum is no sum.
      Value result = choose(e, isMaximum, maximum, sum);
      memref::StoreOp::create(e.b, e.loc, result, out, ValueRange{zero, row, at[0], at[1]});
    });
    e.barrier();
  });
}

void gpugen::lowerAttentionMerge(Emitter &e, AttentionMergeOp op) {
  Value parts = op.getInputs()[0], out = op.getOutputs()[0];
  int64_t rows = shapeOf(out)[0], heads = shapeOf(out)[1], size = shapeOf(out)[2];
  int64_t count = op.getParts(), group = shapeOf(parts)[2];
  int64_t width = elementsOf16Bytes(elementOf(out));
  while (size % width)
    width /= 2;
  e.forThreads(rows * heads * (size / width), [&](Value point) {
    auto at = e.delinearize(point, {rows, heads, size / width});
    Value row = at[0], column = e.mulIndex(at[2], width);
    Value kv = arith::DivUIOp::create(e.b, e.loc, at[1], e.index(group));
    Value head = arith::RemUIOp::create(e.b, e.loc, at[1], e.index(group));
    Value first = e.mulIndex(kv, count);
    SmallVector<Value> tops, sums, values;
    for (int64_t p = 0; p < count; ++p) {
      Value part = e.addIndex(first, p);
      tops.push_back(e.load(parts, {part, row, head, e.index(size)}));
      sums.push_back(e.load(parts, {part, row, head, e.index(size + 1)}));
      values.push_back(e.loadVector(parts, {part, row, head, column}, width));
    }
    Value maximum = tops[0];
    for (int64_t p = 1; p < count; ++p)
      maximum = greater(e, maximum, tops[p]);
    Value weights = e.f32(0), total = e.splat(0, width);
    for (int64_t p = 0; p < count; ++p) {
      Value shrink = exponential(e, e.sub(tops[p], maximum));
      weights = e.add(weights, e.mul(sums[p], shrink));
      total = e.add(total, e.mul(values[p], e.broadcast(shrink, width)));
    }
    // An idle row has no weight anywhere.
    Value isEmpty = arith::CmpFOp::create(e.b, e.loc, arith::CmpFPredicate::OEQ, weights, e.f32(0));
    Value inverse = e.div(e.f32(1), choose(e, isEmpty, e.f32(1), weights));
    e.storeVector(e.mul(total, e.broadcast(inverse, width)), out, {row, at[1], column});
  });
  e.barrier();
}
