//===- GPUPasses.h - Code generation for GPUs -------------------*- C++ -*-===//
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FLEET_CONVERSION_GPUPASSES_H
#define FLEET_CONVERSION_GPUPASSES_H

#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Pass/Pass.h"
#include "mlir/Pass/PassOptions.h"

namespace mlir {
class OpPassManager;
namespace fleet {

#define GEN_PASS_DECL
#include "fleet/Conversion/GPUPasses.h.inc"

#define GEN_PASS_REGISTRATION
#include "fleet/Conversion/GPUPasses.h.inc"

struct AMDGPUToLLVMOptions : PassPipelineOptions<AMDGPUToLLVMOptions> {
  Option<std::string> chipset{*this, "chipset", llvm::cl::desc("the chip"), llvm::cl::init("gfx950")};
  Option<int64_t> pollBudget{*this, "poll-budget",
                             llvm::cl::desc("polls after which a wait gives up"),
                             llvm::cl::init(1 << 22)};
  Option<std::string> omit{*this, "omit",
                           llvm::cl::desc("for tests: leave out one kind of ordering"),
                           llvm::cl::init("")};
  Option<int64_t> omitWait{*this, "omit-wait",
                           llvm::cl::desc("for tests: leave out one wait, by its index in @waits"),
                           llvm::cl::init(-1)};
  Option<std::string> omitRing{*this, "omit-ring", llvm::cl::desc("for tests: leave out waits of the ring: wait or order"),
                               llvm::cl::init("")};
  Option<int64_t> shiftRing{*this, "shift-ring", llvm::cl::desc("for tests: read slots of the ring that are further on"),
                            llvm::cl::init(0)};
  Option<bool> flatEvents{*this, "flat-events",
                          llvm::cl::desc("to compare: every cu task tells the device, not only a chiplet's last one"),
                          llvm::cl::init(false)};
};

/// Arithmetic that every GPU has: f32 in place of narrow types, no library.
/// `ofChip`, a pass on gpu.module, goes first: what the chip can do better.
void addGPUScalarLowering(OpPassManager &manager, std::unique_ptr<Pass> ofChip = nullptr);

/// The kernel phase to the LLVM dialect, for AMD GPUs.
void buildAMDGPUToLLVMPipeline(OpPassManager &manager, const AMDGPUToLLVMOptions &options);

/// Registers `fleet-amdgpu-to-llvm`.
void registerGPUConversionPipelines();

} // namespace fleet
} // namespace mlir

#endif // FLEET_CONVERSION_GPUPASSES_H
