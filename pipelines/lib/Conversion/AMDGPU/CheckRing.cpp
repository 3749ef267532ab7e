//===- CheckRing.cpp - No slot is overwritten before it is read
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A wave's ring is touched by no other wave, and which slots it uses when depends
// on nothing but the number of tiles. So a body is run here, on the slots alone,
// for every number of tiles until what the ring looks like at the beginning of a
// tile has come again.
//
//===----------------------------------------------------------------------===//

#include "Ring.h"

#include "fleet/Conversion/GPUPasses.h"
#include "fleet/IR/Fleet.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "llvm/ADT/TypeSwitch.h"

#include <deque>

namespace mlir::fleet {
#define GEN_PASS_DEF_AMDGPUCHECKRING
#include "fleet/Conversion/GPUPasses.h.inc"
} // namespace mlir::fleet

using namespace mlir;
using namespace mlir::fleet;

static bool touchesRing(Operation *op) {
  return op->walk([](Operation *inner) {
             return isa<RingAskOp, RingWaitOp, RingReadOp>(inner) ? WalkResult::interrupt() : WalkResult::advance();
           })
      .wasInterrupted();
}

namespace {
enum class Slot { Free, Asked, Filled };

/// A body, run for one wave on numbers that are known.
struct Run {
  func::FuncOp body;
  int64_t tiles;
  llvm::DenseMap<Value, int64_t> known{};
  std::vector<Slot> slots{};
  std::deque<int64_t> onTheirWay{};
  /// The ring at the beginning of each tile.
  std::vector<std::pair<std::vector<Slot>, std::deque<int64_t>>> begins{};

  std::optional<int64_t> get(Value value) {
    if (std::optional<int64_t> constant = getConstantIntValue(value))
      return constant;
    auto it = known.find(value);
    return it == known.end() ? std::nullopt : std::optional<int64_t>(it->second);
  }
  void set(Value value, std::optional<int64_t> number) {
    if (number)
      known[value] = *number;
    else
      known.erase(value);
  }

  FailureOr<int64_t> slotOf(Operation *op, Value ring, Value slot) {
    int64_t count = cast<MemRefType>(ring.getType()).getDimSize(0);
    std::optional<int64_t> number = get(slot);
    if (!number)
      return op->emitOpError("expected a slot that follows from the number of tiles, found another");
    if (*number < 0 || *number >= count)
      return op->emitOpError("expected one of ") << count << " slots, found slot " << *number;
    slots.resize(count, Slot::Free);
    return *number;
  }

  LogicalResult step(RingAskOp op) {
    FailureOr<int64_t> slot = slotOf(op, op.getRing(), op.getSlot());
    if (failed(slot))
      return failure();
    if (slots[*slot] != Slot::Free)
      return op.emitOpError("expected a slot that has been read, found slot ") << *slot << " still in use";
    slots[*slot] = Slot::Asked;
    onTheirWay.push_back(*slot);
    return success();
  }
  LogicalResult step(RingWaitOp op) {
    while (onTheirWay.size() > op.getLeft()) {
      slots[onTheirWay.front()] = Slot::Filled;
      onTheirWay.pop_front();
    }
    return success();
  }
  LogicalResult step(RingReadOp op) {
    FailureOr<int64_t> slot = slotOf(op, op.getRing(), op.getSlot());
    if (failed(slot))
      return failure();
    if (slots[*slot] != Slot::Filled)
      return op.emitOpError("expected a slot that has been waited for, found slot ") << *slot << " still on its way";
    slots[*slot] = Slot::Free;
    return success();
  }

