//===- Memory.h - Caches of a chip, and who reads what from where
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FLEET_LIB_SIM_MEMORY_H
#define FLEET_LIB_SIM_MEMORY_H

#include "Caches.h"

#include "fleet/Sim/Simulator.h"

#include <array>

namespace mlir::fleet::sim {
/// Where bytes come from.
enum Level { kL2, kMall, kHbm, kLevels };
using Bytes = std::array<int64_t, kLevels>;

class Memory {
public:
  Memory(const Schedule &schedule, const Options &options);

  /// `chiplet` reads bytes; what comes from each level is added to `bytes`.
  void read(int64_t chiplet, uint64_t address, int64_t count, Bytes &bytes);
  void write(int64_t chiplet, uint64_t address, int64_t count);
  /// Hands what `chiplet` has written to the memory side.
  void release(int64_t chiplet);
  /// A new step begins: counts are 0, caches are as they were.
  void beginStep();

  int64_t l2Requests, l2Hits, mallRequests, mallHits, hbmReads, hbmWrites, compulsory; // lines

private:
  void take(uint64_t block, uint32_t lines);

  std::vector<std::unique_ptr<Cache>> l2;
  std::unique_ptr<Cache> mall;
  std::vector<uint32_t> known; ///< lines of each block that the step has read or written
  std::vector<Victim> victims, mallVictims;
};
} // namespace mlir::fleet::sim

#endif // FLEET_LIB_SIM_MEMORY_H
