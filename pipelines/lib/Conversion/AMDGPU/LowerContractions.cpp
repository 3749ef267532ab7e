//===- LowerContractions.cpp - Contractions to MFMA
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "../GPU/Utils.h"
#include "GroupWeights.h"
#include "Ring.h"

#include "fleet/Conversion/GPUPasses.h"
#include "fleet/IR/Fleet.h"

#include "mlir/Dialect/AMDGPU/IR/AMDGPUDialect.h"
#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "llvm/ADT/MapVector.h"

#include <numeric>

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
/// Steps whose weights a wave has in flight: 64 registers, 64 KiB of a CU.
static constexpr int64_t kRing = 16;
/// Slots of the ring that the walk asks for or leaves together.
static constexpr int64_t kPart = 4;
/// Steps between two waits, where the ring is in LDS.
static constexpr int64_t kGroup = 4;
/// s_waitcnt counts no more operations on their way.
static constexpr int64_t kMostWaited = 63;
/// LDS left for small exchanges of other passes.
static constexpr int64_t kReserve = 4096;
/// Left sides larger than this are read from the L2 again and again.
static constexpr int64_t kMostStaged = 32768;

namespace {
/// lhs `[T][K/8][8]`, rhs `[K/8][N][8]`, out `[T][N]`; all sizes are static.
struct Contraction {
  linalg::GenericOp op;
  Value lhs, rhs, out;
  int64_t rows, depth, columns;

  int64_t steps() const { return depth / kStep; }
  int64_t rowBlocks() const { return llvm::divideCeil(rows, kBlock); }
  int64_t columnBlocks() const { return columns / kBlock; }
  /// Every wave has a step of each round; the last round may be one of fewer waves.
  int64_t rounds(int64_t waves) const { return llvm::divideCeil(steps(), waves); }
  /// Rounds that the ring holds: all turns of the ring are whole.
  int64_t held(int64_t waves) const {
    int64_t held = std::min(rounds(waves), kRing / columnBlocks());
    while (rounds(waves) % held)
      --held;
    return held;
  }
  /// Bytes of a step, which a wave asks for at once.
  int64_t stepBytes() const { return kStep * columns * 2; }
  /// The argument of the body that is the left side as a whole, if it is one.
  BlockArgument staged() const {
    Value whole = lhs;
    while (Operation *op = whole.getDefiningOp()) {
      if (!isa<memref::ExpandShapeOp, memref::CollapseShapeOp>(op))
        return BlockArgument();
      whole = op->getOperand(0);
    }
    auto argument = cast<BlockArgument>(whole);
    auto type = cast<MemRefType>(argument.getType());
    auto space = dyn_cast_or_null<gpu::AddressSpaceAttr>(type.getMemorySpace());
    bool isGlobal = space && space.getValue() == gpu::AddressSpace::Global;
    return isGlobal && type.getLayout().isIdentity() && rows * depth * 2 <= kMostStaged ? argument
                                                                                        : BlockArgument();
  }
  /// The argument of the body that the tile is cut from, and the tile's index.
  BlockArgument weight() const {
    auto tile = rhs.getDefiningOp<memref::SubViewOp>();
    return tile ? dyn_cast<BlockArgument>(tile.getSource()) : BlockArgument();
  }
};

/// The contractions of a body, in the order in which they run.
struct Body {
  func::FuncOp function;
  scf::ForOp loop; // over the tiles; none: one tile
  SmallVector<Contraction> contractions;
  /// The walk asks for the head of the stream before it calls the body.
  bool isAsked = false;
  /// Where the ring is in LDS: slots that this body uses. 0: the ring is in registers.
  int64_t slots = 0;

  /// Steps of a wave between two waits: they divide the rounds of all contractions.
  int64_t group(int64_t waves) const {
    int64_t group = kGroup;
    for (const Contraction &c : contractions)
      group = std::gcd(group, c.rounds(waves));
    return group;
  }
  /// Takes as many slots of a ring of `most` as its shortest contraction has rounds:
  /// then what is asked for next is of this contraction or the one after it.
  void takeSlots(int64_t most, int64_t waves) {
    slots = most;
    for (const Contraction &c : contractions) {
      slots = std::min(slots, c.rounds(waves));
      if (c.columnBlocks() != 1)
        slots = 0;
    }
    slots -= slots % group(waves);
  }
  /// What the walk asks for: slots, or rounds of the ring in registers.
  int64_t head(int64_t waves) const { return slots ? slots : contractions.front().held(waves); }

