//===- fleet-translate.cpp - LLVM dialect to object code
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fleet/InitAll.h"
#include "fleet/Target/HSACO.h"
#include "fleet/Target/PTX.h"
#include "fleet/Target/Translate.h"

#include "mlir/IR/MLIRContext.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Support/FileUtilities.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/InitLLVM.h"
#include "llvm/Support/SourceMgr.h"
#include "llvm/Support/ToolOutputFile.h"

using namespace mlir;
namespace cl = llvm::cl;

static cl::opt<std::string> input(cl::Positional, cl::desc("<module of the LLVM dialect>"),
                                  cl::init("-"));
static cl::opt<std::string> output("o", cl::desc("output file"), cl::init("-"));
static cl::opt<bool> toObject("to-object", cl::desc("emit code for a CPU"));
static cl::opt<bool> toHSACO("to-hsaco", cl::desc("emit a code object for an AMD GPU"));
static cl::opt<bool> toPTX("to-ptx", cl::desc("emit PTX for an NVIDIA GPU"));
static cl::opt<bool> toManifest("to-manifest", cl::desc("emit the manifest as JSON"));
static cl::opt<std::string> cpu("cpu", cl::desc("CPU name, or native; with --to-hsaco the chip (default: the module's)"), cl::init("native"));
static cl::opt<std::string> features("features", cl::desc("features on top of the CPU's"));
static cl::opt<fleet::EmitKind>
    emit("emit", cl::desc("kind of file"), cl::init(fleet::EmitKind::Object),
         cl::values(clEnumValN(fleet::EmitKind::Object, "obj", "object file"),
                    clEnumValN(fleet::EmitKind::Assembly, "asm", "assembly"),
                    clEnumValN(fleet::EmitKind::LLVM, "llvm", "optimised LLVM IR")));

static int fail(const llvm::Twine &message) {
  llvm::errs() << "error: " << message << "\n";
  return 1;
}

int main(int argc, char **argv) {
  llvm::InitLLVM init(argc, argv);
  cl::ParseCommandLineOptions(argc, argv, "Fleet: LLVM dialect to object code\n");
  if (toObject + toHSACO + toPTX + toManifest != 1)
    return fail("expected one of --to-object, --to-hsaco, --to-ptx and --to-manifest");
  DialectRegistry registry;
  fleet::registerAllDialects(registry);
  MLIRContext context(registry);
  // The plan's attributes stay on the module; they mean nothing here.
  context.allowUnregisteredDialects();
  context.printOpOnDiagnostic(false);
  std::string error;
  auto buffer = openInputFile(input, &error);
  if (!buffer)
    return fail(error);
  llvm::SourceMgr manager;
  manager.AddNewSourceBuffer(std::move(buffer), llvm::SMLoc());
  SourceMgrDiagnosticHandler diagnostics(manager, &context);
  OwningOpRef<ModuleOp> module = parseSourceFile<ModuleOp>(manager, &context);
  if (!module)
    return 1;
  auto file = openOutputFile(output, &error);
  if (!file)
    return fail(error);
  SmallVector<char> code;
  llvm::raw_svector_ostream stream(code);
  LogicalResult done = success();
  if (toManifest)
    done = fleet::translateToManifest(*module, stream);
  else if (toHSACO)
    done = fleet::translateToHSACO(*module, {emit, cpu == "native" ? "" : cpu.getValue()}, stream);
  else if (toPTX)
    done = fleet::translateToPTX(*module, {emit, cpu == "native" ? "" : cpu.getValue()}, stream);
  else
    done = fleet::translateToObject(*module, {emit, cpu, features}, stream);
  if (failed(done))
    return 1;
  file->os() << stream.str();
  file->keep();
  return 0;
}
