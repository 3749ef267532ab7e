// A part of attention of many rows: a warp a row, scores and weighted values by mma, read from the cache as they lie there.
// RUN: fleet-opt %s --pass-pipeline="builtin.module(gpu.module(fleet-nvgpu-lower-attention))" | FileCheck %s

gpu.module @fleet attributes {fleet.threads = 256 : i64, fleet.lanes = 32 : i64} {
  // CHECK-LABEL: func @rows
  // CHECK-SAME: %[[Q:[^:]*]]: memref<8x4x64xbf16>, %[[K:[^:]*]]: memref<8x1x64xbf16>
  // CHECK-SAME: %[[KEYS:[^:]*]]: memref<8x1x128x64xbf16>, %[[VALUES:[^:]*]]: memref<8x1x128x64xbf16>, %[[OUT:[^:]*]]: memref<1x8x4x68xf32>
  // All that will be read is asked for, then this step's keys and values are stored, by the part that reads them.
  // CHECK: memref.prefetch %[[KEYS]]
  // CHECK: vector.store %{{.*}}, %[[KEYS]]
  // CHECK: vector.store %{{.*}}, %[[VALUES]]
  // CHECK: gpu.barrier
  // Queries: 64 elements are two loads of 8 a lane.
  // CHECK-COUNT-2: vector.load %[[Q]]
  // 16 positions a round: all loads first.
  // CHECK: scf.for {{.*}} step %c16{{.*}} iter_args
  // CHECK-COUNT-4: vector.load %[[KEYS]]
  // CHECK-COUNT-4: vector.load %[[VALUES]]
  // CHECK-COUNT-8: nvvm.mma.sync
  // CHECK-COUNT-2: gpu.shuffle
  // CHECK-COUNT-4: cvt.rn.bf16x2.f32
  // CHECK-COUNT-8: nvvm.mma.sync
  // CHECK-NOT: nvvm.mma.sync
  // CHECK: vector.store %{{.*}}, %[[OUT]]
  // CHECK: gpu.barrier
  // CHECK-NOT: fleet.attention_partial
  // CHECK: return
  func.func @rows(%q: memref<8x4x64xbf16>, %k: memref<8x1x64xbf16>, %v: memref<8x1x64xbf16>, %slots: memref<8xi32>, %positions: memref<8xi32>,
                  %keys: memref<8x1x128x64xbf16>, %values: memref<8x1x128x64xbf16>, %out: memref<1x8x4x68xf32>, %part: index) {
    fleet.attention_partial part %part ins(%q, %k, %v, %slots, %positions, %keys, %values : memref<8x4x64xbf16>, memref<8x1x64xbf16>, memref<8x1x64xbf16>, memref<8xi32>, memref<8xi32>, memref<8x1x128x64xbf16>, memref<8x1x128x64xbf16>) outs(%out : memref<1x8x4x68xf32>) {scale = 0.125 : f64, parts = 2 : i64}
    return
  }
  // Few rows, and heads of 32 elements, are left.
  // CHECK-LABEL: func @left
  // CHECK-COUNT-2: fleet.attention_partial
  func.func @left(%q: memref<2x4x64xbf16>, %k: memref<2x1x64xbf16>, %slots: memref<2xi32>, %keys: memref<8x1x128x64xbf16>, %out: memref<1x2x4x68xf32>,
                  %q2: memref<8x4x32xbf16>, %k2: memref<8x1x32xbf16>, %slots2: memref<8xi32>, %keys2: memref<8x1x128x32xbf16>, %out2: memref<1x8x4x36xf32>, %part: index) {
    fleet.attention_partial part %part ins(%q, %k, %k, %slots, %slots, %keys, %keys : memref<2x4x64xbf16>, memref<2x1x64xbf16>, memref<2x1x64xbf16>, memref<2xi32>, memref<2xi32>, memref<8x1x128x64xbf16>, memref<8x1x128x64xbf16>) outs(%out : memref<1x2x4x68xf32>) {scale = 0.125 : f64, parts = 2 : i64}
    fleet.attention_partial part %part ins(%q2, %k2, %k2, %slots2, %slots2, %keys2, %keys2 : memref<8x4x32xbf16>, memref<8x1x32xbf16>, memref<8x1x32xbf16>, memref<8xi32>, memref<8xi32>, memref<8x1x128x32xbf16>, memref<8x1x128x32xbf16>) outs(%out2 : memref<1x8x4x36xf32>) {scale = 0.125 : f64, parts = 2 : i64}
    return
  }
}
