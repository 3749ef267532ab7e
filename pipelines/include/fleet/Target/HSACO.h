//===- HSACO.h - LLVM dialect to an AMD code object -------------*- C++ -*-===//
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FLEET_TARGET_HSACO_H
#define FLEET_TARGET_HSACO_H

#include "fleet/Target/Translate.h"

namespace mlir::fleet {

struct HSACOOptions {
  EmitKind emit = EmitKind::Object;
  /// As in "gfx950"; empty: the module's target.
  std::string chip;
};

/// Translates a module of the LLVM and ROCDL dialects, optimises it and links a
/// code object. Needs ld.lld on the path, and no ROCm. Fails if the kernel takes
/// memory for its registers, or if the target's units do not hold all its workgroups
/// at once, by the LDS, the registers and the waves that the linked kernel takes.
LogicalResult translateToHSACO(ModuleOp module, const HSACOOptions &options,
                               llvm::raw_pwrite_stream &out);

} // namespace mlir::fleet

#endif // FLEET_TARGET_HSACO_H
