//===- ReadBody.cpp - What the tiles of a body touch and compute
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

// A body is followed as it would run: numbers are computed, views are resolved to bytes of
// operands, and each computation adds what it reads, writes and costs.

#include "ReadBody.h"

#include "fleet/IR/Fleet.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Interfaces/ViewLikeInterface.h"

#include "llvm/ADT/SetVector.h"

using namespace mlir;
using namespace mlir::fleet;
using namespace mlir::fleet::sim;

namespace {
/// Bytes that a memref shows: an operand of the body (-1: the worker's own memory) from an element on.
struct View {
  int64_t operand = -1, offset = 0;
};

struct Follower {
  ArrayRef<StringRef> arenas;
  int64_t rows = 1, context = 0;
  Work *work = nullptr;
  int64_t loops = 0; ///< around the operation that is followed
  llvm::DenseMap<Value, int64_t> numbers;
  llvm::DenseMap<Value, View> views;

  FailureOr<int64_t> number(Operation *user, OpFoldResult value) {
    if (auto attr = dyn_cast<Attribute>(value))
      return cast<IntegerAttr>(attr).getInt();
    auto it = numbers.find(cast<Value>(value));
    if (it != numbers.end())
      return it->second;
    return user->emitError("expected an index that follows from the tile, found another; the simulator needs static addresses");
  }

  /// The part `[at, at + size)` of each dimension of `value`, or all of it.
  void access(Value value, bool writes, bool isWeight = false, ArrayRef<int64_t> at = {}, ArrayRef<int64_t> size = {},
              bool isStreamed = false) {
    auto type = dyn_cast<MemRefType>(value.getType());
    if (!type)
      return;
    View view = views.lookup(value);
    if (view.operand < 0)
      return;
    SmallVector<int64_t> strides;
    int64_t ignored;
    if (failed(type.getStridesAndOffset(strides, ignored)))
      return;
    int64_t element = std::max<int64_t>(1, type.getElementTypeBitWidth() / 8);
    SmallVector<int64_t> shape(size.empty() ? type.getShape() : size);
    int64_t first = view.offset;
    for (auto [i, place] : llvm::enumerate(at))
      first += place * strides[i];
    // Inner dimensions that follow each other are one run.
    int64_t run = element, dim = shape.size();
    while (dim > 0 && (shape[dim - 1] == 1 || strides[dim - 1] * element == run))
      run *= shape[--dim];
    Access access;
    access.operand = view.operand;
    access.bytes = run;
    access.writes = writes;
    access.isWeight = isWeight;
    access.isStreamed = isStreamed;
    access.isOfRows = !isWeight && arenas[view.operand] != "params" && !shape.empty() && shape[0] == rows && rows > 1;
    // One dimension of runs in an access, the rest in several.
    while (dim > 0 && shape[dim - 1] == 1)
      --dim;
    SmallVector<int64_t> outer(shape.begin(), shape.begin() + dim);
    int64_t inner = 1, stride = run;
    if (!outer.empty()) {
      inner = outer.pop_back_val();
      stride = strides[outer.size()] * element;
    } else if (access.isOfRows && run % rows == 0) {
      inner = rows;
      access.bytes = stride = run / rows;
    }
    if (access.isOfRows && !outer.empty())
      access.isOfRows = false; // runs of several dimensions are not cut
    access.count = inner;
    access.stride = stride;
    int64_t times = 1;
    for (int64_t n : outer)
      times *= n;
    for (int64_t i = 0; i < times; ++i) {
      int64_t rest = i, offset = first;
      for (int64_t d = outer.size() - 1; d >= 0; --d) {
        offset += rest % outer[d] * strides[d];
        rest /= outer[d];
      }
      access.offset = offset * element;
      work->accesses.push_back(access);
      if (isWeight)
        work->weightBytes += access.bytes * access.count;
      if (isStreamed)
        work->streamedBytes += access.bytes * access.count;
    }
  }

  static int64_t elements(Value value) {
    auto type = dyn_cast<ShapedType>(value.getType());
    return type && type.hasStaticShape() ? type.getNumElements() : 1;
  }

  LogicalResult follow(Block &block) {
    for (Operation &op : block.without_terminator())
      if (failed(follow(&op)))
        return failure();
    return success();
  }

  LogicalResult follow(Operation *op);
  LogicalResult followView(ViewLikeOpInterface view);
  void followAttention(ValueRange inputs, Value out, std::optional<int64_t> part, int64_t parts, int64_t block,
                       int64_t rowGroup = 0, int64_t rowGroups = 1);
  void followLinalg(linalg::LinalgOp op);
  bool followArithmetic(Operation *op);
};
} // namespace

