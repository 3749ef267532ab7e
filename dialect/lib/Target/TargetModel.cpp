//===- TargetModel.cpp - Predefined targets ---------------------*- C++ -*-===//
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fleet/Target/TargetModel.h"

using namespace mlir;
using namespace mlir::fleet;

namespace {
struct Facts {
  StringRef name;
  Backend backend;
  int64_t chiplets, workers, lds, l2, hbmGbs, tile;
  int64_t units = 0, simds = 0, registers = 0, waves = 0;
};
} // namespace

// Chip facts are the vendors' (AMD CDNA 3 and CDNA 4 white papers, NVIDIA H200
// data sheet). The cpu target is one worker; its lds is a share of an L2 cache.
static constexpr Facts kTargets[] = {
    {"cpu", Backend::LLVM, 1, 1, 1 << 20, 2 << 20, 16, 64},
    {"gfx942", Backend::ROCDL, 8, 38, 64 << 10, 4 << 20, 5300, 16, 38, 4, 512, 8},
    {"gfx950", Backend::ROCDL, 8, 32, 160 << 10, 4 << 20, 8000, 16, 32, 4, 512, 8},
    {"sm_90a", Backend::NVVM, 1, 132, 227 << 10, 50 << 20, 4800, 16},
};
static constexpr StringRef kNames[] = {"cpu", "gfx942", "gfx950", "sm_90a"};

TargetAttr mlir::fleet::getPredefinedTarget(MLIRContext *context, StringRef name) {
  for (const Facts &f : kTargets)
    if (f.name == name)
      return TargetAttr::get(context, f.name, f.backend, f.chiplets, f.workers, f.lds, f.l2,
                             f.hbmGbs, f.tile, f.units, f.simds, f.registers, f.waves);
  return nullptr;
}

ArrayRef<StringRef> mlir::fleet::getPredefinedTargetNames() { return kNames; }

WideLeft mlir::fleet::getWideLeft(Backend backend) {
  // Of few rows both parts are one mma of 8 rows, and shared memory has room for them beside the ring of weights;
  // beyond, one each. With 32 rows 4 warps read the same weights, and more would read shared memory longer than the
  // weights take to come. Splitting deeper ones cost more time than the rest of what this does.
  if (backend == Backend::NVVM)
    return {32, 8192};
  return {};
}
