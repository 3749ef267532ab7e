//===- CopiedChunks.h - Activations by bulk copies --------------*- C++ -*-===//
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Warps of a warpgroup have registers for one chunk of activations, and would all wait for the L2 when
// they load it. So each of them asks for its next chunk when it has brought this one to registers: bulk
// copies, one a row, to a buffer of shared memory of its own, while this one is multiplied.
//
//===----------------------------------------------------------------------===//

#ifndef FLEET_LIB_CONVERSION_NVGPU_COPIEDCHUNKS_H
#define FLEET_LIB_CONVERSION_NVGPU_COPIEDCHUNKS_H

#include "ManyRows.h"

namespace mlir::fleet::nv {

/// Whether chunks of the left side come by bulk copies where `groups` warps share a turn: these are
/// warpgroups, and its rows stand in global memory, each in one piece.
bool copiesChunks(const Contraction &c, int64_t groups);
/// Where chunks stand: so many bytes behind the body's scratch, or before its end, if it only has what this loop keeps
/// elsewhere.
int64_t placeOfChunks(TileLoop &tiles);
/// Shared memory for the chunks of all warps.
int64_t bytesOfChunks(const Contraction &c, int64_t waves, int64_t groups);

/// The mbarriers of the warps' chunks, which a kernel has once for all its bodies.
struct ChunkBarriers {
  Emitter &e;
  int64_t bytes() { return e.workgroup.waves() * 8; }
  Value full(Value wave) {
    return pointerTo(e, e.shared("chunk_full", gpugen::inWorkgroupMemory({bytes()}, e.b.getI8Type())),
                     e.mulIndex(wave, 8));
  }
  /// By one thread.
  void init();
};

/// The chunks of this thread's warp, one at a time. The first ones of all turns are round 0, the next ones
/// round `turns`.
struct CopiedChunks {
  Emitter &e;
  const Contraction &c;
  int64_t groups, place;
  /// Some warp's last chunk is not whole.
  bool isRagged;
  /// Of the warp its number, of the lane the part of the buffer that has its row, and where it reads there.
  Value wave{}, part{}, element{};
  /// Of the chunk to ask for: its first element, the warp's first row, and the address of what stands there (of the
  /// first row of all, if rows are repeated).
  Value first{}, firstRow{}, begin{};

  /// What follows is of this warp and lane, and asks for the warp's chunk of this round. Found here, so that no
  /// register holds it through a loop, and none while a chunk is read.
  void enter(Value round);
  /// The parity (i32) of the chunk that is asked for next.
  Value parity();
  /// Asks for the chunk, for what there is of it; its place is read no longer. Of a body the first one comes behind
  /// what other workers have stored.
  void ask(bool isFirst = false);
  void wait(Value parity) { waitForPhase(e, ChunkBarriers{e}.full(wave), parity); }
  /// The lane's four elements of a step of a block of rows.
  Value read(int64_t block, int64_t step);

private:
  Value buffer();
  bool repeatsRows() { return hasRowsPast(c.rows, groups); }
};

} // namespace mlir::fleet::nv

#endif // FLEET_LIB_CONVERSION_NVGPU_COPIEDCHUNKS_H
