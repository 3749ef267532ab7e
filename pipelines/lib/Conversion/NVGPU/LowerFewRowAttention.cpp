//===- LowerFewRowAttention.cpp - A part of attention in few round trips
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Streams.h"

#include "../GPU/AttentionParts.h"

#include "fleet/Conversion/NVGPUPasses.h"
#include "fleet/IR/Fleet.h"

#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Interfaces/FunctionInterfaces.h"
#include "llvm/Support/MathExtras.h"

namespace mlir::fleet {
#define GEN_PASS_DEF_NVGPULOWERFEWROWATTENTION
#include "fleet/Conversion/NVGPUPasses.h.inc"
} // namespace mlir::fleet

using namespace mlir;
using namespace mlir::fleet;
using namespace mlir::fleet::gpugen;
using namespace mlir::fleet::nv;

/// Stands for minus infinity: exp of a difference with it is 0, never a NaN.
static constexpr float kLowest = -1.0e30f;
/// Positions that a warp takes at once: two blocks of columns of an mma.
static constexpr int64_t kChunk = 16;
/// Rows of an mma's left side that hold query heads; the other 8 are zero.
static constexpr int64_t kHeadRows = 8;
static constexpr int64_t kWarp = 32;
/// Elements of 16 bytes.
static constexpr int64_t kWide = 8;

static ArrayRef<int64_t> shapeOf(Value value) { return cast<ShapedType>(value.getType()).getShape(); }
static Value exponential(Emitter &e, Value x) { return math::ExpOp::create(e.b, e.loc, x); }
static Value greater(Emitter &e, Value x, Value y) { return arith::MaxNumFOp::create(e.b, e.loc, x, y); }
static Value compare(Emitter &e, arith::CmpIPredicate how, Value x, Value y) {
  return arith::CmpIOp::create(e.b, e.loc, how, x, y);
}
static Value less(Emitter &e, Value x, Value y) { return compare(e, arith::CmpIPredicate::ult, x, y); }
static Value equal(Emitter &e, Value x, Value y) { return compare(e, arith::CmpIPredicate::eq, x, y); }
static Value both(Emitter &e, Value x, Value y) { return arith::AndIOp::create(e.b, e.loc, x, y); }
static Value choose(Emitter &e, Value condition, Value x, Value y) {
  return arith::SelectOp::create(e.b, e.loc, condition, x, y);
}
static Value quotient(Emitter &e, Value x, int64_t y) {
  return arith::DivUIOp::create(e.b, e.loc, x, e.index(y));
}
static Value remainder(Emitter &e, Value x, int64_t y) {
  return arith::RemUIOp::create(e.b, e.loc, x, e.index(y));
}

namespace {
/// How rows of queries, keys or values come about: a buffer in global memory,
/// then norms and rotations. A warp holds a row of it.
struct Source {
  Value buffer;
  SmallVector<Operation *> steps;
  /// Brings them from `buffer`, then of words, to where the steps take them; null where they stand there.
  ReceiveOp receive;

  Value emit(Emitter &e, Value row, Value head) const;
};

struct Part {
  AttentionPartialOp op;
  Source q, k, v;
};
} // namespace

/// Each lane loads and holds elements next to each other, so that a rotation
/// needs one exchange with the lane half a warp away.
Value Source::emit(Emitter &e, Value row, Value head) const {
  int64_t own = shapeOf(buffer)[2] / kWarp;
  Value lane = e.lane(), column = e.mulIndex(lane, own);
  // All loads first: they wait for nothing but each other.
  Value x = receive ? Value() : e.loadVector(buffer, {row, head, column}, own);
  SmallVector<std::pair<Value, Value>> tables;
  for (Operation *step : steps) {
    if (auto norm = dyn_cast<RmsNormOp>(step))
      tables.push_back({e.loadVector(norm.getInputs()[1], column, own), Value()});
    else
      tables.push_back({e.loadVector(step->getOperand(1), {row, column}, own),
                        e.loadVector(step->getOperand(2), {row, column}, own)});
  }
  if (receive)
    x = TakeOp::create(e.b, e.loc, VectorType::get({own}, e.b.getF32Type()), buffer, ValueRange{row, head, column});
  for (auto [step, table] : llvm::zip_equal(steps, tables)) {
    auto norm = dyn_cast<RmsNormOp>(step);
    x = norm ? normHead(e, x, table.first, norm.getEps()) : rotateHead(e, x, table.first, table.second, lane);
  }
  return x;
}

