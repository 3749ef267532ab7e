//===- FormTasks.cpp
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Utils.h"

#include "fleet/Target/TargetModel.h"
#include "fleet/Transforms/Passes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/IRMapping.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/ADT/StringMap.h"

namespace mlir::fleet {
#define GEN_PASS_DEF_FORMTASKS
#include "fleet/Transforms/Passes.h.inc"

namespace {
/// The value whose bytes `value` shows.
Value skipViews(Value value) {
  while (Operation *op = value.getDefiningOp()) {
    if (!isView(op))
      break;
    value = op->getOperand(0);
  }
  return value;
}

bool isEmbedding(Operation *op) {
  auto gather = dyn_cast<GatherOp>(op);
  return gather && skipViews(gather.getInputs()[0]).getDefiningOp<ParamOp>();
}

bool isAnchor(Operation *op) {
  return isa<linalg::MatmulOp, AttentionOp, AttentionPartialOp, AttentionMergeOp, ArgmaxOp, ArgmaxPartialOp,
             ArgmaxMergeOp>(op) ||
         isEmbedding(op);
}

/// Cheap rows-only ops, computed again in every task that needs them.
bool isPrologue(Operation *op) { return isa<RmsNormOp, LayerNormOp, RopeOp, GatherOp>(op) && !isEmbedding(op); }

/// What may stand in a body beside anchors and prologues.
bool isHelper(Operation *op) {
  return isElementwise(op) || isView(op) ||
         isa<tensor::EmptyOp, tensor::ConcatOp, linalg::FillOp, linalg::TransposeOp, linalg::BroadcastOp,
             arith::ConstantOp>(op);
}

/// The last element-wise op that can be computed with `anchor`, tile by tile,
/// so that nothing else of what it computes on the way is used elsewhere.
Value findRoot(Operation *anchor) {
  Value root = anchor->getResult(0);
  if (!isa<linalg::MatmulOp>(anchor))
    return root;
  ArrayRef<int64_t> shape = cast<RankedTensorType>(root.getType()).getShape();
  llvm::SmallPtrSet<Operation *, 16> members = {anchor};
  for (Operation *op = anchor->getNextNode(); op; op = op->getNextNode()) {
    if (!llvm::any_of(op->getOperands(), [&](Value v) { return members.contains(v.getDefiningOp()); }))
      continue;
    if (!isElementwise(op) || cast<RankedTensorType>(op->getResult(0).getType()).getShape() != shape)
      break;
    members.insert(op);
    bool closed = llvm::all_of(members, [&](Operation *member) {
      return member == op || llvm::all_of(member->getUsers(), [&](Operation *user) { return members.contains(user); });
    });
    if (closed)
      root = op->getResult(0);
  }
  return root;
}

/// `ops` with operands before users, in an order that depends on nothing but
/// what is computed: equal computations give equal bodies, wherever they stood.
SmallVector<Operation *> operandsFirst(Operation *root, const llvm::SetVector<Operation *> &ops) {
  SmallVector<Operation *> order;
  llvm::SmallPtrSet<Operation *, 32> seen;
  std::function<void(Operation *)> visit = [&](Operation *op) {
    if (!op || !ops.contains(op) || !seen.insert(op).second)
      return;
    op->walk([&](Operation *inner) {
      for (Value operand : inner->getOperands())
        if (operand.getParentRegion() == op->getParentRegion())
          visit(operand.getDefiningOp());
    });
    order.push_back(op);
  };
  visit(root);
  return order;
}

/// Prologues of many rows, to be tasks of their own: norms that contractions read,
/// also by way of a gather, queries and keys of attention. With fewer rows it costs
/// less to make them in each worker than to wait for them.
SmallVector<Value> separatePrologues(func::FuncOp step, int64_t manyRows) {
  SmallVector<Value> norms;
  auto add = [&](Operation *op) {
    if (op && isPrologue(op) && cast<RankedTensorType>(op->getResult(0).getType()).getDimSize(0) >= manyRows)
      norms.push_back(op->getResult(0));
  };
  for (auto matmul : step.getOps<linalg::MatmulOp>()) {
    Operation *left = skipViews(matmul.getInputs()[0]).getDefiningOp();
    add(left);
    if (auto gather = dyn_cast_or_null<GatherOp>(left))
      add(skipViews(gather.getInputs()[0]).getDefiningOp());
  }
  for (auto attention : step.getOps<AttentionPartialOp>())
    for (Value input : attention.getInputs().take_front(2))
      add(skipViews(input).getDefiningOp());
  return norms;
}

struct FormTasks : impl::FormTasksBase<FormTasks> {
  /// The ops that compute `root` from parameters, states, arguments and other roots.
  LogicalResult collect(Value root, const llvm::SetVector<Value> &roots, llvm::SetVector<Operation *> &ops,
                        llvm::SetVector<Value> &inputs) {
    SmallVector<Value> work = {root};
    llvm::DenseSet<Value> seen;
    while (!work.empty()) {
      Value value = work.pop_back_val();
      if (!seen.insert(value).second)
        continue;
      Operation *op = value.getDefiningOp();
      if (!op || isa<ParamOp, StateOp>(op) || (value != root && roots.contains(value))) {
        inputs.insert(value);
        continue;
      }
      if (!isAnchor(op) && !isPrologue(op) && !isHelper(op))
        return op->emitError("unsupported operation '")
               << op->getName() << "' in the step: fleet takes contractions, element-wise operations, "
               << "gather, norms, rope, attention and argmax; give it a named op in the importer";
      ops.insert(op);
      for (Value operand : op->getOperands())
        work.push_back(operand);
      op->walk([&](Operation *inner) {
        if (inner != op)
          for (Value operand : inner->getOperands())
            if (operand.getParentRegion() == op->getParentRegion())
              work.push_back(operand);
      });
    }
    return success();
  }

