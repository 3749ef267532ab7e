// RUN: fleet-opt %s --fleet-gpu-finalize-llvm -split-input-file -verify-diagnostics | FileCheck %s

// CHECK: module
// CHECK-NOT: gpu.module
// CHECK: llvm.mlir.global internal constant @table
// CHECK: llvm.func internal @body() attributes {always_inline, convergent}
// CHECK: llvm.func @fleet_step()
module attributes {gpu.container_module} {
  gpu.module @fleet {
    llvm.mlir.global private constant @table(dense<0> : tensor<4xi32>) {addr_space = 1 : i32} : !llvm.array<4 x i32>
    llvm.func @body() {
      llvm.return
    }
    llvm.func @fleet_step() {
      llvm.call @body() : () -> ()
      llvm.return
    }
  }
}

// -----

// expected-error @+1 {{expected one gpu.module, found 0}}
module {}

// -----

gpu.module @fleet {
  llvm.func @body(%x: f32) {
    // expected-error @+1 {{cannot be lowered to the LLVM dialect}}
    %0 = math.tanh %x : f32
    llvm.return
  }
}
