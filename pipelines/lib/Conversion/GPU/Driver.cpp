//===- Driver.cpp - The persistent kernel
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "../KernelTables.h"
#include "Utils.h"

#include "fleet/Conversion/GPUPasses.h"
#include "fleet/IR/Fleet.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "llvm/ADT/BitVector.h"
#include "llvm/Support/MathExtras.h"

namespace mlir::fleet {
#define GEN_PASS_DEF_GPUDRIVER
#include "fleet/Conversion/GPUPasses.h.inc"
} // namespace mlir::fleet

using namespace mlir;
using namespace mlir::fleet;
using namespace mlir::fleet::gpugen;

/// Cycle counts of a cu task: reached, events over, body done, signalled.
static constexpr int64_t kStamps = 4;
static constexpr StringRef kArenas[] = {"params", "state", "work", "input", "output"};

namespace {
struct Kernel : KernelTables {
  gpu::GPUModuleOp module;
  memref::GlobalOp producers;
  /// Null where no results come flagged.
  memref::GlobalOp flagged;
  int64_t scratch = 0, scratchStride = 0;
  /// One L2 for all: the counter of a task's only chiplet is that of the device.
  bool isFlat = false;
  /// The tables that a walk reads between an event and its task are in LDS, as
  /// an acquire empties the L1.
  bool cachesTables = false;
  /// A chiplet may have fewer workgroups than workers: each takes several queues.
  bool mergesQueues = false;
  /// Some waits are for the part of a task on the own chiplet.
  bool hasOwn = false;
  /// Entries of the longest queue.
  int64_t longest = 0;
  /// Steps that one launch may take, each with the tokens of the one before; 1: no such loop.
  int64_t mostSteps = 1;
  /// The last task is cut by rows: each worker feeds its own.
  bool isLastCut = false;
  /// Bytes in the arenas input and output that this takes.
  int64_t tokens = 0, positions = 0, outRows = 0, ids = 0, history = 0, rows = 0;
  /// Where in the work arena each cu task leaves its stamps, if it does.
  std::optional<int64_t> stamps;
};

struct GPUDriver : fleet::impl::GPUDriverBase<GPUDriver> {
  using GPUDriverBase::GPUDriverBase;

  void runOnOperation() override;
  FailureOr<Kernel> findKernel(gpu::GPUModuleOp module, DictionaryAttr arenas);
  LogicalResult placeMemory(Kernel &kernel, DictionaryAttr arenas, int64_t lds);
  void addProducers(Kernel &kernel);
  LogicalResult planSteps(Kernel &kernel, DictionaryAttr &arenas);
};
} // namespace

FailureOr<Kernel> GPUDriver::findKernel(gpu::GPUModuleOp module, DictionaryAttr arenas) {
  Kernel kernel;
  kernel.module = module;
  if (failed(readTables(module, kernel)) || failed(readNumber(module, "fleet.scratch", kernel.scratch)) ||
      failed(readNumber(module, "fleet.scratch_stride", kernel.scratchStride)))
    return failure();
  kernel.flagged = module.lookupSymbol<memref::GlobalOp>(kFlaggedTable);
  for (StringRef name : kArenas)
    if (auto size = arenas.getAs<IntegerAttr>(name); !size || size.getInt() < 0)
      return module.emitError() << "expected the size of the arena '" << name << "' in the manifest", failure();
  return kernel;
}

/// Gives every memref its address space, the arenas their size, and the bodies'
/// scratch a place in LDS.
LogicalResult GPUDriver::placeMemory(Kernel &kernel, DictionaryAttr arenas, int64_t lds) {
  MLIRContext *context = &getContext();
  if (kernel.scratchStride > lds)
    return kernel.module.emitError()
           << "expected bodies with at most " << lds << " bytes of scratch, the lds of a worker, found "
           << kernel.scratchStride << ": choose a smaller number of rows per step";
  auto space = [&](gpu::AddressSpace value) { return gpu::AddressSpaceAttr::get(context, value); };
  AttrTypeReplacer replacer;
  replacer.addReplacement([&](MemRefType type) -> std::optional<Type> {
    auto scope = dyn_cast_or_null<MemoryScopeAttr>(type.getMemorySpace());
    bool isLds = scope && scope.getValue() == MemoryScope::Lds;
    return MemRefType::get(type.getShape(), type.getElementType(), type.getLayout(),
                           space(isLds ? gpu::AddressSpace::Workgroup : gpu::AddressSpace::Global));
  });
  replacer.recursivelyReplaceElementsIn(kernel.module, /*replaceAttrs=*/true,
                                        /*replaceLocs=*/false, /*replaceTypes=*/true);

  // A kernel argument is a plain pointer only if its size is known.
  func::FuncOp dispatch = kernel.dispatch;
  SmallVector<Type> types(dispatch.getArgumentTypes());
  for (auto [i, name] : llvm::enumerate(kArenas)) {
    int64_t size = arenas.getAs<IntegerAttr>(name).getInt();
    types[i] = MemRefType::get({std::max<int64_t>(size, 1)},
                               IntegerType::get(context, 8), MemRefLayoutAttrInterface(),
                               space(gpu::AddressSpace::Global));
    dispatch.getArgument(i).setType(types[i]);
  }
  dispatch.setFunctionType(FunctionType::get(context, types, {}));

  OpBuilder builder(dispatch.getBody());
  Emitter e(builder, dispatch.getLoc(), kernel.module);
  Value scratch =
      e.shared(kScratchBuffer, inWorkgroupMemory({kernel.scratchStride}, builder.getI8Type()));
  dispatch.walk([&](memref::MemorySpaceCastOp cast) {
    builder.setInsertionPoint(cast);
    cast.replaceAllUsesWith(cpu::viewAt(e, scratch, 0, llvm::cast<MemRefType>(cast.getType())));
    cast.erase();
  });
  return success();
}

