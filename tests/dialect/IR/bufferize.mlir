// RUN: fleet-opt %s --one-shot-bufferize="bufferize-function-boundaries function-boundary-type-conversion=identity-layout-map" --canonicalize | FileCheck %s

// The output is written, not read: an empty one needs no copy.
// CHECK-LABEL: func @into_out
// CHECK-SAME: %[[T:[a-z0-9]*]]: memref<9x16xf32>, %[[I:[a-z0-9]*]]: memref<8xi32>, %[[O:[a-z0-9]*]]: memref<8x16xf32>
// CHECK-NEXT: fleet.gather ins(%[[T]], %[[I]] : memref<9x16xf32>, memref<8xi32>) outs(%[[O]] : memref<8x16xf32>)
// CHECK-NEXT: return
func.func @into_out(%table: tensor<9x16xf32>, %i: tensor<8xi32>, %out: tensor<8x16xf32> {bufferization.writable = true}) -> tensor<8x16xf32> {
  %0 = fleet.gather ins(%table, %i : tensor<9x16xf32>, tensor<8xi32>) outs(%out : tensor<8x16xf32>) -> tensor<8x16xf32>
  return %0 : tensor<8x16xf32>
}

// A value that is read, now or later, is not overwritten; nothing is copied.
// CHECK-LABEL: func @still_needed
// CHECK: %[[NEW:.*]] = memref.alloc() {{.*}} : memref<2x8xf32>
// CHECK-NEXT: fleet.rms_norm {{.*}} outs(%[[NEW]] : memref<2x8xf32>)
// CHECK-NEXT: %[[NEXT:.*]] = memref.alloc() {{.*}} : memref<2x8xf32>
// CHECK-NEXT: fleet.layer_norm ins(%[[NEW]], %{{.*}}, %{{.*}} : memref<2x8xf32>, memref<8xf32>, memref<8xf32>) outs(%[[NEXT]] : memref<2x8xf32>)
// CHECK-NEXT: fleet.argmax ins(%{{.*}} : memref<2x8xf32>) outs(%{{.*}} : memref<2xi32>)
func.func @still_needed(%x: tensor<2x8xf32>, %w: tensor<8xf32>, %ids: tensor<2xi32>) -> (tensor<2x8xf32>, tensor<2xi32>) {
  %0 = fleet.rms_norm ins(%x, %w : tensor<2x8xf32>, tensor<8xf32>) outs(%x : tensor<2x8xf32>) {eps = 1.0e-5 : f64} -> tensor<2x8xf32>
  %1 = fleet.layer_norm ins(%0, %w, %w : tensor<2x8xf32>, tensor<8xf32>, tensor<8xf32>) outs(%0 : tensor<2x8xf32>) {eps = 1.0e-5 : f64} -> tensor<2x8xf32>
  %2 = fleet.argmax ins(%x : tensor<2x8xf32>) outs(%ids : tensor<2xi32>) -> tensor<2xi32>
  return %1, %2 : tensor<2x8xf32>, tensor<2xi32>
}

// Caches are buffers already and stay as they are.
// CHECK-LABEL: func @caches
// CHECK: fleet.rope ins({{.*}} : memref<1x4x8xf32>, memref<1x8xf32>, memref<1x8xf32>)
// CHECK: fleet.attention ins({{.*}}, memref<1x2x16x8xf32, #fleet.mem<hbm>>, memref<1x2x16x8xf32, #fleet.mem<hbm>>) outs(%{{.*}} : memref<1x4x8xf32>) {scale = 1.000000e+00 : f64}{{$}}
func.func @caches(%q: tensor<1x4x8xf32>, %cos: tensor<1x8xf32>, %k: tensor<1x2x8xf32>, %i: tensor<1xi32>, %c: memref<1x2x16x8xf32, #fleet.mem<hbm>>) -> tensor<1x4x8xf32> {
  %e = tensor.empty() : tensor<1x4x8xf32>
  %r = fleet.rope ins(%q, %cos, %cos : tensor<1x4x8xf32>, tensor<1x8xf32>, tensor<1x8xf32>) outs(%e : tensor<1x4x8xf32>) -> tensor<1x4x8xf32>
  %0 = fleet.attention ins(%r, %k, %k, %i, %i, %c, %c : tensor<1x4x8xf32>, tensor<1x2x8xf32>, tensor<1x2x8xf32>, tensor<1xi32>, tensor<1xi32>, memref<1x2x16x8xf32, #fleet.mem<hbm>>, memref<1x2x16x8xf32, #fleet.mem<hbm>>) outs(%e : tensor<1x4x8xf32>) {scale = 1.0 : f64} -> tensor<1x4x8xf32>
  return %0 : tensor<1x4x8xf32>
}
