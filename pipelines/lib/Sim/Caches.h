//===- Caches.h - L2 and memory side caches
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FLEET_LIB_SIM_CACHES_H
#define FLEET_LIB_SIM_CACHES_H

#include "llvm/ADT/STLFunctionalExtras.h"

#include <cstdint>
#include <memory>
#include <vector>

namespace mlir::fleet::sim {
constexpr int64_t kLine = 128;
/// A block is 32 lines: a mask names lines of one block.
constexpr int64_t kBlock = 32 * kLine;

/// The lines of a block that left a cache, and which of them were written there.
struct Victim {
  uint64_t block;
  uint32_t dirty;
};

/// A cache of 16 ways with least recently used replacement. It knows which lines it holds.
class Cache {
public:
  virtual ~Cache() = default;
  /// Touches lines of a block: all of them are held afterwards. Returns those that were
  /// held before. What had to go is added to `victims` where it was written.
  virtual uint32_t touch(uint64_t block, uint32_t lines, bool writes, std::vector<Victim> &victims) = 0;
  /// Another cache has written these lines.
  virtual void invalidate(uint64_t block, uint32_t lines) = 0;
  /// Hands all written lines to `give`; they stay, as unwritten ones.
  virtual void writeBack(llvm::function_ref<void(uint64_t, uint32_t)> give) = 0;

  /// Works on blocks: what a step of billions of bytes needs.
  static std::unique_ptr<Cache> ofBlocks(int64_t bytes);
  /// Works on lines.
  static std::unique_ptr<Cache> ofLines(int64_t bytes);
};
} // namespace mlir::fleet::sim

#endif // FLEET_LIB_SIM_CACHES_H
