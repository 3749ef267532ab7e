// Contractions of more than 2 rows: several tiles go through the contracted dimension together.
// RUN: fleet-opt %s --pass-pipeline="builtin.module(gpu.module(fleet-nvgpu-stream-weights))" | FileCheck %s --check-prefix=STREAM
// RUN: fleet-opt %s --pass-pipeline="builtin.module(gpu.module(fleet-nvgpu-stream-weights,fleet-nvgpu-lower-contractions))" | FileCheck %s

// A cu task has three tiles at most. For 24 rows two warps share a turn, of which there are 4: slots are a multiple of
// that, and are free when both warps have read them.
// STREAM: gpu.module @fleet attributes {{{.*}}fleet.ring_slots = 20 : i64, fleet.row_groups = 2 : i64
// STREAM-DAG: memref.global "private" constant @stream_together : memref<3xi32, #gpu.address_space<global>> = dense<[3, 3, 1]>
// STREAM-DAG: memref.global "private" constant @stream_begins : memref<4xi32, #gpu.address_space<global>> = dense<[0, 1, 3, 3]>
// STREAM-DAG: memref.global "private" @ring_position : memref<32xi8, #gpu.address_space<workgroup>>
// STREAM-LABEL: func.func private @one
// STREAM: linalg.matmul {fleet.streamed}
// STREAM: } {fleet.tiles_summed = 3 : i64, fleet.tiles_together = 3 : i64}
// STREAM-LABEL: func.func private @two
// STREAM-COUNT-2: linalg.matmul {fleet.streamed}
// STREAM: } {fleet.tiles_summed = 3 : i64, fleet.tiles_together = 3 : i64}
// Its left side is of each tile: it is not streamed.
// STREAM-LABEL: func.func private @apart
// STREAM: linalg.matmul ins(
// STREAM-NOT: tiles_together
// Passes of tiles, rounds of 4 chunks of 8192 bytes, tiles, matrices, chunks; the ones that are not there stay empty.
// STREAM-LABEL: gpu.func @fleet_step
// STREAM: memref.get_global @ring_full
// STREAM: "mbarrier.init.shared::cta.b64 [$0], $1;", "l,r" %{{.*}}, %c1_i32{{.*}}
// STREAM: memref.get_global @ring_empty
// STREAM: "mbarrier.init.shared::cta.b64 [$0], $1;", "l,r" %{{.*}}, %c2_i32{{.*}}
// STREAM: memref.get_global @stream_together
// STREAM: scf.for {{.*}} iter_args
// STREAM: %[[ROUND:.*]] = arith.constant 32768 : index
// STREAM: scf.for %{{.*}} = %{{.*}} to %{{.*}} step %[[ROUND]] iter_args
// STREAM-COUNT-3: scf.for
// STREAM: mbarrier.arrive.expect_tx.shared::cta.b64
// STREAM: arith.cmpi ne
// STREAM: scf.if
// STREAM: cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes

