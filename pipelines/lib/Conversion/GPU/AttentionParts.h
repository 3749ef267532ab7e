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

namespace mlir::fleet::gpugen {

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

/// A tile: one part of the context, one key/value head, all rows.
void lowerAttentionPartial(Emitter &e, AttentionPartialOp op);
void lowerAttentionMerge(Emitter &e, AttentionMergeOp op);

} // namespace mlir::fleet::gpugen

#endif // FLEET_LIB_CONVERSION_GPU_ATTENTIONPARTS_H
