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

LogicalResult mlir::fleet::readTables(gpu::GPUModuleOp module, KernelTables &tables) {
  auto read = [&](StringRef name, unsigned rank, memref::GlobalOp &global) -> LogicalResult {
    global = module.lookupSymbol<memref::GlobalOp>(name);
    if (global && global.getType().getRank() == rank && global.getType().hasStaticShape() &&
        global.getType().getElementType().isInteger(32))
      return success();
    return module.emitError() << "expected a table @" << name << " of rank " << rank << " of i32";
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
  if (tables.chiplets < 1 || tables.workers < 1 || tables.workers % tables.chiplets)
    return module.emitError() << "expected workers to be a multiple of chiplets, found " << tables.workers << " and "
                              << tables.chiplets;
  return success();
}