/// Whether a device task waits for the part of another on its own chiplet: -1 - t in @waits. The table
/// of a kernel that waits for nothing has one entry that no task points to.
static bool hasOwnWaits(Kernel &kernel) {
  auto waits = kernel.valuesOf(kernel.waits), tasks = kernel.valuesOf(kernel.deviceTasks);
  int64_t width = kernel.deviceTasks.getType().getDimSize(1);
  for (int64_t task = 0; task < kernel.tasks; ++task)
    for (int64_t i = tasks[task * width + 1]; i < tasks[task * width + 2]; ++i)
      if (waits[i] < 0)
        return true;
  return false;
}

/// @producers: how many arrivals a device task's counter sees (0: nobody looks), one for each chiplet
/// that takes part; with flat events one for each cu task.
void GPUDriver::addProducers(Kernel &kernel) {
  OpBuilder builder(kernel.arrivals);
  auto arrivals = kernel.valuesOf(kernel.arrivals);
  std::vector<int32_t> producers(kernel.tasks);
  for (auto [i, count] : llvm::enumerate(arrivals))
    producers[i / kernel.chiplets] += flatEvents ? count : count > 0;
  kernel.hasOwn = hasOwnWaits(kernel);
  if (kernel.hasOwn) {
    auto waits = kernel.valuesOf(kernel.waits);
    llvm::BitVector published(kernel.tasks);
    published.set(kernel.tasks - 1); // what follows the step waits for its last task
    for (int32_t task : waits)
      if (task >= 0 && task < kernel.tasks)
        published.set(task);
    for (int64_t task = 0; task < kernel.tasks; ++task)
      if (!published.test(task))
        producers[task] = 0;
  }
  auto value = DenseElementsAttr::get(
      RankedTensorType::get({kernel.tasks}, builder.getI32Type()), ArrayRef<int32_t>(producers));
  auto type = MemRefType::get({kernel.tasks}, builder.getI32Type(), MemRefLayoutAttrInterface(),
                              kernel.arrivals.getType().getMemorySpace());
  kernel.producers =
      memref::GlobalOp::create(builder, kernel.arrivals.getLoc(), "producers",
                               builder.getStringAttr("private"), type, value, true, IntegerAttr());
}

/// Finds out whether a launch can take several steps: every row must give a
/// token, and nothing of a step may be left to do when its last task is done.
/// Makes room for the tokens of all steps.
LogicalResult GPUDriver::planSteps(Kernel &kernel, DictionaryAttr &arenas) {
  ModuleOp module = getOperation();
  auto manifest = module->getAttrOfType<DictionaryAttr>("fleet.manifest");
  auto inputs = manifest.getAs<DictionaryAttr>("inputs"), outputs = manifest.getAs<DictionaryAttr>("outputs");
  auto rows = manifest.getAs<IntegerAttr>("tokens"), outRows = manifest.getAs<IntegerAttr>("out_rows");
  if (mostSteps <= 1 || !inputs || !outputs || !rows || rows != outRows)
    return success();
  auto place = [](DictionaryAttr entries, StringRef name) {
    auto entry = entries.getAs<DictionaryAttr>(name);
    return entry && entry.getAs<IntegerAttr>("offset") ? entry.getAs<IntegerAttr>("offset").getInt() : int64_t(-1);
  };
  kernel.tokens = place(inputs, "tokens"), kernel.positions = place(inputs, "positions");
  kernel.outRows = place(inputs, "out_rows"), kernel.ids = place(outputs, "ids");
  if (std::min({kernel.tokens, kernel.positions, kernel.outRows, kernel.ids}) < 0)
    return module.emitError("expected tokens, positions, out_rows and ids with offsets in the manifest");

  auto tasks = kernel.valuesOf(kernel.deviceTasks), waits = kernel.valuesOf(kernel.waits);
  int64_t width = kernel.deviceTasks.getType().getDimSize(1);
  llvm::BitVector reached(kernel.tasks);
  SmallVector<int64_t> open = {kernel.tasks - 1};
  while (!open.empty()) {
    int64_t task = open.pop_back_val();
    if (reached.test(task))
      continue;
    reached.set(task);
    for (int64_t i = tasks[task * width + 1]; i < tasks[task * width + 2]; ++i)
      if (int64_t waited = waits[i] < 0 ? -1 - waits[i] : waits[i]; waited < kernel.tasks)
        open.push_back(waited);
    if (kernel.flagged && kernel.valuesOf(kernel.flagged)[task] >= 0)
      open.push_back(kernel.valuesOf(kernel.flagged)[task]);
  }
  // The tokens are fed where the last task ends: by the one worker that has it,
  // or by each worker its rows.
  auto arrivals = kernel.valuesOf(kernel.arrivals);
  int64_t parts = 0;
  for (int64_t c = 0; c < kernel.chiplets; ++c)
    parts += arrivals[(kernel.tasks - 1) * kernel.chiplets + c];
  auto cuTasks = kernel.valuesOf(kernel.cuTasks);
  int64_t tiles = 0;
  for (int64_t i = 0, n = kernel.cuTasks.getType().getDimSize(0); i < n; ++i)
    if (cuTasks[3 * i] == kernel.tasks - 1)
      tiles = std::max<int64_t>(tiles, cuTasks[3 * i + 2]);
  kernel.isLastCut = parts != 1;
  if (!reached.all() || (kernel.isLastCut && tiles != rows.getInt()))
    return success();

  OpBuilder b(&getContext());
  kernel.mostSteps = mostSteps;
  kernel.rows = rows.getInt();
  kernel.history = llvm::alignTo(arenas.getAs<IntegerAttr>("output").getInt(), kArenaAlignment);
  NamedAttrList sizes(arenas), entries(manifest);
  sizes.set("output", b.getI64IntegerAttr(kernel.history + 4 * mostSteps * kernel.rows));
  arenas = sizes.getDictionary(&getContext());
  entries.set("arenas", arenas);
  entries.set("most_steps", b.getI64IntegerAttr(mostSteps));
  entries.set("history", b.getI64IntegerAttr(kernel.history));
  module->setAttr("fleet.manifest", entries.getDictionary(&getContext()));
  return success();
}

