//===- FleetCAPI.cpp - C API of the fleet dialect -------------------------===//
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "FleetCAPI.h"

#include "fleet/IR/Fleet.h"
#include "fleet/InitAll.h"
#include "fleet/Target/Translate.h"
#include "mlir/CAPI/IR.h"
#include "mlir/CAPI/Registration.h"
#include "mlir/CAPI/Support.h"

MLIR_DEFINE_CAPI_DIALECT_REGISTRATION(Fleet, fleet, mlir::fleet::FleetDialect)

void fleetRegisterAllDialects(MlirDialectRegistry registry) {
  mlir::fleet::registerAllDialects(*unwrap(registry));
}

void fleetRegisterAllPasses() {
  static bool once = (mlir::fleet::registerAllPasses(), true);
  (void)once;
}

static MlirLogicalResult give(mlir::LogicalResult result, llvm::StringRef text,
                              MlirStringCallback callback, void *userData) {
  if (mlir::succeeded(result))
    callback(wrap(text), userData);
  return wrap(result);
}

MlirLogicalResult fleetTranslateToObject(MlirModule module, MlirStringRef cpu,
                                         MlirStringRef features,
                                         MlirStringCallback callback,
                                         void *userData) {
  llvm::SmallVector<char> code;
  llvm::raw_svector_ostream stream(code);
  mlir::fleet::ObjectOptions options;
  options.cpu = unwrap(cpu).str();
  options.features = unwrap(features).str();
  mlir::LogicalResult result =
      mlir::fleet::translateToObject(unwrap(module), options, stream);
  return give(result, stream.str(), callback, userData);
}

MlirLogicalResult fleetTranslateToManifest(MlirModule module,
                                           MlirStringCallback callback,
                                           void *userData) {
  std::string text;
  llvm::raw_string_ostream stream(text);
  mlir::LogicalResult result =
      mlir::fleet::translateToManifest(unwrap(module), stream);
  return give(result, text, callback, userData);
}
