//===- ManyRows.cpp - Contractions of many rows
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ManyRows.h"

#include "mlir/IR/IRMapping.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;
using namespace mlir::fleet;
using namespace mlir::fleet::gpugen;
using namespace mlir::fleet::nv;

/// Elements of activations that a lane loads at once: 4 for each of 2 steps.
static constexpr int64_t kWide = 8;
/// Contracted elements of one such load of a warp.
static constexpr int64_t kLoad = 4 * kWide;

std::optional<TileLoop> nv::matchTileLoop(func::FuncOp body) {
  std::optional<TileLoop> found;
  bool isOne = true;
  body.walk([&](linalg::MatmulOp op) {
    auto contraction = matchContraction(op);
    if (!contraction || !op->hasAttr(kStreamed))
      return;
    auto loop = cast<scf::ForOp>(op->getParentOp());
    if (!found)
      found = TileLoop{loop, {}, *contraction};
    isOne &= found->loop == loop && loop.getNumResults() == 0 && loop.isDefinedOutsideOfLoop(contraction->lhs) &&
             found->first.lhs == contraction->lhs && contraction->depth % kLoad == 0;
    found->ops.push_back(op);
  });
  return isOne ? found : std::nullopt;
}

namespace {
struct Together {
  Emitter &e;
  TileLoop &tiles;
  int64_t slots, groups, together;
  Contraction &c = tiles.first;
  int64_t streams = tiles.ops.size(), turns = e.workgroup.waves() / groups;
  int64_t blocks = blocksOf(c.rows, groups);
  int64_t chunks = llvm::divideCeil(c.depth, kDeep);
  /// Some warp's last chunk is not whole.
  bool isRagged = c.depth % (kDeep * turns) != 0;
  /// Of the warp: its turn and its first row; of the lane: its place in an mma.
  Value turn{}, firstRow{}, lane = e.lane(), inGroup{}, group{}, laneOffset{};

  Value rem(Value x, int64_t y) { return arith::RemUIOp::create(e.b, e.loc, x, e.index(y)); }
  Value quotient(Value x, int64_t y) { return arith::DivUIOp::create(e.b, e.loc, x, e.index(y)); }
  Value less(Value x, Value y) { return arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::ult, x, y); }
  Value atMost(Value x, int64_t y) { return arith::MinUIOp::create(e.b, e.loc, x, e.index(y)); }
  SmallVector<Value> ifElse(Value condition, ValueRange otherwise, function_ref<SmallVector<Value>()> then) {
    auto op = scf::IfOp::create(e.b, e.loc, otherwise.getTypes(), condition, /*withElseRegion=*/true);
    OpBuilder::InsertionGuard guard(e.b);
    e.b.setInsertionPointToStart(op.thenBlock());
    scf::YieldOp::create(e.b, e.loc, then());
    e.b.setInsertionPointToStart(op.elseBlock());
    scf::YieldOp::create(e.b, e.loc, otherwise);
    return SmallVector<Value>(op.getResults());
  }

  /// A lane loads 8 elements of a row, of which two steps take 4 each. So an mma's
  /// position p of the contracted dimension stands for element 8t + 2h + p mod 2
  /// of a step, t = p mod 8 / 2, h = p / 8: activations come as they lie in memory,
  /// and weights by an address a lane. Odd lanes swap their two pairs, so that
  /// the 8 rows of weights of a matrix begin in different banks, as far as they can.
  void begin() {
    turn = rem(e.wave(), turns);
    firstRow = e.mulIndex(quotient(e.wave(), turns), blocks * kRows);
    group = quotient(lane, 4), inGroup = rem(lane, 4);
    Value position = rem(lane, 8), high = quotient(lane, 16), half = rem(quotient(lane, 8), 2);
    Value t = quotient(position, 2);
    Value pair = arith::XOrIOp::create(e.b, e.loc, high, rem(t, 2));
    Value row = e.addIndex(e.addIndex(e.mulIndex(t, kWide), e.mulIndex(pair, 2)), rem(position, 2));
    laneOffset = e.addIndex(e.mulIndex(row, kColumns * 2), e.mulIndex(half, 16));
  }

