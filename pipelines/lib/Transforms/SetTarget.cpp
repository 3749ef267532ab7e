//===- SetTarget.cpp
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fleet/Target/TargetModel.h"
#include "fleet/Transforms/Passes.h"

#include "mlir/IR/BuiltinOps.h"

namespace mlir::fleet {
#define GEN_PASS_DEF_SETTARGET
#include "fleet/Transforms/Passes.h.inc"

namespace {
struct SetTarget : impl::SetTargetBase<SetTarget> {
  using SetTargetBase::SetTargetBase;
  void runOnOperation() override {
    TargetAttr facts = getPredefinedTarget(&getContext(), target);
    if (!facts) {
      auto diag = getOperation().emitError("unknown target '") << target << "', expected one of ";
      llvm::interleaveComma(getPredefinedTargetNames(), diag);
      return signalPassFailure();
    }
    auto result = TargetAttr::getChecked(
        [&] { return getOperation().emitError(); }, &getContext(), facts.getName(), facts.getBackend(),
        chiplets ? chiplets : facts.getChiplets(), workers ? workers : facts.getWorkers(),
        facts.getLds(), facts.getL2(), facts.getHbmGbs(), facts.getTile(), facts.getUnits(),
        facts.getSimds(), facts.getRegisters(), facts.getWaves());
    if (!result)
      return signalPassFailure();
    getOperation()->setAttr("fleet.target", result);
  }
};
} // namespace
} // namespace mlir::fleet
