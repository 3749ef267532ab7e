//===- LowerAttention.cpp - Attention of many rows to mma.sync
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "PTX.h"

#include "fleet/Conversion/NVGPUPasses.h"
#include "fleet/IR/Fleet.h"

#include "mlir/Dialect/Math/IR/Math.h"
#include "llvm/Support/MathExtras.h"

namespace mlir::fleet {
#define GEN_PASS_DEF_NVGPULOWERATTENTION
#include "fleet/Conversion/NVGPUPasses.h.inc"
} // namespace mlir::fleet

using namespace mlir;
using namespace mlir::fleet;
using namespace mlir::fleet::gpugen;
using namespace mlir::fleet::nv;

/// Stands for minus infinity: exp of a difference with it is 0, never a NaN.
static constexpr float kLowest = -1.0e30f;
/// Elements of 16 bytes; of a query or key that one load of a warp brings; of a value.
static constexpr int64_t kWide = 8, kKeyLoad = 4 * kWide, kValueLoad = 8 * kWide;

static ArrayRef<int64_t> shapeOf(Value value) { return cast<ShapedType>(value.getType()).getShape(); }

static bool isSupported(AttentionPartialOp op) {
  ValueRange in = op.getInputs();
  auto isBf16 = [&](unsigned i) {
    auto type = dyn_cast<MemRefType>(in[i].getType());
    return type && type.hasStaticShape() && type.getElementType().isBF16() && cpu::isContiguousInLastDim(in[i]);
  };
  int64_t group = shapeOf(in[0])[1];
  return op.getPart() && isBf16(0) && isBf16(1) && isBf16(2) && isBf16(5) && isBf16(6) &&
         shapeOf(in[0])[0] >= kManyRows && group <= kRows && shapeOf(in[0])[2] % kValueLoad == 0;
}

namespace {
/// One part of the context, one key/value head, all rows; a warp takes one row at
/// a time. Scores are (queries x head) * (head x positions): the query heads of
/// the group are rows of the mma, and keys come as they lie in memory, 16 bytes a
/// lane, if the contracted elements are counted in that order. Their exponentials
/// are, as they lie in registers, the left side of (heads x positions) * (positions x
/// head); rows 8 to 15 of it would be empty and hold what rounding to bf16 leaves.
struct Attention {
  Emitter &e;
  AttentionPartialOp op;
  ValueRange in = op.getInputs();
  Value q = in[0], slots = in[3], positions = in[4], keys = in[5], values = in[6], out = op.getOutputs()[0];
  int64_t rows = shapeOf(q)[0], heads = shapeOf(q)[1], size = shapeOf(q)[2], context = shapeOf(keys)[2];
  int64_t length = llvm::divideCeil(context, static_cast<int64_t>(op.getParts()));
  Value zero = e.index(0);
  Value begin = e.mulIndex(op.getPart(), length);
  Value end = arith::MinUIOp::create(e.b, e.loc, e.addIndex(begin, length), e.index(context));
  Value group = arith::DivUIOp::create(e.b, e.loc, e.lane(), e.index(4));
  Value inGroup = arith::RemUIOp::create(e.b, e.loc, e.lane(), e.index(4));
  Type i32 = e.b.getI32Type();

