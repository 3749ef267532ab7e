//===- CheckCoherence.cpp
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Utils.h"

#include "fleet/Transforms/Passes.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/BitVector.h"
#include "llvm/ADT/MapVector.h"

namespace mlir::fleet {
#define GEN_PASS_DEF_CHECKCOHERENCE
#include "fleet/Transforms/Passes.h.inc"

namespace {
/// Bytes of an arena that a task touches.
struct Access {
  int64_t task, begin, end;
  bool writes;
};

struct CheckCoherence : impl::CheckCoherenceBase<CheckCoherence> {
  void runOnOperation() override {
    func::FuncOp step = requireStep(getOperation());
    if (!step)
      return signalPassFailure();
    // This knows nothing of how events were found: it looks at bytes only.
    llvm::MapVector<StringRef, SmallVector<Access>> arenas;
    SmallVector<TaskOp> tasks(step.getOps<TaskOp>());
    std::vector<llvm::BitVector> before;
    for (auto [place, task] : llvm::enumerate(tasks)) {
      int64_t id = place;
      if (static_cast<int64_t>(task.getId()) != id) {
        task.emitError("expected task ids in order, found ") << task.getId() << " at place " << id;
        return signalPassFailure();
      }
      llvm::BitVector past(tasks.size());
      for (int64_t wait : task.getWaits().value_or(ArrayRef<int64_t>())) {
        past.set(wait);
        past |= before[wait];
      }
      before.push_back(past);
      if (!requireBuffers(task))
        return signalPassFailure();
      for (OpOperand &operand : task->getOpOperands()) {
        auto buffer = operand.get().getDefiningOp<BufferOp>();
        auto type = cast<MemRefType>(buffer.getType());
        int64_t begin = buffer.getOffset();
        int64_t bytes = type.getNumElements() * (type.getElementTypeBitWidth() / 8);
        bool last = operand.getOperandNumber() + 1 == task->getNumOperands();
        arenas[buffer.getArena()].push_back({id, begin, begin + bytes, last || buffer.getArena() == "state"});
      }
    }
    for (auto &[arena, accesses] : arenas) {
      // Sorted by place, only neighbours that overlap are compared.
      llvm::sort(accesses, [](const Access &x, const Access &y) {
        return std::tie(x.begin, x.task) < std::tie(y.begin, y.task);
      });
      for (auto [i, one] : llvm::enumerate(accesses))
        for (const Access &two : ArrayRef(accesses).drop_front(i + 1)) {
          if (two.begin >= one.end)
            break;
          if (!(one.writes || two.writes))
            continue;
          // Workers of one task do not wait for each other, and bodies take their buffers to be apart.
          if (one.task == two.task) {
            tasks[one.task].emitError("expected what a task writes to be apart from its other operands, found both in arena ")
                << arena << " at offset " << two.begin;
            return signalPassFailure();
          }
          auto [early, late] = std::minmax(one.task, two.task);
          if (before[late].test(early))
            continue;
          tasks[late].emitError("expected a wait for task ")
              << early << ", which touches the same bytes of arena " << arena << " from offset "
              << std::max(one.begin, two.begin) << ", found none";
          return signalPassFailure();
        }
    }
  }
};
} // namespace
} // namespace mlir::fleet
