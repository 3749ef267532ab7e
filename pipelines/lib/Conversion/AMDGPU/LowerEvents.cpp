//===- LowerEvents.cpp - All memory ordering of the AMD kernel
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The rules are those of "Memory Model GFX942" in LLVM's AMDGPU usage guide;
// gfx950 has the same. In short: a CU has a write-through L1, an XCD (chiplet) a
// write-back L2, and the L2s of a device are not coherent with each other.
//
//===----------------------------------------------------------------------===//

#include "../GPU/Utils.h"

#include "fleet/Conversion/GPUPasses.h"
#include "fleet/IR/Fleet.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/ROCDLDialect.h"

namespace mlir::fleet {
#define GEN_PASS_DEF_AMDGPULOWEREVENTS
#include "fleet/Conversion/GPUPasses.h.inc"
} // namespace mlir::fleet

using namespace mlir;
using namespace mlir::fleet;
using namespace mlir::fleet::gpugen;

/// s_getreg of HW_REG_XCC_ID (20), bits 0 to 3.
static constexpr int32_t kXccId = 20 | (4 - 1) << 11;
/// s_waitcnt with vmcnt(0) and nothing else (gfx9 encoding).
static constexpr int32_t kNoVectorMemoryLeft = 0x0f70;
/// Units of 64 clocks between two polls.
static constexpr int32_t kSleep = 1;
/// Polls between two looks at the status: has another worker given up?
static constexpr int32_t kLook = 64;
/// A ticket is epoch << kRankBits | rank.
static constexpr int32_t kRankBits = 12;

namespace {
/// What a test leaves out: of one task, or (-1) everywhere.
struct Omission {
  StringRef what;
  int64_t task = -1;
  MemRefType arrivals; // tasks x chiplets
};

/// The places a scope of LLVM stands for.
constexpr StringRef kAgent = "agent", kWorkgroup = "workgroup", kSystem = "";

struct Lowering {
  Emitter &e;
  int64_t pollBudget;
  const Omission &omit;

  /// Whether the event of a wait or a signal is that of the task a test leaves out.
  Value isOmittedTask(Operation *op) {
    int64_t chiplets = omit.arrivals.getDimSize(1);
    int64_t firstOfDevice = omit.arrivals.getNumElements();
    auto wait = dyn_cast<WaitOp>(op);
    Value index = wait ? wait.getIndex() : cast<SignalOp>(op).getIndex();
    TaskScope scope = (wait ? wait.getScope() : cast<SignalOp>(op).getScope()).getValue();
    if (scope == TaskScope::Device)
      return compare(arith::CmpIPredicate::eq, index, e.index(firstOfDevice + omit.task));
    Value task = arith::DivUIOp::create(e.b, e.loc, index, e.index(chiplets));
    return compare(arith::CmpIPredicate::eq, task, e.index(omit.task));
  }
  /// Emits an ordering, unless a test leaves it out.
  void unlessOmitted(StringRef what, Operation *op, function_ref<void()> emit) {
    if (omit.what != what)
      return emit();
    if (omit.task >= 0)
      e.ifThen(arith::XOrIOp::create(e.b, e.loc, isOmittedTask(op), truth(true)), emit);
  }

