//===- Utils.h - Shared by the transforms -----------------------*- C++ -*-===//
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FLEET_LIB_TRANSFORMS_UTILS_H
#define FLEET_LIB_TRANSFORMS_UTILS_H

#include "fleet/IR/Fleet.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

namespace mlir::fleet {
/// A generic of one result that computes each element on its own.
inline bool isElementwise(Operation *op) {
  auto generic = dyn_cast<linalg::GenericOp>(op);
  return generic && generic.getNumResults() == 1 && generic.getNumLoops() == generic.getNumParallelLoops();
}

/// The module's function @step; null after an error.
inline func::FuncOp requireStep(ModuleOp module) {
  auto step = module.lookupSymbol<func::FuncOp>("step");
  if (step && !step.isExternal())
    return step;
  module.emitError("expected a function @step, found none");
  return nullptr;
}

/// The module's target; null after an error.
inline TargetAttr requireTarget(ModuleOp module) {
  auto target = module->getAttrOfType<TargetAttr>("fleet.target");
  if (!target)
    module.emitError("expected a module with a fleet.target, found none; run fleet-set-target");
  return target;
}

/// The body of `task`; null after an error.
inline func::FuncOp requireBody(ModuleOp module, TaskOp task) {
  auto body = module.lookupSymbol<func::FuncOp>(task.getBody());
  if (body && !body.isExternal())
    return body;
  task.emitError("expected a body @") << task.getBody() << ", found none";
  return nullptr;
}

/// True if all operands of `task` are buffers, of which the last is the result; else an error.
inline bool requireBuffers(TaskOp task) {
  if (task.getOperands().empty()) {
    task.emitError("expected a task on buffers, found no operand");
    return false;
  }
  for (Value operand : task.getOperands())
    if (!operand.getDefiningOp<BufferOp>()) {
      task.emitError("expected a task on buffers, found an operand of type ") << operand.getType();
      return false;
    }
  return true;
}

/// An op that shows the bytes of its first operand in another shape.
inline bool isView(Operation *op) {
  return isa<tensor::ExtractSliceOp, tensor::ExpandShapeOp, tensor::CollapseShapeOp>(op);
}
} // namespace mlir::fleet

#endif // FLEET_LIB_TRANSFORMS_UTILS_H