bool Follower::followArithmetic(Operation *op) {
  if (auto constant = dyn_cast<arith::ConstantOp>(op)) {
    if (auto value = dyn_cast<IntegerAttr>(constant.getValue()))
      numbers[constant] = value.getInt();
    return true;
  }
  if (!isa<arith::ArithDialect, math::MathDialect>(op->getDialect()))
    return false;
  SmallVector<int64_t> in;
  for (Value operand : op->getOperands()) {
    auto it = numbers.find(operand);
    if (it == numbers.end())
      return true; // data: not followed
    in.push_back(it->second);
  }
  std::optional<int64_t> value;
  if (isa<arith::IndexCastOp, arith::IndexCastUIOp, arith::ExtSIOp, arith::ExtUIOp, arith::TruncIOp>(op))
    value = in[0];
  else if (isa<arith::AddIOp>(op))
    value = in[0] + in[1];
  else if (isa<arith::SubIOp>(op))
    value = in[0] - in[1];
  else if (isa<arith::MulIOp>(op))
    value = in[0] * in[1];
  else if (isa<arith::MinSIOp, arith::MinUIOp>(op))
    value = std::min(in[0], in[1]);
  else if (isa<arith::MaxSIOp, arith::MaxUIOp>(op))
    value = std::max(in[0], in[1]);
  else if (isa<arith::DivUIOp, arith::DivSIOp>(op) && in[1])
    value = in[0] / in[1];
  else if (isa<arith::CeilDivUIOp, arith::CeilDivSIOp>(op) && in[1])
    value = (in[0] + in[1] - 1) / in[1];
  else if (isa<arith::RemUIOp, arith::RemSIOp>(op) && in[1])
    value = in[0] % in[1];
  if (value)
    numbers[op->getResult(0)] = *value;
  return true;
}

LogicalResult Follower::followView(ViewLikeOpInterface op) {
  View view = views.lookup(op.getViewSource());
  if (auto subview = dyn_cast<memref::SubViewOp>(op.getOperation()); subview && view.operand >= 0) {
    SmallVector<int64_t> strides;
    int64_t ignored;
    if (failed(subview.getSourceType().getStridesAndOffset(strides, ignored)) ||
        llvm::is_contained(strides, ShapedType::kDynamic))
      return op->emitError("expected a view of static strides, found ") << subview.getSourceType();
    for (auto [i, offset] : llvm::enumerate(subview.getMixedOffsets())) {
      FailureOr<int64_t> value = number(op, offset);
      if (failed(value))
        return failure();
      view.offset += *value * strides[i];
    }
  } else if (auto cast = dyn_cast<memref::ReinterpretCastOp>(op.getOperation()); cast && view.operand >= 0) {
    FailureOr<int64_t> value = number(op, cast.getMixedOffsets().front());
    if (failed(value))
      return failure();
    view.offset = *value;
  } else if (isa<memref::ViewOp>(op) && view.operand >= 0) {
    return op->emitError("expected views of bytes in a worker's own memory alone, found one of an operand");
  }
  views[op->getResult(0)] = view;
  return success();
}

