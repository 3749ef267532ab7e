// RUN: fleet-opt %s --fleet-tile-bodies -split-input-file -verify-diagnostics

// expected-error @+1 {{expected a result in destination style, found 'tensor.collapse_shape'}}
func.func private @view(%x: tensor<2x8xf32>) -> tensor<16xf32> {
  %0 = tensor.collapse_shape %x [[0, 1]] : tensor<2x8xf32> into tensor<16xf32>
  return %0 : tensor<16xf32>
}
func.func @step(%x: tensor<2x8xf32>) {
  %0 = fleet.task 0 @view(%x) partition <whole, tiles = 1, size = 16> : (tensor<2x8xf32>) -> tensor<16xf32>
  return
}

// -----

// Rows cannot be cut into columns.
// expected-error @+1 {{expected a body that can be tiled by the partition of its tasks}}
func.func private @rows(%x: tensor<2x8xf32>) -> tensor<2xi32> {
  %e = tensor.empty() : tensor<2xi32>
  %0 = fleet.argmax ins(%x : tensor<2x8xf32>) outs(%e : tensor<2xi32>) -> tensor<2xi32>
  return %0 : tensor<2xi32>
}
func.func @step(%x: tensor<2x8xf32>) {
  %0 = fleet.task 0 @rows(%x) partition <columns, tiles = 2, size = 1> : (tensor<2x8xf32>) -> tensor<2xi32>
  return
}

// -----

func.func private @twice(%x: tensor<2x16xf32>, %w: tensor<16x16xf32>) -> tensor<2x16xf32> {
  %e = tensor.empty() : tensor<2x16xf32>
  %et = tensor.empty() : tensor<16x16xf32>
  %t = linalg.transpose ins(%w : tensor<16x16xf32>) outs(%et : tensor<16x16xf32>) permutation = [1, 0]
  %0 = linalg.matmul ins(%x, %t : tensor<2x16xf32>, tensor<16x16xf32>) outs(%e : tensor<2x16xf32>) -> tensor<2x16xf32>
  // expected-error @+1 {{expected a weight to be used as a transposed tile, found 'linalg.matmul'}}
  %1 = linalg.matmul ins(%0, %w : tensor<2x16xf32>, tensor<16x16xf32>) outs(%e : tensor<2x16xf32>) -> tensor<2x16xf32>
  return %1 : tensor<2x16xf32>
}
func.func @step(%x: tensor<2x16xf32>) {
  %w = fleet.param ["w"] : tensor<16x16xf32>
  %0 = fleet.task 0 @twice(%x, %w) partition <columns, tiles = 1, size = 16> : (tensor<2x16xf32>, tensor<16x16xf32>) -> tensor<2x16xf32>
  return
}

// -----

func.func private @body(%x: tensor<2x16xf32>, %w: tensor<16x16xf32>) -> tensor<2x16xf32> {
  %e = tensor.empty() : tensor<2x16xf32>
  %et = tensor.empty() : tensor<16x16xf32>
  %t = linalg.transpose ins(%w : tensor<16x16xf32>) outs(%et : tensor<16x16xf32>) permutation = [1, 0]
  %0 = linalg.matmul ins(%x, %t : tensor<2x16xf32>, tensor<16x16xf32>) outs(%e : tensor<2x16xf32>) -> tensor<2x16xf32>
  return %0 : tensor<2x16xf32>
}
func.func @step(%x: tensor<2x16xf32>, %w: tensor<16x16xf32>) {
  // expected-error @+1 {{expected a parameter as the contraction's right side, found another value}}
  %0 = fleet.task 0 @body(%x, %w) partition <columns, tiles = 1, size = 16> : (tensor<2x16xf32>, tensor<16x16xf32>) -> tensor<2x16xf32>
  return
}

// -----

func.func private @declared(tensor<2xf32>) -> tensor<2xf32>
func.func @step(%x: tensor<2xf32>) {
  // expected-error @+1 {{expected a body @declared, found none}}
  %0 = fleet.task 0 @declared(%x) : (tensor<2xf32>) -> tensor<2xf32>
  return
}

// -----

func.func private @body(%x: tensor<2xf32>) -> tensor<2xf32> {
  return %x : tensor<2xf32>
}
func.func @step(%x: tensor<2xf32>) {
  // expected-error @+1 {{expected a task with a partition, found none}}
  %0 = fleet.task 0 @body(%x) : (tensor<2xf32>) -> tensor<2xf32>
  return
}