static void measureQueues(Kernel &kernel) {
  int32_t before = 0;
  for (int32_t end : kernel.valuesOf(kernel.queues)) {
    kernel.longest = std::max<int64_t>(kernel.longest, end - before);
    before = end;
  }
}

namespace {
/// Emits the walk of a worker's queue.
struct Walk {
  Emitter &e;
  const Kernel &kernel;
  gpu::GPUFuncOp step;
  int64_t omitWait;
  bool flatEvents;

  Value table(memref::GlobalOp global) {
    return memref::GetGlobalOp::create(e.b, e.loc, global.getType(), global.getSymName());
  }
  /// The copy of a table in LDS, which the walk makes first.
  Value cached(memref::GlobalOp global) {
    return e.shared((kCached + global.getSymName()).str(),
                    inWorkgroupMemory(global.getType().getShape(), e.b.getI32Type()));
  }
  Value cache(memref::GlobalOp global) {
    Value from = table(global);
    if (!kernel.cachesTables)
      return from;
    Value to = cached(global);
    ArrayRef<int64_t> shape = global.getType().getShape();
    e.forThreads(global.getType().getNumElements(), [&](Value i) {
      SmallVector<Value> at = e.delinearize(i, shape);
      memref::StoreOp::create(e.b, e.loc, e.load(from, at), to, at);
    });
    return to;
  }
  /// The worker's own entries of @cu_tasks, from 0 on.
  Value cacheQueue(Value cuTasks, Value first, Value last) {
    Value own = e.shared("cached_queue", inWorkgroupMemory({kernel.longest, 3}, e.b.getI32Type()));
    Value count = arith::SubIOp::create(e.b, e.loc, last, first);
    e.loop(e.thread(), count, e.workgroup.threads, {}, [&](Value i, ValueRange) {
      for (int64_t k = 0; k < 3; ++k)
        memref::StoreOp::create(e.b, e.loc, e.load(cuTasks, {e.addIndex(first, i), e.index(k)}), own,
                                ValueRange{i, e.index(k)});
      return SmallVector<Value>();
    });
    return own;
  }
  Value entry(Value table, ValueRange at) { return e.toIndex(e.load(table, at)); }
  Value asInt(Value value) {
    return arith::IndexCastOp::create(e.b, e.loc, e.b.getI32Type(), value);
  }
  Value compare(arith::CmpIPredicate how, Value x, Value y) {
    return arith::CmpIOp::create(e.b, e.loc, how, x, y);
  }
  /// The own queues of a worker in a chiplet of fewer workgroups than workers:
  /// those of rank, rank + present, ... Queues are in the order of task ids, so
  /// taking the least id of all heads keeps the order that cannot deadlock.
  /// Every wave has the heads for itself, so that no barrier is needed. What it
  /// needs to know stands in LDS, not in registers that live as long as the walk.
  struct Merge {
    Value known, heads;
    Value rank{}, base{}, present{}, count{}, wave{};
  };
  Value queueOf(const Merge &m, Value i) {
    Value queue = e.addIndex(m.rank, arith::MulIOp::create(e.b, e.loc, i, m.present));
    return e.addIndex(m.base, queue);
  }
  void recall(Merge &m) {
    auto word = [&](int64_t i) { return e.toIndex(e.load(m.known, e.index(i))); };
    m.rank = word(0), m.base = word(1);
    Value present = e.load(e.shared("present", inWorkgroupMemory({1}, e.b.getI32Type())), e.index(0));
    // At least this workgroup, also when the others did not come in time.
    m.present = e.toIndex(arith::MaxSIOp::create(e.b, e.loc, present, e.i32(1)));
    Value left = arith::SubIOp::create(e.b, e.loc, e.index(kernel.workersOfChiplet()), m.rank);
    m.count = arith::CeilDivUIOp::create(e.b, e.loc, left, m.present);
    m.wave = e.wave();
  }
  Merge beginMerge(Value rank, Value base, Value queues) {
    auto words = inWorkgroupMemory({2}, e.b.getI32Type());
    auto heads = inWorkgroupMemory({e.workgroup.waves(), kernel.workersOfChiplet()}, e.b.getI32Type());
    Merge m{e.shared("merge", words), e.shared("heads", heads)};
    e.forOneThread([&] {
      memref::StoreOp::create(e.b, e.loc, asInt(rank), m.known, e.index(0));
      memref::StoreOp::create(e.b, e.loc, asInt(base), m.known, e.index(1));
    });
    e.barrier();
    recall(m);
    e.loop(e.index(0), m.count, 1, {}, [&](Value i, ValueRange) {
      memref::StoreOp::create(e.b, e.loc, e.load(queues, queueOf(m, i)), m.heads, ValueRange{m.wave, i});
      return SmallVector<Value>();
    });
    return m;
  }
  /// Takes the next entry of @cu_tasks, or -1.
  Value next(Merge m, Value queues, Value cuTasks) {
    recall(m);
    auto found = e.loop(
        e.index(0), m.count, 1, {e.index(-1), e.i32(INT32_MAX), e.index(0)},
        [&](Value i, ValueRange best) -> SmallVector<Value> {
          Value head = e.toIndex(e.load(m.heads, {m.wave, i}));
          Value end = entry(queues, e.addIndex(queueOf(m, i), 1));
          Value isLeft = compare(arith::CmpIPredicate::slt, head, end);
          Value safe = arith::SelectOp::create(e.b, e.loc, isLeft, head, e.index(0));
          Value id = e.load(cuTasks, {safe, e.index(0)});
          Value isLess = compare(arith::CmpIPredicate::slt, id, best[1]);
          Value take = arith::AndIOp::create(e.b, e.loc, isLeft, isLess);
          return {arith::SelectOp::create(e.b, e.loc, take, head, best[0]),
                  arith::SelectOp::create(e.b, e.loc, take, id, best[1]),
                  arith::SelectOp::create(e.b, e.loc, take, i, best[2])};
        });
    e.ifThen(compare(arith::CmpIPredicate::sge, found[0], e.index(0)), [&] {
      memref::StoreOp::create(e.b, e.loc, asInt(e.addIndex(found[0], 1)), m.heads,
                              ValueRange{m.wave, found[2]});
    });
    return found[0];
  }