  LogicalResult step(scf::ForOp loop) {
    bool matters = touchesRing(loop);
    for (Value result : loop.getResults())
      known.erase(result);
    if (!matters)
      return success();
    std::optional<int64_t> by = get(loop.getStep()), lo = get(loop.getLowerBound()), hi = get(loop.getUpperBound());
    bool isTiles = !lo || !hi;
    if (!by || *by < 1 || (isTiles && loop->getParentOp() != body))
      return loop.emitOpError("expected a loop of known length around what asks for weights, found another");
    if (isTiles) {
      // Of the tiles, only how many there are matters.
      set(loop.getLowerBound(), lo = 0);
      set(loop.getUpperBound(), hi = tiles * *by);
    }
    SmallVector<std::optional<int64_t>> carried;
    for (Value init : loop.getInitArgs())
      carried.push_back(get(init));
    for (int64_t i = *lo; i < *hi; i += *by) {
      if (isTiles)
        begins.push_back({slots, onTheirWay});
      set(loop.getInductionVar(), i);
      for (auto [arg, value] : llvm::zip_equal(loop.getRegionIterArgs(), carried))
        set(arg, value);
      if (failed(run(*loop.getBody())))
        return failure();
      carried.clear();
      for (Value value : loop.getBody()->getTerminator()->getOperands())
        carried.push_back(get(value));
    }
    for (auto [result, value] : llvm::zip_equal(loop.getResults(), carried))
      set(result, value);
    return success();
  }

  LogicalResult step(scf::IfOp op) {
    std::optional<int64_t> condition = get(op.getCondition());
    for (Value result : op.getResults())
      known.erase(result);
    if (!touchesRing(op))
      return success();
    if (!condition)
      return op.emitOpError("expected a condition that follows from the number of tiles, found another");
    if (!*condition && op.getElseRegion().empty())
      return success();
    Block &block = *condition ? *op.thenBlock() : *op.elseBlock();
    if (failed(run(block)))
      return failure();
    for (auto [result, value] : llvm::zip_equal(op.getResults(), block.getTerminator()->getOperands()))
      set(result, get(value));
    return success();
  }

  /// Arithmetic on indices; everything else gives what is not known.
  void evaluate(Operation *op) {
    for (Value result : op->getResults())
      known.erase(result);
    if (op->getNumResults() != 1 || op->getNumOperands() == 0 || op->getNumOperands() > 3)
      return;
    SmallVector<int64_t> x;
    if (auto select = dyn_cast<arith::SelectOp>(op)) {
      std::optional<int64_t> condition = get(select.getCondition());
      if (condition)
        set(select, get(*condition ? select.getTrueValue() : select.getFalseValue()));
      return;
    }
    for (Value operand : op->getOperands()) {
      std::optional<int64_t> number = get(operand);
      if (!number)
        return;
      x.push_back(*number);
    }
    std::optional<int64_t> result =
        llvm::TypeSwitch<Operation *, std::optional<int64_t>>(op)
            .Case<arith::AddIOp>([&](auto) { return x[0] + x[1]; })
            .Case<arith::SubIOp>([&](auto) { return x[0] - x[1]; })
            .Case<arith::MulIOp>([&](auto) { return x[0] * x[1]; })
            .Case<arith::DivUIOp>([&](auto) -> std::optional<int64_t> {
              return x[0] >= 0 && x[1] > 0 ? std::optional<int64_t>(x[0] / x[1]) : std::nullopt;
            })
            .Case<arith::RemUIOp>([&](auto) -> std::optional<int64_t> {
              return x[0] >= 0 && x[1] > 0 ? std::optional<int64_t>(x[0] % x[1]) : std::nullopt;
            })
            .Case<arith::CmpIOp>([&](arith::CmpIOp compare) -> std::optional<int64_t> {
              switch (compare.getPredicate()) {
              case arith::CmpIPredicate::eq:
                return x[0] == x[1];
              case arith::CmpIPredicate::slt:
                return x[0] < x[1];
              default:
                return std::nullopt;
              }
            })
            .Default([](Operation *) { return std::nullopt; });
    set(op->getResult(0), result);
  }

  LogicalResult run(Block &block) {
    for (Operation &op : block) {
      LogicalResult result =
          llvm::TypeSwitch<Operation *, LogicalResult>(&op)
              .Case<RingAskOp, RingWaitOp, RingReadOp, scf::ForOp, scf::IfOp>([&](auto op) { return step(op); })
              .Default([&](Operation *op) -> LogicalResult {
                if (op->getNumRegions() && touchesRing(op))
                  return op->emitOpError("expected loops and conditions around what asks for weights, found another operation");
                evaluate(op);
                return success();
              });
      if (failed(result))
        return failure();
    }
    return success();
  }

