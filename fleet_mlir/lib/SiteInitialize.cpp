//===- SiteInitialize.cpp - What every Context starts with ----------------===//
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

// MLIR's Python package loads this module by its name and calls
// `register_dialects` for every new Context.

#include "FleetCAPI.h"
#include "mlir/Bindings/Python/IRCore.h"
#include "mlir/Bindings/Python/IRTypes.h"
#include "mlir/Bindings/Python/Nanobind.h"
#include "mlir/Bindings/Python/NanobindAdaptors.h"

NB_MODULE(_site_initialize_0, m) {
  fleetRegisterAllPasses();
  m.def("register_dialects", [](MlirDialectRegistry registry) {
    fleetRegisterAllDialects(registry);
  });
}