  Value word(StringRef name) { return e.shared(name, inWorkgroupMemory({1}, e.b.getI32Type())); }

  /// Flagged results carry this step's number.
  void beginStep(Value epoch) {
    e.forOneThread([&] { memref::StoreOp::create(e.b, e.loc, epoch, word(kStepNumber), e.index(0)); });
    e.barrier();
  }

  /// A task whose flagged results did not come in time: the walk gives up.
  /// Gives whether they have come.
  Value checkFlags(Value task, Value expired) {
    Value isLate = compare(arith::CmpIPredicate::ne, e.load(word(kLate), e.index(0)), e.i32(0));
    e.ifThen(isLate, [&] {
      e.forOneThread([&] {
        Value awaited = e.load(cached(kernel.flagged), task);
        Value counter = arith::AddIOp::create(e.b, e.loc, awaited, e.i32(firstDeviceCounter()));
        memref::StoreOp::create(e.b, e.loc, counter, expired, e.index(1));
        memref::StoreOp::create(e.b, e.loc, e.i32(1), expired, e.index(0));
      });
      e.barrier();
    });
    return arith::XOrIOp::create(e.b, e.loc, isLate, arith::ConstantIntOp::create(e.b, e.loc, true, 1));
  }

  void markWait(WaitOp wait) {
    wait->setAttr("fleet.expired", FlatSymbolRefAttr::get(e.b.getContext(), "expired"));
  }

  TaskScopeAttr scope(TaskScope value) { return TaskScopeAttr::get(e.b.getContext(), value); }

  int64_t firstDeviceCounter() { return kernel.isFlat ? 0 : kernel.tasks * kernel.chiplets; }

