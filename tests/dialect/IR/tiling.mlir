// The named computations take the upstream tiling of leading dimensions; the last one stays whole.
// RUN: fleet-opt %s --transform-interpreter --canonicalize --cse | FileCheck %s

// CHECK-LABEL: func @gather
// CHECK: scf.for %[[I:.*]] = %c0 to %c8 step %c2
// CHECK: %[[IDS:.*]] = tensor.extract_slice %{{.*}}[%[[I]]] [2] [1] : tensor<8xi32> to tensor<2xi32>
// CHECK: fleet.gather ins(%{{.*}}, %[[IDS]] : tensor<9x16xf32>, tensor<2xi32>) outs(%{{.*}} : tensor<2x16xf32>)
func.func @gather(%table: tensor<9x16xf32>, %i: tensor<8xi32>, %out: tensor<8x16xf32>) -> tensor<8x16xf32> {
  %0 = fleet.gather ins(%table, %i : tensor<9x16xf32>, tensor<8xi32>) outs(%out : tensor<8x16xf32>) -> tensor<8x16xf32>
  return %0 : tensor<8x16xf32>
}

// CHECK-LABEL: func @rms_norm
// CHECK: fleet.rms_norm ins(%{{.*}}, %{{.*}} : tensor<2x4x16xf32>, tensor<16xf32>) outs(%{{.*}} : tensor<2x4x16xf32>) {eps = 1.000000e-05 : f64}
func.func @rms_norm(%x: tensor<8x4x16xf32>, %w: tensor<16xf32>) -> tensor<8x4x16xf32> {
  %0 = fleet.rms_norm ins(%x, %w : tensor<8x4x16xf32>, tensor<16xf32>) outs(%x : tensor<8x4x16xf32>) {eps = 1.0e-5 : f64} -> tensor<8x4x16xf32>
  return %0 : tensor<8x4x16xf32>
}

// Rows and heads of x; cos and sin follow the rows alone.
// CHECK-LABEL: func @rope
// CHECK: scf.for %[[T:.*]] = %c0 to %c8 step %c2
// CHECK: scf.for %[[H:.*]] = %c0 to %c4 step %c1
// CHECK: tensor.extract_slice %{{.*}}[%[[T]], %[[H]], 0] [2, 1, 16] [1, 1, 1]
// CHECK: %[[COS:.*]] = tensor.extract_slice %{{.*}}[%[[T]], 0] [2, 16] [1, 1] : tensor<8x16xf32> to tensor<2x16xf32>
// CHECK: fleet.rope ins(%{{.*}}, %[[COS]], %[[COS]] : tensor<2x1x16xf32>, tensor<2x16xf32>, tensor<2x16xf32>) outs(%{{.*}} : tensor<2x1x16xf32>)
func.func @rope(%x: tensor<8x4x16xf32>, %c: tensor<8x16xf32>) -> tensor<8x4x16xf32> {
  %0 = fleet.rope ins(%x, %c, %c : tensor<8x4x16xf32>, tensor<8x16xf32>, tensor<8x16xf32>) outs(%x : tensor<8x4x16xf32>) -> tensor<8x4x16xf32>
  return %0 : tensor<8x4x16xf32>
}

// Heads in whole groups: two query heads share a head of the keys, the values and the caches.
// CHECK-LABEL: func @attention
// CHECK: scf.for %[[H:.*]] = %c0 to %c4 step %c2
// CHECK: tensor.extract_slice %{{.*}}[0, %[[H]], 0] [8, 2, 16] [1, 1, 1]
// CHECK: %[[G:.*]] = arith.divui %[[H]], %c2
// CHECK: tensor.extract_slice %{{.*}}[0, %[[G]], 0] [8, 1, 16] [1, 1, 1]
// CHECK: memref.subview %{{.*}}[0, %[[G]], 0, 0] [3, 1, 32, 16] [1, 1, 1, 1]
// CHECK: fleet.attention ins({{.*}} : tensor<8x2x16xf32>, tensor<8x1x16xf32>, tensor<8x1x16xf32>, tensor<8xi32>, tensor<8xi32>,
func.func @attention(%q: tensor<8x4x16xf32>, %k: tensor<8x2x16xf32>, %i: tensor<8xi32>, %c: memref<3x2x32x16xf32>) -> tensor<8x4x16xf32> {
  %0 = fleet.attention ins(%q, %k, %k, %i, %i, %c, %c : tensor<8x4x16xf32>, tensor<8x2x16xf32>, tensor<8x2x16xf32>, tensor<8xi32>, tensor<8xi32>, memref<3x2x32x16xf32>, memref<3x2x32x16xf32>) outs(%q : tensor<8x4x16xf32>) {scale = 0.25 : f64} -> tensor<8x4x16xf32>
  return %0 : tensor<8x4x16xf32>
}

