//===- PlaceShared.cpp - One dynamic array of shared memory
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fleet/Conversion/NVGPUPasses.h"
#include "fleet/IR/Fleet.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "llvm/Support/MathExtras.h"

namespace mlir::fleet {
#define GEN_PASS_DEF_NVGPUPLACESHARED
#include "fleet/Conversion/NVGPUPasses.h.inc"
} // namespace mlir::fleet

using namespace mlir;
using namespace mlir::fleet;

/// NVVM's address space of shared memory, and what bulk copies want aligned.
static constexpr unsigned kShared = 3;
static constexpr int64_t kAlignment = 128;

namespace {
struct NVGPUPlaceShared : mlir::fleet::impl::NVGPUPlaceSharedBase<NVGPUPlaceShared> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    SmallVector<LLVM::GlobalOp> globals;
    for (auto global : module.getOps<LLVM::GlobalOp>())
      if (global.getAddrSpace() == kShared)
        globals.push_back(global);
    auto target = module->getAttrOfType<TargetAttr>("fleet.target");
    if (!target) {
      module.emitError("expected a module with a fleet.target, found none");
      return signalPassFailure();
    }
    OpBuilder b(&getContext());
    b.setInsertionPointToStart(module.getBody());
    auto bytes = LLVM::LLVMArrayType::get(b.getI8Type(), 0);
    auto pointer = LLVM::LLVMPointerType::get(&getContext(), kShared);
    auto all = LLVM::GlobalOp::create(b, module.getLoc(), bytes, /*isConstant=*/false, LLVM::Linkage::External,
                                      "fleet_shared", Attribute(), kAlignment, kShared);
    DataLayout layout(module);
    int64_t size = 0;
    for (LLVM::GlobalOp global : globals) {
      int64_t offset = size;
      size = llvm::alignTo(size + static_cast<int64_t>(layout.getTypeSize(global.getType())), kAlignment);
      auto uses = SymbolTable::getSymbolUses(global, module);
      for (SymbolTable::SymbolUse use : *uses) {
        auto address = cast<LLVM::AddressOfOp>(use.getUser());
        b.setInsertionPoint(address);
        Value base = LLVM::AddressOfOp::create(b, address.getLoc(), pointer, all.getSymName());
        Value at = LLVM::GEPOp::create(b, address.getLoc(), pointer, b.getI8Type(), base,
                                       ArrayRef<LLVM::GEPArg>{static_cast<int32_t>(offset)});
        address.replaceAllUsesWith(at);
        address.erase();
      }
      global.erase();
    }
    if (size > target.getLds()) {
      module.emitError("expected at most ") << target.getLds() << " bytes of shared memory a worker, found " << size
                                            << ": choose a smaller number of rows per step";
      return signalPassFailure();
    }
    // The launch gives the kernel its shared memory: the manifest says how much.
    if (auto manifest = module->getAttrOfType<DictionaryAttr>("fleet.manifest")) {
      NamedAttrList entries(manifest);
      entries.set("shared", b.getI64IntegerAttr(size));
      // The warp that streams came after the driver counted threads.
      for (auto function : module.getOps<LLVM::LLVMFuncOp>())
        if (auto threads = function->getAttrOfType<DenseI32ArrayAttr>(NVVM::NVVMDialect::getMaxntidAttrName()))
          entries.set("threads", b.getI64IntegerAttr(threads[0]));
      module->setAttr("fleet.manifest", entries.getDictionary(&getContext()));
    }
  }
};
} // namespace
