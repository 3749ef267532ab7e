//===- PlaceStep.cpp
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Utils.h"

#include "fleet/Target/TargetModel.h"
#include "fleet/Transforms/Passes.h"
#include "fleet/Transforms/Switches.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/BitVector.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/Support/MathExtras.h"

namespace mlir::fleet {
#define GEN_PASS_DEF_PLACESTEP
#include "fleet/Transforms/Passes.h.inc"

namespace {
/// Bytes of a line of a chiplet's L2.
constexpr int64_t kLine = 128;

int64_t bytesOf(ShapedType type) {
  return type.getNumElements() * (type.getElementTypeBitWidth() / 8);
}

/// Rows of a step: its tokens.
int64_t rowsOf(func::FuncOp step) {
  for (BlockArgument arg : step.getArguments())
    if (auto name = step.getArgAttrOfType<StringAttr>(arg.getArgNumber(), "fleet.input"); name && name == "tokens")
      return cast<RankedTensorType>(arg.getType()).getDimSize(0);
  return 0;
}

struct PlaceStep : impl::PlaceStepBase<PlaceStep> {
  llvm::StringMap<int64_t> used;

  int64_t take(StringRef arena, int64_t bytes) {
    int64_t offset = used[arena];
    used[arena] = llvm::alignTo(offset + bytes, kArenaAlignment);
    return offset;
  }

