// RUN: fleet-opt %s --fleet-cpu-vectorize-elementwise -split-input-file -verify-diagnostics

func.func @value(%x: tensor<2x8xf32>, %y: tensor<2x8xf32>) -> tensor<2x8xf32> {
  // expected-error @+1 {{'linalg.exp' op expected an operation on buffers, found tensors}}
  %0 = linalg.exp ins(%x : tensor<2x8xf32>) outs(%y : tensor<2x8xf32>) -> tensor<2x8xf32>
  return %0 : tensor<2x8xf32>
}
