//===- LowerAttention.cpp - Attention of many rows to mma.sync
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
#include "llvm/Support/MathExtras.h"

namespace mlir::fleet {
#define GEN_PASS_DEF_NVGPULOWERATTENTION
#include "fleet/Conversion/NVGPUPasses.h.inc"
} // namespace mlir::fleet

using namespace mlir;
using namespace mlir::fleet;
using namespace mlir::fleet::gpugen;
using namespace mlir::fleet::nv;

/// Stands for minus infinity: a power of a difference with it is 0, never a NaN.
static constexpr float kLowest = -1.0e30f;
static constexpr float kLog2E = 1.44269504f, kLn2 = 0.693147181f;
/// Elements of 16 bytes; of a query or key that one load of a warp brings; of a value.
static constexpr int64_t kWide = 8, kKeyLoad = 4 * kWide, kValueLoad = 8 * kWide;
/// Elements of a head in one mma: its left side has 16 rows.
static constexpr int64_t kElements = 2 * kRows;
/// Bytes of the caches that a worker asks the L2 for before it can read them, where each warp
/// has but one row. All workers together hold a third of an L2 of 50 MB then: what it has no
/// room for, beside the weights on their way, is thrown out again and read twice. With more
/// rows a warp the beginning matters less, and asking was slower.
static constexpr int64_t kMostAsked = 131072;
/// Words from those of one load of a query or key to those of the next.
static constexpr int64_t kSwap = kWide / 2;
/// Shared memory for rounds' keys and values, at most.
static constexpr int64_t kMostBuffered = 65536;

static ArrayRef<int64_t> shapeOf(Value value) { return cast<ShapedType>(value.getType()).getShape(); }
static bool isF32(Value value) { return getElementTypeOrSelf(value.getType()).isF32(); }

static bool isSupported(AttentionPartialOp op) {
  ValueRange in = op.getInputs();
  auto isBuffer = [&](unsigned i, bool orF32) {
    auto type = dyn_cast<MemRefType>(in[i].getType());
    return type && type.hasStaticShape() && cpu::isContiguousInLastDim(in[i]) &&
           (type.getElementType().isBF16() || (orF32 && isF32(in[i])));
  };
  int64_t group = shapeOf(in[0])[1];
  return op.getPart() && isBuffer(0, true) && isBuffer(1, true) && isBuffer(2, true) && isBuffer(5, false) &&
         isBuffer(6, false) && op.getDealt().value_or(kPositions) == kPositions && shapeOf(in[0])[0] > kFewRows &&
         hasHeads(group, shapeOf(in[0])[2]);
}

namespace {
/// What a warp reads for one row, `where` (an index) being its slot: rounds of 16 positions
/// that begin at `first` and then every stride(), below `last` (i32, which take half of the
/// registers).
struct Row {
  Value where, first, last;
};

/// Where keys or values of a warp's round come to: `at` is [warp][position][element], `full` the pointer
/// to the mbarrier of this warp's part.
struct Buffer {
  Value cache, at, full;
};

/// One part of the context, one key/value head, all rows or a row group; a warp takes one row at
/// a time, in rounds of 16 positions. Scores are (queries x head) * (head x positions): the
/// query heads of the group are rows of the mma, and keys come as they lie in memory, 16 bytes a
/// lane, if the contracted elements are counted in that order. Their powers of two are, as
/// they lie in registers, the right side of (head x positions) * (positions x queries),
/// whose left side is the values, again as they lie in memory.
///
/// Rounding to bf16 leaves rests, of weights and of queries in f32, which are multiplied
/// too. Groups of at most 4 heads leave half of the 8 rows (columns) of an mma empty: there
/// the rests stand.
///
/// All keys and values of a round are asked for before the first is used: eight warps have
/// 64 KB on their way.
///
/// Queries and keys may have to be normed and rotated: a lane's elements of a query, and those half a head further,
/// are its own; a key is a warp's.
///
/// With many rows bulk copies bring them to buffers of shared memory that belong to one warp. The next
/// round's keys are asked for as soon as this round's have been read, so are values, and across
/// rows too: what is on its way does not wait for arithmetic.
struct Attention {
  Emitter &e;
  AttentionPartialOp op;
  ValueRange in = op.getInputs();
  Value q = in[0], slots = in[3], positions = in[4], keys = in[5], values = in[6], out = op.getOutputs()[0];
  int64_t heads = shapeOf(q)[1], size = shapeOf(q)[2], context = shapeOf(keys)[2];
  int64_t length = llvm::divideCeil(context, static_cast<int64_t>(op.getParts()));
  /// Row i of this worker is own.at(i).
  DealtRows own{e, op};
  std::optional<DealtPart> dealt = op.getDealt() ? std::optional(DealtPart{e, op}) : std::nullopt;
  Type i32 = e.b.getI32Type();
  Value zero = e.index(0);
  Value begin = e.mulIndex(op.getPart(), length);
  Value end = arith::MinUIOp::create(e.b, e.loc, e.addIndex(begin, length), e.index(context));
  /// Whether queries and keys are still to be rotated, and normed before.
  bool isRotated = !op.getAngles().empty(), isNormed = !op.getWeights().empty();
  int64_t roundBytes = kPositions * size * 2;
  /// Whether rounds are copied to shared memory.
  bool isCopied = canCopy();
  /// Then the thread as the body has it: what follows from it takes no register of other bodies.
  Value thread = isCopied ? e.toIndex(madeHere(e, toI32(e.thread()))) : Value();
  Value group = arith::DivUIOp::create(e.b, e.loc, lane(), e.index(4));
  Value inGroup = arith::RemUIOp::create(e.b, e.loc, lane(), e.index(4));
  /// Rests stand in the other half of the mma's 8 rows or columns.
  bool isHalf = 2 * heads <= kRows;
  /// In a lane of the first half (i1): of heads as rows, and of heads as columns.
  Value isHigh = less(lane(), e.index(16)), isHighColumn = less(inGroup, e.index(2));
  int64_t keyLoads = size / kKeyLoad;
  /// Where rounds are copied to.
  Buffer keyBuffer = {}, valueBuffer = {};
  Value isLeader = {};
  /// In lane i the slot and the position of the i-th row of its warp.
  Value slotsOfWarp = {}, positionsOfWarp = {};
  /// Keys of odd positions are read in another order than those of even ones, for which the mma of scores
  /// needs 8 rows more.
  bool isTwisted = isCopied && (isHalf || !isF32(q));

