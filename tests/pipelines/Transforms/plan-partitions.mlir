// RUN: fleet-opt %s --fleet-set-schedule=switches=partition=rows --fleet-plan-partitions --canonicalize --cse | FileCheck %s
// RUN: fleet-opt %s --fleet-set-schedule=switches=partition=columns --fleet-plan-partitions | FileCheck %s --check-prefix=COLUMNS
// RUN: fleet-opt %s --fleet-set-schedule=switches=partition=rows,binding=off --fleet-plan-partitions | FileCheck %s --check-prefix=COLUMNS
// RUN: fleet-opt %s --fleet-plan-partitions | FileCheck %s --check-prefix=AUTO

// A contraction whose left side is made in columns: columns and the rows that read them are cut into two chunks.
// The partial sums of both slices stand side by side.
// CHECK: func.func private @down_slices(%{{.*}}: tensor<2x128xf32>, %{{.*}}: tensor<128x64xf32>) -> tensor<2x128xf32>
// CHECK: linalg.generic {{.*}} iterator_types = ["parallel", "parallel", "parallel", "reduction"]
// And are added in the order of the slices, before what was added to the contraction.
// CHECK: func.func private @down_sum(%[[P:.*]]: tensor<2x128xf32>, %{{.*}}: tensor<2x64xf32>) -> tensor<2x64xf32>
// CHECK: tensor.extract_slice %[[P]][0, 0] [2, 64]
// CHECK: tensor.extract_slice %[[P]][0, 64] [2, 64]
// CHECK-NOT: func.func private @down(
// CHECK-LABEL: func.func @step
// CHECK: fleet.param ["down"] splits 2 : tensor<128x64xf32>
// CHECK: fleet.task 0 @up({{.*}}) partition <columns, tiles = 8, size = 16>
// CHECK-SAME: fleet.segments = array<i64: 0, 8>
// CHECK: fleet.task 1 @down_slices({{.*}}) partition <rows, tiles = {{[0-9]+}}, size = {{[0-9]+}}, splits = 2>
// CHECK: fleet.task 2 @down_sum({{.*}}) partition <replicated, tiles = 2, size = 32>
// CHECK: fleet.task 3 @last(

// COLUMNS: fleet.task 0 @up({{.*}}) partition <columns, tiles = 8, size = 16>
// COLUMNS-NOT: segments
// COLUMNS: fleet.task 1 @down({{.*}}) partition <columns, tiles = 4, size = 16>

// Where exchanges cost what they cost on this chip, two of them are dearer than a sum of two slices.
// AUTO: fleet.task 1 @down_slices

#same = affine_map<(d0, d1) -> (d0, d1)>
module attributes {fleet.target = #fleet.target<"gfx950", backend = rocdl, chiplets = 2, workers = 2, lds = 163840, l2 = 4194304, hbm_gbs = 8000, tile = 16>} {
  func.func private @up(%x: tensor<2x64xf32>, %w: tensor<128x64xf32>) -> tensor<2x128xf32> attributes {fleet.body} {
    %zero = arith.constant 0.0 : f32
    %te = tensor.empty() : tensor<64x128xf32>
    %t = linalg.transpose ins(%w : tensor<128x64xf32>) outs(%te : tensor<64x128xf32>) permutation = [1, 0]
    %e = tensor.empty() : tensor<2x128xf32>
    %z = linalg.fill ins(%zero : f32) outs(%e : tensor<2x128xf32>) -> tensor<2x128xf32>
    %y = linalg.matmul ins(%x, %t : tensor<2x64xf32>, tensor<64x128xf32>) outs(%z : tensor<2x128xf32>) -> tensor<2x128xf32>
    return %y : tensor<2x128xf32>
  }
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
  func.func @step(%x: tensor<2x64xf32>) -> tensor<2xi32> {
    %w0 = fleet.param ["up"] : tensor<128x64xf32>
    %w1 = fleet.param ["down"] : tensor<64x128xf32>
    %0 = fleet.task 0 @up(%x, %w0) : (tensor<2x64xf32>, tensor<128x64xf32>) -> tensor<2x128xf32>
    %1 = fleet.task 1 @down(%0, %w1, %x) : (tensor<2x128xf32>, tensor<64x128xf32>, tensor<2x64xf32>) -> tensor<2x64xf32>
    %2 = fleet.task 2 @last(%1) : (tensor<2x64xf32>) -> tensor<2xi32>
    return %2 : tensor<2xi32>
  }
}
