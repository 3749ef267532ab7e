//===- LowerContractions.cpp - Contractions to mma.sync
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ManyRows.h"

#include "fleet/Conversion/NVGPUPasses.h"
#include "fleet/IR/Fleet.h"

#include "mlir/IR/Matchers.h"
#include "mlir/Interfaces/FunctionInterfaces.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

namespace mlir::fleet {
#define GEN_PASS_DEF_NVGPULOWERCONTRACTIONS
#include "fleet/Conversion/NVGPUPasses.h.inc"
} // namespace mlir::fleet

using namespace mlir;
using namespace mlir::fleet;
using namespace mlir::fleet::gpugen;
using namespace mlir::fleet::nv;

namespace {
/// The left sides that a body has in shared memory, by the place in front of which
/// they were brought there, and the bytes behind its scratch that they take.
struct StagedLefts {
  llvm::DenseMap<std::pair<Value, Operation *>, Value> buffers;
  int64_t bytes = 0;
};
} // namespace

/// store(i, load(i)) for i in [0, count), spread over the threads.
static void copyInTurn(Emitter &e, int64_t count, function_ref<Value(Value)> load,
                       function_ref<void(Value, Value)> store) {
  // So many loads wait for nothing but each other.
  constexpr int64_t kAtOnce = 6, kMost = 16;
  int64_t threads = e.workgroup.threads;
  if (count % threads || count / threads > kMost) {
    e.forThreads(count, [&](Value i) { store(i, load(i)); });
    return;
  }
  for (int64_t done = 0; done < count; done += kAtOnce * threads) {
    SmallVector<Value> at, loaded;
    for (int64_t i = done; i < std::min(done + kAtOnce * threads, count); i += threads) {
      at.push_back(e.addIndex(e.thread(), i));
      loaded.push_back(load(at.back()));
    }
    for (auto [i, value] : llvm::zip_equal(at, loaded))
      store(i, value);
  }
}

/// `value` as high parts, in bf16, and what is left of them, in bf16.
static std::pair<Value, Value> splitWide(Emitter &e, Value value) {
  Type bf16 = e.b.getBF16Type();
  Value high = e.round(value, bf16);
  return {high, e.round(e.sub(value, e.widen(high)), bf16)};
}

/// A wide left side of which each thread splits what it has loaded where it stands.
static Value splitInPlace(Emitter &e, const Contraction &c) {
  auto view = c.lhs.getDefiningOp<memref::ViewOp>();
  auto type = inWorkgroupMemory({c.rows, 2 * c.depth}, e.b.getBF16Type());
  Value split = memref::ViewOp::create(e.b, e.loc, type, view.getSource(), view.getByteShift(), ValueRange());
  e.forThreads(c.rows * c.depth / kBlock, [&](Value i) {
    SmallVector<Value> at = e.delinearize(i, {c.rows, c.depth / kBlock});
    Value row = at[0], from = e.mulIndex(at[1], kBlock), to = e.mulIndex(at[1], 2 * kBlock);
    auto [high, rest] = splitWide(e, e.loadRaw(c.lhs, {row, from}, kBlock));
    e.storeRaw(high, split, {row, to});
    e.storeRaw(rest, split, {row, e.addIndex(to, kBlock)});
  });
  return split;
}

static Value copySplit(Emitter &e, const Contraction &c, int64_t behind) {
  Type bf16 = e.b.getBF16Type();
  Value split = besideScratch(e, behind, inWorkgroupMemory({c.rows, 2 * c.depth + kWidePadding}, bf16));
  constexpr int64_t kHalf = kBlock / 2;
  auto pointOf = [&](Value i) { return e.delinearize(i, {c.rows, c.depth / kBlock, 2}); };
  auto load = [&](Value i) {
    SmallVector<Value> at = pointOf(i);
    return e.loadRaw(c.lhs, {at[0], e.addIndex(e.mulIndex(at[1], kBlock), e.mulIndex(at[2], kHalf))}, kHalf);
  };
  auto store = [&](Value i, Value four) {
    SmallVector<Value> at = pointOf(i);
    Value to = e.addIndex(e.mulIndex(at[1], 2 * kBlock), e.mulIndex(at[2], kHalf));
    auto [high, rest] = splitWide(e, four);
    e.storeRaw(high, split, {at[0], to});
    e.storeRaw(rest, split, {at[0], e.addIndex(to, kBlock)});
  };
  copyInTurn(e, c.rows * c.depth / kHalf, load, store);
  return split;
}

