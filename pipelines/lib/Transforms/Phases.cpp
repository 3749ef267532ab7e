//===- Phases.cpp
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fleet/Transforms/Passes.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/IR/BuiltinOps.h"

namespace mlir::fleet {
#define GEN_PASS_DEF_BEGINPHASE
#define GEN_PASS_DEF_ENDPHASE
#include "fleet/Transforms/Passes.h.inc"

namespace {
struct BeginPhase : impl::BeginPhaseBase<BeginPhase> {
  using BeginPhaseBase::BeginPhaseBase;
  void runOnOperation() override {
    auto phase = getOperation()->getAttrOfType<StringAttr>("fleet.phase");
    StringRef found = phase ? phase.getValue() : "raw";
    if (found != expect) {
      getOperation().emitError("expected a module in phase ") << expect << ", found " << found;
      return signalPassFailure();
    }
    if (expect != "raw" && !getOperation()->getAttrOfType<TargetAttr>("fleet.target")) {
      getOperation().emitError("expected a module with a fleet.target, found none; run fleet-set-target");
      signalPassFailure();
    }
  }
};

struct EndPhase : impl::EndPhaseBase<EndPhase> {
  using EndPhaseBase::EndPhaseBase;

  LogicalResult verifyForm(ModuleOp module) {
    if (phase == "kernel") {
      if (module.getOps<gpu::GPUModuleOp>().empty())
        return module.emitError("expected a gpu.module after phase kernel, found none");
      return success();
    }
    if (phase == "target" || phase == "package") {
      if (module.getOps<LLVM::LLVMFuncOp>().empty())
        return module.emitError("expected llvm functions after phase ") << phase << ", found none";
      return success();
    }
    auto step = module.lookupSymbol<func::FuncOp>("step");
    if (!step)
      return module.emitError("expected a function @step, found none");
    if (phase == "import")
      return success();
    bool placed = phase == "memory" || phase == "events" || phase == "schedule";
    for (Operation &op : step.getBody().front()) {
      if (!isa<ParamOp, StateOp, TaskOp, BufferOp, QueueOp, func::ReturnOp>(op))
        return op.emitError("expected only tasks in @step after phase ") << phase << ", found " << op.getName();
      auto task = dyn_cast<TaskOp>(op);
      if (!task)
        continue;
      if (!module.lookupSymbol<func::FuncOp>(task.getBody()))
        return task.emitError("expected a body @") << task.getBody() << ", found none";
      if (phase != "tasks" && task.getChiplets().empty())
        return task.emitError("expected a task cut into chiplet tasks, found none");
      if (phase != "tasks" && phase != "chiplets")
        for (auto part : task.getChiplets().getOps<ChipletTaskOp>())
          if (part.getCus().empty())
            return part.emitError("expected a chiplet task cut into cu tasks, found none");
      if (placed && task.getNumResults())
        return task.emitError("expected a task on buffers, found a tensor result");
    }
    if (placed)
      for (auto func : module.getOps<func::FuncOp>())
        for (Type type : func.getArgumentTypes())
          if (isa<TensorType>(type))
            return func.emitError("expected only memrefs after phase ") << phase << ", found " << type;
    if (phase == "schedule" && step.getOps<QueueOp>().empty())
      return step.emitError("expected a queue for each worker, found none");
    return success();
  }

  void runOnOperation() override {
    if (failed(verifyForm(getOperation())))
      return signalPassFailure();
    getOperation()->setAttr("fleet.phase", StringAttr::get(&getContext(), phase));
  }
};
} // namespace
} // namespace mlir::fleet
