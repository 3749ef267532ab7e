// Warpgroups have their chunks of activations copied to shared memory, a round ahead, where rows of the left side stand in
// global memory at multiples of 16 bytes.
// RUN: fleet-opt %s --pass-pipeline="builtin.module(gpu.module(fleet-nvgpu-stream-weights))" | FileCheck %s --check-prefix=PLAN
// RUN: fleet-opt %s --pass-pipeline="builtin.module(gpu.module(fleet-nvgpu-stream-weights,fleet-nvgpu-lower-contractions),canonicalize,cse)" | FileCheck %s
// Without any such left side there are neither mbarriers nor room for chunks.
// RUN: sed -e 's/32x1024/32x1026/g;s/strided<.1024/strided<[1026/g' %s | fleet-opt - --pass-pipeline="builtin.module(gpu.module(fleet-nvgpu-stream-weights,fleet-nvgpu-lower-contractions))" | FileCheck %s --check-prefix=NONE --implicit-check-not=chunk_full --implicit-check-not=nvvm.elect.sync

// The ring leaves room for 8 warps' chunks, 65,536 bytes and 128 more a warp for another bank, and for the mbarriers.
// PLAN: gpu.module @fleet attributes {{{.*}}fleet.ring_slots = 10 : i64
// PLAN: memref.global "private" @chunk_full : memref<64xi8, #gpu.address_space<workgroup>>
// PLAN-LABEL: gpu.func @fleet_step
// PLAN: memref.get_global @chunk_full
// PLAN: "mbarrier.init.shared::cta.b64 [$0], $1;", "l,r" %{{.*}}, %c1_i32
// PLAN: fence.mbarrier_init.release.cluster;

// NONE: fleet.ring_slots = 12 : i64
// NONE-LABEL: func.func private @copied
// NONE: vector.load {{.*}} memref<32x768xf32, strided<[1026, 1], offset: ?>, #gpu.address_space<global>>, vector<4xf32>

