//===- Pipelines.cpp
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fleet/Pipelines/Pipelines.h"
#include "fleet/Conversion/GPUPasses.h"
#include "fleet/Conversion/NVGPUPasses.h"
#include "fleet/Conversion/Passes.h"
#include "fleet/InitAll.h"
#include "fleet/Transforms/Passes.h"

#include "mlir/Dialect/Arith/Transforms/Passes.h"
#include "mlir/Dialect/Bufferization/Transforms/Passes.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/InitAllDialects.h"
#include "mlir/InitAllExtensions.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassRegistry.h"
#include "mlir/Target/LLVMIR/Dialect/All.h"
#include "mlir/Transforms/Passes.h"

using namespace mlir;
using namespace mlir::fleet;

/// Phases in order; each takes the form of the one before.
static constexpr StringRef kPhases[] = {"raw",      "import", "tasks",  "chiplets", "tiles",  "memory",
                                        "events", "schedule", "kernel", "target",   "package"};

static void cleanUp(OpPassManager &pm) {
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
}

static void buildPhase(OpPassManager &pm, StringRef phase) {
  if (phase == "import") {
    pm.addPass(createImportStep());
    cleanUp(pm);
  } else if (phase == "tasks") {
    arith::ArithEmulateUnsupportedFloatsOptions floats;
    SmallVector<std::string> narrow = {"bf16", "f16"};
    floats.sourceTypeStrs = narrow;
    pm.addPass(arith::createArithEmulateUnsupportedFloats(floats));
    pm.addPass(createKeepPrecision());
    pm.addPass(createSplitAttention());
    pm.addPass(createSplitArgmax());
    cleanUp(pm);
    pm.addPass(createMergeContractions());
    cleanUp(pm);
    pm.addPass(createFormTasks());
    pm.addPass(createFuseElementwise());
    cleanUp(pm);
  } else if (phase == "chiplets") {
    pm.addPass(createPlanPartitions());
    pm.addPass(createFuseElementwise());
    cleanUp(pm);
    pm.addPass(createOrderTasks());
    pm.addPass(createCutChiplets());
  } else if (phase == "tiles") {
    pm.addPass(createCutWorkers());
    pm.addPass(createTileBodies());
    cleanUp(pm);
  } else if (phase == "memory") {
    pm.addPass(createPlaceStep());
    bufferization::OneShotBufferizePassOptions options;
    options.bufferizeFunctionBoundaries = true;
    options.functionBoundaryTypeConversion = bufferization::LayoutMapOption::IdentityLayoutMap;
    pm.addPass(bufferization::createOneShotBufferizePass(options));
    cleanUp(pm);
    pm.addPass(createPlaceBodies());
    cleanUp(pm);
  } else if (phase == "events") {
    pm.addPass(createInsertEvents());
    pm.addPass(createCheckCoherence());
  } else if (phase == "schedule") {
    pm.addPass(createScheduleTasks());
    pm.addPass(createCheckProgress());
  } else if (phase == "kernel") {
    // A kernel is built from a proved schedule only, whoever wrote the file.
    pm.addPass(createCheckCoherence());
    pm.addPass(createCheckProgress());
    pm.addPass(createBuildKernel());
  } else if (phase == "target") {
    pm.addPass(createGenerateTarget());
  } else if (phase == "package") {
    pm.addPass(createBuildPackage());
  }
}

void mlir::fleet::registerFleetPipelines() {
  for (size_t i = 1; i < std::size(kPhases); ++i) {
    StringRef before = kPhases[i - 1], phase = kPhases[i];
    static std::vector<std::unique_ptr<PassPipelineRegistration<>>> registrations;
    registrations.push_back(std::make_unique<PassPipelineRegistration<>>(
        "fleet-phase-" + phase.str(), "phase " + before.str() + " -> " + phase.str(),
        [=](OpPassManager &pm) {
          BeginPhaseOptions begin;
          begin.expect = before.str();
          pm.addPass(createBeginPhase(begin));
          buildPhase(pm, phase);
          EndPhaseOptions end;
          end.phase = phase.str();
          pm.addPass(createEndPhase(end));
        }));
  }
}

void mlir::fleet::registerAllDialects(DialectRegistry &registry) {
  mlir::registerAllDialects(registry);
  mlir::registerAllExtensions(registry);
  registerAllToLLVMIRTranslations(registry);
  registry.insert<FleetDialect>();
  registerBufferizableOpInterfaceExternalModels(registry);
}

void mlir::fleet::registerAllPasses() {
  registerFleetTransformsPasses();
  registerFleetConversionPasses();
  registerConversionPipelines();
  registerFleetGPUConversionPasses();
  registerGPUConversionPipelines();
  registerFleetNVGPUConversionPasses();
  registerNVGPUConversionPipelines();
  registerFleetPipelines();
}