  void runOnOperation() override {
    used.clear();
    ModuleOp module = getOperation();
    TargetAttr target = requireTarget(module);
    func::FuncOp step = target ? requireStep(module) : func::FuncOp();
    if (!step)
      return signalPassFailure();
    Block &block = step.getBody().front();
    OpBuilder b(&getContext());
    auto hbm = MemoryScopeAttr::get(&getContext(), MemoryScope::Hbm);
    auto bufferType = [&](Type type) {
      auto tensor = cast<RankedTensorType>(type);
      return MemRefType::get(tensor.getShape(), tensor.getElementType(), MemRefLayoutAttrInterface(), hbm);
    };
    auto place = [&](StringRef arena, Type type) -> BufferOp {
      MemRefType memref = bufferType(type);
      return BufferOp::create(b, step.getLoc(), memref, arena, take(arena, bytesOf(memref)), IntegerAttr());
    };
    // An instance for each chiplet, none in a cache line of another's.
    auto placeForEach = [&](Type type, int64_t chiplets) -> BufferOp {
      auto l2 = MemoryScopeAttr::get(&getContext(), MemoryScope::L2);
      auto tensor = cast<RankedTensorType>(type);
      auto memref = MemRefType::get(tensor.getShape(), tensor.getElementType(), MemRefLayoutAttrInterface(), l2);
      int64_t stride = llvm::alignTo(bytesOf(memref), kLine), begin = take("work", kLine + chiplets * stride);
      return BufferOp::create(b, step.getLoc(), memref, "work", llvm::alignTo(begin, kLine), b.getI64IntegerAttr(stride));
    };
    auto describe = [&](int64_t offset, ShapedType type) {
      std::string element;
      llvm::raw_string_ostream(element) << type.getElementType();
      return b.getDictionaryAttr({b.getNamedAttr("offset", b.getI64IntegerAttr(offset)),
                                  b.getNamedAttr("shape", b.getI64ArrayAttr(type.getShape())),
                                  b.getNamedAttr("dtype", b.getStringAttr(element))});
    };

    // Parameters in the order in which the tasks first use them: the order of the stream.
    SmallVector<Attribute> params;
    SmallVector<NamedAttribute> inputs, outputs;
    b.setInsertionPointToStart(&block);
    llvm::DenseMap<Value, Value> buffers;
    for (auto task : step.getOps<TaskOp>())
      for (Value operand : task.getOperands())
        if (auto param = operand.getDefiningOp<ParamOp>(); param && !param.getOffset()) {
          auto type = cast<RankedTensorType>(param.getType());
          int64_t offset = take("params", bytesOf(type));
          param.setOffset(offset);
          int64_t pack = param.getPack().value_or(0);
          SmallVector<int64_t> shape(type.getShape());
          if (pack)
            shape = {type.getDimSize(0) * pack, type.getDimSize(1)};
          std::string element;
          llvm::raw_string_ostream(element) << type.getElementType();
          SmallVector<NamedAttribute> entry = {
              b.getNamedAttr("names", param.getNames()), b.getNamedAttr("concat", b.getI64IntegerAttr(0)),
              b.getNamedAttr("offset", b.getI64IntegerAttr(offset)), b.getNamedAttr("pack", b.getI64IntegerAttr(pack)),
              b.getNamedAttr("shape", b.getI64ArrayAttr(shape)), b.getNamedAttr("dtype", b.getStringAttr(element))};
          if (IntegerAttr splits = param.getSplitsAttr())
            entry.push_back(b.getNamedAttr("splits", splits));
          params.push_back(b.getDictionaryAttr(entry));
          buffers[param] = BufferOp::create(b, param.getLoc(), bufferType(type), "params", offset, IntegerAttr());
        }
    SmallVector<StateOp> states(step.getOps<StateOp>());
    llvm::sort(states, [](StateOp x, StateOp y) {
      return std::pair(x.getLayer(), x.getName()) < std::pair(y.getLayer(), y.getName());
    });
    for (StateOp state : states) {
      auto type = cast<MemRefType>(state.getType());
      int64_t offset = take("state", bytesOf(type));
      state.setOffset(offset);
      Value buffer = BufferOp::create(b, state.getLoc(), type, "state", offset, IntegerAttr());
      state.getResult().replaceAllUsesWith(buffer);
    }
    // The order of the input arena is fixed, whichever order the step takes them in.
    for (StringRef name : {"tokens", "positions", "slots", "out_rows"})
      for (BlockArgument arg : block.getArguments())
        if (auto attr = step.getArgAttrOfType<StringAttr>(arg.getArgNumber(), "fleet.input"); attr && attr == name) {
          BufferOp buffer = place("input", arg.getType());
          inputs.push_back(b.getNamedAttr(name, describe(buffer.getOffset(), cast<ShapedType>(arg.getType()))));
          buffers[arg] = buffer;
        }
    for (BlockArgument arg : block.getArguments())
      if (!buffers.contains(arg)) {
        step.emitError("expected inputs tokens, positions, slots and out_rows, found another");
        return signalPassFailure();
      }
    constexpr StringRef results[] = {"logits", "ids"};
    Operation *ret = block.getTerminator();
    if (ret->getNumOperands() != 2) {
      ret->emitError("expected the step to return logits and ids, found ") << ret->getNumOperands() << " values";
      return signalPassFailure();
    }
    for (auto [name, value] : llvm::zip_equal(results, ret->getOperands())) {
      BufferOp buffer = place("output", value.getType());
      outputs.push_back(b.getNamedAttr(name, describe(buffer.getOffset(), cast<ShapedType>(value.getType()))));
      buffers[value] = buffer;
    }
    int64_t status = take("output", kArenaAlignment);
    outputs.push_back(b.getNamedAttr("status", describe(status, RankedTensorType::get({4}, b.getI32Type()))));

    // Values of many rows are written back to HBM before another layer's are made, if these have other bytes: where
    // one chiplet has them all, a value takes those of one that nobody needs any more when its task begins.
    bool reuses = target.getBackend() == Backend::NVVM && target.getChiplets() == 1 &&
                  rowsOf(step) >= getManyRows(target.getBackend()) && getSwitch(getOperation(), "arena") == "reused";
    llvm::DenseMap<Operation *, int64_t> places;
    SmallVector<TaskOp> tasks(step.getOps<TaskOp>());
    for (auto [place, task] : llvm::enumerate(tasks))
      places[task] = place;
    // What a task needs, and all that needed, is over when it begins.
    std::vector<llvm::BitVector> over(tasks.size(), llvm::BitVector(tasks.size()));
    for (auto [place, task] : llvm::enumerate(tasks))
      for (Value operand : task.getOperands())
        if (auto producer = operand.getDefiningOp<TaskOp>()) {
          over[place] |= over[places.lookup(producer)];
          over[place].set(places.lookup(producer));
        }
    struct Bytes {
      int64_t offset;
      llvm::BitVector users; ///< and who wrote it
    };
    llvm::DenseMap<int64_t, std::vector<Bytes>> taken; // by size
    auto placeAgain = [&](TaskOp task) -> BufferOp {
      int64_t place = places.lookup(task);
      MemRefType memref = bufferType(task.getResult(0).getType());
      llvm::BitVector users(over.size());
      users.set(place);
      for (Operation *user : task->getUsers())
        if (auto it = places.find(user); it != places.end())
          users.set(it->second);
      std::vector<Bytes> &known = taken[bytesOf(memref)];
      // Whether all of them are among what is over.
      auto free = llvm::find_if(known, [&](Bytes &bytes) { return !bytes.users.test(over[place]); });
      if (free == known.end())
        free = known.insert(free, Bytes{take("work", bytesOf(memref)), {}});
      free->users = users;
      return BufferOp::create(b, step.getLoc(), memref, "work", free->offset, IntegerAttr());
    };

    for (TaskOp task : tasks) {
      SmallVector<Value> operands;
      for (Value operand : task.getOperands())
        operands.push_back(buffers.lookup(operand) ? buffers.lookup(operand) : operand);
      Value result = task.getResult(0);
      if (!buffers.contains(result)) {
        b.setInsertionPoint(task);
        bool isReplicated = task.getPartition() && task.getPartition()->getKind() == PartitionKind::Replicated;
        buffers[result] = isReplicated ? placeForEach(result.getType(), target.getChiplets())
                          : reuses     ? placeAgain(task)
                                       : place("work", result.getType());
      }
      operands.push_back(buffers[result]);
      b.setInsertionPoint(task);
      auto placed = TaskOp::create(b, task.getLoc(), TypeRange(), task.getId(), task.getBody(), operands,
                                   task.getPartitionAttr(), task.getTraversalAttr(), DenseI64ArrayAttr(), DenseI64ArrayAttr());
      placed.getChiplets().takeBody(task.getChiplets());
    }
    // Tensors are gone from the step: drop them last to first.
    ret->setOperands({});
    for (Operation &op : llvm::make_early_inc_range(llvm::reverse(block)))
      if (isa<TaskOp, ParamOp, StateOp>(op) && op.getNumResults()) {
        op.erase();
      }
    while (block.getNumArguments())
      block.eraseArgument(0);
    step.removeArgAttrsAttr();
    step.removeResAttrsAttr();
    step.setType(b.getFunctionType({}, {}));

    auto number = [&](StringRef key) {
      auto attr = module->getAttrOfType<IntegerAttr>(key);
      return attr ? attr.getInt() : int64_t(0);
    };
    SmallVector<NamedAttribute> arenas;
    for (StringRef name : {"params", "state", "work", "input", "output"})
      arenas.push_back(b.getNamedAttr(name, b.getI64IntegerAttr(used[name])));
    auto tokens = cast<DictionaryAttr>(b.getDictionaryAttr(inputs).get("tokens"));
    int64_t rows = cast<IntegerAttr>(cast<ArrayAttr>(tokens.get("shape"))[0]).getInt();
    auto ids = cast<DictionaryAttr>(b.getDictionaryAttr(outputs).get("ids"));
    int64_t outRows = cast<IntegerAttr>(cast<ArrayAttr>(ids.get("shape"))[0]).getInt();
    module->setAttr("fleet.manifest",
                    b.getDictionaryAttr({b.getNamedAttr("arenas", b.getDictionaryAttr(arenas)),
                                         b.getNamedAttr("inputs", b.getDictionaryAttr(inputs)),
                                         b.getNamedAttr("outputs", b.getDictionaryAttr(outputs)),
                                         b.getNamedAttr("params", b.getArrayAttr(params)),
                                         b.getNamedAttr("target", b.getStringAttr(target.getName())),
                                         b.getNamedAttr("tokens", b.getI64IntegerAttr(rows)),
                                         b.getNamedAttr("out_rows", b.getI64IntegerAttr(outRows)),
                                         b.getNamedAttr("slots", b.getI64IntegerAttr(number("fleet.slots"))),
                                         b.getNamedAttr("context", b.getI64IntegerAttr(number("fleet.context"))),
                                         b.getNamedAttr("layers", b.getI64IntegerAttr(number("fleet.layers")))}));
  }
};
} // namespace
} // namespace mlir::fleet
