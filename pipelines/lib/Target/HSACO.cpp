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
#include "llvm/BinaryFormat/MsgPackDocument.h"
#include "llvm/IR/Module.h"
#include "llvm/MC/MCSubtargetInfo.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Object/ELF.h"
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
  LLVMInitializeAMDGPUAsmParser(); // of what the kernel writes out
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

namespace {
/// What a kernel takes of a compute unit, as its descriptor and its metadata say.
struct Resources {
  uint64_t scratch = 0, lds = 0, registers = 0, threads = 0, wave = 0;
  uint64_t waves() const { return llvm::divideCeil(threads, wave); }
};
} // namespace

/// Registers of a wave are given out in groups of this size.
static constexpr uint64_t kRegisterGranule = 8;

/// The registers that a wave gets, which may be more than it needs: the
/// descriptor is at the symbol `<kernel>.kd`.
static uint64_t readRegisters(StringRef object) {
  auto file = llvm::object::ObjectFile::createObjectFile(llvm::MemoryBufferRef(object, "hsaco"));
  if (!file) {
    llvm::consumeError(file.takeError());
    return 0;
  }
  for (const llvm::object::SymbolRef &symbol : (*file)->symbols()) {
    auto name = llvm::expectedToOptional(symbol.getName());
    auto address = llvm::expectedToOptional(symbol.getAddress());
    auto section = llvm::expectedToOptional(symbol.getSection());
    if (!name || !address || !section || !name->ends_with(".kd") || *section == (*file)->section_end())
      continue;
    auto contents = llvm::expectedToOptional((*section)->getContents());
    uint64_t at = *address - (*section)->getAddress();
    llvm::amdhsa::kernel_descriptor_t kernel;
    if (!contents || contents->size() < at + sizeof(kernel))
      continue;
    std::memcpy(&kernel, contents->data() + at, sizeof(kernel));
    return (AMDHSA_BITS_GET(kernel.compute_pgm_rsrc1,
                            llvm::amdhsa::COMPUTE_PGM_RSRC1_GRANULATED_WORKITEM_VGPR_COUNT) +
            1) *
           kRegisterGranule;
  }
  return 0;
}

/// The only kernel's descriptor and metadata, a MessagePack document in a note.
static std::optional<Resources> readResources(StringRef object) {
  using llvm::object::ELF64LE;
  auto file = llvm::object::ELFFile<ELF64LE>::create(object);
  if (!file) {
    llvm::consumeError(file.takeError());
    return std::nullopt;
  }
  auto sections = file->sections();
  if (!sections) {
    llvm::consumeError(sections.takeError());
    return std::nullopt;
  }
  std::optional<Resources> result;
  for (const ELF64LE::Shdr &section : *sections) {
    if (section.sh_type != llvm::ELF::SHT_NOTE)
      continue;
    llvm::Error error = llvm::Error::success();
    for (const ELF64LE::Note &note : file->notes(section, error)) {
      llvm::msgpack::Document document;
      if (note.getType() != llvm::ELF::NT_AMDGPU_METADATA ||
          !document.readFromBlob(note.getDescAsStringRef(section.sh_addralign), /*Multi=*/false))
        continue;
      auto &kernels = document.getRoot().getMap(/*Convert=*/true)["amdhsa.kernels"].getArray(/*Convert=*/true);
      if (kernels.size() != 1)
        continue;
      auto &kernel = kernels[0].getMap(/*Convert=*/true);
      auto number = [&](StringRef name) -> uint64_t {
        llvm::msgpack::DocNode node = kernel[name];
        return node.getKind() == llvm::msgpack::Type::UInt ? node.getUInt() : 0;
      };
      result = Resources{number(".private_segment_fixed_size"), number(".group_segment_fixed_size"),
                         readRegisters(object), number(".max_flat_workgroup_size"),
                         number(".wavefront_size")};
    }
    llvm::consumeError(std::move(error));
  }
  return result && result->wave && result->registers ? result : std::nullopt;
}

/// All workgroups must be on the chip at once: what the linked kernel takes of a
/// compute unit has to be there, and the units of a chiplet hold all its workers.
/// The kernel's own memory (scratch) would be main memory, behind the back of the plan.
static LogicalResult checkResources(ModuleOp module, StringRef object) {
  std::optional<Resources> kernel = readResources(object);
  if (!kernel)
    return module.emitError("cannot read the metadata of the linked kernel");
  if (kernel->scratch)
    return module.emitError() << "expected a kernel whose values fit in registers, found " << kernel->scratch
                              << " bytes of memory a thread: choose a smaller number of rows per step";
  auto target = module->getAttrOfType<fleet::TargetAttr>("fleet.target");
  if (!target)
    return success();
  if (kernel->lds > static_cast<uint64_t>(target.getLds()))
    return module.emitError() << "expected a kernel with at most " << target.getLds()
                              << " bytes of LDS, so that all its workgroups are resident, found "
                              << kernel->lds << ": choose a smaller number of rows per step";
  if (!target.getUnits())
    return success();
  uint64_t simds = target.getSimds(), registers = target.getRegisters(), waves = target.getWaves();
  if (kernel->waves() > simds * waves)
    return module.emitError() << "expected a workgroup of at most " << simds * waves
                              << " waves, so that it is resident on a unit, found " << kernel->waves();
  uint64_t byRegisters = simds * std::min(waves, registers / kernel->registers);
  if (kernel->waves() > byRegisters)
    return module.emitError() << "expected a kernel whose workgroup of " << kernel->waves()
                              << " waves is resident on a unit of " << simds << " SIMDs with " << registers
                              << " registers a lane, found " << kernel->registers
                              << " registers a wave: choose a smaller number of rows per step";
  uint64_t groups = byRegisters / kernel->waves();
  if (kernel->lds)
    groups = std::min<uint64_t>(groups, target.getLds() / kernel->lds);
  uint64_t room = groups * target.getUnits();
  if (static_cast<uint64_t>(target.getWorkers()) > room)
    return module.emitError() << "expected at most " << room << " workers of a chiplet, so that all are resident on its "
                              << target.getUnits() << " units, found " << target.getWorkers()
                              << ": choose a target with fewer workers";
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
