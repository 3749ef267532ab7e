// RUN: fleet-opt %s --fleet-order-tasks | FileCheck %s
// RUN: fleet-opt %s --fleet-set-schedule=switches=order=program --fleet-order-tasks | FileCheck %s --check-prefix=PROGRAM

// Two branches of one value: the second steps of both are ready after their first ones, so branches alternate.
// CHECK: %[[A:.*]] = fleet.task 0 @step_of(%{{.*}})
// CHECK: %[[B:.*]] = fleet.task 1 @step_of(%[[A]])
// CHECK: %[[C:.*]] = fleet.task 2 @step_of(%[[A]])
// CHECK: %[[D:.*]] = fleet.task 3 @step_of(%[[B]])
// CHECK: fleet.task 4 @step_of(%[[C]])
// CHECK: fleet.task 5 @step_of(%[[D]])
// PROGRAM: %[[A:.*]] = fleet.task 0
// PROGRAM: %[[B:.*]] = fleet.task 1 @step_of(%[[A]])
// PROGRAM: %[[C:.*]] = fleet.task 2 @step_of(%[[B]])
module attributes {fleet.target = #fleet.target<"study", backend = llvm, chiplets = 2, workers = 2, lds = 1, l2 = 1, hbm_gbs = 1, tile = 16>} {
  func.func private @step_of(%x: tensor<2x8xf32>) -> tensor<2x8xf32> attributes {fleet.body} {
    return %x : tensor<2x8xf32>
  }
  func.func @step(%x: tensor<2x8xf32>) -> (tensor<2x8xf32>, tensor<2x8xf32>) {
    %a = fleet.task 0 @step_of(%x) : (tensor<2x8xf32>) -> tensor<2x8xf32>
    %b = fleet.task 1 @step_of(%a) : (tensor<2x8xf32>) -> tensor<2x8xf32>
    %d = fleet.task 2 @step_of(%b) : (tensor<2x8xf32>) -> tensor<2x8xf32>
    %e = fleet.task 3 @step_of(%d) : (tensor<2x8xf32>) -> tensor<2x8xf32>
    %c = fleet.task 4 @step_of(%a) : (tensor<2x8xf32>) -> tensor<2x8xf32>
    %f = fleet.task 5 @step_of(%c) : (tensor<2x8xf32>) -> tensor<2x8xf32>
    return %e, %f : tensor<2x8xf32>, tensor<2x8xf32>
  }
}
