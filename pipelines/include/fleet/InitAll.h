//===- InitAll.h
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FLEET_INITALL_H
#define FLEET_INITALL_H

namespace mlir {
class DialectRegistry;
}

namespace mlir::fleet {
/// The fleet dialect, the upstream dialects it works with, their interfaces.
void registerAllDialects(DialectRegistry &registry);

/// Fleet's passes and phase pipelines.
void registerAllPasses();
} // namespace mlir::fleet

#endif // FLEET_INITALL_H
