//===- CopiedChunks.cpp - Activations by bulk copies
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CopiedChunks.h"

#include "mlir/Interfaces/FunctionInterfaces.h"

using namespace mlir;
using namespace mlir::fleet;
using namespace mlir::fleet::gpugen;
using namespace mlir::fleet::nv;

/// Elements of a step that a lane has.
static constexpr int64_t kElements = kDepth / 4;
/// Bytes of all banks of shared memory, which a load of a warp reads at once.
static constexpr int64_t kBanks = 128;
/// What a bulk copy counts in.
static constexpr int64_t kUnit = 16;

static int64_t bytesOfElement(const Contraction &c) { return c.isWide ? 4 : 2; }
static int64_t rowsOfWarp(const Contraction &c, int64_t groups) { return blocksOf(c.rows, groups) * kRows; }

/// Lane 4 g + t of a warp reads 4 elements of a step from 4 t on, of row g: lanes of 2 rows of f32 or 4 of bf16 read
/// from all banks at once. Rows begin in the same bank, so those side by side belong to parts of the buffer
/// that are a step further than whole rows: row r is number r / parts of part r mod parts.
static int64_t partsOf(const Contraction &c) { return kBanks / (kDepth * bytesOfElement(c)); }
static int64_t elementsOfPart(const Contraction &c, int64_t groups) {
  return rowsOfWarp(c, groups) / partsOf(c) * kDeep + kDepth;
}
static_assert(kDeep * 2 % kBanks == 0, "rows have to begin in the same bank");

/// Elements from a row of the left side to the next, if it says so.
static int64_t strideOf(const Contraction &c) {
  SmallVector<int64_t> strides;
  int64_t offset;
  bool isKnown = succeeded(cast<MemRefType>(c.lhs.getType()).getStridesAndOffset(strides, offset));
  return isKnown ? strides[0] : ShapedType::kDynamic;
}

bool nv::copiesChunks(const Contraction &c, int64_t groups) {
  auto space = dyn_cast_or_null<gpu::AddressSpaceAttr>(cast<MemRefType>(c.lhs.getType()).getMemorySpace());
  int64_t stride = strideOf(c);
  return hasWarpgroups(groups) && space && space.getValue() == gpu::AddressSpace::Global &&
         !ShapedType::isDynamic(stride) && stride * bytesOfElement(c) % kUnit == 0 && alignmentOf(c.lhs) % kUnit == 0;
}

int64_t nv::placeOfChunks(TileLoop &tiles) {
  auto body = tiles.loop->getParentOfType<FunctionOpInterface>();
  int64_t scratch = scratchOf(body);
  bool isFree = scratch && llvm::all_of(body.getArguments().back().getUsers(), [&](Operation *user) {
                  return llvm::any_of(tiles.results, [&](const TileLoop::Result &result) {
                    return result.isTemporary && result.value.getDefiningOp() == user;
                  });
                });
  return isFree ? -scratch : 0;
}

int64_t nv::bytesOfChunks(const Contraction &c, int64_t waves, int64_t groups) {
  return waves * partsOf(c) * elementsOfPart(c, groups) * bytesOfElement(c);
}

void ChunkBarriers::init() {
  e.loop(e.workgroup.waves(), 1, [&](Value wave) { initBarrier(e, full(wave), 1); });
}

Value CopiedChunks::buffer() {
  Type element = cast<MemRefType>(c.lhs.getType()).getElementType();
  return besideScratch(e, place,
                       inWorkgroupMemory({e.workgroup.waves(), partsOf(c), elementsOfPart(c, groups)}, element));
}

