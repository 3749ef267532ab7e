// RUN: not fleet-opt %s --transform-interpreter -split-input-file 2>&1 | FileCheck %s

func.func @half_a_group(%q: tensor<8x4x16xf32>, %k: tensor<8x2x16xf32>, %i: tensor<8xi32>, %c: memref<3x2x32x16xf32>) -> tensor<8x4x16xf32> {
  // CHECK: error: 'fleet.attention' op expected tiles of whole groups of 2 query heads
  %0 = fleet.attention ins(%q, %k, %k, %i, %i, %c, %c : tensor<8x4x16xf32>, tensor<8x2x16xf32>, tensor<8x2x16xf32>, tensor<8xi32>, tensor<8xi32>, memref<3x2x32x16xf32>, memref<3x2x32x16xf32>) outs(%q : tensor<8x4x16xf32>) {scale = 0.25 : f64} -> tensor<8x4x16xf32>
  return %0 : tensor<8x4x16xf32>
}

module attributes {transform.with_named_sequence} {
  transform.named_sequence @__transform_main(%root: !transform.any_op {transform.readonly}) {
    %attention = transform.structured.match ops{["fleet.attention"]} in %root : (!transform.any_op) -> !transform.any_op
    %a, %al = transform.structured.tile_using_for %attention tile_sizes [1] : (!transform.any_op) -> (!transform.any_op, !transform.any_op)
    transform.yield
  }
}

// -----

func.func @two_parts(%q: tensor<3x4x16xf32>, %k: tensor<3x2x16xf32>, %i: tensor<3xi32>, %c: memref<1x2x32x16xf32>, %o: tensor<8x3x2x20xf32>) -> tensor<8x3x2x20xf32> {
  // CHECK: error: 'fleet.attention_partial' op expected tiles of one part of one head
  %0 = fleet.attention_partial ins(%q, %k, %k, %i, %i, %c, %c : tensor<3x4x16xf32>, tensor<3x2x16xf32>, tensor<3x2x16xf32>, tensor<3xi32>, tensor<3xi32>, memref<1x2x32x16xf32>, memref<1x2x32x16xf32>) outs(%o : tensor<8x3x2x20xf32>) {parts = 4 : i64, scale = 0.25 : f64} -> tensor<8x3x2x20xf32>
  return %0 : tensor<8x3x2x20xf32>
}

module attributes {transform.with_named_sequence} {
  transform.named_sequence @__transform_main(%root: !transform.any_op {transform.readonly}) {
    %op = transform.structured.match ops{["fleet.attention_partial"]} in %root : (!transform.any_op) -> !transform.any_op
    %t, %tl = transform.structured.tile_using_for %op tile_sizes [2] : (!transform.any_op) -> (!transform.any_op, !transform.any_op)
    transform.yield
  }
}

// -----

func.func @tile_of_a_tile(%part: index, %q: tensor<3x2x16xf32>, %k: tensor<3x1x16xf32>, %i: tensor<3xi32>, %c: memref<1x1x32x16xf32>, %o: tensor<1x3x2x20xf32>) -> tensor<1x3x2x20xf32> {
  // CHECK: error: 'fleet.attention_partial' op expected tiles of one part of one head
  %0 = fleet.attention_partial part %part ins(%q, %k, %k, %i, %i, %c, %c : tensor<3x2x16xf32>, tensor<3x1x16xf32>, tensor<3x1x16xf32>, tensor<3xi32>, tensor<3xi32>, memref<1x1x32x16xf32>, memref<1x1x32x16xf32>) outs(%o : tensor<1x3x2x20xf32>) {parts = 4 : i64, scale = 0.25 : f64} -> tensor<1x3x2x20xf32>
  return %0 : tensor<1x3x2x20xf32>
}

module attributes {transform.with_named_sequence} {
  transform.named_sequence @__transform_main(%root: !transform.any_op {transform.readonly}) {
    %op = transform.structured.match ops{["fleet.attention_partial"]} in %root : (!transform.any_op) -> !transform.any_op
    %t, %tl = transform.structured.tile_using_for %op tile_sizes [1] : (!transform.any_op) -> (!transform.any_op, !transform.any_op)
    transform.yield
  }
}

// -----

func.func @merge_across_groups(%x: tensor<8x3x4x20xf32>, %o: tensor<3x8x16xbf16>) -> tensor<3x8x16xbf16> {
  // CHECK: error: 'fleet.attention_merge' op expected tiles of whole groups of 4 query heads or of parts of one
  %0 = fleet.attention_merge ins(%x : tensor<8x3x4x20xf32>) outs(%o : tensor<3x8x16xbf16>) {parts = 4 : i64} -> tensor<3x8x16xbf16>
  return %0 : tensor<3x8x16xbf16>
}

module attributes {transform.with_named_sequence} {
  transform.named_sequence @__transform_main(%root: !transform.any_op {transform.readonly}) {
    %op = transform.structured.match ops{["fleet.attention_merge"]} in %root : (!transform.any_op) -> !transform.any_op
    %t, %tl = transform.structured.tile_using_for %op tile_sizes [3] : (!transform.any_op) -> (!transform.any_op, !transform.any_op)
    transform.yield
  }
}

// -----

func.func @merge_rows(%x: tensor<8x8x4x20xf32>, %o: tensor<8x8x16xbf16>) -> tensor<8x8x16xbf16> {
  // CHECK: error: 'fleet.attention_merge' op expected tiles of one key/value head and of a number of rows that divides 8
  %0 = fleet.attention_merge ins(%x : tensor<8x8x4x20xf32>) outs(%o : tensor<8x8x16xbf16>) {by_rows, parts = 4 : i64} -> tensor<8x8x16xbf16>
  return %0 : tensor<8x8x16xbf16>
}

module attributes {transform.with_named_sequence} {
  transform.named_sequence @__transform_main(%root: !transform.any_op {transform.readonly}) {
    %op = transform.structured.match ops{["fleet.attention_merge"]} in %root : (!transform.any_op) -> !transform.any_op
    %t, %tl = transform.structured.tile_using_for %op tile_sizes [3] : (!transform.any_op) -> (!transform.any_op, !transform.any_op)
    transform.yield
  }
}
