//===- Caches.cpp - L2 and memory side caches
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Caches.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/bit.h"

#include <algorithm>
#include <array>
#include <utility>

using namespace mlir::fleet::sim;

namespace {
/// Sets and ways of a cache of some bytes. The lines of a block stand in 32 sets that follow each other.
struct Shape {
  int64_t groups; ///< of 32 sets
  uint32_t ways;
  explicit Shape(int64_t bytes)
      : groups(std::max<int64_t>(1, bytes / (16 * kBlock))),
        ways(std::clamp<int64_t>(bytes / (groups * kBlock), 1, 31)) {}
  /// Neighbours stand in different groups; equal places of large powers of two do, too.
  int64_t groupOf(uint64_t block) const { return (block + block / groups * 7) % groups; }
};

/// Lines of a block that were touched last at the same time are one entry, so that the order of
/// the entries of a group is the order of lines in each of its 32 sets. It holds what a cache
/// of lines holds, at a cost that does not grow with the lines of a run.
class BlockCache final : public Cache {
public:
  explicit BlockCache(int64_t bytes) : shape(bytes), groups(shape.groups) {}

  uint32_t touch(uint64_t block, uint32_t lines, bool writes, std::vector<Victim> &victims) override {
    Group &group = groups[shape.groupOf(block)];
    // Lines that were touched together before are: they become the youngest, and no set has more than it had.
    for (size_t i = group.entries.size(); i-- > 0;) {
      Entry entry = group.entries[i];
      if (entry.block != block || entry.lines != lines)
        continue;
      if (writes && !entry.dirty)
        written.push_back(block);
      entry.dirty = writes ? lines : entry.dirty;
      group.entries.erase(group.entries.begin() + i);
      group.entries.push_back(entry);
      return lines;
    }
    auto [held, dirty] = group.take(block, lines);
    group.entries.push_back({static_cast<uint32_t>(block), lines, writes ? lines : dirty});
    if (writes && !dirty)
      written.push_back(block);
    group.add(lines);
    // Only sets with a new line can have one too many: the oldest of each goes.
    uint32_t over = held == lines ? 0 : group.countIs(shape.ways + 1);
    bool isEmptied = false;
    for (size_t i = 0; over; ++i) {
      Entry &entry = group.entries[i];
      uint32_t gone = entry.lines & over;
      if (gone & entry.dirty)
        victims.push_back({entry.block, gone & entry.dirty});
      entry.lines &= ~gone;
      entry.dirty &= ~gone;
      isEmptied |= !entry.lines;
      group.subtract(gone);
      over &= ~gone;
    }
    if (isEmptied)
      llvm::erase_if(group.entries, [](const Entry &entry) { return !entry.lines; });
    return held;
  }

  void invalidate(uint64_t block, uint32_t lines) override {
    groups[shape.groupOf(block)].take(block, lines);
  }

  void writeBack(llvm::function_ref<void(uint64_t, uint32_t)> give) override {
    for (uint64_t block : written) {
      uint32_t dirty = 0;
      for (Entry &entry : groups[shape.groupOf(block)].entries)
        if (entry.block == block)
          dirty |= std::exchange(entry.dirty, 0);
      if (dirty)
        give(block, dirty);
    }
    written.clear();
  }

private:
  struct Entry {
    uint32_t block; ///< 2^32 of them are 16 TiB
    uint32_t lines, dirty;
  };
  struct Group {
    std::vector<Entry> entries; ///< oldest first
    /// Bit i of the words is the number of lines in set i.
    std::array<uint32_t, 6> counts{};

    void add(uint32_t lines) {
      for (uint32_t &bit : counts)
        lines = std::exchange(bit, bit ^ lines) & lines;
    }
    void subtract(uint32_t lines) {
      for (uint32_t &bit : counts)
        lines = ~std::exchange(bit, bit ^ lines) & lines;
    }
    uint32_t countIs(uint32_t number) const {
      uint32_t equal = ~0u;
      for (auto [i, bit] : llvm::enumerate(counts))
        equal &= number >> i & 1 ? bit : ~bit;
      return equal;
    }
    /// Takes lines out, returns those that were there and which were written.
    std::pair<uint32_t, uint32_t> take(uint32_t block, uint32_t lines) {
      uint32_t held = 0, dirty = 0;
      bool isEmptied = false;
      for (Entry &entry : entries)
        if (entry.block == block) {
          held |= entry.lines & lines;
          dirty |= entry.dirty & lines;
          entry.lines &= ~lines;
          entry.dirty &= ~lines;
          isEmptied |= !entry.lines;
        }
      if (isEmptied)
        llvm::erase_if(entries, [](const Entry &entry) { return !entry.lines; });
      subtract(held);
      return {held, dirty};
    }
  };

  Shape shape;
  std::vector<Group> groups;
  std::vector<uint64_t> written; ///< blocks with written lines, perhaps gone since
};

/// One line after the other, as hardware has it: the oracle of BlockCache.
class LineCache final : public Cache {
public:
  explicit LineCache(int64_t bytes) : shape(bytes), ways(shape.groups * 32 * shape.ways) {}

  uint32_t touch(uint64_t block, uint32_t lines, bool writes, std::vector<Victim> &victims) override {
    uint32_t held = 0;
    for (uint32_t rest = lines; rest; rest &= rest - 1) {
      uint32_t bit = llvm::countr_zero(rest);
      Way *set = setOf(block, bit), *at = findIn(set, block);
      if (at) {
        held |= 1u << bit;
      } else {
        at = std::min_element(set, set + shape.ways, [](const Way &x, const Way &y) { return x.used < y.used; });
        if (at->used && at->dirty)
          victims.push_back({at->block, 1u << bit});
        *at = {block, 0, false};
      }
      at->used = ++clock;
      at->dirty |= writes;
    }
    return held;
  }

  void invalidate(uint64_t block, uint32_t lines) override {
    for (uint32_t rest = lines; rest; rest &= rest - 1)
      if (Way *at = findIn(setOf(block, llvm::countr_zero(rest)), block))
        *at = {};
  }

  void writeBack(llvm::function_ref<void(uint64_t, uint32_t)> give) override {
    for (size_t i = 0; i < ways.size(); ++i)
      if (ways[i].used && std::exchange(ways[i].dirty, false))
        give(ways[i].block, 1u << (i / shape.ways % 32));
  }

private:
  struct Way {
    uint64_t block = 0, used = 0; // used: 0 is empty
    bool dirty = false;
  };

  Way *setOf(uint64_t block, uint32_t bit) { return &ways[(shape.groupOf(block) * 32 + bit) * shape.ways]; }
  Way *findIn(Way *set, uint64_t block) {
    Way *at = std::find_if(set, set + shape.ways, [&](const Way &w) { return w.used && w.block == block; });
    return at == set + shape.ways ? nullptr : at;
  }

  Shape shape;
  std::vector<Way> ways;
  uint64_t clock = 0;
};
} // namespace

std::unique_ptr<Cache> Cache::ofBlocks(int64_t bytes) { return std::make_unique<BlockCache>(bytes); }
std::unique_ptr<Cache> Cache::ofLines(int64_t bytes) { return std::make_unique<LineCache>(bytes); }
