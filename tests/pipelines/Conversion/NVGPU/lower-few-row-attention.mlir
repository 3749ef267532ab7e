// A part of attention of few rows, with the norms and rotations in front of it, in the registers of warps.
// RUN: fleet-opt %s --pass-pipeline="builtin.module(gpu.module(fleet-nvgpu-lower-few-row-attention))" | FileCheck %s

#lds = #gpu.address_space<workgroup>
gpu.module @fleet attributes {fleet.threads = 256 : i64, fleet.lanes = 32 : i64} {
  // Which rows of which operands a tile reads: 2 heads, 2 parts of 64 of 128 positions of 128 bytes.
  // CHECK-LABEL: func @one
  // CHECK-SAME: %[[X:[^:]*]]: memref<1x2x64xbf16>
  // CHECK-SAME: attributes {fleet.caches = array<i64: 8, 9, 2, 2, 64, 128, 128>}
  // CHECK-NOT: fleet.rms_norm
  // CHECK-NOT: fleet.rope
  // Keys and values first: 2 blocks of 8 positions in 2 loads each, 4 rows of values.
  // CHECK-COUNT-8: vector.load
  // Then a query head a warp: its norm is a sum over the warp, its rotation an exchange with the other half.
  // CHECK: scf.if
  // CHECK: vector.load %[[X]]
  // CHECK-COUNT-5: gpu.shuffle
  // CHECK: math.sqrt
  // CHECK: gpu.shuffle
  // What rounding leaves of a query has rows of its own.
  // CHECK: arith.truncf
  // CHECK: arith.truncf
  // CHECK: gpu.barrier
  // The newest key and value come from shared memory, as the chunk of a warp that has no other.
  // CHECK: scf.if
  // CHECK: scf.if
  // CHECK-COUNT-3: vector.load
  // CHECK: } else {
  // CHECK-COUNT-8: nvvm.mma.sync
  // CHECK-COUNT-4: cvt.rn.bf16x2.f32
  // CHECK-COUNT-8: nvvm.mma.sync
  // Warps are merged in their order.
  // CHECK: gpu.barrier
  // CHECK-NOT: fleet.attention_partial
  // CHECK: return
  func.func @one(%x: memref<1x2x64xbf16>, %w: memref<64xbf16>, %cos: memref<1x64xf32>, %sin: memref<1x64xf32>, %k: memref<1x1x64xbf16>, %v: memref<1x1x64xbf16>,
                 %slots: memref<1xi32>, %positions: memref<1xi32>, %keys: memref<1x2x128x64xbf16>, %values: memref<1x2x128x64xbf16>, %out: memref<1x1x2x68xf32>, %g: index, %part: index) {
    %lds = memref.alloca() : memref<2048xi8, #lds>
    %c0 = arith.constant 0 : index
    %c512 = arith.constant 512 : index
    %c768 = arith.constant 768 : index
    %normed = memref.view %lds[%c0][] : memref<2048xi8, #lds> to memref<1x2x64xf32, #lds>
    %q = memref.view %lds[%c512][] : memref<2048xi8, #lds> to memref<1x2x64xbf16, #lds>
    %turned = memref.view %lds[%c768][] : memref<2048xi8, #lds> to memref<1x1x64xbf16, #lds>
    %key = memref.subview %keys[0, %g, 0, 0] [1, 1, 128, 64] [1, 1, 1, 1] : memref<1x2x128x64xbf16> to memref<1x1x128x64xbf16, strided<[16384, 8192, 64, 1], offset: ?>>
    %value = memref.subview %values[0, %g, 0, 0] [1, 1, 128, 64] [1, 1, 1, 1] : memref<1x2x128x64xbf16> to memref<1x1x128x64xbf16, strided<[16384, 8192, 64, 1], offset: ?>>
    fleet.rms_norm ins(%x, %w : memref<1x2x64xbf16>, memref<64xbf16>) outs(%normed : memref<1x2x64xf32, #lds>) {eps = 1.0e-6 : f64}
    fleet.rope ins(%normed, %cos, %sin : memref<1x2x64xf32, #lds>, memref<1x64xf32>, memref<1x64xf32>) outs(%q : memref<1x2x64xbf16, #lds>)
    fleet.rope ins(%k, %cos, %sin : memref<1x1x64xbf16>, memref<1x64xf32>, memref<1x64xf32>) outs(%turned : memref<1x1x64xbf16, #lds>)
    fleet.attention_partial part %part ins(%q, %turned, %v, %slots, %positions, %key, %value : memref<1x2x64xbf16, #lds>, memref<1x1x64xbf16, #lds>, memref<1x1x64xbf16>, memref<1xi32>, memref<1xi32>,
        memref<1x1x128x64xbf16, strided<[16384, 8192, 64, 1], offset: ?>>, memref<1x1x128x64xbf16, strided<[16384, 8192, 64, 1], offset: ?>>) outs(%out : memref<1x1x2x68xf32>) {scale = 0.125 : f64, parts = 2 : i64}
    return
  }
  // Several rows see each other's keys: all are stored, then read from the cache.
  // CHECK-LABEL: func @few
  // CHECK: vector.store %{{.*}}, %[[KEYS:.*]][
  // CHECK: gpu.barrier
  // CHECK: nvvm.mma.sync
  // Queries, keys and values of f32: keys and values are rounded for the cache, queries keep what rounding leaves.
  // CHECK-LABEL: func @wide
  // CHECK: vector.load {{.*}} : memref<2x1x64xf32>, vector<2xf32>
  // CHECK: %[[KEY:.*]] = arith.truncf
  // CHECK: vector.store %[[KEY]], {{.*}} : memref<4x1x128x64xbf16>
  // CHECK: vector.load {{.*}} : memref<2x2x64xf32>, vector<2xf32>
  // CHECK-COUNT-2: arith.truncf
  // CHECK: nvvm.mma.sync
  // CHECK-NOT: fleet.attention_partial
  // CHECK: return
  // Many rows, a rotation of a part of the head, and heads of 16 elements are left.
  // CHECK-LABEL: func @left
  // CHECK: fleet.attention_partial
  // CHECK: fleet.rope
  // CHECK-COUNT-2: fleet.attention_partial
  func.func @few(%q: memref<2x2x64xbf16>, %k: memref<2x1x64xbf16>, %slots: memref<2xi32>, %keys: memref<4x1x128x64xbf16>, %out: memref<1x2x2x68xf32>, %part: index) {
    fleet.attention_partial part %part ins(%q, %k, %k, %slots, %slots, %keys, %keys : memref<2x2x64xbf16>, memref<2x1x64xbf16>, memref<2x1x64xbf16>, memref<2xi32>, memref<2xi32>, memref<4x1x128x64xbf16>, memref<4x1x128x64xbf16>) outs(%out : memref<1x2x2x68xf32>) {scale = 0.125 : f64, parts = 2 : i64}
    return
  }
  func.func @wide(%q: memref<2x2x64xf32>, %k: memref<2x1x64xf32>, %slots: memref<2xi32>, %keys: memref<4x1x128x64xbf16>, %out: memref<1x2x2x68xf32>, %part: index) {
    fleet.attention_partial part %part ins(%q, %k, %k, %slots, %slots, %keys, %keys : memref<2x2x64xf32>, memref<2x1x64xf32>, memref<2x1x64xf32>, memref<2xi32>, memref<2xi32>, memref<4x1x128x64xbf16>, memref<4x1x128x64xbf16>) outs(%out : memref<1x2x2x68xf32>) {scale = 0.125 : f64, parts = 2 : i64}
    return
  }
  func.func @left(%q: memref<3x2x64xbf16>, %k: memref<3x1x64xbf16>, %slots: memref<3xi32>, %keys: memref<8x1x128x64xbf16>, %out: memref<1x3x2x68xf32>,
                  %x: memref<1x2x64xbf16>, %cos: memref<1x32xf32>, %y: memref<1x1x64xbf16>, %one: memref<1xi32>, %out2: memref<1x1x2x68xf32>,
                  %q3: memref<1x2x16xbf16>, %k3: memref<1x1x16xbf16>, %keys3: memref<1x1x128x16xbf16>, %out3: memref<1x1x2x20xf32>, %part: index) {
    %turned = memref.alloca() : memref<1x2x64xbf16, #lds>
    fleet.attention_partial part %part ins(%q, %k, %k, %slots, %slots, %keys, %keys : memref<3x2x64xbf16>, memref<3x1x64xbf16>, memref<3x1x64xbf16>, memref<3xi32>, memref<3xi32>, memref<8x1x128x64xbf16>, memref<8x1x128x64xbf16>) outs(%out : memref<1x3x2x68xf32>) {scale = 0.125 : f64, parts = 2 : i64}
    fleet.rope ins(%x, %cos, %cos : memref<1x2x64xbf16>, memref<1x32xf32>, memref<1x32xf32>) outs(%turned : memref<1x2x64xbf16, #lds>)
    fleet.attention_partial part %part ins(%turned, %y, %y, %one, %one, %keys, %keys : memref<1x2x64xbf16, #lds>, memref<1x1x64xbf16>, memref<1x1x64xbf16>, memref<1xi32>, memref<1xi32>, memref<8x1x128x64xbf16>, memref<8x1x128x64xbf16>) outs(%out2 : memref<1x1x2x68xf32>) {scale = 0.125 : f64, parts = 2 : i64}
    fleet.attention_partial part %part ins(%q3, %k3, %k3, %one, %one, %keys3, %keys3 : memref<1x2x16xbf16>, memref<1x1x16xbf16>, memref<1x1x16xbf16>, memref<1xi32>, memref<1xi32>, memref<1x1x128x16xbf16>, memref<1x1x128x16xbf16>) outs(%out3 : memref<1x1x2x20xf32>) {scale = 0.25 : f64, parts = 2 : i64}
    return
  }
}
