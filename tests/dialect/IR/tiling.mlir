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

// A tile is one part of one head: tile i is part i mod 4 of head i / 4, of whose caches it takes all positions.
// CHECK-LABEL: func @attention_partial
// CHECK: scf.for %[[I:.*]] = %c0 to %c8 step %c1
// CHECK: %[[HEAD:.*]] = arith.divui %[[I]], %c4
// CHECK: %[[PART:.*]] = arith.remui %[[I]], %c4
// CHECK: %[[QUERIES:.*]] = arith.muli %[[HEAD]], %c2
// CHECK: tensor.extract_slice %{{.*}}[0, %[[QUERIES]], 0] [3, 2, 16] [1, 1, 1]
// CHECK: tensor.extract_slice %{{.*}}[0, %[[HEAD]], 0] [3, 1, 16] [1, 1, 1]
// CHECK: memref.subview %{{.*}}[0, %[[HEAD]], 0, 0] [1, 1, 32, 16] [1, 1, 1, 1]
// CHECK: tensor.extract_slice %{{.*}}[%[[I]], 0, 0, 0] [1, 3, 2, 20] [1, 1, 1, 1]
// CHECK: fleet.attention_partial part %[[PART]] ins({{.*}} : tensor<3x2x16xf32>, tensor<3x1x16xf32>, tensor<3x1x16xf32>, tensor<3xi32>, tensor<3xi32>, {{.*}}) outs({{.*}} : tensor<1x3x2x20xf32>) {dealt = 8 : i64, parts = 4 : i64, scale = 2.500000e-01 : f64}
func.func @attention_partial(%q: tensor<3x4x16xf32>, %k: tensor<3x2x16xf32>, %i: tensor<3xi32>, %c: memref<1x2x32x16xf32>, %o: tensor<8x3x2x20xf32>) -> tensor<8x3x2x20xf32> {
  %0 = fleet.attention_partial ins(%q, %k, %k, %i, %i, %c, %c : tensor<3x4x16xf32>, tensor<3x2x16xf32>, tensor<3x2x16xf32>, tensor<3xi32>, tensor<3xi32>, memref<1x2x32x16xf32>, memref<1x2x32x16xf32>) outs(%o : tensor<8x3x2x20xf32>) {dealt = 8 : i64, parts = 4 : i64, scale = 0.25 : f64} -> tensor<8x3x2x20xf32>
  return %0 : tensor<8x3x2x20xf32>
}

// Rows dealt to 3 row groups: tile i is row group i / 4 mod 3 of part i mod 4 of head i / 12. It has all rows: it writes its own.
// CHECK-LABEL: func @attention_partial_rows
// CHECK: scf.for %[[I:.*]] = %c0 to %c24 step %c1
// CHECK: %[[HEAD:.*]] = arith.divui %[[I]], %c12
// CHECK: %[[IN:.*]] = arith.remui %[[I]], %c12
// CHECK: %[[ROWS:.*]] = arith.divui %[[IN]], %c4
// CHECK: %[[PART:.*]] = arith.remui %[[IN]], %c4
// CHECK: %[[BEFORE:.*]] = arith.muli %[[HEAD]], %c4
// CHECK: %[[AT:.*]] = arith.addi %[[BEFORE]], %[[PART]]
// CHECK: tensor.extract_slice %{{.*}}[%[[AT]], 0, 0, 0] [1, 3, 2, 20] [1, 1, 1, 1]
// CHECK: %[[Y:.*]] = fleet.attention_partial part %[[PART]] rows %[[ROWS]] ins({{.*}} : tensor<3x2x16xf32>, tensor<3x1x16xf32>, tensor<3x1x16xf32>, tensor<3xi32>, tensor<3xi32>, {{.*}}) outs({{.*}} : tensor<1x3x2x20xf32>) {dealt = 8 : i64, parts = 4 : i64, row_groups = 3 : i64, scale = 2.500000e-01 : f64}
// CHECK: tensor.insert_slice %[[Y]] into %{{.*}}[%[[AT]], 0, 0, 0] [1, 3, 2, 20] [1, 1, 1, 1]
func.func @attention_partial_rows(%q: tensor<3x4x16xf32>, %k: tensor<3x2x16xf32>, %i: tensor<3xi32>, %c: memref<1x2x32x16xf32>, %o: tensor<8x3x2x20xf32>) -> tensor<8x3x2x20xf32> {
  %0 = fleet.attention_partial ins(%q, %k, %k, %i, %i, %c, %c : tensor<3x4x16xf32>, tensor<3x2x16xf32>, tensor<3x2x16xf32>, tensor<3xi32>, tensor<3xi32>, memref<1x2x32x16xf32>, memref<1x2x32x16xf32>) outs(%o : tensor<8x3x2x20xf32>) {dealt = 8 : i64, parts = 4 : i64, row_groups = 3 : i64, scale = 0.25 : f64} -> tensor<8x3x2x20xf32>
  return %0 : tensor<8x3x2x20xf32>
}

