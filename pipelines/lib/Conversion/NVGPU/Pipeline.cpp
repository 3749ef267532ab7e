//===- Pipeline.cpp - The kernel phase to LLVM, for NVIDIA GPUs
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fleet/Conversion/GPUPasses.h"
#include "fleet/Conversion/NVGPUPasses.h"

#include "mlir/Conversion/Passes.h"
#include "mlir/Dialect/MemRef/Transforms/Passes.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassRegistry.h"
#include "mlir/Transforms/Passes.h"

using namespace mlir;

/// Steps of one launch: enough to hide what a launch costs.
static constexpr int64_t kMostSteps = 64;
/// Rounds of element-wise work, norms and rotations that a thread loads at once: the L2 is slow under load.
static constexpr int64_t kRounds = 4;

void mlir::fleet::buildNVGPUToLLVMPipeline(OpPassManager &manager, const NVGPUToLLVMOptions &options) {
  manager.addPass(createNVGPUFlagExchanges());
  GPUDriverOptions driver;
  driver.cacheTables = true;
  driver.stamps = options.stamps;
  driver.flatEvents = options.flatEvents;
  driver.mostSteps = kMostSteps;
  manager.addPass(createGPUDriver(driver));
  {
    auto &kernel = manager.nest<gpu::GPUModuleOp>();
    kernel.addPass(createNVGPUKeepWalk());
    kernel.addPass(createNVGPULowerFewRowAttention());
    kernel.addPass(createNVGPULowerAttention());
    GPULowerNamedOpsOptions named;
    named.rounds = kRounds;
    kernel.addPass(createGPULowerNamedOps(named));
    NVGPUStreamWeightsOptions streaming;
    streaming.prefetch = options.prefetch;
    streaming.lanesFree = options.lanesFree;
    kernel.addPass(createNVGPUStreamWeights(streaming));
    kernel.addPass(createNVGPULowerContractions());
    GPULowerElementwiseOptions elementwise;
    elementwise.rounds = kRounds;
    kernel.addPass(createGPULowerElementwise(elementwise));
    NVGPULowerEventsOptions events;
    events.pollBudget = options.pollBudget;
    kernel.addPass(createNVGPULowerEvents(events));
  }
  manager.addPass(createNVGPUOrderWeights());
  addGPUScalarLowering(manager, createNVGPULowerMath());
  manager.addPass(memref::createExpandStridedMetadataPass());
  manager.addPass(createLowerAffinePass());
  manager.addPass(createSCFToControlFlowPass());
  ConvertGpuOpsToNVVMOpsOptions nvvm;
  nvvm.useBarePtrCallConv = true;
  manager.nest<gpu::GPUModuleOp>().addPass(createConvertGpuOpsToNVVMOps(nvvm));
  manager.addPass(createConvertNVVMToLLVMPass());
  manager.addPass(createReconcileUnrealizedCastsPass());
  manager.addPass(createCanonicalizerPass());
  manager.addPass(createCSEPass());
  manager.nest<gpu::GPUModuleOp>().addPass(createGPULocalizeThreads());
  manager.addPass(createGPUFinalizeLLVM());
  manager.addPass(createNVGPUPlaceShared());
}

void mlir::fleet::registerNVGPUConversionPipelines() {
  PassPipelineRegistration<NVGPUToLLVMOptions>("fleet-nvgpu-to-llvm",
                                               "the kernel phase to the LLVM dialect, for NVIDIA GPUs",
                                               buildNVGPUToLLVMPipeline);
}
