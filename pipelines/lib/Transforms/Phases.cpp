//===- Phases.cpp
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Utils.h"

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
/// The type of a task's body in `phase`, of which the last argument, a scratch, is the body's own affair.
FunctionType bodyTypeOf(TaskOp task, func::FuncOp body, StringRef phase) {
  Builder b(task.getContext());
  SmallVector<Type> inputs(task.getOperandTypes());
  // A body takes its operands from anywhere: which of them are of the own chiplet is the task's affair.
  for (auto [i, operand] : llvm::enumerate(task.getOperands()))
    if (auto buffer = operand.getDefiningOp<BufferOp>(); buffer && buffer.getChipletStride()) {
      auto type = cast<MemRefType>(buffer.getType());
      inputs[i] = MemRefType::get(type.getShape(), type.getElementType(), type.getLayout(),
                                  MemoryScopeAttr::get(task.getContext(), MemoryScope::Hbm));
    }
  if (phase == "tasks" || phase == "chiplets")
    return b.getFunctionType(inputs, task.getResultTypes());
  llvm::append_range(inputs, task.getResultTypes());
  inputs.append(2, b.getIndexType());
  if (phase == "tiles")
    return b.getFunctionType(inputs, task.getResultTypes());
  int64_t bytes = 0;
  if (body.getNumArguments())
    if (auto scratch = dyn_cast<MemRefType>(body.getArgumentTypes().back()); scratch && scratch.getRank() == 1)
      bytes = scratch.getDimSize(0);
  inputs.push_back(MemRefType::get({bytes}, b.getI8Type(), MemRefLayoutAttrInterface(),
                                   MemoryScopeAttr::get(task.getContext(), MemoryScope::Lds)));
  return b.getFunctionType(inputs, {});
}

LogicalResult verifyTask(TaskOp task, ModuleOp module, StringRef phase, bool placed) {
  func::FuncOp body = requireBody(module, task);
  if (!body)
    return failure();
  if (phase != "tasks" && task.getChiplets().empty())
    return task.emitError("expected a task cut into chiplet tasks, found none");
  if (phase != "tasks" && phase != "chiplets")
    for (auto part : task.getChiplets().getOps<ChipletTaskOp>())
      if (part.getCus().empty())
        return part.emitError("expected a chiplet task cut into cu tasks, found none");
  if (placed) {
    if (task.getNumResults())
      return task.emitError("expected a task on buffers, found a tensor result");
    if (!requireBuffers(task))
      return failure();
  } else if (!task.getNumResults()) {
    return task.emitError("expected a task with a tensor result, found none");
  }
  FunctionType type = bodyTypeOf(task, body, phase);
  if (body.getFunctionType() != type)
    return task.emitError("expected a body @")
           << task.getBody() << " of type " << type << ", found " << body.getFunctionType();
  return success();
}

/// One queue for each worker of the target, in their order.
LogicalResult verifyQueues(func::FuncOp step, TargetAttr target) {
  int64_t place = 0, workers = target.getWorkers(), count = target.getChiplets() * workers;
  for (auto queue : step.getOps<QueueOp>()) {
    if (static_cast<int64_t>(queue.getChiplet()) * workers + static_cast<int64_t>(queue.getWorker()) != place)
      return queue.emitError("expected the queue of chiplet ")
             << place / workers << " worker " << place % workers << ", found that of chiplet "
             << queue.getChiplet() << " worker " << queue.getWorker();
    ++place;
  }
  if (place != count)
    return step.emitError("expected a queue for each of ") << count << " workers, found " << place;
  return success();
}

/// Fails where `module` does not have the form of a module in `phase`.
LogicalResult verifyForm(ModuleOp module, StringRef phase) {
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
  func::FuncOp step = requireStep(module);
  if (!step)
    return failure();
  if (phase == "import")
    return success();
  bool placed = phase == "memory" || phase == "events" || phase == "schedule";
  if (placed && !module->getAttrOfType<DictionaryAttr>("fleet.manifest"))
    return module.emitError("expected a module with a fleet.manifest after phase ") << phase << ", found none";
  for (Operation &op : step.getBody().front()) {
    if (!isa<ParamOp, StateOp, TaskOp, BufferOp, QueueOp, func::ReturnOp>(op))
      return op.emitError("expected only tasks in @step after phase ") << phase << ", found " << op.getName();
    if (auto task = dyn_cast<TaskOp>(op); task && failed(verifyTask(task, module, phase, placed)))
      return failure();
  }
  if (placed)
    for (auto func : module.getOps<func::FuncOp>())
      for (Type type : func.getArgumentTypes())
        if (isa<TensorType>(type))
          return func.emitError("expected only memrefs after phase ") << phase << ", found " << type;
  if (phase != "schedule")
    return success();
  TargetAttr target = requireTarget(module);
  return target ? verifyQueues(step, target) : failure();
}

struct BeginPhase : impl::BeginPhaseBase<BeginPhase> {
  using BeginPhaseBase::BeginPhaseBase;
  void runOnOperation() override {
    auto phase = getOperation()->getAttrOfType<StringAttr>("fleet.phase");
    StringRef found = phase ? phase.getValue() : "raw";
    if (found != expect) {
      getOperation().emitError("expected a module in phase ") << expect << ", found " << found;
      return signalPassFailure();
    }
    // The module may come from a file: what names a phase must have its form.
    if (expect != "raw" && (!requireTarget(getOperation()) || failed(verifyForm(getOperation(), expect))))
      signalPassFailure();
  }
};

struct EndPhase : impl::EndPhaseBase<EndPhase> {
  using EndPhaseBase::EndPhaseBase;
  void runOnOperation() override {
    if (failed(verifyForm(getOperation(), phase)))
      return signalPassFailure();
    getOperation()->setAttr("fleet.phase", StringAttr::get(&getContext(), phase));
  }
};
} // namespace
} // namespace mlir::fleet
