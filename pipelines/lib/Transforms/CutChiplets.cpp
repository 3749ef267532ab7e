//===- CutChiplets.cpp
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CostModel.h"
#include "Partition.h"

#include "fleet/Transforms/Passes.h"
#include "fleet/Transforms/Switches.h"

#include <numeric>

namespace mlir::fleet {
#define GEN_PASS_DEF_CUTCHIPLETS
#include "fleet/Transforms/Passes.h.inc"

namespace {
struct CutChiplets : impl::CutChipletsBase<CutChiplets> {
  /// The ranges of each chiplet.
  using Deal = std::vector<SmallVector<TileRange>>;

  /// Equal parts of each segment.
  static Deal dealSegments(ArrayRef<int64_t> segments, int64_t chiplets) {
    Deal deal(chiplets);
    for (size_t i = 0; i < segments.size(); i += 2)
      for (int64_t c = 0; c < chiplets; ++c)
        deal[c].push_back({segments[i] + c * segments[i + 1] / chiplets,
                           segments[i] + (c + 1) * segments[i + 1] / chiplets});
    return deal;
  }

  /// One range each; whoever has least to do gets what cannot be dealt evenly.
  static Deal dealBalanced(int64_t tiles, ArrayRef<int64_t> load) {
    int64_t chiplets = load.size();
    SmallVector<int64_t> order(chiplets), count(chiplets, tiles / chiplets);
    std::iota(order.begin(), order.end(), 0);
    llvm::stable_sort(order,
                      [&](int64_t x, int64_t y) { return load[x] < load[y]; });
    for (int64_t c : ArrayRef(order).take_front(tiles % chiplets))
      ++count[c];
    Deal deal(chiplets);
    for (int64_t c = 0, lo = 0; c < chiplets; lo += count[c++])
      if (count[c])
        deal[c].push_back({lo, lo + count[c]});
    return deal;
  }

  /// Tile t on chiplet t mod chiplets, each a task.
  static Deal dealUnaware(int64_t tiles, int64_t chiplets) {
    Deal deal(chiplets);
    for (int64_t t = 0; t < tiles; ++t)
      deal[t % chiplets].push_back({t, t + 1});
    return deal;
  }

  /// All rows of a tile together, each weight byte fetched once, unless another
  /// order costs less.
  TraversalAttr chooseTraversal(const CostModel &costs, func::FuncOp body,
                                PartitionAttr partition) {
    auto type = cast<RankedTensorType>(
        body.getBody().front().getTerminator()->getOperand(0).getType());
    SmallVector<linalg::MatmulOp> matmuls(body.getOps<linalg::MatmulOp>());
    if (partition.getKind() != PartitionKind::Columns || matmuls.empty() ||
        type.getRank() != 2)
      return TraversalAttr::get(&getContext(), Traversal::FullM);
    int64_t depth = cast<ShapedType>(matmuls.front().getInputs()[0].getType())
                        .getDimSize(1);
    return costs.chooseTraversal(getSwitch(getOperation(), "traversal"),
                                 type.getDimSize(0), depth, type.getDimSize(1),
                                 partition.getSize());
  }

  void runOnOperation() override {
    ModuleOp module = getOperation();
    TargetAttr target = requireTarget(module);
    if (!target)
      return signalPassFailure();
    int64_t chiplets = target.getChiplets();
    bool isAware = getSwitch(module, "chiplets") == "aware",
         isBalanced = getSwitch(module, "queues") != "even";
    CostModel costs(target);
    SmallVector<int64_t> load(chiplets, 0);
    OpBuilder b(&getContext());
    SmallVector<TaskOp> tasks;
    module.walk([&](TaskOp task) { tasks.push_back(task); });
    for (TaskOp task : tasks) {
      func::FuncOp body = requireBody(module, task);
      if (!body)
        return signalPassFailure();
      if (!task.getPartition())
        task.setPartitionAttr(getDefaultPartition(body, target));
      PartitionAttr partition = *task.getPartition();
      if (!task.getTraversal())
        task.setTraversalAttr(chooseTraversal(costs, body, partition));
      int64_t tiles = partition.getTiles();
      Deal deal(chiplets);
      auto segments = task->getAttrOfType<DenseI64ArrayAttr>("fleet.segments");
      task->removeAttr("fleet.segments");
      if (partition.getKind() == PartitionKind::Replicated)
        llvm::fill(deal, SmallVector<TileRange>{{0, tiles}});
      else if (segments)
        deal = dealSegments(segments, chiplets);
      else if (!isAware)
        deal = dealUnaware(tiles, chiplets);
      else
        deal = isBalanced ? dealBalanced(tiles, load)
                          : dealSegments({0, tiles}, chiplets);
      int64_t bytes = bytesOfTile(task, partition);
      b.createBlock(&task.getChiplets());
      for (auto [c, ranges] : llvm::enumerate(deal))
        for (TileRange range : ranges)
          if (range.lo < range.hi) {
            ChipletTaskOp::create(b, task.getLoc(), c, range.lo, range.hi);
            load[c] += (range.hi - range.lo) * bytes;
          }
    }
  }
};
} // namespace
} // namespace mlir::fleet
