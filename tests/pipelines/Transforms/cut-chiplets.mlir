// RUN: fleet-opt %s --fleet-set-schedule=switches=queues=even --fleet-cut-chiplets | FileCheck %s
// RUN: fleet-opt %s --fleet-cut-chiplets | FileCheck %s --check-prefix=BALANCED
// RUN: fleet-opt %s --fleet-set-schedule=switches=chiplets=unaware --fleet-cut-chiplets | FileCheck %s --check-prefix=UNAWARE

// Odd tiles go to who has least to do: three chiplets have two tiles of the first task, so the others get the rest.
// BALANCED: fleet.task 0 @columns
// BALANCED-NEXT: fleet.chiplet_task on 0 tiles 0 to 2
// BALANCED-NEXT: fleet.chiplet_task on 1 tiles 2 to 4
// BALANCED-NEXT: fleet.chiplet_task on 2 tiles 4 to 6
// BALANCED-NEXT: fleet.chiplet_task on 3 tiles 6 to 7
// BALANCED: fleet.task 1 @heads
// BALANCED-NEXT: fleet.chiplet_task on 3 tiles 0 to 1
// BALANCED-NEXT: fleet.chiplet_task on 4 tiles 1 to 2
// BALANCED-NEXT: fleet.chiplet_task on 5 tiles 2 to 3
// BALANCED: fleet.task 2 @whole
// BALANCED-NEXT: fleet.chiplet_task on 6 tiles 0 to 1
// BALANCED: fleet.task 3 @narrow
// BALANCED-NEXT: fleet.chiplet_task on 6 tiles 0 to 1
// BALANCED-NEXT: fleet.chiplet_task on 7 tiles 1 to 2

// UNAWARE: fleet.task 0 @columns
// UNAWARE-NEXT: fleet.chiplet_task on 0 tiles 0 to 1
// UNAWARE-NEXT: fleet.chiplet_task on 0 tiles 8 to 9
// UNAWARE-NEXT: fleet.chiplet_task on 1 tiles 1 to 2
// UNAWARE-NEXT: fleet.chiplet_task on 1 tiles 9 to 10

// 8 chiplets, tiles of 16 columns. 176 columns are 11 tiles: one or two for each chiplet.
// CHECK-LABEL: func.func @step
// CHECK: fleet.task 0 @columns({{.*}}) partition <columns, tiles = 11, size = 16> traversal <full_m> : {{.*}} into {
// CHECK-NEXT: fleet.chiplet_task on 0 tiles 0 to 1
// CHECK-NEXT: fleet.chiplet_task on 1 tiles 1 to 2
// CHECK-NEXT: fleet.chiplet_task on 2 tiles 2 to 4
// CHECK-NEXT: fleet.chiplet_task on 3 tiles 4 to 5
// CHECK-NEXT: fleet.chiplet_task on 4 tiles 5 to 6
// CHECK-NEXT: fleet.chiplet_task on 5 tiles 6 to 8
// CHECK-NEXT: fleet.chiplet_task on 6 tiles 8 to 9
// CHECK-NEXT: fleet.chiplet_task on 7 tiles 9 to 11
// CHECK-NEXT: }

// 3 kv heads of 2 query heads: three chiplets take part, each with one.
// CHECK: fleet.task 1 @heads({{.*}}) partition <heads, tiles = 3, size = 2> traversal <full_m> : {{.*}} into {
// CHECK-NEXT: fleet.chiplet_task on 2 tiles 0 to 1
// CHECK-NEXT: fleet.chiplet_task on 5 tiles 1 to 2
// CHECK-NEXT: fleet.chiplet_task on 7 tiles 2 to 3
// CHECK-NEXT: }

// Neither: one tile, on one chiplet.
// CHECK: fleet.task 2 @whole({{.*}}) partition <whole, tiles = 1, size = 2> traversal <full_m> : {{.*}} into {
// CHECK-NEXT: fleet.chiplet_task on 7 tiles 0 to 1
// CHECK-NEXT: }

// 24 columns are no multiple of 16: tiles of 12.
// CHECK: fleet.task 3 @narrow({{.*}}) partition <columns, tiles = 2, size = 12>
module attributes {fleet.target = #fleet.target<"study", backend = llvm, chiplets = 8, workers = 4, lds = 1, l2 = 1, hbm_gbs = 1, tile = 16>} {
  func.func private @columns(%x: tensor<2x8xf32>, %w: tensor<8x176xf32>) -> tensor<2x176xf32> attributes {fleet.body} {
    %e = tensor.empty() : tensor<2x176xf32>
    %0 = linalg.matmul ins(%x, %w : tensor<2x8xf32>, tensor<8x176xf32>) outs(%e : tensor<2x176xf32>) -> tensor<2x176xf32>
    return %0 : tensor<2x176xf32>
  }
  func.func private @heads(%q: tensor<2x6x8xf32>, %k: tensor<2x3x8xf32>, %i: tensor<2xi32>, %c: memref<1x3x16x8xf32, #fleet.mem<hbm>>) -> tensor<2x6x8xf32> attributes {fleet.body} {
    %e = tensor.empty() : tensor<2x6x8xf32>
    %0 = fleet.attention ins(%q, %k, %k, %i, %i, %c, %c : tensor<2x6x8xf32>, tensor<2x3x8xf32>, tensor<2x3x8xf32>, tensor<2xi32>, tensor<2xi32>, memref<1x3x16x8xf32, #fleet.mem<hbm>>, memref<1x3x16x8xf32, #fleet.mem<hbm>>) outs(%e : tensor<2x6x8xf32>) {scale = 1.0 : f64} -> tensor<2x6x8xf32>
    return %0 : tensor<2x6x8xf32>
  }
  func.func private @whole(%x: tensor<2x8xf32>) -> tensor<2xi32> attributes {fleet.body} {
    %e = tensor.empty() : tensor<2xi32>
    %0 = fleet.argmax ins(%x : tensor<2x8xf32>) outs(%e : tensor<2xi32>) -> tensor<2xi32>
    return %0 : tensor<2xi32>
  }
  func.func private @narrow(%x: tensor<2x8xf32>, %w: tensor<8x24xf32>) -> tensor<2x24xf32> attributes {fleet.body} {
    %e = tensor.empty() : tensor<2x24xf32>
    %0 = linalg.matmul ins(%x, %w : tensor<2x8xf32>, tensor<8x24xf32>) outs(%e : tensor<2x24xf32>) -> tensor<2x24xf32>
    return %0 : tensor<2x24xf32>
  }
  func.func @step(%x: tensor<2x8xf32>, %w: tensor<8x176xf32>, %q: tensor<2x6x8xf32>, %k: tensor<2x3x8xf32>, %i: tensor<2xi32>, %n: tensor<8x24xf32>) {
    %c = fleet.state "k_cache" layer 0 : memref<1x3x16x8xf32, #fleet.mem<hbm>>
    %0 = fleet.task 0 @columns(%x, %w) : (tensor<2x8xf32>, tensor<8x176xf32>) -> tensor<2x176xf32>
    %1 = fleet.task 1 @heads(%q, %k, %i, %c) : (tensor<2x6x8xf32>, tensor<2x3x8xf32>, tensor<2xi32>, memref<1x3x16x8xf32, #fleet.mem<hbm>>) -> tensor<2x6x8xf32>
    %2 = fleet.task 2 @whole(%x) : (tensor<2x8xf32>) -> tensor<2xi32>
    %3 = fleet.task 3 @narrow(%x, %n) : (tensor<2x8xf32>, tensor<8x24xf32>) -> tensor<2x24xf32>
    return
  }
}