  /// A chunk of activations: words of two elements, [load][step of it][block][2].
  SmallVector<Value> loadChunk(Value chunk) {
    Type i32 = e.b.getI32Type();
    SmallVector<Value> pairs(kDeep / kLoad * 2 * blocks * 2);
    for (int64_t n = 0; n < blocks; ++n) {
      // Rows past the end repeat the last one; their results are not stored.
      Value row = e.addIndex(e.addIndex(firstRow, group), n * kRows);
      if (c.rows % (groups * blocks * kRows))
        row = atMost(row, c.rows - 1);
      for (int64_t q = 0; q < kDeep / kLoad; ++q) {
        Value at = e.addIndex(e.mulIndex(chunk, kDeep), q * kLoad);
        if (isRagged)
          at = e.mulIndex(atMost(quotient(at, kLoad), c.depth / kLoad - 1), kLoad);
        Value eight = e.loadRaw(c.lhs, {row, e.addIndex(at, e.mulIndex(inGroup, kWide))}, kWide);
        Value bits = vector::BitCastOp::create(e.b, e.loc, VectorType::get({kWide / 2}, i32), eight);
        for (int64_t i = 0; i < 4; ++i)
          pairs[((q * 2 + i / 2) * blocks + n) * 2 + i % 2] = vector::ExtractOp::create(e.b, e.loc, bits, i);
      }
    }
    return pairs;
  }

