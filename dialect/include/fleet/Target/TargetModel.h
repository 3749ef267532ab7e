//===- TargetModel.h - Predefined targets -----------------------*- C++ -*-===//
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FLEET_TARGET_TARGETMODEL_H
#define FLEET_TARGET_TARGETMODEL_H

#include "fleet/IR/Fleet.h"

namespace mlir::fleet {
/// The predefined target `name`, or null.
TargetAttr getPredefinedTarget(MLIRContext *context, StringRef name);

/// Names of the predefined targets.
ArrayRef<StringRef> getPredefinedTargetNames();

/// Rows of a step from which on each row is work of its own; with fewer, all rows
/// are one piece of work, as a weight that is read once serves them all. It decides
/// how the row-wise ops beside contractions are cut: attention is merged by rows and
/// key/value heads, no longer all rows of a head at once; on GPUs norms, rotations
/// and gathers are tasks of their own, and on those of NVIDIA an argmax is a task a
/// row, not split by columns, a warp's attention is of one row, and tiles of
/// contractions are computed together. All passes must agree on it.
constexpr int64_t getManyRows(Backend backend) { return backend == Backend::NVVM ? 3 : 8; }

/// What a backend's contractions take in f32, on the left of a weight in bf16, and
/// multiply with more than bf16's precision: in a step whose contractions have at
/// most `rows` rows, left sides of at most `depth` contracted elements. Without such
/// both are 0.
struct WideLeft {
  int64_t rows = 0, depth = 0;

  /// Of a left side of `leftRows` x `leftDepth`.
  bool takes(int64_t leftRows, int64_t leftDepth) const { return leftRows <= rows && leftDepth <= depth; }
};
WideLeft getWideLeft(Backend backend);
} // namespace mlir::fleet

#endif // FLEET_TARGET_TARGETMODEL_H
