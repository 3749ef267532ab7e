//===- AttentionParts.h - Attention over parts of the context ---*- C++ -*-===//
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FLEET_LIB_CONVERSION_GPU_ATTENTIONPARTS_H
#define FLEET_LIB_CONVERSION_GPU_ATTENTIONPARTS_H

#include "Utils.h"

#include "fleet/IR/Fleet.h"

#include "llvm/Support/MathExtras.h"

namespace mlir::fleet::gpugen {

/// What brings a head of `size` elements, whose squares sum up to `squares`, to a mean square of 1.
Value scaleOfHead(Emitter &e, Value squares, int64_t size, const APFloat &eps);
/// A head of which each lane of a subgroup has the vector `x`, one behind the other, normed; `weight` is this lane's.
Value normHead(Emitter &e, Value x, Value weight, const APFloat &eps);
/// The same head rotated: what is half a head away is in the lane half a subgroup from `lane`.
Value rotateHead(Emitter &e, Value x, Value cosine, Value sine, Value lane);

/// The positions of a part to which the context is dealt in blocks.
struct DealtPart {
  Emitter &e;
  AttentionPartialOp op;
  int64_t block = *op.getDealt(), parts = op.getParts();

  /// Positions from one block of the part to the next.
  int64_t stride() const { return block * parts; }
  Value first();
  /// Whether `position` (an index) is the part's (i1).
  Value has(Value position);
};

/// The rows of a tile, which are dealt to `groups` row groups: all rows where that is 1.
struct DealtRows {
  Emitter &e;
  AttentionPartialOp op;
  int64_t rows = cast<ShapedType>(op.getInputs()[0].getType()).getDimSize(0);
  int64_t groups = op.getRowGroups();
  /// Of a tile, at most.
  int64_t most = llvm::divideCeil(rows, groups);

  /// How many (an index): not all groups have as many where `groups` does not divide the rows.
  Value count();
  /// Row `i` (an index) of the tile.
  Value at(Value i);
  void forEach(function_ref<void(Value)> body);
  /// body(row) in a thread for each row of another tile that has its slot in common with one of
  /// this, and `isHere(row)` (i1).
  void forSharedRows(function_ref<Value(Value)> isHere, function_ref<void(Value)> body);
};

/// A tile: one part of the context, one key/value head, all rows or a row group.
void lowerAttentionPartial(Emitter &e, AttentionPartialOp op);
void lowerAttentionMerge(Emitter &e, AttentionMergeOp op);

} // namespace mlir::fleet::gpugen

#endif // FLEET_LIB_CONVERSION_GPU_ATTENTIONPARTS_H
