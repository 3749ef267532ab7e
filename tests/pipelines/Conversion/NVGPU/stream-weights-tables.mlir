// Where the walk has tables in shared memory, the producer reads them there, after a barrier of all threads.
// RUN: fleet-opt %s --pass-pipeline="builtin.module(gpu.module(fleet-nvgpu-stream-weights))" | FileCheck %s

module attributes {fleet.target = #fleet.target<"sm_90a", backend = nvvm, chiplets = 1, workers = 2, lds = 232448, l2 = 1, hbm_gbs = 1, tile = 16>} {
  gpu.module @fleet attributes {fleet.threads = 256 : i64, fleet.lanes = 32 : i64} {
    memref.global "private" constant @device_tasks : memref<1x5xi32, #gpu.address_space<global>> = dense<0>
    memref.global "private" constant @cu_tasks : memref<2x3xi32, #gpu.address_space<global>> = dense<0>
    memref.global "private" constant @queues : memref<3xi32, #gpu.address_space<global>> = dense<0>
    memref.global "private" constant @arrivals : memref<1x1xi32, #gpu.address_space<global>> = dense<0>
    memref.global "private" @expired : memref<2xi32, #gpu.address_space<workgroup>> = uninitialized
    memref.global "private" @cached_queue : memref<12xi8, #gpu.address_space<workgroup>> = uninitialized
    memref.global "private" @cached_device_tasks : memref<20xi8, #gpu.address_space<workgroup>> = uninitialized
    func.func private @one(%x: memref<2x64xbf16>, %v: memref<8x64x16xbf16>, %y: memref<2x16xf32>, %lo: index, %hi: index) {
      %c1 = arith.constant 1 : index
      scf.for %i = %lo to %hi step %c1 {
        %a = memref.subview %v[%i, 0, 0] [1, 64, 16] [1, 1, 1] : memref<8x64x16xbf16> to memref<64x16xbf16, strided<[16, 1], offset: ?>>
        linalg.matmul ins(%x, %a : memref<2x64xbf16>, memref<64x16xbf16, strided<[16, 1], offset: ?>>) outs(%y : memref<2x16xf32>)
      }
      return
    }
    func.func private @dispatch(%kind: index, %x: memref<2x64xbf16>, %v: memref<8x64x16xbf16>, %y: memref<2x16xf32>) {
      scf.index_switch %kind
      case 0 {
        func.call @one(%x, %v, %y, %kind, %kind) : (memref<2x64xbf16>, memref<8x64x16xbf16>, memref<2x16xf32>, index, index) -> ()
        scf.yield
      }
      default {
      }
      return
    }
    // CHECK-LABEL: gpu.func @fleet_step
    // The walk's threads copy the tables that are the producer's own, too.
    // CHECK: @stream_begins
    // CHECK: @stream_tables
    // CHECK: memref.store
    // CHECK: @streams
    // CHECK: @stream_tables
    // CHECK: memref.store
    // The walk: its own barrier, with which its copies are whole, then that of all threads, and what it did behind it.
    // CHECK: memref.get_global @cached_queue
    // CHECK: gpu.barrier
    // CHECK: %[[ALL:.*]] = arith.constant 384 : i32
    // CHECK-NEXT: nvvm.barrier id = %{{.*}} number_of_threads = %[[ALL]]
    // CHECK: "after"
    // CHECK: } else {
    // The whole warp waits there; its first thread reads the copies.
    // CHECK: %[[ALL:.*]] = arith.constant 384 : i32
    // CHECK-NEXT: nvvm.barrier id = %{{.*}} number_of_threads = %[[ALL]]
    // CHECK: scf.if
    // CHECK-NOT: @cu_tasks
    // CHECK-NOT: get_global @device_tasks
    // CHECK: @cached_device_tasks
    // CHECK: @stream_tables
    // CHECK: @cached_queue
    // CHECK: cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes
    gpu.func @fleet_step(%params: memref<1024xi8, #gpu.address_space<global>>, %state: memref<64xi8, #gpu.address_space<global>>, %work: memref<64xi8, #gpu.address_space<global>>,
                         %input: memref<64xi8, #gpu.address_space<global>>, %output: memref<64xi8, #gpu.address_space<global>>, %epoch: i32, %steps: i32,
                         %x: memref<2x64xbf16>, %v: memref<8x64x16xbf16>, %y: memref<2x16xf32>) kernel {
      %queue = memref.get_global @cached_queue : memref<12xi8, #gpu.address_space<workgroup>>
      gpu.barrier
      gpu.printf "after"
      gpu.return
    }
  }
}