/// The chain of norms and rotations that writes `value`, which only `reader` reads.
static std::optional<Source> findSource(Value value, Operation *reader) {
  Source source;
  Operation *user = reader;
  int64_t size = shapeOf(value)[2];
  while (isInWorkgroupMemory(cast<MemRefType>(value.getType()))) {
    Operation *writer = nullptr;
    for (Operation *other : value.getUsers()) {
      // A norm may be computed in place.
      if (other == reader || llvm::is_contained(source.steps, other))
        continue;
      if (other->getBlock() != user->getBlock() || !isa<RopeOp, RmsNormOp, ReceiveOp>(other) ||
          other->getOperands().back() != value || !other->isBeforeInBlock(user))
        return std::nullopt;
      if (!writer || writer->isBeforeInBlock(other))
        writer = other;
    }
    if (!writer || (isa<RopeOp>(writer) && shapeOf(writer->getOperand(1))[1] != size))
      return std::nullopt;
    value = writer->getOperand(0);
    if ((source.receive = dyn_cast<ReceiveOp>(writer)))
      break;
    source.steps.insert(source.steps.begin(), writer);
    user = writer;
  }
  source.buffer = value;
  if (!cpu::isContiguousInLastDim(value))
    return std::nullopt;
  return source;
}

static std::optional<Part> match(AttentionPartialOp op) {
  ValueRange in = op.getInputs();
  auto keys = dyn_cast<MemRefType>(in[5].getType()), values = dyn_cast<MemRefType>(in[6].getType());
  if (!op.getPart() || op.getDealt() || !keys || !values || !keys.getElementType().isBF16() || !values.getElementType().isBF16())
    return std::nullopt;
  int64_t group = shapeOf(in[0])[1], size = shapeOf(in[0])[2];
  bool fits = size == 32 || size == 64 || size == 128 || size == 256;
  if (!fits || group > kHeadRows || shapeOf(in[1])[1] != 1 || shapeOf(in[0])[0] > kFewRows)
    return std::nullopt;
  for (Value value : {in[5], in[6], op.getOutputs()[0]})
    if (!cpu::isContiguousInLastDim(value))
      return std::nullopt;
  auto q = findSource(in[0], op), k = findSource(in[1], op), v = findSource(in[2], op);
  if (!q || !k || !v)
    return std::nullopt;
  return Part{op, *q, *k, *v};
}

namespace {
struct Lowering {
  Emitter &e;
  AttentionPartialOp op;
  const Part &part;
  ValueRange in = op.getInputs();
  Value slots = in[3], positions = in[4], keys = in[5], values = in[6], out = op.getOutputs()[0];
  int64_t rows = shapeOf(in[0])[0], group = shapeOf(in[0])[1], size = shapeOf(in[0])[2];
  int64_t context = shapeOf(keys)[2], length = llvm::divideCeil(context, static_cast<int64_t>(op.getParts()));
  /// Rows that the workgroup works on at once, and warps on each.
  int64_t atOnce = std::min<int64_t>(e.workgroup.waves(), llvm::PowerOf2Ceil(rows));
  int64_t members = e.workgroup.waves() / atOnce;
  /// The rest of a query's rounding to bf16 has rows of the mma of its own.
  bool hasRest = 2 * group <= kHeadRows;
  /// 32 elements of a key are two steps of an mma: a lane's 16 bytes hold its
  /// elements of both, as the order of the contracted elements is free.
  int64_t steps = size / 32;
  /// Elements of a value that a lane loads at once, and how often.
  int64_t valueWidth = std::min(kWide, size / 8), valueLoads = size / (8 * valueWidth);
  Value zero = e.index(0), lane = e.lane(), wave = e.wave();
  Value begin{}, end{}, queries{}, newest{}, partial{};

