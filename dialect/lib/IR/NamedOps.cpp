//===- NamedOps.cpp - Named computations ------------------------*- C++ -*-===//
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Verifiers, memory effects and tiling of gather, rms_norm, layer_norm, rope,
// attention and argmax. All are tiled on leading dimensions of the result only:
// the last one is reduced or rotated as a whole.
//
//===----------------------------------------------------------------------===//

#include "fleet/IR/Fleet.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"

using namespace mlir;
using namespace mlir::fleet;

//===----------------------------------------------------------------------===//
// Verifiers
//===----------------------------------------------------------------------===//

static LogicalResult verifyArity(Operation *op, unsigned inputs, unsigned found, unsigned outputs) {
  if (found != inputs)
    return op->emitOpError("expected ") << inputs << " inputs, found " << found;
  if (outputs != 1)
    return op->emitOpError("expected 1 output, found ") << outputs;
  for (Type type : op->getOperandTypes())
    if (auto shaped = dyn_cast<ShapedType>(type); shaped && !shaped.hasStaticShape())
      return op->emitOpError("expected static shapes, found ") << type;
  return success();
}

static ArrayRef<int64_t> shapeOf(Value value) { return cast<ShapedType>(value.getType()).getShape(); }

static LogicalResult verifyShape(Operation *op, StringRef what, Value value,
                                 ArrayRef<int64_t> expected) {
  if (shapeOf(value) == expected)
    return success();
  auto diag = op->emitOpError("expected ") << what << " of shape [";
  llvm::interleaveComma(expected, diag);
  return diag << "], found " << value.getType();
}

LogicalResult GatherOp::verify() {
  if (failed(verifyArity(*this, 2, getInputs().size(), getOutputs().size())))
    return failure();
  if (shapeOf(getInputs()[0]).size() != 2 || shapeOf(getInputs()[1]).size() != 1)
    return emitOpError("expected a table of rank 2 and indices of rank 1, found ")
           << getInputs()[0].getType() << " and " << getInputs()[1].getType();
  if (!cast<ShapedType>(getInputs()[1].getType()).getElementType().isInteger(32))
    return emitOpError("expected indices of i32, found ") << getInputs()[1].getType();
  return verifyShape(*this, "output", getOutputs()[0],
                     {shapeOf(getInputs()[1])[0], shapeOf(getInputs()[0])[1]});
}

static LogicalResult verifyNorm(Operation *op, ValueRange inputs, Value output) {
  if (shapeOf(inputs[0]).empty())
    return op->emitOpError("expected x of rank 1 or more, found ") << inputs[0].getType();
  int64_t d = shapeOf(inputs[0]).back();
  for (Value weight : inputs.drop_front())
    if (failed(verifyShape(op, "weight", weight, {d})))
      return failure();
  return verifyShape(op, "output", output, shapeOf(inputs[0]));
}

LogicalResult RmsNormOp::verify() {
  if (failed(verifyArity(*this, 2, getInputs().size(), getOutputs().size())))
    return failure();
  return verifyNorm(*this, getInputs(), getOutputs()[0]);
}

LogicalResult LayerNormOp::verify() {
  if (failed(verifyArity(*this, 3, getInputs().size(), getOutputs().size())))
    return failure();
  return verifyNorm(*this, getInputs(), getOutputs()[0]);
}

LogicalResult RopeOp::verify() {
  if (failed(verifyArity(*this, 3, getInputs().size(), getOutputs().size())))
    return failure();
  ArrayRef<int64_t> x = shapeOf(getInputs()[0]), cos = shapeOf(getInputs()[1]);
  if (x.size() != 3 || cos.size() != 2)
    return emitOpError("expected x of rank 3 and cos of rank 2, found ")
           << getInputs()[0].getType() << " and " << getInputs()[1].getType();
  if (cos[1] % 2 || cos[1] > x[2])
    return emitOpError("expected an even number of rotated dims of at most ")
           << x[2] << ", found " << cos[1];
  if (failed(verifyShape(*this, "cos", getInputs()[1], {x[0], cos[1]})) ||
      failed(verifyShape(*this, "sin", getInputs()[2], cos)))
    return failure();
  return verifyShape(*this, "output", getOutputs()[0], x);
}

