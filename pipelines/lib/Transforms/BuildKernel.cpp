//===- BuildKernel.cpp
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Utils.h"

#include "fleet/Transforms/Passes.h"
#include "fleet/Transforms/Switches.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/Support/MathExtras.h"

namespace mlir::fleet {
#define GEN_PASS_DEF_BUILDKERNEL
#include "fleet/Transforms/Passes.h.inc"

namespace {
constexpr StringRef kArenas[] = {"params", "state", "work", "input", "output"};

/// The number of bytes `name` of a dictionary, if there is one.
std::optional<int64_t> findBytes(DictionaryAttr entries, StringRef name) {
  auto bytes = entries ? entries.getAs<IntegerAttr>(name) : IntegerAttr();
  return bytes && bytes.getInt() >= 0 ? std::optional(bytes.getInt()) : std::nullopt;
}

/// A body takes the buffers of its task, a range of tiles, and a scratch.
LogicalResult requireBuffersOf(TaskOp task, func::FuncOp body) {
  ArrayRef<Type> types = body.getArgumentTypes();
  size_t operands = task.getOperands().size();
  if (types.size() == operands + 3 && isa<MemRefType>(types.back()) &&
      llvm::all_of(types.take_front(operands), llvm::IsaPred<MemRefType>))
    return success();
  return task.emitError("expected a body of ") << operands << " buffers, two indices and a scratch, found " << body.getFunctionType();
}

struct BuildKernel : impl::BuildKernelBase<BuildKernel> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    TargetAttr target = requireTarget(module);
    func::FuncOp step = target ? requireStep(module) : func::FuncOp();
    if (!step)
      return signalPassFailure();
    auto manifest = module->getAttrOfType<DictionaryAttr>("fleet.manifest");
    if (!manifest) {
      module.emitError("expected a module with a fleet.manifest, found none");
      return signalPassFailure();
    }
    // What a compiled kernel cannot do is for the simulator alone.
    auto refuse = [&](StringRef name, StringRef value, StringRef why) {
      if (getSwitch(module, name) != value)
        return false;
      module.emitError("expected a schedule without ") << name << "=" << value << " for a kernel, found it: " << why
                                                       << "; stop at the phase schedule and simulate it";
      return true;
    };
    if (refuse("scheduler", "dynamic", "the queues of a kernel are filled when it is compiled") ||
        (target.getBackend() == Backend::ROCDL && refuse("prefetch", "off", "a kernel always streams its weights ahead")) ||
        (target.getBackend() != Backend::NVVM && refuse("events", "flat", "a kernel counts arrivals on the chiplet first")))
      return signalPassFailure();
    SymbolTable symbols(module);
    OpBuilder b(&getContext());
    Location loc = step.getLoc();
    MLIRContext *context = &getContext();
    int64_t chiplets = target.getChiplets(), workers = target.getWorkers();
    auto hbm = MemoryScopeAttr::get(context, MemoryScope::Hbm);
    SmallVector<TaskOp> tasks(step.getOps<TaskOp>());
    int64_t count = tasks.size();
    if (!count) {
      step.emitError("expected a step of at least one task, found none");
      return signalPassFailure();
    }

