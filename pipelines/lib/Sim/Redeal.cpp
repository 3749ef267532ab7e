//===- Redeal.cpp - The same tiles, dealt to workers in another way
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fleet/Sim/Schedule.h"

#include "llvm/ADT/STLExtras.h"

#include <algorithm>

using namespace mlir;
using namespace mlir::fleet;
using namespace mlir::fleet::sim;

namespace {
/// What is dealt at once: a group of tiles, for a part of the rows.
using Unit = std::vector<uint32_t>;
} // namespace

/// The units of `tiles`, in the order of the traversal.
static std::vector<Unit> unitsOf(ArrayRef<uint32_t> tiles, int64_t group, uint32_t parts, Traversal traversal) {
  std::vector<std::vector<uint32_t>> groups;
  for (size_t i = 0; i < tiles.size(); i += group)
    groups.push_back({tiles.begin() + i, tiles.begin() + std::min<size_t>(tiles.size(), i + group)});
  std::vector<Unit> units;
  auto add = [&](const std::vector<uint32_t> &group, uint32_t part) {
    Unit unit;
    for (uint32_t tile : group)
      unit.push_back(tile * parts + part);
    units.push_back(std::move(unit));
  };
  if (traversal == Traversal::NMajor)
    for (uint32_t part = 0; part < parts; ++part)
      for (const auto &group : groups)
        add(group, part);
  else
    for (const auto &group : groups)
      for (uint32_t part = 0; part < parts; ++part)
        add(group, part);
  return units;
}

void fleet::sim::redeal(Schedule &s, const Deal &deal) {
  if (deal.isCompiled())
    return;
  // The tiles of each task on each chiplet, as compiled.
  std::vector<std::vector<std::vector<uint32_t>>> tiles(s.tasks.size());
  for (auto &of : tiles)
    of.resize(s.chiplets);
  for (const CuTask &cu : s.cuTasks)
    llvm::append_range(tiles[cu.task][cu.worker / s.workers], cu.pieces);
  s.cuTasks.clear();
  for (auto &queue : s.queues)
    queue.clear();
  // Tiles leave their chiplets: nobody knows where the parts of a task are.
  if (!deal.awareOfChiplets)
    waitForAll(s);
  int64_t runners = deal.isDynamic ? std::max<int64_t>(1, s.workers - 1) : s.workers;
  for (size_t id = 0; id < s.tasks.size(); ++id) {
    DeviceTask &task = s.tasks[id];
    const Body &body = s.bodies[task.body];
    int64_t group = 1;
    for (const auto &[name, size] : deal.groups)
      if (name == body.name)
        group = size;
    if (body.isContraction && deal.traversal != Traversal::FullM)
      task.rowParts = (s.rows + deal.rowTile - 1) / deal.rowTile;
    std::vector<std::vector<Unit>> units(s.chiplets);
    if (deal.awareOfChiplets || task.isReplicated) {
      for (int64_t c = 0; c < s.chiplets; ++c)
        units[c] = unitsOf(tiles[id][c], group, task.rowParts, deal.traversal);
    } else {
      std::vector<uint32_t> all;
      for (auto &of : tiles[id])
        llvm::append_range(all, of);
      llvm::sort(all);
      // Workgroups are numbered over the chiplets in turn.
      for (auto [i, unit] : llvm::enumerate(unitsOf(all, group, task.rowParts, deal.traversal)))
        units[i % s.chiplets].push_back(unit);
    }
    for (int64_t c = 0; c < s.chiplets; ++c) {
      int64_t count = units[c].size();
      auto give = [&](int64_t rank, int64_t lo, int64_t hi, int64_t step) {
        if (lo >= hi)
          return;
        CuTask cu;
        cu.task = id;
        cu.worker = c * s.workers + rank;
        for (int64_t i = lo; i < hi; i += step)
          llvm::append_range(cu.pieces, units[c][i]);
        s.queues[cu.worker].push_back(s.cuTasks.size());
        s.cuTasks.push_back(std::move(cu));
      };
      if (!deal.awareOfChiplets && !task.isReplicated) {
        for (int64_t i = 0; i < count; ++i)
          give(i % runners, i, i + 1, 1);
        continue;
      }
      for (int64_t rank = 0; rank < runners; ++rank)
        if (deal.isDynamic)
          give(rank, rank, count, runners);
        else
          give(rank, rank * count / runners, (rank + 1) * count / runners, 1);
    }
  }
}
