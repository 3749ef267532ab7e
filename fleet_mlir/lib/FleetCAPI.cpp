//===- FleetCAPI.cpp - C API of the fleet dialect -------------------------===//
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "FleetCAPI.h"

#include "fleet/IR/Fleet.h"
#include "fleet/InitAll.h"
#include "mlir/CAPI/IR.h"
#include "mlir/CAPI/Registration.h"

MLIR_DEFINE_CAPI_DIALECT_REGISTRATION(Fleet, fleet, mlir::fleet::FleetDialect)

void fleetRegisterAllDialects(MlirDialectRegistry registry) {
  mlir::fleet::registerAllDialects(*unwrap(registry));
}

void fleetRegisterAllPasses() {
  static bool once = (mlir::fleet::registerAllPasses(), true);
  (void)once;
}