static Value copyAsIs(Emitter &e, const Contraction &c, int64_t behind) {
  Value staged = besideScratch(e, behind, inWorkgroupMemory({c.rows, c.depth}, e.b.getBF16Type()));
  constexpr int64_t kWide = 8;
  auto pointOf = [&](Value i) {
    SmallVector<Value> at = e.delinearize(i, {c.rows, c.depth / kWide});
    at[1] = e.mulIndex(at[1], kWide);
    return at;
  };
  copyInTurn(
      e, c.rows * c.depth / kWide, [&](Value i) { return e.loadRaw(c.lhs, pointOf(i), kWide); },
      [&](Value i, Value eight) { e.storeRaw(eight, staged, pointOf(i)); });
  return staged;
}

/// Brings a left side to shared memory, once for all tiles of the loop around.
static void stage(Emitter &e, linalg::MatmulOp op, Contraction &c, StagedLefts &lefts) {
  std::optional<Staging> staging = findStaging(op, c);
  if (!staging)
    return;
  auto [it, inserted] = lefts.buffers.try_emplace({c.lhs, staging->place});
  if (inserted) {
    OpBuilder::InsertionGuard guard(e.b);
    e.b.setInsertionPoint(staging->place);
    if (!c.isWide)
      it->second = copyAsIs(e, c, lefts.bytes);
    else
      it->second = staging->bytes ? copySplit(e, c, lefts.bytes) : splitInPlace(e, c);
    lefts.bytes += llvm::alignTo(staging->bytes, kSharedAlignment);
    e.barrier();
  }
  c.lhs = it->second;
}

/// Erases the op that makes `out`, the accumulator of `op`, zero, if it comes just before.
static bool takeZero(linalg::MatmulOp op, Value out) {
  Operation *before = op->getPrevNode();
  while (before && isMemoryEffectFree(before))
    before = before->getPrevNode();
  auto fill = dyn_cast_or_null<linalg::FillOp>(before);
  if (!fill || fill.getOutputs()[0] != out || !matchPattern(fill.value(), m_AnyZeroFloat()))
    return false;
  fill.erase();
  return true;
}

