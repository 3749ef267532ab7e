//===- Passes.h - Code generation -------------------------------*- C++ -*-===//
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FLEET_CONVERSION_PASSES_H
#define FLEET_CONVERSION_PASSES_H

#include "mlir/Pass/Pass.h"

namespace mlir {
class OpPassManager;
namespace fleet {

#define GEN_PASS_DECL
#include "fleet/Conversion/Passes.h.inc"

#define GEN_PASS_REGISTRATION
#include "fleet/Conversion/Passes.h.inc"

/// The kernel phase to the LLVM dialect, for CPUs.
void buildCPUToLLVMPipeline(OpPassManager &manager);

/// Registers `fleet-cpu-to-llvm`.
void registerConversionPipelines();

} // namespace fleet
} // namespace mlir

#endif // FLEET_CONVERSION_PASSES_H
