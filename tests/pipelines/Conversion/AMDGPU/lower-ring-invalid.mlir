// RUN: not fleet-opt %s --pass-pipeline="builtin.module(gpu.module(fleet-amdgpu-lower-ring))" 2>&1 | FileCheck %s
// RUN: not fleet-opt %s --pass-pipeline="builtin.module(gpu.module(fleet-amdgpu-lower-ring{omit=all}))" 2>&1 | FileCheck %s --check-prefix=OMIT

// CHECK: error: 'fleet.ring_ask' op expected a buffer with known strides, found 'memref<4x4xi8, strided<[?, 1]>>'
// OMIT: error: expected a wait to omit among wait and order, found all
gpu.module @fleet {
  func.func @strides(%ring: memref<2x64x8xbf16>, %w: memref<4x4xi8, strided<[?, 1]>>) {
    %c0 = arith.constant 0 : index
    fleet.ring_ask %ring[%c0] from %w[%c0, %c0] : memref<2x64x8xbf16>, memref<4x4xi8, strided<[?, 1]>>
    return
  }
}