  Value pointer(Value memref, Value at) {
    auto type = cast<MemRefType>(memref.getType());
    auto space = cast<gpu::AddressSpaceAttr>(type.getMemorySpace()).getValue();
    unsigned number = space == gpu::AddressSpace::Global ? 1 : 3;
    Value address = memref::ExtractAlignedPointerAsIndexOp::create(e.b, e.loc, memref);
    int64_t offset = 0;
    SmallVector<int64_t> strides;
    if (failed(type.getStridesAndOffset(strides, offset)) || offset)
      llvm_unreachable("counters are views without an offset");
    address = e.addIndex(address, e.mulIndex(at, 4));
    Value bits = arith::IndexCastOp::create(e.b, e.loc, e.b.getI64Type(), address);
    return LLVM::IntToPtrOp::create(
        e.b, e.loc, LLVM::LLVMPointerType::get(e.b.getContext(), number), bits);
  }
  void fence(LLVM::AtomicOrdering ordering, StringRef scope) {
    LLVM::FenceOp::create(e.b, e.loc, ordering, scope);
  }
  Value add(Value pointer, StringRef scope) {
    return LLVM::AtomicRMWOp::create(e.b, e.loc, LLVM::AtomicBinOp::add, pointer, e.i32(1),
                                     LLVM::AtomicOrdering::monotonic, scope);
  }
  /// "load atomic monotonic agent: global_load sc1=1": read past the L2.
  Value loadPastL2(Value pointer) {
    return LLVM::LoadOp::create(e.b, e.loc, e.b.getI32Type(), pointer, /*alignment=*/4,
                                /*isVolatile=*/false, /*isNonTemporal=*/false,
                                /*isInvariant=*/false, /*isInvariantGroup=*/false,
                                LLVM::AtomicOrdering::monotonic, kAgent);
  }
  /// "Atomic read-modify-write instructions implicitly bypass the L1": an add of 0
  /// reads where the chiplet's own counters are. It releases, as LLVM makes an ordinary
  /// load, which may hit in the L1, of an add of 0 that does not.
  Value loadInL2(Value pointer) {
    return LLVM::AtomicRMWOp::create(e.b, e.loc, LLVM::AtomicBinOp::add, pointer, e.i32(0),
                                     omit.what == "bypass" ? LLVM::AtomicOrdering::monotonic
                                                           : LLVM::AtomicOrdering::release,
                                     kWorkgroup);
  }
  void waitForVectorMemory() {
    ROCDL::SWaitcntOp::create(e.b, e.loc, e.b.getI32IntegerAttr(kNoVectorMemoryLeft));
  }
  Value compare(arith::CmpIPredicate how, Value x, Value y) {
    return arith::CmpIOp::create(e.b, e.loc, how, x, y);
  }
  Value truth(bool value) { return arith::ConstantIntOp::create(e.b, e.loc, value, 1); }

  /// The XCC_ID register: the only source that says where a workgroup runs.
  Value chipletId() {
    Value which = LLVM::ConstantOp::create(e.b, e.loc, e.b.getI32IntegerAttr(kXccId));
    Value id = LLVM::CallIntrinsicOp::create(e.b, e.loc, e.b.getI32Type(),
                                             e.b.getStringAttr("llvm.amdgcn.s.getreg"),
                                             ValueRange{which})
                   .getResult(0);
    Value chiplet = arith::IndexCastUIOp::create(e.b, e.loc, e.b.getIndexType(), id);
    if (omit.what != "binding")
      return chiplet;
    // A test binds one workgroup to the chiplet next to its own, or all by their numbers.
    Value group = gpu::BlockIdOp::create(e.b, e.loc, gpu::Dimension::x);
    Value other = omit.task < 0 ? group : e.addIndex(chiplet, 1);
    other = arith::RemUIOp::create(e.b, e.loc, other, e.index(omit.arrivals.getDimSize(1)));
    if (omit.task < 0)
      return other;
    Value isChosen = compare(arith::CmpIPredicate::eq, group, e.index(omit.task));
    return arith::SelectOp::create(e.b, e.loc, isChosen, other, chiplet);
  }

