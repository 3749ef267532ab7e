// RUN: not fleet-opt %s --transform-interpreter 2>&1 | FileCheck %s

func.func @two_parts(%x: tensor<2x40xf32>, %o: tensor<3x2x8xi32>) -> tensor<3x2x8xi32> {
  // CHECK: error: 'fleet.argmax_partial' op expected tiles of one part
  %0 = fleet.argmax_partial ins(%x : tensor<2x40xf32>) outs(%o : tensor<3x2x8xi32>) {width = 16 : i64} -> tensor<3x2x8xi32>
  return %0 : tensor<3x2x8xi32>
}

module attributes {transform.with_named_sequence} {
  transform.named_sequence @__transform_main(%root: !transform.any_op {transform.readonly}) {
    %op = transform.structured.match ops{["fleet.argmax_partial"]} in %root : (!transform.any_op) -> !transform.any_op
    %t, %tl = transform.structured.tile_using_for %op tile_sizes [2] : (!transform.any_op) -> (!transform.any_op, !transform.any_op)
    transform.yield
  }
}