// CHECK-LABEL: func.func private @copied
// The first chunk: its warp and its place in memory are the same for all lanes.
// CHECK: scf.for
// CHECK: nvvm.shfl.sync idx
// CHECK: %[[LEFT:.*]], %[[OFFSET:.*]], %{{.*}}:2, %{{.*}}:2 = memref.extract_strided_metadata
// CHECK: shfl.sync.idx.b32 low, low, 0, 31, -1; shfl.sync.idx.b32 high, high, 0, 31, -1;
// CHECK: memref.get_global @chunk_full
// CHECK: mbarrier.test_wait.parity.shared::cta.b64
// CHECK: nvvm.bar.warp.sync
// CHECK-NEXT: %[[ONE:.*]] = nvvm.elect.sync
// CHECK-NEXT: scf.if %[[ONE]] {
// CHECK-NEXT: fence.proxy.async.shared::cta;
// CHECK-NEXT: fence.proxy.async.global;
// CHECK: memref.view {{.*}} to memref<8x2x1040xf32, #gpu.address_space<workgroup>>
// Where the depth ends there may be less than 8 KB.
// CHECK: arith.minui
// CHECK: mbarrier.arrive.expect_tx.shared::cta.b64
// CHECK-COUNT-8: cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes
// CHECK-NOT: cp.async.bulk
// A round waits for its chunk, and reads it from the warp's part of the buffer: rows side by side begin in other banks.
// CHECK: scf.for {{.*}} iter_args
// CHECK: mbarrier.try_wait.parity.shared::cta.b64
// CHECK: %[[CHUNKS:.*]] = memref.view {{.*}} to memref<8x2x1040xf32, #gpu.address_space<workgroup>>
// CHECK-COUNT-16: vector.load %[[CHUNKS]]{{.*}} {alignment = 16 : i64} : memref<8x2x1040xf32, #gpu.address_space<workgroup>>, vector<4xf32>
// CHECK-NOT: vector.load
// The next one, if there is one, when all lanes have done so.
// CHECK: scf.if
// CHECK-NEXT: nvvm.bar.warp.sync
// CHECK-NEXT: %[[NEXT:.*]] = nvvm.elect.sync
// CHECK-NEXT: scf.if %[[NEXT]] {
// CHECK-NEXT: fence.proxy.async.shared::cta;
// CHECK-NOT: fence.proxy.async.global
// CHECK: mbarrier.arrive.expect_tx.shared::cta.b64
// CHECK-COUNT-8: cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes
// CHECK-NOT: cp.async.bulk
// CHECK: wgmma.fence.sync.aligned;
// Sums stand where chunks were.
// CHECK-NOT: vector.store {{.*}}xf32, #gpu.address_space<workgroup>>
// CHECK: gpu.barrier
// CHECK: vector.store {{.*}}xf32, #gpu.address_space<workgroup>>
// A lane's 8 bytes could be loaded, but not copied.
// CHECK-LABEL: func.func private @loaded
// CHECK-NOT: cp.async.bulk
// CHECK: vector.load {{.*}} {alignment = 8 : i64} : memref<32x512xbf16, strided<[1024, 1], offset: ?>, #gpu.address_space<global>>, vector<4xbf16>
// CHECK-NOT: cp.async.bulk
// CHECK-LABEL: func.func private @dispatch
module attributes {fleet.target = #fleet.target<"sm_90a", backend = nvvm, chiplets = 1, workers = 2, lds = 232448, l2 = 1, hbm_gbs = 1, tile = 16>} {
  gpu.module @fleet attributes {fleet.threads = 256 : i64, fleet.lanes = 32 : i64} {
    memref.global "private" constant @device_tasks : memref<2x8xi32, #gpu.address_space<global>> = dense<[[0, 0, 0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0, 0]]>
    memref.global "private" constant @cu_tasks : memref<2x3xi32, #gpu.address_space<global>> = dense<[[0, 0, 3], [1, 0, 3]]>
    memref.global "private" constant @queues : memref<3xi32, #gpu.address_space<global>> = dense<[0, 1, 2]>
    memref.global "private" constant @arrivals : memref<2x1xi32, #gpu.address_space<global>> = dense<1>
    memref.global "private" @expired : memref<2xi32, #gpu.address_space<workgroup>> = uninitialized
    func.func private @copied(%all: memref<32x1024xf32, #gpu.address_space<global>>, %w: memref<8x768x16xbf16>, %y: memref<32x16xf32>, %lo: index, %hi: index) {
      %c1 = arith.constant 1 : index
      %c256 = arith.constant 256 : index
      %from = arith.muli %lo, %c256 : index
      %x = memref.subview %all[0, %from] [32, 768] [1, 1] : memref<32x1024xf32, #gpu.address_space<global>> to memref<32x768xf32, strided<[1024, 1], offset: ?>, #gpu.address_space<global>>
      scf.for %i = %lo to %hi step %c1 {
        %a = memref.subview %w[%i, 0, 0] [1, 768, 16] [1, 1, 1] : memref<8x768x16xbf16> to memref<768x16xbf16, strided<[16, 1], offset: ?>>
        linalg.matmul ins(%x, %a : memref<32x768xf32, strided<[1024, 1], offset: ?>, #gpu.address_space<global>>, memref<768x16xbf16, strided<[16, 1], offset: ?>>) outs(%y : memref<32x16xf32>)
      }
      return
    }
    func.func private @loaded(%all: memref<32x1024xbf16, #gpu.address_space<global>>, %w: memref<8x512x16xbf16>, %y: memref<32x16xf32>, %lo: index, %hi: index) {
      %c1 = arith.constant 1 : index
      %c4 = arith.constant 4 : index
      %from = arith.muli %lo, %c4 : index
      // Begins at a multiple of 8 bytes.
      %x = memref.subview %all[0, %from] [32, 512] [1, 1] : memref<32x1024xbf16, #gpu.address_space<global>> to memref<32x512xbf16, strided<[1024, 1], offset: ?>, #gpu.address_space<global>>
      scf.for %i = %lo to %hi step %c1 {
        %a = memref.subview %w[%i, 0, 0] [1, 512, 16] [1, 1, 1] : memref<8x512x16xbf16> to memref<512x16xbf16, strided<[16, 1], offset: ?>>
        linalg.matmul ins(%x, %a : memref<32x512xbf16, strided<[1024, 1], offset: ?>, #gpu.address_space<global>>, memref<512x16xbf16, strided<[16, 1], offset: ?>>) outs(%y : memref<32x16xf32>)
      }
      return
    }
    func.func private @dispatch(%params: memref<?xi8>, %kind: index, %x: memref<32x1024xf32, #gpu.address_space<global>>, %u: memref<32x1024xbf16, #gpu.address_space<global>>, %y: memref<32x16xf32>, %lo: index, %hi: index) {
      %v = memref.view %params[%lo][] : memref<?xi8> to memref<8x768x16xbf16>
      %w = memref.view %params[%lo][] : memref<?xi8> to memref<8x512x16xbf16>
      scf.index_switch %kind
      case 0 {
        func.call @copied(%x, %v, %y, %lo, %hi) : (memref<32x1024xf32, #gpu.address_space<global>>, memref<8x768x16xbf16>, memref<32x16xf32>, index, index) -> ()
        scf.yield
      }
      case 1 {
        func.call @loaded(%u, %w, %y, %lo, %hi) : (memref<32x1024xbf16, #gpu.address_space<global>>, memref<8x512x16xbf16>, memref<32x16xf32>, index, index) -> ()
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
