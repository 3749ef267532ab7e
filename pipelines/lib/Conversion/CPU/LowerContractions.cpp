//===- LowerContractions.cpp - Contractions to register blocks
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Utils.h"

#include "fleet/Conversion/Passes.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"

namespace mlir::fleet {
#define GEN_PASS_DEF_CPULOWERCONTRACTIONS
#include "fleet/Conversion/Passes.h.inc"
} // namespace mlir::fleet

using namespace mlir;
using namespace mlir::fleet::cpu;

/// Accumulators of 16 elements that leave room for a row of the tile and a
/// broadcast among 32 registers.
static constexpr int64_t kAccumulators = 24;
/// Independent accumulators that hide the latency of a fused multiply-add.
static constexpr int64_t kInFlight = 8;
/// f32 elements of the widened left side that stay in the first-level cache.
static constexpr int64_t kPanel = 8192;

namespace {
/// One linalg.matmul; all sizes are static.
struct Contraction {
  Value lhs, rhs, out;
  int64_t rows, depth, columns;
  bool widenByPairs; // bf16 columns, two vectors from one load

  int64_t vectors() const { return columns / kLanes; }
};
} // namespace

static std::optional<Contraction> match(linalg::MatmulOp op) {
  if (op.hasUserDefinedMaps() || op.getNumResults())
    return std::nullopt;
  Contraction c{op.getInputs()[0], op.getInputs()[1], op.getOutputs()[0], 0, 0, 0, false};
  for (Value value : {c.lhs, c.rhs, c.out}) {
    auto type = dyn_cast<MemRefType>(value.getType());
    if (!type || !type.hasStaticShape() || !isContiguousInLastDim(value))
      return std::nullopt;
  }
  auto lhs = cast<MemRefType>(c.lhs.getType()), rhs = cast<MemRefType>(c.rhs.getType());
  auto isInput = [](Type type) { return type.isF32() || type.isBF16() || type.isF16(); };
  if (!isInput(lhs.getElementType()) || !isInput(rhs.getElementType()) ||
      !cast<MemRefType>(c.out.getType()).getElementType().isF32())
    return std::nullopt;
  c.rows = lhs.getDimSize(0), c.depth = lhs.getDimSize(1), c.columns = rhs.getDimSize(1);
  if (!c.rows || !c.depth || c.columns % kLanes || c.vectors() > kAccumulators)
    return std::nullopt;
  c.widenByPairs = rhs.getElementType().isBF16() && c.vectors() % 2 == 0;
  return c;
}

/// The greatest divisor of `size` that is at most `limit`.
static int64_t divisorAtMost(int64_t size, int64_t limit) {
  int64_t divisor = std::min(size, limit);
  while (size % divisor)
    --divisor;
  return divisor;
}

/// One row of the tile, widened; with pairs, vector 2i holds the even columns
/// of the 32 from 32i, vector 2i+1 the odd ones.
static SmallVector<Value> loadTileRow(Emitter &e, const Contraction &c, Value k) {
  SmallVector<Value> row;
  if (!c.widenByPairs) {
    for (int64_t j = 0; j < c.vectors(); ++j)
      row.push_back(e.loadVector(c.rhs, {k, e.index(j * kLanes)}, kLanes));
    return row;
  }
  auto words = VectorType::get({kLanes}, e.b.getI32Type());
  auto floats = VectorType::get({kLanes}, e.b.getF32Type());
  Value shift = arith::ConstantOp::create(e.b, e.loc, DenseElementsAttr::get(words, int32_t(16)));
  Value mask = arith::ConstantOp::create(e.b, e.loc,
                                         DenseElementsAttr::get(words, int32_t(0xffff0000)));
  for (int64_t j = 0; j < c.vectors(); j += 2) {
    Value pair = e.loadRaw(c.rhs, {k, e.index(j * kLanes)}, 2 * kLanes);
    pair = vector::BitCastOp::create(e.b, e.loc, words, pair);
    Value even = arith::ShLIOp::create(e.b, e.loc, pair, shift);
    Value odd = arith::AndIOp::create(e.b, e.loc, pair, mask);
    row.push_back(vector::BitCastOp::create(e.b, e.loc, floats, even));
    row.push_back(vector::BitCastOp::create(e.b, e.loc, floats, odd));
  }
  return row;
}

