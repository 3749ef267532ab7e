// RUN: fleet-opt %s --fleet-amdgpu-group-weights -split-input-file -verify-diagnostics

// expected-error @+1 {{expected one gpu.module and a fleet.manifest}}
module {}

// -----

module attributes {fleet.manifest = {params = []}} {
  // expected-error @+1 {{expected a function @dispatch}}
  gpu.module @fleet {}
}

// -----

module attributes {fleet.manifest = {params = []}} {
  gpu.module @fleet {
    func.func private @body(%w: memref<2x64x16xbf16>, %i: index) {
      // expected-error @+1 {{expected a packed weight to be read tile by tile by linalg.matmul}}
      %0 = memref.load %w[%i, %i, %i] : memref<2x64x16xbf16>
      return
    }
    func.func private @dispatch(%params: memref<?xi8>, %i: index) {
      %w = memref.view %params[%i][] : memref<?xi8> to memref<2x64x16xbf16>
      func.call @body(%w, %i) : (memref<2x64x16xbf16>, index) -> ()
      return
    }
  }
}

// -----

// expected-error @+1 {{expected params with pack, shape and dtype in the fleet.manifest, found none}}
module attributes {fleet.manifest = {}} {
  gpu.module @fleet {}
}

// -----

// expected-error @+1 {{expected params with pack, shape and dtype in the fleet.manifest, found one without}}
module attributes {fleet.manifest = {params = [{dtype = "bf16", pack = 16 : i64, shape = [32 : i64]}]}} {
  gpu.module @fleet {}
}

// -----

// expected-error @+1 {{expected params with pack, shape and dtype in the fleet.manifest, found one without}}
module attributes {fleet.manifest = {params = [{pack = 16 : i64, shape = [32 : i64, 64 : i64]}]}} {
  gpu.module @fleet {}
}
