//===- HSACO.cpp - LLVM dialect to an AMD code object
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Emit.h"

#include "fleet/Target/HSACO.h"
#include "fleet/IR/Fleet.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "llvm/IR/Module.h"
#include "llvm/MC/MCSubtargetInfo.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Object/ObjectFile.h"
#include "llvm/Support/AMDHSAKernelDescriptor.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FileUtilities.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Program.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Target/TargetMachine.h"

using namespace mlir;

/// Version 5: what ROCm 6 and later load, and what IREE packs.
static constexpr uint32_t kCodeObjectVersion = 500;

static std::unique_ptr<llvm::TargetMachine> makeTargetMachine(StringRef chip, std::string &error) {
  LLVMInitializeAMDGPUTargetInfo();
  LLVMInitializeAMDGPUTarget();
  LLVMInitializeAMDGPUTargetMC();
  LLVMInitializeAMDGPUAsmPrinter();
  llvm::Triple triple("amdgcn-amd-amdhsa");
  const llvm::Target *target = llvm::TargetRegistry::lookupTarget(triple, error);
  if (!target)
    return nullptr;
  std::unique_ptr<llvm::TargetMachine> machine(
      target->createTargetMachine(triple, chip, "", llvm::TargetOptions(), llvm::Reloc::PIC_,
                                  std::nullopt, llvm::CodeGenOptLevel::Aggressive));
  if (machine && !machine->getMCSubtargetInfo()->isCPUStringValid(chip)) {
    error = ("unknown chip '" + chip + "'").str();
    return nullptr;
  }
  return machine;
}

/// The kernel takes a CU for itself: one wave a SIMD, all registers its own.
static void describeKernel(llvm::Module &code) {
  for (llvm::Function &function : code) {
    if (function.isDeclaration())
      continue;
    function.addFnAttr("no-builtins");
    function.addFnAttr("uniform-work-group-size", "true");
    function.addFnAttr("amdgpu-waves-per-eu", "1,1");
    function.addFnAttr(llvm::Attribute::NoUnwind);
  }
  code.addModuleFlag(llvm::Module::Error, "amdhsa_code_object_version", kCodeObjectVersion);
}

namespace {
/// Without MachineLICM, which takes constants and addresses of all bodies out of
/// the walk of the queue and spills scalar registers for it; what matters inside
/// a body was moved before. It can be switched off for a process only.
struct WithoutMachineLICM {
  WithoutMachineLICM() {
    auto &options = llvm::cl::getRegisteredOptions();
    auto it = options.find("disable-machine-licm");
    if (it == options.end())
      return;
    option = static_cast<llvm::cl::opt<bool> *>(it->second);
    before = *option;
    option->setValue(true);
  }
  ~WithoutMachineLICM() {
    if (option)
      option->setValue(before);
  }
  llvm::cl::opt<bool> *option = nullptr;
  bool before = false;
};
} // namespace

static LogicalResult link(ModuleOp module, StringRef object, llvm::raw_pwrite_stream &out) {
  llvm::ErrorOr<std::string> linker = llvm::sys::findProgramByName("ld.lld");
  if (!linker)
    return module.emitError("cannot link the code object: ld.lld is not on the path");
  SmallString<128> from, to;
  int fd = 0;
  if (llvm::sys::fs::createTemporaryFile("fleet", "o", fd, from) ||
      llvm::sys::fs::createTemporaryFile("fleet", "hsaco", to))
    return module.emitError("cannot link the code object: no temporary file");
  llvm::FileRemover removeFrom(from), removeTo(to);
  llvm::raw_fd_ostream(fd, /*shouldClose=*/true) << object;
  std::string error;
  StringRef arguments[] = {*linker, "-shared", "--no-undefined", from, "-o", to};
  if (llvm::sys::ExecuteAndWait(*linker, arguments, std::nullopt, {}, 0, 0, &error))
    return module.emitError() << "cannot link the code object" << (error.empty() ? "" : ": ")
                              << error;
  auto linked = llvm::MemoryBuffer::getFile(to, /*IsText=*/false,
                                            /*RequiresNullTerminator=*/false);
  if (!linked)
    return module.emitError("cannot read the linked code object");
  out << (*linked)->getBuffer();
  return success();
}