/// Query heads, keys, values, slots, positions and caches fit each other.
static LogicalResult verifyAttention(Operation *op, ValueRange inputs) {
  ArrayRef<int64_t> q = shapeOf(inputs[0]), k = shapeOf(inputs[1]);
  ArrayRef<int64_t> cache = shapeOf(inputs[5]);
  if (q.size() != 3 || k.size() != 3)
    return op->emitOpError("expected q and k of rank 3, found ")
           << inputs[0].getType() << " and " << inputs[1].getType();
  if (k[1] < 1 || q[1] % k[1])
    return op->emitOpError("expected query heads to be a multiple of the kv heads, found ")
           << q[1] << " and " << k[1];
  for (unsigned i : {5u, 6u})
    if (!isa<MemRefType>(inputs[i].getType()) || shapeOf(inputs[i]).size() != 4)
      return op->emitOpError("expected caches to be memrefs of rank 4, found ") << inputs[i].getType();
  for (unsigned i : {3u, 4u})
    if (!cast<ShapedType>(inputs[i].getType()).getElementType().isInteger(32))
      return op->emitOpError("expected slots and positions of i32, found ") << inputs[i].getType();
  if (failed(verifyShape(op, "k", inputs[1], {q[0], k[1], q[2]})) ||
      failed(verifyShape(op, "v", inputs[2], k)) ||
      failed(verifyShape(op, "slots", inputs[3], {q[0]})) ||
      failed(verifyShape(op, "positions", inputs[4], {q[0]})) ||
      failed(verifyShape(op, "k cache", inputs[5], {cache[0], k[1], cache[2], q[2]})) ||
      failed(verifyShape(op, "v cache", inputs[6], cache)))
    return failure();
  return success();
}

LogicalResult AttentionOp::verify() {
  if (failed(verifyArity(*this, 7, getInputs().size(), getOutputs().size())) ||
      failed(verifyAttention(*this, getInputs())))
    return failure();
  return verifyShape(*this, "output", getOutputs()[0], shapeOf(getInputs()[0]));
}

LogicalResult AttentionPartialOp::verify() {
  if (failed(verifyArity(*this, 7, getInputs().size(), getOutputs().size())) ||
      failed(verifyAttention(*this, getInputs())))
    return failure();
  if (static_cast<int64_t>(getParts()) < 1)
    return emitOpError("expected at least 1 part, found ") << static_cast<int64_t>(getParts());
  if (std::optional<int64_t> block = getDealt(); block && *block < 1)
    return emitOpError("expected blocks of at least 1 position to be dealt, found ") << *block;
  ArrayRef<int64_t> q = shapeOf(getInputs()[0]), k = shapeOf(getInputs()[1]);
  int64_t rowGroups = getRowGroups();
  if (rowGroups < 1 || rowGroups > q[0])
    return emitOpError("expected 1 to ") << q[0] << " row groups of " << q[0] << " rows, found " << rowGroups;
  // A tile is one part of one head.
  if (getPart() && k[1] != 1)
    return emitOpError("expected 1 kv head of a tile, found ") << k[1];
  bool namesRows = getPart() && rowGroups > 1;
  if (static_cast<bool>(getRowGroup()) != namesRows)
    return emitOpError(namesRows ? "expected a tile that names its row group, found none"
                                 : "expected no row group where rows are not dealt, or of no tile, found one");
  size_t angles = getAngles().size(), weights = getWeights().size();
  if (angles != 0 && angles != 2)
    return emitOpError("expected cosines and sines to rotate by, found ") << angles << " of them";
  if (weights != 0 && (weights != 2 || !angles || !getEps()))
    return emitOpError("expected weights of queries and of keys, eps and angles to norm and rotate, found ")
           << weights << " weights, " << (getEps() ? "" : "no ") << "eps and " << angles << " angles";
  for (Value angle : getAngles())
    if (failed(verifyShape(*this, "angles", angle, {q[0], q[2]})))
      return failure();
  for (Value weight : getWeights())
    if (failed(verifyShape(*this, "weight", weight, {q[2]})))
      return failure();
  int64_t tiles = getPart() ? 1 : k[1] * getParts();
  if (!cast<ShapedType>(getOutputs()[0].getType()).getElementType().isF32())
    return emitOpError("expected an output of f32, found ") << getOutputs()[0].getType();
  return verifyShape(*this, "output", getOutputs()[0], {tiles, q[0], q[1] / k[1], q[2] + kAttentionExtra});
}

