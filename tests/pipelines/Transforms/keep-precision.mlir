// RUN: fleet-opt %s --fleet-keep-precision --canonicalize | FileCheck %s

#id = affine_map<(d0, d1) -> (d0, d1)>

// The sum is read by a norm alone, which computes in f32: it is not rounded.
// CHECK-LABEL: func @residual
// CHECK: %[[SUM:.*]] = linalg.generic {{.*}} outs(%{{.*}} : tensor<2x8xf32>)
// CHECK: arith.addf
// CHECK-NEXT: linalg.yield %{{.*}} : f32
// CHECK: fleet.rms_norm ins(%[[SUM]], %{{.*}} : tensor<2x8xf32>, tensor<8xbf16>) outs(%{{.*}} : tensor<2x8xbf16>)
func.func @residual(%x: tensor<2x8xf32>, %y: tensor<2x8xf32>, %w: tensor<8xbf16>) -> tensor<2x8xbf16> {
  %e = tensor.empty() : tensor<2x8xbf16>
  %0 = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%x, %y : tensor<2x8xf32>, tensor<2x8xf32>) outs(%e : tensor<2x8xbf16>) {
  ^bb0(%a: f32, %b: f32, %out: bf16):
    %s = arith.addf %a, %b : f32
    %r = arith.truncf %s : f32 to bf16
    linalg.yield %r : bf16
  } -> tensor<2x8xbf16>
  %1 = fleet.rms_norm ins(%0, %w : tensor<2x8xbf16>, tensor<8xbf16>) outs(%e : tensor<2x8xbf16>) {eps = 0.125 : f64} -> tensor<2x8xbf16>
  return %1 : tensor<2x8xbf16>
}

// A contraction reads the storage type: what it reads is rounded, for its other readers too.
// CHECK-LABEL: func @contraction
// CHECK: linalg.generic {{.*}} outs(%{{.*}} : tensor<2x8xbf16>)
// CHECK: arith.truncf
// CHECK: linalg.matmul ins(%{{.*}}, %{{.*}} : tensor<2x8xbf16>, tensor<8x8xbf16>)
// CHECK: fleet.rms_norm ins(%{{.*}}, %{{.*}} : tensor<2x8xbf16>, tensor<8xbf16>)
func.func @contraction(%x: tensor<2x8xf32>, %m: tensor<8x8xbf16>, %acc: tensor<2x8xf32>, %w: tensor<8xbf16>) -> (tensor<2x8xf32>, tensor<2x8xbf16>) {
  %e = tensor.empty() : tensor<2x8xbf16>
  %0 = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%x : tensor<2x8xf32>) outs(%e : tensor<2x8xbf16>) {
  ^bb0(%a: f32, %out: bf16):
    %s = math.exp %a : f32
    %r = arith.truncf %s : f32 to bf16
    linalg.yield %r : bf16
  } -> tensor<2x8xbf16>
  %1 = linalg.matmul ins(%0, %m : tensor<2x8xbf16>, tensor<8x8xbf16>) outs(%acc : tensor<2x8xf32>) -> tensor<2x8xf32>
  %2 = fleet.rms_norm ins(%0, %w : tensor<2x8xbf16>, tensor<8xbf16>) outs(%e : tensor<2x8xbf16>) {eps = 0.125 : f64} -> tensor<2x8xbf16>
  return %1, %2 : tensor<2x8xf32>, tensor<2x8xbf16>
}

// What the step returns keeps its type.
// CHECK-LABEL: func @returned
// CHECK: arith.truncf
// CHECK: return %{{.*}} : tensor<2x8xbf16>
func.func @returned(%x: tensor<2x8xf32>) -> tensor<2x8xbf16> {
  %e = tensor.empty() : tensor<2x8xbf16>
  %0 = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%x : tensor<2x8xf32>) outs(%e : tensor<2x8xbf16>) {
  ^bb0(%a: f32, %out: bf16):
    %s = math.exp %a : f32
    %r = arith.truncf %s : f32 to bf16
    linalg.yield %r : bf16
  } -> tensor<2x8xbf16>
  return %0 : tensor<2x8xbf16>
}
