// RUN: fleet-opt %s --fleet-cpu-lower-contractions --split-input-file | FileCheck %s

// Seven rows of 32 columns: one block of 14 accumulators, even and odd columns apart.
// CHECK-LABEL: func @bf16_pairs
// CHECK: memref.alloca() {alignment = 64 : i64} : memref<7x192xf32>
// CHECK-COUNT-14: vector.shuffle
// CHECK: scf.for
// CHECK: vector.load {{.*}} vector<32xbf16>
// CHECK: vector.bitcast {{.*}} vector<32xbf16> to vector<16xi32>
// CHECK-COUNT-14: vector.fma
// CHECK-NOT: linalg.matmul
func.func @bf16_pairs(%x: memref<7x192xbf16>, %w: memref<192x32xbf16>, %out: memref<7x32xf32>) {
  linalg.matmul ins(%x, %w : memref<7x192xbf16>, memref<192x32xbf16>) outs(%out : memref<7x32xf32>)
  return
}

// -----

// Columns that fill no vector stay for the loops.
// CHECK-LABEL: func @odd_columns
// CHECK: linalg.matmul
func.func @odd_columns(%x: memref<2x8xf32>, %w: memref<8x10xf32>, %out: memref<2x10xf32>) {
  linalg.matmul ins(%x, %w : memref<2x8xf32>, memref<8x10xf32>) outs(%out : memref<2x10xf32>)
  return
}
