//===- LowerContractions.cpp - Contractions to mma.sync
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ManyRows.h"

#include "fleet/Conversion/NVGPUPasses.h"
#include "fleet/IR/Fleet.h"

namespace mlir::fleet {
#define GEN_PASS_DEF_NVGPULOWERCONTRACTIONS
#include "fleet/Conversion/NVGPUPasses.h.inc"
} // namespace mlir::fleet

using namespace mlir;
using namespace mlir::fleet;
using namespace mlir::fleet::gpugen;
using namespace mlir::fleet::nv;

/// Brings a left side that stands in global memory to shared memory, once for
/// all tiles of the loop around.
static void stage(Emitter &e, linalg::MatmulOp op, Contraction &c) {
  auto loop = op->getParentOfType<scf::ForOp>();
  if (!c.stagedBytes() || !loop || !loop.isDefinedOutsideOfLoop(c.lhs))
    return;
  OpBuilder::InsertionGuard guard(e.b);
  e.b.setInsertionPoint(loop);
  Type bf16 = e.b.getBF16Type();
  Value staged = e.shared(kBodyBuffer, inWorkgroupMemory({c.rows, c.depth}, bf16));
  constexpr int64_t kWide = 8;
  e.forThreads(c.rows * c.depth / kWide, [&](Value i) {
    SmallVector<Value> at = e.delinearize(i, {c.rows, c.depth / kWide});
    at[1] = e.mulIndex(at[1], kWide);
    e.storeRaw(e.loadRaw(c.lhs, at, kWide), staged, at);
  });
  e.barrier();
  c.lhs = staged;
}

/// The tile's columns are the rows of the mma, so that 16 of them need no
/// padding, and rows of activations its columns, padded to 8. Warps take slots of
/// the ring, or steps of the contracted dimension, in turn; their partial sums
/// are added in order.
static void lower(Emitter &e, linalg::MatmulOp op, Contraction c, std::optional<int64_t> slots) {
  stage(e, op, c);
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
  for (int64_t n = 0; n < blocks; ++n) {
    Value row = e.addIndex(group, n * kRows);
    if ((n + 1) * kRows > c.rows)
      row = arith::MinUIOp::create(e.b, e.loc, row, e.index(c.rows - 1));
    rows.push_back(row);
  }
  Type i32 = e.b.getI32Type();
  auto pair = [&](Value row, Value depth) -> Value {
    Value two = e.loadRaw(c.lhs, {row, depth}, 2);
    Value bits = vector::BitCastOp::create(e.b, e.loc, VectorType::get({1}, i32), two);
    return vector::ExtractOp::create(e.b, e.loc, bits, int64_t(0));
  };
  auto stepOf = [&](Value depth, ArrayRef<Value> left, ValueRange sums) {
    SmallVector<Value> next;
    Value at = e.addIndex(depth, inGroup);
    for (int64_t n = 0; n < blocks; ++n) {
      SmallVector<Value> right = {pair(rows[n], at), pair(rows[n], e.addIndex(at, 8))};
      SmallVector<Value> sum(sums.slice(4 * n, 4));
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
    constexpr int64_t kDeep = kSlot / (kColumns * 2), kUnroll = 4;
    int64_t chunks = llvm::divideCeil(c.depth, kDeep);
    SmallVector<Value> both(sums);
    llvm::append_range(both, sums);
    // A warp that is at a chunk has had the one `waves` before it, so the copy before
    // that in the same slot has come (kMostInFlight): parities tell two rounds apart.
    both = e.loop(wave, e.index(chunks), waves, both, [&](Value chunk, ValueRange carried) {
      Value at = e.addIndex(position, chunk);
      Value slot = rem(at, *slots);
      Value parity = arith::AndIOp::create(
          e.b, e.loc, arith::IndexCastOp::create(e.b, e.loc, i32, quotient(at, *slots)), e.i32(1));
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
    sums = e.loop(e.mulIndex(wave, kDepth), e.index(c.depth), waves * kDepth, sums,
                  [&](Value depth, ValueRange sums) {
                    // As the four matrices would hold them: (column, depths d and d + 1).
                    SmallVector<Value> left;
                    for (auto [deeper, right] : {std::pair(0, 0), {0, 8}, {8, 0}, {8, 8}}) {
                      Value at = e.addIndex(e.addIndex(depth, inGroup), deeper);
                      Value column = e.addIndex(group, right);
                      Value two = vector::FromElementsOp::create(
                          e.b, e.loc, VectorType::get({2}, e.b.getBF16Type()),
                          ValueRange{e.load(c.rhs, {at, column}), e.load(c.rhs, {e.addIndex(at, 1), column})});
                      Value bits = vector::BitCastOp::create(e.b, e.loc, VectorType::get({1}, i32), two);
                      left.push_back(vector::ExtractOp::create(e.b, e.loc, bits, int64_t(0)));
                    }
                    return stepOf(depth, left, sums);
                  });
  }

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
    Value sum = e.load(c.out, at);
    for (int64_t w = 0; w < waves; ++w)
      sum = e.add(sum, e.load(partial, {e.index(w), at[0], at[1]}));
    memref::StoreOp::create(e.b, e.loc, sum, c.out, at);
  });
  e.barrier();
}

namespace {
struct NVGPULowerContractions : mlir::fleet::impl::NVGPULowerContractionsBase<NVGPULowerContractions> {
  void runOnOperation() override {
    auto slots = getOperation()->getAttrOfType<IntegerAttr>(kSlots);
    if (slots && getOperation()->hasAttr(kManyRowsMarker))
      for (auto body : getOperation().getOps<func::FuncOp>())
        if (std::optional<TileLoop> loop = matchTileLoop(body); loop && loop->loop->hasAttr(kTogether)) {
          OpBuilder builder(loop->loop);
          Emitter e(builder, loop->loop.getLoc(), getOperation());
          lowerTogether(e, *loop, slots.getInt());
        }
    SmallVector<linalg::MatmulOp> ops;
    getOperation()->walk([&](linalg::MatmulOp op) { ops.push_back(op); });
    for (linalg::MatmulOp op : ops) {
      std::optional<Contraction> contraction = matchContraction(op);
      if (!contraction)
        continue;
      OpBuilder builder(op);
      Emitter e(builder, op.getLoc(), getOperation());
      bool isStreamed = op->hasAttr(kStreamed);
      lower(e, op, *contraction, isStreamed && slots ? std::optional(slots.getInt()) : std::nullopt);
      op.erase();
    }
  }
};
} // namespace
