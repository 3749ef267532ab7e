// RUN: not fleet-opt %s --transform-interpreter 2>&1 | FileCheck %s

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
