//===- Switches.h - What a schedule is made with ----------------*- C++ -*-===//
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FLEET_TRANSFORMS_SWITCHES_H
#define FLEET_TRANSFORMS_SWITCHES_H

#include "mlir/IR/BuiltinOps.h"

namespace mlir::fleet {
/// A choice of the scheduler. The first value is what a module has that says
/// nothing.
struct Switch {
  StringRef name;
  SmallVector<StringRef> values;
  StringRef meaning;
};

/// All of them; the module attribute `fleet.schedule` has those that are not
/// the first.
ArrayRef<Switch> getSwitches();

/// The value of switch `name` for `module`.
StringRef getSwitch(ModuleOp module, StringRef name);

/// Sets switches from `text`, "NAME=VALUE,...". Fails on an unknown name or
/// value, with an error on the module.
LogicalResult setSwitches(ModuleOp module, StringRef text);
} // namespace mlir::fleet

#endif // FLEET_TRANSFORMS_SWITCHES_H