LogicalResult AttentionMergeOp::verify() {
  if (failed(verifyArity(*this, 1, getInputs().size(), getOutputs().size())))
    return failure();
  ArrayRef<int64_t> x = shapeOf(getInputs()[0]), out = shapeOf(getOutputs()[0]);
  int64_t parts = getParts();
  if (x.size() != 4 || out.size() != 3)
    return emitOpError("expected an input of rank 4 and an output of rank 3, found ")
           << getInputs()[0].getType() << " and " << getOutputs()[0].getType();
  if (x[3] < kAttentionExtra)
    return emitOpError("expected parts of at least ") << kAttentionExtra << " elements, found " << getInputs()[0].getType();
  if (parts < 1 || x[0] % parts)
    return emitOpError("expected a multiple of ") << parts << " parts, found " << x[0];
  return verifyShape(*this, "output", getOutputs()[0], {x[1], x[0] / parts * x[2], x[3] - kAttentionExtra});
}

LogicalResult ArgmaxOp::verify() {
  if (failed(verifyArity(*this, 1, getInputs().size(), getOutputs().size())))
    return failure();
  if (shapeOf(getInputs()[0]).size() != 2)
    return emitOpError("expected an input of rank 2, found ") << getInputs()[0].getType();
  if (!cast<ShapedType>(getOutputs()[0].getType()).getElementType().isInteger(32))
    return emitOpError("expected an output of i32, found ") << getOutputs()[0].getType();
  return verifyShape(*this, "output", getOutputs()[0], {shapeOf(getInputs()[0])[0]});
}

LogicalResult ArgmaxPartialOp::verify() {
  if (failed(verifyArity(*this, 1, getInputs().size(), getOutputs().size())))
    return failure();
  ArrayRef<int64_t> x = shapeOf(getInputs()[0]), out = shapeOf(getOutputs()[0]);
  if (x.size() != 2 || out.size() != 3)
    return emitOpError("expected an input of rank 2 and an output of rank 3, found ")
           << getInputs()[0].getType() << " and " << getOutputs()[0].getType();
  if (!cast<ShapedType>(getOutputs()[0].getType()).getElementType().isInteger(32))
    return emitOpError("expected an output of i32, found ") << getOutputs()[0].getType();
  int64_t width = getWidth();
  if (width < 1 || width > x[1])
    return emitOpError("expected a width of 1 to ") << x[1] << ", found " << width;
  if (getFirst() && x[1] != width)
    return emitOpError("expected a tile of ") << width << " columns, found " << x[1];
  if (out[2] < x[0])
    return emitOpError("expected room for ") << x[0] << " rows, found " << getOutputs()[0].getType();
  return verifyShape(*this, "output", getOutputs()[0], {(x[1] + width - 1) / width, 2, out[2]});
}

LogicalResult ArgmaxMergeOp::verify() {
  if (failed(verifyArity(*this, 1, getInputs().size(), getOutputs().size())))
    return failure();
  ArrayRef<int64_t> x = shapeOf(getInputs()[0]), out = shapeOf(getOutputs()[0]);
  if (x.size() != 3 || out.size() != 1)
    return emitOpError("expected an input of rank 3 and an output of rank 1, found ")
           << getInputs()[0].getType() << " and " << getOutputs()[0].getType();
  for (Value value : {getInputs()[0], getOutputs()[0]})
    if (!cast<ShapedType>(value.getType()).getElementType().isInteger(32))
      return emitOpError("expected an input and an output of i32, found ") << value.getType();
  if (x[0] < 1 || x[2] < out[0])
    return emitOpError("expected parts of at least ") << out[0] << " rows, found " << getInputs()[0].getType();
  return verifyShape(*this, "input", getInputs()[0], {x[0], 2, x[2]});
}

//===----------------------------------------------------------------------===//
// Memory effects: memref inputs are read, memref outputs written.
//===----------------------------------------------------------------------===//

using Effects = SmallVectorImpl<SideEffects::EffectInstance<MemoryEffects::Effect>>;

template <typename OpTy>
static void addEffects(OpTy op, Effects &effects, unsigned firstUpdated = ~0u) {
  for (auto [i, operand] : llvm::enumerate(op.getInputsMutable())) {
    if (!isa<MemRefType>(operand.get().getType()))
      continue;
    effects.emplace_back(MemoryEffects::Read::get(), &operand);
    if (i >= firstUpdated)
      effects.emplace_back(MemoryEffects::Write::get(), &operand);
  }
  for (OpOperand &operand : op.getOutputsMutable())
    if (isa<MemRefType>(operand.get().getType()))
      effects.emplace_back(MemoryEffects::Write::get(), &operand);
}

