// Without prefetch the producer asks for nothing of a task before the walk calls @dispatch for it, when the task's events have come.
// RUN: fleet-opt %s --pass-pipeline="builtin.module(gpu.module(fleet-nvgpu-stream-weights{prefetch=false}))" | FileCheck %s
// RUN: fleet-opt %s --pass-pipeline="builtin.module(gpu.module(fleet-nvgpu-stream-weights))" | FileCheck %s --check-prefix=AHEAD
// RUN: not fleet-opt %S/stream-weights.mlir --pass-pipeline="builtin.module(gpu.module(fleet-nvgpu-stream-weights{prefetch=false}))" 2>&1 | FileCheck %s --check-prefix=NOCALL

// With it the producer waits in one place alone, in front of each slot.
// AHEAD: func.call @dispatch
// AHEAD: } else {
// AHEAD: scf.while
// AHEAD-NOT: scf.while
// NOCALL: error: expected a call of @dispatch, at which the events of a task have come, found none

// CHECK-DAG: memref.global "private" @begun : memref<4xi8, #gpu.address_space<workgroup>>
module attributes {fleet.target = #fleet.target<"sm_90a", backend = nvvm, chiplets = 1, workers = 2, lds = 232448, l2 = 1, hbm_gbs = 1, tile = 16>} {
  gpu.module @fleet attributes {fleet.threads = 256 : i64, fleet.lanes = 32 : i64} {
    memref.global "private" constant @device_tasks : memref<1x5xi32, #gpu.address_space<global>> = dense<0>
    memref.global "private" constant @cu_tasks : memref<2x3xi32, #gpu.address_space<global>> = dense<0>
    memref.global "private" constant @queues : memref<3xi32, #gpu.address_space<global>> = dense<0>
    memref.global "private" constant @arrivals : memref<1x1xi32, #gpu.address_space<global>> = dense<0>
    memref.global "private" @expired : memref<2xi32, #gpu.address_space<workgroup>> = uninitialized
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
    // No entry has begun when the launch does; all threads wait for that.
    // CHECK: mbarrier.init.shared::cta.b64
    // CHECK: %[[ZERO:.*]] = arith.constant 0 : i32
    // CHECK: %[[WORD:.*]] = memref.get_global @begun
    // CHECK: memref.store %{{.*}}, %{{.*}}[%{{.*}}] : memref<1xi32
    // CHECK: nvvm.barrier
    // One thread of the walk counts an entry after its waits, before its body.
    // CHECK: gpu.barrier
    // CHECK: gpu.thread_id
    // CHECK: scf.if
    // CHECK: @begun
    // CHECK: memref.atomic_rmw addi
    // CHECK: func.call @dispatch
    // CHECK: } else {
    // The producer: steps, the queue; of step s entry i is number s * entries + i.
    // CHECK: scf.for %[[STEP:[a-z0-9]*]] =
    // CHECK: scf.for %[[ENTRY:[a-z0-9]*]] = %[[FIRST:[a-z0-9]*]] to %[[LAST:[a-z0-9]*]]
    // CHECK: %[[ENTRIES:.*]] = arith.subi %[[LAST]], %[[FIRST]]
    // CHECK: %[[OWN:.*]] = arith.subi %[[ENTRY]], %[[FIRST]]
    // CHECK: %[[BEFORE:.*]] = arith.muli %[[STEP]], %[[ENTRIES]]
    // CHECK: %[[NUMBER:.*]] = arith.addi %[[BEFORE]], %[[OWN]]
    // CHECK: %[[LEAST:.*]] = arith.index_cast %[[NUMBER]] : index to i32
    // It waits while that many have begun or fewer, unless the walk gives up.
    // CHECK: scf.while
    // CHECK: @begun
    // CHECK: %[[SEEN:.*]] = memref.atomic_rmw ori
    // CHECK: %[[EARLY:.*]] = arith.cmpi sle, %[[SEEN]], %[[LEAST]]
    // CHECK: arith.andi %[[EARLY]]
    // CHECK: } do {
    // CHECK: memref.atomic_rmw ori
    // CHECK: cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes
    gpu.func @fleet_step(%params: memref<1024xi8, #gpu.address_space<global>>, %state: memref<64xi8, #gpu.address_space<global>>, %work: memref<64xi8, #gpu.address_space<global>>,
                         %input: memref<64xi8, #gpu.address_space<global>>, %output: memref<64xi8, #gpu.address_space<global>>, %epoch: i32, %steps: i32,
                         %x: memref<2x64xbf16>, %v: memref<8x64x16xbf16>, %y: memref<2x16xf32>) kernel {
      gpu.barrier
      %c0 = arith.constant 0 : index
      func.call @dispatch(%c0, %x, %v, %y) : (index, memref<2x64xbf16>, memref<8x64x16xbf16>, memref<2x16xf32>) -> ()
      gpu.return
    }
  }
}
