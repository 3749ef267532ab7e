//===- OrderWeights.cpp - The loader's part of wgmma's right side
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Streams.h"

#include "fleet/Conversion/NVGPUPasses.h"

namespace mlir::fleet {
#define GEN_PASS_DEF_NVGPUORDERWEIGHTS
#include "fleet/Conversion/NVGPUPasses.h.inc"
} // namespace mlir::fleet

using namespace mlir;
using namespace mlir::fleet;
using namespace mlir::fleet::nv;

static_assert(kDeep == 256, "the order's name says how deep a chunk is");

namespace {
struct NVGPUOrderWeights : mlir::fleet::impl::NVGPUOrderWeightsBase<NVGPUOrderWeights> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    if (llvm::none_of(module.getOps<gpu::GPUModuleOp>(), [](auto kernel) { return kernel->hasAttr(kOrdered); }))
      return;
    if (failed(gpugen::setOnPacked(module, "order", StringAttr::get(&getContext(), "wgmma-256"), isOrdered)))
      return signalPassFailure();
  }
};
} // namespace