  /// With one row a launch's newest key and value go to the cache and, for this
  /// very step, to shared memory: nobody waits for their way through the L2.
  bool isSingle() const { return rows == 1; }
  /// A warp has one chunk of a part at most.
  bool isOnce() const { return length <= members * kChunk; }
  /// The last warp has none, and takes the newest position.
  bool isApart() const { return isSingle() && length <= (members - 1) * kChunk; }

  Value keyColumn(int64_t step) { return e.addIndex(e.mulIndex(remainder(e, lane, 4), kWide), step * 4 * kWide); }
  /// Of a lane's values: positions 2t, 2t + 1, 2t + 8 and 2t + 9 of the chunk, t = lane mod 4.
  Value valuePosition(int64_t i) { return e.addIndex(e.mulIndex(remainder(e, lane, 4), 2), i / 2 * kRows + i % 2); }
  Value valueColumn(int64_t load) {
    return e.mulIndex(e.addIndex(quotient(e, lane, 4), load * 8), valueWidth);
  }

  void placeBuffers();
  Value isHere(Value slot, Value position);
  Value storeNew(const Source &source, Value cache, Value row, Value slot, Value position);
  SmallVector<Value> fetch(Value where, Value at, Value last);
  void prepare(Value row, Value rowAt, Value member, Value slot, Value position);
  SmallVector<Value> withNewest(ArrayRef<Value> fetched, Value at, Value position);
  SmallVector<Value> orNewest(ArrayRef<Value> fetched, Value isNewest);
  SmallVector<Value> takeChunk(ArrayRef<Value> fetched, ArrayRef<Value> query, ArrayRef<Value> state, Value at,
                               Value last);
  void mergeWarps(Value base);
  void takeRows(Value base);
  void emit();
};
} // namespace

void Lowering::placeBuffers() {
  Type bf16 = e.b.getBF16Type(), f32 = e.b.getF32Type();
  int64_t waves = e.workgroup.waves(), bytes = 0;
  auto place = [&](ArrayRef<int64_t> shape, Type type) {
    MemRefType buffer = inWorkgroupMemory(shape, type);
    int64_t at = bytes;
    bytes = llvm::alignTo(bytes + buffer.getNumElements() * type.getIntOrFloatBitWidth() / 8, 64);
    return std::pair(at, buffer);
  };
  // Rows 64 bytes further than a multiple of 128: two of them fill all banks.
  auto q = place({atOnce, kHeadRows, size + 32}, bf16), own = place({2, size}, bf16);
  std::pair<int64_t, MemRefType> p;
  if (members > 1)
    p = place({waves, group, size + kAttentionExtra}, f32);
  Value all = besideScratch(e, 0, inWorkgroupMemory({bytes}, e.b.getI8Type()));
  auto view = [&](std::pair<int64_t, MemRefType> at) { return cpu::viewAt(e, all, at.first, at.second); };
  queries = view(q), newest = view(own);
  if (members > 1)
    partial = view(p);
}

/// The part that reads a position is the one that stores it.
Value Lowering::isHere(Value slot, Value position) {
  Value isActive = compare(e, arith::CmpIPredicate::sge, slot, e.i32(0));
  return both(e, isActive,
              both(e, less(e, position, end), compare(e, arith::CmpIPredicate::uge, position, begin)));
}

Value Lowering::storeNew(const Source &source, Value cache, Value row, Value slot, Value position) {
  Value x = e.round(source.emit(e, row, zero), e.b.getBF16Type());
  e.ifThen(isHere(slot, position), [&] {
    e.storeRaw(x, cache, {e.toIndex(slot), zero, position, e.mulIndex(lane, size / kWarp)});
  });
  return x;
}

