// RUN: fleet-opt %s --fleet-merge-contractions --cse -split-input-file | FileCheck %s

// Q and K of one activation, each with its bias, are one contraction; the results are slices of it.
// CHECK-LABEL: func.func @step
// CHECK: %[[W:.*]] = fleet.param ["q", "k"] : tensor<48x16xf32>
// CHECK: %[[T:.*]] = linalg.transpose ins(%[[W]] : tensor<48x16xf32>)
// CHECK: %[[M:.*]] = linalg.matmul ins(%{{.*}}, %[[T]] : tensor<2x16xf32>, tensor<16x48xf32>)
// CHECK: %[[B:.*]] = fleet.param ["q.bias", "k.bias"] : tensor<48xf32>
// CHECK: %[[S:.*]] = linalg.generic {{.*}} ins(%[[M]], %[[B]] : tensor<2x48xf32>, tensor<48xf32>)
// CHECK: %[[Q:.*]] = tensor.extract_slice %[[S]][0, 0] [2, 32] [1, 1]
// CHECK: %[[K:.*]] = tensor.extract_slice %[[S]][0, 32] [2, 16] [1, 1]
// CHECK: return %[[Q]], %[[K]]
#id = affine_map<(d0, d1) -> (d0, d1)>
#vec = affine_map<(d0, d1) -> (d1)>
func.func @step(%x: tensor<2x16xf32>) -> (tensor<2x32xf32>, tensor<2x16xf32>) {
  %zero = arith.constant 0.0 : f32
  %wq = fleet.param ["q"] : tensor<32x16xf32>
  %wk = fleet.param ["k"] : tensor<16x16xf32>
  %bq = fleet.param ["q.bias"] : tensor<32xf32>
  %bk = fleet.param ["k.bias"] : tensor<16xf32>
  %tq = tensor.empty() : tensor<16x32xf32>
  %tk = tensor.empty() : tensor<16x16xf32>
  %eq = tensor.empty() : tensor<2x32xf32>
  %ek = tensor.empty() : tensor<2x16xf32>
  %0 = linalg.transpose ins(%wq : tensor<32x16xf32>) outs(%tq : tensor<16x32xf32>) permutation = [1, 0]
  %1 = linalg.fill ins(%zero : f32) outs(%eq : tensor<2x32xf32>) -> tensor<2x32xf32>
  %2 = linalg.matmul ins(%x, %0 : tensor<2x16xf32>, tensor<16x32xf32>) outs(%1 : tensor<2x32xf32>) -> tensor<2x32xf32>
  %q = linalg.generic {indexing_maps = [#id, #vec, #id], iterator_types = ["parallel", "parallel"]}
      ins(%2, %bq : tensor<2x32xf32>, tensor<32xf32>) outs(%eq : tensor<2x32xf32>) {
  ^bb0(%a: f32, %b: f32, %out: f32):
    %s = arith.addf %a, %b : f32
    linalg.yield %s : f32
  } -> tensor<2x32xf32>
  %3 = linalg.transpose ins(%wk : tensor<16x16xf32>) outs(%tk : tensor<16x16xf32>) permutation = [1, 0]
  %4 = linalg.fill ins(%zero : f32) outs(%ek : tensor<2x16xf32>) -> tensor<2x16xf32>
  %5 = linalg.matmul ins(%x, %3 : tensor<2x16xf32>, tensor<16x16xf32>) outs(%4 : tensor<2x16xf32>) -> tensor<2x16xf32>
  %k = linalg.generic {indexing_maps = [#id, #vec, #id], iterator_types = ["parallel", "parallel"]}
      ins(%5, %bk : tensor<2x16xf32>, tensor<16xf32>) outs(%ek : tensor<2x16xf32>) {
  ^bb0(%a: f32, %b: f32, %out: f32):
    %s = arith.addf %a, %b : f32
    linalg.yield %s : f32
  } -> tensor<2x16xf32>
  return %q, %k : tensor<2x32xf32>, tensor<2x16xf32>
}

// -----

// Not merged: gate and up meet in one op, which takes them tile by tile.
// CHECK-LABEL: func.func @step
// CHECK-DAG: fleet.param ["gate"]
// CHECK-DAG: fleet.param ["up"]
// CHECK-COUNT-2: linalg.matmul
// CHECK: return
#id = affine_map<(d0, d1) -> (d0, d1)>
func.func @step(%x: tensor<2x16xf32>) -> tensor<2x32xf32> {
  %zero = arith.constant 0.0 : f32
  %wg = fleet.param ["gate"] : tensor<32x16xf32>
  %wu = fleet.param ["up"] : tensor<32x16xf32>
  %t = tensor.empty() : tensor<16x32xf32>
  %e = tensor.empty() : tensor<2x32xf32>
  %0 = linalg.transpose ins(%wg : tensor<32x16xf32>) outs(%t : tensor<16x32xf32>) permutation = [1, 0]
  %1 = linalg.transpose ins(%wu : tensor<32x16xf32>) outs(%t : tensor<16x32xf32>) permutation = [1, 0]
  %2 = linalg.fill ins(%zero : f32) outs(%e : tensor<2x32xf32>) -> tensor<2x32xf32>
  %3 = linalg.matmul ins(%x, %0 : tensor<2x16xf32>, tensor<16x32xf32>) outs(%2 : tensor<2x32xf32>) -> tensor<2x32xf32>
  %4 = linalg.matmul ins(%x, %1 : tensor<2x16xf32>, tensor<16x32xf32>) outs(%2 : tensor<2x32xf32>) -> tensor<2x32xf32>
  %5 = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%3, %4 : tensor<2x32xf32>, tensor<2x32xf32>) outs(%e : tensor<2x32xf32>) {
  ^bb0(%a: f32, %b: f32, %out: f32):
    %s = arith.mulf %a, %b : f32
    linalg.yield %s : f32
  } -> tensor<2x32xf32>
  return %5 : tensor<2x32xf32>
}

// -----

// Not merged: the activations are two.
// CHECK-LABEL: func.func @step
// CHECK-COUNT-2: linalg.matmul
// CHECK: return
func.func @step(%x: tensor<2x16xf32>, %y: tensor<2x16xf32>) -> (tensor<2x32xf32>, tensor<2x32xf32>) {
  %zero = arith.constant 0.0 : f32
  %wa = fleet.param ["a"] : tensor<32x16xf32>
  %wb = fleet.param ["b"] : tensor<32x16xf32>
  %t = tensor.empty() : tensor<16x32xf32>
  %e = tensor.empty() : tensor<2x32xf32>
  %0 = linalg.transpose ins(%wa : tensor<32x16xf32>) outs(%t : tensor<16x32xf32>) permutation = [1, 0]
  %1 = linalg.transpose ins(%wb : tensor<32x16xf32>) outs(%t : tensor<16x32xf32>) permutation = [1, 0]
  %2 = linalg.fill ins(%zero : f32) outs(%e : tensor<2x32xf32>) -> tensor<2x32xf32>
  %3 = linalg.matmul ins(%x, %0 : tensor<2x16xf32>, tensor<16x32xf32>) outs(%2 : tensor<2x32xf32>) -> tensor<2x32xf32>
  %4 = linalg.matmul ins(%y, %1 : tensor<2x16xf32>, tensor<16x32xf32>) outs(%2 : tensor<2x32xf32>) -> tensor<2x32xf32>
  return %3, %4 : tensor<2x32xf32>, tensor<2x32xf32>
}
