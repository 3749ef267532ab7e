//===- FleetExtension.cpp - What Python calls besides MLIR's bindings
//------===//
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

// Every function runs without Python's lock, so that other threads go on (the
// import of the next step while this one is compiled), and gives what went
// wrong back as text: MLIR's bindings make an object for a Python handler before
// they take the lock.

#include "FleetCAPI.h"
#include "mlir-c/Diagnostics.h"
#include "mlir-c/Pass.h"
#include "mlir/Bindings/Python/Nanobind.h"
#include "mlir/Bindings/Python/NanobindAdaptors.h"

#include <nanobind/stl/pair.h>
#include <nanobind/stl/vector.h>

namespace nb = nanobind;

static void append(MlirStringRef text, void *to) {
  static_cast<std::string *>(to)->append(text.data, text.length);
}

static MlirStringRef view(const std::string &text) {
  return mlirStringRefCreate(text.data(), text.size());
}

namespace {
/// Collects the errors of a context while it lives, ahead of other handlers.
class Errors {
public:
  explicit Errors(MlirContext context)
      : context(context), id(mlirContextAttachDiagnosticHandler(
                              context, note, this, [](void *) {})) {}
  ~Errors() { mlirContextDetachDiagnosticHandler(context, id); }
  std::vector<std::string> messages;

private:
  static MlirLogicalResult note(MlirDiagnostic diagnostic, void *self) {
    if (mlirDiagnosticGetSeverity(diagnostic) == MlirDiagnosticError) {
      std::string &text =
          static_cast<Errors *>(self)->messages.emplace_back();
      mlirDiagnosticPrint(diagnostic, append, &text);
    }
    return mlirLogicalResultSuccess();
  }
  MlirContext context;
  MlirDiagnosticHandlerID id;
};
using Messages = std::vector<std::string>;
} // namespace

NB_MODULE(_fleet, m) {
  m.doc() =
      "Fleet's translations and a pass manager that lets other threads run";
  m.def(
      "run",
      [](MlirPassManager passManager,
         MlirOperation operation) -> std::pair<bool, Messages> {
        nb::gil_scoped_release unlocked;
        Errors errors(mlirOperationGetContext(operation));
        bool done = mlirLogicalResultIsSuccess(
            mlirPassManagerRunOnOp(passManager, operation));
        return {done, errors.messages};
      },
      nb::arg("pass_manager"), nb::arg("operation"),
      "Run a pass manager on an operation; False after an error. And the "
      "errors.");
  m.def(
      "translate_to_object",
      [](MlirModule module, const std::string &cpu,
         const std::string &features)
          -> std::pair<std::optional<nb::bytes>, Messages> {
        std::string code;
        Messages messages;
        {
          nb::gil_scoped_release unlocked;
          Errors errors(mlirModuleGetContext(module));
          bool failed = mlirLogicalResultIsFailure(fleetTranslateToObject(
              module, view(cpu), view(features), append, &code));
          messages = errors.messages;
          if (failed)
            return {std::nullopt, messages};
        }
        return {nb::bytes(code.data(), code.size()), messages};
      },
      nb::arg("module"), nb::arg("cpu") = "native", nb::arg("features") = "",
      "The object code of a module of the LLVM dialect; None after an error. "
      "And the errors.");
  m.def(
      "translate_to_manifest",
      [](MlirModule module)
          -> std::pair<std::optional<std::string>, Messages> {
        std::string text;
        nb::gil_scoped_release unlocked;
        Errors errors(mlirModuleGetContext(module));
        if (mlirLogicalResultIsFailure(
                fleetTranslateToManifest(module, append, &text)))
          return {std::nullopt, errors.messages};
        return {text, errors.messages};
      },
      nb::arg("module"),
      "The manifest of a placed module as JSON; None after an error. And the "
      "errors.");
}
