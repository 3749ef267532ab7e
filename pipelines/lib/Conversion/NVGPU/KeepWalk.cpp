//===- KeepWalk.cpp - The walk's own numbers wait in shared memory
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "../KernelTables.h"
#include "PTX.h"

#include "fleet/Conversion/NVGPUPasses.h"
#include "fleet/IR/Fleet.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "llvm/ADT/MapVector.h"

namespace mlir::fleet {
#define GEN_PASS_DEF_NVGPUKEEPWALK
#include "fleet/Conversion/NVGPUPasses.h.inc"
} // namespace mlir::fleet

using namespace mlir;
using namespace mlir::fleet;
using namespace mlir::fleet::gpugen;
using namespace mlir::fleet::nv;

namespace {
class Keeper {
public:
  Keeper(Emitter &e, func::CallOp call, scf::WhileOp loop) : e(e), call(call), loop(loop) {}

  void run() {
    SmallVector<OpOperand *> uses;
    loop->walk([&](Operation *op) {
      if (op == loop)
        return;
      for (OpOperand &operand : op->getOpOperands())
        if (isLong(operand.get(), op))
          uses.push_back(&operand);
    });
    for (OpOperand *use : uses)
      number(use->get());
    for (auto [value, place] : places)
      store(value, place);
    for (OpOperand *use : uses) {
      e.b.setInsertionPoint(use->getOwner());
      use->set(bring(use->get()));
    }
  }

private:
  Emitter &e;
  func::CallOp call;
  scf::WhileOp loop;
  /// Values that have a word each, and which.
  llvm::MapVector<Value, int64_t> places;

  /// What fits a word: of an index, which counts entries, tasks or steps, the lower half.
  static bool isWord(Type type) { return type.isIndex() || type.isInteger(32) || type.isInteger(1); }
  /// A scalar that takes a register as long as it is needed.
  bool takesRegister(Value value) { return isWord(value.getType()) && !isCheap(value); }
  bool isInside(Value value) { return loop->isAncestor(value.getParentBlock()->getParentOp()); }
  /// Whether `op` runs behind the call in a turn of the loop.
  bool isBehind(Operation *op) {
    for (Operation *above = call; above != loop; above = above->getParentOp())
      if (Operation *own = above->getBlock()->findAncestorOpInBlock(*op))
        return own != above && above->isBeforeInBlock(own);
    return false;
  }
  /// Whether it would stand in a register during the call if `user` had it as it is.
  bool isLong(Value value, Operation *user) {
    return takesRegister(value) && (!isInside(value) || (isBehind(user) && !isBehind(value)));
  }
  bool isBehind(Value value) {
    Operation *maker = value.getDefiningOp();
    return isBehind(maker ? maker : value.getParentBlock()->getParentOp());
  }
  /// Kernel arguments, constants, the thread's and the worker's numbers, and what follows from them alone.
  bool isCheap(Value value) {
    Operation *maker = value.getDefiningOp();
    if (!maker)
      return isa<gpu::GPUFuncOp>(value.getParentBlock()->getParentOp());
    if (isa<ChipletIdOp, WorkerRankOp>(maker))
      return true;
    return isPure(maker) && !maker->getNumRegions() &&
           llvm::all_of(maker->getOperands(), [&](Value x) { return isCheap(x); });
  }
  /// Whether it can be computed again behind the call.
  bool isAgain(Value value) {
    Operation *maker = value.getDefiningOp();
    if (!maker || !isInside(value) || maker->getNumRegions())
      return false;
    if (auto load = dyn_cast<memref::LoadOp>(maker))
      return isTable(load.getMemRef());
    return isPure(maker);
  }
  /// Tables never change while the walk goes on.
  bool isTable(Value memref) {
    while (auto view = memref.getDefiningOp<ViewLikeOpInterface>())
      memref = view.getViewSource();
    auto global = memref.getDefiningOp<memref::GetGlobalOp>();
    return global && global.getName().starts_with(kCached);
  }
  void number(Value value) {
    if (!takesRegister(value))
      return;
    if (!isAgain(value)) {
      places.try_emplace(value, places.size());
      return;
    }
    for (Value operand : value.getDefiningOp()->getOperands())
      number(operand);
  }

  /// The word of this warp.
  Value pointer(int64_t place) {
    auto type = inWorkgroupMemory({static_cast<int64_t>(places.size()), e.workgroup.waves()}, e.b.getI32Type());
    Value warp = arith::DivUIOp::create(e.b, e.loc, indexMadeHere(e, e.thread()), e.index(e.workgroup.lanes));
    return pointerToElement(e, e.shared("walk_state", type), {e.index(place), warp});
  }
  void store(Value value, int64_t place) {
    e.b.setInsertionPointAfterValue(value);
    Value word = value;
    if (value.getType().isIndex())
      word = arith::IndexCastOp::create(e.b, e.loc, e.b.getI32Type(), word);
    else if (value.getType().isInteger(1))
      word = arith::ExtUIOp::create(e.b, e.loc, e.b.getI32Type(), word);
    // All lanes store the same, once all have taken what stood there before.
    syncWarp(e);
    LLVM::StoreOp::create(e.b, e.loc, word, pointer(place), /*alignment=*/4, /*isVolatile=*/true);
    syncWarp(e);
  }
  Value bring(Value value) {
    if (!takesRegister(value))
      return value;
    if (!isAgain(value)) {
      Value word = LLVM::LoadOp::create(e.b, e.loc, e.b.getI32Type(), pointer(places.lookup(value)), /*alignment=*/4,
                                        /*isVolatile=*/true);
      if (value.getType().isIndex())
        return arith::IndexCastOp::create(e.b, e.loc, e.b.getIndexType(), word);
      if (value.getType().isInteger(1))
        return arith::TruncIOp::create(e.b, e.loc, value.getType(), word);
      return word;
    }
    Operation *maker = value.getDefiningOp();
    IRMapping mapping;
    for (Value operand : maker->getOperands())
      mapping.map(operand, bring(operand));
    return e.b.clone(*maker, mapping)->getResult(cast<OpResult>(value).getResultNumber());
  }
};

struct NVGPUKeepWalk : mlir::fleet::impl::NVGPUKeepWalkBase<NVGPUKeepWalk> {
  void runOnOperation() override {
    SmallVector<func::CallOp> calls;
    getOperation().walk([&](func::CallOp call) {
      if (call.getCallee() == "dispatch")
        calls.push_back(call);
    });
    for (func::CallOp call : calls)
      if (auto loop = call->getParentOfType<scf::WhileOp>()) {
        OpBuilder b(call);
        Emitter e(b, call.getLoc(), getOperation());
        Keeper(e, call, loop).run();
      }
  }
};
} // namespace
