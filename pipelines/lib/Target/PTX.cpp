//===- PTX.cpp - LLVM dialect to PTX
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Emit.h"

#include "fleet/IR/Fleet.h"
#include "fleet/Target/PTX.h"

#include "llvm/MC/MCSubtargetInfo.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Support/TargetSelect.h"

using namespace mlir;

/// The PTX version that knows all instructions of sm_90a that Fleet uses.
static constexpr llvm::StringLiteral kVersion = "+ptx80";

static std::unique_ptr<llvm::TargetMachine> makeTargetMachine(StringRef chip, std::string &error) {
  LLVMInitializeNVPTXTargetInfo();
  LLVMInitializeNVPTXTarget();
  LLVMInitializeNVPTXTargetMC();
  LLVMInitializeNVPTXAsmPrinter();
  llvm::Triple triple("nvptx64-nvidia-cuda");
  const llvm::Target *target = llvm::TargetRegistry::lookupTarget(triple, error);
  if (!target)
    return nullptr;
  std::unique_ptr<llvm::TargetMachine> machine(
      target->createTargetMachine(triple, chip, kVersion, llvm::TargetOptions(), std::nullopt, std::nullopt,
                                  llvm::CodeGenOptLevel::Aggressive));
  if (machine && !machine->getMCSubtargetInfo()->isCPUStringValid(chip)) {
    error = ("unknown chip '" + chip + "'").str();
    return nullptr;
  }
  return machine;
}

LogicalResult mlir::fleet::translateToPTX(ModuleOp module, const PTXOptions &options, llvm::raw_pwrite_stream &out) {
  std::string chip = options.chip, error;
  if (chip.empty()) {
    auto target = module->getAttrOfType<TargetAttr>("fleet.target");
    if (!target || target.getBackend() != Backend::NVVM)
      return module.emitError("expected a module with an NVIDIA target, or a chip by name");
    chip = target.getName().str();
  }
  std::unique_ptr<llvm::TargetMachine> machine = makeTargetMachine(chip, error);
  if (!machine)
    return module.emitError() << "cannot emit code: " << error;
  llvm::LLVMContext context;
  std::unique_ptr<llvm::Module> code = translateFor(*machine, module, context);
  if (!code)
    return failure();
  for (llvm::Function &function : *code)
    if (!function.isDeclaration()) {
      function.addFnAttr("no-builtins");
      function.addFnAttr(llvm::Attribute::NoUnwind);
    }
  optimize(*code, *machine);
  if (options.emit == EmitKind::LLVM) {
    code->print(out, nullptr);
    return success();
  }
  if (!emitFile(*code, *machine, llvm::CodeGenFileType::AssemblyFile, out))
    return module.emitError("the target cannot emit this kind of file");
  return success();
}