  /// Its fragments: pairs of words, swapped in odd lanes.
  SmallVector<Value> asFragments(ValueRange words) {
    Value isOdd = arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::ne, rem(inGroup, 2), e.index(0));
    SmallVector<Value> pairs;
    for (size_t i = 0; i < words.size(); i += 2) {
      pairs.push_back(arith::SelectOp::create(e.b, e.loc, isOdd, words[i + 1], words[i]));
      pairs.push_back(arith::SelectOp::create(e.b, e.loc, isOdd, words[i], words[i + 1]));
    }
    return pairs;
  }

  /// Adds the product of a chunk and a slot to the sums of a tile.
  SmallVector<Value> multiplySlot(Value data, Value slot, Value chunk, ArrayRef<Value> pairs, ValueRange before) {
    SmallVector<Value> sums(before);
    Value base = e.addIndex(e.mulIndex(slot, kSlot), laneOffset);
    for (int64_t q = 0; q < kDeep / kLoad; ++q) {
      auto both = [&] {
        SmallVector<Value> next(sums);
        for (int64_t u = 0; u < 2; ++u) {
          Value from = e.addIndex(base, (q * kLoad + u * 4) * kColumns * 2);
          SmallVector<Value> left = loadMatrices(e, pointerTo(e, data, from));
          for (int64_t n = 0; n < blocks; ++n) {
            auto right = pairs.slice(((q * 2 + u) * blocks + n) * 2, 2);
            SmallVector<Value> sum = multiply(e, left, right, ArrayRef<Value>(next).slice(4 * n, 4));
            llvm::copy(sum, next.begin() + 4 * n);
          }
        }
        return next;
      };
      if (!isRagged) {
        sums = both();
        continue;
      }
      Value at = e.addIndex(e.mulIndex(chunk, kDeep), q * kLoad);
      sums = ifElse(less(at, e.index(c.depth)), sums, both);
    }
    return sums;
  }

  void emit() {
    begin();
    scf::ForOp loop = tiles.loop;
    int64_t perTurn = slots / turns, perStream = 4 * blocks;
    auto sumsOf = [&](ArrayRef<Value> all, int64_t at) { return all.slice(at, perStream); };
    Type i32 = e.b.getI32Type();
    Ring ring{e, slots};
    Value data = ring.data();
    Value positions = e.shared("ring_position", inWorkgroupMemory({e.workgroup.waves()}, i32));
    Value size = loop.getStep(), last = loop.getUpperBound();
    auto passes = scf::ForOp::create(e.b, e.loc, loop.getLowerBound(), last,
                                     arith::MulIOp::create(e.b, e.loc, size, e.index(together)), ValueRange());
    OpBuilder::InsertionGuard guard(e.b);
    e.b.setInsertionPointToStart(passes.getBody());
    SmallVector<Value> at, exists;
    for (int64_t j = 0; j < together; ++j) {
      at.push_back(e.addIndex(passes.getInductionVar(), arith::MulIOp::create(e.b, e.loc, size, e.index(j))));
      exists.push_back(less(at[j], last));
    }
    // Carried: the position in the ring, the sums [tile][stream][block][4], and the
    // chunk of activations, loaded one round ahead if there are registers for two.
    bool isAhead = loadsAhead(blocks, chunks, turns);
    int64_t perTile = streams * perStream;
    size_t count = together * perTile;
    SmallVector<Value> state = {e.toIndex(e.load(positions, e.wave()))};
    state.append(count, e.f32(0));
    if (isAhead)
      llvm::append_range(state, loadChunk(isRagged ? atMost(turn, chunks - 1) : turn));
    state = e.loop(e.index(0), e.index(chunks), turns, state, [&](Value base, ValueRange carried) {
      Value chunk = e.addIndex(base, turn);
      SmallVector<Value> next(carried.take_front(1 + count));
      SmallVector<Value> loaded = loadChunk(isAhead ? atMost(e.addIndex(chunk, turns), chunks - 1) : chunk);
      SmallVector<Value> pairs = asFragments(isAhead ? carried.drop_front(1 + count) : ValueRange(loaded));
      for (int64_t j = 0; j < together; ++j) {
        // Of this tile: the position after it, and the sums.
        Value position = next[0];
        SmallVector<Value> own = {position};
        llvm::append_range(own, ArrayRef<Value>(next).slice(1 + j * perTile, perTile));
        auto tile = [&] {
          SmallVector<Value> results = {e.addIndex(position, streams)};
          for (int64_t s = 0; s < streams; ++s) {
            Value here = e.addIndex(position, s);
            Value slot = e.addIndex(e.mulIndex(rem(here, perTurn), turns), turn);
            Value round = arith::IndexCastOp::create(e.b, e.loc, i32, quotient(here, perTurn));
            ring.waitUntilFull(slot, arith::AndIOp::create(e.b, e.loc, round, e.i32(1)));
            llvm::append_range(results, multiplySlot(data, slot, chunk, pairs, sumsOf(own, 1 + s * perStream)));
            ring.release(slot);
          }
          return results;
        };
        SmallVector<Value> results = j ? ifElse(exists[j], own, tile) : tile();
        next[0] = results[0];
        llvm::copy(ArrayRef<Value>(results).drop_front(), next.begin() + 1 + j * perTile);
      }
      if (isAhead)
        llvm::append_range(next, loaded);
      return next;
    });
    // Positions only matter modulo two rounds of the ring.
    Value after = arith::IndexCastOp::create(e.b, e.loc, i32, rem(state[0], 2 * perTurn));
    memref::StoreOp::create(e.b, e.loc, after, positions, e.wave());

    for (int64_t j = 0; j < together; ++j) {
      ValueRange sums = ArrayRef<Value>(state).slice(1 + j * perTile, perTile);
      if (j)
        e.ifThen(exists[j], [&] { finish(at[j], sums); });
      else
        finish(at[j], sums);
    }
  }

  /// The loop's body of one tile, with the sums in place of its contractions.
  void finish(Value tile, ValueRange sums) {
    IRMapping mapping;
    mapping.map(tiles.loop.getInductionVar(), tile);
    for (Operation &op : tiles.loop.getBody()->without_terminator()) {
      auto *found = llvm::find(tiles.ops, &op);
      if (found != tiles.ops.end())
        add(mapping.lookupOrDefault(found->getOutputs()[0]),
            sums.slice((found - tiles.ops.begin()) * 4 * blocks, 4 * blocks), clears(op.getPrevNode(), *found));
      else if (!clears(&op, dyn_cast_or_null<linalg::MatmulOp>(op.getNextNode())))
        e.b.clone(op, mapping);
    }
  }

  /// `op` sets to zero what the contraction right behind it adds to.
  bool clears(Operation *op, linalg::MatmulOp next) {
    auto fill = dyn_cast_or_null<linalg::FillOp>(op);
    return fill && next && llvm::is_contained(tiles.ops, next) && fill.getOutputs()[0] == next.getOutputs()[0] &&
           matchPattern(fill.getInputs()[0], m_AnyZeroFloat());
  }

  /// Adds the sums of all turns to `out`, or to zero, in order.
  void add(Value out, ValueRange sums, bool isZero) {
    Value partial = e.shared("partial", inWorkgroupMemory({turns, c.rows, kColumns}, e.b.getF32Type()));
    for (int64_t n = 0; n < blocks; ++n)
      for (int64_t i = 0; i < 4; ++i) {
        Value row = e.addIndex(e.addIndex(firstRow, e.mulIndex(inGroup, 2)), n * kRows + i % 2);
        Value column = e.addIndex(group, i / 2 * 8);
        auto store = [&] {
          memref::StoreOp::create(e.b, e.loc, sums[4 * n + i], partial, ValueRange{turn, row, column});
        };
        if (c.rows % (groups * blocks * kRows))
          e.ifThen(less(row, e.index(c.rows)), store);
        else
          store();
      }
    e.barrier();
    e.forThreads(c.rows * kColumns, [&](Value i) {
      SmallVector<Value> at = e.delinearize(i, {c.rows, kColumns});
      Value sum = isZero ? Value() : e.load(out, at);
      for (int64_t w = 0; w < turns; ++w) {
        Value own = e.load(partial, {e.index(w), at[0], at[1]});
        sum = sum ? e.add(sum, own) : own;
      }
      memref::StoreOp::create(e.b, e.loc, sum, out, at);
    });
    e.barrier();
  }
};
} // namespace

void nv::lowerTogether(Emitter &e, TileLoop &loop, int64_t slots, int64_t groups) {
  int64_t together = loop.loop->getAttrOfType<IntegerAttr>(kTogether).getInt();
  Together{e, loop, slots, groups, together}.emit();
  loop.loop.erase();
}
