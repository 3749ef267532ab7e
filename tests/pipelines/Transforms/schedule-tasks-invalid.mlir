// RUN: fleet-opt %s --fleet-schedule-tasks -split-input-file -verify-diagnostics

// The only worker would wait for what stands behind in its own queue.
module attributes {fleet.target = #fleet.target<"study", backend = llvm, chiplets = 1, workers = 1, lds = 1, l2 = 1, hbm_gbs = 1, tile = 16>} {
  func.func @step() {
    // expected-error @+1 {{expected a wait for an earlier task in queue order, found task 0}}
    fleet.task 1 @t() partition <columns, tiles = 1, size = 16> waits [0] : () -> () into {
      fleet.chiplet_task on 0 tiles 0 to 1 into {
        fleet.cu_task on 0 tiles 0 to 1
      }
    }
    fleet.task 0 @t() partition <columns, tiles = 1, size = 16> waits [] : () -> () into {
      fleet.chiplet_task on 0 tiles 0 to 1 into {
        fleet.cu_task on 0 tiles 0 to 1
      }
    }
    return
  }
}

// -----

// A wait for a task of a higher number is refused before any pass runs.
func.func @step() {
  // expected-error @+1 {{expected to wait for an earlier task, found task 1}}
  fleet.task 0 @t() waits [1] : () -> ()
  return
}

// -----

// expected-error @+1 {{expected a module with a fleet.target, found none; run fleet-set-target}}
module {}

// -----

// expected-error @+1 {{expected a function @step, found none}}
module attributes {fleet.target = #fleet.target<"study", backend = llvm, chiplets = 1, workers = 1, lds = 1, l2 = 1, hbm_gbs = 1, tile = 16>} {}