/// The keys and values of the chunk of positions at `at`, as the mma wants them
/// (the order of contracted elements is free); past `last`, what stands in front.
SmallVector<Value> Lowering::fetch(Value where, Value at, Value last) {
  Value most = arith::SubIOp::create(e.b, e.loc, arith::MaxUIOp::create(e.b, e.loc, last, e.index(1)), e.index(1));
  auto clamp = [&](Value position) -> Value { return arith::MinUIOp::create(e.b, e.loc, position, most); };
  SmallVector<Value> loaded;
  for (int64_t n = 0; n < kChunk; n += kRows) {
    Value position = clamp(e.addIndex(e.addIndex(at, n), quotient(e, lane, 4)));
    for (int64_t s = 0; s < steps; ++s)
      loaded.push_back(e.loadRaw(keys, {where, zero, position, keyColumn(s)}, kWide));
  }
  for (int64_t i = 0; i < 4; ++i) {
    Value position = clamp(e.addIndex(at, valuePosition(i)));
    for (int64_t j = 0; j < valueLoads; ++j)
      loaded.push_back(e.loadRaw(values, {where, zero, position, valueColumn(j)}, valueWidth));
  }
  return loaded;
}

/// Queries, scaled, to shared memory, a head by a warp of the row's in turn.
void Lowering::prepare(Value row, Value rowAt, Value member, Value slot, Value position) {
  int64_t own = size / kWarp, item = 0;
  Type bf16 = e.b.getBF16Type();
  Value column = e.mulIndex(lane, own);
  auto inTurn = [&](function_ref<void()> body) {
    if (members == 1)
      body();
    else
      e.ifThen(equal(e, member, e.index(item++ % members)), body);
  };
  auto query = [&](Value head) {
    Value x = e.mul(part.q.emit(e, row, head), e.splat(op.getScale().convertToDouble(), own));
    Value high = e.round(x, bf16);
    e.storeRaw(high, queries, {rowAt, head, column});
    if (hasRest)
      e.storeRaw(e.round(e.sub(x, e.widen(high)), bf16), queries,
                 {rowAt, e.addIndex(head, kHeadRows / 2), column});
  };
  if (members == 1) {
    e.loop(group, 1, query);
  } else if (members >= group) {
    // One piece of code, whatever the head.
    e.ifThen(less(e, member, e.index(group)), [&] { query(member); });
    item = group;
  } else {
    e.loop(member, e.index(group), members, {}, [&](Value head, ValueRange) {
      query(head);
      return SmallVector<Value>();
    });
  }
  if (!isSingle())
    return;
  auto take = [&](int64_t which, const Source &source, Value cache) {
    inTurn([&] {
      Value x = storeNew(source, cache, row, slot, position);
      e.storeRaw(x, newest, {e.index(which), column});
    });
  };
  take(0, part.k, keys);
  take(1, part.v, values);
}

/// Where the newest position stands in the chunk, its key and value come from
/// shared memory.
SmallVector<Value> Lowering::withNewest(ArrayRef<Value> fetched, Value at, Value position) {
  SmallVector<Type> types;
  for (Value value : fetched)
    types.push_back(value.getType());
  Value isHere = less(e, arith::SubIOp::create(e.b, e.loc, position, at), e.index(kChunk));
  auto branch = scf::IfOp::create(e.b, e.loc, types, isHere, /*withElseRegion=*/true);
  OpBuilder::InsertionGuard guard(e.b);
  e.b.setInsertionPointToStart(branch.elseBlock());
  scf::YieldOp::create(e.b, e.loc, fetched);
  e.b.setInsertionPointToStart(branch.thenBlock());
  SmallVector<Value> next;
  for (int64_t n = 0; n < kChunk; n += kRows) {
    Value isNewest = equal(e, e.addIndex(e.addIndex(at, n), quotient(e, lane, 4)), position);
    for (int64_t s = 0; s < steps; ++s)
      next.push_back(choose(e, isNewest, e.loadRaw(newest, {zero, keyColumn(s)}, kWide), fetched[next.size()]));
  }
  for (int64_t i = 0; i < 4; ++i) {
    Value isNewest = equal(e, e.addIndex(at, valuePosition(i)), position);
    for (int64_t j = 0; j < valueLoads; ++j)
      next.push_back(
          choose(e, isNewest, e.loadRaw(newest, {e.index(1), valueColumn(j)}, valueWidth), fetched[next.size()]));
  }
  scf::YieldOp::create(e.b, e.loc, next);
  return llvm::to_vector(ValueRange(branch.getResults()));
}

