//===- LowerContractions.cpp - Contractions to MFMA
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "../GPU/Utils.h"
#include "GroupWeights.h"

#include "fleet/Conversion/GPUPasses.h"

#include "mlir/Dialect/AMDGPU/IR/AMDGPUDialect.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"

namespace mlir::fleet {
#define GEN_PASS_DEF_AMDGPULOWERCONTRACTIONS
#include "fleet/Conversion/GPUPasses.h.inc"
} // namespace mlir::fleet

using namespace mlir;
using namespace mlir::fleet;
using namespace mlir::fleet::gpugen;

/// Rows and columns of one MFMA's result.
static constexpr int64_t kBlock = 16;
/// Contracted elements of one step: a lane has a group of 8.
static constexpr int64_t kStep = 32;
/// Steps whose weights a wave has in flight.
static constexpr int64_t kInFlight = 8;

namespace {
/// lhs `[T][K/8][8]`, rhs `[K/8][N][8]`, out `[T][N]`; all sizes are static.
struct Contraction {
  Value lhs, rhs, out;
  int64_t rows, depth, columns;

  int64_t steps() const { return depth / kStep; }
  int64_t rowBlocks() const { return llvm::divideCeil(rows, kBlock); }
  int64_t columnBlocks() const { return columns / kBlock; }
};
} // namespace

static std::optional<Contraction> match(linalg::GenericOp op) {
  if (op.getNumLoops() != 4 || op.getNumDpsInputs() != 2 || op.getNumDpsInits() != 1 ||
      !op.hasPureBufferSemantics())
    return std::nullopt;
  Contraction c{op.getInputs()[0], op.getInputs()[1], op.getOutputs()[0], 0, 0, 0};
  for (Value value : {c.lhs, c.rhs, c.out}) {
    auto type = cast<MemRefType>(value.getType());
    if (!type.hasStaticShape() || !cpu::isContiguousInLastDim(value))
      return std::nullopt;
  }
  AffineExpr m, n, k, g;
  bindDims(op.getContext(), m, n, k, g);
  auto maps = AffineMap::inferFromExprList(
      ArrayRef<ArrayRef<AffineExpr>>{{m, k, g}, {k, n, g}, {m, n}}, op.getContext());
  auto lhs = cast<MemRefType>(c.lhs.getType()), rhs = cast<MemRefType>(c.rhs.getType());
  if (op.getIndexingMapsArray() != maps || !linalg::isaContractionOpInterface(op) ||
      !lhs.getElementType().isBF16() || !rhs.getElementType().isBF16() ||
      !cast<MemRefType>(c.out.getType()).getElementType().isF32())
    return std::nullopt;
  c.rows = lhs.getDimSize(0), c.depth = lhs.getDimSize(1) * kWeightGroup;
  c.columns = rhs.getDimSize(1);
  if (lhs.getDimSize(2) != kWeightGroup || c.depth % kStep || c.columns % kBlock)
    return std::nullopt;
  return c;
}

/// sum + lhs * rhs over one step. Lane l holds 8 elements of row l % 16 of the
/// left side and of column l % 16 of the right side, and rows [l / 16 * 4, + 4)
/// of column l % 16 of the result. Which contracted elements meet in which
/// instruction does not matter, as long as both sides agree.
static Value multiply(Emitter &e, bool isWhole, Value lhs, Value rhs, Value sum) {
  auto instruction = [&](int64_t depth, Value lhs, Value rhs) {
    sum = amdgpu::MFMAOp::create(e.b, e.loc, sum.getType(), kBlock, kBlock, depth, /*blocks=*/1,
                                 lhs, rhs, sum);
  };
  if (isWhole) {
    instruction(kStep, lhs, rhs);
    return sum;
  }
  for (int64_t half = 0; half < 2; ++half) {
    auto part = [&](Value whole) -> Value {
      return vector::ShuffleOp::create(
          e.b, e.loc, whole, whole,
          ArrayRef<int64_t>{4 * half, 4 * half + 1, 4 * half + 2, 4 * half + 3});
    };
    instruction(kStep / 2, part(lhs), part(rhs));
  }
  return sum;
}

namespace {
/// One contraction by all waves.
struct Lowering {
  Emitter &e;
  const Contraction &c;
  bool isWhole; // one instruction a step
  Value low{}, high{};
  SmallVector<Value> rows{};

  /// Weights of step `step`: 16 bytes a lane for each block of columns.
  SmallVector<Value> loadWeights(Value step) {
    SmallVector<Value> weights;
    Value group = e.addIndex(e.mulIndex(step, kStep / kWeightGroup), high);
    for (int64_t j = 0; j < c.columnBlocks(); ++j)
      weights.push_back(
          e.loadRaw(c.rhs, {group, e.addIndex(low, j * kBlock), e.index(0)}, kWeightGroup));
    return weights;
  }

  SmallVector<Value> multiplyStep(Value step, ArrayRef<Value> weights, ValueRange carried) {
    SmallVector<Value> sums(carried);
    Value group = e.addIndex(e.mulIndex(step, kStep / kWeightGroup), high);
    for (int64_t r = 0; r < c.rowBlocks(); ++r) {
      Value left = e.loadRaw(c.lhs, {rows[r], group, e.index(0)}, kWeightGroup);
      for (int64_t j = 0; j < c.columnBlocks(); ++j) {
        Value &sum = sums[r * c.columnBlocks() + j];
        sum = multiply(e, isWhole, left, weights[j], sum);
      }
    }
    return sums;
  }

