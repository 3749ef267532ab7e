//===- InsertEvents.cpp
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Utils.h"

#include "fleet/Transforms/Passes.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/BitVector.h"

namespace mlir::fleet {
#define GEN_PASS_DEF_INSERTEVENTS
#include "fleet/Transforms/Passes.h.inc"

namespace {
struct InsertEvents : impl::InsertEventsBase<InsertEvents> {
  void runOnOperation() override {
    func::FuncOp step = requireStep(getOperation());
    if (!step)
      return signalPassFailure();
    llvm::DenseMap<Value, int64_t> writer;
    std::vector<llvm::BitVector> before;
    for (auto task : step.getOps<TaskOp>()) {
      int64_t id = before.size();
      if (static_cast<int64_t>(task.getId()) != id) {
        task.emitError("expected task ids in order, found ") << task.getId() << " at place " << id;
        return signalPassFailure();
      }
      if (!requireBuffers(task))
        return signalPassFailure();
      SmallVector<int64_t> producers;
      for (Value operand : task.getOperands().drop_back())
        if (auto it = writer.find(operand); it != writer.end() && !llvm::is_contained(producers, it->second))
          producers.push_back(it->second);
      // What a producer already waited for needs no wait of its own.
      llvm::BitVector reached(id + 1);
      for (int64_t p : producers) {
        llvm::BitVector past = before[p];
        past.resize(id + 1);
        reached |= past;
      }
      SmallVector<int64_t> waits;
      llvm::BitVector all = reached;
      for (int64_t p : producers) {
        all.set(p);
        if (!reached.test(p))
          waits.push_back(p);
      }
      llvm::sort(waits);
      task.setWaits(waits);
      before.push_back(all);
      writer[task.getOperands().back()] = id;
    }
  }
};
} // namespace
} // namespace mlir::fleet
