//===- Pipelines.h
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FLEET_PIPELINES_PIPELINES_H
#define FLEET_PIPELINES_PIPELINES_H

namespace mlir::fleet {
/// Registers `fleet-phase-<name>` for every phase.
void registerFleetPipelines();
} // namespace mlir::fleet

#endif // FLEET_PIPELINES_PIPELINES_H