  LogicalResult run() {
    if (auto head = body->getAttrOfType<IntegerAttr>(kRingHead))
      for (int64_t slot = 0; slot < head.getInt(); ++slot) {
        slots.push_back(Slot::Asked);
        onTheirWay.push_back(slot);
      }
    if (failed(run(body.front())))
      return failure();
    for (auto [i, slot] : llvm::enumerate(slots))
      if (slot != Slot::Free)
        return body.emitError("expected all slots of the ring to be free at the end, found slot ") << i << " in use";
    return success();
  }
};

struct AMDGPUCheckRing : fleet::impl::AMDGPUCheckRingBase<AMDGPUCheckRing> {
  LogicalResult check(func::FuncOp body) {
    int64_t slots = 0;
    body.walk([&](Operation *op) {
      if (auto ask = dyn_cast<RingAskOp>(op))
        slots = std::max(slots, cast<MemRefType>(ask.getRing().getType()).getDimSize(0));
      if (auto read = dyn_cast<RingReadOp>(op))
        slots = std::max(slots, cast<MemRefType>(read.getRing().getType()).getDimSize(0));
    });
    // A tile moves the ring by the same number of slots each time, so it looks
    // the same again after as many tiles as there are slots, if not before.
    Run longest{body, slots + 1};
    if (failed(longest.run()))
      return failure();
    int64_t period = 1, count = longest.begins.size();
    while (period < count && longest.begins[period] != longest.begins[0])
      ++period;
    for (int64_t tiles = 1; tiles <= std::min(period + 1, slots); ++tiles)
      if (Run run{body, tiles}; failed(run.run()))
        return failure();
    return success();
  }

  /// The walk asks for the slots 0, 1, ... of the head, as many as the body of the case expects.
  LogicalResult checkHeads(gpu::GPUModuleOp module) {
    bool isAsked = false;
    auto walked = module.walk([&](RingAskOp ask) {
      auto loop = dyn_cast<scf::ForOp>(ask->getParentOp());
      if (!ask->getParentOfType<gpu::GPUFuncOp>())
        return WalkResult::advance();
      isAsked = true;
      if (loop && ask.getSlot() == loop.getInductionVar() && getConstantIntValue(loop.getLowerBound()) == 0 &&
          getConstantIntValue(loop.getStep()) == 1)
        return WalkResult::advance();
      ask.emitOpError("expected the walk to ask for slots from 0 on in a loop, found another slot");
      return WalkResult::interrupt();
    });
    if (walked.wasInterrupted())
      return failure();
    auto streams = module.lookupSymbol<memref::GlobalOp>(kStreamTable);
    auto dispatch = module.lookupSymbol<func::FuncOp>("dispatch");
    if (!streams || !dispatch || !isAsked)
      return success();
    auto rows = cast<DenseIntElementsAttr>(*streams.getInitialValue()).getValues<int32_t>();
    for (auto select : dispatch.getOps<scf::IndexSwitchOp>())
      for (auto [label, region] : llvm::zip_equal(select.getCases(), select.getCaseRegions()))
        for (auto call : region.getOps<func::CallOp>()) {
          auto body = module.lookupSymbol<func::FuncOp>(call.getCallee());
          auto head = body->getAttrOfType<IntegerAttr>(kRingHead);
          int64_t asked = rows[kStreamColumns * label + kStreamHead], expected = head ? head.getInt() : 0;
          if (asked != expected)
            return body.emitError("expected the walk to ask for ") << expected << " slots, found " << asked;
        }
    return success();
  }

  void runOnOperation() override {
    for (auto body : getOperation().getOps<func::FuncOp>())
      if (touchesRing(body) && failed(check(body)))
        return signalPassFailure();
    if (failed(checkHeads(getOperation())))
      return signalPassFailure();
  }
};
} // namespace
