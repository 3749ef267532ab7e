//===- ScheduleTasks.cpp
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Utils.h"

#include "fleet/Transforms/Passes.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/DenseSet.h"

namespace mlir::fleet {
#define GEN_PASS_DEF_SCHEDULETASKS
#include "fleet/Transforms/Passes.h.inc"

namespace {
struct ScheduleTasks : impl::ScheduleTasksBase<ScheduleTasks> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    TargetAttr target = requireTarget(module);
    func::FuncOp step = target ? requireStep(module) : func::FuncOp();
    if (!step)
      return signalPassFailure();
    int64_t chiplets = target.getChiplets(), workers = target.getWorkers();
    std::vector<SmallVector<int64_t>> queues(chiplets * workers);
    llvm::DenseSet<int64_t> earlier;
    for (auto task : step.getOps<TaskOp>()) {
      // All queues run in the order of the step, and every wait is for a task that
      // stands earlier there, so the first unfinished task can always run: no cycle
      // is possible.
      for (auto waits : {task.getWaits(), task.getChipletWaits()})
        for (int64_t id : waits.value_or(ArrayRef<int64_t>()))
          if (!earlier.contains(id)) {
            task.emitError("expected a wait for an earlier task in queue order, found task ") << id;
            return signalPassFailure();
          }
      earlier.insert(task.getId());
      for (auto part : task.getChiplets().getOps<ChipletTaskOp>())
        for (auto cu : part.getCus().getOps<CuTaskOp>())
          queues[part.getChiplet() * workers + cu.getWorker()].push_back(task.getId());
    }
    OpBuilder b(step.getBody().front().getTerminator());
    for (int64_t c = 0; c < chiplets; ++c)
      for (int64_t w = 0; w < workers; ++w)
        QueueOp::create(b, step.getLoc(), c, w, queues[c * workers + w]);
  }
};
} // namespace
} // namespace mlir::fleet
