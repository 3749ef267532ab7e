//===- Footprints.h - The bytes that tasks touch ----------------*- C++ -*-===//
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FLEET_LIB_TRANSFORMS_FOOTPRINTS_H
#define FLEET_LIB_TRANSFORMS_FOOTPRINTS_H

#include "../Sim/ReadBody.h"
#include "Utils.h"

#include "llvm/ADT/BitVector.h"

#include <array>
#include <map>

namespace mlir::fleet {
/// [begin, end), rising, apart from each other.
using Bytes = std::vector<std::pair<int64_t, int64_t>>;

/// The bytes that the parts of a task on each chiplet touch, found by following
/// its body tile by tile.
class Footprints {
public:
  explicit Footprints(ModuleOp module);

  /// The chiplets that have a part of `task`.
  llvm::BitVector chipletsOf(TaskOp task) const;

  /// Bytes of operand `operand` that are read, or written, by chiplet, from the
  /// beginning of its instance there. Null where the body does what cannot be
  /// followed.
  const std::vector<Bytes> *find(TaskOp task, unsigned operand, bool writes);

  /// True if each chiplet's part of `reader` reads of `operand` only what the
  /// same chiplet's part of `writer` wrote, its last operand, and both have
  /// parts on the same chiplets.
  bool staysOnChiplets(TaskOp writer, TaskOp reader, unsigned operand);

private:
  using Ranges = std::vector<std::array<int64_t, 3>>; // chiplet, lo, hi

  ModuleOp module;
  int64_t rows = 1, chiplets = 1;
  std::map<std::pair<Operation *, int64_t>, std::optional<sim::Body>> bodies;
  std::map<std::tuple<Operation *, Ranges, unsigned, bool>, std::vector<Bytes>>
      known;
  std::map<std::tuple<Operation *, Ranges, unsigned, Operation *, Ranges>, bool>
      compared;

  static Ranges rangesOf(TaskOp task);
  const sim::Body *bodyOf(TaskOp task);
};
} // namespace mlir::fleet

#endif // FLEET_LIB_TRANSFORMS_FOOTPRINTS_H