// A group of 2 query heads takes the 4 parts of its key head.
// CHECK-LABEL: func @attention_merge
// CHECK: scf.for %[[H:.*]] = %c0 to %c4 step %c2
// CHECK: %[[G:.*]] = arith.divui %[[H]], %c2
// CHECK: %[[FIRST:.*]] = arith.muli %[[G]], %c4
// CHECK: tensor.extract_slice %{{.*}}[%[[FIRST]], 0, 0, 0] [4, 3, 2, 20] [1, 1, 1, 1]
// CHECK: tensor.extract_slice %{{.*}}[0, %[[H]], 0] [3, 2, 16] [1, 1, 1]
// CHECK: fleet.attention_merge ins(%{{.*}} : tensor<4x3x2x20xf32>) outs(%{{.*}} : tensor<3x2x16xbf16>) {parts = 4 : i64}
func.func @attention_merge(%x: tensor<8x3x2x20xf32>, %o: tensor<3x4x16xbf16>) -> tensor<3x4x16xbf16> {
  %0 = fleet.attention_merge ins(%x : tensor<8x3x2x20xf32>) outs(%o : tensor<3x4x16xbf16>) {parts = 4 : i64} -> tensor<3x4x16xbf16>
  return %0 : tensor<3x4x16xbf16>
}

// 2 query heads of a group of 4 take their rows of the 4 parts of its key head.
// CHECK-LABEL: func @attention_merge_heads
// CHECK: scf.for %[[H:.*]] = %c0 to %c8 step %c2
// CHECK: %[[G:.*]] = arith.divui %[[H]], %c4
// CHECK: %[[FIRST:.*]] = arith.muli %[[G]], %c4
// CHECK: %[[IN:.*]] = arith.remui %[[H]], %c4
// CHECK: tensor.extract_slice %{{.*}}[%[[FIRST]], 0, %[[IN]], 0] [4, 3, 2, 20] [1, 1, 1, 1]
// CHECK: tensor.extract_slice %{{.*}}[0, %[[H]], 0] [3, 2, 16] [1, 1, 1]
// CHECK: fleet.attention_merge ins(%{{.*}} : tensor<4x3x2x20xf32>) outs(%{{.*}} : tensor<3x2x16xbf16>) {parts = 4 : i64}
func.func @attention_merge_heads(%x: tensor<8x3x4x20xf32>, %o: tensor<3x8x16xbf16>) -> tensor<3x8x16xbf16> {
  %0 = fleet.attention_merge ins(%x : tensor<8x3x4x20xf32>) outs(%o : tensor<3x8x16xbf16>) {parts = 4 : i64} -> tensor<3x8x16xbf16>
  return %0 : tensor<3x8x16xbf16>
}

// Of many rows tile i is 2 of the 8 rows, from 2 i mod 8 on, of the key head 2 i / 8.
// CHECK-LABEL: func @attention_merge_rows
// CHECK: scf.for %[[I:.*]] = %c0 to %c16 step %c2
// CHECK: %[[HEAD:.*]] = arith.divui %[[I]], %c8
// CHECK: %[[ROW:.*]] = arith.remui %[[I]], %c8
// CHECK: %[[FIRST:.*]] = arith.muli %[[HEAD]], %c4
// CHECK: %[[QUERY:.*]] = arith.muli %[[HEAD]], %c3
// CHECK: tensor.extract_slice %{{.*}}[%[[FIRST]], %[[ROW]], 0, 0] [4, 2, 3, 20] [1, 1, 1, 1]
// CHECK: tensor.extract_slice %{{.*}}[%[[ROW]], %[[QUERY]], 0] [2, 3, 16] [1, 1, 1]
// CHECK: %[[Y:.*]] = fleet.attention_merge ins(%{{.*}} : tensor<4x2x3x20xf32>) outs(%{{.*}} : tensor<2x3x16xbf16>) {parts = 4 : i64}
// CHECK: tensor.insert_slice %[[Y]] into %{{.*}}[%[[ROW]], %[[QUERY]], 0] [2, 3, 16] [1, 1, 1]
func.func @attention_merge_rows(%x: tensor<8x8x3x20xf32>, %o: tensor<8x6x16xbf16>) -> tensor<8x6x16xbf16> {
  %0 = fleet.attention_merge ins(%x : tensor<8x8x3x20xf32>) outs(%o : tensor<8x6x16xbf16>) {by_rows, parts = 4 : i64} -> tensor<8x6x16xbf16>
  return %0 : tensor<8x6x16xbf16>
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
    %partial = transform.structured.match ops{["fleet.attention_partial"]} in %root : (!transform.any_op) -> !transform.any_op
    %p, %pl = transform.structured.tile_using_for %partial tile_sizes [1] : (!transform.any_op) -> (!transform.any_op, !transform.any_op)
    %merge = transform.structured.match ops{["fleet.attention_merge"]} in %root : (!transform.any_op) -> !transform.any_op
    %m, %ml = transform.structured.tile_using_for %merge tile_sizes [2] : (!transform.any_op) -> (!transform.any_op, !transform.any_op)
    transform.yield
  }
}
