// Where the target's contractions take left sides of f32 nothing is rounded in front of them.
// RUN: fleet-opt %s --split-input-file --fleet-set-target=target=sm_90a --fleet-keep-precision --canonicalize | FileCheck %s --check-prefixes=CHECK,WIDE
// RUN: fleet-opt %s --split-input-file --fleet-set-target=target=gfx950 --fleet-keep-precision --canonicalize | FileCheck %s --check-prefixes=CHECK,NARROW
// RUN: fleet-opt %s --split-input-file --fleet-set-target=target=cpu --fleet-keep-precision --canonicalize | FileCheck %s --check-prefixes=CHECK,NARROW

// CHECK-LABEL: func @norm
// WIDE: fleet.rms_norm {{.*}} -> tensor<4x8xf32>
// WIDE: linalg.matmul ins(%{{.*}}, %{{.*}} : tensor<4x8xf32>, tensor<8x8xbf16>)
// NARROW: fleet.rms_norm {{.*}} -> tensor<4x8xbf16>
// NARROW: linalg.matmul ins(%{{.*}}, %{{.*}} : tensor<4x8xbf16>, tensor<8x8xbf16>)
func.func @norm(%x: tensor<4x8xf32>, %w: tensor<8xbf16>, %m: tensor<8x8xbf16>, %acc: tensor<4x8xf32>) -> tensor<4x8xf32> {
  %e = tensor.empty() : tensor<4x8xbf16>
  %0 = fleet.rms_norm ins(%x, %w : tensor<4x8xf32>, tensor<8xbf16>) outs(%e : tensor<4x8xbf16>) {eps = 0.125 : f64} -> tensor<4x8xbf16>
  %1 = linalg.matmul ins(%0, %m : tensor<4x8xbf16>, tensor<8x8xbf16>) outs(%acc : tensor<4x8xf32>) -> tensor<4x8xf32>
  return %1 : tensor<4x8xf32>
}

// -----

#id = affine_map<(d0, d1) -> (d0, d1)>

// Queries, keys, values and what attention gives.
// CHECK-LABEL: func @attention
// WIDE: fleet.attention ins({{.*}} : tensor<1x2x4xf32>, tensor<1x2x4xf32>, tensor<1x2x4xf32>, {{.*}} -> tensor<1x2x4xf32>
// WIDE: linalg.matmul ins(%{{.*}}, %{{.*}} : tensor<1x8xf32>, tensor<8x8xbf16>)
// NARROW: fleet.attention ins({{.*}} : tensor<1x2x4xbf16>, tensor<1x2x4xbf16>, tensor<1x2x4xbf16>, {{.*}} -> tensor<1x2x4xbf16>
// NARROW: linalg.matmul ins(%{{.*}}, %{{.*}} : tensor<1x8xbf16>, tensor<8x8xbf16>)
func.func @attention(%x: tensor<1x8xbf16>, %slots: tensor<1xi32>, %positions: tensor<1xi32>, %keys: memref<1x2x16x4xbf16, #fleet.mem<hbm>>,
                     %values: memref<1x2x16x4xbf16, #fleet.mem<hbm>>, %m: tensor<8x8xbf16>, %acc: tensor<1x8xf32>) -> tensor<1x8xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<1x8xbf16>
  %init = tensor.empty() : tensor<1x8xf32>
  %fill = linalg.fill ins(%zero : f32) outs(%init : tensor<1x8xf32>) -> tensor<1x8xf32>
  %wide = linalg.matmul ins(%x, %m : tensor<1x8xbf16>, tensor<8x8xbf16>) outs(%fill : tensor<1x8xf32>) -> tensor<1x8xf32>
  %q = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]} ins(%wide : tensor<1x8xf32>) outs(%e : tensor<1x8xbf16>) {
  ^bb0(%a: f32, %out: bf16):
    %r = arith.truncf %a : f32 to bf16
    linalg.yield %r : bf16
  } -> tensor<1x8xbf16>
  %heads = tensor.expand_shape %q [[0], [1, 2]] output_shape [1, 2, 4] : tensor<1x8xbf16> into tensor<1x2x4xbf16>
  %o = tensor.empty() : tensor<1x2x4xbf16>
  %0 = fleet.attention ins(%heads, %heads, %heads, %slots, %positions, %keys, %values
      : tensor<1x2x4xbf16>, tensor<1x2x4xbf16>, tensor<1x2x4xbf16>, tensor<1xi32>, tensor<1xi32>, memref<1x2x16x4xbf16, #fleet.mem<hbm>>,
        memref<1x2x16x4xbf16, #fleet.mem<hbm>>) outs(%o : tensor<1x2x4xbf16>) {scale = 0.5 : f64} -> tensor<1x2x4xbf16>
  %flat = tensor.collapse_shape %0 [[0], [1, 2]] : tensor<1x2x4xbf16> into tensor<1x8xbf16>
  %1 = linalg.matmul ins(%flat, %m : tensor<1x8xbf16>, tensor<8x8xbf16>) outs(%acc : tensor<1x8xf32>) -> tensor<1x8xf32>
  return %1 : tensor<1x8xf32>
}

