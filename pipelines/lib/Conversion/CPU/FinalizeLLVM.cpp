//===- FinalizeLLVM.cpp - Aliasing, inlining, linkage
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fleet/Conversion/Passes.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/IR/AttrTypeSubElements.h"
#include "mlir/IR/BuiltinOps.h"

namespace mlir::fleet {
#define GEN_PASS_DEF_CPUFINALIZELLVM
#include "fleet/Conversion/Passes.h.inc"
} // namespace mlir::fleet

using namespace mlir;

namespace {
struct CPUFinalizeLLVM : mlir::fleet::impl::CPUFinalizeLLVMBase<CPUFinalizeLLVM> {
  /// bf16 is only moved and reinterpreted by now: as i16 it is so for LLVM too,
  /// which else rounds a value kept in registers by a library call.
  void storeBF16AsInteger() {
    Type i16 = IntegerType::get(&getContext(), 16);
    AttrTypeReplacer replacer;
    replacer.addReplacement([&](BFloat16Type) { return i16; });
    replacer.addReplacement([&](FloatAttr attr) -> std::optional<Attribute> {
      if (!attr.getType().isBF16())
        return std::nullopt;
      return IntegerAttr::get(i16, attr.getValue().bitcastToAPInt());
    });
    replacer.addReplacement([&](DenseFPElementsAttr attr) -> std::optional<std::pair<Attribute, WalkResult>> {
      if (!attr.getElementType().isBF16())
        return std::nullopt;
      return std::make_pair(DenseElementsAttr(attr).bitcast(i16), WalkResult::skip());
    });
    replacer.recursivelyReplaceElementsIn(getOperation(), /*replaceAttrs=*/true, /*replaceLocs=*/false,
                                          /*replaceTypes=*/true);
  }

  void runOnOperation() override {
    storeBF16AsInteger();
    auto unit = UnitAttr::get(&getContext());
    for (auto global : getOperation().getOps<LLVM::GlobalOp>())
      global.setLinkage(LLVM::Linkage::Internal);
    for (auto function : getOperation().getOps<LLVM::LLVMFuncOp>()) {
      if (function.isExternal())
        continue;
      if (function.getName() != "fleet_step")
        function.setLinkage(LLVM::Linkage::Internal);
      if (!function->removeAttr("fleet.body"))
        continue;
      function.setNoInline(true);
      // A buffer is two pointers, of which the second is the one accessed.
      bool isAligned = false;
      for (auto [i, type] : llvm::enumerate(function.getArgumentTypes())) {
        if (!isa<LLVM::LLVMPointerType>(type))
          continue;
        if (isAligned)
          function.setArgAttr(i, LLVM::LLVMDialect::getNoAliasAttrName(), unit);
        isAligned = !isAligned;
      }
    }
  }
};
} // namespace