/// The newest key and value in place of a whole chunk, of which only the first
/// position counts then.
SmallVector<Value> Lowering::orNewest(ArrayRef<Value> fetched, Value isNewest) {
  SmallVector<Type> types;
  for (Value value : fetched)
    types.push_back(value.getType());
  auto branch = scf::IfOp::create(e.b, e.loc, types, isNewest, /*withElseRegion=*/true);
  OpBuilder::InsertionGuard guard(e.b);
  e.b.setInsertionPointToStart(branch.elseBlock());
  scf::YieldOp::create(e.b, e.loc, fetched);
  e.b.setInsertionPointToStart(branch.thenBlock());
  SmallVector<Value> key, value, all;
  for (int64_t s = 0; s < steps; ++s)
    key.push_back(e.loadRaw(newest, {zero, keyColumn(s)}, kWide));
  for (int64_t j = 0; j < valueLoads; ++j)
    value.push_back(e.loadRaw(newest, {e.index(1), valueColumn(j)}, valueWidth));
  for (int64_t n = 0; n < kChunk; n += kRows)
    llvm::append_range(all, key);
  for (int64_t i = 0; i < 4; ++i)
    llvm::append_range(all, value);
  scf::YieldOp::create(e.b, e.loc, all);
  return llvm::to_vector(ValueRange(branch.getResults()));
}

/// state: per lane, the maximum and the sum of weights of head lane / 4 (the sum
/// of its own positions), then the sums of the mma: 2 elements of the head, 2 of
/// a row that is none.
SmallVector<Value> Lowering::takeChunk(ArrayRef<Value> fetched, ArrayRef<Value> query, ArrayRef<Value> state,
                                       Value at, Value last) {
  Type i32 = e.b.getI32Type();
  Value inQuad = remainder(e, lane, 4);
  auto words = [&](Value vector) {
    int64_t count = cast<VectorType>(vector.getType()).getNumElements() / 2;
    Value bits = vector::BitCastOp::create(e.b, e.loc, VectorType::get({count}, i32), vector);
    SmallVector<Value> parts;
    for (int64_t i = 0; i < count; ++i)
      parts.push_back(vector::ExtractOp::create(e.b, e.loc, bits, i));
    return parts;
  };
  SmallVector<Value> scores, isInside;
  Value nothing = e.i32(0);
  for (int64_t n = 0; n < 2; ++n) {
    SmallVector<Value> sum(4, e.f32(0));
    for (int64_t s = 0; s < steps; ++s) {
      SmallVector<Value> right = words(fetched[n * steps + s]);
      for (int64_t half = 0; half < 2; ++half) {
        SmallVector<Value> left = {query[4 * s + 2 * half], nothing, query[4 * s + 2 * half + 1], nothing};
        sum = multiply(e, left, {right[2 * half], right[2 * half + 1]}, sum);
      }
    }
    for (int64_t i = 0; i < 2; ++i) {
      Value score = sum[i];
      if (hasRest)
        score = e.add(score, e.shuffleXor(score, kWarp / 2));
      Value where = e.addIndex(e.addIndex(at, n * kRows + i), e.mulIndex(inQuad, 2));
      isInside.push_back(less(e, where, last));
      scores.push_back(choose(e, isInside.back(), score, e.f32(kLowest)));
    }
  }
  Value maximum = state[0];
  for (Value score : scores)
    maximum = greater(e, maximum, score);
  maximum = e.combineLanes({maximum}, 1, 4, [&](ArrayRef<Value> x, ArrayRef<Value> y) {
    return SmallVector<Value>{greater(e, x[0], y[0])};
  })[0];
  Value shrink = exponential(e, e.sub(state[0], maximum));
  Value sum = e.mul(state[1], shrink);
  SmallVector<Value> own;
  for (auto [score, inside] : llvm::zip_equal(scores, isInside)) {
    own.push_back(choose(e, inside, exponential(e, e.sub(score, maximum)), e.f32(0)));
    sum = e.add(sum, own.back());
  }
  // A lane has the weights where the next mma wants them.
  SmallVector<Value> left = {nothing, nothing, nothing, nothing};
  for (int64_t n = 0; n < 2; ++n) {
    Value high = packBf16(e, own[2 * n], own[2 * n + 1]);
    left[2 * n] = high;
    if (!hasRest)
      continue;
    auto [lower, upper] = unpackBf16(e, high);
    Value rest = packBf16(e, e.sub(own[2 * n], lower), e.sub(own[2 * n + 1], upper));
    left[2 * n] = choose(e, less(e, lane, e.index(kWarp / 2)), high, rest);
  }
  SmallVector<Value> next = {maximum, sum};
  for (int64_t j = 0; j < valueLoads; ++j) {
    SmallVector<SmallVector<Value>> rows;
    for (int64_t i = 0; i < 4; ++i)
      rows.push_back(words(fetched[2 * steps + i * valueLoads + j]));
    for (int64_t c = 0; c < valueWidth; ++c) {
      SmallVector<Value> right;
      for (int64_t i = 0; i < 4; i += 2)
        right.push_back(selectHalves(e, rows[i][c / 2], rows[i + 1][c / 2], c % 2));
      SmallVector<Value> total(state.slice(2 + 4 * (j * valueWidth + c), 4));
      if (!isOnce())
        for (int64_t i = 0; i < 2; ++i)
          total[i] = e.mul(total[i], shrink);
      llvm::append_range(next, multiply(e, left, right, total));
    }
  }
  return next;
}

