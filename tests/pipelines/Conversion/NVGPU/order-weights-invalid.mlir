// RUN: fleet-opt %s --fleet-nvgpu-order-weights -split-input-file -verify-diagnostics

// expected-error @+1 {{expected params with pack, shape and dtype in the fleet.manifest, found none}}
module {
  gpu.module @fleet attributes {fleet.ordered_weights} {}
}

// -----

// expected-error @+1 {{expected params with pack, shape and dtype in the fleet.manifest, found none}}
module attributes {fleet.manifest = {tokens = 32 : i64}} {
  gpu.module @fleet attributes {fleet.ordered_weights} {}
}

// -----

// expected-error @+1 {{expected params with pack, shape and dtype in the fleet.manifest, found one without}}
module attributes {fleet.manifest = {params = [{dtype = "bf16", pack = 16 : i64, shape = [32, 64]}, {dtype = "bf16", shape = [32, 64]}]}} {
  gpu.module @fleet attributes {fleet.ordered_weights} {}
}

// -----

// A packed weight has two dimensions.
// expected-error @+1 {{expected params with pack, shape and dtype in the fleet.manifest, found one without}}
module attributes {fleet.manifest = {params = [{dtype = "bf16", pack = 16 : i64, shape = [32]}]}} {
  gpu.module @fleet attributes {fleet.ordered_weights} {}
}

// -----

// expected-error @+1 {{expected params with pack, shape and dtype in the fleet.manifest, found one without}}
module attributes {fleet.manifest = {params = [{pack = 16 : i64, shape = [32, 64]}]}} {
  gpu.module @fleet attributes {fleet.ordered_weights} {}
}
