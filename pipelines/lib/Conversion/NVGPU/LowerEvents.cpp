//===- LowerEvents.cpp - All memory ordering of the NVIDIA kernel
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The rules are those of the PTX ISA's "Memory Consistency Model". All of a
// device shares one coherent L2, so chiplet and device scope are both `gpu`
// scope; L1 is not coherent, which acquire patterns take care of.
//
//===----------------------------------------------------------------------===//

#include "PTX.h"

#include "fleet/Conversion/NVGPUPasses.h"
#include "fleet/IR/Fleet.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

namespace mlir::fleet {
#define GEN_PASS_DEF_NVGPULOWEREVENTS
#include "fleet/Conversion/NVGPUPasses.h.inc"
} // namespace mlir::fleet

using namespace mlir;
using namespace mlir::fleet;
using namespace mlir::fleet::gpugen;
using namespace mlir::fleet::nv;

/// LLVM's name of PTX's `gpu` scope.
static constexpr StringRef kDevice = "device";
/// The barrier of the threads that walk the queue; 0 is that of all threads.
static constexpr int32_t kWalkBarrier = 1;
/// Polls between two looks at the status: has another worker given up?
static constexpr int32_t kLook = 1024;

namespace {
struct Lowering {
  Emitter &e;
  int64_t pollBudget, perChiplet;

  Value counter(Value counters, Value index) { return pointerTo(e, counters, e.mulIndex(index, 4)); }
  Value compare(arith::CmpIPredicate how, Value x, Value y) { return arith::CmpIOp::create(e.b, e.loc, how, x, y); }
  Value load(Value pointer, LLVM::AtomicOrdering ordering) {
    return LLVM::LoadOp::create(e.b, e.loc, e.b.getI32Type(), pointer, /*alignment=*/4, /*isVolatile=*/false,
                                /*isNonTemporal=*/false, /*isInvariant=*/false, /*isInvariantGroup=*/false, ordering,
                                kDevice);
  }
  /// A release pattern: `fence.acq_rel.gpu`, then a relaxed add. Written out,
  /// since LLVM's NVPTX drops the ordering of an atomicrmw. The fence is an
  /// acquire too: of what the thread has read, by which it became the last.
  Value release(Value pointer) {
    LLVM::FenceOp::create(e.b, e.loc, LLVM::AtomicOrdering::acq_rel, kDevice);
    return LLVM::AtomicRMWOp::create(e.b, e.loc, LLVM::AtomicBinOp::add, pointer, e.i32(1),
                                     LLVM::AtomicOrdering::monotonic, kDevice);
  }

  /// A workgroup's place: here all chiplets are one die, and a workgroup's
  /// number says nothing that another one could contradict.
  Value block() { return gpu::BlockIdOp::create(e.b, e.loc, gpu::Dimension::x); }
  Value chipletId() { return arith::DivUIOp::create(e.b, e.loc, block(), e.index(perChiplet)); }
  Value workerRank() { return arith::RemUIOp::create(e.b, e.loc, block(), e.index(perChiplet)); }

  /// One thread polls with `ld.acquire.gpu`. An acquire pattern "makes prior
  /// operations from other threads visible to subsequent operations of the
  /// current thread"; the barrier after it "guarantees ... ordering among the
  /// participating threads", and causality order is transitive over both.
  void wait(WaitOp op) {
    e.forOneThread([&] {
      Value own = counter(op.getCounters(), op.getIndex());
      // Counters may wrap round: it is the difference that counts.
      auto isOver = [&]() -> Value {
        Value left = arith::SubIOp::create(e.b, e.loc, load(own, LLVM::AtomicOrdering::acquire), op.getTarget());
        return compare(arith::CmpIPredicate::sge, left, e.i32(0));
      };
      auto loadStatus = [&](Value arena, int64_t at) {
        return load(pointerTo(e, arena, e.index(at)), LLVM::AtomicOrdering::monotonic);
      };
      pollForEvent(e, op, {pollBudget, kLook, isOver, loadStatus, /*rest=*/[] {}});
    });
    e.barrier();
  }

