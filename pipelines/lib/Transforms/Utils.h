//===- Utils.h - Shared by the transforms -----------------------*- C++ -*-===//
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FLEET_LIB_TRANSFORMS_UTILS_H
#define FLEET_LIB_TRANSFORMS_UTILS_H

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

namespace mlir::fleet {
/// A generic of one result that computes each element on its own.
inline bool isElementwise(Operation *op) {
  auto generic = dyn_cast<linalg::GenericOp>(op);
  return generic && generic.getNumResults() == 1 && generic.getNumLoops() == generic.getNumParallelLoops();
}

/// An op that shows the bytes of its first operand in another shape.
inline bool isView(Operation *op) {
  return isa<tensor::ExtractSliceOp, tensor::ExpandShapeOp, tensor::CollapseShapeOp>(op);
}
} // namespace mlir::fleet

#endif // FLEET_LIB_TRANSFORMS_UTILS_H