// -----

// From 8 rows on norms are tasks of their own, and may have more than 64 KB.
// CHECK-LABEL: func @many
// WIDE: linalg.matmul ins(%{{.*}}, %{{.*}} : tensor<32x8192xf32>, tensor<8192x8xbf16>)
// NARROW: linalg.matmul ins(%{{.*}}, %{{.*}} : tensor<32x8192xbf16>, tensor<8192x8xbf16>)
func.func @many(%x: tensor<32x8192xf32>, %w: tensor<8192xbf16>, %m: tensor<8192x8xbf16>, %acc: tensor<32x8xf32>) -> tensor<32x8xf32> {
  %e = tensor.empty() : tensor<32x8192xbf16>
  %0 = fleet.rms_norm ins(%x, %w : tensor<32x8192xf32>, tensor<8192xbf16>) outs(%e : tensor<32x8192xbf16>) {eps = 0.125 : f64} -> tensor<32x8192xbf16>
  %1 = linalg.matmul ins(%0, %m : tensor<32x8192xbf16>, tensor<8192x8xbf16>) outs(%acc : tensor<32x8xf32>) -> tensor<32x8xf32>
  return %1 : tensor<32x8xf32>
}

// -----

// CHECK-LABEL: func @sixteen
// WIDE: linalg.matmul ins(%{{.*}}, %{{.*}} : tensor<16x8xf32>, tensor<8x8200xbf16>)
// NARROW: linalg.matmul ins(%{{.*}}, %{{.*}} : tensor<16x8xbf16>, tensor<8x8200xbf16>)
func.func @sixteen(%x: tensor<16x8xf32>, %w: tensor<8xbf16>, %m: tensor<8x8200xbf16>, %acc: tensor<16x8200xf32>) -> tensor<16x8200xf32> {
  %e = tensor.empty() : tensor<16x8xbf16>
  %0 = fleet.rms_norm ins(%x, %w : tensor<16x8xf32>, tensor<8xbf16>) outs(%e : tensor<16x8xbf16>) {eps = 0.125 : f64} -> tensor<16x8xbf16>
  %1 = linalg.matmul ins(%0, %m : tensor<16x8xbf16>, tensor<8x8200xbf16>) outs(%acc : tensor<16x8200xf32>) -> tensor<16x8200xf32>
  return %1 : tensor<16x8200xf32>
}

// -----

// One contraction of more than 32 rows is enough: a kernel has as many rows a warp for all.
// CHECK-LABEL: func @too_many
// CHECK: linalg.matmul ins(%{{.*}}, %{{.*}} : tensor<8x8xbf16>, tensor<8x8xbf16>)
// CHECK: linalg.matmul ins(%{{.*}}, %{{.*}} : tensor<33x8xbf16>, tensor<8x8xbf16>)
func.func @too_many(%x: tensor<8x8xf32>, %y: tensor<33x8xbf16>, %w: tensor<8xbf16>, %m: tensor<8x8xbf16>, %acc: tensor<8x8xf32>,
                    %more: tensor<33x8xf32>) -> (tensor<8x8xf32>, tensor<33x8xf32>) {
  %e = tensor.empty() : tensor<8x8xbf16>
  %0 = fleet.rms_norm ins(%x, %w : tensor<8x8xf32>, tensor<8xbf16>) outs(%e : tensor<8x8xbf16>) {eps = 0.125 : f64} -> tensor<8x8xbf16>
  %1 = linalg.matmul ins(%0, %m : tensor<8x8xbf16>, tensor<8x8xbf16>) outs(%acc : tensor<8x8xf32>) -> tensor<8x8xf32>
  %2 = linalg.matmul ins(%y, %m : tensor<33x8xbf16>, tensor<8x8xbf16>) outs(%more : tensor<33x8xf32>) -> tensor<33x8xf32>
  return %1, %2 : tensor<8x8xf32>, tensor<33x8xf32>
}

// -----

// Deeper than 8192.
// CHECK-LABEL: func @deeper
// CHECK: linalg.matmul ins(%{{.*}}, %{{.*}} : tensor<1x8200xbf16>, tensor<8200x8xbf16>)
func.func @deeper(%x: tensor<1x8200xf32>, %w: tensor<8200xbf16>, %m: tensor<8200x8xbf16>, %acc: tensor<1x8xf32>) -> tensor<1x8xf32> {
  %e = tensor.empty() : tensor<1x8200xbf16>
  %0 = fleet.rms_norm ins(%x, %w : tensor<1x8200xf32>, tensor<8200xbf16>) outs(%e : tensor<1x8200xbf16>) {eps = 0.125 : f64} -> tensor<1x8200xbf16>
  %1 = linalg.matmul ins(%0, %m : tensor<1x8200xbf16>, tensor<8200x8xbf16>) outs(%acc : tensor<1x8xf32>) -> tensor<1x8xf32>
  return %1 : tensor<1x8xf32>
}