void GatherOp::getEffects(Effects &effects) { addEffects(*this, effects); }
void RmsNormOp::getEffects(Effects &effects) { addEffects(*this, effects); }
void LayerNormOp::getEffects(Effects &effects) { addEffects(*this, effects); }
void RopeOp::getEffects(Effects &effects) { addEffects(*this, effects); }
void AttentionOp::getEffects(Effects &effects) { addEffects(*this, effects, /*firstUpdated=*/5); }
void AttentionPartialOp::getEffects(Effects &effects) {
  addEffects(*this, effects, /*firstUpdated=*/5);
  for (MutableOperandRange range : {getAnglesMutable(), getWeightsMutable()})
    for (OpOperand &operand : range)
      if (isa<MemRefType>(operand.get().getType()))
        effects.emplace_back(MemoryEffects::Read::get(), &operand);
}
void AttentionMergeOp::getEffects(Effects &effects) { addEffects(*this, effects); }
void ArgmaxOp::getEffects(Effects &effects) { addEffects(*this, effects); }
void ArgmaxPartialOp::getEffects(Effects &effects) { addEffects(*this, effects); }
void ArgmaxMergeOp::getEffects(Effects &effects) { addEffects(*this, effects); }

//===----------------------------------------------------------------------===//
// Tiling
//===----------------------------------------------------------------------===//

/// A slice of `value` (tensor or memref) of full size but for the dimensions
/// given; strides are 1.
static Value slice(OpBuilder &b, Location loc, Value value,
                   ArrayRef<std::tuple<unsigned, OpFoldResult, OpFoldResult>> dims) {
  ArrayRef<int64_t> shape = shapeOf(value);
  SmallVector<OpFoldResult> offsets(shape.size(), b.getIndexAttr(0));
  SmallVector<OpFoldResult> strides(shape.size(), b.getIndexAttr(1));
  SmallVector<OpFoldResult> sizes = getAsIndexOpFoldResult(b.getContext(), shape);
  for (auto [dim, offset, size] : dims) {
    offsets[dim] = offset;
    sizes[dim] = size;
  }
  if (isa<MemRefType>(value.getType()))
    return memref::SubViewOp::create(b, loc, value, offsets, sizes, strides);
  return tensor::ExtractSliceOp::create(b, loc, value, offsets, sizes, strides);
}

/// Dimensions of the result on which an op may be tiled.
static SmallVector<unsigned> tiledDims(Operation *op) {
  unsigned rank = cast<ShapedType>(op->getOperands().back().getType()).getRank();
  if (isa<AttentionOp, AttentionMergeOp>(op))
    return {1};
  if (isa<GatherOp, ArgmaxOp, ArgmaxPartialOp, ArgmaxMergeOp, AttentionPartialOp>(op))
    return {0};
  return llvm::to_vector(llvm::seq<unsigned>(0, rank - 1));
}

template <typename OpTy>
static SmallVector<Range> iterationDomain(OpTy op, OpBuilder &b) {
  SmallVector<Range> domain;
  ArrayRef<int64_t> shape = shapeOf(op.getOutputs()[0]);
  for (unsigned dim : tiledDims(op))
    domain.push_back({b.getIndexAttr(0), b.getIndexAttr(shape[dim]), b.getIndexAttr(1)});
  return domain;
}

/// Key/value heads of what is merged.
static int64_t keyHeads(AttentionMergeOp op) { return shapeOf(op.getInputs()[0])[0] / op.getParts(); }

static SmallVector<Range> iterationDomain(AttentionPartialOp op, OpBuilder &b) {
  int64_t tiles = shapeOf(op.getOutputs()[0])[0] * op.getRowGroups();
  return {{b.getIndexAttr(0), b.getIndexAttr(tiles), b.getIndexAttr(1)}};
}

static SmallVector<Range> iterationDomain(AttentionMergeOp op, OpBuilder &b) {
  ArrayRef<int64_t> shape = shapeOf(op.getOutputs()[0]);
  int64_t tiles = op.getByRows() ? shape[0] * keyHeads(op) : shape[1];
  return {{b.getIndexAttr(0), b.getIndexAttr(tiles), b.getIndexAttr(1)}};
}

