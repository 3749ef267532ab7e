// Columns of the weights are rows of the mma, so that 16 need no padding; 8 warps take the contracted dimension in turn.
// RUN: fleet-opt %s --pass-pipeline="builtin.module(gpu.module(fleet-nvgpu-lower-contractions))" | FileCheck %s

gpu.module @fleet attributes {fleet.threads = 256 : i64, fleet.lanes = 32 : i64, fleet.ring_slots = 16 : i64} {
  // Partial sums of 8 warps, at most 12 x 16 f32 each; 16 slots of 8192 bytes.
  // CHECK-DAG: memref.global "private" @partial : memref<6144xi8, #gpu.address_space<workgroup>>
  // CHECK-DAG: memref.global "private" @ring : memref<131072xi8, #gpu.address_space<workgroup>>

  // Rows past the third repeat it, and are not stored.
  // CHECK-LABEL: func @plain
  // CHECK-SAME: %[[X:[^:]*]]: memref<3x64xbf16>, %[[W:[^:]*]]: memref<64x16xbf16>, %[[Y:[^:]*]]: memref<3x16xf32>
  // CHECK: %[[ROW:.*]] = arith.minui %{{.*}}, %c2
  // CHECK: scf.for {{.*}} to %c64 step %c128{{.*}} iter_args
  // CHECK-COUNT-8: memref.load %[[W]]
  // CHECK-COUNT-2: vector.load %[[X]][%[[ROW]], %{{.*}}] {alignment = 4 : i64} : memref<3x64xbf16>, vector<2xbf16>
  // CHECK: nvvm.mma.sync {{.*}} shape = #nvvm.shape<m = 16, n = 8, k = 16>
  // CHECK-NOT: nvvm.mma.sync
  // CHECK: scf.yield
  // CHECK-COUNT-4: memref.store {{.*}} : memref<8x3x16xf32, #gpu.address_space<workgroup>>
  // CHECK: gpu.barrier
  // CHECK: memref.load %[[Y]]
  // CHECK-COUNT-8: arith.addf
  // CHECK-NOT: arith.addf
  // CHECK: memref.store {{.*}}, %[[Y]]
  // CHECK: gpu.barrier
  // CHECK-NEXT: return
  func.func @plain(%x: memref<3x64xbf16>, %w: memref<64x16xbf16>, %y: memref<3x16xf32>) {
    linalg.matmul ins(%x, %w : memref<3x64xbf16>, memref<64x16xbf16>) outs(%y : memref<3x16xf32>)
    return
  }

  // Two blocks of rows. 320 steps are 2 slots, of 256 and of 64: 4 steps of 16 a turn, in two sums.
  // CHECK-LABEL: func @streamed
  // CHECK-NOT: memref.load %arg1
  // CHECK: scf.for {{.*}} to %c2{{.*}} step %c8{{.*}} iter_args
  // CHECK: memref.get_global @ring_full
  // A warp waits for its slot; a wait that never ends stops the kernel.
  // CHECK: scf.while
  // CHECK: mbarrier.try_wait.parity.shared::cta.b64
  // CHECK: llvm.intr.trap
  // CHECK: scf.for {{.*}} step %c64{{.*}} iter_args
  // CHECK: nvvm.ldmatrix
  // CHECK-COUNT-2: nvvm.mma.sync
  // CHECK: nvvm.ldmatrix
  // CHECK-COUNT-2: nvvm.mma.sync
  // CHECK: nvvm.ldmatrix
  // CHECK-COUNT-2: nvvm.mma.sync
  // CHECK: nvvm.ldmatrix
  // CHECK-COUNT-2: nvvm.mma.sync
  // CHECK-NOT: nvvm.mma.sync
  // Its first lane frees the slot when all lanes have read it.
  // CHECK: nvvm.bar.warp.sync
  // CHECK-NOT: mbarrier.arrive
  // CHECK: scf.if
  // CHECK: fence.proxy.async.shared::cta
  // CHECK: memref.get_global @ring_empty
  // CHECK: mbarrier.arrive.shared::cta.b64
  // The position in the ring, modulo two rounds.
  // CHECK: arith.remui %{{.*}}, %c32
  // CHECK: memref.store {{.*}} : memref<256xi32, #gpu.address_space<workgroup>>
  // CHECK: gpu.barrier
  // CHECK: return
  func.func @streamed(%x: memref<9x320xbf16>, %w: memref<320x16xbf16>, %y: memref<9x16xf32>) {
    linalg.matmul {fleet.streamed} ins(%x, %w : memref<9x320xbf16>, memref<320x16xbf16>) outs(%y : memref<9x16xf32>)
    return
  }

  // A left side is brought to shared memory once for all tiles.
  // CHECK-LABEL: func @staged
  // CHECK: vector.load %arg0{{.*}} : memref<2x64xbf16{{.*}}, vector<8xbf16>
  // CHECK: vector.store {{.*}} : memref<2x64xbf16, #gpu.address_space<workgroup>>, vector<8xbf16>
  // CHECK: gpu.barrier
  // CHECK: scf.for
  // CHECK-NOT: %arg0
  // CHECK: vector.load {{.*}} : memref<2x64xbf16, #gpu.address_space<workgroup>>, vector<2xbf16>
  // CHECK: nvvm.mma.sync
  // CHECK: return
  func.func @staged(%x: memref<2x64xbf16>, %w: memref<64x16xbf16>, %y: memref<2x16xf32>, %lo: index, %hi: index, %step: index) {
    scf.for %i = %lo to %hi step %step {
      linalg.matmul ins(%x, %w : memref<2x64xbf16>, memref<64x16xbf16>) outs(%y : memref<2x16xf32>)
    }
    return
  }

  // A wide left side is split on its way to shared memory: of 8 elements the high parts, then what is left of them.
  // CHECK-LABEL: func @wide
  // CHECK-SAME: %[[X:[^:]*]]: memref<2x512xf32>
  // CHECK: %[[SPLIT:.*]] = memref.view %{{.*}} to memref<2x1040xbf16, #gpu.address_space<workgroup>>
  // CHECK: %[[FOUR:.*]] = vector.load %[[X]]{{.*}} : memref<2x512xf32>, vector<4xf32>
  // CHECK: %[[HIGH:.*]] = arith.truncf %[[FOUR]] : vector<4xf32> to vector<4xbf16>
  // CHECK: %[[BACK:.*]] = arith.extf %[[HIGH]]
  // CHECK: %[[LEFT:.*]] = arith.subf %[[FOUR]], %[[BACK]]
  // CHECK: %[[REST:.*]] = arith.truncf %[[LEFT]] : vector<4xf32> to vector<4xbf16>
  // CHECK: vector.store %[[HIGH]], %[[SPLIT]][%[[ROW:.*]], %[[TO:.*]]] {alignment = 8 : i64}
  // CHECK: %[[AFTER:.*]] = arith.addi %[[TO]], %c8
  // CHECK: vector.store %[[REST]], %[[SPLIT]][%[[ROW]], %[[AFTER]]] {alignment = 8 : i64}
  // CHECK: gpu.barrier
  // CHECK: scf.for
  // CHECK-NOT: linalg.fill
  // Rows 4 to 7 of the mma are the rests of rows 0 to 3, one mma a step.
  // CHECK: %[[GROUP:.*]] = arith.divui %{{.*}}, %c4
  // CHECK: %[[OF:.*]] = arith.remui %[[GROUP]], %c4
  // CHECK: arith.minui %[[OF]], %c1
  // CHECK: arith.divui %[[GROUP]], %c4
  // CHECK: scf.for
  // CHECK-COUNT-2: vector.load %[[SPLIT]]{{.*}} vector<2xbf16>
  // CHECK: nvvm.mma.sync
  // CHECK-NOT: nvvm.mma.sync
  // CHECK: scf.yield
  // CHECK-COUNT-4: gpu.shuffle xor %{{.*}}, %c2
  // The accumulator is zero: it is neither made nor read.
  // CHECK-NOT: memref.load %arg2
  // CHECK: memref.store {{.*}}, %arg2
  // CHECK: return
  func.func @wide(%x: memref<2x512xf32>, %w: memref<512x16xbf16>, %y: memref<2x16xf32>, %lo: index, %hi: index, %step: index) {
    %zero = arith.constant 0.0 : f32
    scf.for %i = %lo to %hi step %step {
      linalg.fill ins(%zero : f32) outs(%y : memref<2x16xf32>)
      linalg.matmul ins(%x, %w : memref<2x512xf32>, memref<512x16xbf16>) outs(%y : memref<2x16xf32>)
    }
    return
  }

  // A temporary that nothing else reads is split where it stands, once for both.
  // CHECK-LABEL: func @in_place
  // CHECK: %[[SPLIT:.*]] = memref.view %[[SCRATCH:.*]][%c64{{.*}}][] : memref<320xi8, {{.*}} to memref<1x128xbf16
  // CHECK: vector.load %{{.*}} {alignment = 32 : i64} : memref<1x64xf32, {{.*}}, vector<8xf32>
  // CHECK-COUNT-2: vector.store {{.*}}, %[[SPLIT]]
  // CHECK: gpu.barrier
  // CHECK: scf.for
  // CHECK-NOT: vector.store
  // CHECK-COUNT-2: nvvm.mma.sync
  // CHECK-NOT: vector.store
  // CHECK: return
  func.func @in_place(%w: memref<64x16xbf16>, %y: memref<1x16xf32>, %z: memref<1x16xf32>, %lo: index, %hi: index, %step: index,
                      %scratch: memref<320xi8, #gpu.address_space<workgroup>>) {
    %c64 = arith.constant 64 : index
    %x = memref.view %scratch[%c64][] : memref<320xi8, #gpu.address_space<workgroup>> to memref<1x64xf32, #gpu.address_space<workgroup>>
    scf.for %i = %lo to %hi step %step {
      linalg.matmul ins(%x, %w : memref<1x64xf32, #gpu.address_space<workgroup>>, memref<64x16xbf16>) outs(%y : memref<1x16xf32>)
      linalg.matmul ins(%x, %w : memref<1x64xf32, #gpu.address_space<workgroup>>, memref<64x16xbf16>) outs(%z : memref<1x16xf32>)
    }
    return
  }

  // One that is read again stays: the split one stands behind the scratch, 384 bytes.
  // CHECK-LABEL: func @read_again
  // CHECK: memref.get_global @scratch
  // CHECK: memref.view %{{.*}}[%c384{{.*}}][] : memref<{{.*}} to memref<1x144xbf16
  // CHECK: return
  func.func @read_again(%w: memref<64x16xbf16>, %y: memref<1x16xf32>, %lo: index, %hi: index, %step: index,
                        %scratch: memref<320xi8, #gpu.address_space<workgroup>>) -> f32 {
    %c0 = arith.constant 0 : index
    %c64 = arith.constant 64 : index
    %x = memref.view %scratch[%c64][] : memref<320xi8, #gpu.address_space<workgroup>> to memref<1x64xf32, #gpu.address_space<workgroup>>
    scf.for %i = %lo to %hi step %step {
      linalg.matmul ins(%x, %w : memref<1x64xf32, #gpu.address_space<workgroup>>, memref<64x16xbf16>) outs(%y : memref<1x16xf32>)
    }
    %again = memref.load %x[%c0, %c0] : memref<1x64xf32, #gpu.address_space<workgroup>>
    return %again : f32
  }

  // Two left sides of one body do not stand at the same place: the first takes 256 bytes.
  // CHECK-LABEL: func @two_lefts
  // CHECK: memref.view %{{.*}}[%c0{{.*}}][] : {{.*}} to memref<2x64xbf16
  // CHECK: memref.view %{{.*}}[%c256{{.*}}][] : {{.*}} to memref<2x32xbf16
  // CHECK: scf.for
  func.func @two_lefts(%x: memref<2x64xbf16>, %w: memref<64x16xbf16>, %y: memref<2x16xf32>, %v: memref<2x32xbf16>, %u: memref<32x16xbf16>,
                       %lo: index, %hi: index, %step: index) {
    scf.for %i = %lo to %hi step %step {
      linalg.matmul ins(%x, %w : memref<2x64xbf16>, memref<64x16xbf16>) outs(%y : memref<2x16xf32>)
      linalg.matmul ins(%v, %u : memref<2x32xbf16>, memref<32x16xbf16>) outs(%y : memref<2x16xf32>)
    }
    return
  }

  // With more than 2 rows each part has an mma of its own, and is made in registers: two steps' pairs of a block.
  // CHECK-LABEL: func @wide_many
  // CHECK-SAME: %[[X:[^:]*]]: memref<12x64xf32>
  // CHECK-NOT: vector.store
  // CHECK: scf.for
  // CHECK: %[[TWO:.*]] = vector.load %[[X]]{{.*}} {alignment = 8 : i64} : memref<12x64xf32>, vector<2xf32>
  // CHECK: %[[A:.*]] = vector.extract %[[TWO]][0]
  // CHECK: %[[B:.*]] = vector.extract %[[TWO]][1]
  // CHECK: %[[HIGH:.*]] = llvm.inline_asm {{.*}} "cvt.rn.bf16x2.f32 $0, $1, $2;", "=r,f,f" %[[B]], %[[A]]
  // CHECK-COUNT-2: arith.subf
  // CHECK: %[[REST:.*]] = llvm.inline_asm {{.*}} "cvt.rn.bf16x2.f32
  // CHECK: vector.load %[[X]]
  // CHECK: nvvm.mma.sync A[%[[W:.*]], %{{.*}}, %{{.*}}, %{{.*}}] B[%[[HIGH]], %{{.*}}]
  // CHECK: nvvm.mma.sync A[%[[W]], %{{.*}}, %{{.*}}, %{{.*}}] B[%[[REST]], %{{.*}}]
  // CHECK-COUNT-2: nvvm.mma.sync
  // CHECK-NOT: nvvm.mma.sync
  // CHECK: return
  func.func @wide_many(%x: memref<12x64xf32>, %w: memref<64x16xbf16>, %y: memref<12x16xf32>) {
    linalg.matmul ins(%x, %w : memref<12x64xf32>, memref<64x16xbf16>) outs(%y : memref<12x16xf32>)
    return
  }

  // A wide left side of 33 rows or of more than 8192 contracted elements is left to the loops.
  // CHECK-LABEL: func @too_wide
  // CHECK-COUNT-2: linalg.matmul
  func.func @too_wide(%a: memref<33x16xf32>, %b: memref<16x16xbf16>, %c: memref<33x16xf32>, %d: memref<2x8208xf32>, %e: memref<8208x16xbf16>,
                      %f: memref<2x16xf32>) {
    linalg.matmul ins(%a, %b : memref<33x16xf32>, memref<16x16xbf16>) outs(%c : memref<33x16xf32>)
    linalg.matmul ins(%d, %e : memref<2x8208xf32>, memref<8208x16xbf16>) outs(%f : memref<2x16xf32>)
    return
  }

  // f32, 8 columns and a depth of 24 stay for the loops.
  // CHECK-LABEL: func @others
  // CHECK-COUNT-3: linalg.matmul
  func.func @others(%a: memref<2x16xf32>, %b: memref<16x16xf32>, %c: memref<2x16xf32>, %d: memref<2x16xbf16>, %e: memref<16x8xbf16>,
                    %f: memref<2x8xf32>, %g: memref<2x24xbf16>, %h: memref<24x16xbf16>) {
    linalg.matmul ins(%a, %b : memref<2x16xf32>, memref<16x16xf32>) outs(%c : memref<2x16xf32>)
    linalg.matmul ins(%d, %e : memref<2x16xbf16>, memref<16x8xbf16>) outs(%f : memref<2x8xf32>)
    linalg.matmul ins(%g, %h : memref<2x24xbf16>, memref<24x16xbf16>) outs(%c : memref<2x16xf32>)
    return
  }
}
