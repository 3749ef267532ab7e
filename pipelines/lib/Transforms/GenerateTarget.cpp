//===- GenerateTarget.cpp
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fleet/Transforms/Passes.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassRegistry.h"

namespace mlir::fleet {
#define GEN_PASS_DEF_GENERATETARGET
#include "fleet/Transforms/Passes.h.inc"

namespace {
struct GenerateTarget : impl::GenerateTargetBase<GenerateTarget> {
  void runOnOperation() override {
    auto target = getOperation()->getAttrOfType<TargetAttr>("fleet.target");
    if (target.getBackend() != Backend::LLVM) {
      getOperation().emitError("code generation for target '")
          << target.getName() << "' is not supported by this version: compile to phase kernel, or choose target cpu";
      return signalPassFailure();
    }
    OpPassManager pm(ModuleOp::getOperationName());
    if (failed(parsePassPipeline("fleet-cpu-to-llvm", pm)) || failed(runPipeline(pm, getOperation())))
      signalPassFailure();
  }
};
} // namespace
} // namespace mlir::fleet