/// Reads `context` positions of the caches for each row, each slot once.
/// Part `part` (all if there is none) of `parts`, to which the context is dealt in blocks of
/// `block` positions, or is cut into ranges if that is 0; of the rows those of `rowGroup` of `rowGroups`.
void Follower::followAttention(ValueRange inputs, Value out, std::optional<int64_t> part, int64_t parts, int64_t block,
                               int64_t rowGroup, int64_t rowGroups) {
  auto query = cast<MemRefType>(inputs[0].getType());
  auto cache = cast<MemRefType>(inputs[5].getType());
  int64_t tokens = query.getDimSize(0), slots = cache.getDimSize(0), heads = cache.getDimSize(1);
  int64_t positions = cache.getDimSize(2), depth = cache.getDimSize(3);
  int64_t length = std::min(context ? context : positions, positions);
  // Rows beyond the slots are further rows of the same requests.
  int64_t used = std::min(tokens, slots), each = (tokens + used - 1) / used;
  int64_t size = (positions + parts - 1) / parts, total = 0;
  llvm::SmallSetVector<int64_t, 16> ownSlots;
  for (int64_t row = rowGroup; row < tokens; row += rowGroups)
    ownSlots.insert(row % used);
  // Of queries, keys, values and what is written only the rows of the group.
  auto accessRows = [&](Value value, unsigned dim, bool writes) {
    if (rowGroups == 1)
      return access(value, writes);
    SmallVector<int64_t> at(cast<MemRefType>(value.getType()).getRank(), 0), shape;
    llvm::append_range(shape, cast<MemRefType>(value.getType()).getShape());
    shape[dim] = 1;
    for (at[dim] = rowGroup; at[dim] < tokens; at[dim] += rowGroups)
      access(value, writes, false, at, shape);
  };
  for (Value input : inputs.take_front(3))
    accessRows(input, 0, false);
  for (Value input : inputs.slice(3, 2))
    access(input, false);
  auto followRange = [&](int64_t slot, int64_t begin, int64_t end) {
    int64_t read = std::max<int64_t>(0, end - begin);
    int64_t stored = std::max<int64_t>(0, std::min(end, length) - std::max(begin, length - each));
    for (Value values : inputs.slice(5, 2)) {
      if (stored)
        access(values, true, false, {slot, 0, std::max(begin, length - each), 0}, {1, heads, stored, depth});
      if (read)
        access(values, false, false, {slot, 0, begin, 0}, {1, heads, read, depth});
    }
    total += read;
  };
  for (int64_t slot : ownSlots) {
    if (part && block) {
      for (int64_t at = *part * block; at < length; at += parts * block)
        followRange(slot, at, std::min(length, at + block));
      continue;
    }
    int64_t begin = part ? *part * size : 0;
    followRange(slot, begin, std::min(length, part ? begin + size : positions));
  }
  accessRows(out, 1, true);
  // Of a row, on average.
  int64_t ownRows = llvm::divideCeil(tokens - rowGroup, rowGroups);
  int64_t read = llvm::divideCeil(total, static_cast<int64_t>(ownSlots.size()));
  double scores = static_cast<double>(ownRows) * query.getDimSize(1) * read;
  work->vectorOps += scores * (2.0 * depth + 8); // two products and an exponential
  work->reductions += 3;
  work->attentionRows = ownRows;
  work->attentionPositions = read;
}

void Follower::followLinalg(linalg::LinalgOp op) {
  bool isContraction = linalg::isaContractionOpInterface(op);
  for (OpOperand *input : op.getDpsInputOperands()) {
    View view = views.lookup(input->get());
    bool isWeight = isContraction && view.operand >= 0 && arenas[view.operand] == "params";
    access(input->get(), false, isWeight, {}, {}, isContraction && !isWeight && loops > 1);
  }
  for (OpOperand &init : op.getDpsInitsMutable()) {
    access(init.get(), true);
    auto type = dyn_cast<MemRefType>(init.get().getType());
    if (type && !isContraction && views.lookup(init.get()).operand >= 0 && op.payloadUsesValueFromOperand(&init))
      work->addedBytes += type.getNumElements() * type.getElementTypeBitWidth() / 8;
  }
  if (isContraction) {
    int64_t out = elements(op.getDpsInitOperand(0)->get()), all = 1;
    for (int64_t range : op.getStaticLoopRanges())
      all *= range;
    int64_t n = cast<ShapedType>(op.getDpsInitOperand(0)->get().getType()).getShape().back();
    auto bitsOf = [&](unsigned i) {
      return getElementTypeOrSelf(op.getDpsInputOperand(i)->get()).getIntOrFloatBitWidth();
    };
    work->contractions.push_back({out / n, n, all / out, bitsOf(0) > bitsOf(1)});
    return;
  }
  int64_t points = 1;
  for (int64_t range : op.getStaticLoopRanges())
    points *= range;
  int64_t cost = 1;
  for (Operation &inner : op.getBlock()->without_terminator())
    cost += isa<math::MathDialect>(inner.getDialect()) || isa<arith::DivFOp>(inner) ? 8 : 1;
  work->vectorOps += static_cast<double>(points) * cost;
}

