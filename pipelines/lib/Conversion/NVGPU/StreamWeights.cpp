//===- StreamWeights.cpp - A warp that runs ahead of the events
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "../KernelTables.h"
#include "CopiedChunks.h"

#include "fleet/Conversion/NVGPUPasses.h"
#include "fleet/IR/Fleet.h"
#include "fleet/Target/TargetModel.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Interfaces/FunctionInterfaces.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

namespace mlir::fleet {
#define GEN_PASS_DEF_NVGPUSTREAMWEIGHTS
#include "fleet/Conversion/NVGPUPasses.h.inc"
} // namespace mlir::fleet

using namespace mlir;
using namespace mlir::fleet;
using namespace mlir::fleet::gpugen;
using namespace mlir::fleet::nv;

/// Copies on their way at once: enough for the bandwidth. More of them only make
/// everybody's polls, fences and small loads wait behind them.
static constexpr int64_t kMostInFlight = 98304;
/// The same while the walk is between two bodies: a fence waits for the copies that its own
/// multiprocessor has on the way, and polls and the loads of a body's operands wait
/// behind everybody's.
static constexpr int64_t kMostWhenQuiet = 24576;
/// Slots, at least, beside those of chunks that warps may be at.
static constexpr int64_t kLeastInFlight = 4;
/// Shared memory left for small exchanges of other passes.
static constexpr int64_t kReserve = 4096;
/// Where all of them are counted but the warps' positions.
static constexpr int64_t kSmallReserve = 512;
/// Registers of a lane where the producer has a warpgroup of its own: three such warps share a register file
/// of 504 a lane, and begin with a third each.
static constexpr int32_t kRegistersOfWalk = 216, kRegistersOfProducer = 72;
/// Bytes of an element of a wide left side, whole or split.
static constexpr int64_t kWideBytes = 4;
/// The walk's copies of tables in shared memory, of which the second has a worker's own
/// entries of @cu_tasks, from 0 on.
static constexpr StringRef kCachedQueue = "cached_queue";

std::optional<Contraction> nv::matchContraction(linalg::MatmulOp op) {
  if (op.hasUserDefinedMaps() || op.getNumResults())
    return std::nullopt;
  Contraction c{op.getInputs()[0], op.getInputs()[1], op.getOutputs()[0], 0, 0, false};
  for (Value value : {c.lhs, c.rhs, c.out}) {
    auto type = dyn_cast<MemRefType>(value.getType());
    if (!type || !type.hasStaticShape() || !cpu::isContiguousInLastDim(value))
      return std::nullopt;
  }
  auto lhs = cast<MemRefType>(c.lhs.getType()), rhs = cast<MemRefType>(c.rhs.getType());
  c.rows = lhs.getDimSize(0), c.depth = lhs.getDimSize(1), c.isWide = lhs.getElementType().isF32();
  WideLeft wide = getWideLeft(Backend::NVVM);
  bool isTaken = c.isWide ? wide.takes(c.rows, c.depth) : lhs.getElementType().isBF16();
  if (!isTaken || !rhs.getElementType().isBF16() || !cast<MemRefType>(c.out.getType()).getElementType().isF32())
    return std::nullopt;
  if (!c.rows || rhs.getDimSize(1) != kColumns || c.depth % kDepth)
    return std::nullopt;
  return c;
}

/// The op in front of which the left side of `op` is whole: the loop over tiles, if
/// it comes from outside of it.
static Operation *placeOfLeft(linalg::MatmulOp op) {
  auto loop = op->getParentOfType<scf::ForOp>();
  return loop && loop.isDefinedOutsideOfLoop(op.getInputs()[0]) ? loop.getOperation() : op.getOperation();
}

/// True if nothing reads the temporary `left` from `place` on but contractions that
/// read it there: it may be split where it stands.
static bool isForContractions(Value left, Operation *place) {
  return left.getDefiningOp<memref::ViewOp>() && llvm::all_of(left.getUses(), [&](OpOperand &use) {
           Operation *user = use.getOwner();
           if (auto other = dyn_cast<linalg::MatmulOp>(user); other && use.getOperandNumber() == 0)
             return matchContraction(other) && placeOfLeft(other) == place;
           Operation *ancestor = place->getBlock()->findAncestorOpInBlock(*user);
           return ancestor && ancestor->isBeforeInBlock(place);
         });
}

std::optional<Staging> nv::findStaging(linalg::MatmulOp op, const Contraction &c) {
  Operation *place = placeOfLeft(op);
  bool isShared = isInWorkgroupMemory(cast<MemRefType>(c.lhs.getType()));
  if (c.isWide && !c.isOneMma())
    return std::nullopt;
  if (c.isWide) {
    bool isInPlace = isShared && isForContractions(c.lhs, place);
    return Staging{place, isInPlace ? 0 : c.rows * (c.depth * kWideBytes + kWidePadding * 2)};
  }
  int64_t bytes = c.rows * c.depth * 2;
  if (isShared || bytes > kMostStaged || place == op)
    return std::nullopt;
  return Staging{place, bytes};
}

int64_t nv::scratchOf(Operation *body) {
  auto arguments = cast<FunctionOpInterface>(body).getArguments();
  auto type = arguments.empty() ? MemRefType() : dyn_cast<MemRefType>(arguments.back().getType());
  bool isScratch = type && isInWorkgroupMemory(type) && type.getRank() == 1 && type.getElementType().isInteger(8);
  return isScratch ? llvm::alignTo(type.getDimSize(0), kSharedAlignment) : 0;
}

Value nv::besideScratch(Emitter &e, int64_t bytes, MemRefType type) {
  Operation *around = e.b.getInsertionBlock()->getParentOp();
  auto body = isa<FunctionOpInterface>(around) ? cast<FunctionOpInterface>(around)
                                               : around->getParentOfType<FunctionOpInterface>();
  int64_t at = scratchOf(body) + bytes;
  int64_t size = type.getNumElements() * type.getElementTypeBitWidth() / 8;
  Value all = e.shared(kScratchBuffer, inWorkgroupMemory({at + size}, e.b.getI8Type()));
  return cpu::viewAt(e, all, at, type);
}

std::pair<Value, Value> Ring::next(Value slot, Value parity) {
  Value more = e.addIndex(slot, 1);
  Value wraps = arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::eq, more, e.index(slots));
  Value first = arith::SelectOp::create(e.b, e.loc, wraps, e.index(0), more);
  Value flipped = arith::XOrIOp::create(e.b, e.loc, parity, e.i32(1));
  return {first, arith::SelectOp::create(e.b, e.loc, wraps, flipped, parity)};
}

