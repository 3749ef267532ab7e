//===- CheckProgress.cpp
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Utils.h"

#include "fleet/Transforms/Passes.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace mlir::fleet {
#define GEN_PASS_DEF_CHECKPROGRESS
#include "fleet/Transforms/Passes.h.inc"

namespace {
struct CheckProgress : impl::CheckProgressBase<CheckProgress> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    TargetAttr target = requireTarget(module);
    func::FuncOp step = target ? requireStep(module) : func::FuncOp();
    if (!step)
      return signalPassFailure();
    int64_t workers = target.getWorkers();
    SmallVector<TaskOp> tasks(step.getOps<TaskOp>());
    // The parts that each worker owes to each task, and how many are owed, in all and on each chiplet.
    llvm::DenseMap<std::pair<int64_t, int64_t>, std::pair<Operation *, int64_t>> owed; // (worker, task)
    SmallVector<int64_t> left(tasks.size(), 0);
    llvm::DenseMap<std::pair<int64_t, int64_t>, int64_t> leftOn; // (chiplet, task)
    for (auto [id, task] : llvm::enumerate(tasks)) {
      if (task.getId() != id) {
        task.emitError("expected task ids in order, found ") << task.getId() << " at place " << id;
        return signalPassFailure();
      }
      for (auto part : task.getChiplets().getOps<ChipletTaskOp>())
        for (auto cu : part.getCus().getOps<CuTaskOp>()) {
          auto &[op, count] = owed[{part.getChiplet() * workers + cu.getWorker(), id}];
          op = cu;
          ++count;
          ++left[id];
          ++leftOn[{part.getChiplet(), id}];
        }
    }
    SmallVector<QueueOp> queues(step.getOps<QueueOp>());
    for (QueueOp queue : queues)
      for (int64_t id : queue.getTasks()) {
        int64_t worker = queue.getChiplet() * workers + queue.getWorker();
        auto it = owed.find({worker, id});
        if (it == owed.end()) {
          queue.emitError("expected each of the worker's tasks once, found task ") << id << " again or without a part";
          return signalPassFailure();
        }
        if (!--it->second.second)
          owed.erase(it);
      }
    if (!owed.empty()) {
      // The smallest, so that the message does not depend on a hash.
      auto first = std::min_element(owed.begin(), owed.end(), [](auto &x, auto &y) { return x.first < y.first; });
      first->second.first->emitError("expected task ")
          << first->first.second << " in the queue of worker " << first->first.first << ", found no such entry";
      return signalPassFailure();
    }
    // Run the queues: whoever can go on does, until all are done or none can.
    SmallVector<size_t> next(queues.size(), 0);
    auto blocked = [&](QueueOp queue, size_t place) -> std::optional<int64_t> {
      TaskOp task = tasks[queue.getTasks()[place]];
      for (int64_t wait : task.getWaits().value_or(ArrayRef<int64_t>()))
        if (left[wait])
          return wait;
      for (int64_t wait : task.getChipletWaits().value_or(ArrayRef<int64_t>()))
        if (leftOn.lookup({queue.getChiplet(), wait}))
          return wait;
      return std::nullopt;
    };
    for (bool moved = true; moved;) {
      moved = false;
      for (auto [q, queue] : llvm::enumerate(queues))
        while (next[q] < queue.getTasks().size() && !blocked(queue, next[q])) {
          int64_t id = queue.getTasks()[next[q]++];
          --left[id];
          --leftOn[{queue.getChiplet(), id}];
          moved = true;
        }
    }
    // The one that waits for the smallest task is the cause, the others are held up by it.
    std::optional<std::pair<int64_t, size_t>> cause;
    for (auto [q, queue] : llvm::enumerate(queues))
      if (next[q] < queue.getTasks().size()) {
        std::pair<int64_t, size_t> stuck = {*blocked(queue, next[q]), q};
        cause = cause ? std::min(*cause, stuck) : stuck;
      }
    if (!cause)
      return;
    auto [waited, q] = *cause;
    queues[q].emitError("expected queues that run to their end, found task ")
        << queues[q].getTasks()[next[q]] << " waiting for ever for task " << waited;
    signalPassFailure();
  }
};
} // namespace
} // namespace mlir::fleet
