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
    uint32_t &here = directory.make(block);
    uint32_t held = here & lines, dirty = 0;
    // Lines that were touched together before are: they become the youngest, and no set has more than it had.
    if (size_t at = held == lines ? group.find(block, lines) : kNone; at != kNone) {
      dirty = std::exchange(group.dirty[at], 0);
      if (writes && !dirty)
        written.push_back(block);
      group.lines[at] = 0;
      group.push(block, lines, writes ? lines : dirty);
      return lines;
    }
    if (held) {
      dirty = group.take(block, held);
      group.subtract(held);
    }
    here |= lines;
    group.push(block, lines, writes ? lines : dirty);
    if (writes && !dirty)
      written.push_back(block);
    group.add(lines);
    // Only sets with a new line can have one too many: the oldest of each goes.
    uint32_t over = held == lines ? 0 : group.countIs(shape.ways + 1);
    for (size_t i = over ? group.skipEmpty() : 0; over; ++i) {
      i = group.findLines(over, i);
      uint32_t gone = group.lines[i] & over;
      if (gone & group.dirty[i])
        victims.push_back({group.blocks[i], gone & group.dirty[i]});
      directory.make(group.blocks[i]) &= ~gone;
      group.lines[i] &= ~gone;
      group.dirty[i] &= ~gone;
      group.subtract(gone);
      over &= ~gone;
    }
    return held;
  }

  void invalidate(uint64_t block, uint32_t lines) override {
    uint32_t held = directory.linesOf(block) & lines;
    if (!held)
      return;
    Group &group = groups[shape.groupOf(block)];
    group.take(block, held);
    group.subtract(held);
    directory.make(block) &= ~held;
  }

  void writeBack(llvm::function_ref<void(uint64_t, uint32_t)> give) override {
    for (uint64_t block : written) {
      Group &group = groups[shape.groupOf(block)];
      uint32_t dirty = 0;
      for (size_t i = group.find(block); i != kNone; i = group.find(block, 0, i))
        dirty |= std::exchange(group.dirty[i], 0);
      if (dirty)
        give(block, dirty);
    }
    written.clear();
  }

private:
  static constexpr size_t kNone = ~size_t(0);
  struct Group {
    /// Of each entry, oldest first: its block (2^32 of them are 16 TiB), its lines and those of them that
    /// were written. Entries without lines are in between, until there are too many of them.
    std::vector<uint32_t> blocks, lines, dirty;
    size_t begin = 0, end = 0; ///< from the first entry that may have lines to the youngest
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
    size_t skipEmpty() {
      while (begin < end && !lines[begin])
        ++begin;
      return begin;
    }
    void push(uint32_t block, uint32_t which, uint32_t ofThemDirty) {
      if (end == blocks.size())
        compact();
      blocks[end] = block;
      lines[end] = which;
      dirty[end++] = ofThemDirty;
    }
    void compact() {
      size_t kept = 0;
      for (size_t i = begin; i < end; ++i)
        if (lines[i]) {
          blocks[kept] = blocks[i];
          lines[kept] = lines[i];
          dirty[kept++] = dirty[i];
        }
      begin = 0;
      end = kept;
      for (auto *part : {&blocks, &lines, &dirty})
        part->resize(std::max<size_t>(64, 2 * kept));
    }
    /// The oldest entry from `i` on that has some of `which` lines; there is one.
    size_t findLines(uint32_t which, size_t i) const {
      for (; i + 8 <= end; i += 8) {
        uint32_t all = 0;
        for (size_t k = 0; k < 8; ++k)
          all |= lines[i + k];
        if (all & which)
          break;
      }
      while (!(lines[i] & which))
        ++i;
      return i;
    }
    /// The youngest entry before `before` of a block that has just `which` lines; any lines if it is 0.
    size_t find(uint32_t block, uint32_t which = 0, size_t before = kNone) const {
      constexpr size_t kAtOnce = 16;
      size_t i = std::min(before, end);
      auto is = [&](size_t at) { return blocks[at] == block && (which ? lines[at] == which : lines[at] != 0); };
      for (; i >= begin + kAtOnce; i -= kAtOnce) {
        const uint32_t *from = &blocks[i - kAtOnce];
        uint32_t isAny = 0;
        for (size_t k = 0; k < kAtOnce; ++k)
          isAny |= from[k] == block;
        for (size_t k = kAtOnce; isAny && k-- > 0;)
          if (is(i - kAtOnce + k))
            return i - kAtOnce + k;
      }
      while (i-- > begin)
        if (is(i))
          return i;
      return kNone;
    }
    /// Takes lines of a block out that are there, returns which of them were written.
    uint32_t take(uint32_t block, uint32_t which) {
      uint32_t wasDirty = 0;
      for (size_t i = find(block); which; i = find(block, 0, i)) {
        uint32_t here = lines[i] & which;
        wasDirty |= dirty[i] & here;
        lines[i] &= ~here;
        dirty[i] &= ~here;
        which &= ~here;
      }
      return wasDirty;
    }
  };

  /// Which lines of each block are held, in pages that are made when they are needed.
  struct Directory {
    static constexpr uint64_t kPage = 1024;
    std::vector<std::unique_ptr<std::array<uint32_t, kPage>>> pages;

    uint32_t linesOf(uint64_t block) const {
      uint64_t page = block / kPage;
      return page < pages.size() && pages[page] ? (*pages[page])[block % kPage] : 0;
    }
    uint32_t &make(uint64_t block) {
      uint64_t page = block / kPage;
      if (page >= pages.size())
        pages.resize(page + 1);
      if (!pages[page])
        pages[page] = std::make_unique<std::array<uint32_t, kPage>>();
      return (*pages[page])[block % kPage];
    }
  };

  Shape shape;
  std::vector<Group> groups;
  Directory directory;
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
