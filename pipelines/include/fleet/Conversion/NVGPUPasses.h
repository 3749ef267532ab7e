//===- NVGPUPasses.h - Code generation for NVIDIA GPUs ----------*- C++ -*-===//
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FLEET_CONVERSION_NVGPUPASSES_H
#define FLEET_CONVERSION_NVGPUPASSES_H

#include "fleet/IR/Fleet.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Pass/Pass.h"
#include "mlir/Pass/PassOptions.h"

namespace mlir {
class OpPassManager;
namespace fleet {

#define GEN_PASS_DECL
#include "fleet/Conversion/NVGPUPasses.h.inc"

#define GEN_PASS_REGISTRATION
#include "fleet/Conversion/NVGPUPasses.h.inc"

struct NVGPUToLLVMOptions : PassPipelineOptions<NVGPUToLLVMOptions> {
  Option<int64_t> pollBudget{*this, "poll-budget", llvm::cl::desc("polls after which a wait gives up"),
                             llvm::cl::init(1 << 22)};
  Option<bool> stamps{*this, "stamps", llvm::cl::desc("leave cycle counts of every cu task in the work arena"),
                      llvm::cl::init(false)};
  Option<bool> prefetch{*this, "prefetch", llvm::cl::desc("copy weights ahead of the events; false is to compare"),
                        llvm::cl::init(true)};
  Option<bool> flatEvents{*this, "flat-events", llvm::cl::desc("to compare: every cu task tells the device, not only a chiplet's last one"),
                          llvm::cl::init(false)};
  Option<bool> lanesFree{*this, "lanes-free",
                         llvm::cl::desc("for racecheck: each lane says that its warp has read a slot of the ring"),
                         llvm::cl::init(false)};
};

/// The kernel phase to the LLVM dialect, for NVIDIA GPUs.
void buildNVGPUToLLVMPipeline(OpPassManager &manager, const NVGPUToLLVMOptions &options);

/// Registers `fleet-nvgpu-to-llvm`.
void registerNVGPUConversionPipelines();

} // namespace fleet
} // namespace mlir

#endif // FLEET_CONVERSION_NVGPUPASSES_H
