//===- Driver.cpp - The schedule on one core
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "../KernelTables.h"
#include "Utils.h"

#include "fleet/Conversion/Passes.h"
#include "fleet/IR/Fleet.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"

namespace mlir::fleet {
#define GEN_PASS_DEF_CPUDRIVER
#include "fleet/Conversion/Passes.h.inc"
} // namespace mlir::fleet

using namespace mlir;
using namespace mlir::fleet;
using namespace mlir::fleet::cpu;

/// Drops the fleet memory space of every type below `op`: one core is coherent.
static void dropMemoryScopes(Operation *op) {
  AttrTypeReplacer replacer;
  replacer.addReplacement([](MemRefType type) -> std::optional<Type> {
    if (!isa_and_nonnull<MemoryScopeAttr>(type.getMemorySpace()))
      return std::nullopt;
    return MemRefType::get(type.getShape(), type.getElementType(), type.getLayout());
  });
  replacer.recursivelyReplaceElementsIn(op, /*replaceAttrs=*/true, /*replaceLocs=*/false,
                                        /*replaceTypes=*/true);
  op->walk([](memref::MemorySpaceCastOp cast) {
    cast.replaceAllUsesWith(cast.getSource());
    cast.erase();
  });
}

namespace {
struct CPUDriver : fleet::impl::CPUDriverBase<CPUDriver> {
  void runOnOperation() override;
};

/// Emits @fleet_step.
struct Walk {
  Emitter &e;
  const KernelTables &kernel;
  Value params{}, state{}, work{}, input{}, output{}, epoch{};
  Value next{};                                                   // per worker: its next cu-task
  Value deviceTasks{}, cuTasks{}, queues{}, waits{}, arrivals{};  // tables
  Value counters{};

  Value table(memref::GlobalOp global) {
    return memref::GetGlobalOp::create(e.b, e.loc, global.getType(), global.getSymName());
  }
  Value boolean(bool value) { return arith::ConstantIntOp::create(e.b, e.loc, value, 1); }
  Value entry(Value table, ValueRange at) { return e.toIndex(e.load(table, at)); }
  Value compare(arith::CmpIPredicate how, Value x, Value y) {
    return arith::CmpIOp::create(e.b, e.loc, how, x, y);
  }
  /// `condition ? then() : otherwise`
  Value choose(Value condition, function_ref<Value()> then, Value otherwise) {
    auto op = scf::IfOp::create(e.b, e.loc, otherwise.getType(), condition, /*withElse=*/true);
    OpBuilder::InsertionGuard guard(e.b);
    e.b.setInsertionPointToStart(op.thenBlock());
    scf::YieldOp::create(e.b, e.loc, then());
    e.b.setInsertionPointToStart(op.elseBlock());
    scf::YieldOp::create(e.b, e.loc, otherwise);
    return op.getResult(0);
  }
  Value deviceCounterIndex(Value task) {
    return e.addIndex(task, kernel.tasks * kernel.chiplets);
  }

