//===- FinalizeLLVM.cpp - One module, one kernel
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fleet/Conversion/GPUPasses.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

namespace mlir::fleet {
#define GEN_PASS_DEF_GPUFINALIZELLVM
#include "fleet/Conversion/GPUPasses.h.inc"
} // namespace mlir::fleet

using namespace mlir;

namespace {
struct GPUFinalizeLLVM : mlir::fleet::impl::GPUFinalizeLLVMBase<GPUFinalizeLLVM> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    auto modules = llvm::to_vector(module.getOps<gpu::GPUModuleOp>());
    if (modules.size() != 1) {
      module.emitError("expected one gpu.module, found ") << modules.size();
      return signalPassFailure();
    }
    gpu::GPUModuleOp kernel = modules.front();
    auto left = kernel.walk([&](Operation *op) {
      StringRef dialect = op->getDialect()->getNamespace();
      if (op == kernel || llvm::is_contained({"llvm", "rocdl", "nvvm"}, dialect))
        return WalkResult::advance();
      op->emitOpError("cannot be lowered to the LLVM dialect");
      return WalkResult::interrupt();
    });
    if (left.wasInterrupted())
      return signalPassFailure();
    for (Operation &op : llvm::make_early_inc_range(*kernel.getBody())) {
      op.moveBefore(module.getBody(), module.getBody()->end());
      if (auto global = dyn_cast<LLVM::GlobalOp>(op)) {
        global.setLinkage(LLVM::Linkage::Internal);
      } else if (auto function = dyn_cast<LLVM::LLVMFuncOp>(op)) {
        if (function.isExternal())
          continue;
        // Bodies contain barriers: a call must not be doubled, once for one thread and once for the others.
        function.setConvergent(true);
        if (function.getName() == "fleet_step")
          continue;
        // A call would need a stack: the chip's is memory.
        function.setLinkage(LLVM::Linkage::Internal);
        function.setAlwaysInline(true);
      }
    }
    kernel.erase();
    module->removeAttr(gpu::GPUDialect::getContainerModuleAttrName());
  }
};
} // namespace
