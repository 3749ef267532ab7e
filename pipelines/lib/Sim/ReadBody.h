//===- ReadBody.h - What the tiles of a body touch and compute
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FLEET_LIB_SIM_READBODY_H
#define FLEET_LIB_SIM_READBODY_H

#include "fleet/Sim/Schedule.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace mlir::fleet::sim {
/// Follows `body` for each of its tiles. `arenas` are those of its operands.
FailureOr<Body> readBody(func::FuncOp body, ArrayRef<StringRef> arenas, int64_t tiles, int64_t rows, int64_t context);
} // namespace mlir::fleet::sim

#endif // FLEET_LIB_SIM_READBODY_H