  /// A ticket of the workgroup's chiplet. Only workgroups of this chiplet touch
  /// its counter, and "atomic read-modify-write instructions implicitly bypass
  /// the L1": without sc1 they are done in the L2, the chiplet's own memory.
  /// The first arrival of an epoch raises the counter to the epoch's base, so
  /// that ranks start at 0 in every epoch, whatever the number of arrivals was.
  /// With `fleet.present`, all workgroups of the launch come together first: then
  /// the counter says how many of them are on this chiplet.
  Value workerRank(WorkerRankOp op, Value chiplet) {
    auto step = e.b.getInsertionBlock()->getParentOp()->getParentOfType<gpu::GPUFuncOp>();
    if (!step)
      step = cast<gpu::GPUFuncOp>(e.b.getInsertionBlock()->getParentOp());
    auto number = [&](StringRef name) {
      return e.module->getAttrOfType<IntegerAttr>(name).getInt();
    };
    Value work = step.getArgument(2), epoch = step.getArgument(5);
    Value tickets = cpu::viewAt(
        e, work, number("fleet.tickets"),
        MemRefType::get({number("fleet.tickets_size") / 4}, e.b.getI32Type(),
                        MemRefLayoutAttrInterface(),
                        cast<MemRefType>(work.getType()).getMemorySpace()));
    Value told = e.shared("rank", inWorkgroupMemory({1}, e.b.getI32Type()));
    e.forOneThread([&] {
      Value own = pointer(tickets, e.mulIndex(chiplet, number("fleet.tickets_stride") / 4));
      Value base = arith::ShLIOp::create(e.b, e.loc, epoch, e.i32(kRankBits));
      LLVM::AtomicRMWOp::create(e.b, e.loc, LLVM::AtomicBinOp::umax, own, base,
                                LLVM::AtomicOrdering::monotonic, kWorkgroup);
      memref::StoreOp::create(e.b, e.loc, add(own, kWorkgroup), told, e.index(0));
      if (auto present = op->getAttrOfType<FlatSymbolRefAttr>("fleet.present"))
        meet(op, tickets, own, present);
    });
    e.barrier();
    Value rank = arith::AndIOp::create(e.b, e.loc, e.load(told, e.index(0)),
                                       e.i32((1 << kRankBits) - 1));
    rank = gpu::SubgroupBroadcastOp::create(e.b, e.loc, rank.getType(), rank, Value(),
                                            gpu::BroadcastType::first_active_lane);
    return arith::IndexCastUIOp::create(e.b, e.loc, e.b.getIndexType(), rank);
  }

  /// Workgroups of the launch: the first word of the implicit arguments of code
  /// object version 5.
  Value gridSize() {
    auto type = LLVM::LLVMPointerType::get(e.b.getContext(), 4);
    Value implicit = LLVM::CallIntrinsicOp::create(e.b, e.loc, type,
                                                   e.b.getStringAttr("llvm.amdgcn.implicitarg.ptr"),
                                                   ValueRange())
                         .getResult(0);
    return LLVM::LoadOp::create(e.b, e.loc, e.b.getI32Type(), implicit, /*alignment=*/4);
  }

  /// Tells thread 0, by LDS, how many workgroups its chiplet has. The last word of
  /// the tickets counts the arrivals of the whole device. The add of the ticket
  /// has come back before this one is made, so all tickets are taken by the time
  /// that all have arrived; they are read where they are counted, in the L2.
  void meet(WorkerRankOp op, Value tickets, Value own, FlatSymbolRefAttr present) {
    auto step = op->getParentOfType<gpu::GPUFuncOp>();
    int64_t last = cast<MemRefType>(tickets.getType()).getDimSize(0) - 1;
    Value expired = e.shared(op->getAttrOfType<FlatSymbolRefAttr>("fleet.expired").getValue(),
                             inWorkgroupMemory({2}, e.b.getI32Type()));
    Value all = pointer(tickets, e.index(last));
    waitForVectorMemory();
    // As with the tickets, the first arrival of an epoch raises the counter.
    Value base = arith::ShLIOp::create(e.b, e.loc, step.getArgument(5), e.i32(kRankBits));
    LLVM::AtomicRMWOp::create(e.b, e.loc, LLVM::AtomicBinOp::umax, all, base,
                              LLVM::AtomicOrdering::monotonic, kSystem);
    add(all, kSystem);
    Value target = arith::AddIOp::create(e.b, e.loc, base, gridSize());
    Value budget =
        arith::ConstantIntOp::create(e.b, e.loc, std::min<int64_t>(pollBudget, INT32_MAX), 32);
    auto loop = scf::WhileOp::create(
        e.b, e.loc, TypeRange{e.b.getI32Type()}, ValueRange{e.i32(0)},
        [&](OpBuilder &, Location, ValueRange polls) {
          Value left = arith::SubIOp::create(e.b, e.loc, loadPastL2(all), target);
          Value missing = omit.what == "meeting" ? truth(false) : compare(arith::CmpIPredicate::slt, left, e.i32(0));
          Value patient = compare(arith::CmpIPredicate::ult, polls[0], budget);
          scf::ConditionOp::create(e.b, e.loc, arith::AndIOp::create(e.b, e.loc, missing, patient),
                                   polls);
        },
        [&](OpBuilder &, Location, ValueRange polls) {
          ROCDL::SSleepOp::create(e.b, e.loc, e.b.getI32IntegerAttr(kSleep));
          scf::YieldOp::create(e.b, e.loc,
                               arith::AddIOp::create(e.b, e.loc, polls[0], e.i32(1)).getResult());
        });
    // Nobody's task is waited for: the counter before the first.
    e.ifThen(compare(arith::CmpIPredicate::uge, loop.getResult(0), budget), [&] {
      int64_t tasks = op->getAttrOfType<IntegerAttr>("fleet.first").getInt();
      memref::StoreOp::create(e.b, e.loc, e.i32(1), expired, e.index(0));
      memref::StoreOp::create(e.b, e.loc, e.i32(tasks - 1), expired, e.index(1));
    });
    Value count = arith::AndIOp::create(e.b, e.loc, loadInL2(own), e.i32((1 << kRankBits) - 1));
    memref::StoreOp::create(e.b, e.loc, count,
                            e.shared(present.getValue(), inWorkgroupMemory({1}, e.b.getI32Type())),
                            e.index(0));
  }

