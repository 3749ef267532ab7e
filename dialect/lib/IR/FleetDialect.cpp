//===- FleetDialect.cpp - Dialect, attributes -------------------*- C++ -*-===//
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fleet/IR/Fleet.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace mlir::fleet;

#include "fleet/IR/FleetAttrInterfaces.cpp.inc"
#include "fleet/IR/FleetDialect.cpp.inc"
#include "fleet/IR/FleetEnums.cpp.inc"
#define GET_ATTRDEF_CLASSES
#include "fleet/IR/FleetAttrs.cpp.inc"

void FleetDialect::initialize() {
  addAttributes<
#define GET_ATTRDEF_LIST
#include "fleet/IR/FleetAttrs.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "fleet/IR/FleetOps.cpp.inc"
      >();
}

unsigned TaskScopeAttr::getLevel() const { return static_cast<unsigned>(getValue()); }

MemoryScope TaskScopeAttr::getCoherentMemory() const {
  // The two orders have the same levels, so the correspondence is the level.
  return static_cast<MemoryScope>(getLevel());
}

unsigned MemoryScopeAttr::getLevel() const { return static_cast<unsigned>(getValue()); }

LogicalResult PartitionAttr::verify(function_ref<InFlightDiagnostic()> emitError,
                                    PartitionKind kind, int64_t tiles, int64_t size, int64_t splits) {
  if (tiles < 1 || size < 1)
    return emitError() << "expected a positive number of tiles and a positive tile size, found "
                       << tiles << " and " << size;
  if (splits != 1 && kind != PartitionKind::Rows)
    return emitError() << "expected splits of a partition by rows alone, found " << splits << " of "
                       << stringifyPartitionKind(kind);
  if (splits < 1 || tiles % splits)
    return emitError() << "expected as many tiles in each split, found " << tiles << " tiles in " << splits << " splits";
  if (kind == PartitionKind::Whole && tiles != 1)
    return emitError() << "expected 1 tile of a whole task, found " << tiles;
  return success();
}

LogicalResult TraversalAttr::verify(function_ref<InFlightDiagnostic()> emitError, Traversal value, int64_t rows,
                                    int64_t window) {
  if (rows < 0 || (value == Traversal::FullM && rows))
    return emitError() << "expected rows of a tile of a traversal that cuts them, found " << rows << " of "
                       << stringifyTraversal(value);
  if (window < 0 || (value != Traversal::Windowed && window))
    return emitError() << "expected a window of a windowed traversal, found " << window << " of "
                       << stringifyTraversal(value);
  return success();
}

LogicalResult TargetAttr::verify(function_ref<InFlightDiagnostic()> emitError, StringRef name,
                                 Backend backend, int64_t chiplets, int64_t workers, int64_t lds,
                                 int64_t l2, int64_t hbmGbs, int64_t tile, int64_t units,
                                 int64_t simds, int64_t registers, int64_t waves) {
  if (name.empty())
    return emitError() << "expected a target name, found none";
  auto positive = [&](StringRef what, int64_t value) -> LogicalResult {
    if (value >= 1)
      return success();
    return emitError() << "expected a positive " << what << ", found " << value;
  };
  if (failed(positive("number of chiplets", chiplets)) ||
      failed(positive("number of workers", workers)) || failed(positive("lds size", lds)) ||
      failed(positive("l2 size", l2)) || failed(positive("hbm bandwidth", hbmGbs)) ||
      failed(positive("tile width", tile)))
    return failure();
  // All of a unit's limits are known, or none.
  if ((units || simds || registers || waves) &&
      (failed(positive("number of units", units)) || failed(positive("number of simds", simds)) ||
       failed(positive("number of registers", registers)) || failed(positive("number of waves", waves))))
    return failure();
  return success();
}