/// Rows [begin, begin + count) of the result.
static void emitRows(Emitter &e, const Contraction &c, int64_t begin, int64_t count) {
  int64_t vectors = c.vectors();
  int64_t split = std::max<int64_t>(1, kInFlight / (count * vectors));
  while (c.depth % split)
    split /= 2;
  int64_t panel = divisorAtMost(c.depth / split, kPanel / count / split) * split;
  bool narrow = !cast<MemRefType>(c.lhs.getType()).getElementType().isF32();
  Value wide;
  if (narrow)
    wide = e.stack(MemRefType::get({count, panel}, e.b.getF32Type()));

  // accumulators[(s * count + row) * vectors + j]; parts s are added at the end.
  SmallVector<Value> accumulators;
  for (int64_t r = 0; r < count; ++r)
    for (int64_t j = 0; j < vectors; ++j)
      accumulators.push_back(
          e.loadVector(c.out, {e.index(begin + r), e.index(j * kLanes)}, kLanes));
  if (c.widenByPairs)
    for (size_t i = 0; i < accumulators.size(); i += 2) {
      // 32 columns in order to even and odd ones.
      SmallVector<int64_t> even, odd;
      for (int64_t lane = 0; lane < kLanes; ++lane) {
        even.push_back(2 * lane);
        odd.push_back(2 * lane + 1);
      }
      Value low = accumulators[i], high = accumulators[i + 1];
      accumulators[i] = vector::ShuffleOp::create(e.b, e.loc, low, high, even);
      accumulators[i + 1] = vector::ShuffleOp::create(e.b, e.loc, low, high, odd);
    }
  accumulators.append((split - 1) * count * vectors, e.splat(0, kLanes));

  accumulators = e.loop(
      e.index(0), e.index(c.depth), panel, accumulators,
      [&](Value base, ValueRange outer) -> SmallVector<Value> {
        if (narrow) {
          int64_t lanes = vectorWidth(panel);
          for (int64_t r = 0; r < count; ++r)
            e.loop(panel, lanes, [&](Value k) {
              Value from = e.addIndex(base, k);
              e.storeRaw(e.loadVector(c.lhs, {e.index(begin + r), from}, lanes), wide,
                         {e.index(r), k});
            });
        }
        return e.loop(
            e.index(0), e.index(panel), split, outer,
            [&](Value k, ValueRange carried) -> SmallVector<Value> {
              SmallVector<Value> next(carried);
              for (int64_t s = 0; s < split; ++s) {
                Value inPanel = e.addIndex(k, s), inDepth = e.addIndex(base, inPanel);
                SmallVector<Value> row = loadTileRow(e, c, inDepth);
                for (int64_t r = 0; r < count; ++r) {
                  Value x = narrow ? e.load(wide, {e.index(r), inPanel})
                                   : e.load(c.lhs, {e.index(begin + r), inDepth});
                  x = e.broadcast(x, kLanes);
                  for (int64_t j = 0; j < vectors; ++j) {
                    Value &sum = next[(s * count + r) * vectors + j];
                    sum = e.fma(x, row[j], sum);
                  }
                }
              }
              return next;
            });
      });

  for (int64_t i = 0, n = count * vectors; i < n; ++i)
    for (int64_t s = 1; s < split; ++s)
      accumulators[i] = e.add(accumulators[i], accumulators[s * n + i]);
  if (c.widenByPairs)
    for (int64_t i = 0; i < count * vectors; i += 2) {
      SmallVector<int64_t> first, second;
      for (int64_t lane = 0; lane < kLanes / 2; ++lane) {
        first.append({lane, kLanes + lane});
        second.append({kLanes / 2 + lane, kLanes + kLanes / 2 + lane});
      }
      Value even = accumulators[i], odd = accumulators[i + 1];
      accumulators[i] = vector::ShuffleOp::create(e.b, e.loc, even, odd, first);
      accumulators[i + 1] = vector::ShuffleOp::create(e.b, e.loc, even, odd, second);
    }
  for (int64_t r = 0; r < count; ++r)
    for (int64_t j = 0; j < vectors; ++j)
      e.storeRaw(accumulators[r * vectors + j], c.out,
                 {e.index(begin + r), e.index(j * kLanes)});
}

namespace {
struct CPULowerContractions : mlir::fleet::impl::CPULowerContractionsBase<CPULowerContractions> {
  void runOnOperation() override {
    SmallVector<linalg::MatmulOp> ops;
    getOperation()->walk([&](linalg::MatmulOp op) { ops.push_back(op); });
    for (linalg::MatmulOp op : ops) {
      std::optional<Contraction> contraction = match(op);
      if (!contraction)
        continue;
      OpBuilder builder(op);
      Emitter e{builder, op.getLoc()};
      // Blocks of equal height, so that the last one is not a thin one.
      int64_t highest = kAccumulators / contraction->vectors();
      int64_t blocks = llvm::divideCeil(contraction->rows, highest);
      for (int64_t i = 0, begin = 0; i < blocks; ++i) {
        int64_t end = contraction->rows * (i + 1) / blocks;
        emitRows(e, *contraction, begin, end - begin);
        begin = end;
      }
      op.erase();
    }
  }
};
} // namespace
