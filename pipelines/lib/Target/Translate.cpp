//===- Translate.cpp - LLVM dialect to object code
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Emit.h"

#include "fleet/Target/Translate.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Target/LLVMIR/Dialect/Builtin/BuiltinToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/LLVMIR/LLVMToLLVMIRTranslation.h"
#include "llvm/IR/Module.h"
#include "llvm/MC/MCSubtargetInfo.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Object/ObjectFile.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Target/TargetMachine.h"
#include "llvm/TargetParser/Host.h"
#include "llvm/TargetParser/SubtargetFeature.h"

using namespace mlir;

void mlir::fleet::registerTranslationDialects(DialectRegistry &registry) {
  registry.insert<LLVM::LLVMDialect>();
  registerBuiltinDialectTranslation(registry);
  registerLLVMDialectTranslation(registry);
}

static std::unique_ptr<llvm::TargetMachine> makeTargetMachine(const fleet::ObjectOptions &options,
                                                              std::string &error) {
  llvm::InitializeNativeTarget();
  llvm::InitializeNativeTargetAsmPrinter();
  llvm::InitializeNativeTargetAsmParser();
  llvm::Triple triple(llvm::sys::getProcessTriple());
  const llvm::Target *target = llvm::TargetRegistry::lookupTarget(triple, error);
  if (!target)
    return nullptr;
  std::string cpu = options.cpu;
  llvm::SubtargetFeatures features;
  if (cpu == "native") {
    cpu = llvm::sys::getHostCPUName().str();
    for (auto &[name, enabled] : llvm::sys::getHostCPUFeatures())
      features.AddFeature(name, enabled);
  }
  SmallVector<StringRef> more;
  StringRef(options.features).split(more, ',', -1, /*KeepEmpty=*/false);
  for (StringRef feature : more)
    features.AddFeature(feature.trim());
  std::unique_ptr<llvm::TargetMachine> machine(
      target->createTargetMachine(triple, cpu, features.getString(), llvm::TargetOptions(),
                                  llvm::Reloc::PIC_, llvm::CodeModel::Small,
                                  llvm::CodeGenOptLevel::Aggressive));
  if (machine && !machine->getMCSubtargetInfo()->isCPUStringValid(cpu)) {
    error = "unknown cpu '" + cpu + "'";
    return nullptr;
  }
  return machine;
}

/// Nothing resolves symbols where the object runs.
static LogicalResult checkSelfContained(ModuleOp module, StringRef object) {
  auto file = llvm::object::ObjectFile::createObjectFile(llvm::MemoryBufferRef(object, "object"));
  if (!file)
    return module.emitError() << "cannot read the emitted object: "
                              << llvm::toString(file.takeError());
  for (const llvm::object::SymbolRef &symbol : (*file)->symbols()) {
    llvm::Expected<uint32_t> flags = symbol.getFlags();
    llvm::Expected<StringRef> name = symbol.getName();
    if (!flags || !name) {
      llvm::consumeError(flags.takeError());
      llvm::consumeError(name.takeError());
      continue;
    }
    if ((*flags & llvm::object::SymbolRef::SF_Undefined) && !name->empty())
      return module.emitError() << "the object needs the undefined symbol '" << *name << "'";
  }
  return success();
}

LogicalResult mlir::fleet::translateToObject(ModuleOp module, const ObjectOptions &options,
                                             llvm::raw_pwrite_stream &out) {
  std::string error;
  std::unique_ptr<llvm::TargetMachine> machine = makeTargetMachine(options, error);
  if (!machine)
    return module.emitError() << "cannot emit code: " << error;
  llvm::LLVMContext context;
  std::unique_ptr<llvm::Module> code = translateFor(*machine, module, context);
  if (!code)
    return failure();
  code->setPICLevel(llvm::PICLevel::BigPIC);
  for (llvm::Function &function : *code) {
    if (function.isDeclaration())
      continue;
    function.addFnAttr("no-builtins");
    function.addFnAttr("prefer-vector-width", "512");
    function.addFnAttr("target-cpu", machine->getTargetCPU());
    function.addFnAttr("target-features", machine->getTargetFeatureString());
    function.addFnAttr(llvm::Attribute::NoUnwind);
  }

  optimize(*code, *machine);
  if (options.emit == EmitKind::LLVM) {
    code->print(out, nullptr);
    return success();
  }

  SmallVector<char> buffer;
  llvm::raw_svector_ostream stream(buffer);
  bool isObject = options.emit == EmitKind::Object;
  if (!emitFile(*code, *machine,
                isObject ? llvm::CodeGenFileType::ObjectFile : llvm::CodeGenFileType::AssemblyFile, stream))
    return module.emitError("the target cannot emit this kind of file");
  if (isObject && failed(checkSelfContained(module, stream.str())))
    return failure();
  out << stream.str();
  return success();
}
