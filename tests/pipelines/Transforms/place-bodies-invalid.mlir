// RUN: fleet-opt %s --fleet-place-bodies -split-input-file -verify-diagnostics

func.func private @body(%out: memref<2x8xf32>, %lo: index, %hi: index) -> memref<2x8xf32> attributes {fleet.body} {
  // expected-error @+1 {{expected temporaries of static shape, found 'memref<?x8xf32>'}}
  %a = memref.alloc(%hi) : memref<?x8xf32>
  return %out : memref<2x8xf32>
}

// -----

func.func private @body(%out: memref<2x8xf32>, %lo: index, %hi: index) -> memref<2x8xf32> attributes {fleet.body} {
  // expected-error @+1 {{expected temporaries of static shape, found 'memref<2x8xf32, strided<[16, 1]>>'}}
  %a = memref.alloc() : memref<2x8xf32, strided<[16, 1]>>
  return %out : memref<2x8xf32>
}