/// `value / by`, where value is known to be a multiple.
static OpFoldResult divide(OpBuilder &b, Location loc, OpFoldResult value, int64_t by) {
  if (by == 1)
    return value;
  if (auto constant = getConstantIntValue(value))
    return b.getIndexAttr(*constant / by);
  Value divisor = arith::ConstantIndexOp::create(b, loc, by);
  return arith::DivUIOp::create(b, loc, cast<Value>(value), divisor).getResult();
}

/// Which dimension of input `i` follows dimension `dim` of the result, if any.
static std::optional<unsigned> inputDim(Operation *op, unsigned i, unsigned dim) {
  if (isa<GatherOp>(op))
    return i == 1 ? std::optional<unsigned>(0) : std::nullopt;
  if (isa<ArgmaxOp>(op))
    return 0;
  if (isa<ArgmaxMergeOp>(op))
    return 2;
  if (isa<RopeOp>(op))
    return i == 0 || dim == 0 ? std::optional<unsigned>(dim) : std::nullopt;
  if (isa<AttentionOp>(op))
    return i <= 2 || i >= 5 ? std::optional<unsigned>(1) : std::nullopt;
  return i == 0 ? std::optional<unsigned>(dim) : std::nullopt;
}

template <typename OpTy>
static FailureOr<TilingResult> tile(OpTy op, OpBuilder &b, ArrayRef<OpFoldResult> offsets,
                                    ArrayRef<OpFoldResult> sizes) {
  Location loc = op.getLoc();
  int64_t group = 1;
  if (isa<AttentionOp>(op)) {
    group = shapeOf(op.getInputs()[0])[1] / shapeOf(op.getInputs()[1])[1];
    auto size = getConstantIntValue(sizes[0]);
    if (!size || *size % group)
      return op.emitOpError("expected tiles of whole groups of ") << group << " query heads";
  }
  SmallVector<unsigned> dims = tiledDims(op);
  SmallVector<Value> operands;
  SmallVector<Operation *> slices;
  auto take = [&](Value value, ArrayRef<std::tuple<unsigned, OpFoldResult, OpFoldResult>> where) {
    if (!where.empty()) {
      value = slice(b, loc, value, where);
      slices.push_back(value.getDefiningOp());
    }
    operands.push_back(value);
  };
  for (auto [i, input] : llvm::enumerate(op.getInputs())) {
    SmallVector<std::tuple<unsigned, OpFoldResult, OpFoldResult>> where;
    // Keys, values and caches have one head for a group of query heads.
    int64_t by = isa<AttentionOp>(op) && i >= 1 ? group : 1;
    for (auto [dim, offset, size] : llvm::zip_equal(dims, offsets, sizes))
      if (auto to = inputDim(op, i, dim))
        where.emplace_back(*to, divide(b, loc, offset, by), divide(b, loc, size, by));
    take(input, where);
  }
  SmallVector<std::tuple<unsigned, OpFoldResult, OpFoldResult>> where;
  for (auto [dim, offset, size] : llvm::zip_equal(dims, offsets, sizes))
    where.emplace_back(dim, offset, size);
  take(op.getOutputs()[0], where);

  SmallVector<Type> types;
  if (isa<RankedTensorType>(operands.back().getType()))
    types.push_back(operands.back().getType());
  Operation *tiled = clone(b, op, types, operands);
  return TilingResult{{tiled}, SmallVector<Value>(tiled->getResults()), slices};
}

namespace {
/// What tile `i` is: part i mod parts of row group i / parts mod groups (none where there
/// is one) of key/value head i / (parts * groups); `at` is where the result has it.
struct PartialTile {
  Value head, part, rowGroup, at;

  PartialTile(AttentionPartialOp op, OpBuilder &b, OpFoldResult tile) {
    Location loc = op.getLoc();
    at = getValueOrCreateConstantIndexOp(b, loc, tile);
    Value parts = arith::ConstantIndexOp::create(b, loc, op.getParts());
    int64_t groups = op.getRowGroups();
    if (groups == 1) {
      head = arith::DivUIOp::create(b, loc, at, parts);
      part = arith::RemUIOp::create(b, loc, at, parts);
      return;
    }
    Value tiles = arith::ConstantIndexOp::create(b, loc, op.getParts() * groups);
    head = arith::DivUIOp::create(b, loc, at, tiles);
    Value inHead = arith::RemUIOp::create(b, loc, at, tiles);
    rowGroup = arith::DivUIOp::create(b, loc, inHead, parts);
    part = arith::RemUIOp::create(b, loc, inHead, parts);
    at = arith::AddIOp::create(b, loc, arith::MulIOp::create(b, loc, head, parts), part);
  }
};
} // namespace

