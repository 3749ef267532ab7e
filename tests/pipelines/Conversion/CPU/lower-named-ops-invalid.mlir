// RUN: fleet-opt %s --fleet-cpu-lower-named-ops -split-input-file -verify-diagnostics

func.func @value(%x: tensor<2x8xf32>, %ids: tensor<2xi32>) -> tensor<2xi32> {
  // expected-error @+1 {{'fleet.argmax' op expected buffers contiguous in the last dimension, found 'tensor<2x8xf32>'}}
  %0 = fleet.argmax ins(%x : tensor<2x8xf32>) outs(%ids : tensor<2xi32>) -> tensor<2xi32>
  return %0 : tensor<2xi32>
}

// -----

func.func @strided(%x: memref<2x8xf32, strided<[16, 2]>>, %ids: memref<2xi32>) {
  // expected-error @+1 {{'fleet.argmax' op expected buffers contiguous in the last dimension, found 'memref<2x8xf32, strided<[16, 2]>>'}}
  fleet.argmax ins(%x : memref<2x8xf32, strided<[16, 2]>>) outs(%ids : memref<2xi32>)
  return
}