  /// `count` steps, the first is `first`, one for each round of the waves: all
  /// their weights are asked for before the first is used.
  SmallVector<Value> multiplySteps(Value first, int64_t count, ValueRange carried) {
    SmallVector<Value> steps, sums(carried);
    SmallVector<SmallVector<Value>> weights;
    for (int64_t i = 0; i < count; ++i) {
      steps.push_back(e.addIndex(first, i * e.workgroup.waves()));
      weights.push_back(loadWeights(steps[i]));
    }
    for (int64_t i = 0; i < count; ++i)
      sums = multiplyStep(steps[i], weights[i], sums);
    return sums;
  }

  void emit() {
    int64_t waves = e.workgroup.waves();
    auto f32 = e.b.getF32Type();
    Value wave = e.wave(), lane = e.lane();
    low = arith::RemUIOp::create(e.b, e.loc, lane, e.index(kBlock));
    high = arith::DivUIOp::create(e.b, e.loc, lane, e.index(kBlock));
    // Rows past the end repeat the last one; their results are not stored.
    for (int64_t r = 0; r < c.rowBlocks(); ++r) {
      Value row = e.addIndex(low, r * kBlock);
      if ((r + 1) * kBlock > c.rows)
        row = arith::MinUIOp::create(e.b, e.loc, row, e.index(c.rows - 1));
      rows.push_back(row);
    }
    SmallVector<Value> sums(c.rowBlocks() * c.columnBlocks(), e.splat(0, 4));
    // Full rounds of the waves, then a last one of fewer waves.
    int64_t inFlight = std::max<int64_t>(1, kInFlight / c.columnBlocks());
    int64_t rounds = c.steps() / waves, whole = rounds / inFlight * inFlight;
    if (whole)
      sums = e.loop(e.index(0), e.index(whole * waves), inFlight * waves, sums,
                    [&](Value base, ValueRange carried) {
                      return multiplySteps(e.addIndex(base, wave), inFlight, carried);
                    });
    if (rounds > whole)
      sums = multiplySteps(e.addIndex(wave, whole * waves), rounds - whole, sums);
    if (c.steps() % waves) {
      Value step = e.addIndex(wave, rounds * waves);
      Value takesPart = arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::ult, step,
                                              e.index(c.steps()));
      auto last = scf::IfOp::create(e.b, e.loc, ValueRange(sums).getTypes(), takesPart, true);
      OpBuilder::InsertionGuard guard(e.b);
      e.b.setInsertionPointToStart(last.thenBlock());
      scf::YieldOp::create(e.b, e.loc, multiplySteps(step, 1, sums));
      e.b.setInsertionPointToStart(last.elseBlock());
      scf::YieldOp::create(e.b, e.loc, sums);
      sums.assign(last.getResults().begin(), last.getResults().end());
    }

    // Partial sums of the waves, [wave, row, column], are added in order.
    Value partial = e.shared(
        "partial", inWorkgroupMemory({waves, c.rowBlocks() * kBlock, c.columns}, f32));
    for (int64_t r = 0; r < c.rowBlocks(); ++r)
      for (int64_t j = 0; j < c.columnBlocks(); ++j)
        for (int64_t i = 0; i < 4; ++i) {
          Value element =
              vector::ExtractOp::create(e.b, e.loc, sums[r * c.columnBlocks() + j], i);
          Value row = e.addIndex(e.mulIndex(high, 4), r * kBlock + i);
          memref::StoreOp::create(e.b, e.loc, element, partial,
                                  ValueRange{wave, row, e.addIndex(low, j * kBlock)});
        }
    e.barrier();
    e.forThreads(c.rows * c.columns / 4, [&](Value i) {
      auto at = e.delinearize(i, {c.rows, c.columns / 4});
      at[1] = e.mulIndex(at[1], 4);
      Value sum = e.loadVector(c.out, at, 4);
      for (int64_t w = 0; w < waves; ++w)
        sum = e.add(sum, e.loadVector(partial, {e.index(w), at[0], at[1]}, 4));
      e.storeVector(sum, c.out, at);
    });
    e.barrier();
  }
};
} // namespace

namespace {
struct AMDGPULowerContractions
    : mlir::fleet::impl::AMDGPULowerContractionsBase<AMDGPULowerContractions> {
  using AMDGPULowerContractionsBase::AMDGPULowerContractionsBase;

  void runOnOperation() override {
    SmallVector<linalg::GenericOp> ops;
    getOperation()->walk([&](linalg::GenericOp op) { ops.push_back(op); });
    for (linalg::GenericOp op : ops) {
      std::optional<Contraction> contraction = match(op);
      if (!contraction)
        continue;
      OpBuilder builder(op);
      Emitter e(builder, op.getLoc(), getOperation());
      Lowering{e, *contraction, /*isWhole=*/chipset == "gfx950"}.emit();
      op.erase();
    }
  }
};
} // namespace