static FailureOr<TilingResult> tile(AttentionPartialOp op, OpBuilder &b, ArrayRef<OpFoldResult> offsets,
                                    ArrayRef<OpFoldResult> sizes) {
  Location loc = op.getLoc();
  if (op.getPart() || getConstantIntValue(sizes[0]) != 1)
    return op.emitOpError("expected tiles of one part of one head");
  PartialTile place(op, b, offsets[0]);
  Value head = place.head;
  int64_t group = shapeOf(op.getInputs()[0])[1] / shapeOf(op.getInputs()[1])[1];
  Value queries = arith::MulIOp::create(b, loc, head, arith::ConstantIndexOp::create(b, loc, group));
  SmallVector<Value> inputs;
  SmallVector<Operation *> slices;
  for (auto [i, input] : llvm::enumerate(op.getInputs())) {
    Value value = input;
    if (i != 3 && i != 4) {
      OpFoldResult offset = i == 0 ? queries : head;
      value = slice(b, loc, input, {{1, offset, b.getIndexAttr(i == 0 ? group : 1)}});
      slices.push_back(value.getDefiningOp());
    }
    inputs.push_back(value);
  }
  Value out = slice(b, loc, op.getOutputs()[0], {{0, place.at, b.getIndexAttr(1)}});
  slices.push_back(out.getDefiningOp());
  SmallVector<Type> types;
  if (isa<RankedTensorType>(out.getType()))
    types.push_back(out.getType());
  auto tiled = AttentionPartialOp::create(b, loc, types, inputs, place.part, place.rowGroup, op.getAngles(),
                                          op.getWeights(), out, op.getScaleAttr(), op.getPartsAttr(),
                                          op.getDealtAttr(), op.getRowGroupsAttr(), op.getEpsAttr());
  return TilingResult{{tiled}, SmallVector<Value>(tiled->getResults()), slices};
}

/// Tile i of the first dimension is part i: all rows of its columns.
static FailureOr<TilingResult> tile(ArgmaxPartialOp op, OpBuilder &b, ArrayRef<OpFoldResult> offsets,
                                    ArrayRef<OpFoldResult> sizes) {
  Location loc = op.getLoc();
  if (op.getFirst() || getConstantIntValue(sizes[0]) != 1)
    return op.emitOpError("expected tiles of one part");
  int64_t width = op.getWidth(), columns = shapeOf(op.getInputs()[0])[1];
  Value at = getValueOrCreateConstantIndexOp(b, loc, offsets[0]);
  Value first = arith::MulIOp::create(b, loc, at, arith::ConstantIndexOp::create(b, loc, width));
  if (columns % width)
    first = arith::MinUIOp::create(b, loc, first, arith::ConstantIndexOp::create(b, loc, columns - width));
  Value input = slice(b, loc, op.getInputs()[0], {{1, first, b.getIndexAttr(width)}});
  Value out = slice(b, loc, op.getOutputs()[0], {{0, at, b.getIndexAttr(1)}});
  SmallVector<Type> types;
  if (isa<RankedTensorType>(out.getType()))
    types.push_back(out.getType());
  auto tiled = ArgmaxPartialOp::create(b, loc, types, input, first, out, op.getWidthAttr());
  return TilingResult{{tiled},
                      SmallVector<Value>(tiled->getResults()),
                      SmallVector<Operation *>{input.getDefiningOp(), out.getDefiningOp()}};
}

/// The (first) row and the key/value head of a tile. Heads one after the other: those of a
/// chiplet are a range of tiles.
static std::pair<Value, Value> rowAndHead(AttentionMergeOp op, OpBuilder &b, OpFoldResult tile) {
  Location loc = op.getLoc();
  Value at = getValueOrCreateConstantIndexOp(b, loc, tile);
  Value rows = arith::ConstantIndexOp::create(b, loc, shapeOf(op.getOutputs()[0])[0]);
  Value head = arith::DivUIOp::create(b, loc, at, rows);
  return {arith::RemUIOp::create(b, loc, at, rows), head};
}

