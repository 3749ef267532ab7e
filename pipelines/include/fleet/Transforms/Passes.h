//===- Passes.h - Transforms ------------------------------------*- C++ -*-===//
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FLEET_TRANSFORMS_PASSES_H
#define FLEET_TRANSFORMS_PASSES_H

#include "fleet/IR/Fleet.h"
#include "mlir/Pass/Pass.h"

namespace mlir::fleet {
#define GEN_PASS_DECL
#include "fleet/Transforms/Passes.h.inc"

#define GEN_PASS_REGISTRATION
#include "fleet/Transforms/Passes.h.inc"
} // namespace mlir::fleet

#endif // FLEET_TRANSFORMS_PASSES_H