// CHECK-LABEL: func @argmax
// CHECK: fleet.argmax ins(%{{.*}} : tensor<2x16xf32>) outs(%{{.*}} : tensor<2xi32>)
func.func @argmax(%x: tensor<8x16xf32>, %ids: tensor<8xi32>) -> tensor<8xi32> {
  %0 = fleet.argmax ins(%x : tensor<8x16xf32>) outs(%ids : tensor<8xi32>) -> tensor<8xi32>
  return %0 : tensor<8xi32>
}

// On buffers a tile is a subview.
// CHECK-LABEL: func @on_buffers
// CHECK: %[[X:.*]] = memref.subview %{{.*}}[%{{.*}}, 0] [2, 16] [1, 1]
// CHECK: %[[O:.*]] = memref.subview %{{.*}}[%{{.*}}] [2] [1]
// CHECK: fleet.argmax ins(%[[X]] : memref<2x16xf32, strided<[16, 1], offset: ?>>) outs(%[[O]] : memref<2xi32, strided<[1], offset: ?>>)
func.func @on_buffers(%x: memref<8x16xf32>, %ids: memref<8xi32>) {
  fleet.argmax ins(%x : memref<8x16xf32>) outs(%ids : memref<8xi32>)
  return
}

// A producer is fused into its consumer's loop.
// CHECK-LABEL: func @producer
// CHECK-NOT: fleet.layer_norm
// CHECK: scf.for
// CHECK: fleet.layer_norm {{.*}} outs(%{{.*}} : tensor<4x16xf32>)
// CHECK: linalg.exp {{.*}} outs(%{{.*}} : tensor<4x16xf32>)
func.func @producer(%x: tensor<8x16xf32>, %w: tensor<16xf32>) -> tensor<8x16xf32> {
  %0 = fleet.layer_norm ins(%x, %w, %w : tensor<8x16xf32>, tensor<16xf32>, tensor<16xf32>) outs(%x : tensor<8x16xf32>) {eps = 1.0e-5 : f64} -> tensor<8x16xf32>
  %1 = linalg.exp ins(%0 : tensor<8x16xf32>) outs(%x : tensor<8x16xf32>) -> tensor<8x16xf32>
  return %1 : tensor<8x16xf32>
}

module attributes {transform.with_named_sequence} {
  transform.named_sequence @__transform_main(%root: !transform.any_op {transform.readonly}) {
    %exp = transform.structured.match ops{["linalg.exp"]} in %root : (!transform.any_op) -> !transform.any_op
    %fused, %loop = transform.structured.fuse %exp tile_sizes [4] : (!transform.any_op) -> (!transform.any_op, !transform.any_op)
    %rows = transform.structured.match ops{["fleet.gather", "fleet.rms_norm", "fleet.argmax"]} in %root : (!transform.any_op) -> !transform.any_op
    %r, %rl = transform.structured.tile_using_for %rows tile_sizes [2] : (!transform.any_op) -> (!transform.any_op, !transform.any_op)
    %heads = transform.structured.match ops{["fleet.rope"]} in %root : (!transform.any_op) -> !transform.any_op
    %h, %hl:2 = transform.structured.tile_using_for %heads tile_sizes [2, 1] : (!transform.any_op) -> (!transform.any_op, !transform.any_op, !transform.any_op)
    %attention = transform.structured.match ops{["fleet.attention"]} in %root : (!transform.any_op) -> !transform.any_op
    %a, %al = transform.structured.tile_using_for %attention tile_sizes [2] : (!transform.any_op) -> (!transform.any_op, !transform.any_op)
    transform.yield
  }
}