/// A tile takes whole groups of query heads, or some of one group, and all parts
/// of their key/value heads; of many rows one group of one row, or of several that follow each other.
static FailureOr<TilingResult> tile(AttentionMergeOp op, OpBuilder &b, ArrayRef<OpFoldResult> offsets,
                                    ArrayRef<OpFoldResult> sizes) {
  Location loc = op.getLoc();
  int64_t group = shapeOf(op.getInputs()[0])[2], parts = op.getParts();
  Value input, out;
  if (op.getByRows()) {
    auto count = getConstantIntValue(sizes[0]);
    int64_t rows = shapeOf(op.getOutputs()[0])[0];
    if (!count || rows % *count)
      return op.emitOpError("expected tiles of one key/value head and of a number of rows that divides ") << rows;
    auto [row, head] = rowAndHead(op, b, offsets[0]);
    Value first = arith::MulIOp::create(b, loc, head, arith::ConstantIndexOp::create(b, loc, parts));
    Value query = arith::MulIOp::create(b, loc, head, arith::ConstantIndexOp::create(b, loc, group));
    input = slice(b, loc, op.getInputs()[0], {{0, first, b.getIndexAttr(parts)}, {1, row, sizes[0]}});
    out = slice(b, loc, op.getOutputs()[0], {{0, row, sizes[0]}, {1, query, b.getIndexAttr(group)}});
  } else {
    auto size = getConstantIntValue(sizes[0]);
    if (!size || (*size % group && group % *size))
      return op.emitOpError("expected tiles of whole groups of ") << group << " query heads or of parts of one";
    Value head = getValueOrCreateConstantIndexOp(b, loc, divide(b, loc, offsets[0], group));
    Value first = arith::MulIOp::create(b, loc, head, arith::ConstantIndexOp::create(b, loc, parts));
    SmallVector<std::tuple<unsigned, OpFoldResult, OpFoldResult>> where = {
        {0, first, b.getIndexAttr(std::max<int64_t>(1, *size / group) * parts)}};
    if (*size < group) {
      Value at = getValueOrCreateConstantIndexOp(b, loc, offsets[0]);
      Value query = arith::RemUIOp::create(b, loc, at, arith::ConstantIndexOp::create(b, loc, group));
      where.emplace_back(2, query, sizes[0]);
    }
    input = slice(b, loc, op.getInputs()[0], where);
    out = slice(b, loc, op.getOutputs()[0], {{1, offsets[0], sizes[0]}});
  }
  SmallVector<Type> types;
  if (isa<RankedTensorType>(out.getType()))
    types.push_back(out.getType());
  auto tiled = AttentionMergeOp::create(b, loc, types, input, out, op.getPartsAttr(), /*by_rows=*/UnitAttr());
  return TilingResult{{tiled},
                      SmallVector<Value>(tiled->getResults()),
                      SmallVector<Operation *>{input.getDefiningOp(), out.getDefiningOp()}};
}

/// All of an output, of which a tile then takes its part.
static void takeWhole(Value output, OpBuilder &b, SmallVectorImpl<OpFoldResult> &offsets,
                      SmallVectorImpl<OpFoldResult> &sizes) {
  ArrayRef<int64_t> shape = shapeOf(output);
  offsets.assign(shape.size(), b.getIndexAttr(0));
  sizes = getAsIndexOpFoldResult(b.getContext(), shape);
}

template <typename OpTy>
static LogicalResult resultPosition(OpTy op, OpBuilder &b, ArrayRef<OpFoldResult> offsets,
                                    ArrayRef<OpFoldResult> sizes,
                                    SmallVectorImpl<OpFoldResult> &resultOffsets,
                                    SmallVectorImpl<OpFoldResult> &resultSizes) {
  takeWhole(op.getOutputs()[0], b, resultOffsets, resultSizes);
  for (auto [dim, offset, size] : llvm::zip_equal(tiledDims(op), offsets, sizes)) {
    resultOffsets[dim] = offset;
    resultSizes[dim] = size;
  }
  return success();
}

static LogicalResult resultPosition(AttentionPartialOp op, OpBuilder &b, ArrayRef<OpFoldResult> offsets,
                                    ArrayRef<OpFoldResult> sizes, SmallVectorImpl<OpFoldResult> &resultOffsets,
                                    SmallVectorImpl<OpFoldResult> &resultSizes) {
  takeWhole(op.getOutputs()[0], b, resultOffsets, resultSizes);
  resultOffsets[0] = op.getRowGroups() == 1 ? offsets[0] : OpFoldResult(PartialTile(op, b, offsets[0]).at);
  resultSizes[0] = sizes[0];
  return success();
}

