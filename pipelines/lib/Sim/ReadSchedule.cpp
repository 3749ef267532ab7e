//===- ReadSchedule.cpp - A compiled schedule, as the simulator sees it
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ReadBody.h"

#include "Caches.h"

#include "fleet/Conversion/ManyRows.h"
#include "fleet/IR/Fleet.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "llvm/Support/MathExtras.h"

#include <map>

using namespace mlir;
using namespace mlir::fleet;
using namespace mlir::fleet::sim;

/// The arenas of a kernel's function @dispatch, in the order of its arguments.
static constexpr StringRef kArenas[] = {"params", "state", "work", "input", "output"};

namespace {
/// A buffer of a task.
struct Operand {
  StringRef arena;
  int64_t offset;
  MemRefType type;
  int64_t stride = 0; ///< between the instances of the chiplets; 0: there is one
};

/// One device task, from whichever form.
struct Task {
  Operation *op;
  func::FuncOp body;
  std::vector<Operand> operands;
  int64_t tiles;
  std::vector<uint32_t> waits, chipletWaits;
};

struct Reader {
  ModuleOp module;
  int64_t context;
  Schedule s;

  LogicalResult addTasks(const std::vector<Task> &tasks);
  FailureOr<std::vector<Task>> fromStep(func::FuncOp step);
  LogicalResult addQueues(func::FuncOp step);
  FailureOr<std::vector<Task>> fromKernel(gpu::GPUModuleOp kernel);
  FailureOr<std::vector<int32_t>> table(gpu::GPUModuleOp kernel, StringRef name);
};
} // namespace

LogicalResult Reader::addTasks(const std::vector<Task> &tasks) {
  // All arenas in one space of addresses.
  std::map<StringRef, int64_t> sizes, bases;
  for (const Task &task : tasks)
    for (const Operand &operand : task.operands) {
      int64_t bytes = operand.type.getNumElements() * operand.type.getElementTypeBitWidth() / 8;
      bytes += (s.chiplets - 1) * operand.stride;
      int64_t &size = sizes[operand.arena];
      size = std::max(size, operand.offset + bytes);
    }
  for (auto [arena, size] : sizes) {
    bases[arena] = s.bytes;
    s.bytes += llvm::alignTo(size, kBlock);
  }
  // A body with the arenas of its operands, as in the kernel's cases.
  std::map<std::pair<Operation *, std::vector<StringRef>>, uint32_t> known;
  for (const Task &task : tasks) {
    DeviceTask device;
    std::vector<StringRef> arenas;
    for (const Operand &operand : task.operands) {
      arenas.push_back(operand.arena);
      device.operands.push_back(bases[operand.arena] + operand.offset);
      device.strides.push_back(operand.stride);
    }
    func::FuncOp func = task.body;
    if (func.getNumArguments() < arenas.size() + 2)
      return task.op->emitError("expected a body of operands, lo and hi, found ") << func.getFunctionType();
    auto [it, isNew] = known.try_emplace({func, arenas}, s.bodies.size());
    if (isNew) {
      FailureOr<Body> body = readBody(func, arenas, task.tiles, s.rows, context);
      if (failed(body))
        return failure();
      s.bodies.push_back(std::move(*body));
      if (auto scratch = func->getAttrOfType<IntegerAttr>("fleet.scratch"))
        s.scratch = std::max(s.scratch, scratch.getInt());
    } else if (static_cast<int64_t>(s.bodies[it->second].tiles.size()) != task.tiles) {
      return task.op->emitError("expected tasks of one body to have as many tiles, found ")
             << s.bodies[it->second].tiles.size() << " and " << task.tiles;
    }
    device.body = it->second;
    device.waits = task.waits;
    device.chipletWaits = task.chipletWaits;
    s.tasks.push_back(std::move(device));
  }
  return success();
}

//===----------------------------------------------------------------------===//
// Phase schedule
//===----------------------------------------------------------------------===//

