//===- Emit.h - LLVM's optimiser and code generator -------------*- C++ -*-===//
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FLEET_LIB_TARGET_EMIT_H
#define FLEET_LIB_TARGET_EMIT_H

#include "mlir/IR/BuiltinOps.h"
#include "llvm/IR/Module.h"
#include "llvm/Support/raw_ostream.h"
#include "llvm/Target/TargetMachine.h"

namespace mlir::fleet {

/// The module of the LLVM dialect as LLVM IR for the machine; null after an error.
std::unique_ptr<llvm::Module> translateFor(llvm::TargetMachine &machine, ModuleOp module, llvm::LLVMContext &context);

/// Runs LLVM's O3 pipeline for the machine.
void optimize(llvm::Module &code, llvm::TargetMachine &machine);

/// Emits a file; false if the target has none of this kind.
bool emitFile(llvm::Module &code, llvm::TargetMachine &machine, llvm::CodeGenFileType type,
              llvm::raw_pwrite_stream &out);

} // namespace mlir::fleet

#endif // FLEET_LIB_TARGET_EMIT_H
