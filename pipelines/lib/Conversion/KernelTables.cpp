//===- KernelTables.cpp - What a driver reads of a kernel
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelTables.h"

using namespace mlir;
using namespace mlir::fleet;

LogicalResult mlir::fleet::readNumber(gpu::GPUModuleOp module, StringRef name, int64_t &value) {
  auto attr = module->getAttrOfType<IntegerAttr>(name);
  if (!attr)
    return module.emitError() << "expected the attribute '" << name << "' of i64";
  value = attr.getInt();
  return success();
}

/// An error where a number of a table points behind the end of another.
static LogicalResult checkTables(KernelTables &tables) {
  auto fail = [](memref::GlobalOp table, const Twine &expected, int64_t found) -> LogicalResult {
    return table.emitError("expected ") << expected << ", found " << found;
  };
  int64_t width = tables.deviceTasks.getType().getDimSize(1), waitCount = tables.waits.getType().getDimSize(0);
  int64_t cuCount = tables.cuTasks.getType().getDimSize(0);
  if (int64_t rows = tables.deviceTasks.getType().getDimSize(0); rows != tables.tasks)
    return fail(tables.deviceTasks, Twine(tables.tasks) + " device tasks as in @arrivals", rows);
  if (width < 3)
    return fail(tables.deviceTasks, "at least 3 numbers a device task", width);
  if (int64_t numbers = tables.cuTasks.getType().getDimSize(1); numbers != 3)
    return fail(tables.cuTasks, "3 numbers a cu task", numbers);
  auto deviceTasks = tables.valuesOf(tables.deviceTasks), cuTasks = tables.valuesOf(tables.cuTasks);
  auto waits = tables.valuesOf(tables.waits), queues = tables.valuesOf(tables.queues);
  for (int64_t task = 0; task < tables.tasks; ++task) {
    int64_t begin = deviceTasks[task * width + 1], end = deviceTasks[task * width + 2];
    if (begin < 0 || begin > end || end > waitCount)
      return fail(tables.deviceTasks, "waits of a device task among " + Twine(waitCount), begin < 0 ? begin : end);
    for (int64_t i = begin; i < end; ++i)
      if (waits[i] < -tables.tasks || waits[i] >= tables.tasks)
        return fail(tables.waits, "a wait for one of " + Twine(tables.tasks) + " device tasks", waits[i]);
  }
  int64_t before = 0;
  for (int64_t end : queues) {
    if (end < before || end > cuCount)
      return fail(tables.queues, "rising places among " + Twine(cuCount) + " cu tasks", end);
    before = end;
  }
  for (int64_t i = 0; i < before; ++i)
    if (cuTasks[3 * i] < 0 || cuTasks[3 * i] >= tables.tasks)
      return fail(tables.cuTasks, "cu tasks of one of " + Twine(tables.tasks) + " device tasks", cuTasks[3 * i]);
  return success();
}

LogicalResult mlir::fleet::readTables(gpu::GPUModuleOp module, KernelTables &tables) {
  auto read = [&](StringRef name, unsigned rank, memref::GlobalOp &global) -> LogicalResult {
    global = module.lookupSymbol<memref::GlobalOp>(name);
    if (!global || global.getType().getRank() != rank || !global.getType().hasStaticShape() ||
        !global.getType().getElementType().isInteger(32))
      return module.emitError() << "expected a table @" << name << " of rank " << rank << " of i32";
    if (!isa_and_present<DenseIntElementsAttr>(global.getInitialValue().value_or(nullptr)))
      return module.emitError() << "expected a table @" << name << " with its values";
    return success();
  };
  if (failed(read("device_tasks", 2, tables.deviceTasks)) || failed(read("cu_tasks", 2, tables.cuTasks)) ||
      failed(read("queues", 1, tables.queues)) || failed(read("waits", 1, tables.waits)) ||
      failed(read("arrivals", 2, tables.arrivals)) || failed(readNumber(module, "fleet.counters", tables.counters)) ||
      failed(readNumber(module, "fleet.status", tables.status)))
    return failure();
  tables.dispatch = module.lookupSymbol<func::FuncOp>("dispatch");
  if (!tables.dispatch || tables.dispatch.isExternal() || tables.dispatch.getNumArguments() != 9)
    return module.emitError("expected a function @dispatch of 9 arguments");
  tables.workers = tables.queues.getType().getDimSize(0) - 1;
  tables.tasks = tables.arrivals.getType().getDimSize(0);
  tables.chiplets = tables.arrivals.getType().getDimSize(1);
  if (tables.tasks < 1)
    return module.emitError("expected a kernel of at least one device task, found none");
  if (tables.chiplets < 1 || tables.workers < 1 || tables.workers % tables.chiplets)
    return module.emitError() << "expected workers to be a multiple of chiplets, found " << tables.workers << " and "
                              << tables.chiplets;
  return checkTables(tables);
}
