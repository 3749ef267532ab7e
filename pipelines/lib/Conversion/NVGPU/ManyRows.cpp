//===- ManyRows.cpp - Contractions of many rows
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CopiedChunks.h"

#include "mlir/IR/IRMapping.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;
using namespace mlir::fleet;
using namespace mlir::fleet::gpugen;
using namespace mlir::fleet::nv;

/// Bytes of activations that a lane loads at once, at most.
static constexpr int64_t kLoadBytes = 16;
/// Sums that a thread adds at once.
static constexpr int64_t kLanes = 4;
/// Contracted elements that a lane has of one mma: two pairs.
static constexpr int64_t kOfStep = kDepth / 4;
/// Columns of half a tile: a lane has two of each half.
static constexpr int64_t kHalf = kColumns / 2;

/// Contracted elements that a lane loads at once: those of one step, or of 2 of bf16. Ordered weights
/// stand for one step's.
static int64_t widthOf(const Contraction &c, bool isOrdered) {
  return isOrdered ? kOfStep : kLoadBytes / (c.isWide ? 4 : 2);
}

/// Shared memory that nothing outside of `block` uses.
static bool isTemporary(Value buffer, Block *block) {
  return isInWorkgroupMemory(cast<MemRefType>(buffer.getType())) && buffer.getDefiningOp<memref::ViewOp>() &&
         llvm::all_of(buffer.getUsers(), [&](Operation *user) { return user->getBlock() == block; });
}

/// The buffer that `part` is a part of.
static Value wholeOf(Value part) {
  while (auto view = part.getDefiningOp<ViewLikeOpInterface>())
    part = view.getViewSource();
  return part;
}

/// Whether each element that the loop computes from its contractions follows from the same element of what it reads.
static bool isElementwise(TileLoop &tiles) {
  auto generics = tiles.loop.getBody()->getOps<linalg::GenericOp>();
  llvm::SmallPtrSet<Value, 4> known, stored;
  for (const TileLoop::Result &result : tiles.results) {
    known.insert(result.value);
    if (!result.isTemporary)
      stored.insert(result.value);
  }
  for (linalg::GenericOp generic : generics)
    stored.insert_range(generic.getOutputs());
  for (linalg::GenericOp generic : generics) {
    SmallVector<int64_t> sizes = generic.getStaticLoopRanges();
    if (!generic.hasPureBufferSemantics() || sizes != ArrayRef<int64_t>{tiles.first.rows, kColumns} ||
        generic.getNumParallelLoops() != sizes.size() || !cpu::isMappable(generic))
      return false;
    for (OpOperand &operand : generic->getOpOperands()) {
      Value value = operand.get();
      if (!isa<MemRefType>(value.getType()))
        continue;
      if (!generic.getMatchingIndexingMap(&operand).isIdentity() || !cpu::isContiguousInLastDim(value))
        return false;
      // What it reads nobody stores by another name.
      if (!known.contains(value) && llvm::any_of(stored, [&](Value other) {
            return other != value && wholeOf(other) == wholeOf(value) && !generic.isDpsInit(&operand);
          }))
        return false;
    }
    known.insert_range(generic.getOutputs());
  }
  return true;
}

/// Finds what each of the contractions adds to; false if the loop has another use for it.
static bool findResults(TileLoop &tiles) {
  Block *block = tiles.loop.getBody();
  auto isResult = [&](Value value) {
    return llvm::any_of(tiles.ops, [&](linalg::MatmulOp op) { return op.getOutputs()[0] == value; });
  };
  llvm::SmallPtrSet<Value, 4> zeros, seen;
  bool isOver = false;
  for (Operation &op : block->without_terminator()) {
    if (auto fill = dyn_cast<linalg::FillOp>(op);
        fill && isResult(fill.getOutputs()[0]) && matchPattern(fill.getInputs()[0], m_AnyZeroFloat())) {
      zeros.insert(fill.getOutputs()[0]);
    } else if (auto copy = dyn_cast<memref::CopyOp>(op);
               copy && isResult(copy.getTarget()) && zeros.contains(copy.getSource())) {
      zeros.insert(copy.getTarget());
    } else if (auto found = llvm::find(tiles.ops, &op); found != tiles.ops.end()) {
      Value out = found->getOutputs()[0];
      bool isShared = isInWorkgroupMemory(cast<MemRefType>(out.getType())), isZero = zeros.erase(out);
      bool isOwn = isTemporary(out, block);
      if (isOver || !seen.insert(out).second || isOwn != isShared || (isOwn && !isZero))
        return false;
      tiles.results.push_back({out, isOwn, isZero});
    } else if (auto generic = dyn_cast<linalg::GenericOp>(op)) {
      isOver = true;
      if (llvm::any_of(generic.getOutputs(), isResult))
        return false;
    } else if (!isMemoryEffectFree(&op)) {
      return false;
    }
  }
  return zeros.empty() && tiles.results.size() == tiles.ops.size();
}

