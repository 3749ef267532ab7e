//===- StreamWeights.cpp - A warp that runs ahead of the events
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Streams.h"

#include "fleet/Conversion/NVGPUPasses.h"
#include "fleet/IR/Fleet.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace mlir::fleet {
#define GEN_PASS_DEF_NVGPUSTREAMWEIGHTS
#include "fleet/Conversion/NVGPUPasses.h.inc"
} // namespace mlir::fleet

using namespace mlir;
using namespace mlir::fleet;
using namespace mlir::fleet::gpugen;
using namespace mlir::fleet::nv;

/// Shared memory left for small exchanges of other passes.
static constexpr int64_t kReserve = 4096;

int64_t Contraction::stagedBytes() const {
  auto space = dyn_cast_or_null<gpu::AddressSpaceAttr>(cast<MemRefType>(lhs.getType()).getMemorySpace());
  bool isShared = space && space.getValue() == gpu::AddressSpace::Workgroup;
  int64_t bytes = rows * depth * 2;
  return isShared || bytes > kMostStaged ? 0 : bytes;
}

std::optional<Contraction> nv::matchContraction(linalg::MatmulOp op) {
  if (op.hasUserDefinedMaps() || op.getNumResults())
    return std::nullopt;
  Contraction c{op.getInputs()[0], op.getInputs()[1], op.getOutputs()[0], 0, 0};
  for (Value value : {c.lhs, c.rhs, c.out}) {
    auto type = dyn_cast<MemRefType>(value.getType());
    if (!type || !type.hasStaticShape() || !cpu::isContiguousInLastDim(value))
      return std::nullopt;
  }
  auto lhs = cast<MemRefType>(c.lhs.getType()), rhs = cast<MemRefType>(c.rhs.getType());
  if (!lhs.getElementType().isBF16() || !rhs.getElementType().isBF16() ||
      !cast<MemRefType>(c.out.getType()).getElementType().isF32())
    return std::nullopt;
  c.rows = lhs.getDimSize(0), c.depth = lhs.getDimSize(1);
  if (!c.rows || rhs.getDimSize(1) != kColumns || c.depth % kDepth)
    return std::nullopt;
  return c;
}

std::pair<Value, Value> Ring::next(Value slot, Value parity) {
  Value more = e.addIndex(slot, 1);
  Value wraps = arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::eq, more, e.index(slots));
  Value first = arith::SelectOp::create(e.b, e.loc, wraps, e.index(0), more);
  Value flipped = arith::XOrIOp::create(e.b, e.loc, parity, e.i32(1));
  return {first, arith::SelectOp::create(e.b, e.loc, wraps, flipped, parity)};
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

struct NVGPUStreamWeights : mlir::fleet::impl::NVGPUStreamWeightsBase<NVGPUStreamWeights> {
  void runOnOperation() override;
  void addProducer(gpu::GPUFuncOp step, int64_t slots, memref::GlobalOp begins, memref::GlobalOp streams);
};

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

  // What each body streams, in the order in which it reads it.
  llvm::StringMap<SmallVector<Stream>> streams;
  int64_t staged = 0, partial = 0;
  for (auto body : module.getOps<func::FuncOp>())
    body.walk([&](linalg::MatmulOp op) {
      auto contraction = matchContraction(op);
      if (!contraction)
        return;
      staged = std::max(staged, contraction->stagedBytes());
      int64_t waves = getWorkgroup(module).waves();
      partial = std::max(partial, waves * contraction->rows * kColumns * 4);
      if (auto stream = findStream(body, op)) {
        streams[body.getName()].push_back(*stream);
        op->setAttr(kStreamed, UnitAttr::get(&getContext()));
      }
    });

  // Rows of @streams: [operand, bytes of a tile]; case k owns the rows
  // [@stream_begins[k], @stream_begins[k + 1]).
  std::vector<int32_t> begins = {0}, rows;
  bool found = true;
  dispatch.walk([&](scf::IndexSwitchOp select) {
    for (Region &region : select.getCaseRegions()) {
      auto calls = region.getOps<func::CallOp>();
      if (calls.empty()) {
        found = false;
        return;
      }
      for (Stream stream : streams.lookup((*calls.begin()).getCallee())) {
        rows.push_back(stream.operand);
        rows.push_back(stream.bytes);
      }
      begins.push_back(rows.size() / 2);
    }
  });
  if (!found) {
    dispatch.emitError("expected a call of a body in every case, found none");
    return signalPassFailure();
  }
  if (rows.empty())
    return;

  int64_t used = kReserve + partial, body = staged;
  for (auto global : module.getOps<memref::GlobalOp>()) {
    auto space = dyn_cast_or_null<gpu::AddressSpaceAttr>(global.getType().getMemorySpace());
    if (!space || space.getValue() != gpu::AddressSpace::Workgroup)
      continue;
    int64_t bytes = global.getType().getNumElements() * global.getType().getElementTypeBitWidth() / 8;
    if (global.getSymName() == kBodyBuffer)
      body = std::max(body, bytes);
    else
      used += llvm::alignTo(bytes, 128);
  }
  used += llvm::alignTo(body, 128);
  // A slot is always read by the same warp: one that only sees every other round
  // of a slot could not tell two phases of its barrier apart.
  int64_t waves = getWorkgroup(module).waves();
  int64_t slots = (target.getLds() - used) / (kSlot + 16) / waves * waves;
  if (slots < waves) {
    module.emitError("expected room for a ring of ")
        << waves << " slots of " << kSlot << " bytes in the lds of a worker, found " << target.getLds() - used
        << " bytes left: choose a smaller number of rows per step";
    return signalPassFailure();
  }
  Builder b(&getContext());
  module->setAttr(kSlots, b.getI64IntegerAttr(slots));
  auto beginTable = addTable(module, "stream_begins", begins, {static_cast<int64_t>(begins.size())});
  auto streamTable = addTable(module, "streams", rows, {static_cast<int64_t>(rows.size() / 2), 2});
  addProducer(step, slots, beginTable, streamTable);
}

