//===- FleetCAPI.h - C API of the fleet dialect -----------------*- C++ -*-===//
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FLEET_FLEETCAPI_H
#define FLEET_FLEETCAPI_H

#include "mlir-c/IR.h"
#include "mlir-c/Support.h"

#ifdef __cplusplus
extern "C" {
#endif

MLIR_DECLARE_CAPI_DIALECT_REGISTRATION(Fleet, fleet);

/// Adds the fleet dialect and the upstream dialects it works with, with the
/// interfaces that Fleet's passes need.
MLIR_CAPI_EXPORTED void fleetRegisterAllDialects(MlirDialectRegistry registry);

/// Registers Fleet's passes and phase pipelines, once in a process.
MLIR_CAPI_EXPORTED void fleetRegisterAllPasses(void);

/// The object code of a module of the LLVM dialect for `cpu` ("native": the one
/// at hand) with `features` on top, given to the callback once.
MLIR_CAPI_EXPORTED MlirLogicalResult fleetTranslateToObject(
    MlirModule module, MlirStringRef cpu, MlirStringRef features,
    MlirStringCallback callback, void *userData);

/// The manifest of a module (phase memory or later) as JSON, given to the
/// callback once.
MLIR_CAPI_EXPORTED MlirLogicalResult fleetTranslateToManifest(
    MlirModule module, MlirStringCallback callback, void *userData);

#ifdef __cplusplus
}
#endif

#endif // FLEET_FLEETCAPI_H
