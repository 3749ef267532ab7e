// RUN: fleet-opt %s --fleet-form-tasks | FileCheck %s

// Two layers of one body; a norm is part of the contraction that uses it, the epilogue as well.
// CHECK: func.func private @task_0({{.*}}) -> tensor<2x16xf32> attributes {fleet.body}
// CHECK: fleet.gather
// CHECK: func.func private @task_1({{.*}}) -> tensor<2x16xf32> attributes {fleet.body}
// CHECK: fleet.rms_norm
// CHECK: linalg.matmul
// CHECK: arith.addf
// CHECK: return
// CHECK: func.func private @task_2({{.*}}) -> tensor<2xi32> attributes {fleet.body}
// CHECK: fleet.argmax
// CHECK-NOT: func.func private

// CHECK: func.func @step(%[[TOK:[a-z0-9]*]]: tensor<2xi32>
// CHECK-NEXT: %[[E:.*]] = fleet.param ["embed"]
// CHECK-NEXT: %[[N:.*]] = fleet.param ["norm"]
// CHECK-NEXT: %[[W0:.*]] = fleet.param ["w0"]
// CHECK-NEXT: %[[W1:.*]] = fleet.param ["w1"]
// CHECK-NEXT: %[[T0:.*]] = fleet.task 0 @task_0(%[[E]], %[[TOK]])
// CHECK-NEXT: %[[T1:.*]] = fleet.task 1 @task_1(%[[T0]], %[[N]], %[[W0]])
// CHECK-NEXT: %[[T2:.*]] = fleet.task 2 @task_1(%[[T1]], %[[N]], %[[W1]])
// CHECK-NEXT: %[[T3:.*]] = fleet.task 3 @task_2(%[[T2]])
// CHECK-NEXT: return %[[T2]], %[[T3]]
#id = affine_map<(d0, d1) -> (d0, d1)>
func.func @step(%tokens: tensor<2xi32>) -> (tensor<2x16xf32>, tensor<2xi32>) {
  %zero = arith.constant 0.0 : f32
  %embed = fleet.param ["embed"] : tensor<9x16xf32>
  %norm = fleet.param ["norm"] : tensor<16xf32>
  %w0 = fleet.param ["w0"] : tensor<16x16xf32>
  %w1 = fleet.param ["w1"] : tensor<16x16xf32>
  %unused = fleet.param ["unused"] : tensor<16xf32>
  %e = tensor.empty() : tensor<2x16xf32>
  %t = tensor.empty() : tensor<16x16xf32>
  %i = tensor.empty() : tensor<2xi32>
  %x = fleet.gather ins(%embed, %tokens : tensor<9x16xf32>, tensor<2xi32>) outs(%e : tensor<2x16xf32>) -> tensor<2x16xf32>
  %acc = linalg.fill ins(%zero : f32) outs(%e : tensor<2x16xf32>) -> tensor<2x16xf32>
  %0 = fleet.rms_norm ins(%x, %norm : tensor<2x16xf32>, tensor<16xf32>) outs(%e : tensor<2x16xf32>) {eps = 0.125 : f64} -> tensor<2x16xf32>
  %1 = linalg.transpose ins(%w0 : tensor<16x16xf32>) outs(%t : tensor<16x16xf32>) permutation = [1, 0]
  %2 = linalg.matmul ins(%0, %1 : tensor<2x16xf32>, tensor<16x16xf32>) outs(%acc : tensor<2x16xf32>) -> tensor<2x16xf32>
  %3 = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%x, %2 : tensor<2x16xf32>, tensor<2x16xf32>) outs(%e : tensor<2x16xf32>) {
  ^bb0(%a: f32, %b: f32, %out: f32):
    %s = arith.addf %a, %b : f32
    linalg.yield %s : f32
  } -> tensor<2x16xf32>
  %4 = fleet.rms_norm ins(%3, %norm : tensor<2x16xf32>, tensor<16xf32>) outs(%e : tensor<2x16xf32>) {eps = 0.125 : f64} -> tensor<2x16xf32>
  %5 = linalg.transpose ins(%w1 : tensor<16x16xf32>) outs(%t : tensor<16x16xf32>) permutation = [1, 0]
  %6 = linalg.matmul ins(%4, %5 : tensor<2x16xf32>, tensor<16x16xf32>) outs(%acc : tensor<2x16xf32>) -> tensor<2x16xf32>
  %7 = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%3, %6 : tensor<2x16xf32>, tensor<2x16xf32>) outs(%e : tensor<2x16xf32>) {
  ^bb0(%a: f32, %b: f32, %out: f32):
    %s = arith.addf %a, %b : f32
    linalg.yield %s : f32
  } -> tensor<2x16xf32>
  %8 = fleet.argmax ins(%7 : tensor<2x16xf32>) outs(%i : tensor<2xi32>) -> tensor<2xi32>
  return %7, %8 : tensor<2x16xf32>, tensor<2xi32>
}