/// The tile's columns are the rows of the mma, so that 16 of them need no
/// padding, and rows of activations its columns, padded to 8. Warps take slots of
/// the ring, or steps of the contracted dimension, in turn; their partial sums
/// are added in order. Of a wide left side of few rows the high parts are rows 0 to 3, what is
/// left of them rows 4 to 7; of one of many rows each part has an mma of its own.
static void lower(Emitter &e, linalg::MatmulOp op, Contraction c, std::optional<int64_t> slots, StagedLefts &lefts) {
  stage(e, op, c, lefts);
  bool isZero = takeZero(op, c.out);
  int64_t waves = e.workgroup.waves(), blocks = c.rowBlocks();
  Value wave = e.wave(), lane = e.lane();
  auto rem = [&](Value x, int64_t y) -> Value { return arith::RemUIOp::create(e.b, e.loc, x, e.index(y)); };
  auto quotient = [&](Value x, int64_t y) -> Value { return arith::DivUIOp::create(e.b, e.loc, x, e.index(y)); };
  Value group = quotient(lane, 4), inGroup = e.mulIndex(rem(lane, 4), 2);
  // Where this lane's row of the four 8x8 matrices begins, in bytes from the step's first.
  Value matrixRow = e.addIndex(rem(lane, 8), e.mulIndex(quotient(lane, 16), 8));
  Value matrixHalf = rem(quotient(lane, 8), 2);
  Value laneOffset = e.addIndex(e.mulIndex(matrixRow, kColumns * 2), e.mulIndex(matrixHalf, 16));
  // Rows past the end repeat the last one; their results are not stored.
  SmallVector<Value> rows;
  constexpr int64_t kWideRows = kRows / 2;
  bool isOneMma = c.isOneMma();
  for (int64_t n = 0; n < blocks; ++n) {
    Value row = isOneMma ? rem(group, kWideRows) : e.addIndex(group, n * kRows);
    if ((n + 1) * (isOneMma ? kWideRows : kRows) > c.rows)
      row = arith::MinUIOp::create(e.b, e.loc, row, e.index(c.rows - 1));
    rows.push_back(row);
  }
  Type i32 = e.b.getI32Type();
  auto pair = [&](Value row, Value depth) -> Value {
    Value two = e.loadRaw(c.lhs, {row, depth}, 2);
    Value bits = vector::BitCastOp::create(e.b, e.loc, VectorType::get({1}, i32), two);
    return vector::ExtractOp::create(e.b, e.loc, bits, int64_t(0));
  };
  // Two elements of f32: their high parts, and what is left of them.
  auto pairOfParts = [&](Value row, Value depth) -> std::pair<Value, Value> {
    Value two = e.loadRaw(c.lhs, {row, depth}, 2);
    Value x = vector::ExtractOp::create(e.b, e.loc, two, int64_t(0));
    Value y = vector::ExtractOp::create(e.b, e.loc, two, int64_t(1));
    return splitBf16(e, x, y);
  };
  // Elements of the left side that stand for one contracted element.
  int64_t parts = isOneMma ? 2 : 1;
  Value inStep = isOneMma ? e.addIndex(inGroup, e.mulIndex(quotient(group, kWideRows), kBlock)) : inGroup;
  auto stepOf = [&](Value depth, ArrayRef<Value> left, ValueRange sums) {
    SmallVector<Value> next;
    Value at = e.addIndex(isOneMma ? e.mulIndex(depth, parts) : depth, inStep);
    for (int64_t n = 0; n < blocks; ++n) {
      SmallVector<Value> sum(sums.slice(4 * n, 4));
      if (c.isWide && !isOneMma) {
        auto [high, rest] = pairOfParts(rows[n], at);
        auto [deeperHigh, deeperRest] = pairOfParts(rows[n], e.addIndex(at, kDepth / 2));
        sum = multiply(e, left, {high, deeperHigh}, sum);
        llvm::append_range(next, multiply(e, left, {rest, deeperRest}, sum));
        continue;
      }
      SmallVector<Value> right = {pair(rows[n], at), pair(rows[n], e.addIndex(at, parts * kDepth / 2))};
      llvm::append_range(next, multiply(e, left, right, sum));
    }
    return next;
  };
  SmallVector<Value> sums(4 * blocks, e.f32(0));
  if (slots) {
    Ring ring{e, *slots};
    Value data = ring.data();
    Value positions = e.shared("ring_position", inWorkgroupMemory({e.workgroup.threads}, i32));
    Value position = e.toIndex(e.load(positions, e.thread()));
    // A warp takes whole slots: it waits for one barrier, then has steps enough
    // to hide the latency of each behind the others, in two sums.
    constexpr int64_t kUnroll = 4;
    int64_t chunks = llvm::divideCeil(c.depth, kDeep);
    SmallVector<Value> both(sums);
    llvm::append_range(both, sums);
    // A warp that is at a chunk has had the one `waves` before it, so the copy before
    // that in the same slot has come (kMostInFlight): parities tell two rounds apart.
    both = e.loop(wave, e.index(chunks), waves, both, [&](Value chunk, ValueRange carried) {
      Value at = e.addIndex(position, chunk);
      Value slot = rem(at, *slots);
      Value parity = arith::AndIOp::create(e.b, e.loc,
                                           arith::IndexCastOp::create(e.b, e.loc, i32, quotient(at, *slots)), e.i32(1));
      ring.waitUntilFull(slot, parity);
      Value base = e.addIndex(e.mulIndex(slot, kSlot), laneOffset), begin = e.mulIndex(chunk, kDeep);
      auto one = [&](Value depth, ValueRange sums) {
        Value from = e.addIndex(base, e.mulIndex(depth, kColumns * 2));
        return stepOf(e.addIndex(begin, depth), loadMatrices(e, pointerTo(e, data, from)), sums);
      };
      Value deep = e.index(kDeep);
      if (c.depth % kDeep)
        deep = arith::MinUIOp::create(e.b, e.loc, deep, arith::SubIOp::create(e.b, e.loc, e.index(c.depth), begin));
      int64_t count = 4 * blocks;
      SmallVector<Value> next(carried);
      bool isEven = c.depth % (kDepth * kUnroll) == 0;
      next = e.loop(e.index(0), deep, isEven ? kDepth * kUnroll : kDepth, next, [&](Value depth, ValueRange carried) {
        SmallVector<Value> low(carried.take_front(count)), high(carried.drop_front(count));
        for (int64_t u = 0; u < (isEven ? kUnroll : 1); ++u) {
          SmallVector<Value> &sum = u % 2 ? high : low;
          sum = one(e.addIndex(depth, u * kDepth), sum);
        }
        llvm::append_range(low, high);
        return low;
      });
      ring.release(slot);
      return next;
    });
    // Positions only matter modulo two rounds of the ring.
    Value after = rem(e.addIndex(position, chunks), 2 * *slots);
    memref::StoreOp::create(e.b, e.loc, arith::IndexCastOp::create(e.b, e.loc, i32, after), positions, e.thread());
    for (size_t i = 0, n = sums.size(); i < n; ++i)
      sums[i] = e.add(both[i], both[n + i]);
  } else {
    bool isOrdered = e.module->hasAttr(kOrdered);
    auto weight = [&](Value depth, Value column) -> Value {
      if (!isOrdered)
        return e.load(c.rhs, {depth, column});
      // Element [h][s][c][m][t][e] of the chunk, taken as rows of the tile's columns: of both halves of the columns a
      // step has 8.
      Value first = e.mulIndex(quotient(depth, kDeep), kDeep);
      Value left = arith::SubIOp::create(e.b, e.loc, e.index(c.depth), first);
      Value half = arith::MulIOp::create(e.b, e.loc, quotient(column, kColumns / 2),
                                         quotient(arith::MinUIOp::create(e.b, e.loc, left, e.index(kDeep)), 2));
      Value step = e.mulIndex(quotient(rem(depth, kDeep), kDepth), kDepth / 2), pair = rem(quotient(depth, 2), 2);
      Value inStep = e.addIndex(e.mulIndex(pair, kDepth / 4), quotient(rem(column, kColumns / 2), 2));
      Value at = e.addIndex(e.mulIndex(quotient(rem(depth, kDepth), 4), 2), rem(depth, 2));
      return e.load(c.rhs, {e.addIndex(e.addIndex(first, half), e.addIndex(step, inStep)),
                            e.addIndex(e.mulIndex(rem(column, 2), kColumns / 2), at)});
    };
    sums = e.loop(e.mulIndex(wave, kDepth), e.index(c.depth), waves * kDepth, sums, [&](Value depth, ValueRange sums) {
      // As the four matrices would hold them: (column, depths d and d + 1).
      SmallVector<Value> left;
      for (auto [deeper, right] : {std::pair(0, 0), {0, 8}, {8, 0}, {8, 8}}) {
        Value at = e.addIndex(e.addIndex(depth, inGroup), deeper);
        Value column = e.addIndex(group, right);
        Value two = vector::FromElementsOp::create(e.b, e.loc, VectorType::get({2}, e.b.getBF16Type()),
                                                   ValueRange{weight(at, column), weight(e.addIndex(at, 1), column)});
        Value bits = vector::BitCastOp::create(e.b, e.loc, VectorType::get({1}, i32), two);
        left.push_back(vector::ExtractOp::create(e.b, e.loc, bits, int64_t(0)));
      }
      return stepOf(depth, left, sums);
    });
  }

  // Row r + 4 is another lane's.
  if (isOneMma)
    for (int64_t i = 0; i < 4; ++i)
      if (i % 2 < c.rows)
        sums[i] = e.add(sums[i], e.shuffleXor(sums[i], kWideRows / 2));
  Value partial = e.shared("partial", inWorkgroupMemory({waves, c.rows, kColumns}, e.b.getF32Type()));
  for (int64_t n = 0; n < blocks; ++n)
    for (int64_t i = 0; i < 4; ++i) {
      Value row = e.addIndex(inGroup, n * kRows + i % 2);
      Value column = e.addIndex(group, i / 2 * 8);
      auto store = [&] {
        memref::StoreOp::create(e.b, e.loc, sums[4 * n + i], partial, ValueRange{wave, row, column});
      };
      if ((n + 1) * kRows > c.rows)
        e.ifThen(arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::ult, row, e.index(c.rows)), store);
      else
        store();
    }
  e.barrier();
  e.forThreads(c.rows * kColumns, [&](Value i) {
    SmallVector<Value> at = e.delinearize(i, {c.rows, kColumns});
    Value sum = isZero ? Value() : e.load(c.out, at);
    for (int64_t w = 0; w < waves; ++w) {
      Value own = e.load(partial, {e.index(w), at[0], at[1]});
      sum = sum ? e.add(sum, own) : own;
    }
    memref::StoreOp::create(e.b, e.loc, sum, c.out, at);
  });
  e.barrier();
}

