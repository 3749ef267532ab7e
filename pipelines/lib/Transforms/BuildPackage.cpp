//===- BuildPackage.cpp
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fleet/Transforms/Passes.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/IR/BuiltinOps.h"

namespace mlir::fleet {
#define GEN_PASS_DEF_BUILDPACKAGE
#include "fleet/Transforms/Passes.h.inc"

namespace {
struct BuildPackage : impl::BuildPackageBase<BuildPackage> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    auto manifest = module->getAttrOfType<DictionaryAttr>("fleet.manifest");
    if (!module.lookupSymbol<LLVM::LLVMFuncOp>("fleet_step") || !manifest) {
      module.emitError("expected a function @fleet_step and a fleet.manifest");
      return signalPassFailure();
    }
    OpBuilder b = OpBuilder::atBlockEnd(module.getBody());
    PackageOp::create(b, module.getLoc(), "fleet_step", "embedded-elf", manifest);
    module->removeAttr("fleet.manifest");
  }
};
} // namespace
} // namespace mlir::fleet
