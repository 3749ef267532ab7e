//===- Translate.h - LLVM dialect to object code ----------------*- C++ -*-===//
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FLEET_TARGET_TRANSLATE_H
#define FLEET_TARGET_TRANSLATE_H

#include "mlir/IR/BuiltinOps.h"
#include "llvm/Support/raw_ostream.h"

namespace mlir {
class DialectRegistry;
namespace fleet {

enum class EmitKind { Object, Assembly, LLVM };

struct ObjectOptions {
  EmitKind emit = EmitKind::Object;
  /// "native" is the CPU at hand with all its features.
  std::string cpu = "native";
  /// Features on top of the CPU's, as in "+avx512f,-fma".
  std::string features;
};

/// What translation needs in a context's registry.
void registerTranslationDialects(DialectRegistry &registry);

/// Translates a module of the LLVM dialect, optimises it and emits position
/// independent code that needs no library. Fails if a symbol stays undefined.
LogicalResult translateToObject(ModuleOp module, const ObjectOptions &options,
                                llvm::raw_pwrite_stream &out);

/// Writes the manifest of a module (phase memory or later) as JSON: arenas,
/// inputs, outputs, the place of every parameter. Fails if there is none.
LogicalResult translateToManifest(ModuleOp module, llvm::raw_ostream &output);

} // namespace fleet
} // namespace mlir

#endif // FLEET_TARGET_TRANSLATE_H
