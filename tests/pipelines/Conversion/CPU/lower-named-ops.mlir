// RUN: fleet-opt %s --fleet-cpu-lower-named-ops | FileCheck %s

// CHECK-NOT: fleet.

// Row by row: the index, then the row of the table, widened where the result is wider.
// CHECK-LABEL: func @gather
// CHECK: scf.for %[[I:.*]] = %{{.*}} to %{{.*}} step
// CHECK: %[[AT:.*]] = memref.load %arg1[%[[I]]] : memref<2xi32>
// CHECK: %[[ROW:.*]] = arith.index_cast %[[AT]] : i32 to index
// CHECK: vector.load %arg0[%[[ROW]], %{{.*}}] : memref<9x16xbf16>, vector<16xbf16>
// CHECK: arith.extf %{{.*}} : vector<16xbf16> to vector<16xf32>
// CHECK: vector.store %{{.*}}, %arg2[%[[I]], %{{.*}}] : memref<2x16xf32>, vector<16xf32>
func.func @gather(%table: memref<9x16xbf16>, %i: memref<2xi32>, %out: memref<2x16xf32>) {
  fleet.gather ins(%table, %i : memref<9x16xbf16>, memref<2xi32>) outs(%out : memref<2x16xf32>)
  return
}

// Sum of squares in f32, one division and one square root a row, one rounding.
// CHECK-LABEL: func @rms_norm
// CHECK: scf.for
// CHECK: %[[SUM:.*]] = scf.for {{.*}} -> (vector<16xf32>)
// CHECK: vector.load {{.*}} vector<16xbf16>
// CHECK: arith.extf
// CHECK: arith.mulf
// CHECK: vector.reduction <add>, %[[SUM]] : vector<16xf32> into f32
// CHECK: math.sqrt
// CHECK: arith.divf
// CHECK: arith.truncf {{.*}} vector<16xf32> to vector<16xbf16>
// CHECK: vector.store
func.func @rms_norm(%x: memref<2x48xbf16>, %w: memref<48xbf16>, %out: memref<2x48xbf16>) {
  fleet.rms_norm ins(%x, %w : memref<2x48xbf16>, memref<48xbf16>) outs(%out : memref<2x48xbf16>) {eps = 0.125 : f64}
  return
}

// Two sums: the mean, then the squares of the differences from it.
// CHECK-LABEL: func @layer_norm
// CHECK: vector.reduction <add>
// CHECK: arith.subf
// CHECK: vector.reduction <add>
// CHECK: math.sqrt
// CHECK: vector.store
func.func @layer_norm(%x: memref<2x48xf32>, %w: memref<48xf32>, %b: memref<48xf32>, %out: memref<2x48xf32>) {
  fleet.layer_norm ins(%x, %w, %b : memref<2x48xf32>, memref<48xf32>, memref<48xf32>) outs(%out : memref<2x48xf32>) {eps = 0.125 : f64}
  return
}

// The first 8 of 12 elements are rotated, 4 with 4; the last 4 are copied.
// CHECK-LABEL: func @rope
// CHECK: vector.load %arg0{{.*}} vector<4xf32>
// CHECK: vector.load %arg0{{.*}} vector<4xf32>
// CHECK: arith.negf
// CHECK: vector.load %arg1{{.*}} vector<4xf32>
// CHECK: vector.load %arg2{{.*}} vector<4xf32>
// CHECK: arith.addf
// CHECK-COUNT-3: vector.store %{{.*}}, %arg3{{.*}} vector<4xf32>
// CHECK-NOT: vector.store
func.func @rope(%x: memref<1x1x12xf32>, %cos: memref<1x8xf32>, %sin: memref<1x8xf32>, %out: memref<1x1x12xf32>) {
  fleet.rope ins(%x, %cos, %sin : memref<1x1x12xf32>, memref<1x8xf32>, memref<1x8xf32>) outs(%out : memref<1x1x12xf32>)
  return
}

// All rows are stored in the caches before any is read; an idle row (slot < 0) stores nothing and gives zeros.
// CHECK-LABEL: func @attention
// CHECK: memref.alloca() {{.*}} : memref<64xf32>
// CHECK: scf.for
// CHECK: arith.cmpi sge
// CHECK: scf.if
// CHECK: vector.store %{{.*}}, %arg5
// CHECK: vector.store %{{.*}}, %arg6
// CHECK: scf.for
// CHECK: arith.cmpi sge
// CHECK: scf.if
// CHECK: vector.load %arg5
// CHECK: vector.reduction <maxnumf>
// CHECK: math.exp
// CHECK: vector.load %arg6
// CHECK: arith.divf
// CHECK: vector.store %{{.*}}, %arg7
// CHECK: } else {
// CHECK: vector.store %cst{{.*}}, %arg7
func.func @attention(%q: memref<2x4x16xf32>, %k: memref<2x2x16xf32>, %v: memref<2x2x16xf32>, %slots: memref<2xi32>, %positions: memref<2xi32>,
                     %keys: memref<3x2x128x16xf32>, %values: memref<3x2x128x16xf32>, %out: memref<2x4x16xf32>) {
  fleet.attention ins(%q, %k, %v, %slots, %positions, %keys, %values : memref<2x4x16xf32>, memref<2x2x16xf32>, memref<2x2x16xf32>, memref<2xi32>, memref<2xi32>, memref<3x2x128x16xf32>, memref<3x2x128x16xf32>)
      outs(%out : memref<2x4x16xf32>) {scale = 0.25 : f64}
  return
}

// Of equal elements the first: greater, not greater or equal, and the least index among the lanes.
// CHECK-LABEL: func @argmax
// CHECK: arith.cmpf ogt
// CHECK: vector.reduction <maxnumf>
// CHECK: arith.cmpf oeq
// CHECK: vector.reduction <minsi>
// CHECK: memref.store %{{.*}}, %arg1
func.func @argmax(%x: memref<2x32xf32>, %out: memref<2xi32>) {
  fleet.argmax ins(%x : memref<2x32xf32>) outs(%out : memref<2xi32>)
  return
}