  /// One thread polls; then "fence acquire agent: buffer_inv sc1 - must happen
  /// before any following global load; ensures that following loads will not see
  /// stale L1 and L2 global data". The workgroup shares the L1 and the L2 that
  /// were invalidated, so the barrier makes it hold for every thread.
  /// LLVM knows no scope between workgroup and agent; for an event of chiplet scope
  /// the same acquire does more than is needed.
  void wait(WaitOp op) {
    e.forOneThread([&] {
      Value counter = pointer(op.getCounters(), op.getIndex());
      bool isDevice = op.getScope().getValue() == TaskScope::Device;
      auto isOver = [&]() -> Value {
        Value now = isDevice ? loadPastL2(counter) : loadInL2(counter);
        Value left = arith::SubIOp::create(e.b, e.loc, now, op.getTarget());
        return compare(arith::CmpIPredicate::sge, left, e.i32(0));
      };
      auto isOverOrOmitted = [&]() -> Value {
        if (omit.what != "wait")
          return isOver();
        return omit.task < 0 ? truth(true) : arith::OrIOp::create(e.b, e.loc, isOver(), isOmittedTask(op));
      };
      auto loadStatus = [&](Value arena, int64_t at) {
        auto type = MemRefType::get({4}, e.b.getI32Type(), MemRefLayoutAttrInterface(),
                                    cast<MemRefType>(arena.getType()).getMemorySpace());
        return loadPastL2(pointer(cpu::viewAt(e, arena, at, type), e.index(0)));
      };
      auto rest = [&] { ROCDL::SSleepOp::create(e.b, e.loc, e.b.getI32IntegerAttr(kSleep)); };
      pollForEvent(e, op, {pollBudget, kLook, isOverOrOmitted, loadStatus, rest});
      unlessOmitted("acquire", op, [&] { fence(LLVM::AtomicOrdering::acquire, kAgent); });
    });
    e.barrier();
  }

  /// To the chiplet: when every wave's stores have left for the L2, one add there.
  /// "The vector memory operations of wavefronts in the same work-group are
  /// performed in order by the L1", but towards the L2 there is a queue per
  /// channel, so each wave drains its own: "s_waitcnt vmcnt(0) is required to
  /// ensure synchronization between vector memory operations of different
  /// work-groups". Nothing is written back: readers of the chiplet share the L2.
  /// Gives the new value in thread 0 and 0 in the others.
  Value signalChiplet(SignalOp op) {
    fence(LLVM::AtomicOrdering::release, kWorkgroup);
    unlessOmitted("drain", op, [&] { waitForVectorMemory(); });
    e.barrier();
    Value isFirst = compare(arith::CmpIPredicate::eq, e.thread(), e.index(0));
    auto only = scf::IfOp::create(
        e.b, e.loc, isFirst,
        [&](OpBuilder &, Location) {
          Value before = add(pointer(op.getCounters(), op.getIndex()), kWorkgroup);
          scf::YieldOp::create(e.b, e.loc,
                               arith::AddIOp::create(e.b, e.loc, before, e.i32(1)).getResult());
        },
        [&](OpBuilder &, Location) { scf::YieldOp::create(e.b, e.loc, e.i32(0)); });
    return only.getResult(0);
  }