  /// A task that waits for nothing of its own step waits for the last task of
  /// the step before, after which nothing of that step is left to be done.
  void waitForStepBefore(Value task, Value waitLo, Value waitHi, Value epoch, Value events, Value arrivals,
                         Value producers) {
    Value isFirst = compare(arith::CmpIPredicate::eq, waitLo, waitHi);
    if (kernel.flagged)
      isFirst = arith::AndIOp::create(e.b, e.loc, isFirst,
                                      compare(arith::CmpIPredicate::slt, e.load(cached(kernel.flagged), task), e.i32(0)));
    e.ifThen(isFirst, [&] {
      Value last = e.index(kernel.tasks - 1);
      Value before = arith::SubIOp::create(e.b, e.loc, epoch, e.i32(1));
      Value arrived = kernel.isFlat ? e.load(arrivals, {last, e.index(0)}) : e.load(producers, last);
      Value target = arith::MulIOp::create(e.b, e.loc, before, arrived);
      auto wait = WaitOp::create(e.b, e.loc, scope(TaskScope::Device), events,
                                 e.addIndex(last, firstDeviceCounter()), target);
      markWait(wait);
    });
  }

  /// After the last task: its ids are kept, and are the next step's tokens. Row r
  /// feeds itself if the logits of row r were wanted in place r.
  void feed(Value task, Value lo, Value hi, Value stepNumber) {
    e.ifThen(compare(arith::CmpIPredicate::eq, task, e.index(kernel.tasks - 1)), [&] {
      Value input = step.getArgument(3), output = step.getArgument(4);
      auto space = cast<MemRefType>(input.getType()).getMemorySpace();
      auto words = [&](Value arena, int64_t offset, ArrayRef<int64_t> shape) {
        return cpu::viewAt(e, arena, offset,
                           MemRefType::get(shape, e.b.getI32Type(), MemRefLayoutAttrInterface(), space));
      };
      Value tokens = words(input, kernel.tokens, {kernel.rows}), positions = words(input, kernel.positions, {kernel.rows});
      Value outRows = words(input, kernel.outRows, {kernel.rows}), ids = words(output, kernel.ids, {kernel.rows});
      Value history = words(output, kernel.history, {kernel.mostSteps, kernel.rows});
      e.barrier();
      auto forRows = [&](function_ref<void(Value)> body) {
        if (!kernel.isLastCut)
          return e.forThreads(kernel.rows, body);
        Value count = arith::SubIOp::create(e.b, e.loc, hi, lo);
        e.loop(e.thread(), count, e.workgroup.threads, {}, [&](Value i, ValueRange) {
          body(e.addIndex(lo, i));
          return SmallVector<Value>();
        });
      };
      forRows([&](Value row) {
        Value id = e.load(ids, row);
        memref::StoreOp::create(e.b, e.loc, id, history, ValueRange{stepNumber, row});
        e.ifThen(compare(arith::CmpIPredicate::eq, e.load(outRows, row), asInt(row)), [&] {
          // Of a row that is all NaN there is no token: history says so, and the next step reads some row of the table.
          Value isNone = compare(arith::CmpIPredicate::eq, id, e.i32(INT32_MAX));
          memref::StoreOp::create(e.b, e.loc, arith::SelectOp::create(e.b, e.loc, isNone, e.i32(0), id), tokens, row);
          Value next = arith::AddIOp::create(e.b, e.loc, e.load(positions, row), e.i32(1));
          memref::StoreOp::create(e.b, e.loc, next, positions, row);
        });
      });
    });
  }