    // A case is a body with the arenas of its operands: both are static there.
    // Where an operand has an instance for each chiplet, how far they are apart is static too.
    llvm::MapVector<std::tuple<StringRef, ArrayAttr, ArrayAttr>, int64_t> cases;
    int64_t operands = 0;
    for (auto [place, task] : llvm::enumerate(tasks)) {
      if (task.getId() != place) {
        task.emitError("expected task ids in order, found ") << task.getId() << " at place " << place;
        return signalPassFailure();
      }
      operands = std::max<int64_t>(operands, task.getOperands().size());
    }
    int64_t width = 3 + operands;
    std::vector<int32_t> deviceTasks, cuTasks, queues, waits, arrivals(count * chiplets);
    struct Cu {
      int32_t task, lo, hi;
    };
    std::vector<llvm::DenseMap<int64_t, SmallVector<Cu, 1>>> parts(chiplets * workers);
    int64_t chipletTasks = 0, signals = 0, flat = 0, exchanges = 0;
    // Tasks that someone waits for at device scope, or that end the step: who waits for another on its own
    // chiplet needs no word to the device.
    bool hasOwn = llvm::any_of(tasks, [](TaskOp task) { return task.getChipletWaits() && !task.getChipletWaits()->empty(); });
    llvm::BitVector published(count, !hasOwn);
    if (count)
      published.set(count - 1);
    for (TaskOp task : tasks)
      for (int64_t id : task.getWaits().value_or(ArrayRef<int64_t>()))
        published.set(id);
    for (TaskOp task : tasks) {
      func::FuncOp body = requireBuffers(task) ? requireBody(module, task) : func::FuncOp();
      if (!body || failed(requireBuffersOf(task, body)))
        return signalPassFailure();
      if (TraversalAttr traversal = task.getTraversalAttr(); traversal && traversal.getRows() && target.getBackend() != Backend::LLVM) {
        task.emitError("expected the traversal full_m, the only one of a ") << stringifyBackend(target.getBackend())
            << " kernel, found " << stringifyTraversal(traversal.getValue()) << "; stop at the phase schedule and simulate it";
        return signalPassFailure();
      }
      SmallVector<Attribute> arenas, strides;
      SmallVector<int32_t> row;
      for (Value operand : task.getOperands()) {
        auto buffer = operand.getDefiningOp<BufferOp>();
        arenas.push_back(buffer.getArenaAttr());
        strides.push_back(b.getI64IntegerAttr(buffer.getChipletStride().value_or(0)));
        row.push_back(buffer.getOffset() / kArenaAlignment);
      }
      row.resize(operands);
      auto key = std::make_tuple(task.getBody(), b.getArrayAttr(arenas), b.getArrayAttr(strides));
      int64_t kind = cases.try_emplace(key, static_cast<int64_t>(cases.size())).first->second;
      auto waited = task.getWaits().value_or(ArrayRef<int64_t>());
      deviceTasks.push_back(kind);
      deviceTasks.push_back(waits.size());
      waits.insert(waits.end(), waited.begin(), waited.end());
      // A wait on the own chiplet for task t is -1 - t.
      for (int64_t id : task.getChipletWaits().value_or(ArrayRef<int64_t>()))
        waits.push_back(-1 - id);
      deviceTasks.push_back(waits.size());
      deviceTasks.insert(deviceTasks.end(), row.begin(), row.end());
      int64_t cus = 0;
      for (auto part : task.getChiplets().getOps<ChipletTaskOp>()) {
        ++chipletTasks;
        for (auto cu : part.getCus().getOps<CuTaskOp>()) {
          ++cus;
          ++arrivals[task.getId() * chiplets + part.getChiplet()];
          parts[part.getChiplet() * workers + cu.getWorker()][task.getId()].push_back(
              {static_cast<int32_t>(task.getId()), static_cast<int32_t>(cu.getLo()), static_cast<int32_t>(cu.getHi())});
        }
      }
      signals += cus;
      if (published.test(task.getId())) {
        ++exchanges;
        for (int64_t c = 0; c < chiplets; ++c)
          signals += arrivals[task.getId() * chiplets + c] > 0;
      }
      flat += cus * std::max<int64_t>(1, waited.size());
    }
    queues.push_back(0);
    for (auto queue : step.getOps<QueueOp>()) {
      auto &own = parts[queue.getChiplet() * workers + queue.getWorker()];
      for (int64_t id : queue.getTasks()) {
        auto it = own.find(id);
        if (it == own.end()) {
          queue.emitError("expected a queue of the worker's own tasks, found task ") << id;
          return signalPassFailure();
        }
        // Several parts come in the order in which they stand in the task.
        Cu cu = it->second.front();
        cuTasks.insert(cuTasks.end(), {cu.task, cu.lo, cu.hi});
        it->second.erase(it->second.begin());
        if (it->second.empty())
          own.erase(it);
      }
      if (!own.empty()) {
        queue.emitError("expected every task of the worker in its queue, found ") << own.size() << " missing";
        return signalPassFailure();
      }
      queues.push_back(cuTasks.size() / 3);
    }

    int64_t scratch = kArenaAlignment;
    for (auto body : module.getOps<func::FuncOp>())
      if (auto size = body->getAttrOfType<IntegerAttr>("fleet.scratch"))
        scratch = std::max<int64_t>(scratch, llvm::alignTo(size.getInt(), kArenaAlignment));

