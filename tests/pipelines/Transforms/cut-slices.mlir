// The slices of one chiplet: each to as many workers, none of whom has tiles of two.
// RUN: fleet-opt %s --fleet-cut-workers | FileCheck %s
// RUN: sed -e 's/workers = 5/workers = 4/' %s | fleet-opt --fleet-set-schedule=switches=queues=balanced --fleet-cut-workers | FileCheck %s --check-prefix=BALANCED

// CHECK: fleet.chiplet_task on 0 tiles 0 to 14 into {
// CHECK-NEXT: fleet.cu_task on 0 tiles 0 to 3
// CHECK-NEXT: fleet.cu_task on 1 tiles 3 to 7
// CHECK-NEXT: fleet.cu_task on 2 tiles 7 to 9
// CHECK-NEXT: fleet.cu_task on 3 tiles 9 to 11
// CHECK-NEXT: fleet.cu_task on 4 tiles 11 to 14
// CHECK-NEXT: }

// BALANCED: fleet.cu_task on 0 tiles 0 to 4
// BALANCED-NEXT: fleet.cu_task on 1 tiles 4 to 7
// BALANCED-NEXT: fleet.cu_task on 2 tiles 7 to 11
// BALANCED-NEXT: fleet.cu_task on 3 tiles 11 to 14
// The next task's odd tiles are for who has none of these.
// BALANCED: fleet.task 1
// BALANCED: fleet.cu_task on 0 tiles 0 to 3
// BALANCED-NEXT: fleet.cu_task on 1 tiles 3 to 7

// A sum that others need later is for the workers who have no part of the task before it, which all wait for.
// CHECK: fleet.task 2 @task_1
// CHECK: fleet.cu_task on 2 tiles 0 to 1
// CHECK-NEXT: fleet.cu_task on 4 tiles 1 to 2
// CHECK: fleet.task 3 @task_2
// CHECK-NOT: fleet.beside
// CHECK: fleet.cu_task on 0 tiles 0 to 1
// CHECK-NEXT: fleet.cu_task on 1 tiles 1 to 2
// CHECK-NEXT: fleet.cu_task on 3 tiles 2 to 4
// CHECK-NEXT: }
module attributes {fleet.target = #fleet.target<"study", backend = nvvm, chiplets = 1, workers = 5, lds = 1, l2 = 1, hbm_gbs = 1, tile = 16>} {
  func.func @step() {
    fleet.task 0 @task_0() partition <rows, tiles = 14, size = 16, splits = 2> : () -> () into {
      fleet.chiplet_task on 0 tiles 0 to 14
    }
    fleet.task 1 @task_0() partition <rows, tiles = 14, size = 16, splits = 2> : () -> () into {
      fleet.chiplet_task on 0 tiles 0 to 14
    }
    fleet.task 2 @task_1() partition <heads, tiles = 2, size = 1> : () -> () into {
      fleet.chiplet_task on 0 tiles 0 to 2
    }
    fleet.task 3 @task_2() partition <columns, tiles = 4, size = 16> {fleet.beside} : () -> () into {
      fleet.chiplet_task on 0 tiles 0 to 4
    }
    return
  }
}