FailureOr<std::vector<Task>> Reader::fromStep(func::FuncOp step) {
  std::vector<Task> tasks;
  for (auto op : step.getOps<TaskOp>()) {
    Task task{op, module.lookupSymbol<func::FuncOp>(op.getBody()), {}, 1, {}, {}};
    if (!task.body || task.body.isExternal())
      return op.emitError("expected a body @") << op.getBody() << ", found none";
    if (static_cast<size_t>(op.getId()) != tasks.size())
      return op.emitError("expected task ids in order, found ") << op.getId() << " at place " << tasks.size();
    for (Value operand : op.getOperands()) {
      auto buffer = operand.getDefiningOp<BufferOp>();
      if (!buffer)
        return op.emitError("expected a task on buffers, found an operand of type ") << operand.getType();
      task.operands.push_back({buffer.getArena(), static_cast<int64_t>(buffer.getOffset()),
                               cast<MemRefType>(buffer.getType()),
                               static_cast<int64_t>(buffer.getChipletStride().value_or(0))});
    }
    if (op.getPartition())
      task.tiles = op.getPartition()->getTiles();
    for (int64_t wait : op.getWaits().value_or(ArrayRef<int64_t>()))
      task.waits.push_back(wait);
    for (int64_t wait : op.getChipletWaits().value_or(ArrayRef<int64_t>()))
      task.chipletWaits.push_back(wait);
    tasks.push_back(std::move(task));
  }
  return tasks;
}

LogicalResult Reader::addQueues(func::FuncOp step) {
  // A worker may have several parts of a task: they stand in its queue in the order of the task.
  std::vector<llvm::DenseMap<int64_t, SmallVector<uint32_t, 1>>> entries(s.chiplets * s.workers);
  for (auto task : step.getOps<TaskOp>())
    for (auto part : task.getChiplets().getOps<ChipletTaskOp>())
      for (auto cu : part.getCus().getOps<CuTaskOp>()) {
        CuTask entry;
        entry.task = task.getId();
        entry.worker = part.getChiplet() * s.workers + cu.getWorker();
        for (int64_t tile = cu.getLo(); tile < static_cast<int64_t>(cu.getHi()); ++tile)
          entry.pieces.push_back(tile);
        entries[entry.worker][entry.task].push_back(s.cuTasks.size());
        s.cuTasks.push_back(std::move(entry));
      }
  s.queues.resize(entries.size());
  for (auto queue : step.getOps<QueueOp>()) {
    size_t worker = queue.getChiplet() * s.workers + queue.getWorker();
    for (int64_t id : queue.getTasks()) {
      auto it = entries[worker].find(id);
      if (it == entries[worker].end())
        return queue.emitError("expected each of the worker's tasks once, found task ")
               << id << " again or without a part";
      s.queues[worker].push_back(it->second.front());
      it->second.erase(it->second.begin());
      if (it->second.empty())
        entries[worker].erase(it);
    }
    if (!entries[worker].empty())
      return queue.emitError("expected every task of the worker in its queue, found ")
             << entries[worker].size() << " missing";
  }
  for (const auto &left : entries)
    if (!left.empty())
      return step.emitError("expected a queue for each worker that has tasks, found none");
  return success();
}

//===----------------------------------------------------------------------===//
// Phase kernel
//===----------------------------------------------------------------------===//

FailureOr<std::vector<int32_t>> Reader::table(gpu::GPUModuleOp kernel, StringRef name) {
  auto global = kernel.lookupSymbol<memref::GlobalOp>(name);
  auto values = global ? dyn_cast_or_null<DenseIntElementsAttr>(global.getInitialValue().value_or(nullptr)) : nullptr;
  if (!values || !values.getElementType().isInteger(32))
    return kernel.emitError("expected a table @") << name << " of i32 with its values, found none";
  auto range = values.getValues<int32_t>();
  return std::vector<int32_t>(range.begin(), range.end());
}

