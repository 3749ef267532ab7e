//===- CutWorkers.cpp
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Utils.h"

#include "fleet/Transforms/Passes.h"

#include "mlir/IR/BuiltinOps.h"

namespace mlir::fleet {
#define GEN_PASS_DEF_CUTWORKERS
#include "fleet/Transforms/Passes.h.inc"

namespace {
struct CutWorkers : impl::CutWorkersBase<CutWorkers> {
  void runOnOperation() override {
    TargetAttr target = requireTarget(getOperation());
    if (!target)
      return signalPassFailure();
    OpBuilder b(&getContext());
    getOperation().walk([&](ChipletTaskOp task) {
      b.createBlock(&task.getCus());
      int64_t workers = target.getWorkers(), first = task.getLo(), tiles = task.getHi() - first;
      for (int64_t w = 0; w < workers; ++w) {
        int64_t lo = first + w * tiles / workers, hi = first + (w + 1) * tiles / workers;
        if (lo < hi)
          CuTaskOp::create(b, task.getLoc(), w, lo, hi);
      }
    });
  }
};
} // namespace
} // namespace mlir::fleet
