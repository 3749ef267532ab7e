//===- Ring.h - The ring of weights in LDS ----------------------*- C++ -*-===//
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FLEET_LIB_CONVERSION_AMDGPU_RING_H
#define FLEET_LIB_CONVERSION_AMDGPU_RING_H

#include "mlir/Support/LLVM.h"

namespace mlir::fleet {

/// On a body: slots of the ring that the walk has asked for, from slot 0 on, when it calls.
constexpr StringRef kRingHead = "fleet.ring_head";
/// The table that says how much of each case's stream the walk asks for.
constexpr StringRef kStreamTable = "streams";
/// Columns of it: the weight's column in @device_tasks, its steps, slots of the head.
constexpr int64_t kStreamColumns = 3, kStreamHead = 2;

} // namespace mlir::fleet

#endif // FLEET_LIB_CONVERSION_AMDGPU_RING_H
