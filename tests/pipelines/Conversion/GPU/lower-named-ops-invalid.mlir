// RUN: fleet-opt %s --pass-pipeline="builtin.module(gpu.module(fleet-gpu-lower-named-ops))" -split-input-file -verify-diagnostics

gpu.module @fleet {
  func.func @strided(%x: memref<1x8xf32, strided<[16, 2]>>, %y: memref<1xi32>) {
    // expected-error @+1 {{expected buffers contiguous in the last dimension, found 'memref<1x8xf32, strided<[16, 2]>>'}}
    fleet.argmax ins(%x : memref<1x8xf32, strided<[16, 2]>>) outs(%y : memref<1xi32>)
    return
  }
}