  bool startsAtLo() {
    if (!loop)
      return true;
    auto scaled = loop.getLowerBound().getDefiningOp<arith::MulIOp>();
    Value lo = function.getArgument(function.getNumArguments() - 3);
    return scaled && getConstantIntValue(scaled.getRhs()) == contractions.front().columns &&
           scaled.getLhs() == lo && getConstantIntValue(loop.getStep()) == contractions.front().columns;
  }
};
} // namespace

static std::optional<Contraction> match(linalg::GenericOp op) {
  if (op.getNumLoops() != 4 || op.getNumDpsInputs() != 2 || op.getNumDpsInits() != 1 ||
      !op.hasPureBufferSemantics())
    return std::nullopt;
  Contraction c{op, op.getInputs()[0], op.getInputs()[1], op.getOutputs()[0], 0, 0, 0};
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
  if (lhs.getDimSize(2) != kWeightGroup || c.depth % kStep || c.columns % kBlock ||
      c.columnBlocks() > kRing || !c.weight())
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
/// The ring: a wave's weights on their way, in registers. It is memory of the
/// thread with constant indices only, which LLVM turns into registers; so it goes
/// through the walk, the switch and the bodies without being a value of each.
struct Ring {
  Emitter &e;
  Value memory;

  Value read(int64_t slot) {
    return e.loadRaw(memory, {e.index(slot), e.index(0)}, kWeightGroup);
  }
  void write(int64_t slot, Value value) {
    e.storeRaw(value, memory, {e.index(slot), e.index(0)});
  }
};

/// The place of a wave's lanes in a step, and of a step in a tile.
struct Place {
  Emitter &e;
  Value wave{}, low{}, high{};

  explicit Place(Emitter &e) : e(e) {
    Value lane = e.lane();
    wave = e.wave();
    low = arith::RemUIOp::create(e.b, e.loc, lane, e.index(kBlock));
    high = arith::DivUIOp::create(e.b, e.loc, lane, e.index(kBlock));
  }
  Value step(Value round) { return e.addIndex(e.mulIndex(round, e.workgroup.waves()), wave); }
  Value group(Value step) { return e.addIndex(e.mulIndex(step, kStep / kWeightGroup), high); }
};

/// The ring in LDS, of one wave. A step is 1 KiB in a row, in the order of the lanes.
struct LdsRing {
  Emitter &e;
  int64_t slots; // of the body at hand
  Value memory;

  /// Of rings of `most` slots a wave, that of `wave`.
  static Value find(Emitter &e, int64_t most, Value wave) {
    int64_t bytes = most * kStep * kBlock * 2;
    Value all = e.shared("ring", inWorkgroupMemory({e.workgroup.waves() * bytes}, e.b.getI8Type()));
    auto type = inWorkgroupMemory({most, e.workgroup.lanes, kWeightGroup}, e.b.getBF16Type());
    return memref::ViewOp::create(e.b, e.loc, type, all, e.mulIndex(wave, bytes), ValueRange());
  }
  void wait(int64_t left) { RingWaitOp::create(e.b, e.loc, left); }
  Value read(Value slot) {
    return RingReadOp::create(e.b, e.loc, VectorType::get({kWeightGroup}, e.b.getBF16Type()), memory, slot);
  }
  void ask(Place &place, const Contraction &c, Value tile, Value round, Value slot) {
    Value step = place.step(round);
    if (c.steps() % e.workgroup.waves())
      step = arith::MinUIOp::create(e.b, e.loc, step, e.index(c.steps() - 1));
    Value group = e.mulIndex(step, kStep / kWeightGroup);
    RingAskOp::create(e.b, e.loc, memory, slot, c.weight(), ValueRange{tile, group, e.index(0), e.index(0)});
  }
  Value after(Value slot, int64_t count) {
    if (count == slots)
      return slot;
    Value next = e.addIndex(slot, count);
    Value wraps = arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::eq, next, e.index(slots));
    return arith::SelectOp::create(e.b, e.loc, wraps, e.index(0), next);
  }
};

