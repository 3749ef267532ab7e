// RUN: fleet-opt %s --fleet-place-step -split-input-file -verify-diagnostics

module attributes {fleet.target = #fleet.target<"study", backend = llvm, chiplets = 1, workers = 1, lds = 1, l2 = 1, hbm_gbs = 1, tile = 16>} {
  // expected-error @+1 {{expected inputs tokens, positions, slots and out_rows, found another}}
  func.func @step(%tokens: tensor<2xi32> {fleet.input = "tokens"}, %temperature: tensor<2xf32> {fleet.input = "temperature"}) {
    return
  }
}

// -----

module attributes {fleet.target = #fleet.target<"study", backend = llvm, chiplets = 1, workers = 1, lds = 1, l2 = 1, hbm_gbs = 1, tile = 16>} {
  func.func @step(%tokens: tensor<2xi32> {fleet.input = "tokens"}) -> tensor<2xi32> {
    %0 = fleet.task 0 @a(%tokens) : (tensor<2xi32>) -> tensor<2xi32>
    // expected-error @+1 {{expected the step to return logits and ids, found 1 values}}
    return %0 : tensor<2xi32>
  }
}

// -----

// expected-error @+1 {{expected a module with a fleet.target, found none; run fleet-set-target}}
module {}

// -----

// expected-error @+1 {{expected a function @step, found none}}
module attributes {fleet.target = #fleet.target<"study", backend = llvm, chiplets = 1, workers = 1, lds = 1, l2 = 1, hbm_gbs = 1, tile = 16>} {}
