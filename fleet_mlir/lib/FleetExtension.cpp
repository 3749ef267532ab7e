//===- FleetExtension.cpp - What Python calls besides MLIR's bindings
//------===//
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

// Every function runs without Python's lock, so that other threads go on (the
// import of the next step while this one is compiled), and leaves what went
// wrong to the context's diagnostic handlers.

#include "FleetCAPI.h"
#include "mlir-c/Pass.h"
#include "mlir/Bindings/Python/Nanobind.h"
#include "mlir/Bindings/Python/NanobindAdaptors.h"

namespace nb = nanobind;

static void append(MlirStringRef text, void *to) {
  static_cast<std::string *>(to)->append(text.data, text.length);
}

static MlirStringRef view(const std::string &text) {
  return mlirStringRefCreate(text.data(), text.size());
}

NB_MODULE(_fleet, m) {
  m.doc() =
      "Fleet's translations and a pass manager that lets other threads run";
  m.def(
      "run",
      [](MlirPassManager passManager, MlirOperation operation) {
        nb::gil_scoped_release unlocked;
        return mlirLogicalResultIsSuccess(
            mlirPassManagerRunOnOp(passManager, operation));
      },
      nb::arg("pass_manager"), nb::arg("operation"),
      "Run a pass manager on an operation; False after an error.");
  m.def(
      "translate_to_object",
      [](MlirModule module, const std::string &cpu,
         const std::string &features) -> std::optional<nb::bytes> {
        std::string code;
        {
          nb::gil_scoped_release unlocked;
          if (mlirLogicalResultIsFailure(fleetTranslateToObject(
                  module, view(cpu), view(features), append, &code)))
            return std::nullopt;
        }
        return nb::bytes(code.data(), code.size());
      },
      nb::arg("module"), nb::arg("cpu") = "native", nb::arg("features") = "",
      "The object code of a module of the LLVM dialect; None after an error.");
  m.def(
      "translate_to_manifest",
      [](MlirModule module) -> std::optional<std::string> {
        std::string text;
        nb::gil_scoped_release unlocked;
        if (mlirLogicalResultIsFailure(
                fleetTranslateToManifest(module, append, &text)))
          return std::nullopt;
        return text;
      },
      nb::arg("module"),
      "The manifest of a placed module as JSON; None after an error.");
}
