// RUN: fleet-opt %s --fleet-import-step -split-input-file -verify-diagnostics

// expected-error @+1 {{expected a function @step and the attributes fleet.slots and fleet.context}}
module attributes {fleet.slots = 1 : i64, fleet.context = 8 : i64} {}

// -----

// expected-error @+1 {{expected a function @step and the attributes fleet.slots and fleet.context}}
module attributes {fleet.slots = 1 : i64} {
  func.func @step() {
    return
  }
}

// -----

module attributes {fleet.slots = 1 : i64, fleet.context = 8 : i64} {
  // expected-error @+1 {{expected arguments of static shape, found 'tensor<?xi32>'}}
  func.func @step(%x: tensor<?xi32> {fleet.input = "tokens"}) {
    return
  }
}

// -----

module attributes {fleet.slots = 1 : i64, fleet.context = 8 : i64} {
  // expected-error @+1 {{expected argument 1 to carry fleet.input or fleet.param, found neither}}
  func.func @step(%x: tensor<2xi32> {fleet.input = "tokens"}, %y: tensor<2xi32>) {
    return
  }
}

// -----

module attributes {fleet.slots = 1 : i64, fleet.context = 8 : i64} {
  func.func private @helper()
  func.func @step() {
    // expected-error @+1 {{unsupported call of @helper in the step}}
    call @helper() : () -> ()
    return
  }
}

// -----

module attributes {fleet.slots = 1 : i64, fleet.context = 8 : i64} {
  func.func private @f(tensor<2xi32>) -> tensor<2xi32> attributes {fleet.op = "softmax"}
  func.func @step(%x: tensor<2xi32> {fleet.input = "tokens"}) {
    // expected-error @+1 {{unknown fleet op 'softmax', expected gather, rms_norm, layer_norm, rope, attention or argmax}}
    %0 = call @f(%x) : (tensor<2xi32>) -> tensor<2xi32>
    return
  }
}

// -----

module attributes {fleet.slots = 1 : i64, fleet.context = 8 : i64} {
  func.func private @f(tensor<2xi32>) attributes {fleet.op = "gather"}
  func.func @step(%x: tensor<2xi32> {fleet.input = "tokens"}) {
    // expected-error @+1 {{expected one result of fleet op 'gather', found 0}}
    call @f(%x) : (tensor<2xi32>) -> ()
    return
  }
}

// -----

module attributes {fleet.slots = 1 : i64, fleet.context = 8 : i64} {
  func.func private @f(tensor<2x8xf32>, tensor<8xf32>) -> tensor<2x8xf32> attributes {fleet.op = "rms_norm"}
  func.func @step(%x: tensor<2x8xf32> {fleet.param = "x"}, %w: tensor<8xf32> {fleet.param = "w"}) {
    // expected-error @+1 {{expected an eps attribute of fleet op 'rms_norm', found none}}
    %0 = call @f(%x, %w) : (tensor<2x8xf32>, tensor<8xf32>) -> tensor<2x8xf32>
    return
  }
}

// -----

module attributes {fleet.slots = 1 : i64, fleet.context = 8 : i64} {
  func.func private @f(tensor<2x1x8xf32>) -> tensor<2x1x8xf32> attributes {fleet.op = "attention", layer = 0 : i64, scale = 1.0 : f64}
  func.func @step(%x: tensor<2x1x8xf32> {fleet.param = "x"}) {
    // expected-error @+1 {{expected 5 operands, layer and scale of fleet op 'attention'}}
    %0 = call @f(%x) : (tensor<2x1x8xf32>) -> tensor<2x1x8xf32>
    return
  }
}

// -----

module attributes {fleet.slots = 1 : i64, fleet.context = 8 : i64} {
  func.func private @f(tensor<2x1x8xf32>, tensor<2x1x8xf32>, tensor<2x1x8xf32>, tensor<2xi32>, tensor<2xi32>) -> tensor<2x1x8xf32> attributes {fleet.op = "attention", layer = 0 : i64}
  func.func @step(%x: tensor<2x1x8xf32> {fleet.param = "x"}, %i: tensor<2xi32> {fleet.input = "slots"}) {
    // expected-error @+1 {{expected 5 operands, layer and scale of fleet op 'attention'}}
    %0 = call @f(%x, %x, %x, %i, %i) : (tensor<2x1x8xf32>, tensor<2x1x8xf32>, tensor<2x1x8xf32>, tensor<2xi32>, tensor<2xi32>) -> tensor<2x1x8xf32>
    return
  }
}

// -----

// What the named op's own verifier rejects.
module attributes {fleet.slots = 1 : i64, fleet.context = 8 : i64} {
  func.func private @f(tensor<9x8xf32>) -> tensor<2x8xf32> attributes {fleet.op = "gather"}
  func.func @step(%x: tensor<9x8xf32> {fleet.param = "x"}) -> tensor<2x8xf32> {
    // expected-error @+1 {{'fleet.gather' op expected 2 inputs, found 1}}
    %0 = call @f(%x) : (tensor<9x8xf32>) -> tensor<2x8xf32>
    return %0 : tensor<2x8xf32>
  }
}