    // Counters and, on targets whose lds is ordinary memory, scratch follow the activations.
    auto arenas = manifest.getAs<DictionaryAttr>("arenas"), outputs = manifest.getAs<DictionaryAttr>("outputs");
    std::optional<int64_t> counters = findBytes(arenas, "work");
    std::optional<int64_t> status = findBytes(outputs ? outputs.getAs<DictionaryAttr>("status") : nullptr, "offset");
    if (!counters || !status) {
      module.emitError("expected a fleet.manifest with arenas.work and outputs.status.offset, numbers of bytes, found no ")
          << (counters ? "outputs.status.offset" : "arenas.work");
      return signalPassFailure();
    }
    int64_t numCounters = count * (chiplets + 1);
    int64_t scratchAt = llvm::alignTo(*counters + 4 * numCounters, kArenaAlignment);
    int64_t workSize = scratchAt + scratch * chiplets * workers;
    auto number = [&](int64_t value) { return b.getI64IntegerAttr(value); };
    NamedAttrList newArenas(arenas);
    newArenas.set("work", number(workSize));
    NamedAttrList newManifest(manifest);
    newManifest.set("arenas", newArenas.getDictionary(context));
    llvm::DenseSet<StringRef> bodies;
    for (TaskOp task : tasks)
      bodies.insert(task.getBody());
    newManifest.set("stats",
                    b.getDictionaryAttr({b.getNamedAttr("device_tasks", number(count)),
                                         b.getNamedAttr("chiplet_tasks", number(chipletTasks)),
                                         b.getNamedAttr("cu_tasks", number(cuTasks.size() / 3)),
                                         b.getNamedAttr("signals", number(signals)),
                                         b.getNamedAttr("signals_flat", number(flat)),
                                         b.getNamedAttr("exchanges", number(exchanges)),
                                         b.getNamedAttr("bodies", number(bodies.size())),
                                         b.getNamedAttr("scratch", number(scratch)),
                                         b.getNamedAttr("counters", number(numCounters))}));
    module->setAttr("fleet.manifest", newManifest.getDictionary(context));

    b.setInsertionPointToEnd(module.getBody());
    auto kernel = gpu::GPUModuleOp::create(b, loc, "fleet");
    kernel->setAttr("fleet.counters", number(*counters));
    kernel->setAttr("fleet.scratch", number(scratchAt));
    kernel->setAttr("fleet.scratch_stride", number(scratch));
    kernel->setAttr("fleet.status", number(*status));
    kernel->setAttr("fleet.work_size", number(workSize));
    b.setInsertionPointToStart(&kernel.getBodyRegion().front());
    auto table = [&](StringRef name, std::vector<int32_t> &data, ArrayRef<int64_t> shape) -> MemRefType {
      if (data.empty())
        data.push_back(-1);
      SmallVector<int64_t> dims(shape);
      if (dims.size() == 1)
        dims[0] = data.size();
      auto type = MemRefType::get(dims, b.getI32Type());
      auto value = DenseElementsAttr::get(RankedTensorType::get(dims, b.getI32Type()), ArrayRef<int32_t>(data));
      memref::GlobalOp::create(b, loc, name, b.getStringAttr("private"), type, value, /*constant=*/true, IntegerAttr());
      return type;
    };
    MemRefType deviceType = table("device_tasks", deviceTasks, {count, width});
    MemRefType cuType = table("cu_tasks", cuTasks, {static_cast<int64_t>(cuTasks.size() / 3), 3});
    MemRefType queueType = table("queues", queues, {0});
    MemRefType waitType = table("waits", waits, {0});
    MemRefType arrivalType = table("arrivals", arrivals, {count, chiplets});

    for (auto body : llvm::make_early_inc_range(module.getOps<func::FuncOp>()))
      if (body->hasAttr("fleet.body"))
        body->moveBefore(kernel.getBody(), kernel.getBody()->end());