static LogicalResult resultPosition(AttentionMergeOp op, OpBuilder &b, ArrayRef<OpFoldResult> offsets,
                                    ArrayRef<OpFoldResult> sizes, SmallVectorImpl<OpFoldResult> &resultOffsets,
                                    SmallVectorImpl<OpFoldResult> &resultSizes) {
  takeWhole(op.getOutputs()[0], b, resultOffsets, resultSizes);
  if (!op.getByRows()) {
    resultOffsets[1] = offsets[0], resultSizes[1] = sizes[0];
    return success();
  }
  auto [row, head] = rowAndHead(op, b, offsets[0]);
  int64_t group = shapeOf(op.getOutputs()[0])[1] / keyHeads(op);
  Value query = arith::MulIOp::create(b, op.getLoc(), head, arith::ConstantIndexOp::create(b, op.getLoc(), group));
  resultOffsets[0] = row, resultSizes[0] = sizes[0];
  resultOffsets[1] = query, resultSizes[1] = b.getIndexAttr(group);
  return success();
}

template <typename OpTy>
static FailureOr<TilingResult> tileFromResult(OpTy op, OpBuilder &b, ArrayRef<OpFoldResult> offsets,
                                              ArrayRef<OpFoldResult> sizes) {
  ArrayRef<int64_t> shape = shapeOf(op.getOutputs()[0]);
  if constexpr (std::is_same_v<OpTy, AttentionMergeOp>)
    if (op.getByRows())
      return failure();
  if constexpr (std::is_same_v<OpTy, AttentionPartialOp>)
    if (op.getRowGroups() != 1)
      return failure();
  SmallVector<unsigned> dims = tiledDims(op);
  SmallVector<OpFoldResult> tileOffsets, tileSizes;
  for (auto [dim, extent] : llvm::enumerate(shape)) {
    if (llvm::is_contained(dims, dim)) {
      tileOffsets.push_back(offsets[dim]);
      tileSizes.push_back(sizes[dim]);
    } else if (getConstantIntValue(sizes[dim]) != extent) {
      return failure();
    }
  }
  return tile(op, b, tileOffsets, tileSizes);
}

#define FLEET_TILING(OP)                                                                           \
  SmallVector<utils::IteratorType> OP::getLoopIteratorTypes() {                                    \
    return SmallVector<utils::IteratorType>(tiledDims(*this).size(),                               \
                                            utils::IteratorType::parallel);                        \
  }                                                                                                \
  SmallVector<Range> OP::getIterationDomain(OpBuilder &b) { return iterationDomain(*this, b); }    \
  FailureOr<TilingResult> OP::getTiledImplementation(                                              \
      OpBuilder &b, ArrayRef<OpFoldResult> offsets, ArrayRef<OpFoldResult> sizes) {                \
    return tile(*this, b, offsets, sizes);                                                         \
  }                                                                                                \
  LogicalResult OP::getResultTilePosition(                                                         \
      OpBuilder &b, unsigned, ArrayRef<OpFoldResult> offsets, ArrayRef<OpFoldResult> sizes,        \
      SmallVector<OpFoldResult> &resultOffsets, SmallVector<OpFoldResult> &resultSizes) {          \
    return resultPosition(*this, b, offsets, sizes, resultOffsets, resultSizes);                   \
  }                                                                                                \
  FailureOr<TilingResult> OP::generateResultTileValue(                                             \
      OpBuilder &b, unsigned, ArrayRef<OpFoldResult> offsets, ArrayRef<OpFoldResult> sizes) {      \
    return tileFromResult(*this, b, offsets, sizes);                                               \
  }

FLEET_TILING(GatherOp)
FLEET_TILING(RmsNormOp)
FLEET_TILING(LayerNormOp)
FLEET_TILING(RopeOp)
FLEET_TILING(AttentionOp)
FLEET_TILING(AttentionPartialOp)
FLEET_TILING(AttentionMergeOp)
FLEET_TILING(ArgmaxOp)
FLEET_TILING(ArgmaxPartialOp)
FLEET_TILING(ArgmaxMergeOp)

#undef FLEET_TILING
