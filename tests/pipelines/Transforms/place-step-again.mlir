// On NVIDIA chips, from 3 rows on, a value takes the bytes of one of its size that nobody needs when its task begins.
// RUN: fleet-opt %s --fleet-place-step | FileCheck %s
// With few rows, and on other chips, each has its own.
// RUN: sed -e 's/8x/2x/g' %s | fleet-opt --fleet-place-step | FileCheck %s --check-prefix=FEW
// RUN: sed -e 's/nvvm/rocdl/' %s | fleet-opt --fleet-place-step | FileCheck %s --check-prefix=OWN

// Task 3 needs task 1 alone: task 2 may still read what that made, and task 1 may be all that is over. Task 4 needs both of
// them, so it can have it. What task 0 made is still read by task 5.
// CHECK: %[[A:.*]] = fleet.buffer "work" offset 0 : memref<8x16xf32
// CHECK: fleet.task 0 @first(%{{.*}}, %[[A]])
// CHECK: %[[B:.*]] = fleet.buffer "work" offset 512 : memref<8x16xf32
// CHECK: fleet.task 1 @one(%[[A]], %[[B]])
// CHECK: %[[S:.*]] = fleet.buffer "work" offset 1024 : memref<8x16xf32
// CHECK: fleet.task 2 @one(%[[B]], %[[S]])
// CHECK: %[[C:.*]] = fleet.buffer "work" offset 1536 : memref<8x16xf32
// CHECK: fleet.task 3 @one(%[[B]], %[[C]])
// CHECK: %[[D:.*]] = fleet.buffer "work" offset 512 : memref<8x16xf32
// CHECK: fleet.task 4 @two(%[[S]], %[[C]], %[[D]])
// CHECK: %[[E:.*]] = fleet.buffer "work" offset 1024 : memref<8x16xf32
// CHECK: fleet.task 5 @two(%[[D]], %[[A]], %[[E]])

// FEW: fleet.buffer "work" offset 512 : memref<2x16xf32
// FEW: fleet.task 4
// FEW: fleet.buffer "work" offset 640 : memref<2x16xf32
// FEW: fleet.task 5
// OWN: fleet.buffer "work" offset 2048 : memref<8x16xf32
// OWN: fleet.task 4
// OWN: fleet.buffer "work" offset 2560 : memref<8x16xf32
// OWN: fleet.task 5
module attributes {fleet.slots = 1 : i64, fleet.context = 64 : i64, fleet.layers = 1 : i64,
                   fleet.target = #fleet.target<"study", backend = nvvm, chiplets = 1, workers = 1, lds = 1, l2 = 1, hbm_gbs = 1, tile = 16>} {
  func.func @step(%tokens: tensor<8xi32> {fleet.input = "tokens"}, %out_rows: tensor<8xi32> {fleet.input = "out_rows"},
                  %slots: tensor<8xi32> {fleet.input = "slots"}, %positions: tensor<8xi32> {fleet.input = "positions"}) -> (tensor<8x16xf32>, tensor<8xi32>) {
    %0 = fleet.task 0 @first(%tokens) : (tensor<8xi32>) -> tensor<8x16xf32>
    %1 = fleet.task 1 @one(%0) : (tensor<8x16xf32>) -> tensor<8x16xf32>
    %2 = fleet.task 2 @one(%1) : (tensor<8x16xf32>) -> tensor<8x16xf32>
    %3 = fleet.task 3 @one(%1) : (tensor<8x16xf32>) -> tensor<8x16xf32>
    %4 = fleet.task 4 @two(%2, %3) : (tensor<8x16xf32>, tensor<8x16xf32>) -> tensor<8x16xf32>
    %5 = fleet.task 5 @two(%4, %0) : (tensor<8x16xf32>, tensor<8x16xf32>) -> tensor<8x16xf32>
    %6 = fleet.task 6 @one(%5) : (tensor<8x16xf32>) -> tensor<8x16xf32>
    %7 = fleet.task 7 @ids(%6) : (tensor<8x16xf32>) -> tensor<8xi32>
    return %6, %7 : tensor<8x16xf32>, tensor<8xi32>
  }
}