  Value less(Value x, Value y) { return arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::ult, x, y); }
  Value choose(Value condition, Value x, Value y) { return arith::SelectOp::create(e.b, e.loc, condition, x, y); }
  Value greater(Value x, Value y) { return arith::MaxNumFOp::create(e.b, e.loc, x, y); }
  Value exponential(Value x) { return math::ExpOp::create(e.b, e.loc, x); }
  Value isActive(Value slot) {
    return arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::sge, slot, e.i32(0));
  }

  /// 16 bytes as four words of two elements.
  SmallVector<Value> words(Value from, ValueRange at) {
    Value eight = e.loadRaw(from, at, kWide);
    Value bits = vector::BitCastOp::create(e.b, e.loc, VectorType::get({kWide / 2}, i32), eight);
    SmallVector<Value> all;
    for (int64_t i = 0; i < kWide / 2; ++i)
      all.push_back(vector::ExtractOp::create(e.b, e.loc, bits, i));
    return all;
  }

  /// The part that reads a position is the one that stores it.
  void storeNew() {
    e.forThreads(rows * (size / kWide), [&](Value point) {
      auto at = e.delinearize(point, {rows, size / kWide});
      Value slot = e.load(slots, at[0]), position = e.toIndex(e.load(positions, at[0]));
      Value isHere = arith::AndIOp::create(
          e.b, e.loc, less(position, end),
          arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::uge, position, begin));
      e.ifThen(arith::AndIOp::create(e.b, e.loc, isActive(slot), isHere), [&] {
        SmallVector<Value> from = {at[0], zero, e.mulIndex(at[1], kWide)};
        SmallVector<Value> to = {e.toIndex(slot), zero, position, from[2]};
        e.storeRaw(e.loadRaw(in[1], from, kWide), keys, to);
        e.storeRaw(e.loadRaw(in[2], from, kWide), values, to);
      });
    });
    e.barrier();
  }

  /// Asks for all that the rows of a warp will read, which then costs one way to memory.
  void prefetchRows() {
    constexpr int64_t kLine = 128;
    int64_t lines = llvm::divideCeil(size * 2, kLine);
    e.forWaves(rows, [&](Value row) {
      Value slot = e.load(slots, row);
      Value last = arith::MinUIOp::create(e.b, e.loc, e.toIndex(e.load(positions, row)), end);
      last = choose(isActive(slot), last, zero);
      Value where = e.toIndex(arith::MaxSIOp::create(e.b, e.loc, slot, e.i32(0)));
      Value column = e.mulIndex(arith::RemUIOp::create(e.b, e.loc, e.lane(), e.index(lines)), kLine / 2);
      Value first = arith::DivUIOp::create(e.b, e.loc, e.lane(), e.index(lines));
      e.loop(e.addIndex(begin, first), last, e.workgroup.lanes / lines, {}, [&](Value position, ValueRange) {
        for (Value cache : {keys, values})
          memref::PrefetchOp::create(e.b, e.loc, cache, ValueRange{where, zero, position, column}, /*isWrite=*/false,
                                     /*localityHint=*/1, /*isDataCache=*/true);
        return SmallVector<Value>();
      });
    });
  }

  void emit() {
    prefetchRows();
    storeNew();
    e.forWaves(rows, [&](Value row) { emitRow(row); });
    e.barrier();
  }

  void emitRow(Value row) {
    Value slot = e.load(slots, row);
    // A row that is idle or stands before this part has nothing here.
    Value last = e.addIndex(e.toIndex(e.load(positions, row)), 1);
    last = choose(isActive(slot), arith::MinUIOp::create(e.b, e.loc, last, end), zero);
    Value where = e.toIndex(arith::MaxSIOp::create(e.b, e.loc, slot, e.i32(0)));
    // Rows of the mma past the group repeat its last head; nothing of them is stored.
    Value head = heads < kRows ? arith::MinUIOp::create(e.b, e.loc, group, e.index(heads - 1)) : group;
    SmallVector<SmallVector<Value>> query;
    for (int64_t d = 0; d < size; d += kKeyLoad)
      query.push_back(words(q, {row, head, e.addIndex(e.mulIndex(inGroup, kWide), d)}));

    // Carried: the maximum, this lane's sum of weights, and the weighted values:
    // four of each mma of 8 elements.
    int64_t pieces = size / kRows;
    SmallVector<Value> state = {e.f32(kLowest), e.f32(0)};
    state.append(4 * pieces, e.f32(0));
    state = e.loop(begin, last, kPositions, state,
                   [&](Value base, ValueRange carried) { return addPositions(base, last, where, query, carried); });

    Value sum = e.sumLanes(state[1], 1, 4);
    auto type = VectorType::get({4}, e.b.getF32Type());
    e.ifThen(less(group, e.index(heads)), [&] {
      // Lane t has elements 16 t to 16 t + 15 of each 64.
      for (int64_t d = 0; d < size / kValueLoad; ++d)
        for (int64_t half = 0; half < 2; ++half)
          for (int64_t j = 0; j < kWide; j += 4) {
            SmallVector<Value> four;
            for (int64_t k = j; k < j + 4; ++k) {
              const Value *sums = &state[2 + 4 * (d * kWide + k)];
              four.push_back(e.add(sums[half], sums[2 + half]));
            }
            Value at = e.addIndex(e.mulIndex(inGroup, 2 * kWide), d * kValueLoad + half * kWide + j);
            e.storeRaw(vector::FromElementsOp::create(e.b, e.loc, type, four), out, {zero, row, group, at});
          }
      memref::StoreOp::create(e.b, e.loc, state[0], out, ValueRange{zero, row, group, e.index(size)});
      memref::StoreOp::create(e.b, e.loc, sum, out, ValueRange{zero, row, group, e.index(size + 1)});
    });
  }

  SmallVector<Value> addPositions(Value base, Value last, Value where, ArrayRef<SmallVector<Value>> query,
                                  ValueRange carried) {
    // All loads of a round are issued before the first is used.
    auto safe = [&](Value position) { return choose(less(position, last), position, begin); };
    SmallVector<SmallVector<Value>> key, value;
    for (int64_t j = 0; j < kPositions; j += kRows) {
      Value position = safe(e.addIndex(e.addIndex(base, group), j));
      for (int64_t d = 0; d < size; d += kKeyLoad)
        key.push_back(words(keys, {where, zero, position, e.addIndex(e.mulIndex(inGroup, kWide), d)}));
    }
    for (int64_t d = 0; d < size; d += kValueLoad)
      for (int64_t j : {0, 1, 8, 9}) {
        Value position = safe(e.addIndex(e.addIndex(base, e.mulIndex(inGroup, 2)), j));
        value.push_back(words(values, {where, zero, position, e.addIndex(e.mulIndex(group, kWide), d)}));
      }

    Value nothing = e.i32(0), maximum = carried[0], scale = e.f32(op.getScale().convertToDouble());
    SmallVector<Value> scores;
    int64_t loads = size / kKeyLoad;
    for (int64_t j = 0; j < kPositions / kRows; ++j) {
      SmallVector<Value> sum(4, e.f32(0));
      for (int64_t d = 0; d < loads; ++d)
        for (int64_t u = 0; u < 4; u += 2) {
          ArrayRef<Value> k = key[j * loads + d];
          sum = multiply(e, {query[d][u], nothing, query[d][u + 1], nothing}, {k[u], k[u + 1]}, sum);
        }
      for (int64_t i = 0; i < 2; ++i) {
        Value position = e.addIndex(e.addIndex(base, e.mulIndex(inGroup, 2)), j * kRows + i);
        scores.push_back(choose(less(position, last), e.mul(sum[i], scale), e.f32(kLowest)));
        maximum = greater(maximum, scores.back());
      }
    }
    maximum = e.combineLanes({maximum}, 1, 4, [&](ArrayRef<Value> x, ArrayRef<Value> y) {
      return SmallVector<Value>{greater(x[0], y[0])};
    })[0];
    Value shrink = exponential(e.sub(carried[0], maximum));
    Value sum = e.mul(carried[1], shrink);
    // [positions 2t, 2t + 1 | 2t + 8, 2t + 9]: rounded, and what that leaves.
    SmallVector<Value> high, low;
    for (int64_t j = 0; j < 4; j += 2) {
      Value weight[2], rest[2];
      for (int64_t i = 0; i < 2; ++i) {
        Value position = e.addIndex(e.addIndex(base, e.mulIndex(inGroup, 2)), j / 2 * kRows + i);
        weight[i] = choose(less(position, last), exponential(e.sub(scores[j + i], maximum)), e.f32(0));
        sum = e.add(sum, weight[i]);
      }
      high.push_back(packBf16(e, weight[0], weight[1]));
      auto [first, second] = unpackBf16(e, high.back());
      rest[0] = e.sub(weight[0], first), rest[1] = e.sub(weight[1], second);
      low.push_back(packBf16(e, rest[0], rest[1]));
    }
    SmallVector<Value> next = {maximum, sum};
    for (int64_t d = 0; d < size / kValueLoad; ++d)
      for (int64_t j = 0; j < kWide; ++j) {
        auto both = [&](int64_t position) {
          return selectHalves(e, value[d * 4 + position][j / 2], value[d * 4 + position + 1][j / 2], j % 2);
        };
        SmallVector<Value> total;
        for (Value old : carried.slice(2 + 4 * (d * kWide + j), 4))
          total.push_back(e.mul(old, shrink));
        llvm::append_range(next, multiply(e, {high[0], low[0], high[1], low[1]}, {both(0), both(2)}, total));
      }
    return next;
  }
};

struct NVGPULowerAttention : mlir::fleet::impl::NVGPULowerAttentionBase<NVGPULowerAttention> {
  void runOnOperation() override {
    SmallVector<AttentionPartialOp> ops;
    getOperation()->walk([&](AttentionPartialOp op) { ops.push_back(op); });
    for (AttentionPartialOp op : ops) {
      if (!isSupported(op))
        continue;
      OpBuilder builder(op);
      Emitter e(builder, op.getLoc(), getOperation());
      Attention{e, op}.emit();
      op.erase();
    }
  }
};
} // namespace
