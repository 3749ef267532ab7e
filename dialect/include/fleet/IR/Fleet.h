//===- Fleet.h - The fleet dialect ------------------------------*- C++ -*-===//
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FLEET_IR_FLEET_H
#define FLEET_IR_FLEET_H

#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/Interfaces/DestinationStyleOpInterface.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "mlir/Interfaces/TilingInterface.h"

#include "fleet/IR/FleetDialect.h.inc"
#include "fleet/IR/FleetEnums.h.inc"

#include "fleet/IR/FleetAttrInterfaces.h.inc"

#define GET_ATTRDEF_CLASSES
#include "fleet/IR/FleetAttrs.h.inc"

#define GET_OP_CLASSES
#include "fleet/IR/FleetOps.h.inc"

namespace mlir::fleet {
/// Bytes between two things in an arena: no two of them share a cache line.
constexpr int64_t kArenaAlignment = 64;

/// Elements beside the weighted values of a part of attention: the greatest
/// score, the sum of the weights, and two that keep rows aligned to 16 bytes.
constexpr int64_t kAttentionExtra = 4;

/// Registers bufferization of the named ops.
void registerBufferizableOpInterfaceExternalModels(DialectRegistry &registry);
} // namespace mlir::fleet

#endif // FLEET_IR_FLEET_H
