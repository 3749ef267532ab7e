// RUN: fleet-opt %s --fleet-amdgpu-group-weights | FileCheck %s

// The bf16 weight is stored in groups of 8 contracted elements, the f32 one as it was; the loader is told.
// CHECK: module attributes {fleet.manifest = {params = [
// CHECK-SAME: {dtype = "bf16", group = 8 : i64, pack = 16 : i64, shape = [32, 64]}
// CHECK-SAME: {dtype = "f32", pack = 16 : i64, shape = [32, 64]}
// CHECK-SAME: {dtype = "bf16", pack = 0 : i64, shape = [64]}
// CHECK-LABEL: func private @body
// CHECK-SAME: %[[X:.*]]: memref<2x64xbf16>, %[[W:.*]]: memref<2x8x16x8xbf16>, %{{.*}}: memref<2x64x16xf32>
// CHECK: %[[TILE:.*]] = memref.subview %[[W]][%{{.*}}, 0, 0, 0] [1, 8, 16, 8] [1, 1, 1, 1] : memref<2x8x16x8xbf16> to memref<8x16x8xbf16, strided<[128, 8, 1], offset: ?>>
// CHECK: %[[ROWS:.*]] = memref.expand_shape %[[X]]
// CHECK-SAME: memref<2x64xbf16> into memref<2x8x8xbf16>
// CHECK: linalg.generic
// CHECK-SAME: iterator_types = ["parallel", "parallel", "reduction", "reduction"]} ins(%[[ROWS]], %[[TILE]]
// CHECK: linalg.matmul
// CHECK-LABEL: func private @dispatch
// CHECK: memref.view {{.*}} to memref<2x8x16x8xbf16>
module attributes {fleet.manifest = {params = [
    {dtype = "bf16", pack = 16 : i64, shape = [32, 64]}, {dtype = "f32", pack = 16 : i64, shape = [32, 64]}, {dtype = "bf16", pack = 0 : i64, shape = [64]}]}} {
  gpu.module @fleet {
    func.func private @body(%x: memref<2x64xbf16>, %w: memref<2x64x16xbf16>, %v: memref<2x64x16xf32>, %y: memref<2x16xf32>, %lo: index) {
      %tile = memref.subview %w[%lo, 0, 0] [1, 64, 16] [1, 1, 1] : memref<2x64x16xbf16> to memref<64x16xbf16, strided<[16, 1], offset: ?>>
      linalg.matmul ins(%x, %tile : memref<2x64xbf16>, memref<64x16xbf16, strided<[16, 1], offset: ?>>) outs(%y : memref<2x16xf32>)
      %wide = memref.subview %v[%lo, 0, 0] [1, 64, 16] [1, 1, 1] : memref<2x64x16xf32> to memref<64x16xf32, strided<[16, 1], offset: ?>>
      linalg.matmul ins(%x, %wide : memref<2x64xbf16>, memref<64x16xf32, strided<[16, 1], offset: ?>>) outs(%y : memref<2x16xf32>)
      return
    }
    func.func private @dispatch(%params: memref<?xi8>, %work: memref<?xi8>, %lo: index) {
      %c0 = arith.constant 0 : index
      %x = memref.view %work[%c0][] : memref<?xi8> to memref<2x64xbf16>
      %w = memref.view %params[%c0][] : memref<?xi8> to memref<2x64x16xbf16>
      %v = memref.view %params[%c0][] : memref<?xi8> to memref<2x64x16xf32>
      %y = memref.view %work[%c0][] : memref<?xi8> to memref<2x16xf32>
      func.call @body(%x, %w, %v, %y, %lo) : (memref<2x64xbf16>, memref<2x64x16xbf16>, memref<2x64x16xf32>, memref<2x16xf32>, index) -> ()
      return
    }
  }
}
