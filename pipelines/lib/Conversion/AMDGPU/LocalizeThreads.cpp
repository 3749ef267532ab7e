//===- LocalizeThreads.cpp - A thread number of its own for each body
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "../GPU/Utils.h"

#include "fleet/Conversion/GPUPasses.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/ROCDLDialect.h"

namespace mlir::fleet {
#define GEN_PASS_DEF_AMDGPULOCALIZETHREADS
#include "fleet/Conversion/GPUPasses.h.inc"
} // namespace mlir::fleet

using namespace mlir;

namespace {
struct AMDGPULocalizeThreads
    : mlir::fleet::impl::AMDGPULocalizeThreadsBase<AMDGPULocalizeThreads> {
  void runOnOperation() override {
    int64_t threads = fleet::gpugen::getWorkgroup(getOperation()).threads;
    for (auto function : getOperation().getOps<LLVM::LLVMFuncOp>()) {
      SmallVector<ROCDL::ThreadIdXOp> ids;
      function.walk([&](ROCDL::ThreadIdXOp op) { ids.push_back(op); });
      if (ids.empty() || function.getName() == "fleet_step")
        continue;
      OpBuilder b = OpBuilder::atBlockBegin(&function.getBody().front());
      Location loc = function.getLoc();
      Value id = ROCDL::ThreadIdXOp::create(b, loc, b.getI32Type(), LLVM::ConstantRangeAttr());
      id = LLVM::InlineAsmOp::create(b, loc, TypeRange{b.getI32Type()}, ValueRange{id}, "", "=v,0",
                                     /*has_side_effects=*/true, /*is_align_stack=*/false,
                                     LLVM::TailCallKind::None, LLVM::AsmDialectAttr(), ArrayAttr())
               .getRes();
      // The mask says again what is known of the range.
      Value mask = LLVM::ConstantOp::create(b, loc, b.getI32IntegerAttr(threads - 1));
      id = LLVM::AndOp::create(b, loc, id, mask);
      for (ROCDL::ThreadIdXOp op : ids) {
        op.replaceAllUsesWith(id);
        op.erase();
      }
    }
  }
};
} // namespace