    // @dispatch
    b.setInsertionPointToEnd(kernel.getBody());
    Type index = b.getIndexType();
    auto bytes = MemRefType::get({ShapedType::kDynamic}, b.getI8Type(), MemRefLayoutAttrInterface(), hbm);
    SmallVector<Type> types(5, bytes);
    types.append(4, index);
    auto dispatch = func::FuncOp::create(b, loc, "dispatch", b.getFunctionType(types, {}));
    dispatch.setPrivate();
    Block *entry = dispatch.addEntryBlock();
    b.setInsertionPointToStart(entry);
    auto constant = [&](int64_t value) -> Value { return arith::ConstantIndexOp::create(b, loc, value); };
    auto load = [&](Value memref, ValueRange at) -> Value {
      Value value = memref::LoadOp::create(b, loc, memref, at);
      return arith::IndexCastOp::create(b, loc, index, value);
    };
    auto global = [&](StringRef name, MemRefType type) -> Value {
      return memref::GetGlobalOp::create(b, loc, type, name);
    };
    Value rows = global("device_tasks", deviceType);
    Value task = entry->getArgument(5), lo = entry->getArgument(6), hi = entry->getArgument(7);
    Value zero = constant(0);
    Value kind = load(rows, {task, zero});
    Value stride = constant(scratch);
    Value base = arith::AddIOp::create(
        b, loc, constant(scratchAt), arith::MulIOp::create(b, loc, entry->getArgument(8), stride));
    SmallVector<int64_t> labels;
    for (auto &[key, value] : cases)
      labels.push_back(value);
    auto select = scf::IndexSwitchOp::create(b, loc, TypeRange(), kind, labels, labels.size());
    for (auto [region, entryOf] : llvm::zip_equal(select.getCaseRegions(), cases)) {
      auto [name, arenaNames, strides] = entryOf.first;
      auto body = symbols.lookup<func::FuncOp>(name);
      if (!body)
        body = cast<func::FuncOp>(SymbolTable::lookupSymbolIn(kernel, name));
      b.createBlock(&region);
      SmallVector<Value> args;
      for (auto [i, arena] : llvm::enumerate(arenaNames.getAsRange<StringAttr>())) {
        unsigned which = llvm::find(kArenas, arena.getValue()) - std::begin(kArenas);
        Value offset = load(rows, {task, constant(3 + i)});
        offset = arith::MulIOp::create(b, loc, offset, constant(kArenaAlignment));
        if (int64_t stride = cast<IntegerAttr>(strides[i]).getInt()) {
          Value chiplet = arith::DivUIOp::create(b, loc, entry->getArgument(8), constant(workers));
          offset = arith::AddIOp::create(b, loc, offset, arith::MulIOp::create(b, loc, chiplet, constant(stride)));
        }
        auto type = cast<MemRefType>(body.getArgumentTypes()[i]);
        args.push_back(memref::ViewOp::create(b, loc, type, entry->getArgument(which), offset, ValueRange()));
      }
      args.push_back(lo);
      args.push_back(hi);
      // The scratch of a worker: lds by name, ordinary memory until a target says otherwise.
      auto scratchType = cast<MemRefType>(body.getArgumentTypes().back());
      auto plain = MemRefType::get(scratchType.getShape(), b.getI8Type(), MemRefLayoutAttrInterface(), hbm);
      Value own = memref::ViewOp::create(b, loc, plain, entry->getArgument(2), base, ValueRange());
      args.push_back(memref::MemorySpaceCastOp::create(b, loc, scratchType, own));
      func::CallOp::create(b, loc, body.getName(), TypeRange(), args);
      scf::YieldOp::create(b, loc);
    }
    b.createBlock(&select.getDefaultRegion());
    scf::YieldOp::create(b, loc);
    b.setInsertionPointToEnd(entry);
    func::ReturnOp::create(b, loc);

