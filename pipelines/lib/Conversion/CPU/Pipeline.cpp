//===- Pipeline.cpp - The kernel phase to LLVM
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fleet/Conversion/Passes.h"

#include "mlir/Conversion/Passes.h"
#include "mlir/Dialect/Arith/Transforms/Passes.h"
#include "mlir/Dialect/Math/Transforms/Passes.h"
#include "mlir/Dialect/MemRef/Transforms/Passes.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassRegistry.h"
#include "mlir/Transforms/Passes.h"

using namespace mlir;

void mlir::fleet::buildCPUToLLVMPipeline(OpPassManager &manager) {
  manager.addPass(createCPUDriver());
  manager.addPass(createCPULowerNamedOps());
  manager.addPass(createCPULowerContractions());
  manager.addPass(createCPUVectorizeElementwise());
  manager.addPass(createLowerAffinePass());
  manager.addPass(createLoopInvariantCodeMotionPass());
  manager.addPass(createCanonicalizerPass());
  manager.addPass(createCSEPass());
  // bf16 has a storage type but no arithmetic: every operation is done in f32 and rounded.
  math::MathExtendToSupportedTypesOptions mathOptions;
  mathOptions.targetTypeStr = "f32";
  manager.addPass(math::createMathExtendToSupportedTypes(mathOptions));
  arith::ArithEmulateUnsupportedFloatsOptions floatOptions;
  std::string narrow[] = {"bf16", "f16"};
  floatOptions.sourceTypeStrs.assign(std::begin(narrow), std::end(narrow));
  floatOptions.targetTypeStr = "f32";
  manager.addPass(arith::createArithEmulateUnsupportedFloats(floatOptions));
  manager.addPass(createCPULowerMath());
  arith::ArithExpandOpsPassOptions expandOptions;
  expandOptions.includeBf16 = true;
  manager.addPass(arith::createArithExpandOpsPass(expandOptions));
  manager.addPass(memref::createExpandStridedMetadataPass());
  manager.addPass(createLowerAffinePass());
  manager.addPass(createSCFToControlFlowPass());
  ConvertVectorToLLVMPassOptions vectorOptions;
  vectorOptions.reassociateFPReductions = true;
  manager.addPass(createConvertVectorToLLVMPass(vectorOptions));
  manager.addPass(createConvertMathToLLVMPass());
  manager.addPass(createFinalizeMemRefToLLVMConversionPass());
  manager.addPass(createConvertIndexToLLVMPass());
  manager.addPass(createArithToLLVMConversionPass());
  manager.addPass(createConvertFuncToLLVMPass());
  manager.addPass(createConvertControlFlowToLLVMPass());
  manager.addPass(createUBToLLVMConversionPass());
  manager.addPass(createReconcileUnrealizedCastsPass());
  manager.addPass(createCanonicalizerPass());
  manager.addPass(createCSEPass());
  manager.addPass(createCPUFinalizeLLVM());
}

void mlir::fleet::registerConversionPipelines() {
  PassPipelineRegistration<>("fleet-cpu-to-llvm", "the kernel phase to the LLVM dialect, for CPUs",
                             buildCPUToLLVMPipeline);
}
