// One more warp walks the queue and copies the tiles of bf16 weights that bodies read once for each of their tiles.
// RUN: fleet-opt %s --pass-pipeline="builtin.module(gpu.module(fleet-nvgpu-stream-weights))" | FileCheck %s

// The ring takes what of the lds is left, 27 slots, with two barriers a slot.
// CHECK: gpu.module @fleet attributes {{{.*}}fleet.ring_slots = 27 : i64
// CHECK-DAG: memref.global "private" @ring : memref<221184xi8, #gpu.address_space<workgroup>>
// CHECK-DAG: memref.global "private" @ring_full : memref<216xi8, #gpu.address_space<workgroup>>
// CHECK-DAG: memref.global "private" @ring_empty : memref<216xi8, #gpu.address_space<workgroup>>
// CHECK-DAG: memref.global "private" @ring_position : memref<1024xi8, #gpu.address_space<workgroup>>
// The tables below, in shared memory, where the producer reads them.
// CHECK-DAG: memref.global "private" @stream_tables : memref<48xi8, #gpu.address_space<workgroup>>
// Operand and bytes of a tile of each stream; body @two has both of them, the others none.
// CHECK-DAG: memref.global "private" constant @streams : memref<2x2xi32, #gpu.address_space<global>> = dense<{{\[\[}}1, 2048], [2, 2048]]>
// CHECK-DAG: memref.global "private" constant @stream_begins : memref<4xi32, #gpu.address_space<global>> = dense<[0, 0, 2, 2]>
module attributes {fleet.target = #fleet.target<"sm_90a", backend = nvvm, chiplets = 1, workers = 2, lds = 232448, l2 = 1, hbm_gbs = 1, tile = 16>} {
  gpu.module @fleet attributes {fleet.threads = 256 : i64, fleet.lanes = 32 : i64} {
    memref.global "private" constant @device_tasks : memref<3x7xi32, #gpu.address_space<global>> = dense<0>
    memref.global "private" constant @cu_tasks : memref<3x3xi32, #gpu.address_space<global>> = dense<0>
    memref.global "private" constant @queues : memref<3xi32, #gpu.address_space<global>> = dense<0>
    memref.global "private" constant @arrivals : memref<3x1xi32, #gpu.address_space<global>> = dense<0>
    memref.global "private" @expired : memref<2xi32, #gpu.address_space<workgroup>> = uninitialized
    // CHECK-LABEL: func private @two
    // CHECK-COUNT-2: linalg.matmul {fleet.streamed}
    func.func private @two(%x: memref<2x64xbf16>, %v: memref<8x64x16xbf16>, %w: memref<8x64x16xbf16>, %y: memref<2x16xf32>, %lo: index, %hi: index) {
      %c16 = arith.constant 16 : index
      scf.for %i = %lo to %hi step %c16 {
        %t = arith.divui %i, %c16 : index
        %a = memref.subview %v[%t, 0, 0] [1, 64, 16] [1, 1, 1] : memref<8x64x16xbf16> to memref<64x16xbf16, strided<[16, 1], offset: ?>>
        linalg.matmul ins(%x, %a : memref<2x64xbf16>, memref<64x16xbf16, strided<[16, 1], offset: ?>>) outs(%y : memref<2x16xf32>)
        %b = memref.subview %w[%t, 0, 0] [1, 64, 16] [1, 1, 1] : memref<8x64x16xbf16> to memref<64x16xbf16, strided<[16, 1], offset: ?>>
        linalg.matmul ins(%x, %b : memref<2x64xbf16>, memref<64x16xbf16, strided<[16, 1], offset: ?>>) outs(%y : memref<2x16xf32>)
      }
      return
    }
    // A left side of f32.
    // CHECK-LABEL: func private @wide
    // CHECK: linalg.matmul {fleet.streamed}
    func.func private @wide(%x: memref<2x64xf32>, %w: memref<8x64x16xbf16>, %y: memref<2x16xf32>, %lo: index, %hi: index) {
      %c1 = arith.constant 1 : index
      scf.for %i = %lo to %hi step %c1 {
        %a = memref.subview %w[%i, 0, 0] [1, 64, 16] [1, 1, 1] : memref<8x64x16xbf16> to memref<64x16xbf16, strided<[16, 1], offset: ?>>
        linalg.matmul ins(%x, %a : memref<2x64xf32>, memref<64x16xbf16, strided<[16, 1], offset: ?>>) outs(%y : memref<2x16xf32>)
      }
      return
    }
    // f32.
    // CHECK-LABEL: func private @none
    // CHECK: linalg.matmul ins(
    func.func private @none(%x: memref<2x64xf32>, %w: memref<8x64x16xf32>, %y: memref<2x16xf32>, %lo: index, %hi: index) {
      %c1 = arith.constant 1 : index
      scf.for %i = %lo to %hi step %c1 {
        %a = memref.subview %w[%i, 0, 0] [1, 64, 16] [1, 1, 1] : memref<8x64x16xf32> to memref<64x16xf32, strided<[16, 1], offset: ?>>
        linalg.matmul ins(%x, %a : memref<2x64xf32>, memref<64x16xf32, strided<[16, 1], offset: ?>>) outs(%y : memref<2x16xf32>)
      }
      return
    }
    // Not once for each tile of a loop.
    // CHECK-LABEL: func private @first
    // CHECK: linalg.matmul ins(
    func.func private @first(%x: memref<2x64xbf16>, %w: memref<8x64x16xbf16>, %y: memref<2x16xf32>, %lo: index, %hi: index) {
      %a = memref.subview %w[%lo, 0, 0] [1, 64, 16] [1, 1, 1] : memref<8x64x16xbf16> to memref<64x16xbf16, strided<[16, 1], offset: ?>>
      linalg.matmul ins(%x, %a : memref<2x64xbf16>, memref<64x16xbf16, strided<[16, 1], offset: ?>>) outs(%y : memref<2x16xf32>)
      return
    }
    func.func private @dispatch(%kind: index, %x: memref<2x64xbf16>, %v: memref<8x64x16xbf16>, %u: memref<2x64xf32>, %w: memref<8x64x16xf32>, %y: memref<2x16xf32>, %lo: index, %hi: index) {
      scf.index_switch %kind
      case 0 {
        func.call @none(%u, %w, %y, %lo, %hi) : (memref<2x64xf32>, memref<8x64x16xf32>, memref<2x16xf32>, index, index) -> ()
        scf.yield
      }
      case 1 {
        func.call @two(%x, %v, %v, %y, %lo, %hi) : (memref<2x64xbf16>, memref<8x64x16xbf16>, memref<8x64x16xbf16>, memref<2x16xf32>, index, index) -> ()
        scf.yield
      }
      case 2 {
        func.call @first(%x, %v, %y, %lo, %hi) : (memref<2x64xbf16>, memref<8x64x16xbf16>, memref<2x16xf32>, index, index) -> ()
        scf.yield
      }
      default {
      }
      return
    }
    // CHECK-LABEL: gpu.func @fleet_step
    // CHECK-SAME: %[[PARAMS:[^:]*]]: memref<1024xi8
    // CHECK-SAME: %[[STEPS:[^:]*]]: i32) kernel attributes {known_block_size = array<i32: 384, 1, 1>, nvvm.minctasm = 1 : i32}
    // One thread makes the barriers, all threads wait for it.
    // CHECK: scf.if
    // CHECK: scf.for
    // CHECK-COUNT-2: mbarrier.init.shared::cta.b64
    // CHECK: fence.mbarrier_init.release.cluster
    // CHECK: %[[WALKS:.*]] = arith.cmpi ult
    // CHECK: %[[ALL:.*]] = arith.constant 384 : i32
    // CHECK: nvvm.barrier id = %{{.*}} number_of_threads = %[[ALL]]
    // The walk is as it was, with the registers that the producer's warpgroup gives away.
    // CHECK: scf.if %[[WALKS]] {
    // CHECK-NEXT: setmaxnreg.inc.sync.aligned.u32 216
    // CHECK-NEXT: gpu.barrier
    // CHECK-NEXT: } else {
    // CHECK-NEXT: setmaxnreg.dec.sync.aligned.u32 72
    // The first thread of the new warps: steps, the queue, tiles, streams, slots of 8192 bytes.
    // CHECK: scf.if
    // CHECK: %[[N:.*]] = arith.index_cast %[[STEPS]] : i32 to index
    // CHECK: scf.for {{.*}} to %[[N]]
    // CHECK-COUNT-3: scf.for
    // CHECK: %[[SLOT:.*]] = arith.constant 8192 : index
    // CHECK: scf.for %[[DONE:.*]] = %{{.*}} to %[[BYTES:.*]] step %[[SLOT]] iter_args
    // It waits until the slot is free, or the walk gives up; never for an event.
    // CHECK: %[[FREE:.*]] = scf.while
    // CHECK: @ring_empty
    // CHECK: mbarrier.try_wait.parity.shared::cta.b64
    // And for the copy 12 slots before: 96 KB on their way are enough.
    // CHECK: @ring_full
    // CHECK: mbarrier.test_wait.parity.shared::cta.b64
    // And, unless the walk is in the body of this entry, for the one 3 slots before, since a fence waits for all of them.
    // CHECK: @begun
    // CHECK: %[[BEGUN:.*]] = memref.atomic_rmw ori
    // CHECK: %[[INSIDE:.*]] = arith.cmpi sgt, %[[BEGUN]], %{{.*}} : i32
    // CHECK: @ring_full
    // CHECK: mbarrier.test_wait.parity.shared::cta.b64
    // CHECK: arith.ori %[[INSIDE]]
    // CHECK: } do {
    // CHECK: memref.atomic_rmw ori
    // CHECK: scf.if %[[FREE]] {
    // CHECK: @ring_full
    // CHECK: mbarrier.arrive.expect_tx.shared::cta.b64
    // CHECK: memref.extract_aligned_pointer_as_index %[[PARAMS]]
    // CHECK: cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes
    // CHECK-NOT: fleet.wait
    gpu.func @fleet_step(%params: memref<1024xi8, #gpu.address_space<global>>, %state: memref<64xi8, #gpu.address_space<global>>, %work: memref<64xi8, #gpu.address_space<global>>,
                         %input: memref<64xi8, #gpu.address_space<global>>, %output: memref<64xi8, #gpu.address_space<global>>, %epoch: i32, %steps: i32) kernel {
      gpu.barrier
      gpu.return
    }
  }
}