    // The persistent kernel: each workgroup walks its worker's queue.
    b.setInsertionPointToEnd(kernel.getBody());
    SmallVector<Type> kernelTypes(5, bytes);
    kernelTypes.push_back(b.getI32Type());
    auto func = gpu::GPUFuncOp::create(b, loc, "step", b.getFunctionType(kernelTypes, {}));
    func->setAttr(gpu::GPUDialect::getKernelFuncAttrName(), b.getUnitAttr());
    b.setInsertionPointToStart(&func.getBody().front());
    Value epoch = func.getArgument(5);
    auto asInt = [&](Value value) -> Value { return arith::IndexCastOp::create(b, loc, b.getI32Type(), value); };
    Value work = func.getArgument(2);
    auto counterType = MemRefType::get({numCounters}, b.getI32Type(), MemRefLayoutAttrInterface(), hbm);
    Value events = memref::ViewOp::create(b, loc, counterType, work, constant(*counters), ValueRange());
    Value devices = global("device_tasks", deviceType), cus = global("cu_tasks", cuType);
    Value queueTable = global("queues", queueType), waitTable = global("waits", waitType);
    Value arrivalTable = global("arrivals", arrivalType);
    Value zero2 = constant(0), one = constant(1), two = constant(2);
    Value chiplet = ChipletIdOp::create(b, loc, index);
    Value rank = WorkerRankOp::create(b, loc, index);
    Value worker = arith::AddIOp::create(b, loc, arith::MulIOp::create(b, loc, chiplet, constant(workers)), rank);
    Value first = load(queueTable, {worker});
    Value last = load(queueTable, {arith::AddIOp::create(b, loc, worker, one)});
    Value numChiplets = constant(chiplets), deviceBase = constant(count * chiplets);
    auto loop = scf::ForOp::create(b, loc, first, last, one);
    b.setInsertionPointToStart(loop.getBody());
    Value cu = loop.getInductionVar();
    Value id = load(cus, {cu, zero2}), tileLo = load(cus, {cu, one}), tileHi = load(cus, {cu, two});
    Value waitLo = load(devices, {id, one}), waitHi = load(devices, {id, two});
    auto waiting = scf::ForOp::create(b, loc, waitLo, waitHi, one);
    b.setInsertionPointToStart(waiting.getBody());
    Value producer = load(waitTable, {waiting.getInductionVar()});
    scf::IfOp scopes;
    if (hasOwn) {
      Value isOwn = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt, producer, zero2);
      scopes = scf::IfOp::create(b, loc, isOwn, /*withElse=*/true);
      b.setInsertionPointToStart(scopes.thenBlock());
      Value own = arith::SubIOp::create(b, loc, constant(-1), producer);
      Value parts = memref::LoadOp::create(b, loc, arrivalTable, ValueRange{own, chiplet});
      Value counter = arith::AddIOp::create(b, loc, arith::MulIOp::create(b, loc, own, numChiplets), chiplet);
      WaitOp::create(b, loc, TaskScopeAttr::get(context, TaskScope::Chiplet), events, counter,
                     arith::MulIOp::create(b, loc, epoch, parts));
      b.setInsertionPointToStart(scopes.elseBlock());
    }
    // Chiplets that take part in the producer.
    Value none = constant(0);
    auto counting = scf::ForOp::create(b, loc, zero2, numChiplets, one, ValueRange{none});
    b.setInsertionPointToStart(counting.getBody());
    Value arrived = memref::LoadOp::create(b, loc, arrivalTable, ValueRange{producer, counting.getInductionVar()});
    Value takes = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::sgt, arrived,
                                        arith::ConstantIntOp::create(b, loc, b.getI32Type(), 0));
    Value more = arith::AddIOp::create(b, loc, counting.getRegionIterArg(0),
                                       arith::IndexCastUIOp::create(b, loc, index, takes));
    scf::YieldOp::create(b, loc, more);
    b.setInsertionPointAfter(counting);
    Value needed = arith::MulIOp::create(b, loc, epoch, asInt(counting.getResult(0)));
    WaitOp::create(b, loc, TaskScopeAttr::get(context, TaskScope::Device), events,
                   arith::AddIOp::create(b, loc, deviceBase, producer), needed);
    b.setInsertionPointAfter(waiting);
    gpu::BarrierOp::create(b, loc);
    SmallVector<Value> call(func.getArguments().take_front(5));
    call.append({id, tileLo, tileHi, worker});
    func::CallOp::create(b, loc, "dispatch", TypeRange(), call);
    gpu::BarrierOp::create(b, loc);
    Value local = arith::AddIOp::create(b, loc, arith::MulIOp::create(b, loc, id, numChiplets), chiplet);
    Value now = SignalOp::create(b, loc, b.getI32Type(), TaskScopeAttr::get(context, TaskScope::Chiplet), events, local);
    Value all = arith::MulIOp::create(
        b, loc, epoch, memref::LoadOp::create(b, loc, arrivalTable, ValueRange{id, chiplet}));
    Value lastArrival = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, now, all);
    auto publish = scf::IfOp::create(b, loc, lastArrival, /*withElse=*/false);
    b.setInsertionPointToStart(&publish.getThenRegion().front());
    SignalOp::create(b, loc, b.getI32Type(), TaskScopeAttr::get(context, TaskScope::Device), events,
                     arith::AddIOp::create(b, loc, deviceBase, id));
    b.setInsertionPointToEnd(&func.getBody().front());
    gpu::ReturnOp::create(b, loc);
    step.erase();
    module->setAttr(gpu::GPUDialect::getContainerModuleAttrName(), b.getUnitAttr());
  }
};
} // namespace
} // namespace mlir::fleet