  /// The barrier orders the stores of all threads before the one thread's
  /// release, which is cumulative over them. Gives the new value in thread 0 and
  /// 0 in the others.
  Value signalChiplet(SignalOp op) {
    e.barrier();
    Value isFirst = compare(arith::CmpIPredicate::eq, e.thread(), e.index(0));
    auto only = scf::IfOp::create(
        e.b, e.loc, isFirst,
        [&](OpBuilder &, Location) {
          Value before = release(counter(op.getCounters(), op.getIndex()));
          scf::YieldOp::create(e.b, e.loc, arith::AddIOp::create(e.b, e.loc, before, e.i32(1)).getResult());
        },
        [&](OpBuilder &, Location) { scf::YieldOp::create(e.b, e.loc, e.i32(0)); });
    return only.getResult(0);
  }

  /// By the thread whose arrival was its chiplet's last: it publishes what the
  /// others of the chiplet released, too.
  Value signalDevice(SignalOp op) {
    Value before = release(counter(op.getCounters(), op.getIndex()));
    return arith::AddIOp::create(e.b, e.loc, before, e.i32(1));
  }
};

struct NVGPULowerEvents : mlir::fleet::impl::NVGPULowerEventsBase<NVGPULowerEvents> {
  using NVGPULowerEventsBase::NVGPULowerEventsBase;

  void runOnOperation() override {
    gpu::GPUModuleOp module = getOperation();
    auto queues = module.lookupSymbol<memref::GlobalOp>("queues");
    auto arrivals = module.lookupSymbol<memref::GlobalOp>("arrivals");
    if (!queues || !arrivals || arrivals.getType().getRank() != 2 || arrivals.getType().getDimSize(1) < 1) {
      module.emitError("expected the tables @queues and @arrivals, found neither or one");
      return signalPassFailure();
    }
    int64_t perChiplet = (queues.getType().getDimSize(0) - 1) / arrivals.getType().getDimSize(1);
    SmallVector<Operation *> ops;
    module.walk([&](Operation *op) {
      if (isa<WaitOp, SignalOp, ChipletIdOp, WorkerRankOp>(op))
        ops.push_back(op);
    });
    for (Operation *op : ops) {
      OpBuilder builder(op);
      Emitter e(builder, op->getLoc(), module);
      Lowering lowering{e, pollBudget, perChiplet};
      if (auto wait = dyn_cast<WaitOp>(op)) {
        lowering.wait(wait);
      } else if (auto signal = dyn_cast<SignalOp>(op)) {
        bool isChiplet = signal.getScope().getValue() == TaskScope::Chiplet;
        op->getResult(0).replaceAllUsesWith(isChiplet ? lowering.signalChiplet(signal)
                                                      : lowering.signalDevice(signal));
      } else {
        op->getResult(0).replaceAllUsesWith(isa<ChipletIdOp>(op) ? lowering.chipletId() : lowering.workerRank());
      }
      op->erase();
    }
    // The producer warp has no part in the barriers of the walk.
    SmallVector<Operation *> rest;
    module.walk([&](Operation *op) {
      if (isa<gpu::BarrierOp, gpu::SubgroupBroadcastOp, memref::PrefetchOp>(op))
        rest.push_back(op);
    });
    for (Operation *op : rest) {
      OpBuilder builder(op);
      Emitter e(builder, op->getLoc(), module);
      if (isa<gpu::BarrierOp>(op))
        nv::barrier(e, kWalkBarrier, e.workgroup.threads);
      else if (auto prefetch = dyn_cast<memref::PrefetchOp>(op))
        nv::prefetch(e, prefetch.getMemref(), prefetch.getIndices());
      else // of values that are uniform already: an NVIDIA chip keeps no scalars apart
        op->getResult(0).replaceAllUsesWith(op->getOperand(0));
      op->erase();
    }
  }
};
} // namespace