  /// The first task waited for that is not done, or -1.
  Value missing(Value worker, Value cuTask) {
    Value chiplet = arith::DivUIOp::create(e.b, e.loc, worker, e.index(kernel.workersOfChiplet()));
    Value task = entry(cuTasks, {cuTask, e.index(0)});
    Value begin = entry(deviceTasks, {task, e.index(1)});
    Value end = entry(deviceTasks, {task, e.index(2)});
    return e.loop(begin, end, 1, {e.index(-1)},
                  [&](Value i, ValueRange carried) -> SmallVector<Value> {
                    // -1 - t: the part of task t on the worker's own chiplet.
                    Value given = entry(waits, i);
                    Value isOwn = compare(arith::CmpIPredicate::slt, given, e.index(0));
                    Value waited = arith::SelectOp::create(
                        e.b, e.loc, isOwn, arith::SubIOp::create(e.b, e.loc, e.index(-1), given), given);
                    Value chiplets = e.i32(0);
                    for (int64_t c = 0; c < kernel.chiplets; ++c) {
                      Value count = e.load(arrivals, {waited, e.index(c)});
                      Value takesPart = compare(arith::CmpIPredicate::sgt, count, e.i32(0));
                      chiplets = arith::AddIOp::create(
                          e.b, e.loc, chiplets,
                          arith::ExtUIOp::create(e.b, e.loc, e.b.getI32Type(), takesPart));
                    }
                    Value own = e.addIndex(e.mulIndex(waited, kernel.chiplets), chiplet);
                    Value parts = arith::SelectOp::create(e.b, e.loc, isOwn, e.load(arrivals, {waited, chiplet}), chiplets);
                    Value target = arith::MulIOp::create(e.b, e.loc, parts, epoch);
                    Value count = e.load(
                        counters, arith::SelectOp::create(e.b, e.loc, isOwn, own, deviceCounterIndex(waited)).getResult());
                    Value done = compare(arith::CmpIPredicate::sge, count, target);
                    Value isFirst = compare(arith::CmpIPredicate::slt, carried[0], e.index(0));
                    Value found = arith::SelectOp::create(e.b, e.loc, done, e.index(-1), waited);
                    return {arith::SelectOp::create(e.b, e.loc, isFirst, found, carried[0])};
                  })[0];
  }

  Value increment(Value at) {
    Value value = arith::AddIOp::create(e.b, e.loc, e.load(counters, at), e.i32(1));
    memref::StoreOp::create(e.b, e.loc, value, counters, at);
    return value;
  }

  void run(Value worker, Value cuTask) {
    Value task = entry(cuTasks, {cuTask, e.index(0)});
    Value lo = entry(cuTasks, {cuTask, e.index(1)}), hi = entry(cuTasks, {cuTask, e.index(2)});
    func::CallOp::create(e.b, e.loc, kernel.dispatch,
                         ValueRange{params, state, work, input, output, task, lo, hi, worker});
    Value chiplet =
        arith::DivUIOp::create(e.b, e.loc, worker, e.index(kernel.workersOfChiplet()));
    Value arrived = increment(e.addIndex(e.mulIndex(task, kernel.chiplets), chiplet));
    Value last = arith::MulIOp::create(e.b, e.loc, e.load(arrivals, {task, chiplet}), epoch);
    e.ifThen(compare(arith::CmpIPredicate::eq, arrived, last),
             [&] { increment(deviceCounterIndex(task)); });
    memref::StoreOp::create(e.b, e.loc, e.addIndex(cuTask, 1), next, worker);
  }

  Value hasNext(Value worker, Value cuTask) {
    Value end = entry(queues, e.addIndex(worker, 1));
    return compare(arith::CmpIPredicate::slt, cuTask, end);
  }

  /// Every worker goes as far as it can; true if one did anything.
  Value sweep() {
    return e.loop(
        e.index(0), e.index(kernel.workers), 1, {boolean(false)},
        [&](Value worker, ValueRange carried) -> SmallVector<Value> {
          auto loop = scf::WhileOp::create(
              e.b, e.loc, TypeRange{e.b.getI1Type()}, ValueRange{carried[0]},
              [&](OpBuilder &, Location, ValueRange arguments) {
                Value cuTask = e.load(next, worker);
                Value ready = choose(
                    hasNext(worker, cuTask),
                    [&] {
                      return compare(arith::CmpIPredicate::slt, missing(worker, cuTask), e.index(0));
                    },
                    boolean(false));
                scf::ConditionOp::create(e.b, e.loc, ready, arguments);
              },
              [&](OpBuilder &, Location, ValueRange) {
                run(worker, e.load(next, worker));
                scf::YieldOp::create(e.b, e.loc, boolean(true));
              });
          return {loop.getResult(0)};
        })[0];
  }

