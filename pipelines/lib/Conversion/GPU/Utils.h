//===- Utils.h - Building blocks of a workgroup's code ----------*- C++ -*-===//
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FLEET_LIB_CONVERSION_GPU_UTILS_H
#define FLEET_LIB_CONVERSION_GPU_UTILS_H

#include "../CPU/Utils.h"

#include "fleet/Conversion/ManyRows.h"
#include "fleet/IR/Fleet.h"

#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/IR/IRMapping.h"

namespace mlir::fleet::gpugen {

/// Threads of a workgroup and lanes of a subgroup (wave, warp).
struct Workgroup {
  int64_t threads, lanes;
  int64_t waves() const { return threads / lanes; }
};

/// As the driver noted it on the gpu.module.
Workgroup getWorkgroup(gpu::GPUModuleOp module);
void setWorkgroup(gpu::GPUModuleOp module, Workgroup workgroup);

/// The elements of `element` that one thread moves at once.
int64_t elementsOf16Bytes(Type element);

/// A power of two that divides the address, in bytes, of the element at `indices`.
int64_t alignmentAt(Value memref, ValueRange indices);
/// The same of a buffer's first element.
int64_t alignmentOf(Value memref);

/// A power of two that divides an index, as far as it can be seen.
int64_t powerOfTwoIn(Value index);

/// Code that all threads of a workgroup execute together.
struct Emitter : cpu::Emitter {
  Emitter(OpBuilder &b, Location loc, gpu::GPUModuleOp module)
      : cpu::Emitter{b, loc}, module(module), workgroup(getWorkgroup(module)) {}

  gpu::GPUModuleOp module;
  Workgroup workgroup;
  /// The first subgroup to be given work: ops that run side by side start apart.
  int64_t firstWave = 0;

  Value thread() { return gpu::ThreadIdOp::create(b, loc, gpu::Dimension::x); }
  /// The thread's number counted from the first subgroup to be given work.
  Value threadInTurn();
  Value waveInTurn();
  Value lane();
  /// The subgroup's number; the same for all its lanes, and known to be so.
  Value wave();
  void barrier() { gpu::BarrierOp::create(b, loc); }

  /// body(i) for i in [0, count), spread over the threads.
  void forThreads(int64_t count, function_ref<void(Value)> body);
  /// body(i) for i in [0, count), spread over the subgroups; i is uniform there.
  void forWaves(int64_t count, function_ref<void(Value)> body);
  /// body() in thread 0.
  void forOneThread(function_ref<void()> body);
  /// The indices of point `i` of `shape`, row by row.
  SmallVector<Value> delinearize(Value i, ArrayRef<int64_t> shape);

  /// Vector accesses say how the address is aligned, as far as it can be seen.
  Value loadRaw(Value memref, ValueRange indices, int64_t lanes);
  Value loadVector(Value memref, ValueRange indices, int64_t lanes) { return widen(loadRaw(memref, indices, lanes)); }
  void storeRaw(Value vector, Value memref, ValueRange indices);
  void storeVector(Value vector, Value memref, ValueRange indices);

  /// The value of the lane whose number differs in the bits of `mask`.
  Value shuffleXor(Value value, int64_t mask);
  using Combine = function_ref<SmallVector<Value>(ArrayRef<Value>, ArrayRef<Value>)>;
  /// Combines the values of lanes that differ in the bits [from, to), powers of
  /// two; all of them get the result. The order is fixed.
  SmallVector<Value> combineLanes(SmallVector<Value> values, int64_t from, int64_t to, Combine combine);
  /// Combines the values of all threads; all get the result. Contains barriers.
  SmallVector<Value> combineThreads(SmallVector<Value> values, Combine combine);
  Value sumLanes(Value value, int64_t from, int64_t to);

  /// The LDS buffer `name` of the kernel, at least as large as `type`, seen as `type`.
  Value shared(StringRef name, MemRefType type);
};

/// How one thread of a workgroup looks for the event of a wait.
struct Poll {
  /// Polls after which it gives up, and (a power of two) between two looks at the status.
  int64_t budget, look;
  /// Whether the event is over (i1).
  function_ref<Value()> isOver;
  /// The status (i32) at these bytes of an arena: not 0 when another worker has given up.
  function_ref<Value(Value, int64_t)> loadStatus;
  /// Between two polls.
  function_ref<void()> rest;
};
/// Polls in the one thread that is here. Where `op` names the kernel's flags by
/// `fleet.expired`, the thread gives up in the end and says so there, with the
/// index of the counter; where it does not, it polls until the event is over.
void pollForEvent(Emitter &e, WaitOp op, const Poll &poll);

/// On an op that is lowered to loops over the threads: it begins with those of this subgroup,
/// and what comes after it sees to the barrier.
constexpr StringRef kFirstWave = "fleet.first_wave";

/// The LDS buffer for what one body needs beside its scratch: nothing of it
/// outlives the body, so that all bodies have it at the same place.
constexpr StringRef kBodyBuffer = "body";
/// That for the scratch of bodies.
constexpr StringRef kScratchBuffer = "scratch";

/// `type` in LDS.
MemRefType inWorkgroupMemory(ArrayRef<int64_t> shape, Type element);
bool isInWorkgroupMemory(MemRefType type);

/// Bytes of LDS that a kernel's buffers take so far: what bodies have at one
/// place, and all others, each counted as whole pieces of `alignment` bytes.
struct UsedLds {
  int64_t body = 0, others = 0;
};
UsedLds countUsedLds(gpu::GPUModuleOp module, int64_t alignment);

/// Sets `name` on those params of the module's fleet.manifest that are packed weights `[N / columns][depth][columns]`
/// of which `isMeant` holds: the loader follows it. Fails where the manifest does not say how they are packed.
LogicalResult setOnPacked(ModuleOp module, StringRef name, Attribute value,
                          function_ref<bool(Type element, int64_t depth, int64_t columns)> isMeant);

} // namespace mlir::fleet::gpugen

#endif // FLEET_LIB_CONVERSION_GPU_UTILS_H
