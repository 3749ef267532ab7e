//===- PTX.h - LLVM dialect to PTX ------------------------------*- C++ -*-===//
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FLEET_TARGET_PTX_H
#define FLEET_TARGET_PTX_H

#include "fleet/Target/Translate.h"

namespace mlir::fleet {

struct PTXOptions {
  /// Object and Assembly both mean PTX.
  EmitKind emit = EmitKind::Assembly;
  /// As in "sm_90a"; empty: the module's target.
  std::string chip;
};

/// Translates a module of the LLVM dialect (what `fleet-nvgpu-to-llvm` leaves)
/// to PTX. Fails without an NVIDIA target.
LogicalResult translateToPTX(ModuleOp module, const PTXOptions &options, llvm::raw_pwrite_stream &out);

} // namespace mlir::fleet

#endif // FLEET_TARGET_PTX_H