  void runOnOperation() override {
    ModuleOp module = getOperation();
    func::FuncOp step = requireStep(module);
    if (!step)
      return signalPassFailure();
    Block &block = step.getBody().front();
    Operation *terminator = block.getTerminator();

    llvm::SetVector<Value> roots;
    auto target = module->getAttrOfType<TargetAttr>("fleet.target");
    if (target && target.getBackend() != Backend::LLVM)
      roots.insert_range(separatePrologues(step, getManyRows(target.getBackend())));
    auto addRoot = [&](Value value) {
      value = skipViews(value);
      Operation *op = value.getDefiningOp();
      if (op && !isa<ParamOp, StateOp>(op))
        roots.insert(value);
    };
    for (Operation &op : block)
      if (isAnchor(&op))
        roots.insert(findRoot(&op));
    // An element-wise value that another kind of op needs is a task of its own.
    for (Operation &op : block) {
      if (!isAnchor(&op) && !isPrologue(&op))
        continue;
      for (Value operand : op.getOperands()) {
        Value base = skipViews(operand);
        Operation *def = base.getDefiningOp();
        if (def && isElementwise(def) && !roots.contains(base))
          roots.insert(base);
      }
    }
    for (Value result : terminator->getOperands()) {
      addRoot(result);
      if (!roots.contains(result)) {
        terminator->emitError("expected the step to return whole values, found a view or an input");
        return signalPassFailure();
      }
    }
    SmallVector<Value> ordered(roots.getArrayRef());
    llvm::sort(ordered, [](Value a, Value b) { return a.getDefiningOp()->isBeforeInBlock(b.getDefiningOp()); });

    llvm::StringMap<std::string> bodies;
    OpBuilder b(&getContext());
    int64_t id = 0;
    SmallVector<TaskOp> tasks;
    for (Value root : ordered) {
      llvm::SetVector<Operation *> ops;
      llvm::SetVector<Value> inputs;
      if (failed(collect(root, roots, ops, inputs)))
        return signalPassFailure();
      SmallVector<Operation *> sorted = operandsFirst(root.getDefiningOp(), ops);
      // Inputs in order of use, so that equal bodies have equal signatures.
      llvm::SetVector<Value> args;
      for (Operation *op : sorted)
        op->walk([&](Operation *inner) {
          for (Value operand : inner->getOperands())
            if (inputs.contains(operand))
              args.insert(operand);
        });
      SmallVector<Type> types;
      for (Value arg : args)
        types.push_back(arg.getType());
      b.setInsertionPoint(step);
      auto body = func::FuncOp::create(b, root.getLoc(), "task", b.getFunctionType(types, root.getType()));
      body.setPrivate();
      body->setAttr("fleet.body", b.getUnitAttr());
      Block *entry = body.addEntryBlock();
      IRMapping mapping;
      for (auto [value, arg] : llvm::zip_equal(args, entry->getArguments()))
        mapping.map(value, arg);
      b.setInsertionPointToEnd(entry);
      for (Operation *op : sorted)
        b.clone(*op, mapping);
      func::ReturnOp::create(b, root.getLoc(), mapping.lookup(root));

      std::string text;
      llvm::raw_string_ostream os(text);
      body.print(os, OpPrintingFlags().useLocalScope());
      auto [it, inserted] = bodies.try_emplace(text, "task_" + std::to_string(bodies.size()));
      if (inserted)
        body.setSymName(it->second);
      else
        body.erase();
      b.setInsertionPointAfter(root.getDefiningOp());
      tasks.push_back(TaskOp::create(b, root.getLoc(), TypeRange{root.getType()}, id++, it->second,
                                     args.getArrayRef(), PartitionAttr(), TraversalAttr(), DenseI64ArrayAttr(),
                                     DenseI64ArrayAttr()));
    }
    for (auto [root, task] : llvm::zip_equal(ordered, tasks)) {
      Value from = root;
      from.replaceAllUsesWith(task.getResult(0));
    }
    // What is left stands in bodies now.
    for (Operation &op : llvm::make_early_inc_range(llvm::reverse(block)))
      if (!isa<TaskOp, ParamOp, StateOp, func::ReturnOp>(op) && op.use_empty())
        op.erase();
    for (Operation &op : llvm::make_early_inc_range(llvm::reverse(block)))
      if (isa<ParamOp, StateOp>(op) && op.use_empty())
        op.erase();
    // Parameters and caches first: tasks refer to them from anywhere.
    SmallVector<Operation *> constants;
    for (Operation &op : block)
      if (isa<ParamOp, StateOp>(op))
        constants.push_back(&op);
    for (Operation *op : llvm::reverse(constants))
      op->moveBefore(&block, block.begin());
  }
};
} // namespace
} // namespace mlir::fleet