/// Splits the workgroup: its first threads walk the queue as before, one more
/// warp walks it too, with no eye for events, and copies what the bodies will read.
void NVGPUStreamWeights::addProducer(gpu::GPUFuncOp step, int64_t slots, memref::GlobalOp begins,
                                     memref::GlobalOp streams) {
  gpu::GPUModuleOp module = getOperation();
  Workgroup workgroup = getWorkgroup(module);
  Block &entry = step.getBody().front();
  SmallVector<Operation *> walk;
  for (Operation &op : entry.without_terminator())
    walk.push_back(&op);
  OpBuilder builder(&getContext());
  builder.setInsertionPointToStart(&entry);
  Emitter e(builder, step.getLoc(), module);
  Ring ring{e, slots};
  auto isEqual = [&](Value x, Value y) -> Value {
    return arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::eq, x, y);
  };
  // Positions in the ring: of each thread of the walk, from step to step of its contractions.
  e.forOneThread([&] {
    e.loop(slots, 1, [&](Value slot) {
      initBarrier(e, ring.full(slot), 1);
      initBarrier(e, ring.empty(slot), 1);
    });
    // The producer looks at it, and may be ahead of the walk that clears it.
    Value expired = e.shared("expired", inWorkgroupMemory({2}, e.b.getI32Type()));
    memref::StoreOp::create(e.b, e.loc, e.i32(0), expired, ValueRange{e.index(0)});
    fenceBarrierInit(e);
  });
  Value isWalker = arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::ult, e.thread(),
                                         e.index(workgroup.threads));
  e.ifThen(isWalker, [&] {
    Value position = e.shared("ring_position", inWorkgroupMemory({workgroup.threads}, e.b.getI32Type()));
    memref::StoreOp::create(e.b, e.loc, e.i32(0), position, e.thread());
  });
  int32_t threads = workgroup.threads + workgroup.lanes;
  nv::barrier(e, 0, threads);
  step.setKnownBlockSizeAttr(builder.getDenseI32ArrayAttr({threads, 1, 1}));
  auto split = scf::IfOp::create(e.b, e.loc, isWalker, /*withElseRegion=*/true);
  for (Operation *op : walk)
    op->moveBefore(split.thenBlock()->getTerminator());
  builder.setInsertionPointToStart(split.elseBlock());
  auto table = [&](StringRef name) -> Value {
    auto global = module.lookupSymbol<memref::GlobalOp>(name);
    return memref::GetGlobalOp::create(e.b, e.loc, global.getType(), name);
  };
  auto entryOf = [&](Value from, ValueRange at) { return e.toIndex(e.load(from, at)); };
  Value isLeader = isEqual(e.thread(), e.index(workgroup.threads));
  e.ifThen(isLeader, [&] {
    Value chiplet = ChipletIdOp::create(e.b, e.loc, e.b.getIndexType());
    Value rank = WorkerRankOp::create(e.b, e.loc, e.b.getIndexType());
    auto queues = module.lookupSymbol<memref::GlobalOp>("queues");
    auto arrivals = module.lookupSymbol<memref::GlobalOp>("arrivals");
    int64_t workers = queues.getType().getDimSize(0) - 1;
    int64_t perChiplet = workers / arrivals.getType().getDimSize(1);
    Value worker = e.addIndex(e.mulIndex(chiplet, perChiplet), rank);
    Value known = arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::ult, worker, e.index(workers));
    e.ifThen(known, [&] {
      Value queueTable = table("queues"), cuTasks = table("cu_tasks"), deviceTasks = table("device_tasks");
      Value beginTable = table(begins.getSymName()), streamTable = table(streams.getSymName());
      Value expired = e.shared("expired", inWorkgroupMemory({2}, e.b.getI32Type()));
      Value params = step.getArgument(0), data = ring.data();
      Value first = entryOf(queueTable, worker), last = entryOf(queueTable, e.addIndex(worker, 1));
      // Carried through all loops: slot, parity to wait for, whether the walk goes on.
      Value yes = arith::ConstantIntOp::create(e.b, e.loc, true, 1);
      SmallVector<Value> state = {e.index(0), e.i32(1), yes};
      Value steps = step.getNumArguments() > 6 ? e.toIndex(step.getArgument(6)) : e.index(1);
      e.loop(e.index(0), steps, 1, state, [&](Value, ValueRange carried) {
        return e.loop(first, last, 1, carried, [&](Value cuTask, ValueRange carried) {
        Value task = entryOf(cuTasks, {cuTask, e.index(0)});
        Value lo = entryOf(cuTasks, {cuTask, e.index(1)}), hi = entryOf(cuTasks, {cuTask, e.index(2)});
        Value kind = entryOf(deviceTasks, {task, e.index(0)});
        Value begin = entryOf(beginTable, kind), end = entryOf(beginTable, e.addIndex(kind, 1));
        return e.loop(lo, hi, 1, carried, [&](Value tile, ValueRange carried) {
          return e.loop(begin, end, 1, carried, [&](Value row, ValueRange carried) {
            Value operand = entryOf(streamTable, {row, e.index(0)});
            Value bytes = entryOf(streamTable, {row, e.index(1)});
            Value at = entryOf(deviceTasks, {task, e.addIndex(operand, 3)});
            at = e.addIndex(e.mulIndex(at, kArenaAlignment), arith::MulIOp::create(e.b, e.loc, tile, bytes));
            return e.loop(e.index(0), bytes, kSlot, carried, [&](Value done, ValueRange carried) {
              Value slot = carried[0], parity = carried[1];
              // A walk that gave up frees no more slots.
              auto waiting = scf::WhileOp::create(
                  e.b, e.loc, TypeRange{e.b.getI1Type()}, ValueRange{carried[2]},
                  [&](OpBuilder &, Location, ValueRange goesOn) {
                    Value ready = tryWait(e, ring.empty(slot), parity);
                    Value stays = arith::AndIOp::create(
                        e.b, e.loc, arith::XOrIOp::create(e.b, e.loc, ready, yes), goesOn[0]);
                    scf::ConditionOp::create(e.b, e.loc, stays, goesOn);
                  },
                  [&](OpBuilder &, Location, ValueRange) {
                    Value flag = memref::AtomicRMWOp::create(e.b, e.loc, arith::AtomicRMWKind::ori, e.i32(0),
                                                             expired, ValueRange{e.index(0)});
                    scf::YieldOp::create(e.b, e.loc, ValueRange{isEqual(flag, e.i32(0))});
                  });
              Value goesOn = waiting.getResult(0);
              e.ifThen(goesOn, [&] {
                Value left = arith::SubIOp::create(e.b, e.loc, bytes, done);
                Value size = arith::MinUIOp::create(e.b, e.loc, left, e.index(kSlot));
                Value count = arith::IndexCastOp::create(e.b, e.loc, e.b.getI32Type(), size);
                arriveExpecting(e, ring.full(slot), count);
                copyBulk(e, pointerTo(e, data, e.mulIndex(slot, kSlot)),
                         pointerTo(e, params, e.addIndex(at, done)), count, ring.full(slot));
              });
              auto [nextSlot, nextParity] = ring.next(slot, parity);
              return SmallVector<Value>{nextSlot, nextParity, goesOn};
            });
          });
        });
        });
      });
    });
  });
}