/// How far the instances of an operand are apart: the chiplet's number is multiplied by it.
static int64_t strideOf(memref::ViewOp view) {
  auto sum = view.getByteShift().getDefiningOp<arith::AddIOp>();
  auto product = sum ? sum.getRhs().getDefiningOp<arith::MulIOp>() : arith::MulIOp();
  std::optional<int64_t> stride = product ? getConstantIntValue(product.getRhs()) : std::nullopt;
  return stride.value_or(0);
}

FailureOr<std::vector<Task>> Reader::fromKernel(gpu::GPUModuleOp kernel) {
  FailureOr<std::vector<int32_t>> rows = table(kernel, "device_tasks"), cuTasks = table(kernel, "cu_tasks"),
                                  queues = table(kernel, "queues"), waits = table(kernel, "waits");
  if (failed(rows) || failed(cuTasks) || failed(queues) || failed(waits))
    return failure();
  auto dispatch = kernel.lookupSymbol<func::FuncOp>("dispatch");
  scf::IndexSwitchOp choice;
  if (dispatch)
    dispatch.walk([&](scf::IndexSwitchOp op) { choice = op; });
  if (!choice)
    return kernel.emitError("expected a function @dispatch that chooses a body by its case, found none");
  size_t width = cast<MemRefType>(kernel.lookupSymbol<memref::GlobalOp>("device_tasks").getType()).getDimSize(1);
  size_t count = rows->size() / width;

  // Each case calls a body on views of the arenas.
  std::map<int64_t, std::pair<func::FuncOp, std::vector<Operand>>> cases;
  for (auto [number, region] : llvm::zip_equal(choice.getCases(), choice.getCaseRegions()))
    for (auto call : region.getOps<func::CallOp>()) {
      auto body = kernel.lookupSymbol<func::FuncOp>(call.getCallee());
      std::vector<Operand> operands;
      for (Value operand : call.getOperands().drop_back(3)) {
        auto view = operand.getDefiningOp<memref::ViewOp>();
        auto arena = view ? dyn_cast<BlockArgument>(view.getSource()) : BlockArgument();
        if (!body || !arena || arena.getArgNumber() >= std::size(kArenas))
          return call.emitError("expected a call of a body on views of the arenas, found another");
        operands.push_back({kArenas[arena.getArgNumber()], 0, view.getType(), strideOf(view)});
      }
      cases[number] = {body, operands};
    }

  std::vector<Task> tasks;
  for (size_t id = 0; id < count; ++id) {
    const int32_t *row = &(*rows)[id * width];
    auto it = cases.find(row[0]);
    if (it == cases.end())
      return kernel.emitError("expected a case for device task ") << id << ", found none of number " << row[0];
    Task task{it->second.first, it->second.first, it->second.second, 0, {}, {}};
    for (auto [i, operand] : llvm::enumerate(task.operands))
      operand.offset = row[3 + i] * kArenaAlignment;
    // A wait on the own chiplet for task t is -1 - t.
    for (int32_t wait : ArrayRef(*waits).slice(row[1], row[2] - row[1]))
      if (wait < 0)
        task.chipletWaits.push_back(-1 - wait);
      else
        task.waits.push_back(wait);
    tasks.push_back(std::move(task));
  }
  // Queues stand one after the other. Tiles are as many as the entries of a task name.
  s.queues.resize(s.chiplets * s.workers);
  if (queues->size() != s.queues.size() + 1)
    return kernel.emitError("expected a queue for each of ")
           << s.queues.size() << " workers, found " << queues->size() - 1;
  for (uint32_t worker = 0; worker < s.queues.size(); ++worker)
    for (int32_t i = (*queues)[worker]; i < (*queues)[worker + 1]; ++i) {
      CuTask entry;
      entry.task = (*cuTasks)[3 * i];
      entry.worker = worker;
      for (int32_t tile = (*cuTasks)[3 * i + 1]; tile < (*cuTasks)[3 * i + 2]; ++tile)
        entry.pieces.push_back(tile);
      tasks[entry.task].tiles = std::max<int64_t>(tasks[entry.task].tiles, (*cuTasks)[3 * i + 2]);
      s.queues[worker].push_back(s.cuTasks.size());
      s.cuTasks.push_back(std::move(entry));
    }
  return tasks;
}