void nv::waitForPhase(Emitter &e, Value barrier, Value parity) {
  constexpr int32_t kMostTries = 1 << 20;
  scf::WhileOp::create(
      e.b, e.loc, TypeRange{e.b.getI32Type()}, ValueRange{e.i32(0)},
      [&](OpBuilder &, Location, ValueRange tries) {
        Value yes = arith::ConstantIntOp::create(e.b, e.loc, true, 1);
        Value missing = arith::XOrIOp::create(e.b, e.loc, tryWait(e, barrier, parity), yes);
        scf::ConditionOp::create(e.b, e.loc, missing, tries);
      },
      [&](OpBuilder &, Location, ValueRange tries) {
        Value more = arith::AddIOp::create(e.b, e.loc, tries[0], e.i32(1));
        Value isLost = arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::uge, more, e.i32(kMostTries));
        e.ifThen(isLost, [&] { LLVM::Trap::create(e.b, e.loc); });
        scf::YieldOp::create(e.b, e.loc, ValueRange{more});
      });
}

int64_t Ring::arrivalsOfWarp() {
  auto kernel = e.b.getInsertionBlock()->getParentOp()->getParentOfType<gpu::GPUModuleOp>();
  return kernel && kernel->hasAttr(kLanesFree) ? e.workgroup.lanes : 1;
}

void Ring::release(Value slot, bool byLoads) {
  auto free = [&] {
    // Arriving orders loads before other threads' accesses, but not before a bulk
    // copy, which overtakes loads that were issued and have not come back.
    if (byLoads)
      fenceAsyncProxy(e);
    arrive(e, empty(slot));
  };
  syncWarp(e);
  if (arrivalsOfWarp() > 1) {
    // What wgmma reads the tool does not see.
    auto vector = VectorType::get({4}, e.b.getI32Type());
    int64_t each = vector.getNumElements() * 4;
    if (!byLoads)
      e.loop(e.lane(), e.index(bytesOfSlot / each), e.workgroup.lanes, {}, [&](Value i, ValueRange) {
        Value at = e.addIndex(e.mulIndex(slot, bytesOfSlot), e.mulIndex(i, each));
        LLVM::LoadOp::create(e.b, e.loc, vector, pointerTo(e, data(), at), /*alignment=*/each, /*isVolatile=*/true);
        return SmallVector<Value>();
      });
    byLoads = true;
    return free();
  }
  e.ifThen(arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::eq, e.lane(), e.index(0)), free);
}

namespace {
/// A tile of a parameter that a body reads for each of its tiles.
struct Stream {
  int64_t operand, bytes;
};

/// The parameter (an argument) behind the right side, if its tile `t` is what
/// stands at byte `t * bytes` of it and the body's loop goes over the tiles.
std::optional<Stream> findStream(func::FuncOp body, linalg::MatmulOp op) {
  auto subview = op.getInputs()[1].getDefiningOp<memref::SubViewOp>();
  auto loop = op->getParentOfType<scf::ForOp>();
  if (!subview || !loop || loop->getParentOp() != body || op->getParentOp() != loop)
    return std::nullopt;
  auto argument = dyn_cast<BlockArgument>(subview.getSource());
  if (!argument || argument.getOwner() != &body.getBody().front())
    return std::nullopt;
  auto type = cast<MemRefType>(argument.getType());
  auto offsets = subview.getMixedOffsets();
  if (!isa<Value>(offsets.front()))
    return std::nullopt;
  if (type.getRank() != 3 || !type.getLayout().isIdentity() || !isConstantIntValue(offsets[1], 0) ||
      !isConstantIntValue(offsets[2], 0) || subview.getStaticSizes()[0] != 1 ||
      subview.getStaticSizes()[1] != type.getDimSize(1) || subview.getStaticSizes()[2] != type.getDimSize(2))
    return std::nullopt;
  // The tile's number is the induction variable over the loop's step.
  auto divide = dyn_cast_or_null<arith::DivUIOp>(dyn_cast<Value>(offsets[0]).getDefiningOp());
  bool isTile = dyn_cast<Value>(offsets[0]) == loop.getInductionVar() ||
                (divide && divide.getLhs() == loop.getInductionVar() && divide.getRhs() == loop.getStep());
  if (!isTile)
    return std::nullopt;
  return Stream{static_cast<int64_t>(argument.getArgNumber()), type.getDimSize(1) * type.getDimSize(2) * 2};
}

/// What the L2 is asked for when the producer reaches a task: a load that misses
/// it waits behind everything that the rings of all workers have asked for.
struct Ahead {
  bool hasRows;
  SmallVector<std::pair<int64_t, Caches>> caches;
};
/// Parameters larger than this are left to the loads.
constexpr int64_t kMostAhead = 65536;

struct NVGPUStreamWeights : mlir::fleet::impl::NVGPUStreamWeightsBase<NVGPUStreamWeights> {
  using NVGPUStreamWeightsBase::NVGPUStreamWeightsBase;
  void runOnOperation() override;
  void planTogether(func::FuncOp dispatch, int64_t groups, llvm::StringMap<SmallVector<Stream>> &streams);
  LogicalResult orderWeights(func::FuncOp dispatch);
  void addProducer(gpu::GPUFuncOp step, int64_t slots, bool isCopied, ArrayRef<memref::GlobalOp> tables,
                   const Ahead &ahead);
};

/// The bytes of a parameter that a case of @dispatch hands to a body.
std::optional<int64_t> bytesOfParameter(func::FuncOp dispatch, Value operand) {
  auto view = operand.getDefiningOp<memref::ViewOp>();
  if (!view || view.getSource() != dispatch.getArgument(0))
    return std::nullopt;
  auto type = cast<MemRefType>(view.getType());
  return type.getNumElements() * llvm::divideCeil(type.getElementTypeBitWidth(), 8);
}

/// The keys and values that tile `tile` of an attention reads, but for what this
/// step adds. Which rows there will be is a guess: the L2 gives what it has.
void askForParts(Emitter &e, const Caches &caches, Value state, Value tile, Value stepNumber, Value rows,
                 function_ref<Value(int64_t)> placeOf) {
  Value parts = e.index(caches.parts);
  Value head = arith::DivUIOp::create(e.b, e.loc, tile, parts), part = arith::RemUIOp::create(e.b, e.loc, tile, parts);
  Value begin = e.mulIndex(part, caches.length);
  e.loop(cast<MemRefType>(rows.getType()).getDimSize(1), 1, [&](Value row) {
    Value slot = e.load(rows, {e.index(0), row});
    Value position = e.addIndex(e.toIndex(e.load(rows, {e.index(1), row})), stepNumber);
    Value end = arith::MinUIOp::create(e.b, e.loc, position, e.addIndex(begin, caches.length));
    end = arith::MinUIOp::create(e.b, e.loc, end, e.index(caches.context));
    Value isActive = arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::sge, slot, e.i32(0));
    Value isSome = arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::ugt, end, begin);
    e.ifThen(arith::AndIOp::create(e.b, e.loc, isActive, isSome), [&] {
      Value at = e.addIndex(e.mulIndex(e.toIndex(slot), caches.heads), head);
      at = e.mulIndex(e.addIndex(e.mulIndex(at, caches.context), begin), caches.rowBytes);
      Value count = e.mulIndex(arith::SubIOp::create(e.b, e.loc, end, begin), caches.rowBytes);
      count = arith::IndexCastOp::create(e.b, e.loc, e.b.getI32Type(), count);
      for (int64_t operand : {caches.keys, caches.values})
        prefetchBulk(e, pointerTo(e, state, e.addIndex(at, placeOf(operand))), count);
    });
  });
}

