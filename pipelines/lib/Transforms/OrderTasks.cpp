//===- OrderTasks.cpp
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CostModel.h"
#include "Partition.h"

#include "fleet/Transforms/Passes.h"
#include "fleet/Transforms/Switches.h"

namespace mlir::fleet {
#define GEN_PASS_DEF_ORDERTASKS
#include "fleet/Transforms/Passes.h.inc"

namespace {
struct OrderTasks : impl::OrderTasksBase<OrderTasks> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    TargetAttr target = requireTarget(module);
    func::FuncOp step = target ? requireStep(module) : func::FuncOp();
    if (!step)
      return signalPassFailure();
    StringRef order = getSwitch(module, "order");
    if (order == "program" || (order == "auto" && target.getChiplets() == 1))
      return;
    CostModel costs(target);
    SmallVector<TaskOp> tasks(step.getOps<TaskOp>());
    struct Estimate {
      double ready = 0, time = 0,
             left = 0; ///< all who it needs are done; its own; from its begin
                       ///< to the step's end
      TaskOp task;
    };
    llvm::DenseMap<Operation *, Estimate> estimates;
    for (TaskOp task : tasks) {
      func::FuncOp body = requireBody(module, task);
      if (!body)
        return signalPassFailure();
      PartitionAttr partition = task.getPartition()
                                    ? *task.getPartition()
                                    : getDefaultPartition(body, target);
      // A whole task has one worker's share of the bandwidth.
      double bytes = static_cast<double>(bytesOfTile(task, partition)) *
                     partition.getTiles();
      double parts = partition.getKind() == PartitionKind::Whole
                         ? 1
                         : target.getChiplets() * target.getWorkers();
      Estimate &own = estimates[task];
      own.task = task;
      own.time = costs.deviceExchange() + costs.stream(bytes) / parts + 1;
      for (Value operand : task.getOperands())
        if (auto producer = operand.getDefiningOp<TaskOp>()) {
          const Estimate &other = estimates[producer];
          own.ready = std::max(own.ready, other.ready + other.time);
        }
    }
    for (TaskOp task : llvm::reverse(tasks)) {
      Estimate &own = estimates[task];
      own.left += own.time;
      for (Value operand : task.getOperands())
        if (auto producer = operand.getDefiningOp<TaskOp>())
          estimates[producer].left =
              std::max(estimates[producer].left, own.left);
    }
    // Who needs another is ready later than that, so this is an order of the
    // dependences.
    llvm::stable_sort(tasks, [&](TaskOp x, TaskOp y) {
      const Estimate &a = estimates[x], &b = estimates[y];
      return std::pair(a.ready, -a.left) < std::pair(b.ready, -b.left);
    });
    Operation *end = step.getBody().front().getTerminator();
    for (auto [id, task] : llvm::enumerate(tasks)) {
      task->moveBefore(end);
      task.setId(id);
    }
  }
};
} // namespace
} // namespace mlir::fleet