  void emit() {
    Value params = step.getArgument(0), output = step.getArgument(4), epoch = step.getArgument(5);
    Value work = step.getArgument(2);
    auto global = cast<MemRefType>(params.getType()).getMemorySpace();
    auto words = [&](Value arena, int64_t offset, int64_t count) {
      return cpu::viewAt(e, arena, offset,
                         MemRefType::get({count}, e.b.getI32Type(), MemRefLayoutAttrInterface(),
                                         global));
    };
    Value events =
        words(work, kernel.counters, kernel.tasks * (kernel.chiplets + 1));
    // [0]: 1 when a wait of this workgroup gave up, [1]: the counter waited for.
    Value expired = e.shared("expired", inWorkgroupMemory({2}, e.b.getI32Type()));
    e.forOneThread(
        [&] { memref::StoreOp::create(e.b, e.loc, e.i32(0), expired, e.index(0)); });
    if (kernel.flagged) {
      cache(kernel.flagged);
      e.forOneThread([&] { memref::StoreOp::create(e.b, e.loc, e.i32(0), word(kLate), e.index(0)); });
    }
    Value stamps;
    memref::GlobalOp entries = kernel.cuTasks;
    if (kernel.stamps)
      stamps = cpu::viewAt(e, work, *kernel.stamps,
                           MemRefType::get({entries.getType().getDimSize(0), kStamps}, e.b.getI64Type(),
                                           MemRefLayoutAttrInterface(), global));
    Value cuTasks = table(kernel.cuTasks), queues = table(kernel.queues);
    Value deviceTasks = cache(kernel.deviceTasks), waits = cache(kernel.waits);
    Value arrivals = cache(kernel.arrivals);
    Value producers = kernel.isFlat ? Value() : cache(kernel.producers);

    Value chiplet = ChipletIdOp::create(e.b, e.loc, e.b.getIndexType());
    auto rank = WorkerRankOp::create(e.b, e.loc, e.b.getIndexType());
    if (kernel.mergesQueues) {
      rank->setAttr("fleet.present", FlatSymbolRefAttr::get(e.b.getContext(), "present"));
      rank->setAttr("fleet.expired", FlatSymbolRefAttr::get(e.b.getContext(), "expired"));
      rank->setAttr("fleet.first", e.b.getI64IntegerAttr(firstDeviceCounter()));
    }
    // A workgroup that the schedule does not know has nothing to do.
    Value known = arith::AndIOp::create(
        e.b, e.loc,
        compare(arith::CmpIPredicate::ult, chiplet, e.index(kernel.chiplets)),
        compare(arith::CmpIPredicate::ult, rank, e.index(kernel.workersOfChiplet())));
    Value worker = e.addIndex(e.mulIndex(chiplet, kernel.workersOfChiplet()), rank);
    e.ifThen(known, [&] {
      Value first = entry(queues, worker), last = entry(queues, e.addIndex(worker, 1));
      Value queueBegin = kernel.cachesTables ? first : e.index(0);
      auto stamp = [&](Value cuTask, int64_t which) {
        if (!stamps)
          return;
        e.forOneThread([&] {
          Value now = LLVM::CallIntrinsicOp::create(e.b, e.loc, e.b.getI64Type(),
                                                    e.b.getStringAttr("llvm.readcyclecounter"), ValueRange())
                          .getResult(0);
          memref::StoreOp::create(e.b, e.loc, now, stamps,
                                  ValueRange{e.addIndex(queueBegin, cuTask), e.index(which)});
        });
      };
      if (kernel.cachesTables) {
        cuTasks = cacheQueue(cuTasks, first, last);
        last = arith::SubIOp::create(e.b, e.loc, last, first);
        first = e.index(0);
        e.barrier();
      }
      Value yes = arith::ConstantIntOp::create(e.b, e.loc, true, 1);
      Value starts = yes;
      scf::ForOp steps;
      Value stepNumber, firstEpoch = epoch;
      if (kernel.mostSteps > 1) {
        steps = scf::ForOp::create(e.b, e.loc, e.index(0), e.toIndex(step.getArgument(6)), e.index(1), ValueRange{yes});
        e.b.setInsertionPointToStart(steps.getBody());
        stepNumber = steps.getInductionVar();
        starts = steps.getRegionIterArgs().front();
        epoch = arith::AddIOp::create(e.b, e.loc, epoch, asInt(stepNumber));
      }
      if (kernel.flagged)
        beginStep(epoch);
      Merge merge;
      if (kernel.mergesQueues) {
        Value base = e.mulIndex(chiplet, kernel.workersOfChiplet());
        merge = beginMerge(rank, base, queues);
        first = next(merge, queues, cuTasks);
        starts = compare(arith::CmpIPredicate::eq, e.load(expired, e.index(0)), e.i32(0));
      }
      auto loop = scf::WhileOp::create(
          e.b, e.loc, TypeRange{e.b.getIndexType(), e.b.getI1Type()}, ValueRange{first, starts},
          [&](OpBuilder &, Location, ValueRange carried) {
            Value more = kernel.mergesQueues
                             ? compare(arith::CmpIPredicate::sge, carried[0], e.index(0))
                             : compare(arith::CmpIPredicate::slt, carried[0], last);
            more = arith::AndIOp::create(e.b, e.loc, more, carried[1]);
            scf::ConditionOp::create(e.b, e.loc, more, carried);
          },
          [&](OpBuilder &, Location, ValueRange carried) {
            Value cuTask = carried[0];
            stamp(cuTask, 0);
            Value task = entry(cuTasks, {cuTask, e.index(0)});
            Value lo = entry(cuTasks, {cuTask, e.index(1)});
            Value hi = entry(cuTasks, {cuTask, e.index(2)});
            Value waitLo = entry(deviceTasks, {task, e.index(1)});
            Value waitHi = entry(deviceTasks, {task, e.index(2)});
            e.loop(waitLo, waitHi, 1, {}, [&](Value i, ValueRange) {
              if (omitWait >= 0) {
                Value kept = compare(arith::CmpIPredicate::ne, i, e.index(omitWait));
                auto unless = scf::IfOp::create(e.b, e.loc, kept, /*withElseRegion=*/false);
                e.b.setInsertionPointToStart(unless.thenBlock());
              }
              Value producer = entry(waits, i);
              if (kernel.hasOwn) {
                // -1 - t: the part of task t on this chiplet, told by the chiplet's own counter.
                Value isOwn = compare(arith::CmpIPredicate::slt, producer, e.index(0));
                auto scopes = scf::IfOp::create(e.b, e.loc, isOwn, /*withElseRegion=*/true);
                e.b.setInsertionPointToStart(scopes.thenBlock());
                Value own = arith::SubIOp::create(e.b, e.loc, e.index(-1), producer);
                Value parts = arith::MulIOp::create(e.b, e.loc, epoch, e.load(arrivals, {own, chiplet}));
                auto wait = WaitOp::create(e.b, e.loc, scope(TaskScope::Chiplet), events,
                                           e.addIndex(e.mulIndex(own, kernel.chiplets), chiplet), parts);
                markWait(wait);
                e.b.setInsertionPointToStart(scopes.elseBlock());
              }
              Value arrived = kernel.isFlat ? e.load(arrivals, {producer, e.index(0)}) : e.load(producers, producer);
              Value target = arith::MulIOp::create(e.b, e.loc, epoch, arrived);
              auto wait = WaitOp::create(e.b, e.loc, scope(TaskScope::Device), events,
                                         e.addIndex(producer, firstDeviceCounter()), target);
              markWait(wait);
              return SmallVector<Value>();
            });
            if (steps)
              waitForStepBefore(task, waitLo, waitHi, epoch, events, arrivals, producers);
            Value goesOn = compare(arith::CmpIPredicate::eq, e.load(expired, e.index(0)), e.i32(0));
            stamp(cuTask, 1);
            e.ifThen(goesOn, [&] {
              SmallVector<Value> operands(step.getArguments().take_front(5));
              operands.append({task, lo, hi, worker});
              func::CallOp::create(e.b, e.loc, kernel.dispatch, operands);
              if (steps)
                feed(task, lo, hi, stepNumber);
              stamp(cuTask, 2);
              if (kernel.flagged) {
                // Nobody looks at the counter of a task without arrivals.
                Value isAwaited = compare(arith::CmpIPredicate::ne, e.load(arrivals, {task, chiplet}), e.i32(0));
                Value tells = arith::AndIOp::create(e.b, e.loc, isAwaited, checkFlags(task, expired));
                auto unless = scf::IfOp::create(e.b, e.loc, tells, /*withElseRegion=*/false);
                e.b.setInsertionPointToStart(unless.thenBlock());
              }
              Value now = SignalOp::create(
                  e.b, e.loc, e.b.getI32Type(), scope(TaskScope::Chiplet), events,
                  e.addIndex(e.mulIndex(task, kernel.chiplets), chiplet));
              stamp(cuTask, 3);
              if (kernel.isFlat)
                return;
              // The new value of the chiplet's counter is told to one thread; the others see 0.
              Value all = arith::MulIOp::create(e.b, e.loc, epoch, e.load(arrivals, {task, chiplet}));
              Value tells = flatEvents ? compare(arith::CmpIPredicate::ne, now, e.i32(0))
                                       : compare(arith::CmpIPredicate::eq, now, all);
              // A task that is waited for on its own chiplets alone has nothing to tell the device.
              if (kernel.hasOwn)
                tells = arith::AndIOp::create(e.b, e.loc, tells,
                                              compare(arith::CmpIPredicate::sgt, e.load(producers, task), e.i32(0)));
              e.ifThen(tells, [&] {
                SignalOp::create(e.b, e.loc, e.b.getI32Type(), scope(TaskScope::Device), events,
                                 e.addIndex(task, kernel.tasks * kernel.chiplets));
              });
            });
            if (kernel.flagged)
              goesOn = compare(arith::CmpIPredicate::eq, e.load(expired, e.index(0)), e.i32(0));
            Value after = kernel.mergesQueues ? next(merge, queues, cuTasks) : e.addIndex(cuTask, 1);
            scf::YieldOp::create(e.b, e.loc, ValueRange{after, goesOn});
          });
      Value finished = loop.getResult(1);
      if (steps) {
        scf::YieldOp::create(e.b, e.loc, ValueRange{finished});
        e.b.setInsertionPointAfter(steps);
        finished = steps.getResult(0);
      }
      // The first worker that gives up says why.
      Value gaveUp = arith::XOrIOp::create(e.b, e.loc, finished, yes);
      e.ifThen(gaveUp, [&] {
        e.forOneThread([&] {
          Value status = words(output, kernel.status, 4);
          Value before = memref::AtomicRMWOp::create(e.b, e.loc, arith::AtomicRMWKind::assign,
                                                     e.i32(1), status, ValueRange{e.index(0)});
          e.ifThen(compare(arith::CmpIPredicate::eq, before, e.i32(0)), [&] {
            Value counter = e.load(expired, e.index(1));
            Value missing = arith::SubIOp::create(e.b, e.loc, counter, e.i32(firstDeviceCounter()));
            if (kernel.hasOwn) {
              Value task = arith::DivUIOp::create(e.b, e.loc, counter, e.i32(kernel.chiplets));
              Value isOwn = compare(arith::CmpIPredicate::slt, missing, e.i32(0));
              missing = arith::SelectOp::create(e.b, e.loc, isOwn, task, missing);
            }
            memref::StoreOp::create(e.b, e.loc, asInt(worker), status, e.index(1));
            memref::StoreOp::create(e.b, e.loc, missing, status, e.index(2));
            memref::StoreOp::create(e.b, e.loc, firstEpoch, status, e.index(3));
          });
        });
      });
    });
  }
};
} // namespace