memref::GlobalOp addTable(gpu::GPUModuleOp module, StringRef name, ArrayRef<int32_t> data, ArrayRef<int64_t> shape) {
  OpBuilder b = OpBuilder::atBlockBegin(module.getBody());
  auto space = gpu::AddressSpaceAttr::get(b.getContext(), gpu::AddressSpace::Global);
  auto type = MemRefType::get(shape, b.getI32Type(), MemRefLayoutAttrInterface(), space);
  auto value = DenseElementsAttr::get(RankedTensorType::get(shape, b.getI32Type()), data);
  return memref::GlobalOp::create(b, module.getLoc(), name, b.getStringAttr("private"), type, value,
                                  /*constant=*/true, IntegerAttr());
}
} // namespace

void NVGPUStreamWeights::runOnOperation() {
  gpu::GPUModuleOp module = getOperation();
  auto step = module.lookupSymbol<gpu::GPUFuncOp>("fleet_step");
  auto dispatch = module.lookupSymbol<func::FuncOp>("dispatch");
  if (!step || !dispatch) {
    module.emitError("expected @fleet_step and @dispatch, found neither or one");
    return signalPassFailure();
  }
  auto target = module->getParentOfType<ModuleOp>()->getAttrOfType<TargetAttr>("fleet.target");
  if (!target) {
    module.emitError("expected a module with a fleet.target, found none");
    return signalPassFailure();
  }

  if (lanesFree)
    module->setAttr(kLanesFree, UnitAttr::get(&getContext()));

  // A view of a left side that is the same for all tiles stands in front of their loop.
  module.walk([](linalg::MatmulOp op) {
    Operation *view = op.getInputs()[0].getDefiningOp();
    auto loop = op->getParentOfType<scf::ForOp>();
    if (view && loop && view->getParentOp() == loop && isMemoryEffectFree(view) &&
        llvm::all_of(view->getOperands(), [&](Value value) { return loop.isDefinedOutsideOfLoop(value); }))
      view->moveBefore(loop);
  });

  // What each body streams, in the order in which it reads it.
  llvm::StringMap<SmallVector<Stream>> streams;
  int64_t waves = getWorkgroup(module).waves(), mostRows = 0, mostWideRows = getWideLeft(Backend::NVVM).rows;
  linalg::MatmulOp wide;
  for (auto body : module.getOps<func::FuncOp>())
    body.walk([&](linalg::MatmulOp op) {
      auto left = dyn_cast<MemRefType>(op.getInputs()[0].getType());
      bool isBeyond = left && left.getElementType().isF32() && getElementTypeOrSelf(op.getInputs()[1]).isBF16() &&
                      left.getDimSize(0) > mostWideRows;
      if (isBeyond) {
        wide = op;
        mostRows = std::max(mostRows, left.getDimSize(0));
      }
      auto contraction = matchContraction(op);
      auto stream = contraction ? findStream(body, op) : std::nullopt;
      if (!stream)
        return;
      streams[body.getName()].push_back(*stream);
      op->setAttr(kStreamed, UnitAttr::get(&getContext()));
      mostRows = std::max(mostRows, contraction->rows);
      if (contraction->isWide)
        wide = op;
    });
  // With many rows the stream has the order of tiles that are computed together.
  bool isMany = mostRows > kFewRows;
  if (wide && mostRows > mostWideRows) {
    wide.emitOpError("expected a left side of bf16 in a step of more than ")
        << mostWideRows << " rows, found " << wide.getInputs()[0].getType();
    return signalPassFailure();
  }
  int64_t groups = 1;
  if (isMany) {
    std::optional<int64_t> found = rowGroups(mostRows, waves, /*isWide=*/wide != nullptr);
    if (!found) {
      module.emitError("expected contractions of at most ")
          << waves * kRowsOfWarp << " rows, found " << mostRows << ": choose a smaller number of rows per step";
      return signalPassFailure();
    }
    groups = *found;
    module->setAttr(kRowGroups, Builder(&getContext()).getI64IntegerAttr(groups));
    if (hasWarpgroups(groups) && failed(orderWeights(dispatch)))
      return signalPassFailure();
    planTogether(dispatch, groups, streams);
  }
  int64_t turns = waves / groups, slotBytes = bytesOfSlot(groups);
  // What stands in the bodies' buffer, behind their scratch.
  int64_t staged = 0, partial = 0;
  // Whether any body has its activations copied.
  bool isCopied = false;
  for (auto body : module.getOps<func::FuncOp>()) {
    int64_t own = scratchOf(body);
    llvm::SmallDenseSet<std::pair<Value, Operation *>> seen;
    body.walk([&](linalg::MatmulOp op) {
      auto contraction = matchContraction(op);
      if (!contraction)
        return;
      bool isTogether = op->getParentOp()->hasAttr(kTogether);
      if (!isTogether)
        partial = std::max(partial, waves * contraction->rows * kColumns * 4);
      std::optional<Staging> staging = isTogether ? std::nullopt : findStaging(op, *contraction);
      if (staging && seen.insert({contraction->lhs, staging->place}).second)
        own += llvm::alignTo(staging->bytes, kSharedAlignment);
    });
    if (std::optional<TileLoop> loop = isMany ? matchTileLoop(body) : std::nullopt;
        loop && loop->loop->hasAttr(kTogether)) {
      // Sums come where chunks were.
      int64_t behind = loop->bytesOfSums(turns);
      if (copiesChunks(loop->first, groups)) {
        isCopied = true;
        behind = std::max(behind, placeOfChunks(*loop) + bytesOfChunks(loop->first, waves, groups));
      }
      own += behind;
    }
    staged = std::max(staged, own);
  }

  // Rows of @streams: [operand, bytes of a tile]; case k owns the rows
  // [@stream_begins[k], @stream_begins[k + 1]), and computes @stream_together[k] tiles together.
  std::vector<int32_t> begins = {0}, rows, together, aheadBegins = {0}, ahead;
  SmallVector<std::pair<int64_t, Caches>> caches;
  bool found = true;
  dispatch.walk([&](scf::IndexSwitchOp select) {
    for (Region &region : select.getCaseRegions()) {
      func::CallOp call;
      region.walk([&](func::CallOp op) { call = op; });
      if (!call) {
        found = false;
        return;
      }
      llvm::SmallDenseSet<int64_t> isStreamed;
      for (Stream stream : streams.lookup(call.getCallee())) {
        rows.push_back(stream.operand);
        rows.push_back(stream.bytes);
        isStreamed.insert(stream.operand);
      }
      for (auto [i, operand] : llvm::enumerate(call.getOperands())) {
        std::optional<int64_t> bytes = bytesOfParameter(dispatch, operand);
        if (bytes && *bytes <= kMostAhead && !isStreamed.contains(i)) {
          ahead.push_back(i);
          ahead.push_back(llvm::alignTo(*bytes, 16));
        }
      }
      auto body = module.lookupSymbol<func::FuncOp>(call.getCallee());
      if (auto numbers = body ? body->getAttrOfType<DenseI64ArrayAttr>(kCaches) : DenseI64ArrayAttr())
        caches.push_back({static_cast<int64_t>(begins.size()) - 1, Caches(numbers.asArrayRef())});
      begins.push_back(rows.size() / 2);
      aheadBegins.push_back(ahead.size() / 2);
      std::optional<TileLoop> loop = isMany ? matchTileLoop(body) : std::nullopt;
      together.push_back(loop ? loop->loop->getAttrOfType<IntegerAttr>(kTogether).getInt() : 1);
    }
  });
  if (!found) {
    dispatch.emitError("expected a call of a body in every case, found none");
    return signalPassFailure();
  }
  if (rows.empty())
    return;

  SmallVector<memref::GlobalOp> tables;
  int64_t entries = 0;
  auto addOwn = [&](StringRef name, ArrayRef<int32_t> data, int64_t columns) {
    int64_t count = data.size();
    auto shape = columns > 1 ? SmallVector<int64_t>{count / columns, columns} : SmallVector<int64_t>{count};
    tables.push_back(addTable(module, name, data, shape));
    entries += count;
  };
  addOwn("stream_begins", begins, 1);
  addOwn("streams", rows, 2);
  if (isMany)
    addOwn("stream_together", together, 1);
  addOwn("ahead_begins", aheadBegins, 1);
  if (!ahead.empty())
    addOwn("ahead", ahead, 2);

  UsedLds before = countUsedLds(module, kSharedAlignment);
  auto scratch = module.lookupSymbol<memref::GlobalOp>(kScratchBuffer);
  int64_t scratchBytes = scratch ? llvm::alignTo(scratch.getType().getNumElements(), kSharedAlignment) : 0;
  int64_t used = (isMany ? kSmallReserve : kReserve) + partial + before.others - scratchBytes +
                 std::max(staged, scratchBytes) + llvm::alignTo(before.body, kSharedAlignment) +
                 llvm::alignTo(entries * 4, kSharedAlignment) + (isCopied ? kSharedAlignment : 0);
  // One that only sees every other round of a slot cannot tell two phases of its
  // barrier apart, unless the copies on their way are so few that the slot's last
  // one has come. With many rows a slot is always read by the same warps.
  int64_t slots = (target.getLds() - used) / (slotBytes + 16);
  if (isMany)
    slots = slots / turns * turns;
  int64_t least = isMany ? kSlotsOfTurn * turns : waves + kLeastInFlight;
  if (slots < least) {
    module.emitError("expected room for a ring of ")
        << least << " slots of " << slotBytes << " bytes in the lds of a worker, found " << target.getLds() - used
        << " bytes left: choose a smaller number of rows per step";
    return signalPassFailure();
  }
  Builder b(&getContext());
  module->setAttr(kSlots, b.getI64IntegerAttr(slots));
  // Sums of more tiles at once take the room of other bodies' scratch, and what the ring leaves.
  int64_t room = std::max(staged, scratchBytes) + target.getLds() - used - slots * (slotBytes + 16);
  for (auto body : module.getOps<func::FuncOp>())
    if (std::optional<TileLoop> loop = isMany ? matchTileLoop(body) : std::nullopt;
        loop && loop->loop->hasAttr(kTogether)) {
      int64_t together = loop->loop->getAttrOfType<IntegerAttr>(kTogether).getInt();
      int64_t fit = (room / kSharedAlignment * kSharedAlignment - scratchOf(body)) / loop->bytesOfSums(turns);
      loop->loop->setAttr(kSummed, b.getI64IntegerAttr(std::clamp<int64_t>(fit, 1, together)));
    }
  bool callsDispatch = step.getBody()
                           .walk([](func::CallOp call) {
                             return call.getCallee() == "dispatch" ? WalkResult::interrupt() : WalkResult::advance();
                           })
                           .wasInterrupted();
  if (!prefetch && !callsDispatch) {
    step.emitError("expected a call of @dispatch, at which the events of a task have come, found none");
    return signalPassFailure();
  }
  addProducer(step, slots, isCopied, tables, Ahead{!ahead.empty(), caches});
}

