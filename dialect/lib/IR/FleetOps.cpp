//===- FleetOps.cpp - Verifiers ---------------------------------*- C++ -*-===//
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fleet/IR/Fleet.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "llvm/ADT/STLExtras.h"

using namespace mlir;
using namespace mlir::fleet;

#define GET_OP_CLASSES
#include "fleet/IR/FleetOps.cpp.inc"

/// The target in force at `op`, or null.
static TargetAttr lookupTarget(Operation *op) {
  for (; op; op = op->getParentOp())
    if (auto target = op->getAttrOfType<TargetAttr>("fleet.target"))
      return target;
  return nullptr;
}

/// The accessors of integer attributes are unsigned: the sign is looked at here.
static LogicalResult verifyNotNegative(Operation *op, StringRef what, int64_t value) {
  if (value >= 0)
    return success();
  return op->emitOpError("expected ") << what << " of 0 or more, found " << value;
}

static LogicalResult verifyOffset(Operation *op, int64_t offset) {
  if (offset % kArenaAlignment)
    return op->emitOpError("expected an offset that is a multiple of ")
           << kArenaAlignment << ", found " << offset;
  return verifyNotNegative(op, "an offset", offset);
}

/// What lies in an arena has a size that is known, in bytes, and no gaps.
static LogicalResult verifyStored(Operation *op, ShapedType type) {
  auto memref = dyn_cast<MemRefType>(type);
  if (!type.hasStaticShape() || (memref && !memref.getLayout().isIdentity()))
    return op->emitOpError("expected a static shape without strides, found ") << type;
  Type element = type.getElementType();
  if (!element.isIntOrFloat() || element.getIntOrFloatBitWidth() % 8)
    return op->emitOpError("expected elements of whole bytes, found ") << element;
  return success();
}

static LogicalResult verifyTiles(Operation *op, int64_t lo, int64_t hi) {
  if (lo < hi)
    return success();
  return op->emitOpError("expected a non-empty range of tiles, found ") << lo << " to " << hi;
}

LogicalResult ParamOp::verify() {
  if (getNames().empty())
    return emitOpError("expected at least one name, found none");
  if (failed(verifyStored(*this, cast<ShapedType>(getType()))))
    return failure();
  if (getPack() && failed(verifyNotNegative(*this, "a pack width", *getPack())))
    return failure();
  // What is packed has been cut already: the splits are the loader's affair then.
  if (int64_t splits = getSplits().value_or(1); splits < 1 || (!getPack() && cast<ShapedType>(getType()).getDimSize(0) % splits))
    return emitOpError("expected splits that divide ") << getType() << ", found " << splits;
  return verifyOffset(*this, getOffset().value_or(0));
}

LogicalResult StateOp::verify() {
  auto type = cast<MemRefType>(getType());
  auto space = dyn_cast_or_null<MemoryScopeAttr>(type.getMemorySpace());
  if (!space || space.getValue() != MemoryScope::Hbm)
    return emitOpError("expected state in hbm scope, found ") << type;
  if (type.getRank() != 4)
    return emitOpError("expected [slot, kv head, position, head dim], found ") << type;
  if (failed(verifyStored(*this, type)) || failed(verifyNotNegative(*this, "a layer", getLayer())))
    return failure();
  return verifyOffset(*this, getOffset().value_or(0));
}

LogicalResult TaskOp::verify() {
  if (failed(verifyNotNegative(*this, "an id", getId())))
    return failure();
  if (getResults().size() > 1)
    return emitOpError("expected at most one result, found ") << getResults().size();
  for (auto waits : {getWaits(), getChipletWaits()})
    for (int64_t id : waits.value_or(ArrayRef<int64_t>()))
      if (id < 0 || id >= static_cast<int64_t>(getId()))
        return emitOpError("expected to wait for an earlier task, found task ") << id;
  return success();
}

