// RUN: fleet-opt %s --fleet-cpu-vectorize-elementwise --canonicalize | FileCheck %s

#id = affine_map<(d0, d1) -> (d0, d1)>
#row = affine_map<(d0, d1) -> (d0, 0)>
#col = affine_map<(d0, d1) -> (d1)>
#turn = affine_map<(d0, d1) -> (d1, d0)>

// CHECK-NOT: linalg.

// 40 columns: 32 by vectors, 8 one by one. What is constant along the row is loaded once and spread.
// CHECK-LABEL: func @bias
// CHECK: scf.for %[[I:.*]] = %c0 to %c2 step %c1
// CHECK: scf.for %[[J:.*]] = %c0 to %c32 step %c16
// CHECK: vector.load %arg0[%[[I]], %[[J]]] : memref<2x40xf32>, vector<16xf32>
// CHECK: memref.load %arg1[%[[I]], %c0] : memref<2x1xf32>
// CHECK: vector.broadcast
// CHECK: vector.load %arg2[%[[J]]] : memref<40xf32>, vector<16xf32>
// CHECK: arith.mulf %{{.*}}, %{{.*}} : vector<16xf32>
// CHECK: arith.truncf %{{.*}} : vector<16xf32> to vector<16xbf16>
// CHECK: vector.store %{{.*}}, %arg3[%[[I]], %[[J]]] : memref<2x40xbf16>, vector<16xbf16>
// CHECK: scf.for %[[K:.*]] = %c32 to %c40 step %c1
// CHECK: memref.load %arg0[%[[I]], %[[K]]]
// CHECK: arith.mulf %{{.*}}, %{{.*}} : f32
// CHECK: memref.store
func.func @bias(%x: memref<2x40xf32>, %scale: memref<2x1xf32>, %b: memref<40xf32>, %out: memref<2x40xbf16>) {
  linalg.generic {indexing_maps = [#id, #row, #col, #id], iterator_types = ["parallel", "parallel"]}
      ins(%x, %scale, %b : memref<2x40xf32>, memref<2x1xf32>, memref<40xf32>) outs(%out : memref<2x40xbf16>) {
  ^bb0(%v: f32, %s: f32, %c: f32, %o: bf16):
    %0 = arith.mulf %v, %s : f32
    %1 = arith.addf %0, %c : f32
    %2 = arith.truncf %1 : f32 to bf16
    linalg.yield %2 : bf16
  }
  return
}

// Copies and fills are loops too.
// CHECK-LABEL: func @copy_fill
// CHECK: vector.load %arg0
// CHECK: vector.store %{{.*}}, %arg1
// CHECK: vector.store %{{.*}}, %arg0
// CHECK-NOT: memref.copy
func.func @copy_fill(%x: memref<2x16xf32>, %y: memref<2x16xf32>) {
  %zero = arith.constant 0.0 : f32
  memref.copy %x, %y : memref<2x16xf32> to memref<2x16xf32>
  linalg.fill ins(%zero : f32) outs(%x : memref<2x16xf32>)
  return
}

// The index of a point is that of its lane.
// CHECK-LABEL: func @index
// CHECK: vector.step : vector<16xindex>
// CHECK: arith.index_cast %{{.*}} : vector<16xindex> to vector<16xi32>
func.func @index(%out: memref<32xi32>) {
  linalg.generic {indexing_maps = [affine_map<(d0) -> (d0)>], iterator_types = ["parallel"]} outs(%out : memref<32xi32>) {
  ^bb0(%o: i32):
    %i = linalg.index 0 : index
    %0 = arith.index_cast %i : index to i32
    linalg.yield %0 : i32
  }
  return
}

// Neither transposed reads nor sums are vectors here.
// CHECK-LABEL: func @scalar
// CHECK-NOT: vector.
// CHECK: return
func.func @scalar(%x: memref<16x16xf32>, %out: memref<16x16xf32>, %sum: memref<16xf32>) {
  linalg.generic {indexing_maps = [#turn, #id], iterator_types = ["parallel", "parallel"]} ins(%x : memref<16x16xf32>) outs(%out : memref<16x16xf32>) {
  ^bb0(%v: f32, %o: f32):
    linalg.yield %v : f32
  }
  linalg.generic {indexing_maps = [#id, affine_map<(d0, d1) -> (d0)>], iterator_types = ["parallel", "reduction"]} ins(%x : memref<16x16xf32>) outs(%sum : memref<16xf32>) {
  ^bb0(%v: f32, %o: f32):
    %0 = arith.addf %v, %o : f32
    linalg.yield %0 : f32
  }
  return
}
