// Parts to which blocks of 8 positions are dealt, without mma: the same rule as where there is.
// RUN: fleet-opt %s --pass-pipeline="builtin.module(gpu.module(fleet-gpu-lower-named-ops),canonicalize,cse)" | FileCheck %s

gpu.module @fleet attributes {fleet.threads = 256 : i64, fleet.lanes = 32 : i64} {
  // CHECK-LABEL: func @dealt
  // CHECK-SAME: %[[KEYS:[^:]*]]: memref<3x1x128x64xbf16>, %{{.*}}: memref<1x2x1x68xf32>, %[[PART:[^:]*]]: index
  // CHECK-NOT: memref.prefetch
  // A position's part: position / 8 mod 4.
  // CHECK: arith.cmpi ult, %[[POSITION:.*]], %c128
  // CHECK: %[[BLOCK:.*]] = arith.divui %[[POSITION]], %c8
  // CHECK: %[[OWNER:.*]] = arith.remui %[[BLOCK]], %c4
  // CHECK: arith.cmpi eq, %[[OWNER]], %[[PART]]
  // CHECK: vector.store %{{.*}}, %[[KEYS]]
  // CHECK: %[[FIRST:.*]] = arith.muli %[[PART]], %c8
  // Positions are counted block by block, which are 32 apart.
  // CHECK: %[[BLOCKS:.*]] = arith.divui %{{.*}}, %c32
  // CHECK: %[[COUNT:.*]] = arith.muli %[[BLOCKS]], %c8
  // CHECK: scf.for %{{.*}} = %c0 to %[[COUNT]]
  // CHECK: %[[IN:.*]] = arith.muli %{{.*}}, %c32
  // CHECK: arith.addi %[[FIRST]], %[[IN]]
  // CHECK: vector.load %[[KEYS]]
  func.func @dealt(%q: memref<2x1x64xbf16>, %k: memref<2x1x64xbf16>, %i: memref<2xi32>, %c: memref<3x1x128x64xbf16>, %out: memref<1x2x1x68xf32>, %part: index) {
    fleet.attention_partial part %part ins(%q, %k, %k, %i, %i, %c, %c : memref<2x1x64xbf16>, memref<2x1x64xbf16>, memref<2x1x64xbf16>, memref<2xi32>, memref<2xi32>, memref<3x1x128x64xbf16>, memref<3x1x128x64xbf16>) outs(%out : memref<1x2x1x68xf32>) {dealt = 8 : i64, parts = 4 : i64, scale = 0.125 : f64}
    return
  }
}