//===----------------------------------------------------------------------===//
// What the code generator makes of many rows
//===----------------------------------------------------------------------===//

/// Contractions of which tiles are computed together: all of a tile have one size.
static std::optional<Contraction> togetherOf(const Body &body) {
  if (!body.isContraction || body.tiles.front().contractions.empty())
    return std::nullopt;
  Contraction first = body.tiles.front().contractions.front();
  for (const Contraction &c : body.tiles.front().contractions)
    if (c.m != first.m || c.k != first.k || c.isWide != first.isWide || c.n != nv::kColumns)
      return std::nullopt;
  return first;
}

/// Decides which bodies go in rounds, as the lowering for NVIDIA chips does.
static void planRounds(Schedule &s) {
  std::vector<int64_t> most(s.bodies.size());
  for (const CuTask &cu : s.cuTasks) {
    int64_t &of = most[s.tasks[cu.task].body];
    of = std::max<int64_t>(of, cu.pieces.size());
  }
  int64_t mostRows = 0;
  bool isWide = false;
  for (const Body &body : s.bodies)
    if (auto contraction = togetherOf(body)) {
      mostRows = std::max(mostRows, contraction->m);
      isWide |= contraction->isWide;
    }
  std::optional<int64_t> groups = nv::rowGroups(std::max<int64_t>(mostRows, 1), nv::kWaves, isWide);
  for (auto [body, tiles] : llvm::zip_equal(s.bodies, most)) {
    Rounds &rounds = body.rounds;
    const Work &work = body.tiles.front();
    if (auto c = togetherOf(body); c && mostRows > nv::kFewRows && groups) {
      int64_t turns = nv::kWaves / *groups, chunks = llvm::divideCeil(c->k, nv::kDeep);
      rounds.together = nv::tilesTogether(c->m, work.contractions.size(), *groups, tiles, c->isWide);
      rounds.count = chunks;
      rounds.turns = turns;
      // Warpgroups copy the next chunk to shared memory.
      bool hasWarpgroups = nv::hasWarpgroups(*groups);
      bool isAhead = hasWarpgroups || nv::loadsAhead(nv::blocksOf(c->m, *groups), chunks, *groups, c->isWide);
      rounds.ahead = isAhead ? 1 : 0;
      rounds.readers = *groups;
      rounds.share = std::min(1.0, double(c->m) / nv::kRows);
      rounds.blocks = hasWarpgroups ? nv::blocksOf(c->m, *groups) : 0;
    } else if (work.attentionRows) {
      int64_t positions = 0;
      for (const Work &tile : body.tiles)
        positions = std::max(positions, tile.attentionPositions);
      // Each warp takes rows of its own, one after the other; of few rows several take the positions of one in turn.
      bool isMany = work.attentionRows > nv::kFewRows;
      int64_t members = isMany ? 1 : std::max<int64_t>(1, nv::kWaves / llvm::PowerOf2Ceil(work.attentionRows));
      rounds.rows = llvm::divideCeil(work.attentionRows, nv::kWaves);
      rounds.turns = isMany ? std::min(nv::kWaves, work.attentionRows) : nv::kWaves;
      int64_t own = std::max<int64_t>(1, llvm::divideCeil(positions, members * nv::kPositions));
      rounds.count = rounds.turns * rounds.rows * own;
      rounds.share = double(rounds.turns) / nv::kWaves;
      rounds.ofFewRows = !isMany;
      rounds.isCopied = isMany && s.rows > nv::kMostLoaded;
    }
  }
}

