//===- Memory.cpp - Caches of a chip, and who reads what from where
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Memory.h"

#include "llvm/ADT/bit.h"

#include <algorithm>

using namespace mlir::fleet::sim;
using llvm::popcount;

/// Calls `visit` with each block of the bytes and its lines.
template <typename Visit> static void forBlocks(uint64_t address, int64_t count, Visit visit) {
  if (count <= 0)
    return;
  uint64_t first = address / kLine, last = (address + count - 1) / kLine;
  for (uint64_t block = first / 32; block <= last / 32; ++block) {
    uint64_t lo = std::max(first, block * 32) % 32, hi = std::min(last, block * 32 + 31) % 32;
    visit(block, static_cast<uint32_t>(((uint64_t(2) << hi) - 1) & ~((uint64_t(1) << lo) - 1)));
  }
}

Memory::Memory(const Schedule &schedule, const Options &options) {
  auto make = [&](int64_t bytes) { return options.isExact ? Cache::ofLines(bytes) : Cache::ofBlocks(bytes); };
  for (int64_t c = 0; c < schedule.chiplets; ++c)
    l2.push_back(make(schedule.l2));
  if (options.parameters.mallBytes > 0)
    mall = make(options.parameters.mallBytes);
  known.resize(schedule.bytes / kBlock + 1);
  beginStep();
}

void Memory::beginStep() {
  l2Requests = l2Hits = mallRequests = mallHits = hbmReads = hbmWrites = compulsory = 0;
  std::fill(known.begin(), known.end(), 0);
}

/// Written lines arrive at the memory side.
void Memory::take(uint64_t block, uint32_t lines) {
  if (!mall) {
    hbmWrites += popcount(lines);
    return;
  }
  mall->touch(block, lines, /*writes=*/true, mallVictims);
  for (const Victim &victim : mallVictims)
    hbmWrites += popcount(victim.dirty);
  mallVictims.clear();
}

void Memory::read(int64_t chiplet, uint64_t address, int64_t count, Bytes &bytes) {
  forBlocks(address, count, [&](uint64_t block, uint32_t lines) {
    uint32_t held = l2[chiplet]->touch(block, lines, /*writes=*/false, victims);
    for (const Victim &victim : victims)
      take(victim.block, victim.dirty);
    victims.clear();
    l2Requests += popcount(lines);
    l2Hits += popcount(held);
    bytes[kL2] += popcount(held) * kLine;
    compulsory += popcount(lines & ~known[block]);
    known[block] |= lines;
    uint32_t missed = lines & ~held;
    if (!missed)
      return;
    uint32_t beside = 0;
    if (mall) {
      beside = mall->touch(block, missed, /*writes=*/false, mallVictims);
      for (const Victim &victim : mallVictims)
        hbmWrites += popcount(victim.dirty);
      mallVictims.clear();
      mallRequests += popcount(missed);
      mallHits += popcount(beside);
    }
    bytes[kMall] += popcount(beside) * kLine;
    bytes[kHbm] += popcount(missed & ~beside) * kLine;
    hbmReads += popcount(missed & ~beside);
  });
}

void Memory::write(int64_t chiplet, uint64_t address, int64_t count) {
  forBlocks(address, count, [&](uint64_t block, uint32_t lines) {
    l2[chiplet]->touch(block, lines, /*writes=*/true, victims);
    for (const Victim &victim : victims)
      take(victim.block, victim.dirty);
    victims.clear();
    known[block] |= lines;
    // What others hold of it is stale: they drop it when they acquire, before they read it again.
    for (size_t other = 0; other < l2.size(); ++other)
      if (static_cast<int64_t>(other) != chiplet)
        l2[other]->invalidate(block, lines);
  });
}

void Memory::release(int64_t chiplet) {
  if (l2.size() == 1 && !mall)
    return; // one coherent L2: nothing has to leave it
  l2[chiplet]->writeBack([&](uint64_t block, uint32_t lines) { take(block, lines); });
}
