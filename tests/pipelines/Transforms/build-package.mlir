// RUN: fleet-opt %s --fleet-build-package -split-input-file -verify-diagnostics | FileCheck %s

// The manifest moves from the module to the package.
// CHECK: module attributes {fleet.target = {{[^{}]*}}} {
// CHECK: llvm.func @fleet_step()
// CHECK: fleet.package @fleet_step {format = "embedded-elf", manifest = {tokens = 4 : i64}}
module attributes {fleet.manifest = {tokens = 4 : i64}, fleet.target = #fleet.target<"cpu", backend = llvm, chiplets = 1, workers = 1, lds = 1, l2 = 1, hbm_gbs = 1, tile = 1>} {
  llvm.func @fleet_step() {
    llvm.return
  }
}

// -----

// CHECK: fleet.package @fleet_step {format = "rocm-hsaco-fb"
module attributes {fleet.manifest = {tokens = 4 : i64}, fleet.target = #fleet.target<"gfx950", backend = rocdl, chiplets = 1, workers = 1, lds = 1, l2 = 1, hbm_gbs = 1, tile = 1>} {
  llvm.func @fleet_step() {
    llvm.return
  }
}

// -----

// CHECK: fleet.package @fleet_step {format = "cuda-nvptx-fb"
module attributes {fleet.manifest = {tokens = 4 : i64}, fleet.target = #fleet.target<"sm_90a", backend = nvvm, chiplets = 1, workers = 1, lds = 1, l2 = 1, hbm_gbs = 1, tile = 1>} {
  llvm.func @fleet_step() {
    llvm.return
  }
}

// -----

// expected-error @+1 {{expected a module with a fleet.target, found none; run fleet-set-target}}
module attributes {fleet.manifest = {tokens = 4 : i64}} {
  llvm.func @fleet_step() {
    llvm.return
  }
}

// -----

// expected-error @+1 {{expected a function @fleet_step and a fleet.manifest}}
module attributes {fleet.manifest = {tokens = 4 : i64}} {}

// -----

// expected-error @+1 {{expected a function @fleet_step and a fleet.manifest}}
module {
  llvm.func @fleet_step() {
    llvm.return
  }
}
