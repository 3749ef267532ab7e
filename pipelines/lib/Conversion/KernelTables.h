//===- KernelTables.h - What a driver reads of a kernel ---------*- C++ -*-===//
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FLEET_LIB_CONVERSION_KERNELTABLES_H
#define FLEET_LIB_CONVERSION_KERNELTABLES_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"

namespace mlir::fleet {

/// What fleet-build-kernel leaves for a driver: the tables of the schedule, the
/// function that runs tiles of a task, and where counters and status stand.
struct KernelTables {
  memref::GlobalOp deviceTasks, cuTasks, queues, waits, arrivals;
  func::FuncOp dispatch;
  int64_t counters = 0, status = 0, workers = 0, chiplets = 0, tasks = 0;

  int64_t workersOfChiplet() const { return workers / chiplets; }
  static auto valuesOf(memref::GlobalOp table) {
    return cast<DenseIntElementsAttr>(*table.getInitialValue()).getValues<int32_t>();
  }
};

/// By device task, the one whose flagged results it waits for itself, in place of an event, or -1. A kernel
/// with this table keeps the number of the step, and whether a flag did not come in time, in words of shared memory.
constexpr StringRef kFlaggedTable = "flagged", kStepNumber = "step_number", kLate = "late";

/// How the names of tables begin that the walk has brought to shared memory.
constexpr StringRef kCached = "cached_";

/// On a fleet.receive: a barrier stands in front of the first op that reads what it brings, so that it needs none of
/// its own.
constexpr StringRef kUnsynced = "fleet.unsynced";

/// The integer attribute `name` of the kernel; an error where there is none.
LogicalResult readNumber(gpu::GPUModuleOp module, StringRef name, int64_t &value);

/// An error says what is missing, or which number of a table points to nothing.
LogicalResult readTables(gpu::GPUModuleOp module, KernelTables &tables);

} // namespace mlir::fleet

#endif // FLEET_LIB_CONVERSION_KERNELTABLES_H
