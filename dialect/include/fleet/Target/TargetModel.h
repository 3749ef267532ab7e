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

/// What a backend's contractions take in f32, on the left of a weight in bf16, and
/// multiply with more than bf16's precision: in a step whose contractions have at
/// most `rows` rows, left sides of at most `depth` contracted elements. Those of less
/// than kManyRows rows, which a worker makes for itself, have at most `bytes` bytes.
/// Without such all are 0.
struct WideLeft {
  int64_t rows = 0, depth = 0, bytes = 0;

  /// Of a left side of `rows` x `depth`.
  bool takes(int64_t leftRows, int64_t leftDepth) const {
    return leftRows <= rows && leftDepth <= depth && (leftRows >= kManyRows || leftRows * leftDepth * 4 <= bytes);
  }
};
WideLeft getWideLeft(Backend backend);
} // namespace mlir::fleet

#endif // FLEET_TARGET_TARGETMODEL_H