namespace {
struct StreamedTask {
  Value task, lo, hi, kind, begin, end;
};
/// The chunk that comes behind another one in a slot, and whether there is one (i1).
struct SecondChunk {
  Value from, exists;
};
} // namespace

/// As `lowerTogether` reads it: several tiles together; of these a chunk for each
/// turn; of these every tile and every matrix, by ones or, in slots of two chunks, twos. Where turns have no chunk left
/// their slot stays empty, so that a slot is always that of the same turn.
static SmallVector<Value>
streamTogether(Emitter &e, function_ref<Value(StringRef)> table, int64_t turns, int64_t ofSlot, StreamedTask t,
               ValueRange state,
               function_ref<SmallVector<Value>(Value, std::optional<SecondChunk>, Value, ValueRange)> fill) {
  auto entryOf = [&](Value from, ValueRange at) { return e.toIndex(e.load(from, at)); };
  auto least = [&](Value x, Value y) -> Value { return arith::MinUIOp::create(e.b, e.loc, x, y); };
  auto minus = [&](Value x, Value y) -> Value { return arith::SubIOp::create(e.b, e.loc, x, y); };
  Value streams = table("streams"), deviceTasks = table("device_tasks");
  Value together = entryOf(table("stream_together"), t.kind);
  // A task that streams nothing has no tile here. All its matrices are equally deep.
  Value isNone = arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::eq, t.begin, t.end);
  Value hi = arith::SelectOp::create(e.b, e.loc, isNone, t.lo, t.hi);
  Value safe = arith::SelectOp::create(e.b, e.loc, isNone, e.index(0), t.begin);
  Value bytes = entryOf(streams, {safe, e.index(1)});
  auto passes = scf::ForOp::create(e.b, e.loc, t.lo, hi, together, state);
  OpBuilder::InsertionGuard guard(e.b);
  e.b.setInsertionPointToStart(passes.getBody());
  Value first = passes.getInductionVar(), last = least(e.addIndex(first, together), hi);
  auto placeOf = [&](Value tile, Value row) -> Value {
    Value operand = entryOf(streams, {row, e.index(0)});
    Value at = entryOf(deviceTasks, {t.task, e.addIndex(operand, 3)});
    return e.addIndex(e.mulIndex(at, kArenaAlignment), arith::MulIOp::create(e.b, e.loc, tile, bytes));
  };
  auto turnsOf = [&](Value done, Value at, std::optional<SecondChunk> second, ValueRange carried) {
    return e.loop(e.index(0), e.index(turns), 1, carried, [&](Value turn, ValueRange carried) {
      Value from = least(e.addIndex(done, e.mulIndex(turn, kSlot)), bytes);
      Value size = least(minus(bytes, from), e.index(kSlot));
      if (second)
        return fill(e.addIndex(at, from), SecondChunk{e.addIndex(second->from, from), second->exists}, size, carried);
      return fill(e.addIndex(at, from), std::nullopt, size, carried);
    });
  };
  auto onesOf = [&](Value done, ValueRange carried) {
    return e.loop(first, last, 1, carried, [&](Value tile, ValueRange carried) {
      return e.loop(t.begin, t.end, 1, carried, [&](Value row, ValueRange carried) {
        return turnsOf(done, placeOf(tile, row), std::nullopt, carried);
      });
    });
  };
  // Carried in front of the state: the next tile and matrix.
  auto twosOf = [&](Value done, ValueRange carried) {
    auto after = [&](Value tile, Value row) -> std::pair<Value, Value> {
      Value next = e.addIndex(row, 1);
      Value wraps = arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::eq, next, t.end);
      return {arith::SelectOp::create(e.b, e.loc, wraps, e.addIndex(tile, 1), tile),
              arith::SelectOp::create(e.b, e.loc, wraps, t.begin, next)};
    };
    SmallVector<Value> all = {first, safe};
    llvm::append_range(all, carried);
    Value count = arith::MulIOp::create(e.b, e.loc, minus(last, first), minus(t.end, t.begin));
    all = e.loop(e.index(0), count, 2, all, [&](Value, ValueRange carried) {
      Value tile = carried[0], row = carried[1];
      auto [secondTile, secondRow] = after(tile, row);
      Value exists = arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::ult, secondTile, last);
      SecondChunk second{placeOf(secondTile, secondRow), exists};
      auto [nextTile, nextRow] = after(secondTile, secondRow);
      SmallVector<Value> next = {nextTile, nextRow};
      llvm::append_range(next, turnsOf(done, placeOf(tile, row), second, carried.drop_front(2)));
      return next;
    });
    return SmallVector<Value>(ArrayRef<Value>(all).drop_front(2));
  };
  auto roundOf = [&](Value done, ValueRange carried) {
    return ofSlot == 1 ? onesOf(done, carried) : twosOf(done, carried);
  };
  auto rounds = scf::ForOp::create(e.b, e.loc, e.index(0), bytes, e.index(turns * kSlot), passes.getRegionIterArgs(),
                                   [&](OpBuilder &, Location, Value done, ValueRange carried) {
                                     scf::YieldOp::create(e.b, e.loc, roundOf(done, carried));
                                   });
  scf::YieldOp::create(e.b, e.loc, rounds.getResults());
  return SmallVector<Value>(passes.getResults());
}

