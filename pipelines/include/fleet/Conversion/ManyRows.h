//===- ManyRows.h - How kernels of NVIDIA chips read many rows --*- C++ -*-===//
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Sizes that the lowering for NVIDIA chips chooses and that the simulator has to know,
// to say what a step of many rows costs. They stand here alone.
//
//===----------------------------------------------------------------------===//

#ifndef FLEET_CONVERSION_MANYROWS_H
#define FLEET_CONVERSION_MANYROWS_H

#include "fleet/Target/TargetModel.h"

#include "llvm/Support/MathExtras.h"

#include <algorithm>
#include <cstdint>
#include <optional>

namespace mlir::fleet::gpugen {
/// Threads of a worker that compute, on all GPUs.
constexpr int64_t kThreads = 256;
} // namespace mlir::fleet::gpugen

namespace mlir::fleet::nv {

/// Bytes of a chunk of a tile of weights: one bulk copy to the ring.
constexpr int64_t kSlot = 8192;
/// Columns of a tile of weights, rows of an mma's left side.
constexpr int64_t kColumns = 16;
/// Contracted elements of one mma, and rows of activations.
constexpr int64_t kDepth = 16, kRows = 8;
/// Warps of a worker that compute.
constexpr int64_t kWaves = gpugen::kThreads / 32;

/// Up to this many rows tiles are computed one by one, and all rows of a head are attended to together.
constexpr int64_t kFewRows = getManyRows(Backend::NVVM) - 1;
/// Contracted elements of a chunk.
constexpr int64_t kDeep = kSlot / (kColumns * 2);
/// Rows of activations that a warp holds a chunk of in registers; of f32, which are two bf16.
constexpr int64_t kRowsOfWarp = 16, kWideRowsOfWarp = 8;
/// Registers of a lane, of 216, for sums and the chunk of activations: warps that are no warpgroup hold weights beside
/// them.
constexpr int64_t kMostHeld = 112, kMostHeldOfWarpgroup = 160;
/// Tiles together: more only make the code longer. Of a warpgroup a tile is a few instructions.
constexpr int64_t kMostTogether = 6, kMostTogetherOfWarpgroup = 8;
/// Warps that multiply together by wgmma: a slot is the right side, which none of them loads.
constexpr int64_t kWarpgroup = 4;
/// Chunks, of the next tile as well, that are one slot then: one wgmma takes the columns of both.
constexpr int64_t kChunksOfSlot = 2;
/// Positions of a warp's round in attention of many rows: the contracted dimension of one mma.
constexpr int64_t kPositions = kDepth;
/// Steps of at most this many rows load keys and values to registers: the ring needs the room more.
/// Those of others are copied to shared memory.
constexpr int64_t kMostLoaded = 16;

/// Whether attention of many rows has an mma for heads of `size` elements of which `group` share their keys.
inline bool hasHeads(int64_t group, int64_t size) { return group <= kRows && size % 64 == 0; }

/// Whether such attention norms and rotates its rows' queries and keys as well: a warp has a head. With two rows a warp
/// and no copies that run ahead it takes longer than tasks of their own and their exchange.
inline bool rotatesHeads(int64_t rows, int64_t group, int64_t size) {
  return (rows == kWaves || rows > kMostLoaded) && hasHeads(group, size) && llvm::isPowerOf2_64(size);
}

/// The warps of a turn for so many rows, a divisor of `waves`; none if there are
/// not warps enough. `isWide` says whether any contraction of the kernel has a left side of f32.
inline std::optional<int64_t> rowGroups(int64_t rows, int64_t waves, bool isWide) {
  int64_t groups = llvm::PowerOf2Ceil(llvm::divideCeil(rows, isWide ? kWideRowsOfWarp : kRowsOfWarp));
  return waves % groups ? std::nullopt : std::optional(groups);
}

/// Whether the warps of a turn are warpgroups.
inline bool hasWarpgroups(int64_t groups) { return groups % kWarpgroup == 0; }

/// Chunks of a slot of the ring, and its bytes.
inline int64_t chunksOfSlot(int64_t groups) { return hasWarpgroups(groups) ? kChunksOfSlot : 1; }
inline int64_t bytesOfSlot(int64_t groups) { return chunksOfSlot(groups) * kSlot; }

/// Blocks of rows of one of `groups` warps.
inline int64_t blocksOf(int64_t rows, int64_t groups) { return llvm::divideCeil(rows, groups * kRows); }

/// Whether the last of `groups` warps has rows past the end.
inline bool hasRowsPast(int64_t rows, int64_t groups) { return rows % (groups * blocksOf(rows, groups) * kRows); }

/// Registers of a lane for its part of a chunk of activations.
inline int64_t registersOfChunk(int64_t blocks, bool isWide) {
  return blocks * kRows * kDeep * (isWide ? 4 : 2) / 4 / 32;
}

/// Tiles of `streams` contractions each that are worth being computed together, of at most
/// `tiles` of a cu task.
inline int64_t tilesTogether(int64_t rows, int64_t streams, int64_t groups, int64_t tiles, bool isWide) {
  int64_t blocks = blocksOf(rows, groups), held = hasWarpgroups(groups) ? kMostHeldOfWarpgroup : kMostHeld;
  int64_t most = (held - registersOfChunk(blocks, isWide)) / (4 * blocks * streams);
  most = std::min(most, hasWarpgroups(groups) ? kMostTogetherOfWarpgroup : kMostTogether);
  return std::clamp(most, int64_t(1), std::max<int64_t>(tiles, 1));
}

/// Whether a warp loads its chunk of activations one round ahead: there have to be registers
/// for two, and a second round.
inline bool loadsAhead(int64_t blocks, int64_t chunks, int64_t groups, bool isWide) {
  return blocks == 1 && !isWide && !hasWarpgroups(groups) && chunks > kWaves / groups;
}

} // namespace mlir::fleet::nv

#endif // FLEET_CONVERSION_MANYROWS_H