FailureOr<Schedule> fleet::sim::readSchedule(ModuleOp module, int64_t context) {
  auto phase = module->getAttrOfType<StringAttr>("fleet.phase");
  auto target = module->getAttrOfType<TargetAttr>("fleet.target");
  auto step = module.lookupSymbol<func::FuncOp>("step");
  gpu::GPUModuleOp kernel;
  for (auto op : module.getOps<gpu::GPUModuleOp>())
    kernel = op;
  bool isSchedule = phase && phase == "schedule" && step && !step.isExternal();
  bool isKernel = phase && phase == "kernel" && kernel;
  if (!isSchedule && !isKernel)
    return module.emitError("expected a module in phase schedule or kernel, found ")
           << (phase ? phase.getValue() : "none") << "; stop the compilation there with --compile-to schedule";
  if (!target)
    return module.emitError("expected a module with a fleet.target, found none; run fleet-set-target");
  Reader reader{module, context, {}};
  Schedule &s = reader.s;
  s.target = target.getName().str();
  s.backend = stringifyBackend(target.getBackend()).str();
  s.chiplets = target.getChiplets();
  s.workers = target.getWorkers();
  s.lds = target.getLds();
  s.l2 = target.getL2();
  s.hbmGbs = target.getHbmGbs();
  if (auto layers = module->getAttrOfType<IntegerAttr>("fleet.layers"))
    s.layers = layers.getInt();
  auto has = [&](StringRef name, StringRef value) {
    auto all = module->getAttrOfType<DictionaryAttr>("fleet.schedule");
    auto set = all ? all.getAs<StringAttr>(name) : StringAttr();
    return set && set.getValue() == value;
  };
  s.prefetch = !has("prefetch", "off");
  s.hierarchicalEvents = !has("events", "flat");
  s.deal.isDynamic = has("scheduler", "dynamic");
  // Tiles are compiled where they belong, but who deals them has to know whether a task is one tile.
  s.deal.awareOfChiplets = !(s.deal.isDynamic && has("chiplets", "unaware"));
  // The rows of the step are those of its tokens.
  if (auto manifest = module->getAttrOfType<DictionaryAttr>("fleet.manifest"))
    if (auto inputs = manifest.getAs<DictionaryAttr>("inputs"))
      if (auto tokens = inputs.getAs<DictionaryAttr>("tokens"))
        if (auto shape = tokens.getAs<ArrayAttr>("shape"); shape && shape.size() == 1) {
          auto rows = dyn_cast<IntegerAttr>(shape[0]);
          if (!rows || rows.getInt() < 1)
            return module.emitError(
                       "expected a number of at least 1 as the shape of the manifest's inputs.tokens, found ")
                   << shape;
          s.rows = rows.getInt();
        }
  FailureOr<std::vector<Task>> tasks = isKernel ? reader.fromKernel(kernel) : reader.fromStep(step);
  if (failed(tasks) || failed(reader.addTasks(*tasks)) || (isSchedule && failed(reader.addQueues(step))))
    return failure();
  // A task of which several chiplets run the same tile is replicated.
  std::vector<int64_t> pieces(s.tasks.size());
  for (const CuTask &cu : s.cuTasks)
    pieces[cu.task] += cu.pieces.size();
  for (auto [task, count] : llvm::zip_equal(s.tasks, pieces))
    task.isReplicated = count > static_cast<int64_t>(s.bodies[task.body].tiles.size());
  if (target.getBackend() == Backend::NVVM)
    planRounds(s);
  publish(s);
  return std::move(s);
}

void fleet::sim::publish(Schedule &schedule) {
  bool hasOwn = llvm::any_of(schedule.tasks, [](const DeviceTask &task) { return !task.chipletWaits.empty(); });
  for (DeviceTask &task : schedule.tasks)
    task.isPublished = !hasOwn;
  if (!schedule.tasks.empty())
    schedule.tasks.back().isPublished = true;
  for (const DeviceTask &task : schedule.tasks)
    for (uint32_t wait : task.waits)
      schedule.tasks[wait].isPublished = true;
}

void fleet::sim::waitForAll(Schedule &schedule) {
  for (DeviceTask &task : schedule.tasks) {
    llvm::append_range(task.waits, task.chipletWaits);
    task.chipletWaits.clear();
  }
  publish(schedule);
}