bool nv::isOrdered(Type element, int64_t depth, int64_t columns) {
  return element.isBF16() && columns == kColumns && depth % kDepth == 0;
}

/// Whether the only readers of a packed weight are contractions, tile by tile.
static LogicalResult checkReaders(BlockArgument weight) {
  ArrayRef<int64_t> tileShape = cast<MemRefType>(weight.getType()).getShape().drop_front();
  for (Operation *user : weight.getUsers()) {
    auto tile = dyn_cast<memref::SubViewOp>(user);
    bool isTile = tile && tile.getType().getShape() == tileShape;
    if (!isTile || !llvm::all_of(tile->getUses(), [](OpOperand &use) {
          auto matmul = dyn_cast<linalg::MatmulOp>(use.getOwner());
          return matmul && use.getOperandNumber() == 1 && matchContraction(matmul);
        }))
      return user->emitOpError("expected packed weights to be read tile by tile, by contractions with left sides of "
                               "bf16 or f32: choose a smaller number of rows per step");
  }
  return success();
}

/// Says that the packed weights are stored in the order of wgmma's right side, if all that read them can.
LogicalResult NVGPUStreamWeights::orderWeights(func::FuncOp dispatch) {
  gpu::GPUModuleOp module = getOperation();
  WalkResult result = dispatch.walk([&](func::CallOp call) {
    auto body = module.lookupSymbol<func::FuncOp>(call.getCallee());
    for (auto [i, operand] : llvm::enumerate(call.getOperands())) {
      auto type = dyn_cast<MemRefType>(operand.getType());
      if (bytesOfParameter(dispatch, operand) && type.getRank() == 3 &&
          isOrdered(type.getElementType(), type.getDimSize(1), type.getDimSize(2)) &&
          failed(checkReaders(body.getArgument(i))))
        return WalkResult::interrupt();
    }
    return WalkResult::advance();
  });
  module->setAttr(kOrdered, UnitAttr::get(&getContext()));
  return failure(result.wasInterrupted());
}

/// Says for each body that streams how many of its tiles are computed together;
/// what cannot be computed so is not streamed.
void NVGPUStreamWeights::planTogether(func::FuncOp dispatch, int64_t groups,
                                      llvm::StringMap<SmallVector<Stream>> &streams) {
  gpu::GPUModuleOp module = getOperation();
  // The most tiles of a cu task, by case.
  llvm::DenseMap<int64_t, int64_t> tiles;
  auto valuesOf = [&](StringRef name) {
    auto global = module.lookupSymbol<memref::GlobalOp>(name);
    auto value = global ? dyn_cast_or_null<DenseIntElementsAttr>(global.getInitialValue().value_or(nullptr))
                        : DenseIntElementsAttr();
    return value ? llvm::to_vector(value.getValues<int32_t>()) : SmallVector<int32_t>();
  };
  SmallVector<int32_t> cuTasks = valuesOf("cu_tasks"), deviceTasks = valuesOf("device_tasks");
  if (!deviceTasks.empty()) {
    int64_t width = module.lookupSymbol<memref::GlobalOp>("device_tasks").getType().getDimSize(1);
    for (size_t i = 0; i + 2 < cuTasks.size(); i += 3) {
      int64_t &most = tiles[deviceTasks[cuTasks[i] * width]];
      most = std::max<int64_t>(most, cuTasks[i + 2] - cuTasks[i + 1]);
    }
  }
  int64_t kind = 0;
  dispatch.walk([&](func::CallOp call) {
    auto body = module.lookupSymbol<func::FuncOp>(call.getCallee());
    std::optional<TileLoop> loop = matchTileLoop(body);
    int64_t most = tiles.lookup(kind++);
    if (!loop) {
      streams.erase(body.getName());
      body.walk([](linalg::MatmulOp op) { op->removeAttr(kStreamed); });
      return;
    }
    int64_t count = tilesTogether(loop->first.rows, loop->ops.size(), groups, most, loop->first.isWide);
    if (auto before = loop->loop->getAttrOfType<IntegerAttr>(kTogether))
      count = std::max(count, before.getInt());
    loop->loop->setAttr(kTogether, Builder(&getContext()).getI64IntegerAttr(count));
  });
}