std::optional<TileLoop> nv::matchTileLoop(func::FuncOp body) {
  std::optional<TileLoop> found;
  bool isOne = true, isOrdered = body->getParentOp()->hasAttr(kOrdered);
  body.walk([&](linalg::MatmulOp op) {
    auto contraction = matchContraction(op);
    if (!contraction || !op->hasAttr(kStreamed))
      return;
    auto loop = cast<scf::ForOp>(op->getParentOp());
    if (!found)
      found = TileLoop{loop, {}, *contraction, {}};
    isOne &= found->loop == loop && loop.getNumResults() == 0 && loop.isDefinedOutsideOfLoop(contraction->lhs) &&
             found->first.lhs == contraction->lhs && contraction->depth % (4 * widthOf(*contraction, isOrdered)) == 0;
    found->ops.push_back(op);
  });
  if (!found || !isOne || !findResults(*found))
    return std::nullopt;
  return found;
}

namespace {
struct Together {
  Emitter &e;
  TileLoop &tiles;
  int64_t slots, groups, together, summed;
  /// The warps of a turn are warpgroups: they multiply by wgmma.
  bool hasGroups = hasWarpgroups(groups);
  Contraction &c = tiles.first;
  int64_t streams = tiles.ops.size(), turns = e.workgroup.waves() / groups, ofSlot = chunksOfSlot(groups);
  int64_t blocks = blocksOf(c.rows, groups);
  int64_t chunks = llvm::divideCeil(c.depth, kDeep);
  /// Elements that a lane loads at once, and a warp of each row; steps of these.
  int64_t width = widthOf(c, hasGroups), load = 4 * width, stepsOfLoad = width / kOfStep;
  /// What an activation is the sum of.
  int64_t parts = c.isWide ? 2 : 1;
  /// What a lane has loaded of a step of a block, and of a chunk.
  int64_t perStep = c.isWide ? kOfStep : kOfStep / 2, perChunk = kDeep / kDepth * blocks * perStep;
  /// Sums of a block that take a slot's products in turn, in mma's. Where warps share slots, and have one
  /// block of rows, the way through one sum would take longer than the next slots to come.
  int64_t chains = parts + (groups > 1 && blocks == 1);
  /// Warps that share a slot read shared memory as often as it can be read.
  bool isMixed = groups > 1;
  /// Warps that take a tile's sums, and those that there are.
  int64_t waves = e.workgroup.waves();
  int64_t wavesOfTile = std::min<int64_t>(llvm::PowerOf2Ceil(llvm::divideCeil(c.rows, kRows)), waves);
  /// What follows the contractions is computed in registers.
  bool isElementwise = ::isElementwise(tiles);
  /// Some warp's last chunk is not whole.
  bool isRagged = c.depth % (kDeep * turns) != 0;
  /// Of the warp: its turn and its first row; of the lane: its place in an mma.
  Value turn{}, firstRow{}, wave = e.wave(), lane = e.lane(), inGroup{}, group{}, laneOffset{};
  /// Where chunks come by bulk copies.
  std::optional<CopiedChunks> copied{};

