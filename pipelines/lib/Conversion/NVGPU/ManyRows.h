//===- ManyRows.h - Contractions of many rows -------------------*- C++ -*-===//
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// With few rows a tile of columns is a loop over the contracted dimension, and
// the activations, a few KB, stand in shared memory. With more of them they do
// not fit, and reading them again for each tile costs more than the weights.
// So several tiles go through the contracted dimension together: warps in
// turns take 256 deep chunks of it, hold a chunk of activations as mma fragments,
// and multiply it with that chunk of every tile. The stream has this order. With
// more than 16 rows, 8 of f32, a turn is that of a group of warps, each with rows of its
// own: they read the same slots. How many tiles and warps: fleet/Conversion/ManyRows.h.
//
// Activations of f32 are split in registers, x = high + rest, both bf16, and weights are
// multiplied with both.
//
// A turn of four or eight warps is one or two warpgroups. They multiply by wgmma, with activations as
// left side, 16 rows of registers a warp, and a slot as right side, which stands in the ring in the order
// that the instruction reads (kOrdered). High parts and rests are rows 8 apart of the same product.
//
//===----------------------------------------------------------------------===//

#ifndef FLEET_LIB_CONVERSION_NVGPU_MANYROWS_H
#define FLEET_LIB_CONVERSION_NVGPU_MANYROWS_H

#include "Streams.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace mlir::fleet::nv {

/// On the gpu.module: its contractions are computed so, by as many warps a turn.
constexpr StringRef kRowGroups = "fleet.row_groups";
/// On a body's loop: its contractions are computed so, this many tiles together.
constexpr StringRef kTogether = "fleet.tiles_together";
/// On the same loop: of so many of them sums are added at once.
constexpr StringRef kSummed = "fleet.tiles_summed";

/// Slots that each turn has at least.
constexpr int64_t kSlotsOfTurn = 2;

/// The streamed contractions of a body's loop, if they can be computed together:
/// all have one left side, which stands in front of the loop, and results that the
/// loop does nothing with but set them to zero before and read them afterwards.
struct TileLoop {
  /// What a contraction adds to: a temporary of the tile, or a part of the body's result.
  struct Result {
    Value value;
    bool isTemporary, isZero;
  };
  scf::ForOp loop;
  SmallVector<linalg::MatmulOp> ops;
  Contraction first;
  SmallVector<Result> results;

  /// Shared memory for the sums of one tile in `turns` parts.
  int64_t bytesOfSums(int64_t turns) const { return ops.size() * turns * first.rows * kColumns * 4; }
};
std::optional<TileLoop> matchTileLoop(func::FuncOp body);

/// Replaces the loop. A slot is free after arrivals of `groups` warps.
void lowerTogether(Emitter &e, TileLoop &loop, int64_t slots, int64_t groups);

} // namespace mlir::fleet::nv

#endif // FLEET_LIB_CONVERSION_NVGPU_MANYROWS_H
