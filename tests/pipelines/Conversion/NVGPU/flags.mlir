// Words of a value and the number of the step: stored at once, waited for by those who need them.
// RUN: fleet-opt %s --pass-pipeline="builtin.module(gpu.module(fleet-nvgpu-lower-events{poll-budget=1000}))" | FileCheck %s

gpu.module @fleet attributes {fleet.threads = 256 : i64, fleet.lanes = 32 : i64} {
  memref.global "private" constant @queues : memref<2xi32, #gpu.address_space<global>> = dense<0>
  memref.global "private" constant @arrivals : memref<1x1xi32, #gpu.address_space<global>> = dense<0>
  // CHECK-LABEL: func.func @publish
  // CHECK: memref.get_global @step_number
  // CHECK: arith.shli
  // A worker that has given up has no results.
  // CHECK: memref.get_global @late
  // CHECK: scf.if
  // CHECK: %[[WORD:.*]] = arith.ori
  // CHECK-NEXT: llvm.store %[[WORD]], %{{.*}} atomic syncscope("device") monotonic {alignment = 8 : i64} : i64
  // Neither a fence nor an atomic add.
  // CHECK-NOT: llvm.fence
  // CHECK-NOT: llvm.atomicrmw
  // CHECK: nvvm.barrier
  func.func @publish(%tile: memref<1x16xbf16, #gpu.address_space<workgroup>>, %words: memref<1x8xi64, strided<[64, 1], offset: ?>, #gpu.address_space<global>>) {
    fleet.publish %tile to %words : memref<1x16xbf16, #gpu.address_space<workgroup>>, memref<1x8xi64, strided<[64, 1], offset: ?>, #gpu.address_space<global>>
    return
  }
  // All words of a thread are asked for before the first is looked at; the last round is not every thread's.
  // CHECK-LABEL: func.func @receive
  // CHECK: arith.minui
  // CHECK: %[[LOOP:.*]]:5 = scf.while
  // CHECK-COUNT-3: llvm.load {{.*}} atomic syncscope("device") monotonic {alignment = 8 : i64} : !llvm.ptr<1> -> i64
  // CHECK: arith.shrui
  // CHECK: scf.condition
  // CHECK: %[[BUDGET:.*]] = arith.constant 1000 : i32
  // CHECK: arith.cmpi uge, %{{.*}}, %[[BUDGET]]
  // CHECK: scf.if %[[LOOP]]#4 {
  // CHECK: memref.get_global @late
  // CHECK: vector.store
  // CHECK: vector.store
  // CHECK: scf.if
  // CHECK: vector.store
  // CHECK: nvvm.barrier
  func.func @receive(%words: memref<1x600xi64, #gpu.address_space<global>>, %row: memref<1x600xf32, #gpu.address_space<workgroup>>) {
    fleet.receive %words to %row : memref<1x600xi64, #gpu.address_space<global>>, memref<1x600xf32, #gpu.address_space<workgroup>>
    return
  }
  // Of many words of a thread one that is missing is asked for until it has come, then all.
  // CHECK-LABEL: func.func @many
  // CHECK: %[[LOOP:.*]]:19 = scf.while
  // CHECK-COUNT-16: llvm.load
  // CHECK-COUNT-15: arith.select {{.*}} : !llvm.ptr<1>
  // CHECK: } do {
  // CHECK: scf.while
  // CHECK-COUNT-1: llvm.load
  // CHECK: scf.condition
  // CHECK: arith.cmpi uge
  // CHECK-NOT: llvm.load
  // CHECK: scf.if %[[LOOP]]#18 {
  // CHECK-COUNT-16: vector.store
  func.func @many(%words: memref<1x4096xi64, #gpu.address_space<global>>, %row: memref<1x4096xf32, #gpu.address_space<workgroup>>) {
    fleet.receive %words to %row : memref<1x4096xi64, #gpu.address_space<global>>, memref<1x4096xf32, #gpu.address_space<workgroup>>
    return
  }
  // CHECK-LABEL: func.func @ahead
  // CHECK: scf.while
  // CHECK-NOT: nvvm.barrier
  // CHECK: return
  func.func @ahead(%words: memref<1x16xi64, #gpu.address_space<global>>, %tile: memref<1x16xf32, #gpu.address_space<workgroup>>) {
    fleet.receive %words to %tile {fleet.unsynced} : memref<1x16xi64, #gpu.address_space<global>>, memref<1x16xf32, #gpu.address_space<workgroup>>
    return
  }
  // CHECK-LABEL: func.func @take
  // CHECK-COUNT-2: llvm.load {{.*}} monotonic
  // CHECK-NOT: nvvm.barrier
  // CHECK: vector.from_elements
  func.func @take(%words: memref<1x600xi64, #gpu.address_space<global>>, %at: index) -> vector<2xf32> {
    %c0 = arith.constant 0 : index
    %x = fleet.take %words[%c0, %at] : memref<1x600xi64, #gpu.address_space<global>>, vector<2xf32>
    return %x : vector<2xf32>
  }
}
