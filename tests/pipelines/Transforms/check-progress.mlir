// RUN: fleet-opt %s --fleet-check-progress --split-input-file --verify-diagnostics

#two = #fleet.target<"cpu", backend = llvm, chiplets = 2, workers = 1, lds = 1024, l2 = 4096, hbm_gbs = 16, tile = 16>

// Both workers run both tasks, in the same order: legal.
module attributes {fleet.target = #two} {
  func.func private @body(memref<4xf32>)
  func.func @step(%a: memref<4xf32>) {
    fleet.task 0 @body(%a) partition <columns, tiles = 2, size = 16> waits [] : (memref<4xf32>) -> () into {
      fleet.chiplet_task on 0 tiles 0 to 1 into { fleet.cu_task on 0 tiles 0 to 1 }
      fleet.chiplet_task on 1 tiles 1 to 2 into { fleet.cu_task on 0 tiles 1 to 2 }
    }
    fleet.task 1 @body(%a) partition <columns, tiles = 2, size = 16> waits [0] : (memref<4xf32>) -> () into {
      fleet.chiplet_task on 0 tiles 0 to 1 into { fleet.cu_task on 0 tiles 0 to 1 }
      fleet.chiplet_task on 1 tiles 1 to 2 into { fleet.cu_task on 0 tiles 1 to 2 }
    }
    fleet.queue chiplet 0 worker 0 [0, 1]
    fleet.queue chiplet 1 worker 0 [0, 1]
    return
  }
}

// -----

#two = #fleet.target<"cpu", backend = llvm, chiplets = 2, workers = 1, lds = 1024, l2 = 4096, hbm_gbs = 16, tile = 16>

// A swapped queue: worker 1 would wait for its own later entry.
module attributes {fleet.target = #two} {
  func.func private @body(memref<4xf32>)
  func.func @step(%a: memref<4xf32>) {
    fleet.task 0 @body(%a) partition <columns, tiles = 2, size = 16> waits [] : (memref<4xf32>) -> () into {
      fleet.chiplet_task on 0 tiles 0 to 1 into { fleet.cu_task on 0 tiles 0 to 1 }
      fleet.chiplet_task on 1 tiles 1 to 2 into { fleet.cu_task on 0 tiles 1 to 2 }
    }
    fleet.task 1 @body(%a) partition <columns, tiles = 2, size = 16> waits [0] : (memref<4xf32>) -> () into {
      fleet.chiplet_task on 0 tiles 0 to 1 into { fleet.cu_task on 0 tiles 0 to 1 }
      fleet.chiplet_task on 1 tiles 1 to 2 into { fleet.cu_task on 0 tiles 1 to 2 }
    }
    // expected-error @+1 {{expected queues that run to their end, found task 1 waiting for ever for task 0}}
    fleet.queue chiplet 0 worker 0 [0, 1]
    fleet.queue chiplet 1 worker 0 [1, 0]
    return
  }
}

// -----

#one = #fleet.target<"cpu", backend = llvm, chiplets = 1, workers = 1, lds = 1024, l2 = 4096, hbm_gbs = 16, tile = 16>

module attributes {fleet.target = #one} {
  func.func private @body(memref<4xf32>)
  func.func @step(%a: memref<4xf32>) {
    fleet.task 0 @body(%a) partition <whole, tiles = 1, size = 16> waits [] : (memref<4xf32>) -> () into {
      fleet.chiplet_task on 0 tiles 0 to 1 into { fleet.cu_task on 0 tiles 0 to 1 }
    }
    // expected-error @+1 {{expected each of the worker's tasks once, found task 0 again or without a part}}
    fleet.queue chiplet 0 worker 0 [0, 0]
    return
  }
}

// -----

#one = #fleet.target<"cpu", backend = llvm, chiplets = 1, workers = 1, lds = 1024, l2 = 4096, hbm_gbs = 16, tile = 16>

// A part that nobody runs.
module attributes {fleet.target = #one} {
  func.func private @body(memref<4xf32>)
  func.func @step(%a: memref<4xf32>) {
    fleet.task 0 @body(%a) partition <whole, tiles = 1, size = 16> waits [] : (memref<4xf32>) -> () into {
      fleet.chiplet_task on 0 tiles 0 to 1 into {
        // expected-error @+1 {{expected task 0 in the queue of worker 0, found no such entry}}
        fleet.cu_task on 0 tiles 0 to 1
      }
    }
    fleet.queue chiplet 0 worker 0 []
    return
  }
}

// -----

// expected-error @+1 {{expected a module with a fleet.target, found none; run fleet-set-target}}
module {}

// -----

#two = #fleet.target<"cpu", backend = llvm, chiplets = 2, workers = 1, lds = 1024, l2 = 4096, hbm_gbs = 16, tile = 16>

// expected-error @+1 {{expected a function @step, found none}}
module attributes {fleet.target = #two} {}

// -----

#two = #fleet.target<"cpu", backend = llvm, chiplets = 2, workers = 1, lds = 1024, l2 = 4096, hbm_gbs = 16, tile = 16>

module attributes {fleet.target = #two} {
  func.func @step() {
    // expected-error @+1 {{expected task ids in order, found 3 at place 0}}
    fleet.task 3 @body() waits [2] : () -> ()
    return
  }
}
