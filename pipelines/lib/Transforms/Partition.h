//===- Partition.h - How tasks are cut --------------------------*- C++ -*-===//
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FLEET_LIB_TRANSFORMS_PARTITION_H
#define FLEET_LIB_TRANSFORMS_PARTITION_H

#include "Utils.h"

#include <array>

namespace mlir::fleet {
/// Tiles [lo, hi) of a task.
struct TileRange {
  int64_t lo, hi;
  bool operator==(const TileRange &other) const {
    return lo == other.lo && hi == other.hi;
  }
};

/// How a body is cut where nothing else is asked for: by what computes its
/// result.
PartitionAttr getDefaultPartition(func::FuncOp body, TargetAttr target);

/// A contraction by a stored weight, and what is computed from its result.
struct RowContraction {
  linalg::MatmulOp matmul;
  BlockArgument weight; ///< `NxK`, used transposed
  BlockArgument input;  ///< of which the left side is a view
  int64_t rows, depth, columns;
};

/// The only contraction of `body`, if its left side is a view of all of an
/// argument.
std::optional<RowContraction> matchRowContraction(func::FuncOp body);

/// Parts of a producer's tiled dimension, of each of which chunk c of C is what
/// chunk c of the consumer's tiles reads.
struct Segment {
  int64_t offset, width;
  bool operator==(const Segment &other) const {
    return offset == other.offset && width == other.width;
  }
};

/// What chunks of the tiles of `body` read of argument `arg`; nothing if all of
/// it.
SmallVector<Segment> segmentsRead(func::FuncOp body, unsigned arg);

/// Bytes of parameters and caches that a tile of `task` reads, and all its
/// tiles.
int64_t bytesOfTile(TaskOp task, PartitionAttr partition);
} // namespace mlir::fleet

#endif // FLEET_LIB_TRANSFORMS_PARTITION_H
