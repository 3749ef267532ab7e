//===- PTX.h - Single instructions of NVIDIA chips --------------*- C++ -*-===//
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FLEET_LIB_CONVERSION_NVGPU_PTX_H
#define FLEET_LIB_CONVERSION_NVGPU_PTX_H

#include "../GPU/Utils.h"

namespace mlir::fleet::nv {
using gpugen::Emitter;

/// The pointer to byte `offset` (an index) of a memref without layout offset.
Value pointerTo(Emitter &e, Value memref, Value offset);
/// The pointer to the element at `indices`.
Value pointerToElement(Emitter &e, Value memref, ValueRange indices);
/// The pointer to global memory of this address (an index).
Value globalPointer(Emitter &e, Value address);

/// The mbarrier at `pointer` waits for `count` arrivals a phase.
void initBarrier(Emitter &e, Value pointer, int32_t count);
/// Makes initialised mbarriers visible to bulk copies.
void fenceBarrierInit(Emitter &e);
/// The mbarrier is one no longer: its memory may hold something else.
void invalidateBarrier(Emitter &e, Value pointer);
/// Accesses of shared memory before it, or of global memory, come before those of bulk copies after it. Of all memory
/// at once it would wait for the copies that are on their way.
void fenceAsyncProxy(Emitter &e, bool isGlobal = false);
/// Arrives once.
void arrive(Emitter &e, Value pointer);
/// Arrives, and makes the phase wait for `bytes` (i32) of bulk copies too.
void arriveExpecting(Emitter &e, Value pointer, Value bytes);
/// i1: the phase of parity `parity` (i32) is over; may suspend the thread for a while.
Value tryWait(Emitter &e, Value pointer, Value parity);
/// The same, without ever suspending.
Value testWait(Emitter &e, Value pointer, Value parity);
/// Copies `bytes` (i32, a multiple of 16) and completes them at `barrier`.
void copyBulk(Emitter &e, Value to, Value from, Value bytes, Value barrier);
/// Asks the L2 for `bytes` (i32, a multiple of 16) bytes at a global pointer.
void prefetchBulk(Emitter &e, Value pointer, Value bytes);
/// Four 8x8 matrices of 16 bits, transposed; every lane gives the address of a row.
SmallVector<Value> loadMatrices(Emitter &e, Value pointer);
/// sum + lhs * rhs, m16n8k16 of bf16; `sum` has four f32.
SmallVector<Value> multiply(Emitter &e, ArrayRef<Value> lhs, ArrayRef<Value> rhs, ArrayRef<Value> sum);
/// The words (i32) of a descriptor of ordered weights (`kOrdered`) in shared memory.
struct RightSide {
  Value low, high;
};
/// Of chunks of two tiles, one behind the other, with the step at byte `offset` (an index) of a buffer. They have
/// `steps` (i32) steps each, or all of a whole chunk.
RightSide describeRight(Emitter &e, Value memref, Value offset, Value steps = {});
/// lhs * rhs, or what is added to `sum`, by the four warps of a warpgroup: m64n32k16 of bf16, as often as `lhs` has
/// four words, with the right side's steps from the one described on. Sixteen f32: columns 2t, 2t + 1 of row g and of
/// row g + 8, then columns 8 further, and so on. Waits for the result.
SmallVector<Value> multiplyByGroup(Emitter &e, ArrayRef<Value> lhs, RightSide right, ArrayRef<Value> sum = {});
/// Two f32 as bf16 in one word (i32), the first in its lower half; and as f32 again.
Value packBf16(Emitter &e, Value low, Value high);
std::pair<Value, Value> unpackBf16(Emitter &e, Value word);
/// Two f32 as bf16 in one word, and what that leaves of them in another.
std::pair<Value, Value> splitBf16(Emitter &e, Value low, Value high);
/// A word (i32), or an address (an index), that all lanes of a warp have: said so, it stands in uniform registers.
Value uniform(Emitter &e, Value word);
Value uniformAddress(Emitter &e, Value address);
/// i1: this is the lane of the warp that does what one lane has to do.
Value electLane(Emitter &e);
/// The same word (i32), made here: what follows from it is computed behind it.
Value madeHere(Emitter &e, Value word);
/// The same number (an index) of at most 32 bits, made here.
Value indexMadeHere(Emitter &e, Value number);
/// The lower (or upper) halves of two words, that of `x` in the lower half.
Value selectHalves(Emitter &e, Value x, Value y, bool upper);
/// f32, to 2 ulp: x / y, 1 / sqrt(x), 2^x. Results below the least normal number are 0.
Value divide(Emitter &e, Value x, Value y);
Value inverseRoot(Emitter &e, Value x);
Value powerOfTwo(Emitter &e, Value x);
/// Asks the L2 for the line of an element.
void prefetch(Emitter &e, Value memref, ValueRange indices);
/// All warps of a warpgroup have so many registers a lane from here on: more than before, once others have given them,
/// or fewer.
void takeRegisters(Emitter &e, int32_t count);
void giveRegisters(Emitter &e, int32_t count);
void syncWarp(Emitter &e);
/// Barrier `id` of `threads` threads of the workgroup.
void barrier(Emitter &e, int32_t id, int32_t threads);

} // namespace mlir::fleet::nv

#endif // FLEET_LIB_CONVERSION_NVGPU_PTX_H
