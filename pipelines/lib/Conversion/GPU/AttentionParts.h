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

/// A tile: one part of the context, one key/value head, all rows.
void lowerAttentionPartial(Emitter &e, AttentionPartialOp op);
void lowerAttentionMerge(Emitter &e, AttentionMergeOp op);

} // namespace mlir::fleet::gpugen

#endif // FLEET_LIB_CONVERSION_GPU_ATTENTIONPARTS_H