/// One contraction by all waves.
struct Lowering {
  Emitter &e;
  const Contraction &c;
  bool isWhole; // one instruction a step
  Ring ring;
  Place &place;
  SmallVector<Value> rows{};

  /// Asks for round `round` of tile `tile` of a contraction: its slots of the ring.
  static void ask(Emitter &e, Ring &ring, Place &place, const Contraction &c, Value tile,
                  Value round, int64_t slot) {
    Value step = place.step(round);
    if (c.steps() % e.workgroup.waves())
      step = arith::MinUIOp::create(e.b, e.loc, step, e.index(c.steps() - 1));
    // The step's place is the wave's, the rest the lane's: a scalar and a vector
    // part of the address.
    OpBuilder &b = e.b;
    BlockArgument weight = c.weight();
    Attribute zero = b.getIndexAttr(0), one = b.getIndexAttr(1);
    int64_t groups = kStep / kWeightGroup;
    SmallVector<OpFoldResult> offsets = {tile, e.mulIndex(step, groups), zero, zero};
    SmallVector<OpFoldResult> sizes = {one, b.getIndexAttr(groups), b.getIndexAttr(c.columns),
                                       b.getIndexAttr(kWeightGroup)};
    SmallVector<OpFoldResult> strides(4, one);
    auto type = memref::SubViewOp::inferRankReducedResultType(
        {groups, c.columns, kWeightGroup}, cast<MemRefType>(weight.getType()), offsets, sizes, strides);
    Value part = memref::SubViewOp::create(b, e.loc, cast<MemRefType>(type), weight, offsets, sizes, strides);
    for (int64_t j = 0; j < c.columnBlocks(); ++j)
      ring.write(slot * c.columnBlocks() + j,
                 e.loadRaw(part, {place.high, e.addIndex(place.low, j * kBlock), e.index(0)}, kWeightGroup));
  }