LogicalResult TaskOp::verifyRegions() {
  if (getChiplets().empty())
    return success();
  if (!getPartition())
    return emitOpError("expected a partition of a task that is cut into chiplet tasks, found none");
  TargetAttr target = lookupTarget(*this);
  // Ranges of one chiplet rise; those of all of them cover the tiles.
  SmallVector<ChipletTaskOp> parts;
  int64_t last = -1, end = 0;
  for (Operation &op : getChiplets().front()) {
    auto part = dyn_cast<ChipletTaskOp>(op);
    if (!part)
      return op.emitOpError("expected a chiplet task inside a task, found another operation");
    if (target && part.getChiplet() >= static_cast<uint64_t>(target.getChiplets()))
      return part.emitOpError("expected a chiplet below ")
             << target.getChiplets() << ", found " << part.getChiplet();
    int64_t chiplet = part.getChiplet(), lo = part.getLo();
    if (chiplet < last || (chiplet == last && lo < end))
      return part.emitOpError("expected chiplets in rising order, found chiplet ")
             << chiplet << " after " << last;
    last = chiplet;
    end = part.getHi();
    parts.push_back(part);
  }
  auto verifyCovered = [&](ArrayRef<ChipletTaskOp> parts) -> LogicalResult {
    int64_t next = 0;
    for (ChipletTaskOp part : parts) {
      if (static_cast<int64_t>(part.getLo()) != next)
        return part->emitOpError("expected tiles from ") << next << ", found " << part.getLo();
      next = part.getHi();
    }
    if (next != getPartition()->getTiles())
      return emitOpError("expected chiplet tasks to cover ")
             << getPartition()->getTiles() << " tiles, found " << next;
    return success();
  };
  if (getPartition()->getKind() == PartitionKind::Replicated) {
    ArrayRef<ChipletTaskOp> rest(parts);
    while (!rest.empty()) {
      auto own = rest.take_while([&](ChipletTaskOp part) { return part.getChiplet() == ChipletTaskOp(rest.front()).getChiplet(); });
      if (failed(verifyCovered(own)))
        return failure();
      rest = rest.drop_front(own.size());
    }
    return success();
  }
  llvm::stable_sort(parts, [](ChipletTaskOp x, ChipletTaskOp y) { return x.getLo() < y.getLo(); });
  return verifyCovered(parts);
}

LogicalResult ChipletTaskOp::verify() {
  if (failed(verifyNotNegative(*this, "a chiplet", getChiplet())))
    return failure();
  return verifyTiles(*this, getLo(), getHi());
}

LogicalResult ChipletTaskOp::verifyRegions() {
  if (getCus().empty())
    return success();
  TargetAttr target = lookupTarget(*this);
  int64_t next = getLo(), last = -1;
  auto task = (*this)->getParentOfType<TaskOp>();
  std::optional<PartitionAttr> partition = task ? task.getPartition() : std::nullopt;
  bool isOfSlices = partition && partition->getKind() == PartitionKind::Rows && partition->getSplits() > 0;
  int64_t ofSlice = isOfSlices ? partition->getTiles() / partition->getSplits() : 0;
  for (Operation &op : getCus().front()) {
    auto part = dyn_cast<CuTaskOp>(op);
    if (!part)
      return op.emitOpError("expected a cu task inside a chiplet task, found another operation");
    if (target && part.getWorker() >= static_cast<uint64_t>(target.getWorkers()))
      return part.emitOpError("expected a worker below ")
             << target.getWorkers() << ", found " << part.getWorker();
    if (static_cast<int64_t>(part.getWorker()) <= last)
      return part.emitOpError("expected workers in rising order, found worker ")
             << part.getWorker() << " after " << last;
    last = part.getWorker();
    if (static_cast<int64_t>(part.getLo()) != next)
      return part.emitOpError("expected tiles from ") << next << ", found " << part.getLo();
    next = part.getHi();
    // A body may read the slice of its first tile alone.
    if (ofSlice && next > static_cast<int64_t>(part.getLo()) &&
        static_cast<int64_t>(part.getLo()) / ofSlice != (next - 1) / ofSlice)
      return part.emitOpError("expected tiles of one slice, which has ")
             << ofSlice << ", found " << part.getLo() << " to " << next;
  }
  if (next != static_cast<int64_t>(getHi()))
    return emitOpError("expected cu tasks to cover tiles up to ") << getHi() << ", found " << next;
  return success();
}