  void reportStatus() {
    Value status =
        viewAt(e, output, kernel.status, MemRefType::get({4}, e.b.getI32Type()));
    for (int64_t i = 0; i < 4; ++i)
      memref::StoreOp::create(e.b, e.loc, e.i32(0), status, e.index(i));
    e.loop(e.index(0), e.index(kernel.workers), 1, {}, [&](Value worker, ValueRange) {
      Value cuTask = e.load(next, worker);
      Value isFirst =
          compare(arith::CmpIPredicate::eq, e.load(status, e.index(0)), e.i32(0));
      Value blocked = arith::AndIOp::create(e.b, e.loc, isFirst, hasNext(worker, cuTask));
      e.ifThen(blocked, [&] {
        auto store = [&](Value value, int64_t i) {
          if (value.getType().isIndex())
            value = arith::IndexCastOp::create(e.b, e.loc, e.b.getI32Type(), value);
          memref::StoreOp::create(e.b, e.loc, value, status, e.index(i));
        };
        store(e.i32(1), 0);
        store(worker, 1);
        store(missing(worker, cuTask), 2);
        store(epoch, 3);
      });
      return SmallVector<Value>();
    });
  }

  void emit() {
    deviceTasks = table(kernel.deviceTasks);
    cuTasks = table(kernel.cuTasks);
    queues = table(kernel.queues);
    waits = table(kernel.waits);
    arrivals = table(kernel.arrivals);
    next = e.stack(MemRefType::get({kernel.workers}, e.b.getIndexType()));
    counters = viewAt(e, work, kernel.counters,
                      MemRefType::get({kernel.tasks * (kernel.chiplets + 1)}, e.b.getI32Type()));
    e.loop(kernel.workers, 1, [&](Value worker) {
      memref::StoreOp::create(e.b, e.loc, entry(queues, worker), next, worker);
    });
    scf::WhileOp::create(
        e.b, e.loc, TypeRange{}, ValueRange{},
        [&](OpBuilder &, Location, ValueRange) {
          scf::ConditionOp::create(e.b, e.loc, sweep(), ValueRange());
        },
        [&](OpBuilder &, Location, ValueRange) { scf::YieldOp::create(e.b, e.loc); });
    reportStatus();
  }
};
} // namespace

void CPUDriver::runOnOperation() {
  ModuleOp module = getOperation();
  auto gpuModules = llvm::to_vector(module.getOps<gpu::GPUModuleOp>());
  if (gpuModules.size() != 1) {
    module.emitError() << "expected one gpu.module, found " << gpuModules.size();
    return signalPassFailure();
  }
  gpu::GPUModuleOp gpuModule = gpuModules.front();
  for (auto function : llvm::make_early_inc_range(gpuModule.getOps<gpu::GPUFuncOp>()))
    function.erase();
  dropMemoryScopes(gpuModule);
  KernelTables kernel;
  if (failed(readTables(gpuModule, kernel)))
    return signalPassFailure();

  // The kernel becomes the module: the host's plan is for the packager alone.
  for (Operation &op : llvm::make_early_inc_range(*module.getBody()))
    if (&op != gpuModule)
      op.erase();
  for (Operation &op : llvm::make_early_inc_range(*gpuModule.getBody())) {
    if (op.hasTrait<OpTrait::IsTerminator>())
      continue;
    op.moveBefore(module.getBody(), module.getBody()->end());
    if (auto function = dyn_cast<func::FuncOp>(op)) {
      function.setPrivate();
      if (function != kernel.dispatch)
        function->setAttr("fleet.body", UnitAttr::get(&getContext()));
    }
  }
  gpuModule.erase();

  OpBuilder builder = OpBuilder::atBlockEnd(module.getBody());
  Emitter e{builder, module.getLoc()};
  auto arena = MemRefType::get({ShapedType::kDynamic}, builder.getI8Type());
  SmallVector<Type> arguments(5, arena);
  arguments.push_back(builder.getI32Type());
  auto step = func::FuncOp::create(builder, e.loc, "fleet_step",
                                   builder.getFunctionType(arguments, {}));
  builder.setInsertionPointToStart(step.addEntryBlock());
  auto end = func::ReturnOp::create(builder, e.loc);
  builder.setInsertionPoint(end);
  Walk walk{e, kernel};
  walk.params = step.getArgument(0);
  walk.state = step.getArgument(1);
  walk.work = step.getArgument(2);
  walk.input = step.getArgument(3);
  walk.output = step.getArgument(4);
  walk.epoch = step.getArgument(5);
  walk.emit();
}
