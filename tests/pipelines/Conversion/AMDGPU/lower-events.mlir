// RUN: fleet-opt %s --pass-pipeline="builtin.module(gpu.module(fleet-amdgpu-lower-events))" | FileCheck %s
// RUN: fleet-opt %s --pass-pipeline="builtin.module(gpu.module(fleet-amdgpu-lower-events{omit=acquire}))" | FileCheck %s --check-prefix=ACQUIRE
// RUN: fleet-opt %s --pass-pipeline="builtin.module(gpu.module(fleet-amdgpu-lower-events{omit=write-back}))" | FileCheck %s --check-prefix=WRITE-BACK
// RUN: fleet-opt %s --pass-pipeline="builtin.module(gpu.module(fleet-amdgpu-lower-events{omit=drain}))" | FileCheck %s --check-prefix=DRAIN
// RUN: fleet-opt %s --pass-pipeline="builtin.module(gpu.module(fleet-amdgpu-lower-events{omit=write-back-wait}))" | FileCheck %s --check-prefix=WRITE-BACK-WAIT
// RUN: fleet-opt %s --pass-pipeline="builtin.module(gpu.module(fleet-amdgpu-lower-events{omit=wait}))" | FileCheck %s --check-prefix=WAIT

// RUN: fleet-opt %s --pass-pipeline="builtin.module(gpu.module(fleet-amdgpu-lower-events{omit=acquire@3}))" | FileCheck %s --check-prefix=ONE
// RUN: fleet-opt %s --pass-pipeline="builtin.module(gpu.module(fleet-amdgpu-lower-events{omit=drain@1}))" | FileCheck %s --check-prefix=ONE-DRAIN
// RUN: fleet-opt %s --pass-pipeline="builtin.module(gpu.module(fleet-amdgpu-lower-events{omit=binding}))" | FileCheck %s --check-prefix=BINDING
// RUN: fleet-opt %s --pass-pipeline="builtin.module(gpu.module(fleet-amdgpu-lower-events{omit=binding@5}))" | FileCheck %s --check-prefix=NEIGHBOUR

// Of one event alone: device counters stand behind those of 4 tasks on 2 chiplets.
// ONE: %[[THIRD:.*]] = arith.constant 11 : index
// ONE: %[[IS:.*]] = arith.cmpi eq, %{{.*}}, %[[THIRD]]
// ONE: %[[KEPT:.*]] = arith.xori %[[IS]]
// ONE: scf.if %[[KEPT]]
// ONE-NEXT: llvm.fence syncscope("agent") acquire
// ONE-DRAIN: arith.divui %{{.*}}, %c2
// ONE-DRAIN: scf.if
// ONE-DRAIN-NEXT: rocdl.s.waitcnt 3952
// BINDING: %[[GROUP:.*]] = gpu.block_id{{ *}}x
// BINDING: arith.remui %[[GROUP]], %c2
// NEIGHBOUR: arith.addi %{{.*}}, %c1
// NEIGHBOUR: arith.cmpi eq, %{{.*}}, %c5
// NEIGHBOUR: arith.select

// ACQUIRE-NOT: llvm.fence syncscope("agent") acquire
// WRITE-BACK-NOT: llvm.fence syncscope("agent") release
// DRAIN: llvm.fence syncscope("workgroup") release
// DRAIN-NEXT: gpu.barrier
// WRITE-BACK-WAIT: llvm.fence syncscope("agent") release
// WRITE-BACK-WAIT-NOT: rocdl.s.waitcnt
// WAIT-NOT: llvm.load
gpu.module @fleet attributes {fleet.status = 0 : i64, fleet.tickets = 64 : i64, fleet.tickets_size = 512 : i64, fleet.tickets_stride = 256 : i64} {
  memref.global "private" constant @arrivals : memref<4x2xi32, #gpu.address_space<global>> = dense<1>
  gpu.func @fleet_step(%params: memref<64xi8, #gpu.address_space<global>>, %state: memref<64xi8, #gpu.address_space<global>>, %work: memref<1024xi8, #gpu.address_space<global>>,
                       %input: memref<64xi8, #gpu.address_space<global>>, %output: memref<64xi8, #gpu.address_space<global>>, %epoch: i32) kernel {
    // XCC_ID: hardware register 20, 4 bits.
    // CHECK: %[[WHICH:.*]] = llvm.mlir.constant(6164 : i32)
    // CHECK: llvm.call_intrinsic "llvm.amdgcn.s.getreg"(%[[WHICH]])
    %chiplet = fleet.chiplet_id : index
    // The ticket is the chiplet's own: raised to the epoch, then taken, both in the L2.
    // CHECK: scf.if
    // CHECK: llvm.atomicrmw umax {{.*}} syncscope("workgroup") monotonic
    // CHECK: llvm.atomicrmw add {{.*}} syncscope("workgroup") monotonic
    // CHECK: gpu.barrier
    // CHECK: gpu.subgroup_broadcast {{.*}}, first_active_lane
    %rank = fleet.worker_rank : index
    %c0 = arith.constant 0 : index
    %events = memref.view %work[%c0][] : memref<1024xi8, #gpu.address_space<global>> to memref<8xi32, #gpu.address_space<global>>
    // One thread polls past the L2 and sleeps in between, then one acquire, then the barrier.
    // CHECK: scf.if
    // CHECK: scf.while
    // CHECK: llvm.load {{.*}} atomic syncscope("agent") monotonic
    // CHECK: arith.cmpi sge
    // CHECK: } do {
    // CHECK: rocdl.s.sleep 1
    // CHECK: llvm.fence syncscope("agent") acquire
    // CHECK: gpu.barrier
    fleet.wait #fleet.scope<device> %events[%rank] >= %epoch : memref<8xi32, #gpu.address_space<global>>
    // An event of the own chiplet is read in its L2, where it is counted.
    // CHECK: scf.if
    // CHECK: scf.while
    // CHECK-NOT: llvm.load {{.*}} atomic
    // CHECK: llvm.atomicrmw add {{.*}} syncscope("workgroup") release
    // CHECK: } do {
    // CHECK: llvm.fence syncscope("agent") acquire
    // CHECK: gpu.barrier
    fleet.wait #fleet.scope<chiplet> %events[%rank] >= %epoch : memref<8xi32, #gpu.address_space<global>>
    // Every wave drains its stores, then one add in the L2; no write-back.
    // CHECK: llvm.fence syncscope("workgroup") release
    // CHECK: rocdl.s.waitcnt 3952
    // CHECK: gpu.barrier
    // CHECK-NOT: syncscope("agent")
    // CHECK: llvm.atomicrmw add {{.*}} syncscope("workgroup") monotonic
    %now = fleet.signal #fleet.scope<chiplet> %events[%chiplet] : memref<8xi32, #gpu.address_space<global>>
    %last = arith.cmpi eq, %now, %epoch : i32
    // CHECK: scf.if
    // CHECK: llvm.fence syncscope("agent") release
    // CHECK: rocdl.s.waitcnt 3952
    // CHECK: llvm.atomicrmw add {{.*}} monotonic : !llvm.ptr<1>, i32
    scf.if %last {
      %all = fleet.signal #fleet.scope<device> %events[%c0] : memref<8xi32, #gpu.address_space<global>>
    }
    gpu.return
  }
}
