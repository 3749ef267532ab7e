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
} // namespace mlir::fleet

#endif // FLEET_TARGET_TARGETMODEL_H