  /// Multiplies round `round` with what stands in its slots.
  void use(Value round, int64_t slot, SmallVector<Value> &sums) {
    SmallVector<Value> weights;
    for (int64_t j = 0; j < c.columnBlocks(); ++j)
      weights.push_back(ring.read(slot * c.columnBlocks() + j));
    use(round, weights, sums);
  }
  void use(Value round, ArrayRef<Value> weights, SmallVector<Value> &sums) {
    Value step = place.step(round), takesPart;
    if (c.steps() % e.workgroup.waves()) {
      takesPart = arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::ult, step, e.index(c.steps()));
      step = arith::MinUIOp::create(e.b, e.loc, step, e.index(c.steps() - 1));
    }
    for (int64_t r = 0; r < c.rowBlocks(); ++r) {
      Value left = e.loadRaw(c.lhs, {rows[r], place.group(step), e.index(0)}, kWeightGroup);
      if (takesPart) {
        auto zero = DenseElementsAttr::get(cast<VectorType>(left.getType()), e.b.getFloatAttr(e.b.getBF16Type(), 0).getValue());
        left = arith::SelectOp::create(e.b, e.loc, takesPart, left,
                                       arith::ConstantOp::create(e.b, e.loc, zero));
      }
      for (int64_t j = 0; j < c.columnBlocks(); ++j) {
        Value &sum = sums[r * c.columnBlocks() + j];
        sum = multiply(e, isWhole, left, weights[j], sum);
      }
    }
  }

  /// Rows past the end repeat the last one; their results are not stored.
  void findRows() {
    for (int64_t r = 0; r < c.rowBlocks(); ++r) {
      Value row = e.addIndex(place.low, r * kBlock);
      if ((r + 1) * kBlock > c.rows)
        row = arith::MinUIOp::create(e.b, e.loc, row, e.index(c.rows - 1));
      rows.push_back(row);
    }
  }

  /// `next` at `nextTile` is what the ring holds afterwards.
  void emit(Value tile, const Contraction &next, Value nextTile) {
    int64_t waves = e.workgroup.waves();
    findRows();
    SmallVector<Value> sums(c.rowBlocks() * c.columnBlocks(), e.splat(0, 4));
    // Turns of the ring: a slot that was used is filled with what comes a turn
    // later, in the last turn with the head of the next contraction.
    int64_t held = c.held(waves), last = c.rounds(waves) - held;
    if (last)
      sums = e.loop(e.index(0), e.index(last), held, sums, [&](Value base, ValueRange carried) {
        SmallVector<Value> turn(carried);
        for (int64_t s = 0; s < held; ++s) {
          use(e.addIndex(base, s), s, turn);
          ask(e, ring, place, c, tile, e.addIndex(base, held + s), s);
        }
        return turn;
      });
    int64_t nextHeld = next.held(waves), asked = 0;
    for (int64_t s = 0; s < held; ++s) {
      use(e.index(last + s), s, sums);
      // Slots of the next contraction whose registers are free by now.
      int64_t free = s + 1 == held ? kRing : (s + 1) * c.columnBlocks();
      while (asked < nextHeld && (asked + 1) * next.columnBlocks() <= free) {
        ask(e, ring, place, next, nextTile, e.index(asked), asked);
        ++asked;
      }
    }
    finish(sums);
  }

  /// The same with the ring in LDS, a wave's own: as a wave's asks arrive in order,
  /// counting them says which slots are filled, and nobody else touches them.
  /// `slot` is the slot of round 0. With `goesOn`, or its truth, what comes next is
  /// asked for while the last slots are used; without, all slots are free afterwards.
  void emitFromLds(LdsRing &lds, int64_t group, Value slot, Value tile, const Contraction &next, Value nextTile,
                   bool isLast, Value goesOn) {
    int64_t rounds = c.rounds(e.workgroup.waves()), turn = rounds - lds.slots;
    findRows();
    SmallVector<Value> carried(c.rowBlocks(), e.splat(0, 4));
    carried.push_back(slot);
    auto step = [&](Value round, ValueRange before, int64_t left, function_ref<void(Value, int64_t)> ask) {
      SmallVector<Value> sums(before.drop_back());
      Value slot = before.back();
      lds.wait(left);
      SmallVector<Value> weights;
      for (int64_t i = 0; i < group; ++i)
        weights.push_back(lds.read(e.addIndex(slot, i)));
      for (int64_t i = 0; i < group; ++i)
        use(e.addIndex(round, i), weights[i], sums);
      for (int64_t i = 0; ask && i < group; ++i)
        ask(e.addIndex(slot, i), i);
      sums.push_back(lds.after(slot, group));
      return sums;
    };
    if (turn)
      carried = e.loop(e.index(0), e.index(turn), group, carried, [&](Value round, ValueRange before) {
        return step(round, before, lds.slots - group, [&](Value slot, int64_t i) {
          lds.ask(place, c, tile, e.addIndex(round, lds.slots + i), slot);
        });
      });
    auto goOn = [&] {
      return e.loop(e.index(turn), e.index(rounds), group, carried, [&](Value round, ValueRange before) {
        Value first = arith::SubIOp::create(e.b, e.loc, round, e.index(turn));
        return step(round, before, lds.slots - group, [&](Value slot, int64_t i) {
          lds.ask(place, next, nextTile, e.addIndex(first, i), slot);
        });
      });
    };
    auto end = [&] {
      SmallVector<Value> now = carried;
      for (int64_t used = group; used <= lds.slots; used += group)
        now = step(e.index(turn + used - group), now, lds.slots - used, nullptr);
      return now;
    };
    if (!isLast) {
      carried = goOn();
    } else if (!goesOn) {
      carried = end();
    } else {
      auto either = scf::IfOp::create(
          e.b, e.loc, goesOn, [&](OpBuilder &, Location) { scf::YieldOp::create(e.b, e.loc, goOn()); },
          [&](OpBuilder &, Location) { scf::YieldOp::create(e.b, e.loc, end()); });
      carried = SmallVector<Value>(either.getResults());
    }
    carried.pop_back();
    finish(carried);
  }

  void finish(ArrayRef<Value> sums) {
    int64_t waves = e.workgroup.waves();
    auto f32 = e.b.getF32Type();
    Value wave = place.wave, low = place.low, high = place.high;
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

  MemRefType ringType() {
    auto space = gpu::AddressSpaceAttr::get(&getContext(), gpu::AddressSpace::Private);
    return MemRefType::get({kRing, kWeightGroup}, BFloat16Type::get(&getContext()),
                           MemRefLayoutAttrInterface(), space);
  }

  /// The body's contractions, if they stand in a row: in its loop over the tiles,
  /// or without one.
  std::optional<Body> collect(func::FuncOp function) {
    Body body{function, {}, {}};
    bool isRow = true;
    Block *block = nullptr;
    function.walk([&](linalg::GenericOp op) {
      std::optional<Contraction> contraction = match(op);
      if (!contraction)
        return;
      isRow &= !block || block == op->getBlock();
      block = op->getBlock();
      body.contractions.push_back(*contraction);
    });
    if (!block || !isRow)
      return std::nullopt;
    if (block != &function.front()) {
      body.loop = dyn_cast<scf::ForOp>(block->getParentOp());
      if (!body.loop || body.loop->getBlock() != &function.front())
        return std::nullopt;
    }
    return body;
  }

  /// The index of a contraction's tile, for the next turn of the loop if `isNext`.
  static Value tileOf(Emitter &e, const Body &body, const Contraction &c, bool isNext) {
    auto tile = c.rhs.getDefiningOp<memref::SubViewOp>();
    Value now = getValueOrCreateConstantIndexOp(e.b, e.loc, tile.getMixedOffsets()[0]);
    if (!isNext || !body.loop)
      return now;
    // After the last tile it is asked for again: it comes from the cache.
    scf::ForOp loop = body.loop;
    Value after = arith::AddIOp::create(e.b, e.loc, loop.getInductionVar(), loop.getStep());
    Value more = arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::slt, after, loop.getUpperBound());
    return arith::SelectOp::create(e.b, e.loc, more, e.addIndex(now, 1), now);
  }

  /// The left sides that are arguments of the body, brought to LDS first: a load
  /// from memory in the midst of the stream would wait for all of it.
  void stage(Body &body) {
    llvm::MapVector<BlockArgument, SmallVector<Contraction *>> users;
    for (Contraction &c : body.contractions)
      if (BlockArgument whole = c.staged())
        users[whole].push_back(&c);
    if (users.size() != 1)
      return;
    BlockArgument whole = users.front().first;
    ArrayRef<Contraction *> readers = users.front().second;
    OpBuilder builder(&getContext());
    builder.setInsertionPointToStart(&body.function.front());
    Emitter e(builder, body.function.getLoc(), getOperation());
    const Contraction &c = *readers.front();
    auto type = inWorkgroupMemory({c.rows, c.depth / kWeightGroup, kWeightGroup}, e.b.getBF16Type());
    Value staged = e.shared(kBodyBuffer, type);
    auto shape = cast<MemRefType>(whole.getType()).getShape();
    int64_t groups = c.rows * c.depth / kWeightGroup;
    e.forThreads(groups, [&](Value i) {
      SmallVector<Value> from = e.delinearize(e.mulIndex(i, kWeightGroup), shape);
      SmallVector<Value> to = e.delinearize(i, {c.rows, c.depth / kWeightGroup});
      to.push_back(e.index(0));
      e.storeRaw(e.loadRaw(whole, from, kWeightGroup), staged, to);
    });
    e.barrier();
    for (Contraction *reader : readers)
      reader->lhs = staged;
  }

  /// Slots a wave of a ring in LDS, in what other buffers leave of it.
  int64_t findSlots(ArrayRef<Body> bodies) {
    auto target = getOperation()->getParentOfType<ModuleOp>()->getAttrOfType<TargetAttr>("fleet.target");
    if (!target)
      return 0;
    UsedLds used = countUsedLds(getOperation(), /*alignment=*/16);
    int64_t waves = getWorkgroup(getOperation()).waves(), partial = 0;
    for (const Body &b : bodies)
      for (const Contraction &c : b.contractions) {
        partial = std::max(partial, waves * c.rowBlocks() * kBlock * c.columns * 4);
        if (c.staged())
          used.body = std::max(used.body, c.rows * c.depth * 2);
      }
    int64_t left = target.getLds() - kReserve - used.others - partial - used.body;
    mayStage = left >= 0;
    int64_t slots = left / (waves * kStep * kBlock * 2);
    return std::min(slots / kGroup * kGroup, kMostWaited / kGroup * kGroup);
  }
  /// There is room in LDS for left sides.
  bool mayStage = false;

  /// Where the body begins, `ask` asks for the head of its stream, if the walk has not.
  void askFirst(Body &body, function_ref<void(Emitter &, Place &, const Contraction &, Value)> ask) {
    if (body.isAsked)
      return;
    Contraction &first = body.contractions.front();
    OpBuilder builder(body.loop ? body.loop.getOperation() : first.op.getOperation());
    Emitter e(builder, first.op->getLoc(), getOperation());
    Place place(e);
    Value tile = body.loop ? Value(arith::DivUIOp::create(e.b, e.loc, body.loop.getLowerBound(), e.index(first.columns)))
                           : tileOf(e, body, first, false);
    ask(e, place, first, tile);
  }

  /// The body's stream through a ring in LDS.
  void lowerFromLds(Body &body, int64_t most) {
    Workgroup workgroup = getWorkgroup(getOperation());
    int64_t waves = workgroup.waves(), group = body.group(waves), turn = 0;
    for (const Contraction &c : body.contractions)
      turn += c.rounds(waves);
    askFirst(body, [&](Emitter &e, Place &place, const Contraction &first, Value tile) {
      LdsRing ring{e, body.slots, LdsRing::find(e, most, place.wave)};
      e.loop(body.slots, 1, [&](Value slot) { ring.ask(place, first, tile, slot, slot); });
    });
    if (body.isAsked)
      body.function->setAttr(kRingHead, IntegerAttr::get(IntegerType::get(&getContext(), 64), body.slots));
    int64_t before = 0;
    for (auto [i, c] : llvm::enumerate(body.contractions)) {
      OpBuilder builder(c.op);
      Emitter e(builder, c.op.getLoc(), getOperation());
      bool isLast = i + 1 == body.contractions.size();
      const Contraction &next = body.contractions[isLast ? 0 : i + 1];
      Place place(e);
      Value tile = tileOf(e, body, c, false), nextTile, goesOn;
      // Where the tile begins in the ring: all tiles before it have gone through.
      Value slot = e.index(before % body.slots);
      if (body.loop) {
        Value done = arith::SubIOp::create(e.b, e.loc, body.loop.getInductionVar(), body.loop.getLowerBound());
        done = arith::DivUIOp::create(e.b, e.loc, done, body.loop.getStep());
        slot = arith::RemUIOp::create(e.b, e.loc, e.addIndex(e.mulIndex(done, turn), before), e.index(body.slots));
      }
      if (!isLast) {
        nextTile = tileBehind(e, body, c, next);
      } else if (body.loop) {
        nextTile = e.addIndex(tileOf(e, body, next, false), 1);
        Value after = arith::AddIOp::create(e.b, e.loc, body.loop.getInductionVar(), body.loop.getStep());
        goesOn = arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::slt, after, body.loop.getUpperBound());
      }
      LdsRing ring{e, body.slots, LdsRing::find(e, most, place.wave)};
      Lowering{e, c, /*isWhole=*/chipset == "gfx950", Ring{e, Value()}, place}.emitFromLds(
          ring, group, slot, tile, next, nextTile, isLast, goesOn);
      before += c.rounds(waves);
    }
  }

  /// The tile of the contraction after `c` in the same turn, whose subview stands further down.
  static Value tileBehind(Emitter &e, const Body &body, Contraction &c, const Contraction &next) {
    auto slice = next.rhs.getDefiningOp<memref::SubViewOp>();
    if (auto at = dyn_cast<Value>(slice.getMixedOffsets()[0]))
      if (Operation *op = at.getDefiningOp(); op && op->getBlock() == c.op->getBlock() && !op->isBeforeInBlock(c.op))
        op->moveBefore(c.op);
    return tileOf(e, body, next, false);
  }

  void lower(Body &body) {
    Value memory = body.function.front().addArgument(ringType(), body.function.getLoc());
    body.function.setFunctionType(
        FunctionType::get(&getContext(), body.function.front().getArgumentTypes(), {}));
    askFirst(body, [&](Emitter &e, Place &place, const Contraction &first, Value tile) {
      Ring ring{e, memory};
      for (int64_t s = 0; s < first.held(e.workgroup.waves()); ++s)
        Lowering::ask(e, ring, place, first, tile, e.index(s), s);
    });
    for (auto [i, c] : llvm::enumerate(body.contractions)) {
      OpBuilder builder(c.op);
      Emitter e(builder, c.op.getLoc(), getOperation());
      bool isLast = i + 1 == body.contractions.size();
      const Contraction &next = body.contractions[isLast ? 0 : i + 1];
      Place place(e);
      Value tile = tileOf(e, body, c, false), nextTile;
      nextTile = isLast ? tileOf(e, body, next, true) : tileBehind(e, body, c, next);
      Lowering{e, c, /*isWhole=*/chipset == "gfx950", Ring{e, memory}, place}.emit(tile, next, nextTile);
    }
  }

  /// The head of a body's stream, asked for by the walk before it waits for the
  /// body's events: weights do not depend on activations. Wave 0, which polls,
  /// comes after its wait, as its loads complete in order.
  /// With `most`, the ring has as many slots a wave in LDS.
  void prefetch(gpu::GPUFuncOp step, func::FuncOp dispatch, MutableArrayRef<Body> bodies, int64_t most) {
    MLIRContext *context = &getContext();
    // @streams: for each case the column of the weight's offset, its steps, and
    // how many rounds of them the ring holds.
    auto select = *dispatch.getOps<scf::IndexSwitchOp>().begin();
    SmallVector<int32_t> streams;
    for (auto [label, region] : llvm::zip_equal(select.getCases(), select.getCaseRegions())) {
      streams.resize(std::max<size_t>(streams.size(), 3 * (label + 1)));
      for (auto call : region.getOps<func::CallOp>())
        for (Body &body : bodies) {
          if (body.function.getName() != call.getCallee() || body.contractions.front().columnBlocks() != 1 ||
              !body.startsAtLo() || (most && !body.slots))
            continue;
          const Contraction &first = body.contractions.front();
          streams[3 * label] = 3 + first.weight().getArgNumber();
          streams[3 * label + 1] = first.steps();
          streams[3 * label + 2] = body.head(getWorkgroup(getOperation()).waves());
          body.isAsked = true;
        }
    }
    OpBuilder b(step);
    auto global = gpu::AddressSpaceAttr::get(context, gpu::AddressSpace::Global);
    auto type = MemRefType::get({static_cast<int64_t>(streams.size()) / 3, 3}, b.getI32Type(),
                                MemRefLayoutAttrInterface(), global);
    auto value = DenseElementsAttr::get(RankedTensorType::get(type.getShape(), b.getI32Type()),
                                        ArrayRef<int32_t>(streams));
    memref::GlobalOp::create(b, step.getLoc(), "streams", b.getStringAttr("private"), type, value, true,
                             IntegerAttr());

    func::CallOp call;
    step.walk([&](func::CallOp op) { call = op; });
    b.setInsertionPointToStart(&step.getBody().front());
    Value ring;
    if (llvm::any_of(bodies, [](const Body &body) { return !body.slots; })) {
      ring = memref::AllocaOp::create(b, step.getLoc(), ringType());
      call.getOperandsMutable().append(ring);
    }
    // The walk's turn: the block that holds both the waits and the call.
    Operation *waits = nullptr;
    step.walk([&](WaitOp op) { waits = op; });
    Block *turn = &call->getParentOfType<scf::WhileOp>().getAfter().front();
    Value task = call.getOperand(5), lo = call.getOperand(6);
    auto emit = [&](bool isPolling) {
      Location loc = step.getLoc();
      Emitter e(b, loc, getOperation());
      Place place(e);
      // Computed anew in each turn of the walk: what depends on it would stay in
      // scalar registers all along.
      Value wave = arith::IndexCastOp::create(b, loc, b.getI32Type(), place.wave);
      wave = LLVM::InlineAsmOp::create(b, loc, TypeRange{b.getI32Type()}, ValueRange{wave}, "", "=s,0",
                                       /*has_side_effects=*/true, /*is_align_stack=*/false,
                                       LLVM::TailCallKind::None, LLVM::AsmDialectAttr(), ArrayAttr())
                 .getRes();
      place.wave = arith::IndexCastUIOp::create(b, loc, b.getIndexType(), wave);
      Value isZero = arith::CmpIOp::create(b, loc, isPolling ? arith::CmpIPredicate::eq : arith::CmpIPredicate::ne,
                                           place.wave, e.index(0));
      Value table = memref::GetGlobalOp::create(b, loc, type, "streams");
      auto rows = getOperation().lookupSymbol<memref::GlobalOp>("device_tasks");
      Value devices = memref::GetGlobalOp::create(b, loc, rows.getType(), rows.getSymName());
      auto entry = [&](Value table, ValueRange at) { return e.toIndex(e.load(table, at)); };
      Value kind = entry(devices, {task, e.index(0)});
      Value steps = entry(table, {kind, e.index(1)});
      Value some = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::ne, steps, e.index(0));
      e.ifThen(arith::AndIOp::create(b, loc, isZero, some), [&] {
        Value offset = e.mulIndex(entry(devices, {task, entry(table, {kind, e.index(0)})}), 64);
        // A step of a tile is 16 bytes for each lane of each block of columns.
        auto bytes = cast<MemRefType>(step.getArgument(0).getType());
        Value tile = arith::MulIOp::create(b, loc, lo, e.mulIndex(steps, kStep * kBlock * 2));
        Value base = e.addIndex(offset, tile);
        Value own = e.mulIndex(e.lane(), kWeightGroup);
        Value lastStep = arith::SubIOp::create(b, loc, steps, e.index(1));
        Value held = entry(table, {kind, e.index(2)});
        auto stepAt = [&](Value round) {
          Value at = arith::MinUIOp::create(b, loc, place.step(round), lastStep);
          return e.addIndex(base, e.mulIndex(at, kStep * kBlock * 2));
        };
        if (most) {
          Value own = LdsRing::find(e, most, place.wave);
          e.loop(e.index(0), held, 1, {}, [&](Value slot, ValueRange) {
            RingAskOp::create(b, loc, own, slot, step.getArgument(0), ValueRange{stepAt(slot)});
            return SmallVector<Value>();
          });
          return;
        }
        auto part = MemRefType::get({kStep * kBlock}, b.getBF16Type(), MemRefLayoutAttrInterface(),
                                    bytes.getMemorySpace());
        for (int64_t first = 0; first < kRing; first += kPart) {
          Value isHeld = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::ult, e.index(first), held);
          e.ifThen(isHeld, [&] {
            for (int64_t slot = first; slot < first + kPart; ++slot) {
              Value view = memref::ViewOp::create(b, loc, part, step.getArgument(0), stepAt(e.index(slot)), ValueRange());
              Ring{e, ring}.write(slot, e.loadRaw(view, own, kWeightGroup));
            }
          });
        }
      });
    };
    // A worker that gives up leaves a head behind: LDS must not go while it arrives.
    if (most)
      step.walk([&](gpu::ReturnOp end) {
        b.setInsertionPoint(end);
        RingWaitOp::create(b, end.getLoc(), 0);
      });
    b.setInsertionPoint(turn->findAncestorOpInBlock(*waits));
    emit(false);
    b.setInsertionPoint(call);
    emit(true);
  }

  void runOnOperation() override {
    SmallVector<Body> bodies;
    for (auto function : getOperation().getOps<func::FuncOp>())
      if (std::optional<Body> body = collect(function))
        bodies.push_back(*body);
    if (bodies.empty())
      return;
    auto dispatch = getOperation().lookupSymbol<func::FuncOp>("dispatch");
    auto step = getOperation().lookupSymbol<gpu::GPUFuncOp>("fleet_step");
    // Only gfx950 moves 16 bytes a lane from memory to LDS.
    int64_t slots = findSlots(bodies), most = chipset == "gfx950" && slots > 0 ? slots : 0;
    int64_t waves = getWorkgroup(getOperation()).waves();
    for (Body &body : bodies) {
      if (mayStage)
        stage(body);
      body.takeSlots(most, waves);
    }
    if (dispatch && step)
      prefetch(step, dispatch, bodies, most);
    bool hasRegisters = false;
    for (Body &body : bodies) {
      if (body.slots)
        lowerFromLds(body, most);
      else
        lower(body);
      hasRegisters |= !body.slots;
      for (Contraction &c : body.contractions)
        c.op.erase();
    }
    if (!dispatch || !hasRegisters)
      return;
    Value ring = dispatch.front().addArgument(ringType(), dispatch.getLoc());
    dispatch.setFunctionType(FunctionType::get(&getContext(), dispatch.front().getArgumentTypes(), {}));
    dispatch.walk([&](func::CallOp call) {
      auto body = getOperation().lookupSymbol<func::FuncOp>(call.getCallee());
      if (body.getNumArguments() > call.getNumOperands())
        call.getOperandsMutable().append(ring);
    });
  }
};
} // namespace
