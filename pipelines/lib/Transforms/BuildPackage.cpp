//===- BuildPackage.cpp
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Utils.h"

#include "fleet/Transforms/Passes.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/IR/BuiltinOps.h"

namespace mlir::fleet {
#define GEN_PASS_DEF_BUILDPACKAGE
#include "fleet/Transforms/Passes.h.inc"

/// The name of the loader's format, as IREE spells it.
static StringRef formatOf(Backend backend) {
  switch (backend) {
  case Backend::LLVM:
    return "embedded-elf";
  case Backend::ROCDL:
    return "rocm-hsaco-fb";
  case Backend::NVVM:
    return "cuda-nvptx-fb";
  }
  llvm_unreachable("a backend");
}

namespace {
struct BuildPackage : impl::BuildPackageBase<BuildPackage> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    auto manifest = module->getAttrOfType<DictionaryAttr>("fleet.manifest");
    if (!module.lookupSymbol<LLVM::LLVMFuncOp>("fleet_step") || !manifest) {
      module.emitError("expected a function @fleet_step and a fleet.manifest");
      return signalPassFailure();
    }
    TargetAttr target = requireTarget(module);
    if (!target)
      return signalPassFailure();
    OpBuilder b = OpBuilder::atBlockEnd(module.getBody());
    PackageOp::create(b, module.getLoc(), "fleet_step", formatOf(target.getBackend()), manifest);
    module->removeAttr("fleet.manifest");
  }
};
} // namespace
} // namespace mlir::fleet