namespace {
struct NVGPULowerContractions : mlir::fleet::impl::NVGPULowerContractionsBase<NVGPULowerContractions> {
  void runOnOperation() override {
    auto slots = getOperation()->getAttrOfType<IntegerAttr>(kSlots);
    if (auto groups = getOperation()->getAttrOfType<IntegerAttr>(kRowGroups); slots && groups)
      for (auto body : getOperation().getOps<func::FuncOp>())
        if (std::optional<TileLoop> loop = matchTileLoop(body); loop && loop->loop->hasAttr(kTogether)) {
          OpBuilder builder(loop->loop);
          Emitter e(builder, loop->loop.getLoc(), getOperation());
          lowerTogether(e, *loop, slots.getInt(), groups.getInt());
        }
    SmallVector<linalg::MatmulOp> ops;
    getOperation()->walk([&](linalg::MatmulOp op) { ops.push_back(op); });
    llvm::DenseMap<Operation *, StagedLefts> lefts;
    for (linalg::MatmulOp op : ops) {
      std::optional<Contraction> contraction = matchContraction(op);
      if (!contraction)
        continue;
      OpBuilder builder(op);
      Emitter e(builder, op.getLoc(), getOperation());
      bool isStreamed = op->hasAttr(kStreamed);
      lower(e, op, *contraction, isStreamed && slots ? std::optional(slots.getInt()) : std::nullopt,
            lefts[op->getParentOfType<FunctionOpInterface>()]);
      op.erase();
    }
  }
};
} // namespace
