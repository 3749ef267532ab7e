//===- Manifest.cpp
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fleet/IR/Fleet.h"
#include "fleet/Target/Translate.h"

#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/TypeSwitch.h"
#include "llvm/Support/JSON.h"

using namespace mlir;

static llvm::json::Value toJson(Attribute attribute) {
  return llvm::TypeSwitch<Attribute, llvm::json::Value>(attribute)
      .Case([](DictionaryAttr dict) {
        llvm::json::Object object;
        for (NamedAttribute entry : dict)
          object[entry.getName().getValue()] = toJson(entry.getValue());
        return llvm::json::Value(std::move(object));
      })
      .Case([](ArrayAttr array) {
        llvm::json::Array list;
        for (Attribute entry : array)
          list.push_back(toJson(entry));
        return llvm::json::Value(std::move(list));
      })
      .Case([](IntegerAttr integer) { return llvm::json::Value(integer.getInt()); })
      .Case([](StringAttr string) { return llvm::json::Value(string.getValue()); })
      .Default([](Attribute) { return llvm::json::Value(nullptr); });
}

LogicalResult mlir::fleet::translateToManifest(ModuleOp module, llvm::raw_ostream &output) {
  auto manifest = module->getAttrOfType<DictionaryAttr>("fleet.manifest");
  for (auto package : module.getOps<PackageOp>())
    manifest = package.getManifest();
  if (!manifest)
    return module.emitError("expected a module with a manifest (phase memory or later), found none");
  output << llvm::formatv("{0:2}", toJson(manifest)) << "\n";
  return success();
}
