// RUN: fleet-opt %s --pass-pipeline="builtin.module(gpu.module(fleet-nvgpu-lower-events{poll-budget=1000}))" | FileCheck %s

gpu.module @fleet attributes {fleet.threads = 256 : i64, fleet.lanes = 32 : i64, fleet.status = 64 : i64} {
  memref.global "private" constant @queues : memref<9xi32, #gpu.address_space<global>> = dense<0>
  memref.global "private" constant @arrivals : memref<1x2xi32, #gpu.address_space<global>> = dense<0>
  // CHECK-LABEL: gpu.func @fleet_step
  // CHECK-SAME: %[[EPOCH:[^:]*]]: i32) kernel
  gpu.func @fleet_step(%params: memref<64xi8, #gpu.address_space<global>>, %state: memref<64xi8, #gpu.address_space<global>>, %work: memref<1024xi8, #gpu.address_space<global>>,
                       %input: memref<64xi8, #gpu.address_space<global>>, %output: memref<128xi8, #gpu.address_space<global>>, %epoch: i32) kernel {
    // A workgroup's number, of 4 workers a chiplet.
    // CHECK: %[[ID:.*]] = gpu.block_id{{ *}}x
    // CHECK: %[[CHIPLET:.*]] = arith.divui %[[ID]], %c4
    // CHECK: %[[OTHER:.*]] = gpu.block_id{{ *}}x
    // CHECK: %[[RANK:.*]] = arith.remui %[[OTHER]], %c4
    %chiplet = fleet.chiplet_id : index
    %rank = fleet.worker_rank : index
    %c0 = arith.constant 0 : index
    %events = memref.view %work[%c0][] : memref<1024xi8, #gpu.address_space<global>> to memref<8xi32, #gpu.address_space<global>>
    // One thread polls with acquire; at times it looks whether another worker gave up.
    // CHECK: gpu.thread_id{{ *}}x
    // CHECK: scf.if
    // CHECK: arith.muli %[[RANK]], %c4
    // CHECK: %[[BUDGET:.*]] = arith.constant 1000 : i32
    // CHECK: %[[LOOP:.*]]:2 = scf.while
    // CHECK: llvm.load {{.*}} atomic syncscope("device") acquire {alignment = 4 : i64} : !llvm.ptr<1> -> i32
    // CHECK: } do {
    // CHECK: arith.cmpi uge, %{{.*}}, %[[BUDGET]]
    // CHECK: scf.if
    // CHECK: arith.addi {{.*}}, %c64
    // CHECK: llvm.load {{.*}} atomic syncscope("device") monotonic
    // CHECK: scf.if %[[LOOP]]#1 {
    // CHECK-COUNT-2: memref.store
    // The barrier of the 256 threads of the walk, not that of all.
    // CHECK: %[[ONE:.*]] = arith.constant 1 : i32
    // CHECK: %[[WALK:.*]] = arith.constant 256 : i32
    // CHECK: nvvm.barrier id = %[[ONE]] number_of_threads = %[[WALK]]
    fleet.wait #fleet.scope<device> %events[%rank] >= %epoch {fleet.expired = @expired} : memref<8xi32, #gpu.address_space<global>>
    // The barrier before the add: one thread releases what all have stored, and acquires what others released.
    // CHECK: nvvm.barrier
    // CHECK: %[[NOW:.*]] = scf.if %{{.*}} -> (i32) {
    // CHECK: arith.muli %[[CHIPLET]]
    // CHECK: llvm.fence syncscope("device") acq_rel
  // CHECK: llvm.atomicrmw add {{.*}} syncscope("device") monotonic
    // CHECK: } else {
    %now = fleet.signal #fleet.scope<chiplet> %events[%chiplet] : memref<8xi32, #gpu.address_space<global>>
    // CHECK: arith.cmpi eq, %[[NOW]]
    // CHECK: scf.if
    // CHECK: llvm.fence syncscope("device") acq_rel
  // CHECK: llvm.atomicrmw add {{.*}} syncscope("device") monotonic
    %last = arith.cmpi eq, %now, %epoch : i32
    scf.if %last {
      %all = fleet.signal #fleet.scope<device> %events[%c0] : memref<8xi32, #gpu.address_space<global>>
    }
    // CHECK: nvvm.barrier
    // CHECK-NOT: gpu.barrier
    // CHECK-NOT: gpu.subgroup_broadcast
    gpu.barrier
    %uniform = gpu.subgroup_broadcast %epoch, first_active_lane : i32
    // CHECK: memref.store %[[EPOCH]]
    memref.store %uniform, %events[%c0] : memref<8xi32, #gpu.address_space<global>>
    gpu.return
  }
}