/// Warps of a row, in a fixed order, to the part's result.
void Lowering::mergeWarps(Value base) {
  constexpr int64_t kFour = 4;
  e.barrier();
  e.forThreads(atOnce * group * (size / kFour), [&](Value point) {
    auto at = e.delinearize(point, {atOnce, group, size / kFour});
    Value first = e.mulIndex(at[0], members), column = e.mulIndex(at[2], kFour);
    Value row = atOnce == 1 ? base : e.addIndex(base, at[0]);
    auto combine = [&] {
      SmallVector<Value> tops, sums, vectors;
      for (int64_t m = 0; m < members; ++m) {
        Value from = e.addIndex(first, m);
        tops.push_back(e.load(partial, {from, at[1], e.index(size)}));
        sums.push_back(e.load(partial, {from, at[1], e.index(size + 1)}));
        vectors.push_back(e.loadRaw(partial, {from, at[1], column}, kFour));
      }
      Value maximum = tops[0];
      for (Value top : ArrayRef<Value>(tops).drop_front())
        maximum = greater(e, maximum, top);
      Value sum = e.f32(0), total = e.splat(0, kFour);
      for (int64_t m = 0; m < members; ++m) {
        Value shrink = exponential(e, e.sub(tops[m], maximum));
        sum = e.add(sum, e.mul(sums[m], shrink));
        total = e.fma(e.broadcast(shrink, kFour), vectors[m], total);
      }
      e.storeRaw(total, out, {zero, row, at[1], column});
      e.ifThen(equal(e, at[2], zero), [&] {
        memref::StoreOp::create(e.b, e.loc, maximum, out, ValueRange{zero, row, at[1], e.index(size)});
        memref::StoreOp::create(e.b, e.loc, sum, out, ValueRange{zero, row, at[1], e.index(size + 1)});
      });
    };
    if (rows % atOnce)
      e.ifThen(less(e, row, e.index(rows)), combine);
    else
      combine();
  });
  e.barrier();
}