LogicalResult CuTaskOp::verify() {
  if (failed(verifyNotNegative(*this, "a worker", getWorker())))
    return failure();
  return verifyTiles(*this, getLo(), getHi());
}

LogicalResult BufferOp::verify() {
  if (!llvm::is_contained({"params", "state", "work", "input", "output"}, getArena()))
    return emitOpError("expected arena params, state, work, input or output, found ") << getArena();
  if (failed(verifyOffset(*this, getOffset())))
    return failure();
  auto space = dyn_cast_or_null<MemoryScopeAttr>(cast<MemRefType>(getType()).getMemorySpace());
  if (!space)
    return emitOpError("expected a buffer with a memory scope, found ") << getType();
  if (getChipletStride()) {
    auto type = cast<MemRefType>(getType());
    int64_t stride = *getChipletStride();
    if (space.getValue() != MemoryScope::L2)
      return emitOpError("expected an instance for each chiplet of a buffer in l2 scope alone, found ") << type;
    if (failed(verifyStored(*this, type)) || failed(verifyOffset(*this, stride)))
      return failure();
    if (int64_t bytes = type.getNumElements() * type.getElementTypeBitWidth() / 8; stride < bytes)
      return emitOpError("expected instances at least ") << bytes << " bytes apart, found " << stride;
  }
  return verifyStored(*this, cast<ShapedType>(getType()));
}

LogicalResult QueueOp::verify() {
  if (failed(verifyNotNegative(*this, "a chiplet", getChiplet())) ||
      failed(verifyNotNegative(*this, "a worker", getWorker())))
    return failure();
  if (TargetAttr target = lookupTarget(*this)) {
    if (getChiplet() >= static_cast<uint64_t>(target.getChiplets()))
      return emitOpError("expected a chiplet below ")
             << target.getChiplets() << ", found " << getChiplet();
    if (getWorker() >= static_cast<uint64_t>(target.getWorkers()))
      return emitOpError("expected a worker below ")
             << target.getWorkers() << ", found " << getWorker();
  }
  return success();
}

static LogicalResult verifyEventScope(Operation *op, TaskScopeAttr scope) {
  if (scope.getValue() == TaskScope::Chiplet || scope.getValue() == TaskScope::Device)
    return success();
  return op->emitOpError("expected an event of chiplet or device scope, found ")
         << stringifyTaskScope(scope.getValue());
}

LogicalResult WaitOp::verify() { return verifyEventScope(*this, getScope()); }
LogicalResult SignalOp::verify() { return verifyEventScope(*this, getScope()); }

/// A word stands for 4 bytes of the values' last dimension.
static LogicalResult verifyWords(Operation *op, Value values, Value words) {
  auto type = cast<MemRefType>(values.getType()), wordType = cast<MemRefType>(words.getType());
  SmallVector<int64_t> expected(type.getShape());
  int64_t inWord = 32 / type.getElementTypeBitWidth();
  if (expected.empty() || ShapedType::isDynamic(expected.back()) || expected.back() % inWord)
    return op->emitOpError("expected values that fill whole words, found ") << type;
  expected.back() /= inWord;
  if (wordType.getShape() != ArrayRef(expected))
    return op->emitOpError("expected a word for each ") << inWord << " values of " << type << ", found " << wordType;
  return success();
}
LogicalResult PublishOp::verify() { return verifyWords(*this, getFrom(), getWords()); }
LogicalResult ReceiveOp::verify() { return verifyWords(*this, getTo(), getWords()); }
LogicalResult TakeOp::verify() {
  int64_t rank = cast<MemRefType>(getWords().getType()).getRank(), found = getIndices().size();
  return found == rank ? success() : emitOpError("expected ") << rank << " indices, found " << found;
}
