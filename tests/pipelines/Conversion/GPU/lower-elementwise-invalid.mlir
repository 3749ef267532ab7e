// RUN: fleet-opt %s --pass-pipeline="builtin.module(gpu.module(fleet-gpu-lower-elementwise))" -split-input-file -verify-diagnostics

gpu.module @fleet {
  func.func @dynamic(%x: memref<?xf32>) {
    %cst = arith.constant 0.0 : f32
    // expected-error @+1 {{expected buffers of static shape, each indexed by loops in any order, found 'f32', 'memref<?xf32>'}}
    linalg.fill ins(%cst : f32) outs(%x : memref<?xf32>)
    return
  }
}

// -----

gpu.module @fleet {
  func.func @tensor(%x: tensor<4xf32>) -> tensor<4xf32> {
    %cst = arith.constant 0.0 : f32
    // expected-error @+1 {{expected buffers of static shape, each indexed by loops in any order, found 'f32', 'tensor<4xf32>'}}
    %0 = linalg.fill ins(%cst : f32) outs(%x : tensor<4xf32>) -> tensor<4xf32>
    return %0 : tensor<4xf32>
  }
}
