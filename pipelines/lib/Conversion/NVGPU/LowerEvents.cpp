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

#include "../KernelTables.h"
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
/// Words that a thread asks for at once: two registers each.
static constexpr int64_t kMostAtOnce = 24;
/// Words of a thread that all are asked for again while some have not come. Of more, which all workers
/// wait for, that would take as much of the L2 as the stream of the weights does.
static constexpr int64_t kMostPolled = 12;

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

  /// A word of shared memory that the walk keeps.
  Value shared(StringRef name) { return e.load(e.shared(name, inWorkgroupMemory({1}, e.b.getI32Type())), e.index(0)); }
  Value toI64(Value word) { return arith::ExtUIOp::create(e.b, e.loc, e.b.getI64Type(), word); }
  Value i64(int64_t value) { return arith::ConstantIntOp::create(e.b, e.loc, value, 64); }
  Value toI32(Value word) { return arith::TruncIOp::create(e.b, e.loc, e.b.getI32Type(), word); }
  /// Where word `i` of a buffer stands, and from which element on its values do in `values`.
  std::pair<Value, SmallVector<Value>> placeOf(Value i, Value words, Value values) {
    SmallVector<Value> at = e.delinearize(i, cast<MemRefType>(words.getType()).getShape());
    Value pointer = pointerToElement(e, words, at);
    at.back() = e.mulIndex(at.back(), valuesOf(values));
    return {pointer, at};
  }
  /// Values of a word.
  int64_t valuesOf(Value values) { return 32 / cast<MemRefType>(values.getType()).getElementTypeBitWidth(); }

  /// One store of 8 bytes, value and number together: single-copy atomic, so that
  /// who reads the number has the value, whatever else is ordered how.
  void publish(PublishOp op) {
    Value words = op.getWords(), values = op.getFrom();
    Value number = arith::ShLIOp::create(e.b, e.loc, toI64(shared(kStepNumber)), i64(32));
    // A worker that has given up has no results.
    Value isRight = compare(arith::CmpIPredicate::eq, shared(kLate), e.i32(0));
    e.ifThen(isRight, [&] {
      e.forThreads(cast<MemRefType>(words.getType()).getNumElements(), [&](Value i) {
        auto [pointer, at] = placeOf(i, words, values);
        Value four = vector::BitCastOp::create(e.b, e.loc, VectorType::get({1}, e.b.getI32Type()),
                                               e.loadRaw(values, at, valuesOf(values)));
        Value bits = vector::ExtractOp::create(e.b, e.loc, four, int64_t(0));
        Value word = arith::OrIOp::create(e.b, e.loc, toI64(bits), number);
        LLVM::StoreOp::create(e.b, e.loc, word, pointer, /*alignment=*/8, /*isVolatile=*/false,
                              /*isNonTemporal=*/false, /*isInvariantGroup=*/false, LLVM::AtomicOrdering::monotonic,
                              kDevice);
      });
    });
    e.barrier();
  }

  Value loadWord(Value pointer) {
    return LLVM::LoadOp::create(e.b, e.loc, e.b.getI64Type(), pointer, /*alignment=*/8, /*isVolatile=*/false,
                                /*isNonTemporal=*/false, /*isInvariant=*/false, /*isInvariantGroup=*/false,
                                LLVM::AtomicOrdering::monotonic, kDevice);
  }
  /// i32: not 0 where a word carries another number.
  Value differ(Value word, Value number) {
    return arith::XOrIOp::create(e.b, e.loc, toI32(arith::ShRUIOp::create(e.b, e.loc, word, i64(32))), number);
  }
  Value isMissing(Value differ) { return compare(arith::CmpIPredicate::ne, differ, e.i32(0)); }
  /// Ends a look that `passed` to what follows, and then polls and whether to give up: goes on where something is
  /// missing.
  void endLook(Value missing, ValueRange passed, ValueRange carried) {
    Value yes = arith::ConstantIntOp::create(e.b, e.loc, true, 1);
    Value patient = arith::XOrIOp::create(e.b, e.loc, carried[1], yes);
    SmallVector<Value> state(passed);
    llvm::append_range(state, carried);
    scf::ConditionOp::create(e.b, e.loc, arith::AndIOp::create(e.b, e.loc, missing, patient), state);
  }
  void endPoll(Value before) {
    Value polls = arith::AddIOp::create(e.b, e.loc, before, e.i32(1));
    Value tired = compare(arith::CmpIPredicate::uge, polls, e.i32(std::min<int64_t>(pollBudget, INT32_MAX)));
    scf::YieldOp::create(e.b, e.loc, ValueRange{polls, tired});
  }

  /// Asks for the words at `pointers`, all at once, until all carry the number of
  /// the step. Gives their lower halves (i32).
  SmallVector<Value> await(ArrayRef<Value> pointers) {
    Type i32 = e.b.getI32Type(), i1 = e.b.getI1Type();
    size_t count = pointers.size();
    Value number = shared(kStepNumber), gaveUp = compare(arith::CmpIPredicate::ne, shared(kLate), e.i32(0));
    SmallVector<Type> types(count, e.b.getI64Type());
    bool isMany = int64_t(count) > kMostPolled;
    if (isMany)
      types.push_back(pointers[0].getType());
    types.append({i32, i1});
    // Carried: polls, whether to give up.
    auto loop = scf::WhileOp::create(
        e.b, e.loc, types, ValueRange{e.i32(0), gaveUp},
        [&](OpBuilder &, Location, ValueRange carried) {
          SmallVector<Value> passed;
          for (Value pointer : pointers)
            passed.push_back(loadWord(pointer));
          Value all, missing;
          for (auto [pointer, word] : llvm::zip_equal(pointers, ArrayRef<Value>(passed))) {
            Value own = differ(word, number);
            all = all ? arith::OrIOp::create(e.b, e.loc, all, own) : own;
            if (isMany)
              missing = missing ? arith::SelectOp::create(e.b, e.loc, isMissing(own), pointer, missing) : pointer;
          }
          if (isMany)
            passed.push_back(missing);
          endLook(isMissing(all), passed, carried);
        },
        [&](OpBuilder &, Location, ValueRange carried) {
          Value polls = carried[carried.size() - 2];
          if (!isMany)
            return endPoll(polls);
          // All workers ask for so many words: again for the last that was missing, until it has come.
          Value no = arith::ConstantIntOp::create(e.b, e.loc, false, 1);
          auto one = scf::WhileOp::create(
              e.b, e.loc, TypeRange{i32, i1}, ValueRange{polls, no},
              [&](OpBuilder &, Location, ValueRange inner) {
                endLook(isMissing(differ(loadWord(carried[count]), number)), {}, inner);
              },
              [&](OpBuilder &, Location, ValueRange inner) { endPoll(inner[0]); });
          scf::YieldOp::create(e.b, e.loc, one.getResults());
        });
    e.ifThen(loop.getResults().back(), [&] {
      Value late = e.shared(kLate, inWorkgroupMemory({1}, i32));
      memref::StoreOp::create(e.b, e.loc, e.i32(1), late, e.index(0));
    });
    SmallVector<Value> values;
    for (Value word : loop.getResults().take_front(count))
      values.push_back(toI32(word));
    return values;
  }

  /// Brings words `first` to `last`, as many to each thread, or one fewer.
  void bring(ReceiveOp op, int64_t first, int64_t last) {
    int64_t threads = e.workgroup.threads;
    SmallVector<Value> pointers, isThere;
    SmallVector<SmallVector<Value>> places;
    for (int64_t i = first; i < last; i += threads) {
      Value own = e.addIndex(e.thread(), i);
      isThere.push_back(Value());
      if (i + threads > last && last > threads) {
        // Past the end the last word again: all are asked for together.
        isThere.back() = compare(arith::CmpIPredicate::ult, own, e.index(last));
        own = arith::MinUIOp::create(e.b, e.loc, own, e.index(last - 1));
      }
      auto [pointer, at] = placeOf(own, op.getWords(), op.getTo());
      pointers.push_back(pointer);
      places.push_back(at);
    }
    auto type = VectorType::get({valuesOf(op.getTo())}, cast<MemRefType>(op.getTo().getType()).getElementType());
    SmallVector<Value> taken = await(pointers);
    for (size_t i = 0; i < taken.size(); ++i) {
      auto store = [&] {
        Value bits = vector::FromElementsOp::create(e.b, e.loc, VectorType::get({1}, e.b.getI32Type()), taken[i]);
        e.storeRaw(vector::BitCastOp::create(e.b, e.loc, type, bits), op.getTo(), places[i]);
      };
      if (isThere[i])
        e.ifThen(isThere[i], store);
      else
        store();
    }
  }

  void take(TakeOp op) {
    auto type = cast<VectorType>(op.getType());
    SmallVector<Value> pointers, values, at(op.getIndices());
    for (int64_t i = 0; i < type.getNumElements(); ++i) {
      pointers.push_back(pointerToElement(e, op.getWords(), at));
      at.back() = e.addIndex(at.back(), 1);
    }
    for (Value word : await(pointers))
      values.push_back(arith::BitcastOp::create(e.b, e.loc, e.b.getF32Type(), word));
    op.replaceAllUsesWith(vector::FromElementsOp::create(e.b, e.loc, type, values).getResult());
  }

  /// Every thread waits for its own words: nothing else is published by them, so that no order
  /// between them is needed. The barrier is that of shared memory.
  void receive(ReceiveOp op) {
    int64_t count = cast<MemRefType>(op.getWords().getType()).getNumElements(), threads = e.workgroup.threads;
    if (count < threads)
      e.ifThen(compare(arith::CmpIPredicate::ult, e.thread(), e.index(count)), [&] { bring(op, 0, count); });
    else
      for (int64_t done = 0; done < count; done += kMostAtOnce * threads)
        bring(op, done, std::min(count, done + kMostAtOnce * threads));
    if (!op->hasAttr(kUnsynced))
      e.barrier();
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
      if (isa<WaitOp, SignalOp, ChipletIdOp, WorkerRankOp, PublishOp, ReceiveOp, TakeOp>(op))
        ops.push_back(op);
    });
    for (Operation *op : ops) {
      OpBuilder builder(op);
      Emitter e(builder, op->getLoc(), module);
      Lowering lowering{e, pollBudget, perChiplet};
      if (auto wait = dyn_cast<WaitOp>(op)) {
        lowering.wait(wait);
      } else if (auto publish = dyn_cast<PublishOp>(op)) {
        lowering.publish(publish);
      } else if (auto receive = dyn_cast<ReceiveOp>(op)) {
        lowering.receive(receive);
      } else if (auto take = dyn_cast<TakeOp>(op)) {
        lowering.take(take);
      } else if (auto signal = dyn_cast<SignalOp>(op)) {
        bool isChiplet = signal.getScope().getValue() == TaskScope::Chiplet;
        op->getResult(0).replaceAllUsesWith(isChiplet ? lowering.signalChiplet(signal) : lowering.signalDevice(signal));
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
