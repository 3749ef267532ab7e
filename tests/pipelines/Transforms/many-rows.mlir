// From 8 rows on, for an NVIDIA chip, norms that contractions read are tasks of their own, and so is a gather of their rows.
// RUN: fleet-opt %s --fleet-set-target=target=sm_90a --fleet-form-tasks --fleet-cut-chiplets | FileCheck %s
// RUN: fleet-opt %s --fleet-set-target=target=gfx950 --fleet-form-tasks | FileCheck %s --check-prefix=OTHER

// CHECK: func.func private @task_0
// CHECK-NEXT: tensor.empty
// CHECK-NEXT: fleet.rms_norm
// CHECK-NEXT: return
// CHECK: func.func private @task_1
// CHECK-NEXT: tensor.empty
// CHECK-NEXT: fleet.gather
// CHECK-NEXT: return
// CHECK: func.func private @task_2
// CHECK-NOT: fleet.rms_norm
// CHECK: linalg.matmul
// CHECK: func.func private @task_3
// CHECK: fleet.argmax
// A tile is a row; a contraction's is 16 columns.
// CHECK: fleet.task 0 @task_0({{.*}}) partition <heads, tiles = 9, size = 1>
// CHECK: fleet.task 1 @task_1({{.*}}) partition <heads, tiles = 8, size = 1>
// CHECK: fleet.task 2 @task_2({{.*}}) partition <columns, tiles = 2, size = 16>
// CHECK: fleet.task 3 @task_3({{.*}}) partition <heads, tiles = 8, size = 1>

// OTHER: func.func private @task_0
// OTHER: fleet.rms_norm
// OTHER: fleet.gather
// OTHER: linalg.matmul
// OTHER: return
func.func @step(%x: tensor<9x16xf32>, %rows: tensor<8xi32>) -> (tensor<8x32xf32>, tensor<8xi32>) {
  %zero = arith.constant 0.0 : f32
  %norm = fleet.param ["norm"] : tensor<16xf32>
  %w = fleet.param ["w"] : tensor<32x16xf32>
  %e = tensor.empty() : tensor<9x16xf32>
  %g = tensor.empty() : tensor<8x16xf32>
  %t = tensor.empty() : tensor<16x32xf32>
  %y = tensor.empty() : tensor<8x32xf32>
  %i = tensor.empty() : tensor<8xi32>
  %0 = fleet.rms_norm ins(%x, %norm : tensor<9x16xf32>, tensor<16xf32>) outs(%e : tensor<9x16xf32>) {eps = 0.125 : f64} -> tensor<9x16xf32>
  %1 = fleet.gather ins(%0, %rows : tensor<9x16xf32>, tensor<8xi32>) outs(%g : tensor<8x16xf32>) -> tensor<8x16xf32>
  %2 = linalg.transpose ins(%w : tensor<32x16xf32>) outs(%t : tensor<16x32xf32>) permutation = [1, 0]
  %acc = linalg.fill ins(%zero : f32) outs(%y : tensor<8x32xf32>) -> tensor<8x32xf32>
  %3 = linalg.matmul ins(%1, %2 : tensor<8x16xf32>, tensor<16x32xf32>) outs(%acc : tensor<8x32xf32>) -> tensor<8x32xf32>
  %4 = fleet.argmax ins(%3 : tensor<8x32xf32>) outs(%i : tensor<8xi32>) -> tensor<8xi32>
  return %3, %4 : tensor<8x32xf32>, tensor<8xi32>
}
