// RUN: fleet-opt %s --fleet-cut-workers -split-input-file -verify-diagnostics

// expected-error @+1 {{expected a module with a fleet.target, found none; run fleet-set-target}}
module {}

// -----

module attributes {fleet.target = #fleet.target<"study", backend = nvvm, chiplets = 1, workers = 2, lds = 1, l2 = 1, hbm_gbs = 1, tile = 16>} {
  func.func @step() {
    // expected-error @+1 {{expected a worker for each of 3 slices, found 2 workers}}
    fleet.task 0 @task_0() partition <rows, tiles = 6, size = 16, splits = 3> : () -> () into {
      fleet.chiplet_task on 0 tiles 0 to 6
    }
    return
  }
}
