//===- Pipeline.cpp - The kernel phase to LLVM, for GPUs
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fleet/Conversion/GPUPasses.h"
#include "fleet/Conversion/Passes.h"

#include "mlir/Conversion/Passes.h"
#include "mlir/Dialect/Arith/Transforms/Passes.h"
#include "mlir/Dialect/Math/Transforms/Passes.h"
#include "mlir/Dialect/MemRef/Transforms/Passes.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassRegistry.h"
#include "mlir/Transforms/Passes.h"

using namespace mlir;

void mlir::fleet::addGPUScalarLowering(OpPassManager &manager, std::unique_ptr<Pass> ofChip) {
  manager.addPass(createLowerAffinePass());
  manager.addPass(createLoopInvariantCodeMotionPass());
  manager.addPass(createCanonicalizerPass());
  manager.addPass(createCSEPass());
  math::MathExtendToSupportedTypesOptions mathOptions;
  mathOptions.targetTypeStr = "f32";
  manager.addPass(math::createMathExtendToSupportedTypes(mathOptions));
  arith::ArithEmulateUnsupportedFloatsOptions floatOptions;
  std::string narrow[] = {"bf16", "f16"};
  floatOptions.sourceTypeStrs.assign(std::begin(narrow), std::end(narrow));
  floatOptions.targetTypeStr = "f32";
  manager.addPass(arith::createArithEmulateUnsupportedFloats(floatOptions));
  if (ofChip)
    manager.nest<gpu::GPUModuleOp>().addPass(std::move(ofChip));
  manager.nest<gpu::GPUModuleOp>().addPass(fleet::createGPULowerMath());
  manager.addPass(fleet::createCPULowerMath());
  manager.nest<gpu::GPUModuleOp>().addPass(fleet::createGPULowerMath());
  arith::ArithExpandOpsPassOptions expandOptions;
  expandOptions.includeBf16 = true;
  manager.addPass(arith::createArithExpandOpsPass(expandOptions));
}

void mlir::fleet::buildAMDGPUToLLVMPipeline(OpPassManager &manager,
                                            const AMDGPUToLLVMOptions &options) {
  manager.addPass(createAMDGPUGroupWeights());
  GPUDriverOptions driver;
  driver.omitWait = options.omitWait;
  driver.flatEvents = options.flatEvents;
  manager.addPass(createGPUDriver(driver));
  auto &kernel = manager.nest<gpu::GPUModuleOp>();
  kernel.addPass(createGPULowerNamedOps());
  AMDGPULowerContractionsOptions contractions;
  contractions.chipset = options.chipset;
  kernel.addPass(createAMDGPULowerContractions(contractions));
  kernel.addPass(createAMDGPUCheckRing());
  AMDGPULowerRingOptions ring;
  ring.omit = options.omitRing;
  ring.shift = options.shiftRing;
  kernel.addPass(createAMDGPULowerRing(ring));
  kernel.addPass(createGPULowerElementwise());
  AMDGPULowerEventsOptions events;
  events.pollBudget = options.pollBudget;
  events.omit = options.omit;
  kernel.addPass(createAMDGPULowerEvents(events));
  addGPUScalarLowering(manager);
  manager.addPass(memref::createExpandStridedMetadataPass());
  manager.addPass(createLowerAffinePass());
  manager.addPass(createSCFToControlFlowPass());
  ConvertGpuOpsToROCDLOpsOptions rocdl;
  rocdl.chipset = options.chipset;
  rocdl.useBarePtrCallConv = true;
  manager.nest<gpu::GPUModuleOp>().addPass(createConvertGpuOpsToROCDLOps(rocdl));
  manager.addPass(createReconcileUnrealizedCastsPass());
  manager.addPass(createCanonicalizerPass());
  manager.addPass(createCSEPass());
  manager.nest<gpu::GPUModuleOp>().addPass(createGPULocalizeThreads());
  manager.addPass(createGPUFinalizeLLVM());
}

void mlir::fleet::registerGPUConversionPipelines() {
  PassPipelineRegistration<AMDGPUToLLVMOptions>("fleet-amdgpu-to-llvm",
                                                "the kernel phase to the LLVM dialect, for AMD GPUs",
                                                buildAMDGPUToLLVMPipeline);
}