/// All workgroups must be on the chip at once, one on each compute unit: what the
/// linked kernel takes of a unit has to be there. Its own memory (scratch) would
/// be main memory, behind the back of the plan.
static LogicalResult checkResources(ModuleOp module, StringRef object) {
  auto file = llvm::object::ObjectFile::createObjectFile(llvm::MemoryBufferRef(object, "hsaco"));
  if (!file)
    return module.emitError() << "cannot read the linked code object: " << llvm::toString(file.takeError());
  auto target = module->getAttrOfType<fleet::TargetAttr>("fleet.target");
  for (const llvm::object::SymbolRef &symbol : (*file)->symbols()) {
    auto name = symbol.getName();
    auto address = symbol.getAddress();
    auto section = symbol.getSection();
    if (!name || !address || !section || !name->ends_with(".kd") || *section == (*file)->section_end()) {
      llvm::consumeError(name.takeError());
      llvm::consumeError(address.takeError());
      llvm::consumeError(section.takeError());
      continue;
    }
    auto contents = (*section)->getContents();
    uint64_t at = *address - (*section)->getAddress();
    if (!contents || contents->size() < at + sizeof(llvm::amdhsa::kernel_descriptor_t)) {
      llvm::consumeError(contents.takeError());
      return module.emitError("cannot read the linked kernel's descriptor");
    }
    llvm::amdhsa::kernel_descriptor_t kernel;
    std::memcpy(&kernel, contents->data() + at, sizeof(kernel));
    if (kernel.private_segment_fixed_size)
      return module.emitError() << "expected a kernel whose values fit in registers, found "
                                << kernel.private_segment_fixed_size
                                << " bytes of memory a thread: choose a smaller number of rows per step";
    if (target && kernel.group_segment_fixed_size > target.getLds())
      return module.emitError() << "expected a kernel with at most " << target.getLds()
                                << " bytes of LDS, so that all its workgroups are resident, found "
                                << kernel.group_segment_fixed_size
                                << ": choose a smaller number of rows per step";
  }
  return success();
}

LogicalResult mlir::fleet::translateToHSACO(ModuleOp module, const HSACOOptions &options,
                                            llvm::raw_pwrite_stream &out) {
  std::string chip = options.chip, error;
  if (chip.empty()) {
    auto target = module->getAttrOfType<fleet::TargetAttr>("fleet.target");
    if (!target || target.getBackend() != Backend::ROCDL)
      return module.emitError("expected a module with an AMD target, or a chip by name");
    chip = target.getName().str();
  }
  std::unique_ptr<llvm::TargetMachine> machine = makeTargetMachine(chip, error);
  if (!machine)
    return module.emitError() << "cannot emit code: " << error;
  llvm::LLVMContext context;
  std::unique_ptr<llvm::Module> code = translateFor(*machine, module, context);
  if (!code)
    return failure();
  describeKernel(*code);

  optimize(*code, *machine);
  if (options.emit == EmitKind::LLVM) {
    code->print(out, nullptr);
    return success();
  }

  SmallVector<char> buffer;
  llvm::raw_svector_ostream stream(buffer);
  bool isObject = options.emit == EmitKind::Object;
  WithoutMachineLICM withoutHoisting;
  if (!emitFile(*code, *machine,
                isObject ? llvm::CodeGenFileType::ObjectFile : llvm::CodeGenFileType::AssemblyFile, stream))
    return module.emitError("the target cannot emit this kind of file");
  if (!isObject) {
    out << stream.str();
    return success();
  }
  SmallVector<char> linked;
  llvm::raw_svector_ostream linkedStream(linked);
  if (failed(link(module, stream.str(), linkedStream)) || failed(checkResources(module, linkedStream.str())))
    return failure();
  out << linkedStream.str();
  return success();
}
