// A part of attention of many rows: a warp a row, scores and weighted values by mma, read from the cache as they lie there.
// RUN: fleet-opt %s --pass-pipeline="builtin.module(gpu.module(fleet-nvgpu-lower-attention))" | FileCheck %s

gpu.module @fleet attributes {fleet.threads = 256 : i64, fleet.lanes = 32 : i64} {
  // CHECK-LABEL: func @rows
  // CHECK-SAME: %[[Q:[^:]*]]: memref<8x4x64xbf16>, %[[K:[^:]*]]: memref<8x1x64xbf16>
  // CHECK-SAME: %[[KEYS:[^:]*]]: memref<8x1x128x64xbf16>, %[[VALUES:[^:]*]]: memref<8x1x128x64xbf16>, %[[OUT:[^:]*]]: memref<1x8x4x68xf32>
  // Queries of a warp's first row: 64 elements are two loads of 8 a lane.
  // CHECK-COUNT-2: vector.load %[[Q]]
  // What is read first is asked for, then this step's keys and values are stored, by the part that reads them.
  // CHECK: memref.prefetch %[[KEYS]]
  // CHECK: vector.store %{{.*}}, %[[KEYS]]
  // CHECK: vector.store %{{.*}}, %[[VALUES]]
  // CHECK: gpu.barrier
  // 16 positions a round: all loads first, and none is moved behind the scores.
  // CHECK: scf.for
  // CHECK: scf.for {{.*}} iter_args
  // CHECK-COUNT-4: vector.load %[[KEYS]]
  // CHECK-COUNT-4: vector.load %[[VALUES]]
  // CHECK: nvvm.bar.warp.sync
  // CHECK-NOT: vector.load
  // CHECK-COUNT-8: nvvm.mma.sync
  // CHECK-NOT: nvvm.mma.sync
  // CHECK-COUNT-2: gpu.shuffle xor
  // CHECK: ex2.approx
  // CHECK-COUNT-4: cvt.rn.bf16x2.f32
  // This lane's sums are those of other heads than its row.
  // CHECK-COUNT-2: gpu.shuffle idx
  // 16 elements of a head in one mma, of high parts and rests.
  // CHECK-COUNT-4: nvvm.mma.sync
  // CHECK-NOT: nvvm.mma.sync
  // CHECK: scf.yield
  // CHECK: gpu.shuffle xor
  // CHECK: vector.store %{{.*}}, %[[OUT]]
  // The maximum is a power of two, the merge takes one of e.
  // CHECK: %[[LN2:.*]] = arith.constant 0.693147
  // CHECK: %[[MAXIMUM:.*]] = arith.mulf %{{.*}}, %[[LN2]]
  // CHECK: memref.store %[[MAXIMUM]], %[[OUT]]
  // CHECK: gpu.barrier
  // CHECK-NOT: fleet.attention_partial
  // CHECK: return
  func.func @rows(%q: memref<8x4x64xbf16>, %k: memref<8x1x64xbf16>, %v: memref<8x1x64xbf16>, %slots: memref<8xi32>, %positions: memref<8xi32>,
                  %keys: memref<8x1x128x64xbf16>, %values: memref<8x1x128x64xbf16>, %out: memref<1x8x4x68xf32>, %part: index) {
    fleet.attention_partial part %part ins(%q, %k, %v, %slots, %positions, %keys, %values : memref<8x4x64xbf16>, memref<8x1x64xbf16>, memref<8x1x64xbf16>, memref<8xi32>, memref<8xi32>, memref<8x1x128x64xbf16>, memref<8x1x128x64xbf16>) outs(%out : memref<1x8x4x68xf32>) {scale = 0.125 : f64, parts = 2 : i64}
    return
  }
  // Parts to which blocks of 16 positions are dealt, queries of f32, 5 heads.
  // CHECK-LABEL: func @dealt
  // CHECK-SAME: %[[Q:[^:]*]]: memref<16x5x64xf32>, %[[K:[^:]*]]: memref<16x1x64xf32>
  // CHECK-SAME: %[[KEYS:[^:]*]]: memref<9x1x128x64xbf16>, %[[VALUES:[^:]*]]: memref<9x1x128x64xbf16>, {{.*}} %[[PART:[^:]*]]: index
  // The part's first block.
  // CHECK: %[[C16:.*]] = arith.constant 16 : index
  // CHECK: %[[FIRST:.*]] = arith.muli %[[PART]], %[[C16]]
  // CHECK: %[[WORD:.*]] = arith.index_cast %[[FIRST]] : index to i32
  // CHECK: vector.load %[[Q]]{{.*}} vector<8xf32>
  // More rows than warps: nothing is asked for ahead.
  // CHECK-NOT: memref.prefetch
  // A position's part: position / 16 mod 4.
  // CHECK: %[[POSITION:.*]] = arith.index_cast
  // CHECK: %[[OF:.*]] = arith.divui %[[POSITION]], %{{.*}}
  // CHECK: %[[OWNER:.*]] = arith.remui %[[OF]], %{{.*}}
  // CHECK: arith.cmpi eq, %[[OWNER]], %[[PART]]
  // Keys and values are rounded as they are stored, queries keep what that leaves.
  // CHECK: vector.load %[[K]]{{.*}} vector<8xf32>
  // CHECK: %[[KEY:.*]] = arith.truncf
  // CHECK: vector.store %[[KEY]], %[[KEYS]]
  // CHECK: gpu.barrier
  // CHECK-COUNT-16: cvt.rn.bf16x2.f32
  // CHECK: scf.for %{{.*}} = %{{.*}} to %c16{{.*}} step %c8{{.*}} iter_args(%[[AT:[^ ]*]] =
  // The blocks of a part are 4 x 16 positions apart.
  // CHECK: %[[STEP:.*]] = arith.constant 64 : i32
  // CHECK: scf.for {{.*}} step %[[STEP]]
  // CHECK-COUNT-8: nvvm.mma.sync
  // CHECK: arith.addf
  // More than 4 heads leave no half of the mma: rests are multiplied in one of their own.
  // CHECK-COUNT-4: cvt.rn.bf16x2.f32
  // CHECK-COUNT-8: nvvm.mma.sync
  // CHECK-NOT: nvvm.mma.sync
  // The queries of the warp's next row come while this one's sums are stored.
  // CHECK: vector.load %[[Q]]{{.*}} vector<8xf32>
  // CHECK: vector.store
  // CHECK: cvt.rn.bf16x2.f32
  // CHECK-NOT: fleet.attention_partial
  // CHECK: return
  func.func @dealt(%q: memref<16x5x64xf32>, %k: memref<16x1x64xf32>, %slots: memref<16xi32>,
                   %keys: memref<9x1x128x64xbf16>, %values: memref<9x1x128x64xbf16>, %out: memref<1x16x5x68xf32>, %part: index) {
    fleet.attention_partial part %part ins(%q, %k, %k, %slots, %slots, %keys, %values : memref<16x5x64xf32>, memref<16x1x64xf32>, memref<16x1x64xf32>, memref<16xi32>, memref<16xi32>, memref<9x1x128x64xbf16>, memref<9x1x128x64xbf16>) outs(%out : memref<1x16x5x68xf32>) {dealt = 16 : i64, scale = 0.125 : f64, parts = 4 : i64}
    return
  }
  // More than 16 rows: keys and values come by bulk copies to a warp's own buffers, behind the scratch of bodies.
  // CHECK-LABEL: func @copied
  // CHECK-SAME: %[[Q:[^:]*]]: memref<24x4x64xf32>
  // CHECK-SAME: %[[KEYS:[^:]*]]: memref<24x1x128x64xbf16, #gpu.address_space<global>>, %[[VALUES:[^:]*]]: memref<24x1x128x64xbf16, #gpu.address_space<global>>, %[[OUT:[^:]*]]: memref<1x24x4x68xf32>
  // What follows from the thread is computed in this body.
  // CHECK: llvm.inline_asm {{.*}} "mov.b32
  // 8 warps have 16 positions of 128 bytes, twice, and two mbarriers.
  // CHECK: memref.get_global @scratch : memref<32896xi8
  // CHECK-COUNT-2: mbarrier.init
  // CHECK: fence.mbarrier_init
  // What earlier steps have stored comes before copies.
  // CHECK: "fence.proxy.async.global;"
  // CHECK: nvvm.bar.warp.sync
  // Lane i has the slot and the position of the warp's i-th row.
  // CHECK-COUNT-2: gpu.shuffle idx
  // The first round, if it has nothing that this step stores: a proxy fence, the bytes that are expected, the copy.
  // CHECK: arith.cmpi ule
  // CHECK: scf.if
  // CHECK: %[[BYTES:.*]] = arith.muli %{{.*}}, %c128_i32
  // CHECK: "fence.proxy.async.shared::cta;"
  // CHECK: arrive.expect_tx{{.*}} %[[BYTES]]
  // CHECK: memref.extract_aligned_pointer_as_index %[[KEYS]]
  // CHECK: cp.async.bulk.shared{{.*}} %[[BYTES]],
  // CHECK: memref.extract_aligned_pointer_as_index %[[VALUES]]
  // CHECK: cp.async.bulk.shared
  // CHECK: vector.store %{{.*}}, %[[KEYS]]
  // CHECK: vector.store %{{.*}}, %[[VALUES]]
  // CHECK: "fence.proxy.async.global;"
  // CHECK: gpu.barrier
  // CHECK: "fence.proxy.async.global;"
  // CHECK-COUNT-2: cp.async.bulk.shared
  // The warp's rows. Of a row without positions in this part the next one's first round is asked for at once.
  // CHECK: scf.for
  // CHECK: arith.cmpi uge
  // CHECK-COUNT-2: cp.async.bulk.shared
  // CHECK: scf.for
  // The next round's keys are asked for as soon as these have been read.
  // CHECK: mbarrier.try_wait
  // CHECK-COUNT-4: vector.load %{{.*}}, vector<8xbf16>
  // CHECK: nvvm.bar.warp.sync
  // CHECK: "fence.proxy.async.shared::cta;"
  // CHECK: cp.async.bulk.shared
  // Two sums for each 8 positions: those of even and of odd ones stand in different quarters of them.
  // CHECK-COUNT-8: nvvm.mma.sync
  // CHECK-NOT: nvvm.mma.sync
  // CHECK: ex2.approx
  // CHECK: mbarrier.try_wait
  // Values of positions that are not there are 0.
  // CHECK: scf.if
  // CHECK: vector.store %{{.*}} : memref<8x16x32xf32, #gpu.address_space<workgroup>>, vector<4xf32>
  // CHECK: nvvm.bar.warp.sync
  // CHECK-COUNT-4: vector.load %{{.*}}, vector<8xbf16>
  // CHECK: nvvm.bar.warp.sync
  // CHECK: "fence.proxy.async.shared::cta;"
  // CHECK: cp.async.bulk.shared
  // CHECK-COUNT-4: nvvm.mma.sync
  // The parity of the next round.
  // CHECK: arith.xori
  // CHECK: scf.yield
  // Other bodies find no mbarrier in their scratch.
  // CHECK: nvvm.bar.warp.sync
  // CHECK-COUNT-2: mbarrier.inval
  // CHECK: gpu.barrier
  // CHECK: return
  func.func @copied(%q: memref<24x4x64xf32>, %k: memref<24x1x64xf32>, %slots: memref<24xi32>,
                    %keys: memref<24x1x128x64xbf16, #gpu.address_space<global>>, %values: memref<24x1x128x64xbf16, #gpu.address_space<global>>, %out: memref<1x24x4x68xf32>, %part: index) {
    fleet.attention_partial part %part ins(%q, %k, %k, %slots, %slots, %keys, %values : memref<24x4x64xf32>, memref<24x1x64xf32>, memref<24x1x64xf32>, memref<24xi32>, memref<24xi32>, memref<24x1x128x64xbf16, #gpu.address_space<global>>, memref<24x1x128x64xbf16, #gpu.address_space<global>>) outs(%out : memref<1x24x4x68xf32>) {dealt = 16 : i64, scale = 0.125 : f64, parts = 4 : i64}
    return
  }
  // Queries and keys before norm and rotation.
  // CHECK-LABEL: func @rotated
  // CHECK-SAME: %[[Q:[^:]*]]: memref<24x4x64xf32>, %[[K:[^:]*]]: memref<24x1x64xf32>
  // CHECK-SAME: %[[KEYS:[^:]*]]: memref<24x1x128x64xbf16, {{[^%]*}}>, %[[VALUES:[^:]*]]: memref<24x1x128x64xbf16,
  // CHECK-SAME: %[[COS:[^:]*]]: memref<24x64xf32>, %[[SIN:[^:]*]]: memref<24x64xf32>, %[[WQ:[^:]*]]: memref<64xbf16>, %[[WK:[^:]*]]: memref<64xbf16>
  // CHECK-COUNT-2: vector.load %[[Q]]
  // CHECK-COUNT-2: vector.load %[[WQ]]
  // The first rounds are on their way.
  // CHECK-COUNT-2: cp.async.bulk.shared
  // Two rows of a warp at once, each with its row's angles.
  // CHECK: vector.load %[[K]][%[[ROW:[^,]*]], {{.*}} vector<2xf32>
  // CHECK: vector.load %[[COS]][%[[ROW]], {{.*}} vector<2xf32>
  // CHECK: vector.load %[[SIN]][%[[ROW]], {{.*}} vector<2xf32>
  // CHECK: vector.load %[[WK]][{{.*}} vector<2xbf16>
  // Its value, which is the same buffer here.
  // CHECK: vector.load %[[K]][%[[ROW]], {{.*}} vector<2xf32>
  // CHECK: vector.load %[[K]][%[[SECOND:[^,]*]], {{.*}} vector<2xf32>
  // CHECK: vector.load %[[COS]][%[[SECOND]], {{.*}} vector<2xf32>
  // The squares of all lanes; the elements half a head further are those of the lane half a warp further.
  // CHECK-COUNT-5: gpu.shuffle xor
  // CHECK: math.sqrt
  // CHECK-COUNT-2: gpu.shuffle xor %{{.*}}, %c16
  // CHECK: arith.negf
  // CHECK: vector.store %{{.*}}, %[[KEYS]]
  // CHECK: vector.store %{{.*}}, %[[VALUES]]
  // CHECK: vector.store %{{.*}}, %[[KEYS]]
  // CHECK: vector.store %{{.*}}, %[[VALUES]]
  // While they are on their way queries are rotated. One is that of four lanes, which have the elements half a head further as well.
  // CHECK: vector.load %[[COS]]{{.*}} vector<8xf32>
  // CHECK: vector.load %[[SIN]]{{.*}} vector<8xf32>
  // CHECK-COUNT-2: gpu.shuffle xor
  // CHECK: math.sqrt
  // CHECK-NOT: gpu.shuffle
  // CHECK: arith.subf {{.*}} vector<8xf32>
  // CHECK: arith.addf {{.*}} vector<8xf32>
  // CHECK: fence.proxy.async.global
  // CHECK: gpu.barrier
  // CHECK-COUNT-2: cp.async.bulk.shared
  // CHECK: cvt.rn.bf16x2.f32
  // CHECK-NOT: fleet.attention_partial
  // CHECK: return
  func.func @rotated(%q: memref<24x4x64xf32>, %k: memref<24x1x64xf32>, %slots: memref<24xi32>,
                     %keys: memref<24x1x128x64xbf16, #gpu.address_space<global>>, %values: memref<24x1x128x64xbf16, #gpu.address_space<global>>,
                     %cos: memref<24x64xf32>, %sin: memref<24x64xf32>, %wq: memref<64xbf16>, %wk: memref<64xbf16>, %out: memref<1x24x4x68xf32>, %part: index) {
    fleet.attention_partial part %part ins(%q, %k, %k, %slots, %slots, %keys, %values : memref<24x4x64xf32>, memref<24x1x64xf32>, memref<24x1x64xf32>, memref<24xi32>, memref<24xi32>, memref<24x1x128x64xbf16, #gpu.address_space<global>>, memref<24x1x128x64xbf16, #gpu.address_space<global>>) rotate(%cos, %sin : memref<24x64xf32>, memref<24x64xf32>) norm(%wq, %wk : memref<64xbf16>, memref<64xbf16>) outs(%out : memref<1x24x4x68xf32>) {dealt = 16 : i64, parts = 4 : i64, eps = 1.0e-6 : f64, scale = 0.25 : f64}
    return
  }
  // Positions that do not follow each other in memory, and heads for which the buffers are too large, are loaded.
  // CHECK-LABEL: func @loaded
  // CHECK-NOT: cp.async.bulk
  // CHECK: return
  func.func @loaded(%q: memref<24x4x64xf32>, %k: memref<24x1x64xf32>, %slots: memref<24xi32>,
                    %keys: memref<24x1x128x64xbf16, strided<[16384, 64, 128, 1]>, #gpu.address_space<global>>, %out: memref<1x24x4x68xf32>,
                    %q2: memref<24x4x256xf32>, %k2: memref<24x1x256xf32>, %keys2: memref<24x1x128x256xbf16, #gpu.address_space<global>>, %out2: memref<1x24x4x260xf32>, %part: index) {
    fleet.attention_partial part %part ins(%q, %k, %k, %slots, %slots, %keys, %keys : memref<24x4x64xf32>, memref<24x1x64xf32>, memref<24x1x64xf32>, memref<24xi32>, memref<24xi32>, memref<24x1x128x64xbf16, strided<[16384, 64, 128, 1]>, #gpu.address_space<global>>, memref<24x1x128x64xbf16, strided<[16384, 64, 128, 1]>, #gpu.address_space<global>>) outs(%out : memref<1x24x4x68xf32>) {dealt = 16 : i64, scale = 0.125 : f64, parts = 4 : i64}
    fleet.attention_partial part %part ins(%q2, %k2, %k2, %slots, %slots, %keys2, %keys2 : memref<24x4x256xf32>, memref<24x1x256xf32>, memref<24x1x256xf32>, memref<24xi32>, memref<24xi32>, memref<24x1x128x256xbf16, #gpu.address_space<global>>, memref<24x1x128x256xbf16, #gpu.address_space<global>>) outs(%out2 : memref<1x24x4x260xf32>) {dealt = 16 : i64, scale = 0.125 : f64, parts = 4 : i64}
    return
  }
  // Few rows, heads of 32 elements and blocks that are no rounds are left.
  // CHECK-LABEL: func @left
  // CHECK-COUNT-3: fleet.attention_partial
  func.func @left(%q: memref<2x4x64xbf16>, %k: memref<2x1x64xbf16>, %slots: memref<2xi32>, %keys: memref<8x1x128x64xbf16>, %out: memref<1x2x4x68xf32>,
                  %q2: memref<8x4x32xbf16>, %k2: memref<8x1x32xbf16>, %slots2: memref<8xi32>, %keys2: memref<8x1x128x32xbf16>, %out2: memref<1x8x4x36xf32>,
                  %q3: memref<8x4x64xbf16>, %k3: memref<8x1x64xbf16>, %out3: memref<1x8x4x68xf32>, %part: index) {
    fleet.attention_partial part %part ins(%q, %k, %k, %slots, %slots, %keys, %keys : memref<2x4x64xbf16>, memref<2x1x64xbf16>, memref<2x1x64xbf16>, memref<2xi32>, memref<2xi32>, memref<8x1x128x64xbf16>, memref<8x1x128x64xbf16>) outs(%out : memref<1x2x4x68xf32>) {scale = 0.125 : f64, parts = 2 : i64}
    fleet.attention_partial part %part ins(%q2, %k2, %k2, %slots2, %slots2, %keys2, %keys2 : memref<8x4x32xbf16>, memref<8x1x32xbf16>, memref<8x1x32xbf16>, memref<8xi32>, memref<8xi32>, memref<8x1x128x32xbf16>, memref<8x1x128x32xbf16>) outs(%out2 : memref<1x8x4x36xf32>) {scale = 0.125 : f64, parts = 2 : i64}
    fleet.attention_partial part %part ins(%q3, %k3, %k3, %slots2, %slots2, %keys, %keys : memref<8x4x64xbf16>, memref<8x1x64xbf16>, memref<8x1x64xbf16>, memref<8xi32>, memref<8xi32>, memref<8x1x128x64xbf16>, memref<8x1x128x64xbf16>) outs(%out3 : memref<1x8x4x68xf32>) {dealt = 8 : i64, scale = 0.125 : f64, parts = 2 : i64}
    return
  }
}
