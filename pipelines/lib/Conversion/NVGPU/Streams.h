//===- Streams.h - The ring of weights --------------------------*- C++ -*-===//
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FLEET_LIB_CONVERSION_NVGPU_STREAMS_H
#define FLEET_LIB_CONVERSION_NVGPU_STREAMS_H

#include "PTX.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"

namespace mlir::fleet::nv {

/// Marks a linalg.matmul whose right side comes by the ring.
constexpr StringRef kStreamed = "fleet.streamed";
/// On the gpu.module: slots of the ring.
constexpr StringRef kSlots = "fleet.ring_slots";
/// Set on a kernel in which each lane of a warp frees a slot, not one for all.
constexpr StringRef kLanesFree = "fleet.lanes_free";

/// On the gpu.module: packed weights are stored in the order of wgmma's right side. Of each chunk of 256
/// contracted elements, the last of which may be shorter, element (k, n) of a tile, k = 16 s + 4 t + 2 c + e and
/// n = 8 h + m, stands at [h][s][c][m][t][e] of 2 x 16 x 2 x 8 x 4 x 2: a lane's four consecutive elements of the left
/// side are its two pairs of a step's 16, and groups of 8 columns stand equally far apart, through two tiles as well
/// whose chunks are side by side.
constexpr StringRef kOrdered = "fleet.ordered_weights";
/// Whether weights packed as [N / columns][depth][columns] are stored so, where any are.
bool isOrdered(Type element, int64_t depth, int64_t columns);

/// On a body: the numbers of Caches, for its part of attention.
constexpr StringRef kCaches = "fleet.caches";

/// The caches [slot][head][position] that a body reads a part of: its operands,
/// and the sizes by which a tile finds its part.
struct Caches {
  int64_t keys, values, heads, parts, length, context, rowBytes;

  Caches() = default;
  explicit Caches(ArrayRef<int64_t> n)
      : keys(n[0]), values(n[1]), heads(n[2]), parts(n[3]), length(n[4]), context(n[5]), rowBytes(n[6]) {}
  SmallVector<int64_t> numbers() const { return {keys, values, heads, parts, length, context, rowBytes}; }
};

/// Left sides larger than this are read from the L2 again and again.
constexpr int64_t kMostStaged = 65536;

/// The sizes of a linalg.matmul whose right side is 16 columns of bf16. Its left
/// side is of bf16 or of f32: then it is multiplied as the sum of two bf16.
struct Contraction {
  Value lhs, rhs, out;
  int64_t rows, depth;
  bool isWide;

  int64_t rowBlocks() const { return llvm::divideCeil(rows, kRows); }
  /// Both parts of a wide left side are rows of one mma.
  bool isOneMma() const { return isWide && rows <= kFewRows; }
};
std::optional<Contraction> matchContraction(linalg::MatmulOp op);

/// How the left side of a contraction comes to shared memory in front of `place`:
/// `bytes` of it are copied or, where it stands there alone, none.
struct Staging {
  Operation *place;
  int64_t bytes;
};
/// None where the left side is read from where it is: one of bf16, or of many rows.
std::optional<Staging> findStaging(linalg::MatmulOp op, const Contraction &contraction);

/// Buffers of shared memory begin at multiples of this.
constexpr int64_t kSharedAlignment = 128;

/// A wide left side in shared memory: of 8 elements first the high parts, then what
/// is left of them. Rows in a copy are this many bf16 further apart than that, so that those
/// of an mma are in different banks.
constexpr int64_t kBlock = 8, kWidePadding = 16;

/// Shared memory behind the scratch of the body in which `e` writes, `bytes` from its
/// end on: scratches and these share a buffer.
Value besideScratch(Emitter &e, int64_t bytes, MemRefType type);
/// Bytes of the scratch of a body.
int64_t scratchOf(Operation *body);

/// Waits for the phase of parity `parity` (i32) of an mbarrier. Bulk copies wait for no other workgroup, so
/// a wait for them that does not end is a bug: it stops the kernel.
void waitForPhase(Emitter &e, Value barrier, Value parity);

/// The ring in shared memory: [slot][byte], and two mbarriers a slot.
struct Ring {
  Emitter &e;
  int64_t slots, bytesOfSlot = kSlot;

  Value data() { return e.shared("ring", gpugen::inWorkgroupMemory({slots * bytesOfSlot}, e.b.getI8Type())); }
  Value full(Value slot) { return barrierAt("ring_full", slot); }
  Value empty(Value slot) { return barrierAt("ring_empty", slot); }
  Value barrierAt(StringRef name, Value slot) {
    Value all = e.shared(name, gpugen::inWorkgroupMemory({slots * 8}, e.b.getI8Type()));
    return pointerTo(e, all, e.mulIndex(slot, 8));
  }
  /// Arrivals by which a warp frees a slot.
  int64_t arrivalsOfWarp();
  /// Waits for the copy of the phase of parity `parity` (i32).
  void waitUntilFull(Value slot, Value parity) { waitForPhase(e, full(slot), parity); }
  /// This warp has read the slot, by loads (then they are ordered before the next copy) or by wgmma that it has waited
  /// for.
  void release(Value slot, bool byLoads = true);
  /// The slot after `slot` (index), and the parity (i32) that is then in force.
  std::pair<Value, Value> next(Value slot, Value parity);
};

} // namespace mlir::fleet::nv

#endif // FLEET_LIB_CONVERSION_NVGPU_STREAMS_H
