// RUN: fleet-opt %s --fleet-nvgpu-place-shared -split-input-file -verify-diagnostics

// expected-error @+1 {{expected a module with a fleet.target, found none}}
module {}

// -----

// Each array begins at a multiple of 128 bytes: 4096, then 8 in 128.
// expected-error @+1 {{expected at most 4096 bytes of shared memory a worker, found 4224: choose a smaller number of rows per step}}
module attributes {fleet.target = #fleet.target<"sm_90a", backend = nvvm, chiplets = 1, workers = 2, lds = 4096, l2 = 1, hbm_gbs = 1, tile = 16>} {
  llvm.mlir.global internal @scratch() {addr_space = 3 : i32} : !llvm.array<4096 x i8>
  llvm.mlir.global internal @expired() {addr_space = 3 : i32} : !llvm.array<2 x i32>
}