/// How many entries of its queue the walk has begun, in all steps: their events had come.
static Value begun(Emitter &e) { return e.shared("begun", inWorkgroupMemory({1}, e.b.getI32Type())); }

/// Splits the workgroup: its first threads walk the queue as before, one more
/// warp walks it too, with no eye for events, and copies what the bodies will read.
void NVGPUStreamWeights::addProducer(gpu::GPUFuncOp step, int64_t slots, bool isCopied,
                                     ArrayRef<memref::GlobalOp> tables, const Ahead &ahead) {
  gpu::GPUModuleOp module = getOperation();
  Workgroup workgroup = getWorkgroup(module);
  Block &entry = step.getBody().front();
  SmallVector<Operation *> walk;
  for (Operation &op : entry.without_terminator())
    walk.push_back(&op);
  OpBuilder builder(&getContext());
  builder.setInsertionPointToStart(&entry);
  Emitter e(builder, step.getLoc(), module);
  // Of many rows the turns that warps take, and the warps of one.
  auto rowGroups = module->getAttrOfType<IntegerAttr>(kRowGroups);
  int64_t groups = rowGroups ? rowGroups.getInt() : 1, turns = rowGroups ? workgroup.waves() / groups : 0;
  Ring ring{e, slots, bytesOfSlot(groups)};
  auto isEqual = [&](Value x, Value y) -> Value {
    return arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::eq, x, y);
  };
  // Positions in the ring: of each thread of the walk, from step to step of its contractions.
  e.forOneThread([&] {
    e.loop(slots, 1, [&](Value slot) {
      initBarrier(e, ring.full(slot), 1);
      initBarrier(e, ring.empty(slot), groups * ring.arrivalsOfWarp());
    });
    if (isCopied)
      ChunkBarriers{e}.init();
    // The producer looks at it, and may be ahead of the walk that clears it.
    Value expired = e.shared("expired", inWorkgroupMemory({2}, e.b.getI32Type()));
    memref::StoreOp::create(e.b, e.loc, e.i32(0), expired, ValueRange{e.index(0)});
    memref::StoreOp::create(e.b, e.loc, e.i32(0), begun(e), ValueRange{e.index(0)});
    fenceBarrierInit(e);
  });
  // The producer's own tables, one behind the other in shared memory.
  auto ownTable = [&](memref::GlobalOp own) {
    int64_t before = 0, all = 0;
    for (memref::GlobalOp other : tables) {
      before = other == own ? all : before;
      all += other.getType().getNumElements();
    }
    Value shared = e.shared("stream_tables", inWorkgroupMemory({all * 4}, e.b.getI8Type()));
    return cpu::viewAt(e, shared, before * 4, inWorkgroupMemory(own.getType().getShape(), e.b.getI32Type()));
  };
  // Which rows of the caches a launch begins with.
  auto manifest = module->getParentOfType<ModuleOp>()->getAttrOfType<DictionaryAttr>("fleet.manifest");
  auto inputs = manifest ? manifest.getAs<DictionaryAttr>("inputs") : DictionaryAttr();
  auto placeOf = [&](StringRef name) -> IntegerAttr {
    auto entry = inputs ? inputs.getAs<DictionaryAttr>(name) : DictionaryAttr();
    return entry ? entry.getAs<IntegerAttr>("offset") : IntegerAttr();
  };
  auto tokens = manifest ? manifest.getAs<IntegerAttr>("tokens") : IntegerAttr();
  bool knowsRows = !ahead.caches.empty() && tokens && placeOf("slots") && placeOf("positions");
  auto rowsAtStart = [&] { return e.shared("ahead_rows", inWorkgroupMemory({2, tokens.getInt()}, e.b.getI32Type())); };
  if (knowsRows) {
    Value input = step.getArgument(3), kept = rowsAtStart();
    auto space = cast<MemRefType>(input.getType()).getMemorySpace();
    auto type = MemRefType::get({tokens.getInt()}, e.b.getI32Type(), MemRefLayoutAttrInterface(), space);
    Value slotOf = cpu::viewAt(e, input, placeOf("slots").getInt(), type);
    Value positionOf = cpu::viewAt(e, input, placeOf("positions").getInt(), type);
    e.forThreads(tokens.getInt(), [&](Value i) {
      memref::StoreOp::create(e.b, e.loc, e.load(slotOf, i), kept, ValueRange{e.index(0), i});
      memref::StoreOp::create(e.b, e.loc, e.load(positionOf, i), kept, ValueRange{e.index(1), i});
    });
  }
  Value isWalker = arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::ult, e.thread(), e.index(workgroup.threads));
  e.ifThen(isWalker, [&] {
    for (memref::GlobalOp own : tables) {
      Value from = memref::GetGlobalOp::create(e.b, e.loc, own.getType(), own.getSymName()), to = ownTable(own);
      e.forThreads(own.getType().getNumElements(), [&](Value i) {
        SmallVector<Value> at = e.delinearize(i, own.getType().getShape());
        memref::StoreOp::create(e.b, e.loc, e.load(from, at), to, at);
      });
    }
    // Of many rows a warp's.
    int64_t count = turns ? workgroup.waves() : workgroup.threads;
    Value position = e.shared("ring_position", inWorkgroupMemory({count}, e.b.getI32Type()));
    memref::StoreOp::create(e.b, e.loc, e.i32(0), position, turns ? e.wave() : e.thread());
  });
  // Registers are handed from one warpgroup to another, so that the producer has one of its own.
  bool handsOver = workgroup.waves() % kWarpgroup == 0;
  int32_t threads = workgroup.threads + (handsOver ? kWarpgroup : 1) * workgroup.lanes;
  nv::barrier(e, 0, threads);
  step.setKnownBlockSizeAttr(builder.getDenseI32ArrayAttr({threads, 1, 1}));
  auto split = scf::IfOp::create(e.b, e.loc, isWalker, /*withElseRegion=*/true);
  for (Operation *op : walk)
    op->moveBefore(split.thenBlock()->getTerminator());
  if (handsOver) {
    step->setAttr("nvvm.minctasm", builder.getI32IntegerAttr(1));
    builder.setInsertionPointToStart(split.thenBlock());
    takeRegisters(e, kRegistersOfWalk);
    builder.setInsertionPointToStart(split.elseBlock());
    giveRegisters(e, kRegistersOfProducer);
  }
  auto countBody = [&] {
    e.forOneThread([&] {
      memref::AtomicRMWOp::create(e.b, e.loc, arith::AtomicRMWKind::addi, e.i32(1), begun(e), ValueRange{e.index(0)});
    });
  };
  // A body that waits for its operands itself has begun when they have come.
  bool waitsInBodies = module.walk([](ReceiveOp) { return WalkResult::interrupt(); }).wasInterrupted();
  split.getThenRegion().walk([&](func::CallOp call) {
    if (call.getCallee() != "dispatch" || waitsInBodies)
      return;
    OpBuilder::InsertionGuard guard(builder);
    builder.setInsertionPoint(call);
    countBody();
  });
  if (waitsInBodies)
    module.lookupSymbol<func::FuncOp>("dispatch").walk([&](func::CallOp call) {
      OpBuilder::InsertionGuard guard(builder);
      builder.setInsertionPoint(call);
      for (auto receive : module.lookupSymbol<func::FuncOp>(call.getCallee()).getOps<ReceiveOp>())
        builder.setInsertionPointAfter(receive);
      countBody();
    });
  // The walk brings tables to shared memory, where the producer reads them too: its
  // loads from the L2 would be one after the other, behind the copies on their way.
  Operation *cachesTables = nullptr;
  split.getThenRegion().walk([&](memref::GetGlobalOp op) {
    if (op.getName() != kCachedQueue || cachesTables)
      return;
    for (cachesTables = op; cachesTables && !isa<gpu::BarrierOp>(cachesTables);)
      cachesTables = cachesTables->getNextNode();
  });
  if (cachesTables) {
    OpBuilder::InsertionGuard guard(builder);
    builder.setInsertionPointAfter(cachesTables);
    nv::barrier(e, 0, threads);
  }
  builder.setInsertionPoint(split.elseBlock()->getTerminator());
  auto table = [&](StringRef name) -> Value {
    auto global = module.lookupSymbol<memref::GlobalOp>(name);
    if (llvm::is_contained(tables, global))
      return ownTable(global);
    std::string cached = (kCached + name).str();
    if (module.lookupSymbol<memref::GlobalOp>(cached))
      return e.shared(cached, inWorkgroupMemory(global.getType().getShape(), e.b.getI32Type()));
    return memref::GetGlobalOp::create(e.b, e.loc, global.getType(), name);
  };
  auto entryOf = [&](Value from, ValueRange at) { return e.toIndex(e.load(from, at)); };
  Value isLeader = isEqual(e.thread(), e.index(workgroup.threads));
  Value chiplet = ChipletIdOp::create(e.b, e.loc, e.b.getIndexType());
  Value rank = WorkerRankOp::create(e.b, e.loc, e.b.getIndexType());
  auto queues = module.lookupSymbol<memref::GlobalOp>("queues");
  auto arrivals = module.lookupSymbol<memref::GlobalOp>("arrivals");
  int64_t workers = queues.getType().getDimSize(0) - 1;
  int64_t perChiplet = workers / arrivals.getType().getDimSize(1);
  Value worker = e.addIndex(e.mulIndex(chiplet, perChiplet), rank);
  Value known = arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::ult, worker, e.index(workers));
  e.ifThen(known, [&] {
    if (cachesTables)
      nv::barrier(e, 0, threads);
    e.ifThen(isLeader, [&] {
      Value queueTable = table("queues"), deviceTasks = table("device_tasks"), cuTasks;
      Value beginTable = table("stream_begins"), streamTable = table("streams");
      Value expired = e.shared("expired", inWorkgroupMemory({2}, e.b.getI32Type()));
      Value params = step.getArgument(0), data = ring.data();
      Value first = entryOf(queueTable, worker), last = entryOf(queueTable, e.addIndex(worker, 1));
      if (cachesTables) {
        int64_t longest = module.lookupSymbol<memref::GlobalOp>(kCachedQueue).getType().getDimSize(0) / (3 * 4);
        cuTasks = e.shared(kCachedQueue, inWorkgroupMemory({longest, 3}, e.b.getI32Type()));
        last = arith::SubIOp::create(e.b, e.loc, last, first);
        first = e.index(0);
      } else {
        cuTasks = table("cu_tasks");
      }
      // Carried through all loops: slot, parity to wait for, whether the walk goes
      // on, then slot and parity of the copy that must have come before the next one
      // is asked for, and of the one that must have come if the walk is between two bodies.
      Value yes = arith::ConstantIntOp::create(e.b, e.loc, true, 1);
      int64_t inFlight = std::min(turns ? slots : slots - workgroup.waves(), kMostInFlight / ring.bytesOfSlot);
      int64_t quiet = std::min<int64_t>(llvm::divideCeil(kMostWhenQuiet, ring.bytesOfSlot), inFlight);
      SmallVector<Value> state = {
          e.index(0), e.i32(1), yes, e.index((slots - inFlight) % slots), e.i32(1), e.index((slots - quiet) % slots),
          e.i32(1)};
      // What another thread may just be writing.
      auto read = [&](Value word) -> Value {
        return memref::AtomicRMWOp::create(e.b, e.loc, arith::AtomicRMWKind::ori, e.i32(0), word,
                                           ValueRange{e.index(0)});
      };
      // To compare: waits until the walk has begun `entries` of its queue and one more,
      // and gives whether it goes on. Weights are never written, so that nothing but
      // the time depends on it.
      auto waitForWalk = [&](Value entries, Value goesOn) -> Value {
        Value least = arith::IndexCastOp::create(e.b, e.loc, e.b.getI32Type(), entries);
        auto waiting = scf::WhileOp::create(
            e.b, e.loc, TypeRange{e.b.getI1Type()}, ValueRange{goesOn},
            [&](OpBuilder &, Location, ValueRange carried) {
              Value early = arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::sle, read(begun(e)), least);
              scf::ConditionOp::create(e.b, e.loc, arith::AndIOp::create(e.b, e.loc, early, carried[0]), carried);
            },
            [&](OpBuilder &, Location, ValueRange) {
              scf::YieldOp::create(e.b, e.loc, ValueRange{isEqual(read(expired), e.i32(0))});
            });
        return waiting.getResult(0);
      };
      // Fills the next slot with what stands in the parameters, of `second` behind it if there is one: for entry
      // `entry` of all that the walk goes through.
      auto fill = [&](Value from, std::optional<SecondChunk> second, Value size, Value entry, ValueRange carried) {
        Value slot = carried[0], parity = carried[1];
        auto both = [&](Value x, Value y) -> Value { return arith::AndIOp::create(e.b, e.loc, x, y); };
        auto either = [&](Value x, Value y) -> Value { return arith::OrIOp::create(e.b, e.loc, x, y); };
        auto waiting = scf::WhileOp::create(
            e.b, e.loc, TypeRange{e.b.getI1Type()}, ValueRange{carried[2]},
            [&](OpBuilder &, Location, ValueRange goesOn) {
              Value ready = tryWait(e, ring.empty(slot), parity);
              if (inFlight < slots)
                ready = both(ready, testWait(e, ring.full(carried[3]), carried[4]));
              if (quiet < inFlight) {
                Value isBegun = arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::sgt, read(begun(e)), entry);
                ready = both(ready, either(isBegun, testWait(e, ring.full(carried[5]), carried[6])));
              }
              Value stays = both(arith::XOrIOp::create(e.b, e.loc, ready, yes), goesOn[0]);
              scf::ConditionOp::create(e.b, e.loc, stays, goesOn);
            },
            [&](OpBuilder &, Location, ValueRange) {
              // A walk that gave up frees no more slots.
              scf::YieldOp::create(e.b, e.loc, ValueRange{isEqual(read(expired), e.i32(0))});
            });
        Value goesOn = waiting.getResult(0);
        e.ifThen(goesOn, [&] {
          Value count = arith::IndexCastOp::create(e.b, e.loc, e.b.getI32Type(), size), all = count;
          if (second)
            all = arith::SelectOp::create(e.b, e.loc, second->exists,
                                          arith::ShLIOp::create(e.b, e.loc, count, e.i32(1)), count);
          arriveExpecting(e, ring.full(slot), all);
          Value place = e.mulIndex(slot, ring.bytesOfSlot);
          auto copyTo = [&](Value place, Value from) {
            copyBulk(e, pointerTo(e, data, place), pointerTo(e, params, from), count, ring.full(slot));
          };
          auto copy = [&] {
            copyTo(place, from);
            if (second)
              e.ifThen(second->exists, [&] { copyTo(e.addIndex(place, size), second->from); });
          };
          if (turns)
            e.ifThen(arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::ne, size, e.index(0)), copy);
          else
            copy();
        });
        SmallVector<Value> next;
        auto add = [&](std::pair<Value, Value> place) { llvm::append_values(next, place.first, place.second); };
        add(ring.next(slot, parity));
        next.push_back(goesOn);
        add(ring.next(carried[3], carried[4]));
        add(ring.next(carried[5], carried[6]));
        return next;
      };
      Value steps = step.getNumArguments() > 6 ? e.toIndex(step.getArgument(6)) : e.index(1);
      Value aheadTable = table("ahead_begins"), aheadRows;
      if (ahead.hasRows)
        aheadRows = table("ahead");
      e.loop(e.index(0), steps, 1, state, [&](Value stepNumber, ValueRange carried) {
        return e.loop(first, last, 1, carried, [&](Value cuTask, ValueRange before) {
          SmallVector<Value> carried(before);
          Value entries = arith::SubIOp::create(e.b, e.loc, last, first);
          Value own = arith::SubIOp::create(e.b, e.loc, cuTask, first);
          own = e.addIndex(arith::MulIOp::create(e.b, e.loc, stepNumber, entries), own);
          if (!prefetch)
            carried[2] = waitForWalk(own, carried[2]);
          Value number = arith::IndexCastOp::create(e.b, e.loc, e.b.getI32Type(), own);
          auto fillFor = [&](Value from, std::optional<SecondChunk> second, Value size, ValueRange carried) {
            return fill(from, second, size, number, carried);
          };
          Value task = entryOf(cuTasks, {cuTask, e.index(0)});
          Value lo = entryOf(cuTasks, {cuTask, e.index(1)}), hi = entryOf(cuTasks, {cuTask, e.index(2)});
          Value kind = entryOf(deviceTasks, {task, e.index(0)});
          if (aheadRows)
            e.loop(entryOf(aheadTable, kind), entryOf(aheadTable, e.addIndex(kind, 1)), 1, {},
                   [&](Value row, ValueRange) {
                     Value operand = entryOf(aheadRows, {row, e.index(0)});
                     Value at = entryOf(deviceTasks, {task, e.addIndex(operand, 3)});
                     prefetchBulk(e, pointerTo(e, params, e.mulIndex(at, kArenaAlignment)),
                                  e.load(aheadRows, {row, e.index(1)}));
                     return SmallVector<Value>();
                   });
          if (knowsRows)
            for (auto &entry : ahead.caches)
              e.ifThen(isEqual(kind, e.index(entry.first)), [&] {
                e.loop(lo, hi, 1, {}, [&](Value tile, ValueRange) {
                  askForParts(e, entry.second, step.getArgument(1), tile, stepNumber, rowsAtStart(),
                              [&](int64_t operand) {
                                Value at = entryOf(deviceTasks, {task, e.index(operand + 3)});
                                return e.mulIndex(at, kArenaAlignment);
                              });
                  return SmallVector<Value>();
                });
              });
          Value begin = entryOf(beginTable, kind), end = entryOf(beginTable, e.addIndex(kind, 1));
          if (turns)
            return streamTogether(e, table, turns, chunksOfSlot(groups), StreamedTask{task, lo, hi, kind, begin, end},
                                  carried, fillFor);
          return e.loop(lo, hi, 1, carried, [&](Value tile, ValueRange carried) {
            return e.loop(begin, end, 1, carried, [&](Value row, ValueRange carried) {
              Value operand = entryOf(streamTable, {row, e.index(0)});
              Value bytes = entryOf(streamTable, {row, e.index(1)});
              Value at = entryOf(deviceTasks, {task, e.addIndex(operand, 3)});
              at = e.addIndex(e.mulIndex(at, kArenaAlignment), arith::MulIOp::create(e.b, e.loc, tile, bytes));
              return e.loop(e.index(0), bytes, kSlot, carried, [&](Value done, ValueRange carried) {
                Value left = arith::SubIOp::create(e.b, e.loc, bytes, done);
                return fillFor(e.addIndex(at, done), std::nullopt,
                               arith::MinUIOp::create(e.b, e.loc, left, e.index(kSlot)), carried);
              });
            });
          });
        });
      });
    });
  });
}