/// Rows base, base + 1, ...: warp w works on row w / members.
void Lowering::takeRows(Value base) {
  Value rowAt = quotient(e, wave, members), member = remainder(e, wave, members);
  Value row = e.addIndex(base, rowAt), isRow;
  if (rows % atOnce) {
    isRow = less(e, row, e.index(rows));
    row = arith::MinUIOp::create(e.b, e.loc, row, e.index(rows - 1));
  }
  Value slot = e.load(slots, row), position = e.toIndex(e.load(positions, row));
  Value isActive = compare(e, arith::CmpIPredicate::sge, slot, e.i32(0));
  // A row that is idle or stands before this part has nothing here.
  Value last = arith::MinUIOp::create(e.b, e.loc, e.addIndex(position, 1), end);
  last = choose(e, isActive, last, zero);
  Value where = e.toIndex(arith::MaxSIOp::create(e.b, e.loc, slot, e.i32(0)));
  Value first = e.addIndex(begin, e.mulIndex(member, kChunk)), takesNewest;
  if (isApart()) {
    takesNewest = equal(e, member, e.index(members - 1));
    Value afterNewest = choose(e, isHere(slot, position), e.addIndex(position, 1), zero);
    Value before = choose(e, isActive, arith::MinUIOp::create(e.b, e.loc, position, end), zero);
    first = choose(e, takesNewest, position, first);
    last = choose(e, takesNewest, afterNewest, before);
  }
  // On its way while the queries are made.
  SmallVector<Value> fetched = fetch(where, first, last);
  prepare(row, rowAt, member, slot, position);
  if (members > 1)
    e.barrier();
  else
    syncWarp(e);
  SmallVector<Value> query;
  for (int64_t s = 0; s < steps; ++s) {
    Value eight = e.loadRaw(queries, {rowAt, quotient(e, lane, 4), keyColumn(s)}, kWide);
    Value bits = vector::BitCastOp::create(e.b, e.loc, VectorType::get({4}, e.b.getI32Type()), eight);
    for (int64_t i = 0; i < 4; ++i)
      query.push_back(vector::ExtractOp::create(e.b, e.loc, bits, i));
  }
  SmallVector<Value> state = {e.f32(kLowest), e.f32(0)};
  state.append(4 * valueLoads * valueWidth, e.f32(0));
  int64_t count = state.size(), stride = members * kChunk;
  if (isOnce()) {
    // The sums begin as constants, which take no registers while keys and values do.
    auto some = scf::IfOp::create(e.b, e.loc, ValueRange(state).getTypes(), less(e, first, last), /*withElseRegion=*/true);
    OpBuilder::InsertionGuard guard(e.b);
    e.b.setInsertionPointToStart(some.elseBlock());
    scf::YieldOp::create(e.b, e.loc, state);
    e.b.setInsertionPointToStart(some.thenBlock());
    SmallVector<Value> here = isApart()    ? orNewest(fetched, takesNewest)
                              : isSingle() ? withNewest(fetched, first, position)
                                           : fetched;
    scf::YieldOp::create(e.b, e.loc, takeChunk(here, query, state, first, last));
    state.assign(some.getResults().begin(), some.getResults().end());
  } else {
    SmallVector<Value> carried(state);
    llvm::append_range(carried, fetched);
    carried = e.loop(first, last, stride, carried, [&](Value at, ValueRange now) {
      SmallVector<Value> before(now.take_front(count)), here(now.drop_front(count));
      SmallVector<Value> ahead = fetch(where, e.addIndex(at, stride), last);
      if (isSingle())
        here = withNewest(here, at, position);
      SmallVector<Value> next = takeChunk(here, query, before, at, last);
      llvm::append_range(next, ahead);
      return next;
    });
    state.assign(carried.begin(), carried.begin() + count);
  }

  Value sum = e.sumLanes(state[1], 1, 4);
  Value quad = quotient(e, lane, 4), inQuad = remainder(e, lane, 4);
  auto target = [&](Value column) {
    return members > 1 ? SmallVector<Value>{wave, quad, column} : SmallVector<Value>{zero, row, quad, column};
  };
  Value to = members > 1 ? partial : out;
  // Columns 2t * width to 2t * width + 2 * width - 1 of each load.
  SmallVector<Value> elements;
  for (int64_t j = 0; j < valueLoads; ++j)
    for (int64_t half = 0; half < 2; ++half)
      for (int64_t c = 0; c < valueWidth; ++c) {
        Value element = state[2 + 4 * (j * valueWidth + c) + half];
        elements.push_back(hasRest ? e.add(element, e.shuffleXor(element, kWarp / 2)) : element);
      }
  auto store = [&] {
    e.ifThen(less(e, quad, e.index(group)), [&] {
      auto type = VectorType::get({4}, e.b.getF32Type());
      for (size_t i = 0; i < elements.size(); i += 4) {
        int64_t load = i / (2 * valueWidth), inLoad = i % (2 * valueWidth);
        Value column = e.addIndex(e.mulIndex(inQuad, 2 * valueWidth), load * 8 * valueWidth + inLoad);
        Value four = vector::FromElementsOp::create(e.b, e.loc, type, ArrayRef<Value>(elements).slice(i, 4));
        e.storeRaw(four, to, target(column));
      }
      e.ifThen(equal(e, inQuad, zero), [&] {
        memref::StoreOp::create(e.b, e.loc, state[0], to, target(e.index(size)));
        memref::StoreOp::create(e.b, e.loc, sum, to, target(e.index(size + 1)));
      });
    });
  };
  if (members == 1 && isRow)
    e.ifThen(isRow, store);
  else
    store();
  if (members > 1)
    mergeWarps(base);
}