// 4096 deep are 16 chunks, four a turn, none of which is ragged. A lane loads 16 bytes of a row, eight times for a
// chunk, and the next chunk's before it multiplies this one's.
// CHECK-LABEL: func.func private @one
// CHECK: scf.for
// CHECK-COUNT-8: vector.load {{.*}} {alignment = 16 : i64} : memref<8x4096xbf16>, vector<8xbf16>
// CHECK: scf.for {{.*}} to %c16{{.*}} step %c4{{.*}} iter_args
// CHECK-COUNT-8: vector.load {{.*}} {alignment = 16 : i64} : memref<8x4096xbf16>, vector<8xbf16>
// Each tile waits for its slot, multiplies 16 steps of it, and frees it.
// CHECK: mbarrier.try_wait.parity.shared::cta.b64
// CHECK-COUNT-16: nvvm.mma.sync
// CHECK: nvvm.bar.warp.sync
// CHECK-NOT: mbarrier.arrive
// CHECK: fence.proxy.async.shared::cta
// CHECK: mbarrier.arrive.shared::cta.b64
// CHECK: scf.if
// CHECK: mbarrier.try_wait.parity.shared::cta.b64
// CHECK-COUNT-16: nvvm.mma.sync
// CHECK: scf.if
// CHECK: mbarrier.try_wait.parity.shared::cta.b64
// CHECK-COUNT-16: nvvm.mma.sync
// CHECK-NOT: nvvm.mma.sync
// The sums of 4 turns in order, of all tiles that there are between two barriers; what was zero is not read.
// CHECK-COUNT-12: vector.store {{.*}} : memref<12x8x16xf32, #gpu.address_space<workgroup>>
// CHECK: gpu.barrier
// CHECK-NOT: linalg.fill
// CHECK: scf.for {{.*}} step %c8
// CHECK-COUNT-4: vector.load {{.*}} : memref<12x8x16xf32, #gpu.address_space<workgroup>>, vector<4xf32>
// CHECK-NOT: vector.load
// CHECK: gpu.barrier
// CHECK-LABEL: func.func private @two
// A warp has two blocks of rows, the last one's end with the rows; the depth ends within a chunk, of whose 8 loads
// the last ones may not be there.
// CHECK: arith.minui
// CHECK-COUNT-16: vector.load {{.*}} : memref<24x320xbf16>, vector<8xbf16>
// CHECK: mbarrier.try_wait.parity.shared::cta.b64
// CHECK: scf.if
// CHECK-COUNT-4: nvvm.mma.sync
// CHECK-NOT: mbarrier.arrive
// CHECK: fence.proxy.async.shared::cta
// CHECK: mbarrier.arrive.shared::cta.b64
// CHECK: mbarrier.try_wait.parity.shared::cta.b64
// Of three tiles two sums each, to which is added what was there.
// CHECK: vector.store {{.*}} : memref<24x24x16xf32, #gpu.address_space<workgroup>>
// CHECK: gpu.barrier
// CHECK: vector.load {{.*}} : memref<24x16xf32>, vector<4xf32>
// CHECK-COUNT-4: vector.load {{.*}} : memref<24x24x16xf32, #gpu.address_space<workgroup>>, vector<4xf32>
// CHECK: vector.store {{.*}} : memref<24x16xf32>, vector<4xf32>
// CHECK-LABEL: func.func private @apart
// CHECK-NOT: nvvm.ldmatrix
// CHECK: nvvm.mma.sync
module attributes {fleet.target = #fleet.target<"sm_90a", backend = nvvm, chiplets = 1, workers = 2, lds = 232448, l2 = 1, hbm_gbs = 1, tile = 16>} {
  gpu.module @fleet attributes {fleet.threads = 256 : i64, fleet.lanes = 32 : i64} {
    memref.global "private" constant @device_tasks : memref<3x8xi32, #gpu.address_space<global>> = dense<[[0, 0, 0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0, 0], [2, 0, 0, 0, 0, 0, 0, 0]]>
    memref.global "private" constant @cu_tasks : memref<4x3xi32, #gpu.address_space<global>> = dense<[[0, 0, 2], [0, 2, 5], [1, 0, 4], [2, 0, 1]]>
    memref.global "private" constant @queues : memref<3xi32, #gpu.address_space<global>> = dense<[0, 2, 4]>
    memref.global "private" constant @arrivals : memref<3x1xi32, #gpu.address_space<global>> = dense<1>
    memref.global "private" @expired : memref<2xi32, #gpu.address_space<workgroup>> = uninitialized
    memref.global "private" @scratch : memref<40000xi8, #gpu.address_space<workgroup>> = uninitialized
    func.func private @one(%x: memref<8x4096xbf16>, %w: memref<8x4096x16xbf16>, %y: memref<8x16xf32>, %lo: index, %hi: index) {
      %c16 = arith.constant 16 : index
      %zero = arith.constant 0.0 : f32
      scf.for %i = %lo to %hi step %c16 {
        %t = arith.divui %i, %c16 : index
        %a = memref.subview %w[%t, 0, 0] [1, 4096, 16] [1, 1, 1] : memref<8x4096x16xbf16> to memref<4096x16xbf16, strided<[16, 1], offset: ?>>
        linalg.fill ins(%zero : f32) outs(%y : memref<8x16xf32>)
        linalg.matmul ins(%x, %a : memref<8x4096xbf16>, memref<4096x16xbf16, strided<[16, 1], offset: ?>>) outs(%y : memref<8x16xf32>)
      }
      return
    }
    func.func private @two(%x: memref<24x320xbf16>, %v: memref<8x320x16xbf16>, %w: memref<8x320x16xbf16>, %y: memref<24x16xf32>, %z: memref<24x16xf32>, %lo: index, %hi: index) {
      %c16 = arith.constant 16 : index
      scf.for %i = %lo to %hi step %c16 {
        %t = arith.divui %i, %c16 : index
        %a = memref.subview %v[%t, 0, 0] [1, 320, 16] [1, 1, 1] : memref<8x320x16xbf16> to memref<320x16xbf16, strided<[16, 1], offset: ?>>
        linalg.matmul ins(%x, %a : memref<24x320xbf16>, memref<320x16xbf16, strided<[16, 1], offset: ?>>) outs(%y : memref<24x16xf32>)
        %b = memref.subview %w[%t, 0, 0] [1, 320, 16] [1, 1, 1] : memref<8x320x16xbf16> to memref<320x16xbf16, strided<[16, 1], offset: ?>>
        linalg.matmul ins(%x, %b : memref<24x320xbf16>, memref<320x16xbf16, strided<[16, 1], offset: ?>>) outs(%z : memref<24x16xf32>)
      }
      return
    }
    func.func private @apart(%x: memref<8x8x64xbf16>, %w: memref<8x64x16xbf16>, %y: memref<8x16xf32>, %lo: index, %hi: index) {
      %c1 = arith.constant 1 : index
      scf.for %i = %lo to %hi step %c1 {
        %l = memref.subview %x[%i, 0, 0] [1, 8, 64] [1, 1, 1] : memref<8x8x64xbf16> to memref<8x64xbf16, strided<[64, 1], offset: ?>>
        %a = memref.subview %w[%i, 0, 0] [1, 64, 16] [1, 1, 1] : memref<8x64x16xbf16> to memref<64x16xbf16, strided<[16, 1], offset: ?>>
        linalg.matmul ins(%l, %a : memref<8x64xbf16, strided<[64, 1], offset: ?>>, memref<64x16xbf16, strided<[16, 1], offset: ?>>) outs(%y : memref<8x16xf32>)
      }
      return
    }
    func.func private @dispatch(%kind: index, %x: memref<8x4096xbf16>, %w: memref<8x4096x16xbf16>, %y: memref<8x16xf32>, %u: memref<24x320xbf16>, %v: memref<8x320x16xbf16>,
                                %z: memref<24x16xf32>, %s: memref<8x8x64xbf16>, %q: memref<8x64x16xbf16>, %lo: index, %hi: index) {
      scf.index_switch %kind
      case 0 {
        func.call @one(%x, %w, %y, %lo, %hi) : (memref<8x4096xbf16>, memref<8x4096x16xbf16>, memref<8x16xf32>, index, index) -> ()
        scf.yield
      }
      case 1 {
        func.call @two(%u, %v, %v, %z, %z, %lo, %hi) : (memref<24x320xbf16>, memref<8x320x16xbf16>, memref<8x320x16xbf16>, memref<24x16xf32>, memref<24x16xf32>, index, index) -> ()
        scf.yield
      }
      case 2 {
        func.call @apart(%s, %q, %y, %lo, %hi) : (memref<8x8x64xbf16>, memref<8x64x16xbf16>, memref<8x16xf32>, index, index) -> ()
        scf.yield
      }
      default {
      }
      return
    }
    gpu.func @fleet_step(%params: memref<1024xi8, #gpu.address_space<global>>, %state: memref<64xi8, #gpu.address_space<global>>, %work: memref<64xi8, #gpu.address_space<global>>,
                         %input: memref<64xi8, #gpu.address_space<global>>, %output: memref<64xi8, #gpu.address_space<global>>, %epoch: i32, %steps: i32) kernel {
      gpu.barrier
      gpu.return
    }
  }
}