  /// To the device, by the thread whose arrival was its chiplet's last: the
  /// stores of all its workgroups are in the L2. "fence release agent:
  /// buffer_wbl2 sc1 - performs L2 writeback to ensure previous global stores
  /// are visible at agent scope", then "s_waitcnt vmcnt(0)", then an add in
  /// memory: sc1, which LLVM sets on a read-modify-write of system scope only.
  /// The wait is said again: LLVM 22 does not count a write-back among the
  /// operations in flight, and drops the fence's own wait where it sees no other.
  Value signalDevice(SignalOp op) {
    unlessOmitted("write-back", op, [&] {
      fence(LLVM::AtomicOrdering::release, kAgent);
      unlessOmitted("write-back-wait", op, [&] { waitForVectorMemory(); });
    });
    Value before = add(pointer(op.getCounters(), op.getIndex()), kSystem);
    return arith::AddIOp::create(e.b, e.loc, before, e.i32(1));
  }
};

struct AMDGPULowerEvents : fleet::impl::AMDGPULowerEventsBase<AMDGPULowerEvents> {
  using AMDGPULowerEventsBase::AMDGPULowerEventsBase;

  LogicalResult parseOmission(Omission &omission) {
    auto [what, task] = StringRef(omit).split('@');
    omission.what = what;
    constexpr StringRef known[] = {"",     "drain",   "write-back", "write-back-wait", "acquire",
                                   "wait", "meeting", "binding",    "bypass"};
    if (!llvm::is_contained(known, what))
      return getOperation().emitError("expected an ordering to omit among drain, write-back, write-back-wait, "
                                      "acquire, wait, meeting, binding and bypass, found ")
             << what;
    if (StringRef(omit).contains('@') && (task.getAsInteger(10, omission.task) || omission.task < 0))
      return getOperation().emitError("expected a number after ") << what << "@, found " << task;
    if (omission.task < 0 && what != "binding")
      return success();
    auto arrivals = getOperation().lookupSymbol<memref::GlobalOp>("arrivals");
    if (!arrivals || arrivals.getType().getRank() != 2)
      return getOperation().emitError("expected a table @arrivals of rank 2, found none");
    omission.arrivals = arrivals.getType();
    return success();
  }

  void runOnOperation() override {
    Omission omission;
    if (failed(parseOmission(omission)))
      return signalPassFailure();
    SmallVector<Operation *> ops;
    getOperation().walk([&](Operation *op) {
      if (isa<ChipletIdOp, WorkerRankOp, WaitOp, SignalOp>(op))
        ops.push_back(op);
    });
    Value chiplet;
    for (Operation *op : ops) {
      OpBuilder builder(op);
      Emitter e(builder, op->getLoc(), getOperation());
      Lowering lowering{e, pollBudget, omission};
      Value result;
      if (isa<ChipletIdOp>(op)) {
        result = chiplet = lowering.chipletId();
      } else if (isa<WorkerRankOp>(op)) {
        result = lowering.workerRank(cast<WorkerRankOp>(op), chiplet ? chiplet : lowering.chipletId());
      } else if (auto wait = dyn_cast<WaitOp>(op)) {
        lowering.wait(wait);
      } else {
        auto signal = cast<SignalOp>(op);
        switch (signal.getScope().getValue()) {
        case TaskScope::Chiplet:
          result = lowering.signalChiplet(signal);
          break;
        case TaskScope::Device:
          result = lowering.signalDevice(signal);
          break;
        default:
          op->emitOpError("expected chiplet or device scope");
          return signalPassFailure();
        }
      }
      if (result)
        op->getResult(0).replaceAllUsesWith(result);
      op->erase();
    }
  }
};
} // namespace
