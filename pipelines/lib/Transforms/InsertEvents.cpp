//===- InsertEvents.cpp
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Footprints.h"

#include "fleet/Transforms/Passes.h"
#include "fleet/Transforms/Switches.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/BitVector.h"

#include <map>

namespace mlir::fleet {
#define GEN_PASS_DEF_INSERTEVENTS
#include "fleet/Transforms/Passes.h.inc"

namespace {
struct InsertEvents : impl::InsertEventsBase<InsertEvents> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    func::FuncOp step = requireStep(module);
    if (!step)
      return signalPassFailure();
    auto target = module->getAttrOfType<TargetAttr>("fleet.target");
    bool mayStay = target && target.getChiplets() > 1 &&
                   getSwitch(module, "binding") == "on";
    Footprints footprints(module);
    llvm::DenseMap<Value, TaskOp> writer;
    // Tasks that are over, and seen, when a task begins: on all chiplets, and
    // on its own.
    std::vector<llvm::BitVector> everywhere, here;
    for (auto task : step.getOps<TaskOp>()) {
      int64_t id = everywhere.size();
      if (static_cast<int64_t>(task.getId()) != id) {
        task.emitError("expected task ids in order, found ")
            << task.getId() << " at place " << id;
        return signalPassFailure();
      }
      if (!requireBuffers(task))
        return signalPassFailure();
      std::map<int64_t, bool>
          producers; // whether all that is read of it stays on its chiplet
      for (auto [i, operand] : llvm::enumerate(task.getOperands().drop_back()))
        if (auto it = writer.find(operand); it != writer.end()) {
          bool stays =
              mayStay && footprints.staysOnChiplets(it->second, task, i);
          auto [entry, isNew] =
              producers.try_emplace(it->second.getId(), stays);
          entry->second &= stays;
        }
      // What a producer already waited for needs no wait of its own. Who waits
      // for all chiplets' parts of a task has what each of them waited for on
      // its chiplet; for the own part, only what that saw.
      auto join = [&](llvm::BitVector &into, llvm::BitVector from) {
        from.resize(id + 1);
        into |= from;
      };
      llvm::BitVector all(id + 1), own(id + 1);
      for (auto [p, stays] : producers) {
        join(all, stays ? everywhere[p] : here[p]);
        join(own, here[p]);
      }
      SmallVector<int64_t> waits, chipletWaits;
      for (auto [p, stays] : producers) {
        if (stays ? own.test(p) : all.test(p))
          continue;
        (stays ? chipletWaits : waits).push_back(p);
      }
      for (auto [p, stays] : producers)
        (stays ? own : all).set(p);
      own |= all;
      task.setWaits(waits);
      if (!chipletWaits.empty())
        task.setChipletWaits(chipletWaits);
      everywhere.push_back(all);
      here.push_back(own);
      writer[task.getOperands().back()] = task;
    }
  }
};
} // namespace
} // namespace mlir::fleet
