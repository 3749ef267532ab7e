// RUN: fleet-opt %s --transform-interpreter -canonicalize -split-input-file | FileCheck %s

// The last of 3 parts begins where it ends with the row.
// CHECK-LABEL: func @partial
// CHECK: scf.for %[[I:.*]] = %c0 to %c3 step %c1
// CHECK: %[[AT:.*]] = arith.muli %[[I]], %c16
// CHECK: %[[FIRST:.*]] = arith.minui %[[AT]], %c24
// CHECK: tensor.extract_slice %{{.*}}[0, %[[FIRST]]] [2, 16] [1, 1]
// CHECK: tensor.extract_slice %{{.*}}[%[[I]], 0, 0] [1, 2, 8] [1, 1, 1]
// CHECK: fleet.argmax_partial from %[[FIRST]] ins(%{{.*}} : tensor<2x16xf32>) outs(%{{.*}} : tensor<1x2x8xi32>) {width = 16 : i64} -> tensor<1x2x8xi32>
func.func @partial(%x: tensor<2x40xf32>, %o: tensor<3x2x8xi32>) -> tensor<3x2x8xi32> {
  %0 = fleet.argmax_partial ins(%x : tensor<2x40xf32>) outs(%o : tensor<3x2x8xi32>) {width = 16 : i64} -> tensor<3x2x8xi32>
  return %0 : tensor<3x2x8xi32>
}

// A tile of merging takes its rows of all parts.
// CHECK-LABEL: func @merge
// CHECK: scf.for %[[R:.*]] = %c0 to %c6 step %c1
// CHECK: tensor.extract_slice %{{.*}}[0, 0, %[[R]]] [3, 2, 1] [1, 1, 1]
// CHECK: fleet.argmax_merge ins(%{{.*}} : tensor<3x2x1xi32>) outs(%{{.*}} : tensor<1xi32>) -> tensor<1xi32>
func.func @merge(%x: tensor<3x2x8xi32>, %o: tensor<6xi32>) -> tensor<6xi32> {
  %0 = fleet.argmax_merge ins(%x : tensor<3x2x8xi32>) outs(%o : tensor<6xi32>) -> tensor<6xi32>
  return %0 : tensor<6xi32>
}

module attributes {transform.with_named_sequence} {
  transform.named_sequence @__transform_main(%root: !transform.any_op {transform.readonly}) {
    %ops = transform.structured.match ops{["fleet.argmax_partial", "fleet.argmax_merge"]} in %root : (!transform.any_op) -> !transform.any_op
    %t, %l = transform.structured.tile_using_for %ops tile_sizes [1] : (!transform.any_op) -> (!transform.any_op, !transform.any_op)
    transform.yield
  }
}
