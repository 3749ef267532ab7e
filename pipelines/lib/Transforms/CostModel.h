//===- CostModel.h - What a cut costs ---------------------------*- C++ -*-===//
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FLEET_LIB_TRANSFORMS_COSTMODEL_H
#define FLEET_LIB_TRANSFORMS_COSTMODEL_H

#include "fleet/IR/Fleet.h"
#include "fleet/Sim/Parameters.h"

namespace mlir::fleet {
/// Nanoseconds of a contraction and of what it exchanges, cut by columns and by
/// rows.
struct PairedCost {
  double columns, rows;
};

/// A contraction that the workers of one chiplet share.
struct SlicedContraction {
  int64_t rows, depth, columns;
  int64_t tile; ///< columns of a tile
  bool isWide;  ///< its left side is of f32
  bool isAdded; ///< who needs its result next can add the slices himself
};

/// Estimates in nanoseconds, from the figures of the chip that the simulator
/// has too.
class CostModel {
public:
  explicit CostModel(TargetAttr target);

  /// From one chiplet's last arrival until the workers of all others go on.
  double deviceExchange() const;
  /// From the last arrival until the workers of the same chiplet go on.
  double chipletExchange() const;

  /// A contraction of `rows` rows, `depth` terms and `columns` columns whose
  /// left side was made by the chiplets in slices of its depth, and whose
  /// result all chiplets need.
  PairedCost comparePaired(int64_t rows, int64_t depth, int64_t columns) const;

  /// Columns of a tile of a contraction by rows: wide, as it is not deep, but a
  /// tile for each worker.
  int64_t columnsOfSlices(int64_t rows, int64_t columns, int64_t least) const;

  /// Into how many slices of its depth, each for a part of the workers of one chiplet, a
  /// contraction is cut best; 1: by columns. `isForced`: 1 is no answer, if there is another.
  int64_t chooseSlices(const SlicedContraction &c, bool isForced) const;

  /// Time of such a contraction in so many slices, and of adding them.
  double sliced(int64_t slices, const SlicedContraction &c) const;

  /// The cheapest order of the tiles of a contraction that the code generator
  /// of the target has; `wanted` is that of the switch.
  TraversalAttr chooseTraversal(StringRef wanted, int64_t rows, int64_t depth,
                                int64_t columns, int64_t tile) const;

  /// A contraction's time under a traversal, with tiles of `rowTile` rows where
  /// it is not full_m.
  double traverse(Traversal traversal, int64_t rows, int64_t depth,
                  int64_t columns, int64_t tile, int64_t rowTile) const;

  /// A worker's attention over one of `parts` parts of the context, and the merge
  /// of one query head: what stands between queries and their values. `rows` rows
  /// of own caches, `group` query heads a key/value head of `size` elements.
  double attendInParts(int64_t parts, int64_t rows, int64_t group, int64_t size,
                       int64_t context) const;

  /// Time of `bytes` from HBM, at a worker's share of its bandwidth.
  double stream(double bytes) const;

private:
  TargetAttr target;
  sim::Parameters p;
  double chiplets, workers;

  /// Nanoseconds of `bytes` at `gbs`; a rate of 0 is no limit.
  static double at(double bytes, double gbs) {
    return gbs > 0 ? bytes / gbs : 0;
  }
  /// One worker reads `bytes` beside its ring, so many at once, each after `latency`.
  double load(double bytes, double latency) const;
  /// Every chiplet takes in `bytes` that are in no L2 of its own.
  double gather(double bytes) const;
};
} // namespace mlir::fleet

#endif // FLEET_LIB_TRANSFORMS_COSTMODEL_H
