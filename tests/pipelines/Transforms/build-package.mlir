// RUN: fleet-opt %s --fleet-build-package -split-input-file -verify-diagnostics | FileCheck %s

// The manifest moves from the module to the package.
// CHECK: module {
// CHECK: llvm.func @fleet_step()
// CHECK: fleet.package @fleet_step {format = "embedded-elf", manifest = {tokens = 4 : i64}}
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
