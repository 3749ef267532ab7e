//===- GenerateTarget.cpp
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Utils.h"

#include "fleet/Transforms/Passes.h"
#include "fleet/Transforms/Switches.h"

#include "mlir/Dialect/AMDGPU/IR/AMDGPUDialect.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlow.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Index/IR/IndexDialect.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/LLVMIR/ROCDLDialect.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/UB/IR/UBOps.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassRegistry.h"

namespace mlir::fleet {
#define GEN_PASS_DEF_GENERATETARGET
#include "fleet/Transforms/Passes.h.inc"

namespace {
struct GenerateTarget : impl::GenerateTargetBase<GenerateTarget> {
  void runOnOperation() override {
    TargetAttr target = requireTarget(getOperation());
    if (!target)
      return signalPassFailure();
    std::string pipeline;
    switch (target.getBackend()) {
    case Backend::LLVM:
      pipeline = "fleet-cpu-to-llvm";
      break;
    case Backend::ROCDL:
      pipeline = ("fleet-amdgpu-to-llvm{chipset=" + target.getName() + "}").str();
      break;
    case Backend::NVVM:
      pipeline = "fleet-nvgpu-to-llvm{prefetch=";
      pipeline += getSwitch(getOperation(), "prefetch") == "on" ? "true" : "false";
      pipeline += " flat-events=";
      pipeline += getSwitch(getOperation(), "events") == "flat" ? "true}" : "false}";
      break;
    }
    OpPassManager pm(ModuleOp::getOperationName());
    if (failed(parsePassPipeline(pipeline, pm)) || failed(runPipeline(pm, getOperation())))
      signalPassFailure();
  }
};
} // namespace
} // namespace mlir::fleet