  Value less(Value x, Value y) { return arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::ult, x, y); }
  Value choose(Value condition, Value x, Value y) { return arith::SelectOp::create(e.b, e.loc, condition, x, y); }
  Value greater(Value x, Value y) { return arith::MaxNumFOp::create(e.b, e.loc, x, y); }
  Value both(Value x, Value y) { return arith::AndIOp::create(e.b, e.loc, x, y); }
  Value notLess(Value x, Value y) { return arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::uge, x, y); }
  Value least(Value x, Value y) { return arith::MinUIOp::create(e.b, e.loc, x, y); }
  Value plus(Value x, Value y) { return arith::AddIOp::create(e.b, e.loc, x, y); }
  Value isActive(Value slot) { return arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::sge, slot, e.i32(0)); }
  Value toI32(Value index) { return arith::IndexCastOp::create(e.b, e.loc, i32, index); }
  Value add(Value position, int64_t more) {
    return more ? Value(arith::AddIOp::create(e.b, e.loc, position, e.i32(more))) : position;
  }
  Value lane() { return thread ? arith::RemUIOp::create(e.b, e.loc, thread, e.index(e.workgroup.lanes)) : e.lane(); }
  /// The warp, where rounds are copied.
  Value wave() { return arith::DivUIOp::create(e.b, e.loc, thread, e.index(e.workgroup.lanes)); }
  int64_t stride() { return dealt ? dealt->stride() : kPositions; }

  SmallVector<Value> words(Value from, ValueRange at) { return wordsOf(e.loadRaw(from, at, kWide)); }
  /// 16 bytes as four words of two elements.
  SmallVector<Value> wordsOf(Value eight) {
    Value bits = vector::BitCastOp::create(e.b, e.loc, VectorType::get({kWide / 2}, i32), eight);
    SmallVector<Value> all;
    for (int64_t i = 0; i < kWide / 2; ++i)
      all.push_back(vector::ExtractOp::create(e.b, e.loc, bits, i));
    return all;
  }

  /// The row of this number, or, past the last of a smaller row group, that one again.
  Value rowOf(Value number) {
    if (own.rows % own.groups == 0)
      return own.at(number);
    Value last = arith::SubIOp::create(e.b, e.loc, own.count(), e.index(1));
    return own.at(arith::MinUIOp::create(e.b, e.loc, number, last));
  }

  Row rowAt(Value row) {
    return rowAt(e.load(slots, row), [&] { return e.load(positions, row); });
  }
  Row rowAt(Value slot, function_ref<Value()> position) {
    Row r;
    r.where = e.toIndex(arith::MaxSIOp::create(e.b, e.loc, slot, e.i32(0)));
    r.first = dealt ? dealt->first() : begin;
    r.last = e.addIndex(e.toIndex(position()), 1);
    r.last = arith::MinUIOp::create(e.b, e.loc, r.last, dealt ? e.index(context) : end);
    // A row that is idle or stands before this part has nothing here.
    r.last = choose(isActive(slot), r.last, zero);
    r.first = toI32(r.first), r.last = toI32(r.last);
    return r;
  }

  /// A row's key, its angles and the weight of its norm, if there is one: each size / lanes elements of a lane. Nothing
  /// of it is used yet.
  SmallVector<Value> loadKey(Value row) {
    int64_t own = size / e.workgroup.lanes;
    Value column = e.mulIndex(lane(), own);
    SmallVector<Value> all = {e.loadVector(in[1], {row, zero, column}, own)};
    for (Value angle : op.getAngles())
      all.push_back(e.loadVector(angle, {row, column}, own));
    if (isNormed)
      all.push_back(e.loadVector(op.getWeights()[1], column, own));
    return all;
  }

  /// The key of loadKey(), normed and rotated. All lanes of the warp take part.
  Value rotateKey(ArrayRef<Value> loaded) {
    Value x = isNormed ? normHead(e, loaded[0], loaded[3], *op.getEps()) : loaded[0];
    return rotateHead(e, x, loaded[1], loaded[2], lane());
  }

  /// Stores this step's keys, which it rotates, and values: a warp has a row. Whichever tile stores a row makes the
  /// same bytes.
  void storeRotated(function_ref<Value(Value)> isHere) {
    int64_t lanes = e.workgroup.lanes, waves = e.workgroup.waves(), width = size / lanes;
    Value number = isCopied ? wave() : e.wave(), column = e.mulIndex(lane(), width);
    auto loadValue = [&](Value row) {
      Value value = e.loadRaw(in[2], {row, zero, column}, width);
      return isF32(in[2]) ? e.round(value, e.b.getBF16Type()) : value;
    };
    auto store = [&](Value row, Value key, Value value) {
      Value slot = e.load(slots, row), position = e.toIndex(e.load(positions, row));
      e.ifThen(both(isActive(slot), isHere(position)), [&] {
        SmallVector<Value> to = {e.toIndex(slot), zero, position, column};
        e.storeRaw(e.round(key, e.b.getBF16Type()), keys, to);
        e.storeRaw(value, values, to);
      });
    };
    // Two rows of a warp are on their way together.
    int64_t together = own.most > waves ? 2 : 1;
    e.loop(number, own.count(), together * waves, {}, [&](Value at, ValueRange) {
      SmallVector<Value> rows, found;
      SmallVector<SmallVector<Value>> loaded;
      for (int64_t i = 0; i < together; ++i) {
        rows.push_back(rowOf(least(e.addIndex(at, i * waves), e.index(own.most - 1))));
        loaded.push_back(loadKey(rows[i]));
        found.push_back(loadValue(rows[i]));
      }
      for (int64_t i = 0; i < together; ++i)
        store(rows[i], rotateKey(loaded[i]), found[i]);
      return SmallVector<Value>();
    });
    if (own.groups == 1)
      return;
    // Slots of this tile, one a lane.
    SmallVector<Value> ownSlots;
    for (int64_t first = 0; first < own.most; first += lanes)
      ownSlots.push_back(e.load(slots, rowOf(least(e.addIndex(lane(), first), e.index(own.most - 1)))));
    // Rows of other groups that have one in common with it: each lane looks at one row.
    for (int64_t first = 0; first < own.rows; first += lanes) {
      Value row = least(e.addIndex(lane(), first), e.index(own.rows - 1)), slot = e.load(slots, row);
      Value group = arith::RemUIOp::create(e.b, e.loc, row, e.index(own.groups));
      Value isShared = arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::ne, group, op.getRowGroup());
      isShared = both(both(isShared, isActive(slot)), isHere(e.toIndex(e.load(positions, row))));
      Value isSame = arith::ConstantIntOp::create(e.b, e.loc, e.b.getI1Type(), 0);
      for (int64_t i = 0; i < own.most; ++i) {
        Value other = ofLane(ownSlots[i / lanes], e.i32(i % lanes));
        isSame = arith::OrIOp::create(e.b, e.loc, isSame,
                                      arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::eq, other, slot));
      }
      Value flag = choose(both(isShared, isSame), e.i32(1), e.i32(0));
      Value until = e.index(std::min(lanes, own.rows - first));
      e.loop(number, until, waves, {}, [&](Value from, ValueRange) {
        Value isOne = arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::ne, ofLane(flag, toI32(from)), e.i32(0));
        e.ifThen(isOne, [&] {
          Value shared = e.addIndex(from, first);
          SmallVector<Value> loaded = loadKey(shared);
          Value value = loadValue(shared);
          store(shared, rotateKey(loaded), value);
        });
        return SmallVector<Value>();
      });
    }
  }

  /// The part that reads a position is the one that stores it. What is done `meanwhile` waits for none of it.
  void storeNew(function_ref<void()> meanwhile) {
    auto isHere = [&](Value position) {
      if (dealt)
        return both(less(position, e.index(context)), dealt->has(position));
      return both(less(position, end), arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::uge, position, begin));
    };
    if (isRotated)
      storeRotated(isHere);
    else
      storeGiven(isHere);
    meanwhile();
    // Copies read what is stored here.
    if (isCopied)
      fenceAsyncProxy(e, /*isGlobal=*/true);
    e.barrier();
  }

  /// Stores this step's keys and values as they are.
  void storeGiven(function_ref<Value(Value)> isHere) {
    auto store = [&](Value slot, Value position, ArrayRef<Value> from) {
      SmallVector<Value> to = {e.toIndex(slot), zero, position, from[2]};
      for (auto [source, cache] : {std::pair(in[1], keys), std::pair(in[2], values)}) {
        Value eight = e.loadRaw(source, from, kWide);
        e.storeRaw(isF32(source) ? e.round(eight, e.b.getBF16Type()) : eight, cache, to);
      }
    };
    auto positionOf = [&](Value row) { return e.toIndex(e.load(positions, row)); };
    e.forThreads(own.most * (size / kWide), [&](Value point) {
      auto at = e.delinearize(point, {own.most, size / kWide});
      Value row = rowOf(at[0]);
      Value slot = e.load(slots, row), position = e.toIndex(e.load(positions, row)), isOwn = isHere(position);
      e.ifThen(both(isActive(slot), isOwn), [&] { store(slot, position, {row, zero, e.mulIndex(at[1], kWide)}); });
    });
    own.forSharedRows([&](Value row) { return isHere(positionOf(row)); },
                      [&](Value row) {
                        Value slot = e.load(slots, row), position = positionOf(row);
                        e.loop(size, kWide, [&](Value at) { store(slot, position, {row, zero, at}); });
                      });
  }

  /// Asks for the first rounds of a warp's first row, which come while this step's keys and
  /// values are stored.
  void askAhead(const Row &row) {
    constexpr int64_t kLine = 128;
    int64_t lines = llvm::divideCeil(size * 2, kLine), atOnce = e.workgroup.lanes / lines;
    int64_t most = kMostAsked / e.workgroup.waves() / (2 * kPositions * size * 2);
    Value column = e.mulIndex(arith::RemUIOp::create(e.b, e.loc, e.lane(), e.index(lines)), kLine / 2);
    Value inRound = arith::DivUIOp::create(e.b, e.loc, e.lane(), e.index(lines));
    Value first = e.toIndex(row.first), last = e.toIndex(row.last);
    Value until = arith::MinUIOp::create(e.b, e.loc, last, e.addIndex(first, most * stride()));
    // Where rounds are copied the first one is asked for already.
    Value from = isCopied ? e.addIndex(first, stride()) : first;
    e.loop(from, until, stride(), {}, [&](Value base, ValueRange) {
      for (int64_t i = 0; i < kPositions; i += atOnce) {
        Value position = e.addIndex(e.addIndex(base, inRound), i);
        e.ifThen(less(position, last), [&] {
          for (Value cache : {keys, values})
            memref::PrefetchOp::create(e.b, e.loc, cache, ValueRange{row.where, zero, position, column},
                                       /*isWrite=*/false, /*localityHint=*/1, /*isDataCache=*/true);
        });
      }
      return SmallVector<Value>();
    });
  }

  void emit() {
    // Of a warp without a row it is not used.
    Value number = isCopied ? wave() : e.wave(),
          first = rowOf(arith::MinUIOp::create(e.b, e.loc, number, e.index(own.most - 1)));
    Row here;
    if (isCopied) {
      makeBuffers();
      here = rowOfWarp(number);
    } else {
      here = rowAt(first);
    }
    SmallVector<Value> query = loadQuery(first);
    auto rotate = [&] { query = rotateQuery(query, first); };
    if (isCopied) {
      storeBesideFirstRound(here, rotate);
    } else {
      if (own.most <= e.workgroup.waves())
        askAhead(here);
      storeNew(rotate);
    }
    // Carried: where the row stands, the parity of its first round, and its queries.
    SmallVector<Value> carried = {here.where, here.first, here.last};
    if (isCopied)
      carried.push_back(e.i32(0));
    llvm::append_range(carried, splitQuery(query));
    e.loop(number, own.count(), e.workgroup.waves(), carried,
           [&](Value number, ValueRange before) { return takeRow(number, before); });
    if (isCopied)
      dropBuffers();
    e.barrier();
  }

  /// A bulk copy takes the positions of a round as one piece of memory.
  bool canCopy() {
    auto isInOnePiece = [&](Value cache) {
      auto type = cast<MemRefType>(cache.getType());
      auto space = dyn_cast_or_null<gpu::AddressSpaceAttr>(type.getMemorySpace());
      SmallVector<int64_t> strides;
      int64_t offset;
      return space && space.getValue() == gpu::AddressSpace::Global &&
             succeeded(type.getStridesAndOffset(strides, offset)) && strides[2] == size;
    };
    int64_t waves = e.workgroup.waves();
    return own.rows > kMostLoaded && own.most <= waves * e.workgroup.lanes && 2 * waves * roundBytes <= kMostBuffered &&
           isInOnePiece(keys) && isInOnePiece(values);
  }

  /// Buffers and mbarriers of this task: what other bodies keep there is gone, and they find no mbarrier.
  void makeBuffers() {
    int64_t waves = e.workgroup.waves(), bytes = waves * roundBytes;
    Value wave = this->wave();
    isLeader = arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::eq, lane(), zero);
    Value barriers = besideScratch(e, 2 * bytes, inWorkgroupMemory({waves * 2 * 8}, e.b.getI8Type()));
    auto bufferOf = [&](int64_t i, Value cache) {
      auto type = inWorkgroupMemory({waves, kPositions, size}, e.b.getBF16Type());
      return Buffer{cache, besideScratch(e, i * bytes, type),
                    pointerTo(e, barriers, e.addIndex(e.mulIndex(wave, 16), i * 8))};
    };
    keyBuffer = bufferOf(0, keys), valueBuffer = bufferOf(1, values);
    e.ifThen(isLeader, [&] {
      for (Value full : {keyBuffer.full, valueBuffer.full})
        initBarrier(e, full, 1);
      fenceBarrierInit(e);
      // What earlier steps have stored comes before the copies that read it.
      fenceAsyncProxy(e, /*isGlobal=*/true);
    });
    syncWarp(e);
    Value mine = e.addIndex(wave, e.mulIndex(lane(), waves));
    Value row = rowOf(least(mine, e.index(own.most - 1)));
    slotsOfWarp = e.load(slots, row), positionsOfWarp = e.load(positions, row);
  }

  void dropBuffers() {
    syncWarp(e);
    e.ifThen(isLeader, [&] {
      for (Value full : {keyBuffer.full, valueBuffer.full})
        invalidateBarrier(e, full);
    });
  }

  /// What lane `from` (i32) of the warp has.
  Value ofLane(Value value, Value from) {
    return gpu::ShuffleOp::create(e.b, e.loc, value, from, e.i32(e.workgroup.lanes), gpu::ShuffleMode::IDX)
        .getShuffleResult();
  }

  /// Row `number` of this worker, one of this warp's; past the last one without positions.
  Row rowOfWarp(Value number) {
    Value turn = toI32(arith::DivUIOp::create(e.b, e.loc, number, e.index(e.workgroup.waves())));
    Row r = rowAt(ofLane(slotsOfWarp, turn), [&] { return ofLane(positionsOfWarp, turn); });
    r.last = choose(less(number, own.count()), r.last, e.i32(0));
    return r;
  }

  /// Asks for the round at `base` of a row (where, last), if it has one there. Whoever reads this buffer has done so
  /// before a warp sync.
  void ask(const Buffer &buffer, Value where, Value base, Value last) {
    e.ifThen(both(isLeader, less(base, last)), [&] {
      Value count = least(arith::SubIOp::create(e.b, e.loc, last, base), e.i32(kPositions));
      Value bytes = arith::MulIOp::create(e.b, e.loc, count, e.i32(size * 2));
      // The copy does not overtake loads that were issued and have not come back.
      fenceAsyncProxy(e);
      arriveExpecting(e, buffer.full, bytes);
      auto metadata = memref::ExtractStridedMetadataOp::create(e.b, e.loc, buffer.cache);
      Value element =
          e.addIndex(metadata.getOffset(), arith::MulIOp::create(e.b, e.loc, where, metadata.getStrides()[0]));
      element = e.addIndex(element, e.mulIndex(e.toIndex(base), size));
      copyBulk(e, pointerTo(e, buffer.at, e.mulIndex(wave(), roundBytes)),
               pointerTo(e, buffer.cache, e.mulIndex(element, 2)), bytes, buffer.full);
    });
  }
  void askForBoth(const Row &row, Value base) {
    for (const Buffer &buffer : {keyBuffer, valueBuffer})
      ask(buffer, row.where, base, row.last);
  }

  /// The first round of a warp's first row is asked for before this step's keys and values are stored, if none of them
  /// is in it: positions of a slot within a step follow each other.
  void storeBesideFirstRound(const Row &row, function_ref<void()> meanwhile) {
    Value until = plus(least(add(row.first, kPositions), row.last), e.i32(own.rows));
    Value position = ofLane(positionsOfWarp, e.i32(0));
    Value isOld = arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::ule, until, add(position, 1));
    Row early = row, late = row;
    early.last = choose(isOld, row.last, e.i32(0)), late.last = choose(isOld, e.i32(0), row.last);
    askForBoth(early, row.first);
    if (own.most <= e.workgroup.waves())
      askAhead(row);
    storeNew(meanwhile);
    e.ifThen(isLeader, [&] { fenceAsyncProxy(e, /*isGlobal=*/true); });
    askForBoth(late, row.first);
  }

  /// As loadKeys(), of a round that has come to shared memory. All rows of a buffer begin in the same bank: of two
  /// positions side by side one has the elements of 64 in the other order.
  SmallVector<Value> readKeys() {
    Value wave = this->wave(), twist = e.mulIndex(arith::RemUIOp::create(e.b, e.loc, group, e.index(2)), kKeyLoad);
    SmallVector<Value> all;
    for (int64_t j = 0; j < kPositions; j += kRows)
      for (int64_t d = 0; d < size; d += kKeyLoad) {
        Value first = e.index(d);
        if (isTwisted)
          first = arith::XOrIOp::create(e.b, e.loc, first, twist);
        llvm::append_range(
            all, words(keyBuffer.at, {wave, e.addIndex(group, j), e.addIndex(e.mulIndex(inGroup, kWide), first)}));
      }
    return all;
  }

  /// As loadValues(). Positions that are not there become 0: they have no weight, but what an
  /// earlier round has left may be no number.
  SmallVector<SmallVector<Value>> readValues(Value base, Value last) {
    Value wave = this->wave(), pieces = e.index(size / kWide);
    e.ifThen(less(last, add(base, kPositions)), [&] {
      auto type = inWorkgroupMemory({e.workgroup.waves(), kPositions, size / 2}, e.b.getF32Type());
      Value asFloats = besideScratch(e, e.workgroup.waves() * roundBytes, type);
      for (int64_t i = 0; i < kPositions * size / kWide; i += e.workgroup.lanes) {
        Value piece = e.addIndex(lane(), i), position = arith::DivUIOp::create(e.b, e.loc, piece, pieces);
        e.ifThen(notLess(plus(base, toI32(position)), last), [&] {
          Value column = e.mulIndex(arith::RemUIOp::create(e.b, e.loc, piece, pieces), kWide / 2);
          e.storeRaw(e.splat(0, kWide / 2), asFloats, {wave, position, column});
        });
      }
      syncWarp(e);
    });
    SmallVector<SmallVector<Value>> all;
    for (int64_t d = 0; d < size; d += kValueLoad)
      for (int64_t j : {0, 1, 8, 9})
        all.push_back(words(valueBuffer.at,
                            {wave, e.addIndex(e.mulIndex(inGroup, 2), j), e.addIndex(e.mulIndex(group, kWide), d)}));
    return all;
  }

  /// Keys of positions g and g + 8 of the round (g = lane / 4): of each, of each 32
  /// elements, 8 t to 8 t + 7 (t = lane mod 4).
  SmallVector<Value> loadKeys(Value where, Value base, Value last) {
    SmallVector<Value> all;
    for (int64_t j = 0; j < kPositions; j += kRows) {
      Value position = safe(base, group, j, last);
      for (int64_t d = 0; d < size; d += kKeyLoad)
        llvm::append_range(all, words(keys, {where, zero, position, e.addIndex(e.mulIndex(inGroup, kWide), d)}));
    }
    return all;
  }

  /// Values of positions 2 t, 2 t + 1, 2 t + 8 and 2 t + 9 of the round: of each, of each 64
  /// elements, 8 g to 8 g + 7.
  SmallVector<SmallVector<Value>> loadValues(Value where, Value base, Value last) {
    SmallVector<SmallVector<Value>> all;
    for (int64_t d = 0; d < size; d += kValueLoad)
      for (int64_t j : {0, 1, 8, 9}) {
        Value position = safe(base, e.mulIndex(inGroup, 2), j, last);
        all.push_back(words(values, {where, zero, position, e.addIndex(e.mulIndex(group, kWide), d)}));
      }
    return all;
  }

  /// base + ofLane + more. Positions past the last one have no weight, but their values have to be numbers.
  Value safe(Value base, Value ofLane, int64_t more, Value last) {
    Value position = add(arith::AddIOp::create(e.b, e.loc, base, toI32(ofLane)), more);
    return e.toIndex(arith::MinUIOp::create(e.b, e.loc, position, add(last, -1)));
  }

  /// Of each 32 elements of a query, that of row g of the mma of scores, 8 t to 8 t + 7.
  SmallVector<Value> loadQuery(Value row) {
    // Rows past the group repeat a head of it; nothing of them is stored.
    Value head = isHalf ? Value(arith::RemUIOp::create(e.b, e.loc, group, e.index(kRows / 2))) : group;
    if (heads != (isHalf ? kRows / 2 : kRows))
      head = arith::MinUIOp::create(e.b, e.loc, head, e.index(heads - 1));
    SmallVector<Value> loaded;
    for (int64_t d = 0; d < size; d += kKeyLoad)
      loaded.push_back(e.loadRaw(q, {row, head, e.addIndex(e.mulIndex(inGroup, kWide), d)}, kWide));
    if (isNormed)
      for (int64_t d = 0; d < size; d += kKeyLoad)
        loaded.push_back(e.loadVector(op.getWeights()[0], e.addIndex(e.mulIndex(inGroup, kWide), d), kWide));
    return loaded;
  }

  /// The query of what loadQuery() has loaded of `row`: the elements half a head away are this lane's as well. Its
  /// angles are read here: there are no registers for them before, and the row's key has brought them to the L1.
  SmallVector<Value> rotateQuery(ArrayRef<Value> loaded, Value row) {
    if (!isRotated)
      return llvm::to_vector(loaded);
    SmallVector<Value> x, cosine, sine, all;
    for (int64_t d = 0; d < size; d += kKeyLoad) {
      Value column = e.addIndex(e.mulIndex(inGroup, kWide), d);
      cosine.push_back(e.loadVector(op.getAngles()[0], {row, column}, kWide));
      sine.push_back(e.loadVector(op.getAngles()[1], {row, column}, kWide));
    }
    for (Value eight : loaded.take_front(keyLoads))
      x.push_back(e.widen(eight));
    if (isNormed) {
      Value squares = e.mul(x[0], x[0]);
      for (Value eight : ArrayRef<Value>(x).drop_front())
        squares = e.add(squares, e.mul(eight, eight));
      squares = e.sumLanes(e.reduce(vector::CombiningKind::ADD, squares), 1, 4);
      Value scale = scaleOfHead(e, squares, size, *op.getEps());
      for (auto [eight, weight] : llvm::zip_equal(x, loaded.take_back(keyLoads)))
        eight = e.mul(e.mul(eight, e.broadcast(scale, kWide)), weight);
    }
    int64_t half = keyLoads / 2;
    for (int64_t i = 0; i < keyLoads; ++i) {
      Value across = e.mul(x[(i + half) % keyLoads], sine[i]), along = e.mul(x[i], cosine[i]);
      all.push_back(i < half ? e.sub(along, across) : e.add(along, across));
      if (!isF32(q))
        all.back() = e.round(all.back(), e.b.getBF16Type());
    }
    return all;
  }

  /// What loadQuery() has loaded and rotateQuery() may have rotated as words of row g of the mma's left sides, then, if
  /// these have rests, those of row g + 8.
  SmallVector<Value> splitQuery(ArrayRef<Value> loaded) {
    SmallVector<Value> all, rests;
    for (Value eight : loaded) {
      if (!isF32(q)) {
        llvm::append_range(all, wordsOf(eight));
        continue;
      }
      for (int64_t i = 0; i < kWide; i += 2) {
        auto [high, rest] = splitBf16(e, vector::ExtractOp::create(e.b, e.loc, eight, i),
                                      vector::ExtractOp::create(e.b, e.loc, eight, i + 1));
        all.push_back(isHalf ? choose(isHigh, high, rest) : high);
        if (!isHalf)
          rests.push_back(rest);
      }
    }
    llvm::append_range(all, rests);
    return all;
  }

  SmallVector<Value> takeRow(Value number, ValueRange before) {
    Row here{before[0], before[1], before[2]}, next = here;
    ValueRange query = before.drop_front(isCopied ? 4 : 3);
    Value row = own.at(number), nextRow = row;
    bool hasNext = own.most > e.workgroup.waves();
    if (hasNext) {
      Value after = e.addIndex(number, e.workgroup.waves());
      nextRow = rowOf(arith::MinUIOp::create(e.b, e.loc, after, e.index(own.most - 1)));
      next = isCopied ? rowOfWarp(after) : rowAt(nextRow);
    } else if (isCopied) {
      next.last = e.i32(0);
    }
    // Whoever takes a row finds its first round asked for.
    if (isCopied && hasNext)
      e.ifThen(notLess(here.first, here.last), [&] { askForBoth(next, next.first); });

    // Carried: the maximum, this lane's sum of weights, and the weighted values (four of
    // each mma).
    SmallVector<Value> state = {e.f32(kLowest), e.f32(0)};
    state.append(4 * size / kElements, e.f32(0));
    // And the parity of the round.
    if (isCopied)
      state.push_back(before[3]);
    auto rounds = scf::ForOp::create(e.b, e.loc, here.first, here.last, e.i32(stride()), state);
    {
      OpBuilder::InsertionGuard guard(e.b);
      e.b.setInsertionPointToEnd(rounds.getBody());
      SmallVector<Value> after = addPositions(rounds.getInductionVar(), here, next, query, rounds.getRegionIterArgs());
      scf::YieldOp::create(e.b, e.loc, after);
    }
    state = llvm::to_vector_of<Value>(rounds.getResults());
    // On their way while the sums are stored.
    SmallVector<Value> ahead = hasNext ? loadQuery(nextRow) : SmallVector<Value>();
    storeRow(row, state);
    SmallVector<Value> after = {next.where, next.first, next.last};
    if (isCopied)
      after.push_back(state.back());
    if (hasNext)
      llvm::append_range(after, splitQuery(rotateQuery(ahead, nextRow)));
    else
      llvm::append_range(after, query);
    return after;
  }

  /// `next` is the warp's next row, of which the first round comes behind the last one of this.
  SmallVector<Value> addPositions(Value base, const Row &here, const Row &next, ValueRange query, ValueRange carried) {
    SmallVector<Value> keyWords;
    SmallVector<SmallVector<Value>> value;
    Value parity, where, after, last;
    if (isCopied) {
      parity = carried.back();
      after = add(base, stride());
      Value isSame = less(after, here.last);
      where = choose(isSame, here.where, next.where);
      after = choose(isSame, after, next.first), last = choose(isSame, here.last, next.last);
      waitForPhase(e, keyBuffer.full, parity);
      keyWords = readKeys();
      syncWarp(e);
      ask(keyBuffer, where, after, last);
    } else {
      // All loads of a round are on their way together. The assembler would move those of the
      // values to where they are used, behind the scores: across a barrier it does not.
      keyWords = loadKeys(here.where, base, here.last);
      value = loadValues(here.where, base, here.last);
      syncWarp(e);
    }
    ValueRange key(keyWords);

    // The two blocks of positions in turn: neither waits for itself, and a left side is put
    // together once.
    Value nothing = e.i32(0);
    int64_t queryWords = keyLoads * kWide / 2;
    ValueRange queryRest = query.drop_front(queryWords);
    int64_t blocks = kPositions / kRows;
    SmallVector<SmallVector<Value>> products(isTwisted ? 2 * blocks : blocks, SmallVector<Value>(4, e.f32(0)));
    for (int64_t u = 0; u < queryWords; u += 2) {
      SmallVector<Value> left = {query[u], nothing, query[u + 1], nothing};
      bool isSecond = isTwisted && (u & kSwap);
      if (!queryRest.empty())
        left[1] = queryRest[u], left[3] = queryRest[u + 1];
      else if (isTwisted) // both loads with the same left side: rows g + 8 are for what is in the other order
        left = {query[u & ~kSwap], query[u | kSwap], query[(u + 1) & ~kSwap], query[(u + 1) | kSwap]};
      for (int64_t j = 0; j < blocks; ++j) {
        SmallVector<Value> &sum = products[isSecond ? blocks + j : j];
        sum = multiply(e, left, llvm::to_vector(key.slice(j * queryWords + u, 2)), sum);
      }
    }
    SmallVector<Value> dots;
    for (int64_t j = 0; j < blocks; ++j)
      for (int64_t i = 0; i < 2; ++i) {
        ArrayRef<Value> sum = products[j];
        Value dot = sum[i];
        // Column 2t + i, an even or odd position: its first elements in rows g of one sum, the others in g + 8 of the
        // other.
        if (isTwisted)
          dot = e.add(sum[3 * i], products[blocks + j][2 - i]);
        if (isF32(q))
          dot = e.add(dot, isHalf ? e.shuffleXor(dot, e.workgroup.lanes / 2) : sum[2 + i]);
        dots.push_back(dot);
      }

    // Scores are in powers of two, which is one instruction.
    Value scale = e.f32(op.getScale().convertToDouble() * kLog2E), maximum = carried[0];
    SmallVector<Value> scores;
    for (auto [i, dot] : llvm::enumerate(dots)) {
      Value position =
          add(arith::AddIOp::create(e.b, e.loc, base, toI32(e.mulIndex(inGroup, 2))), i / 2 * kRows + i % 2);
      scores.push_back(choose(less(position, here.last), e.mul(dot, scale), e.f32(kLowest)));
      maximum = greater(maximum, scores.back());
    }
    maximum = e.combineLanes({maximum}, 1, 4, [&](ArrayRef<Value> x, ArrayRef<Value> y) {
      return SmallVector<Value>{greater(x[0], y[0])};
    })[0];
    Value shrink = powerOfTwo(e, e.sub(carried[0], maximum));
    Value sum = e.mul(carried[1], shrink);
    // Right sides: [positions 2t, 2t + 1 | 2t + 8, 2t + 9] of column g.
    SmallVector<Value> right, rest;
    for (int64_t j = 0; j < 4; j += 2) {
      Value weight[2];
      for (int64_t i = 0; i < 2; ++i) {
        // The round has a position: the maximum is a score, and 0 what stands past the last one.
        weight[i] = powerOfTwo(e, e.sub(scores[j + i], maximum));
        sum = e.add(sum, weight[i]);
      }
      auto [high, low] = splitBf16(e, weight[0], weight[1]);
      right.push_back(isHalf ? choose(isHigh, high, low) : high);
      rest.push_back(low);
    }
    // This lane has the shrinking of row g, its sums are of columns 2t and 2t + 1.
    Value lane = arith::IndexCastOp::create(e.b, e.loc, i32, e.mulIndex(inGroup, 8)), shrinks[2];
    for (int64_t i = 0; i < 2; ++i)
      shrinks[i] = gpu::ShuffleOp::create(e.b, e.loc, shrink, arith::AddIOp::create(e.b, e.loc, lane, e.i32(4 * i)),
                                          e.i32(e.workgroup.lanes), gpu::ShuffleMode::IDX)
                       .getShuffleResult();
    if (isCopied) {
      waitForPhase(e, valueBuffer.full, parity);
      value = readValues(base, here.last);
      syncWarp(e);
      ask(valueBuffer, where, after, last);
    }
    SmallVector<Value> state = {maximum, sum};
    for (int64_t d = 0; d < size / kValueLoad; ++d)
      for (int64_t j = 0; j < kWide; j += 2) {
        // Rows g and g + 8: elements 8 g + j and 8 g + j + 1 of each 64.
        auto pair = [&](int64_t position, bool upper) {
          return selectHalves(e, value[d * 4 + position][j / 2], value[d * 4 + position + 1][j / 2], upper);
        };
        SmallVector<Value> left = {pair(0, false), pair(0, true), pair(2, false), pair(2, true)}, total;
        for (auto [i, old] : llvm::enumerate(carried.slice(2 + 2 * (d * kWide + j), 4)))
          total.push_back(e.mul(old, shrinks[i % 2]));
        total = multiply(e, left, right, total);
        if (!isHalf)
          total = multiply(e, left, rest, total);
        llvm::append_range(state, total);
      }
    if (isCopied)
      state.push_back(arith::XOrIOp::create(e.b, e.loc, parity, e.i32(1)));
    return state;
  }

  /// Elements 8 g to 8 g + 7 of each 64, of the heads of columns 2 t and 2 t + 1.
  void storeRow(Value row, ArrayRef<Value> state) {
    Value sum = e.sumLanes(state[1], 1, 4);
    auto type = VectorType::get({4}, e.b.getF32Type());
    auto store = [&](Value head, function_ref<Value(int64_t)> element) {
      e.ifThen(less(head, e.index(heads)), [&] {
        for (int64_t i = 0; i < size / kRows; i += 4) {
          SmallVector<Value> four;
          for (int64_t k = i; k < i + 4; ++k)
            four.push_back(element(k));
          Value at = e.addIndex(e.mulIndex(group, kWide), i / kWide * kValueLoad + i % kWide);
          e.storeRaw(vector::FromElementsOp::create(e.b, e.loc, type, four), out, {zero, row, head, at});
        }
      });
    };
    // Of element i of a lane the sums are [head of column 2t, of column 2t + 1].
    auto sums = [&](int64_t i) { return &state[2 + 2 * i]; };
    Value head = e.mulIndex(inGroup, 2);
    if (isHalf) {
      // Lanes t and t + 2 have high parts and rests of the same two heads: each adds one's.
      SmallVector<Value> elements;
      for (int64_t i = 0; i < size / kRows; ++i) {
        Value own = choose(isHighColumn, sums(i)[0], sums(i)[1]);
        Value others = choose(isHighColumn, sums(i)[1], sums(i)[0]);
        elements.push_back(e.add(own, e.shuffleXor(others, 2)));
      }
      Value odd = arith::SubIOp::create(e.b, e.loc, head, e.index(3));
      store(choose(isHighColumn, head, odd), [&](int64_t i) { return elements[i]; });
    } else {
      for (int64_t column = 0; column < 2; ++column)
        store(e.addIndex(head, column), [&](int64_t i) { return sums(i)[column]; });
    }
    Value isOne =
        both(less(group, e.index(heads)), arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::eq, inGroup, zero));
    e.ifThen(isOne, [&] {
      // The merge takes powers of e.
      memref::StoreOp::create(e.b, e.loc, e.mul(state[0], e.f32(kLn2)), out,
                              ValueRange{zero, row, group, e.index(size)});
      memref::StoreOp::create(e.b, e.loc, sum, out, ValueRange{zero, row, group, e.index(size + 1)});
    });
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
