// Tiles of slices of the contracted dimension. All tiles of a range are of one slice, so on a chip of one die its
// part of the left side stands in front of the loop.
// RUN: fleet-opt %s --fleet-set-schedule=switches=partition=rows --fleet-plan-partitions --fleet-cut-chiplets --fleet-cut-workers --fleet-tile-bodies --canonicalize | FileCheck %s

// CHECK-LABEL: func.func private @down_slices(
// CHECK-SAME: %[[X:.*]]: tensor<2x128xf32>, %[[W:.*]]: tensor<8x64x16xf32>, %[[OUT:.*]]: tensor<2x128xf32>, %[[LO:.*]]: index, %[[HI:.*]]: index)
// CHECK-DAG: %[[BEGIN:.*]] = arith.muli %[[LO]], %c16
// CHECK-DAG: %[[END:.*]] = arith.muli %[[HI]], %c16
// CHECK: %[[SLICE:.*]] = arith.divui %[[BEGIN]], %c64
// CHECK: %[[AT:.*]] = arith.muli %[[SLICE]], %c64
// CHECK: %[[LEFT:.*]] = tensor.extract_slice %[[X]][0, %[[AT]]] [2, 64] [1, 1]
// CHECK: scf.for %[[I:.*]] = %[[BEGIN]] to %[[END]] step %c16
// CHECK-NOT: tensor.extract_slice %[[X]]
// CHECK: linalg.matmul ins(%[[LEFT]], %{{.*}} : tensor<2x64xf32>, tensor<64x16xf32>)
// The sum, which nobody makes for himself here, is a task by columns.
// CHECK-LABEL: func.func private @down_sum(
// CHECK: scf.for
// CHECK-LABEL: func.func @step
// CHECK: fleet.param ["down"] splits 2 pack 16 : tensor<8x64x16xf32>
// CHECK: fleet.task 0 @down_slices({{.*}}) partition <rows, tiles = 8, size = 16, splits = 2>
// CHECK: fleet.cu_task on 0 tiles 0 to 2
// CHECK: fleet.cu_task on 1 tiles 2 to 4
// CHECK: fleet.cu_task on 2 tiles 4 to 6
// CHECK: fleet.cu_task on 3 tiles 6 to 8
// CHECK: fleet.task 1 @down_sum({{.*}}) partition <columns, tiles = 4, size = 16>
// CHECK: fleet.task 2 @last(
#same = affine_map<(d0, d1) -> (d0, d1)>
module attributes {fleet.target = #fleet.target<"study", backend = llvm, chiplets = 1, workers = 4, lds = 1, l2 = 1, hbm_gbs = 1, tile = 16>} {
  func.func private @down(%x: tensor<2x128xf32>, %w: tensor<64x128xf32>, %r: tensor<2x64xf32>) -> tensor<2x64xf32> attributes {fleet.body} {
    %zero = arith.constant 0.0 : f32
    %te = tensor.empty() : tensor<128x64xf32>
    %t = linalg.transpose ins(%w : tensor<64x128xf32>) outs(%te : tensor<128x64xf32>) permutation = [1, 0]
    %e = tensor.empty() : tensor<2x64xf32>
    %z = linalg.fill ins(%zero : f32) outs(%e : tensor<2x64xf32>) -> tensor<2x64xf32>
    %y = linalg.matmul ins(%x, %t : tensor<2x128xf32>, tensor<128x64xf32>) outs(%z : tensor<2x64xf32>) -> tensor<2x64xf32>
    %s = linalg.generic {indexing_maps = [#same, #same, #same], iterator_types = ["parallel", "parallel"]}
        ins(%y, %r : tensor<2x64xf32>, tensor<2x64xf32>) outs(%e : tensor<2x64xf32>) {
    ^bb0(%a: f32, %b: f32, %out: f32):
      %c = arith.addf %a, %b : f32
      linalg.yield %c : f32
    } -> tensor<2x64xf32>
    return %s : tensor<2x64xf32>
  }
  func.func private @last(%x: tensor<2x64xf32>) -> tensor<2xi32> attributes {fleet.body} {
    %e = tensor.empty() : tensor<2xi32>
    %0 = fleet.argmax ins(%x : tensor<2x64xf32>) outs(%e : tensor<2xi32>) -> tensor<2xi32>
    return %0 : tensor<2xi32>
  }
  func.func @step(%x: tensor<2x128xf32>, %r: tensor<2x64xf32>) -> tensor<2xi32> {
    %w = fleet.param ["down"] : tensor<64x128xf32>
    %0 = fleet.task 0 @down(%x, %w, %r) : (tensor<2x128xf32>, tensor<64x128xf32>, tensor<2x64xf32>) -> tensor<2x64xf32>
    %1 = fleet.task 1 @last(%0) : (tensor<2x64xf32>) -> tensor<2xi32>
    return %1 : tensor<2xi32>
  }
}