void CopiedChunks::enter(Value round) {
  auto word = [&](Value x) -> Value { return arith::IndexCastUIOp::create(e.b, e.loc, e.b.getI32Type(), x); };
  auto index = [&](Value x) -> Value { return arith::IndexCastUIOp::create(e.b, e.loc, e.b.getIndexType(), x); };
  auto quotient = [&](Value x, int64_t y) -> Value { return arith::DivUIOp::create(e.b, e.loc, x, e.index(y)); };
  auto rem = [&](Value x, int64_t y) -> Value { return arith::RemUIOp::create(e.b, e.loc, x, e.index(y)); };
  Value thread = indexMadeHere(e, e.thread()), lane = rem(thread, e.workgroup.lanes);
  wave = index(uniform(e, word(quotient(thread, e.workgroup.lanes))));
  Value row = quotient(lane, kElements);
  part = rem(row, partsOf(c));
  element = e.addIndex(e.mulIndex(quotient(row, partsOf(c)), kDeep), e.mulIndex(rem(lane, kElements), kElements));

  first = e.mulIndex(e.addIndex(round, quotient(wave, groups)), kDeep);
  if (isRagged)
    first = arith::MinUIOp::create(e.b, e.loc, first, e.index(c.depth));
  firstRow = e.mulIndex(rem(wave, groups), rowsOfWarp(c, groups));
  auto lhs = memref::ExtractStridedMetadataOp::create(e.b, e.loc, c.lhs);
  Value at = e.addIndex(lhs.getOffset(), first);
  if (!repeatsRows())
    at = e.addIndex(at, e.mulIndex(firstRow, strideOf(c)));
  begin = memref::ExtractAlignedPointerAsIndexOp::create(e.b, e.loc, lhs.getBaseBuffer());
  begin = uniformAddress(e, e.addIndex(begin, e.mulIndex(at, bytesOfElement(c))));
}

Value CopiedChunks::parity() {
  // Every chunk that was asked for has been waited for: if a phase of parity 0 was the last to end, the next has 1.
  Value isOdd = testWait(e, ChunkBarriers{e}.full(wave), e.i32(0));
  return arith::SelectOp::create(e.b, e.loc, isOdd, e.i32(1), e.i32(0));
}

void CopiedChunks::ask(bool isFirst) {
  int64_t rows = rowsOfWarp(c, groups), ofElement = bytesOfElement(c), parts = partsOf(c);
  int64_t bytesOfPart = elementsOfPart(c, groups) * ofElement;
  auto toI32 = [&](Value x) -> Value { return arith::IndexCastOp::create(e.b, e.loc, e.b.getI32Type(), x); };
  auto atMost = [&](Value x, int64_t y) -> Value { return arith::MinUIOp::create(e.b, e.loc, x, e.index(y)); };
  // All lanes have read the buffer.
  syncWarp(e);
  // One lane that the assembler knows to be one, with operands in uniform registers: lanes with a row each would take
  // turns, nine instructions a row.
  e.ifThen(electLane(e), [&] {
    // The copy overtakes neither loads that were issued and have not come back nor what other bodies kept here,
    // and reads what earlier steps have stored.
    fenceAsyncProxy(e);
    if (isFirst)
      fenceAsyncProxy(e, /*isGlobal=*/true);
    Value full = ChunkBarriers{e}.full(wave), to = buffer(), count = e.index(kDeep);
    if (isRagged)
      count = atMost(arith::SubIOp::create(e.b, e.loc, e.index(c.depth), first), kDeep);
    arriveExpecting(e, full, toI32(e.mulIndex(count, rows * ofElement)));
    auto copy = [&] {
      for (int64_t i = 0; i < rows; ++i) {
        // Rows past the end repeat the last one.
        Value row = repeatsRows() ? atMost(e.addIndex(firstRow, i), c.rows - 1) : e.index(i);
        Value at =
            e.addIndex(e.mulIndex(wave, parts * bytesOfPart), i % parts * bytesOfPart + i / parts * kDeep * ofElement);
        copyBulk(e, pointerTo(e, to, at), globalPointer(e, e.addIndex(begin, e.mulIndex(row, strideOf(c) * ofElement))),
                 toI32(e.mulIndex(count, ofElement)), full);
      }
    };
    if (isRagged)
      e.ifThen(arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::ne, count, e.index(0)), copy);
    else
      copy();
  });
}

Value CopiedChunks::read(int64_t block, int64_t step) {
  int64_t at = block * kRows / partsOf(c) * kDeep + step * kDepth;
  return e.loadRaw(buffer(), {wave, part, e.addIndex(element, at)}, kElements);
}
