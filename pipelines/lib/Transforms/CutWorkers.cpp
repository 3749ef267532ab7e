//===- CutWorkers.cpp
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Partition.h"

#include "fleet/Transforms/Passes.h"
#include "fleet/Transforms/Switches.h"

#include <numeric>

namespace mlir::fleet {
#define GEN_PASS_DEF_CUTWORKERS
#include "fleet/Transforms/Passes.h.inc"

namespace {
struct CutWorkers : impl::CutWorkersBase<CutWorkers> {
  /// Tiles of each worker: as many for all, and one more for whoever has least
  /// to do. Even: the same workers are chosen whatever they have.
  static SmallVector<int64_t> deal(int64_t tiles, ArrayRef<int64_t> load,
                                   bool isBalanced) {
    int64_t workers = load.size();
    SmallVector<int64_t> count(workers, 0);
    if (!isBalanced) {
      for (int64_t w = 0; w < workers; ++w)
        count[w] = (w + 1) * tiles / workers - w * tiles / workers;
      return count;
    }
    SmallVector<int64_t> order(workers);
    std::iota(order.begin(), order.end(), 0);
    llvm::stable_sort(order,
                      [&](int64_t x, int64_t y) { return load[x] < load[y]; });
    llvm::fill(count, tiles / workers);
    for (int64_t w : ArrayRef(order).take_front(tiles % workers))
      ++count[w];
    return count;
  }

  void runOnOperation() override {
    ModuleOp module = getOperation();
    TargetAttr target = requireTarget(module);
    if (!target)
      return signalPassFailure();
    OpBuilder b(&getContext());
    // Where weights are streamed by one die, the measured order of its units
    // stays as it is.
    StringRef queues = getSwitch(module, "queues");
    bool isBalanced =
        queues == "balanced" || (queues == "auto" && target.getChiplets() > 1);
    bool isAware = getSwitch(module, "chiplets") == "aware";
    int64_t workers = target.getWorkers();
    std::vector<SmallVector<int64_t>> load(target.getChiplets(),
                                           SmallVector<int64_t>(workers, 0));
    SmallVector<TaskOp> tasks;
    module.walk([&](TaskOp task) { tasks.push_back(task); });
    for (TaskOp task : tasks) {
      if (!task.getPartition()) {
        task.emitError("expected a task with a partition, found none");
        return signalPassFailure();
      }
      int64_t bytes = bytesOfTile(task, *task.getPartition());
      SmallVector<ChipletTaskOp> parts(
          task.getChiplets().getOps<ChipletTaskOp>());
      for (ArrayRef<ChipletTaskOp> rest(parts); !rest.empty();) {
        // All ranges of one chiplet are dealt as if they were one.
        int64_t chiplet = ChipletTaskOp(rest.front()).getChiplet(), tiles = 0;
        auto own = rest.take_while([&](ChipletTaskOp part) {
          return static_cast<int64_t>(part.getChiplet()) == chiplet;
        });
        rest = rest.drop_front(own.size());
        for (ChipletTaskOp part : own)
          tiles += part.getHi() - part.getLo();
        SmallVector<int64_t> &done = load[chiplet];
        SmallVector<int64_t> left = deal(tiles, done, isBalanced);
        if (!isAware && own.size() > 1) {
          // Each range is a task of its own, the next worker's.
          for (auto [i, part] : llvm::enumerate(own)) {
            ChipletTaskOp op = part;
            b.createBlock(&op.getCus());
            CuTaskOp::create(b, op.getLoc(), i % workers, op.getLo(),
                             op.getHi());
          }
          continue;
        }
        int64_t worker = 0;
        for (ChipletTaskOp part : own) {
          b.createBlock(&part.getCus());
          for (int64_t lo = part.getLo(), hi = part.getHi(); lo < hi;) {
            while (!left[worker])
              ++worker;
            int64_t take = std::min(left[worker], hi - lo);
            CuTaskOp::create(b, part.getLoc(), worker, lo, lo + take);
            left[worker] -= take;
            done[worker] += take * bytes;
            lo += take;
          }
        }
      }
    }
  }
};
} // namespace
} // namespace mlir::fleet
