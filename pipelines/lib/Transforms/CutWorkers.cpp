//===- CutWorkers.cpp
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Partition.h"

#include "fleet/Transforms/Passes.h"
#include "fleet/Transforms/Switches.h"

#include "llvm/ADT/BitVector.h"
#include "llvm/ADT/ScopeExit.h"

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

  /// The same for a task whose tiles are for those who have none of the task before it.
  static SmallVector<int64_t> dealBeside(int64_t tiles, ArrayRef<int64_t> load, const llvm::BitVector &busy,
                                         bool isBalanced) {
    SmallVector<int64_t> free, ofFree, count(load.size(), 0);
    for (auto [w, own] : llvm::enumerate(load))
      if (!busy.test(w)) {
        free.push_back(w);
        ofFree.push_back(own);
      }
    if (free.empty())
      return deal(tiles, load, isBalanced);
    for (auto [w, own] : llvm::zip_equal(free, deal(tiles, ofFree, isBalanced)))
      count[w] = own;
    return count;
  }

  /// Slices of the contracted dimension whose tiles a chiplet has, if more than one.
  static int64_t slicesOf(TaskOp task, ArrayRef<ChipletTaskOp> own) {
    PartitionAttr partition = *task.getPartition();
    ChipletTaskOp part = own.front();
    if (partition.getKind() != PartitionKind::Rows || own.size() > 1)
      return 1;
    return (part.getHi() - part.getLo()) / (partition.getTiles() / partition.getSplits());
  }

  /// Each slice to as many workers: all tiles of a worker are of one.
  static void dealSlices(OpBuilder &b, ChipletTaskOp part, int64_t slices, bool isBalanced, int64_t bytes,
                         SmallVector<int64_t> &load) {
    int64_t workers = load.size(), lo = part.getLo(), each = (part.getHi() - lo) / slices;
    b.createBlock(&part.getCus());
    for (int64_t s = 0; s < slices; ++s) {
      int64_t first = s * workers / slices, count = (s + 1) * workers / slices - first;
      for (auto [i, tiles] : llvm::enumerate(deal(each, ArrayRef(load).slice(first, count), isBalanced)))
        if (tiles) {
          CuTaskOp::create(b, part.getLoc(), first + i, lo, lo + tiles);
          load[first + i] += tiles * bytes;
          lo += tiles;
        }
    }
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
    // Who has a part of the task before.
    std::vector<llvm::BitVector> busy(target.getChiplets(), llvm::BitVector(workers));
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
      llvm::scope_exit noteBusy([&] {
        for (llvm::BitVector &own : busy)
          own.reset();
        for (ChipletTaskOp part : parts)
          for (auto cu : part.getCus().getOps<CuTaskOp>())
            busy[part.getChiplet()].set(cu.getWorker());
        task->removeAttr("fleet.beside");
      });
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
        SmallVector<int64_t> left = task->hasAttr("fleet.beside") ? dealBeside(tiles, done, busy[chiplet], isBalanced)
                                                                  : deal(tiles, done, isBalanced);
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
        int64_t slices = slicesOf(task, own);
        if (slices > workers) {
          task.emitError("expected a worker for each of ") << slices << " slices, found " << workers << " workers";
          return signalPassFailure();
        }
        if (slices > 1) {
          dealSlices(b, own.front(), slices, isBalanced, bytes, done);
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
