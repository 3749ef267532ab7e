// RUN: fleet-opt %s --fleet-set-schedule=switches=queues=even --fleet-cut-workers | FileCheck %s
// RUN: fleet-opt %s --fleet-cut-workers | FileCheck %s --check-prefix=BALANCED

// The odd tile goes to the first, the next task to who has none of it.
// BALANCED: fleet.chiplet_task on 7 tiles 65 to 75 into {
// BALANCED-NEXT: fleet.cu_task on 0 tiles 65 to 68
// BALANCED-NEXT: fleet.cu_task on 1 tiles 68 to 71
// BALANCED-NEXT: fleet.cu_task on 2 tiles 71 to 73
// BALANCED-NEXT: fleet.cu_task on 3 tiles 73 to 75
// BALANCED: fleet.task 1
// BALANCED-NEXT: fleet.chiplet_task on 7 tiles 0 to 1 into {
// BALANCED-NEXT: fleet.cu_task on 2 tiles 0 to 1

// 8 chiplets of 4 workers: 75 tiles are 2 or 3 for each worker, none left out.
// CHECK-LABEL: func.func @step
// CHECK: fleet.chiplet_task on 0 tiles 0 to 9 into {
// CHECK-NEXT: fleet.cu_task on 0 tiles 0 to 2
// CHECK-NEXT: fleet.cu_task on 1 tiles 2 to 4
// CHECK-NEXT: fleet.cu_task on 2 tiles 4 to 6
// CHECK-NEXT: fleet.cu_task on 3 tiles 6 to 9
// CHECK-NEXT: }
// CHECK: fleet.chiplet_task on 2 tiles 18 to 28 into {
// CHECK-NEXT: fleet.cu_task on 0 tiles 18 to 20
// CHECK-NEXT: fleet.cu_task on 1 tiles 20 to 23
// CHECK-NEXT: fleet.cu_task on 2 tiles 23 to 25
// CHECK-NEXT: fleet.cu_task on 3 tiles 25 to 28
// CHECK-NEXT: }
// CHECK: fleet.chiplet_task on 7 tiles 65 to 75 into {
// CHECK-COUNT-3: fleet.cu_task
// CHECK-NEXT: fleet.cu_task on 3 tiles 72 to 75
// CHECK-NEXT: }

// Fewer tiles than workers: the others have no part.
// CHECK: fleet.task 1
// CHECK-NEXT: fleet.chiplet_task on 7 tiles 0 to 1 into {
// CHECK-NEXT: fleet.cu_task on 3 tiles 0 to 1
// CHECK-NEXT: }
module attributes {fleet.target = #fleet.target<"study", backend = llvm, chiplets = 8, workers = 4, lds = 1, l2 = 1, hbm_gbs = 1, tile = 16>} {
  func.func @step() {
    fleet.task 0 @task_0() partition <columns, tiles = 75, size = 16> : () -> () into {
      fleet.chiplet_task on 0 tiles 0 to 9
      fleet.chiplet_task on 1 tiles 9 to 18
      fleet.chiplet_task on 2 tiles 18 to 28
      fleet.chiplet_task on 3 tiles 28 to 37
      fleet.chiplet_task on 4 tiles 37 to 46
      fleet.chiplet_task on 5 tiles 46 to 56
      fleet.chiplet_task on 6 tiles 56 to 65
      fleet.chiplet_task on 7 tiles 65 to 75
    }
    fleet.task 1 @task_1() partition <whole, tiles = 1, size = 2> : () -> () into {
      fleet.chiplet_task on 7 tiles 0 to 1
    }
    return
  }
}