void Lowering::emit() {
  begin = e.mulIndex(op.getPart(), length);
  end = arith::MinUIOp::create(e.b, e.loc, e.addIndex(begin, length), e.index(context));
  placeBuffers();
  if (!isSingle()) {
    // Rows of one slot see each other's keys: all are stored before any is read.
    e.forWaves(rows, [&](Value row) {
      Value slot = e.load(slots, row), position = e.toIndex(e.load(positions, row));
      storeNew(part.k, keys, row, slot, position);
      storeNew(part.v, values, row, slot, position);
    });
    e.barrier();
  }
  if (rows <= atOnce) {
    takeRows(zero);
  } else {
    e.loop(rows, atOnce, [&](Value base) { takeRows(base); });
  }
  if (members == 1)
    e.barrier();
}

/// Notes which rows of which operands the body of `op` will read.
static void noteCaches(AttentionPartialOp op) {
  auto body = op->getParentOfType<FunctionOpInterface>();
  SmallVector<int64_t> operands;
  MemRefType type;
  for (Value cache : op.getInputs().slice(5, 2)) {
    auto part = cache.getDefiningOp<memref::SubViewOp>();
    auto argument = part ? dyn_cast<BlockArgument>(part.getSource()) : BlockArgument();
    if (!argument || argument.getOwner()->getParentOp() != body)
      return;
    type = cast<MemRefType>(argument.getType());
    if (!type.getLayout().isIdentity())
      return;
    operands.push_back(argument.getArgNumber());
  }
  Caches caches;
  caches.keys = operands[0], caches.values = operands[1];
  caches.heads = type.getDimSize(1), caches.context = type.getDimSize(2), caches.parts = op.getParts();
  caches.length = llvm::divideCeil(caches.context, caches.parts);
  caches.rowBytes = type.getDimSize(3) * type.getElementTypeBitWidth() / 8;
  body->setAttr(kCaches, DenseI64ArrayAttr::get(op.getContext(), caches.numbers()));
}

namespace {
struct NVGPULowerFewRowAttention : mlir::fleet::impl::NVGPULowerFewRowAttentionBase<NVGPULowerFewRowAttention> {
  void runOnOperation() override {
    SmallVector<AttentionPartialOp> ops;
    getOperation()->walk([&](AttentionPartialOp op) { ops.push_back(op); });
    for (AttentionPartialOp op : ops) {
      std::optional<Part> part = match(op);
      if (!part)
        continue;
      noteCaches(op);
      OpBuilder builder(op);
      Emitter e(builder, op.getLoc(), getOperation());
      Lowering{e, op, *part}.emit();
      op.erase();
      for (const Source &source : {part->q, part->k, part->v}) {
        for (Operation *step : llvm::reverse(source.steps))
          step->erase();
        if (source.receive)
          source.receive->erase();
      }
    }
  }
};
} // namespace
