//===- LocalizeThreads.cpp - A thread number of its own for each body
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Utils.h"

#include "fleet/Conversion/GPUPasses.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/LLVMIR/ROCDLDialect.h"

namespace mlir::fleet {
#define GEN_PASS_DEF_GPULOCALIZETHREADS
#include "fleet/Conversion/GPUPasses.h.inc"
} // namespace mlir::fleet

using namespace mlir;

namespace {
struct GPULocalizeThreads : mlir::fleet::impl::GPULocalizeThreadsBase<GPULocalizeThreads> {
  void runOnOperation() override {
    for (auto function : getOperation().getOps<LLVM::LLVMFuncOp>()) {
      if (function.getName() == "fleet_step")
        continue;
      localize<ROCDL::ThreadIdXOp>(function, "=v,0");
      localize<NVVM::ThreadIdXOp>(function, "=r,0");
    }
  }

  template <typename Id> void localize(LLVM::LLVMFuncOp function, StringRef constraints) {
    SmallVector<Id> ids;
    function.walk([&](Id op) { ids.push_back(op); });
    if (ids.empty())
      return;
    OpBuilder b = OpBuilder::atBlockBegin(&function.getBody().front());
    Location loc = function.getLoc();
    Value id = Id::create(b, loc, b.getI32Type(), LLVM::ConstantRangeAttr());
    id = LLVM::InlineAsmOp::create(b, loc, TypeRange{b.getI32Type()}, ValueRange{id}, "", constraints,
                                   /*has_side_effects=*/true, /*is_align_stack=*/false, LLVM::TailCallKind::None,
                                   LLVM::AsmDialectAttr(), ArrayAttr())
             .getRes();
    // The mask says again what is known of the range.
    int64_t threads = fleet::gpugen::getWorkgroup(getOperation()).threads;
    Value mask = LLVM::ConstantOp::create(b, loc, b.getI32IntegerAttr(threads - 1));
    id = LLVM::AndOp::create(b, loc, id, mask);
    for (Id op : ids) {
      op.replaceAllUsesWith(id);
      op.erase();
    }
  }
};
} // namespace