void GPUDriver::runOnOperation() {
  ModuleOp module = getOperation();
  auto modules = llvm::to_vector(module.getOps<gpu::GPUModuleOp>());
  auto target = module->getAttrOfType<TargetAttr>("fleet.target");
  auto manifest = module->getAttrOfType<DictionaryAttr>("fleet.manifest");
  auto arenas = manifest ? manifest.getAs<DictionaryAttr>("arenas") : DictionaryAttr();
  if (modules.size() != 1 || !target || !arenas) {
    module.emitError("expected one gpu.module, a fleet.target and a fleet.manifest with arenas");
    return signalPassFailure();
  }
  gpu::GPUModuleOp gpuModule = modules.front();
  for (auto function : llvm::make_early_inc_range(gpuModule.getOps<gpu::GPUFuncOp>()))
    function.erase();
  setWorkgroup(gpuModule, {kThreads, target.getBackend() == Backend::ROCDL ? 64 : 32});
  FailureOr<Kernel> kernel = findKernel(gpuModule, arenas);
  if (succeeded(kernel) && stamps) {
    // After everything else of the work arena, and the manifest says where.
    OpBuilder b(&getContext());
    int64_t begin = llvm::alignTo(arenas.getAs<IntegerAttr>("work").getInt(), kArenaAlignment);
    kernel->stamps = begin;
    NamedAttrList sizes(arenas), entries(manifest);
    sizes.set("work", b.getI64IntegerAttr(begin + kernel->cuTasks.getType().getDimSize(0) * kStamps * 8));
    arenas = sizes.getDictionary(&getContext());
    entries.set("arenas", arenas);
    entries.set("stamps", b.getI64IntegerAttr(begin));
    module->setAttr("fleet.manifest", entries.getDictionary(&getContext()));
  }
  if (failed(kernel) || failed(planSteps(*kernel, arenas)) ||
      failed(placeMemory(*kernel, arenas, target.getLds())))
    return signalPassFailure();
  {
    // What the launch needs to know.
    OpBuilder b(&getContext());
    NamedAttrList entries(module->getAttrOfType<DictionaryAttr>("fleet.manifest"));
    entries.set("chiplets", b.getI64IntegerAttr(kernel->chiplets));
    entries.set("workers", b.getI64IntegerAttr(kernel->workers));
    entries.set("threads", b.getI64IntegerAttr(getWorkgroup(gpuModule).threads));
    module->setAttr("fleet.manifest", entries.getDictionary(&getContext()));
  }
  addProducers(*kernel);
  kernel->isFlat = kernel->chiplets == 1 && target.getBackend() == Backend::NVVM;
  kernel->cachesTables = cacheTables;
  kernel->mergesQueues = target.getBackend() == Backend::ROCDL && !cacheTables;
  if (cacheTables)
    measureQueues(*kernel);
  // The scratch of workers in the work arena is free: tickets stand there, those
  // of two chiplets never in one cache line.
  Builder attributes(&getContext());
  int64_t stride = kernel->scratchStride * kernel->workersOfChiplet();
  gpuModule->setAttr("fleet.tickets", attributes.getI64IntegerAttr(kernel->scratch));
  gpuModule->setAttr("fleet.tickets_stride", attributes.getI64IntegerAttr(stride));
  gpuModule->setAttr("fleet.tickets_size",
                     attributes.getI64IntegerAttr(stride * kernel->chiplets));
  for (auto function : gpuModule.getOps<func::FuncOp>())
    function.setPrivate();

  OpBuilder builder = OpBuilder::atBlockEnd(gpuModule.getBody());
  SmallVector<Type> types(kernel->dispatch.getArgumentTypes().take_front(5));
  types.push_back(builder.getI32Type());
  if (kernel->mostSteps > 1)
    types.push_back(builder.getI32Type());
  auto step = gpu::GPUFuncOp::create(builder, gpuModule.getLoc(), "fleet_step",
                                     builder.getFunctionType(types, {}));
  step->setAttr(gpu::GPUDialect::getKernelFuncAttrName(), builder.getUnitAttr());
  int32_t threads = getWorkgroup(gpuModule).threads;
  step.setKnownBlockSizeAttr(builder.getDenseI32ArrayAttr({threads, 1, 1}));
  builder.setInsertionPointToStart(&step.getBody().front());
  auto end = gpu::ReturnOp::create(builder, gpuModule.getLoc());
  builder.setInsertionPoint(end);
  Emitter e(builder, gpuModule.getLoc(), gpuModule);
  Walk walk{e, *kernel, step, omitWait, flatEvents};
  walk.emit();
  if (!cacheTables)
    return;
  // @dispatch reads the places of a task's operands after its events.
  kernel->dispatch.walk([&](memref::GetGlobalOp get) {
    if (get.getName() != kernel->deviceTasks.getSymName())
      return;
    builder.setInsertionPoint(get);
    get.replaceAllUsesWith(walk.cached(kernel->deviceTasks));
    get.erase();
  });
}