LogicalResult Follower::follow(Operation *op) {
  if (followArithmetic(op))
    return success();
  if (auto view = dyn_cast<ViewLikeOpInterface>(op))
    return followView(view);
  if (isa<memref::AllocOp, memref::AllocaOp, memref::DeallocOp, memref::AssumeAlignmentOp>(op))
    return success();
  if (auto loop = dyn_cast<scf::ForOp>(op)) {
    FailureOr<int64_t> lo = number(op, loop.getLowerBound()), hi = number(op, loop.getUpperBound());
    FailureOr<int64_t> step = number(op, loop.getStep());
    if (failed(lo) || failed(hi) || failed(step))
      return failure();
    ++loops;
    for (int64_t i = *lo; i < *hi; i += std::max<int64_t>(1, *step)) {
      numbers[loop.getInductionVar()] = i;
      if (failed(follow(*loop.getBody())))
        return failure();
    }
    --loops;
    return success();
  }
  if (auto copy = dyn_cast<memref::CopyOp>(op)) {
    access(copy.getSource(), false);
    access(copy.getTarget(), true);
    work->vectorOps += elements(copy.getSource());
    return success();
  }
  if (auto attention = dyn_cast<AttentionOp>(op)) {
    followAttention(attention.getInputs(), attention.getOutputs()[0], std::nullopt, 1, 0);
    return success();
  }
  if (auto attention = dyn_cast<AttentionPartialOp>(op)) {
    FailureOr<int64_t> part = 0;
    if (attention.getPart()) {
      part = number(op, attention.getPart());
      if (failed(part))
        return failure();
    }
    FailureOr<int64_t> rowGroup = 0;
    if (attention.getRowGroup()) {
      rowGroup = number(op, attention.getRowGroup());
      if (failed(rowGroup))
        return failure();
    }
    followAttention(attention.getInputs(), attention.getOutputs()[0], *part, attention.getParts(),
                    attention.getDealt().value_or(0), *rowGroup,
                    attention.getRowGroup() ? attention.getRowGroups() : 1);
    for (ValueRange read : {ValueRange(attention.getAngles()), ValueRange(attention.getWeights())})
      for (Value value : read)
        access(value, false);
    return success();
  }
  if (auto gather = dyn_cast<GatherOp>(op)) {
    // Which rows is data: any that are apart will do.
    Value table = gather.getInputs()[0], out = gather.getOutputs()[0];
    access(gather.getInputs()[1], false);
    auto type = cast<ShapedType>(table.getType());
    int64_t count = elements(gather.getInputs()[1]), size = type.getDimSize(0);
    for (int64_t i = 0; i < count; ++i)
      access(table, false, false, {i * size / count, 0}, {1, type.getDimSize(1)});
    access(out, true);
    work->vectorOps += elements(out);
    return success();
  }
  if (auto linalgOp = dyn_cast<linalg::LinalgOp>(op)) {
    followLinalg(linalgOp);
    return success();
  }
  if (auto dps = dyn_cast<DestinationStyleOpInterface>(op); dps && isa<FleetDialect>(op->getDialect())) {
    int64_t most = 0;
    for (OpOperand *input : dps.getDpsInputOperands()) {
      access(input->get(), false);
      most = std::max(most, elements(input->get()));
    }
    for (OpOperand &init : dps.getDpsInitsMutable())
      access(init.get(), true);
    work->vectorOps += 4.0 * most;
    work->reductions += isa<RmsNormOp, ArgmaxOp, ArgmaxPartialOp, ArgmaxMergeOp>(op) ? 1 : isa<LayerNormOp>(op) ? 2 : 0;
    return success();
  }
  return op->emitError("expected an operation that the simulator can follow in a body, found '") << op->getName() << "'";
}

FailureOr<Body> fleet::sim::readBody(func::FuncOp func, ArrayRef<StringRef> arenas, int64_t tiles, int64_t rows,
                                     int64_t context) {
  Body body;
  body.name = func.getSymName().str();
  body.tiles.resize(tiles);
  Block &block = func.getBody().front();
  size_t operands = arenas.size();
  bool hasLoop = !block.getOps<scf::ForOp>().empty();
  for (int64_t tile = 0; tile < tiles; ++tile) {
    Follower follower;
    follower.arenas = arenas;
    follower.rows = rows;
    follower.context = context;
    for (size_t i = 0; i < operands; ++i)
      follower.views[block.getArgument(i)] = {static_cast<int64_t>(i), 0};
    follower.numbers[block.getArgument(operands)] = tile;
    follower.numbers[block.getArgument(operands + 1)] = tile + 1;
    // What stands outside the loop over tiles is done once an entry.
    Work before;
    for (Operation &op : block.without_terminator()) {
      follower.work = hasLoop && !isa<scf::ForOp>(op) ? &before : &body.tiles[tile];
      if (failed(follower.follow(&op)))
        return failure();
    }
    if (tile == 0)
      body.prologue = std::move(before);
  }
  for (const Work &work : body.tiles)
    body.isContraction |= work.weightBytes > 0;
  return body;
}
