//===- Emit.cpp - LLVM's optimiser and code generator
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Emit.h"

#include "mlir/Target/LLVMIR/Export.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/Passes/PassBuilder.h"

std::unique_ptr<llvm::Module> mlir::fleet::translateFor(llvm::TargetMachine &machine, ModuleOp module,
                                                        llvm::LLVMContext &context) {
  std::unique_ptr<llvm::Module> code = translateModuleToLLVMIR(module, context, "fleet");
  if (!code) {
    module.emitError("cannot be translated to LLVM IR");
    return nullptr;
  }
  code->setTargetTriple(machine.getTargetTriple());
  code->setDataLayout(machine.createDataLayout());
  return code;
}

void mlir::fleet::optimize(llvm::Module &code, llvm::TargetMachine &machine) {
  llvm::LoopAnalysisManager loops;
  llvm::FunctionAnalysisManager functions;
  llvm::CGSCCAnalysisManager components;
  llvm::ModuleAnalysisManager modules;
  llvm::PassBuilder builder(&machine);
  builder.registerModuleAnalyses(modules);
  builder.registerCGSCCAnalyses(components);
  builder.registerFunctionAnalyses(functions);
  builder.registerLoopAnalyses(loops);
  builder.crossRegisterProxies(loops, functions, components, modules);
  builder.buildPerModuleDefaultPipeline(llvm::OptimizationLevel::O3).run(code, modules);
}

bool mlir::fleet::emitFile(llvm::Module &code, llvm::TargetMachine &machine, llvm::CodeGenFileType type,
                           llvm::raw_pwrite_stream &out) {
  llvm::legacy::PassManager emitter;
  if (machine.addPassesToEmitFile(emitter, out, nullptr, type))
    return false;
  emitter.run(code);
  return true;
}
