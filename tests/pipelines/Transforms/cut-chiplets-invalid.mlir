// RUN: fleet-opt %s --fleet-cut-chiplets -split-input-file -verify-diagnostics

// expected-error @+1 {{expected a module with a fleet.target, found none; run fleet-set-target}}
module {}

// -----

module attributes {fleet.target = #fleet.target<"study", backend = llvm, chiplets = 1, workers = 1, lds = 1, l2 = 1, hbm_gbs = 1, tile = 16>} {
  func.func @step(%x: tensor<2xf32>) {
    // expected-error @+1 {{expected a body @body, found none}}
    %0 = fleet.task 0 @body(%x) : (tensor<2xf32>) -> tensor<2xf32>
    return
  }
}
