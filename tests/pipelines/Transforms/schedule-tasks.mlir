// RUN: fleet-opt %s --fleet-schedule-tasks | FileCheck %s

// Each worker of each chiplet has a queue, of its own parts in the order of the tasks; an idle worker has an empty one.
// CHECK: fleet.queue chiplet 0 worker 0 [0, 1]
// CHECK-NEXT: fleet.queue chiplet 0 worker 1 [0]
// CHECK-NEXT: fleet.queue chiplet 0 worker 2 []
// CHECK-NEXT: fleet.queue chiplet 1 worker 0 [0]
// CHECK-NEXT: fleet.queue chiplet 1 worker 1 []
// CHECK-NEXT: fleet.queue chiplet 1 worker 2 [0, 2]
// CHECK-NEXT: return
module attributes {fleet.target = #fleet.target<"study", backend = llvm, chiplets = 2, workers = 3, lds = 1, l2 = 1, hbm_gbs = 1, tile = 16>} {
  func.func @step() {
    fleet.task 0 @t() partition <columns, tiles = 8, size = 16> waits [] : () -> () into {
      fleet.chiplet_task on 0 tiles 0 to 4 into {
        fleet.cu_task on 0 tiles 0 to 2
        fleet.cu_task on 1 tiles 2 to 4
      }
      fleet.chiplet_task on 1 tiles 4 to 8 into {
        fleet.cu_task on 0 tiles 4 to 6
        fleet.cu_task on 2 tiles 6 to 8
      }
    }
    fleet.task 1 @t() partition <columns, tiles = 1, size = 16> waits [0] : () -> () into {
      fleet.chiplet_task on 0 tiles 0 to 1 into {
        fleet.cu_task on 0 tiles 0 to 1
      }
    }
    fleet.task 2 @t() partition <columns, tiles = 1, size = 16> waits [1] : () -> () into {
      fleet.chiplet_task on 1 tiles 0 to 1 into {
        fleet.cu_task on 2 tiles 0 to 1
      }
    }
    return
  }
}