  Value rem(Value x, int64_t y) { return arith::RemUIOp::create(e.b, e.loc, x, e.index(y)); }
  Value quotient(Value x, int64_t y) { return arith::DivUIOp::create(e.b, e.loc, x, e.index(y)); }
  /// The same number of at most 32 bits, made here; what divides it can still be seen.
  Value remade(Value number) {
    int64_t power = powerOfTwoIn(number);
    Value units = power > 1 ? quotient(number, power) : number;
    units = indexMadeHere(e, units);
    return power > 1 ? e.mulIndex(units, power) : units;
  }
  Value less(Value x, Value y) { return arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::ult, x, y); }
  Value isEqual(Value x, Value y) { return arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::eq, x, y); }
  Value times(Value x, int64_t y) { return y ? e.mulIndex(x, y) : e.index(0); }
  Value atMost(Value x, int64_t y) { return arith::MinUIOp::create(e.b, e.loc, x, e.index(y)); }
  using Make = function_ref<SmallVector<Value>()>;
  SmallVector<Value> ifElse(Value condition, TypeRange types, Make then, Make otherwise) {
    auto op = scf::IfOp::create(e.b, e.loc, types, condition, /*withElseRegion=*/true);
    OpBuilder::InsertionGuard guard(e.b);
    e.b.setInsertionPointToStart(op.thenBlock());
    scf::YieldOp::create(e.b, e.loc, then());
    e.b.setInsertionPointToStart(op.elseBlock());
    scf::YieldOp::create(e.b, e.loc, otherwise());
    return SmallVector<Value>(op.getResults());
  }
  SmallVector<Value> ifElse(Value condition, ValueRange otherwise, Make then) {
    return ifElse(condition, otherwise.getTypes(), then, [&] { return SmallVector<Value>(otherwise); });
  }

  void findPlaces() {
    // A warpgroup is four warps one behind the other.
    turn = hasGroups ? quotient(wave, groups) : rem(wave, turns);
    firstRow = e.mulIndex(hasGroups ? rem(wave, groups) : quotient(wave, turns), blocks * kRows);
    group = quotient(lane, 4), inGroup = rem(lane, 4);
  }

  /// A lane loads 16 bytes of a row: w = 8 elements of bf16, of which two steps take 4
  /// each, or 4 of f32. So an mma's position p of the contracted dimension stands for
  /// element wt + 2h + p mod 2 of a step, t = p mod 8 / 2, h = p / 8: activations come as
  /// they lie in memory, and weights by an address a lane. Odd lanes swap their two pairs, so
  /// that the 8 rows of weights of a matrix begin in different banks, as far as they can: of
  /// 16 bytes of each 32 there are 4. If matrices are mixed, the other 4 are those of
  /// the other half of the columns: lanes 2 and 3 of each 4 have it, and swap the two.
  void begin() {
    // LLVM would compute what follows from it in front of the walk, for all bodies at once, and so
    // take registers from each.
    lane = remade(lane);
    findPlaces();
    if (copiesChunks(c, groups))
      copied.emplace(CopiedChunks{e, c, groups, placeOfChunks(tiles), isRagged});
    if (hasGroups)
      return;
    Value position = rem(lane, 8), high = quotient(lane, 16), half = rem(quotient(lane, 8), 2);
    Value t = quotient(position, 2);
    Value pair = arith::XOrIOp::create(e.b, e.loc, high, rem(t, 2));
    if (isMixed)
      half = arith::XOrIOp::create(e.b, e.loc, half, quotient(t, 2));
    Value row = e.addIndex(e.addIndex(e.mulIndex(t, width), e.mulIndex(pair, 2)), rem(position, 2));
    laneOffset = e.addIndex(e.mulIndex(row, kColumns * 2), e.mulIndex(half, 16));
  }

  /// Of a block of rows this lane's.
  Value rowOf(int64_t n) {
    // Rows past the end repeat the last one; their results are not stored.
    Value row = e.addIndex(e.addIndex(firstRow, group), n * kRows);
    return hasRowsPast(c.rows, groups) ? atMost(row, c.rows - 1) : row;
  }

  /// Load `q` of a block of a chunk, in its place in `loaded`.
  void loadPart(Value chunk, Value row, int64_t n, int64_t q, MutableArrayRef<Value> loaded) {
    Value at = e.addIndex(e.mulIndex(chunk, kDeep), q * load);
    if (isRagged)
      at = e.mulIndex(atMost(quotient(at, load), c.depth / load - 1), load);
    take(e.loadRaw(c.lhs, {row, e.addIndex(at, e.mulIndex(inGroup, width))}, width), n, q, loaded);
  }

  /// What load `q` of a block of a chunk has brought, in its place in `loaded`.
  void take(Value all, int64_t n, int64_t q, MutableArrayRef<Value> loaded) {
    if (!c.isWide)
      all = vector::BitCastOp::create(e.b, e.loc, VectorType::get({width / 2}, e.b.getI32Type()), all);
    for (int64_t i = 0; i < stepsOfLoad * perStep; ++i)
      loaded[((q * stepsOfLoad + i / perStep) * blocks + n) * perStep + i % perStep] =
          vector::ExtractOp::create(e.b, e.loc, all, i);
  }

  /// A chunk of activations: [step][block][2] words of two bf16, or [step][block][4] f32.
  SmallVector<Value> loadChunk(Value chunk) {
    SmallVector<Value> loaded(perChunk);
    for (int64_t n = 0; n < blocks; ++n) {
      Value row = rowOf(n);
      for (int64_t q = 0; q < kDeep / load; ++q)
        loadPart(chunk, row, n, q, loaded);
    }
    return loaded;
  }

  /// The same of the chunk that has been copied.
  SmallVector<Value> readChunk() {
    SmallVector<Value> loaded(perChunk);
    for (int64_t n = 0; n < blocks; ++n)
      for (int64_t q = 0; q < kDeep / load; ++q)
        take(copied->read(n, q), n, q, loaded);
    return loaded;
  }

  /// `x` and `y`, in lanes where `condition` holds `y` and `x`.
  std::pair<Value, Value> swapIf(Value condition, Value x, Value y) {
    return {arith::SelectOp::create(e.b, e.loc, condition, y, x), arith::SelectOp::create(e.b, e.loc, condition, x, y)};
  }

  /// Its fragments as wgmma's left side, [step][4]: the lane's first pair of row g and of row g + 8, then
  /// the second pair. Row g + 8 is the next block's, what rounding row g leaves, or nobody's.
  SmallVector<Value> asLeft(ValueRange loaded) {
    SmallVector<Value> fragments;
    for (size_t i = 0; i < loaded.size(); i += blocks * perStep)
      for (size_t pair = 0; pair < 2; ++pair) {
        if (c.isWide) {
          auto [high, rest] = splitBf16(e, loaded[i + 2 * pair], loaded[i + 2 * pair + 1]);
          fragments.append({high, rest});
        } else {
          fragments.append({loaded[i + pair], blocks > 1 ? loaded[i + perStep + pair] : e.i32(0)});
        }
      }
    return fragments;
  }

  /// Its fragments, [step][block][part][2]: pairs of words, swapped in odd lanes.
  SmallVector<Value> asFragments(ValueRange loaded) {
    if (hasGroups)
      return asLeft(loaded);
    Value isOdd = arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::ne, rem(inGroup, 2), e.index(0));
    SmallVector<Value> fragments;
    if (!c.isWide) {
      for (size_t i = 0; i < loaded.size(); i += 2) {
        auto [low, high] = swapIf(isOdd, loaded[i], loaded[i + 1]);
        fragments.append({low, high});
      }
      return fragments;
    }
    for (size_t i = 0; i < loaded.size(); i += kOfStep) {
      auto [x0, y0] = swapIf(isOdd, loaded[i], loaded[i + 2]);
      auto [x1, y1] = swapIf(isOdd, loaded[i + 1], loaded[i + 3]);
      SmallVector<Value> rests;
      for (auto [first, second] : {std::pair(x0, x1), {y0, y1}}) {
        auto [high, rest] = splitBf16(e, first, second);
        fragments.push_back(high);
        rests.push_back(rest);
      }
      llvm::append_range(fragments, rests);
    }
    return fragments;
  }

  /// 16 contracted elements of a slot as the left side of an mma.
  SmallVector<Value> loadStep(Value pointer, Value isSwapped) {
    SmallVector<Value> left = loadMatrices(e, pointer);
    if (isMixed)
      for (int64_t i = 0; i < 4; i += 2)
        std::tie(left[i], left[i + 1]) = swapIf(isSwapped, left[i], left[i + 1]);
    return left;
  }

  /// Whether load `q` of a chunk is one of the contracted elements that there are.
  Value isInside(Value chunk, int64_t q) {
    return less(e.addIndex(e.mulIndex(chunk, kDeep), q * load), e.index(c.depth));
  }

  /// What `multiplySlot` says, by warpgroups: for one tile or two.
  SmallVector<Value> multiplyByGroups(Value data, Value slot, Value chunk, ArrayRef<Value> fragments,
                                      ValueRange before) {
    Value base = e.mulIndex(slot, bytesOfSlot(groups));
    SmallVector<Value> none(ofSlot * kColumns / 2, e.f32(0)), products;
    auto whole = [&] { return multiplyByGroup(e, fragments, describeRight(e, data, base)); };
    if (c.depth % kDeep) {
      Value left = arith::SubIOp::create(e.b, e.loc, e.index(c.depth), e.mulIndex(chunk, kDeep));
      Value steps = arith::IndexCastOp::create(e.b, e.loc, e.b.getI32Type(), quotient(atMost(left, kDeep), kDepth));
      products = none;
      for (int64_t q = 0; q < kDeep / load; ++q)
        products = ifElse(isInside(chunk, q), products, [&] {
          RightSide right = describeRight(e, data, e.addIndex(base, q * load * kColumns), steps);
          return multiplyByGroup(e, fragments.slice(4 * q, 4), right, products);
        });
    } else {
      products = isRagged ? ifElse(isInside(chunk, 0), none, whole) : whole();
    }
    // [tile][block][4] of [tile][half of the columns][row g or g + 8][2].
    SmallVector<Value> sums(before);
    int64_t perTile = 4 * blocks;
    for (size_t at = 0; at < sums.size(); at += perTile)
      for (int64_t n = 0; n < blocks * parts; ++n)
        for (int64_t i = 0; i < 4; ++i) {
          Value &sum = sums[at + n / parts * 4 + i];
          sum = e.add(sum, products[(at / perTile * 2 + i / 2) * 4 + n * 2 + i % 2]);
        }
    return sums;
  }

  /// Adds the product of a chunk and a slot to the sums of its tiles; `done(q)` comes when the
  /// fragments of load q have been multiplied.
  SmallVector<Value> multiplySlot(Value data, Value slot, Value chunk, ArrayRef<Value> fragments, ValueRange before,
                                  function_ref<void(int64_t)> done) {
    if (hasGroups)
      return multiplyByGroups(data, slot, chunk, fragments, before);
    // [chain][block][4].
    SmallVector<Value> sums(before);
    int64_t perChain = 4 * blocks;
    sums.append((chains - 1) * perChain, e.f32(0));
    Value base = e.addIndex(e.mulIndex(slot, kSlot), laneOffset), isSwapped;
    if (isMixed)
      isSwapped = arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::uge, inGroup, e.index(2));
    for (int64_t q = 0; q < kDeep / load; ++q) {
      auto all = [&] {
        SmallVector<Value> next(sums);
        for (int64_t u = 0; u < stepsOfLoad; ++u) {
          int64_t step = q * stepsOfLoad + u;
          Value from = e.addIndex(base, (q * load + u * kOfStep) * kColumns * 2);
          SmallVector<Value> left = loadStep(pointerTo(e, data, from), isSwapped);
          for (int64_t n = 0; n < blocks; ++n)
            for (int64_t part = 0; part < parts; ++part) {
              auto right = fragments.slice(((step * blocks + n) * parts + part) * 2, 2);
              int64_t at = (step * parts + part) % chains * perChain + 4 * n;
              llvm::copy(multiply(e, left, right, ArrayRef<Value>(next).slice(at, 4)), next.begin() + at);
            }
        }
        return next;
      };
      if (isRagged)
        sums = ifElse(isInside(chunk, q), sums, all);
      else
        sums = all();
      done(q);
    }
    for (int64_t i = perChain; i < chains * perChain; ++i)
      sums[i % perChain] = e.add(sums[i % perChain], sums[i]);
    sums.truncate(perChain);
    return sums;
  }

  void emit() {
    begin();
    scf::ForOp loop = tiles.loop;
    int64_t perStream = 4 * blocks;
    // A slot has the chunks of so many tiles of a matrix; and so many are multiplied, or not, at once.
    int64_t items = together * streams, atOnce = hasGroups ? ofSlot : streams;
    auto sumsOf = [&](ArrayRef<Value> all, int64_t s, int64_t count) {
      return all.slice(1 + s * ofSlot * perStream, std::min(ofSlot, count - s * ofSlot) * perStream);
    };
    Type i32 = e.b.getI32Type();
    Ring ring{e, slots, bytesOfSlot(groups)};
    Value data = ring.data();
    Value positions = e.shared("ring_position", inWorkgroupMemory({e.workgroup.waves()}, i32));
    Value size = loop.getStep(), last = loop.getUpperBound();
    auto passes = scf::ForOp::create(e.b, e.loc, loop.getLowerBound(), last,
                                     arith::MulIOp::create(e.b, e.loc, size, e.index(together)), ValueRange());
    OpBuilder::InsertionGuard guard(e.b);
    e.b.setInsertionPointToStart(passes.getBody());
    Value first = passes.getInductionVar();
    SmallVector<Value> at, exists;
    auto findTiles = [&] {
      at.clear(), exists.clear();
      // Made again where it is needed: LLVM would keep all of it in registers through the loop.
      Value here = hasGroups ? remade(first) : first;
      for (int64_t j = 0; j < together; ++j) {
        at.push_back(e.addIndex(here, arith::MulIOp::create(e.b, e.loc, size, e.index(j))));
        exists.push_back(less(at[j], last));
      }
    };
    findTiles();
    // Carried: the position in the ring, the sums [tile][stream][block][4], and the
    // chunk of activations, loaded one round ahead if there are registers for two. A wide
    // one has those of the last chunk, as they become free in the round's last slot. Of a copied one the parity.
    int64_t perTile = streams * perStream;
    bool isAhead = loadsAhead(blocks, chunks, groups, c.isWide);
    bool isInPlace = c.isWide && chunks > turns && !hasGroups;
    size_t count = together * perTile;
    SmallVector<Value> state = {e.toIndex(e.load(positions, e.wave()))};
    state.append(count, e.f32(0));
    if (isAhead || isInPlace)
      llvm::append_range(state, loadChunk(isRagged ? atMost(turn, chunks - 1) : turn));
    if (copied) {
      copied->enter(e.index(0));
      state.push_back(copied->parity());
      copied->ask(/*isFirst=*/true);
    }
    state = e.loop(e.index(0), e.index(chunks), turns, state, [&](Value base, ValueRange carried) {
      Value chunk = e.addIndex(base, turn), nextChunk = atMost(e.addIndex(chunk, turns), chunks - 1);
      SmallVector<Value> next(carried.take_front(1 + count)), loaded(carried.drop_front(1 + count));
      SmallVector<Value> ahead = isAhead ? loadChunk(nextChunk) : SmallVector<Value>(isInPlace ? perChunk : 0);
      if (copied) {
        Value after = e.addIndex(base, turns);
        copied->enter(after);
        copied->wait(carried.back());
        loaded = readChunk();
        if (chunks > turns)
          e.ifThen(less(after, e.index(chunks)), [&] { copied->ask(); });
        ahead.push_back(arith::XOrIOp::create(e.b, e.loc, carried.back(), e.i32(1)));
      } else if (!isAhead && !isInPlace) {
        loaded = loadChunk(chunk);
      }
      SmallVector<Value> fragments = asFragments(loaded);
      if (hasGroups)
        findTiles();
      for (int64_t item = 0; item < items; item += atOnce) {
        // Of these: the position after them, and the sums.
        Value position = next[0];
        SmallVector<Value> own = {position};
        int64_t first = 1 + item * perStream, count = std::min(atOnce, items - item);
        int64_t slotsOfThese = llvm::divideCeil(count, ofSlot), j = item / streams;
        llvm::append_range(own, ArrayRef<Value>(next).slice(first, count * perStream));
        bool isLast = isInPlace && item + count == items;
        auto tile = [&] {
          SmallVector<Value> results = {e.addIndex(position, slotsOfThese * turns)};
          for (int64_t s = 0; s < slotsOfThese; ++s) {
            Value here = e.addIndex(e.addIndex(position, s * turns), turn);
            Value slot = rem(here, slots);
            Value round = arith::IndexCastOp::create(e.b, e.loc, i32, quotient(here, slots));
            ring.waitUntilFull(slot, arith::AndIOp::create(e.b, e.loc, round, e.i32(1)));
            auto done = [&](int64_t q) {
              for (int64_t n = 0; n < blocks && isLast && s == slotsOfThese - 1; ++n)
                loadPart(nextChunk, rowOf(n), n, q, ahead);
            };
            llvm::append_range(results, multiplySlot(data, slot, chunk, fragments, sumsOf(own, s, count), done));
            ring.release(slot, /*byLoads=*/!hasGroups);
          }
          if (isLast)
            llvm::append_range(results, ahead);
          return results;
        };
        auto none = [&] {
          SmallVector<Value> results(own);
          if (isLast)
            llvm::append_range(results, loadChunk(nextChunk));
          return results;
        };
        SmallVector<Type> types(ValueRange(own).getTypes());
        if (isLast)
          types.append(perChunk, e.b.getF32Type());
        SmallVector<Value> results = j ? ifElse(exists[j], types, tile, none) : tile();
        next[0] = results[0];
        llvm::copy(ArrayRef<Value>(results).slice(1, count * perStream), next.begin() + first);
        if (isLast)
          ahead.assign(results.begin() + 1 + count * perStream, results.end());
      }
      llvm::append_range(next, ahead);
      return next;
    });
    // What comes now is found anew: LLVM would keep it in registers through the loop, or in memory if there are none.
    if (hasGroups) {
      Value thread = remade(e.thread());
      lane = rem(thread, e.workgroup.lanes), wave = quotient(thread, e.workgroup.lanes);
    } else {
      lane = remade(lane), wave = remade(wave);
    }
    findPlaces();
    // Positions only matter modulo two rounds of the ring.
    Value after = arith::IndexCastOp::create(e.b, e.loc, i32, rem(state[0], 2 * slots));
    memref::StoreOp::create(e.b, e.loc, after, positions, wave);

    // Sums stand where other warps may still read their chunks.
    if (copied)
      e.barrier();
    if (hasGroups)
      first = remade(first);
    ValueRange sums = ArrayRef<Value>(state).slice(1, count);
    if (summed >= together)
      return finish(first, size, last, together, [&] { storeSums(sums); });
    // Sums of so many tiles at once: only what stores them is of one pass alone.
    Value end = arith::MinUIOp::create(e.b, e.loc, last, e.addIndex(first, times(size, together)));
    auto parts = scf::ForOp::create(e.b, e.loc, first, remade(end), times(size, summed), ValueRange());
    e.b.setInsertionPointToStart(parts.getBody());
    Value from = parts.getInductionVar();
    finish(from, size, end, summed, [&] {
      for (int64_t j = 0; j < together; j += summed)
        e.ifThen(isEqual(from, e.addIndex(first, times(size, j))),
                 [&] { storeSums(sums.slice(j * perTile, std::min(summed, together - j) * perTile)); });
    });
  }

  /// Where sums of all turns meet: [tile][stream][turn] of [row][column].
  Value sumsOf(int64_t count) {
    auto type = inWorkgroupMemory({count * streams * turns, c.rows, kColumns}, e.b.getF32Type());
    return besideScratch(e, 0, type);
  }

  /// 1 where the halves of the columns of a pair of rows change places there, which is every other one: rows are half
  /// of all banks apart, and half a warp stores 32 bytes of each of 4.
  Value swaps(Value pairOfRows) { return isElementwise ? rem(pairOfRows, 2) : e.index(0); }

  /// This turn's sums [tile][stream][block][4].
  void storeSums(ValueRange sums) {
    int64_t count = sums.size() / (4 * blocks), atOnce = hasGroups ? 2 : 1;
    Value partial = sumsOf(count / streams);
    // Activations are the mma's columns, and wgmma's rows.
    Value pair = e.mulIndex(inGroup, 2), low = e.mulIndex(swaps(hasGroups ? quotient(group, 2) : inGroup), kHalf);
    Value high = arith::SubIOp::create(e.b, e.loc, e.index(kHalf), low);
    for (int64_t n = 0; n < blocks; ++n)
      for (int64_t i = 0; i < 4; i += atOnce) {
        Value row = e.addIndex(e.addIndex(firstRow, hasGroups ? group : e.addIndex(pair, i % 2)), n * kRows);
        Value column = e.addIndex(hasGroups ? pair : group, i / 2 ? high : low);
        auto store = [&] {
          for (int64_t j = 0; j < count; ++j) {
            SmallVector<Value> own(sums.slice((j * blocks + n) * 4 + i, atOnce));
            Value both = vector::FromElementsOp::create(e.b, e.loc, VectorType::get({atOnce}, e.b.getF32Type()), own);
            e.storeRaw(both, partial, {e.addIndex(turn, j * turns), row, column});
          }
        };
        if (hasRowsPast(c.rows, groups))
          e.ifThen(less(row, e.index(c.rows)), store);
        else
          store();
      }
  }

  /// The loop's body of the tiles from `from` to `end`, at most `count`, with the sums that `store` brings in place of
  /// its contractions. By the time it runs again a worker has run all other bodies, and its code has to be fetched: so
  /// it stands there once, in a loop over the tiles.
  void finish(Value from, Value size, Value end, int64_t count, function_ref<void()> store) {
    store();
    e.barrier();
    // A warp has 8 rows at once.
    static_assert(kColumns / kLanes == 4);
    Value partial = sumsOf(count), firstRow = e.addIndex(e.mulIndex(rem(wave, wavesOfTile), kRows), group);
    auto rows = [&](Value tile, Value at) {
      auto elements = [&](Value row) { finishElements(partial, tile, at, row); };
      if (c.rows == wavesOfTile * kRows)
        elements(firstRow);
      else if (c.rows < wavesOfTile * kRows)
        e.ifThen(less(firstRow, e.index(c.rows)), [&] { elements(firstRow); });
      else
        e.loop(firstRow, e.index(c.rows), wavesOfTile * kRows, {}, [&](Value row, ValueRange) {
          elements(row);
          return SmallVector<Value>();
        });
    };
    e.loop(quotient(wave, wavesOfTile), remade(e.index(count)), waves / wavesOfTile, {}, [&](Value tile, ValueRange) {
      // What all lanes do together LLVM does not unroll.
      syncWarp(e);
      Value at = e.addIndex(from, arith::MulIOp::create(e.b, e.loc, tile, size));
      e.ifThen(less(at, end), [&] { rows(tile, at); });
      return SmallVector<Value>();
    });
    e.barrier();
    if (isElementwise)
      return;
    // Sums of all turns stand where those of the first one were.
    int64_t bytes = turns * c.rows * kColumns * 4, firstWave = 0;
    for (int64_t j = 0; j < count; ++j) {
      IRMapping mapping;
      Value at = e.addIndex(from, times(size, j));
      mapping.map(tiles.loop.getInductionVar(), at);
      for (auto [s, result] : llvm::enumerate(tiles.results))
        if (result.isTemporary)
          mapping.map(result.value, besideScratch(e, (j * streams + s) * bytes,
                                                  inWorkgroupMemory({c.rows, kColumns}, e.b.getF32Type())));
      auto generics = [&] {
        for (Operation &op : tiles.loop.getBody()->without_terminator())
          if (auto generic = dyn_cast<linalg::GenericOp>(op)) {
            // Of a tile one may need what another made.
            bool isLast = !isa_and_present<linalg::GenericOp>(op.getNextNode());
            auto copy = cast<linalg::GenericOp>(e.b.clone(op, mapping));
            if (isLast)
              copy->setAttr(kFirstWave, e.b.getI64IntegerAttr(firstWave));
          } else if (isMemoryEffectFree(&op)) {
            e.b.clone(op, mapping);
          }
      };
      if (j)
        e.ifThen(less(at, end), generics);
      else
        generics();
      firstWave = (firstWave + wavesOfTile) % waves;
    }
    e.barrier();
  }

  /// The same of the elements of a row that one thread takes, of the tile that begins at column `at`: the sums of all
  /// turns are added in order.
  void finishElements(Value partial, Value tile, Value at, Value row) {
    Value column = e.mulIndex(inGroup, kLanes), there = column;
    if (isElementwise)
      there = e.mulIndex(arith::XOrIOp::create(e.b, e.loc, inGroup, e.mulIndex(swaps(quotient(group, 2)), 2)), kLanes);
    IRMapping local;
    local.map(tiles.loop.getInductionVar(), at);
    for (Operation &op : tiles.loop.getBody()->without_terminator())
      if (isMemoryEffectFree(&op))
        e.b.clone(op, local);
    // What a buffer of the loop has at these elements.
    llvm::DenseMap<Value, Value> values;
    Value first = e.mulIndex(tile, streams * turns);
    for (auto [s, result] : llvm::enumerate(tiles.results)) {
      Value out = local.lookupOrDefault(result.value), begin = e.addIndex(first, s * turns);
      Value sum = result.isZero ? Value() : e.loadRaw(out, {row, column}, kLanes);
      for (int64_t w = 0; w < turns; ++w) {
        Value own = e.loadRaw(partial, {e.addIndex(begin, w), row, there}, kLanes);
        sum = sum ? e.add(sum, own) : own;
      }
      values[result.value] = sum;
      if (!result.isTemporary)
        e.storeRaw(sum, out, {row, column});
      else if (!isElementwise)
        e.storeRaw(sum, partial, {begin, row, column});
    }
    for (auto generic : tiles.loop.getBody()->getOps<linalg::GenericOp>()) {
      if (!isElementwise)
        break;
      IRMapping arguments;
      for (OpOperand &operand : generic->getOpOperands()) {
        BlockArgument argument = generic.getMatchingBlockArgument(&operand);
        Value own = local.lookupOrDefault(operand.get());
        if (argument.use_empty())
          continue;
        if (Value known = values.lookup(operand.get()))
          arguments.map(argument, known);
        else
          arguments.map(argument, isa<MemRefType>(own.getType()) ? e.loadRaw(own, {row, column}, kLanes)
                                                                 : e.broadcast(own, kLanes));
      }
      SmallVector<Value> results = cpu::computeBody(e, generic, arguments, {row, column}, kLanes);
      for (auto [out, result] : llvm::zip_equal(generic.getOutputs(), results)) {
        values[out] = result;
        if (!isTemporary(out, tiles.loop.getBody()))
          e.storeRaw(result, local.lookupOrDefault(out), {row, column});
      }
    }
  }
};
} // namespace

void nv::lowerTogether(Emitter &e, TileLoop &loop, int64_t slots, int64_t groups) {
  int64_t together = loop.loop->getAttrOfType<IntegerAttr>(kTogether).getInt();
  auto summed = loop.loop->getAttrOfType<IntegerAttr>(kSummed);
  Together{e, loop, slots, groups, together, summed ? summed.getInt() : 1}.emit();
  loop.loop.erase();
}
