// What the walk needs behind a body waits in a word of each warp, or is found again from one.
// RUN: fleet-opt %s --pass-pipeline="builtin.module(gpu.module(fleet-nvgpu-keep-walk))" | FileCheck %s

gpu.module @fleet attributes {fleet.threads = 256 : i64, fleet.lanes = 32 : i64} {
  // Four words of eight warps: the queue's end, the epoch, the entry, what a load gave that may give another number later.
  // CHECK: memref.global "private" @walk_state : memref<128xi8, #gpu.address_space<workgroup>>
  memref.global "private" @cached_cu_tasks : memref<48xi8, #gpu.address_space<workgroup>> = uninitialized
  memref.global "private" @expired : memref<2xi32, #gpu.address_space<workgroup>> = uninitialized
  func.func private @dispatch(%task: index, %worker: index) {
    return
  }
  // CHECK-LABEL: gpu.func @fleet_step
  // CHECK-SAME: %[[OUT:[^:]*]]: memref<64xi32
  gpu.func @fleet_step(%out: memref<64xi32, #gpu.address_space<global>>, %queues: memref<3xi32, #gpu.address_space<global>>, %epoch: i32, %steps: i32) kernel {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %c8 = arith.constant 8 : index
    %zero = arith.constant 0 : i32
    %yes = arith.constant true
    %raw = memref.get_global @cached_cu_tasks : memref<48xi8, #gpu.address_space<workgroup>>
    %tasks = memref.view %raw[%c0][] : memref<48xi8, #gpu.address_space<workgroup>> to memref<12xi32, #gpu.address_space<workgroup>>
    %expired = memref.get_global @expired : memref<2xi32, #gpu.address_space<workgroup>>
    // CHECK: %[[WORKER:.*]] = fleet.worker_rank
    %worker = fleet.worker_rank : index
    // The load of the queue's end is not repeated: all lanes have taken what stood there before the word is stored.
    // CHECK: %[[END:.*]] = memref.load
    // CHECK: %[[LAST:.*]] = arith.index_cast %[[END]]
    // CHECK: %[[WORD:.*]] = arith.index_cast %[[LAST]] : index to i32
    // CHECK: nvvm.bar.warp.sync
    // CHECK: llvm.store volatile %[[WORD]], %{{.*}} : i32, !llvm.ptr<3>
    // CHECK: nvvm.bar.warp.sync
    %end = memref.load %queues[%worker] : memref<3xi32, #gpu.address_space<global>>
    %last = arith.index_cast %end : i32 to index
    %count = arith.index_cast %steps : i32 to index
    // CHECK: scf.for %[[STEP:.*]] =
    scf.for %step = %c0 to %count step %c1 {
      %number = arith.index_cast %step : index to i32
      // CHECK: %[[NOW:.*]] = arith.addi
      // CHECK: llvm.store volatile %[[NOW]],
      %now = arith.addi %epoch, %number : i32
      // CHECK: scf.while (%[[AT:.*]] = %{{.*}}, %[[GO:.*]] = %{{.*}})
      // CHECK: %[[KEPT:.*]] = llvm.load volatile
      // CHECK: %[[LAST:.*]] = arith.index_cast %[[KEPT]]
      // CHECK: arith.cmpi slt, %[[AT]], %[[LAST]]
      %r:2 = scf.while (%at = %c0, %go = %yes) : (index, i1) -> (index, i1) {
        %more = arith.cmpi slt, %at, %last : index
        %both = arith.andi %more, %go : i1
        scf.condition(%both) %at, %go : index, i1
      } do {
      // CHECK: ^bb0(%[[ENTRY:.*]]: index,
      // CHECK: %[[WORD:.*]] = arith.index_cast %[[ENTRY]] : index to i32
      // CHECK: nvvm.bar.warp.sync
      // CHECK: llvm.store volatile %[[WORD]],
      // CHECK: nvvm.bar.warp.sync
      // CHECK: %[[LOADED:.*]] = memref.load %{{.*}}[%[[ENTRY]]]
      // CHECK: %[[TASK:.*]] = arith.index_cast %[[LOADED]]
      ^bb0(%at: index, %go: i1):
        %entry = memref.load %tasks[%at] : memref<12xi32, #gpu.address_space<workgroup>>
        %task = arith.index_cast %entry : i32 to index
        // CHECK: %[[LATE:.*]] = memref.load %{{.*}}[%c0]
        // CHECK: llvm.store volatile %[[LATE]],
        %late = memref.load %expired[%c0] : memref<2xi32, #gpu.address_space<workgroup>>
        // CHECK: %[[OK:.*]] = arith.cmpi eq, %[[LATE]]
        // CHECK: scf.if %[[OK]]
        // CHECK-NEXT: call @dispatch(%[[TASK]], %[[WORKER]])
        %ok = arith.cmpi eq, %late, %zero : i32
        scf.if %ok {
          func.call @dispatch(%task, %worker) : (index, index) -> ()
          // A loop of its own behind it keeps its numbers, lane by lane.
          // CHECK: %[[AT:.*]] = llvm.load volatile
          // CHECK: %[[ENTRY:.*]] = arith.index_cast %[[AT]]
          // CHECK: %[[LOADED:.*]] = memref.load %{{.*}}[%[[ENTRY]]]
          // CHECK: %[[TASK:.*]] = arith.index_cast %[[LOADED]]
          // CHECK-NOT: nvvm.bar.warp.sync
          // CHECK: scf.for %[[I:.*]] = %{{.*}} to %[[TASK]]
          // CHECK-NOT: nvvm.bar.warp.sync
          // CHECK: %[[NOW:.*]] = llvm.load volatile
          // CHECK: memref.store %[[NOW]], %[[OUT]][%[[I]]]
          scf.for %i = %c0 to %task step %c8 {
            memref.store %now, %out[%i] : memref<64xi32, #gpu.address_space<global>>
          }
        }
        // CHECK: %[[AT:.*]] = llvm.load volatile
        // CHECK: %[[ENTRY:.*]] = arith.index_cast %[[AT]]
        // CHECK: %[[NEXT:.*]] = arith.addi %[[ENTRY]], %c1
        // CHECK: %[[LATE:.*]] = llvm.load volatile
        // CHECK: %[[OK:.*]] = arith.cmpi eq, %[[LATE]]
        // CHECK: scf.yield %[[NEXT]], %[[OK]]
        %next = arith.addi %at, %c1 : index
        scf.yield %next, %ok : index, i1
      }
    }
    gpu.return
  }
  // Outside of such a loop nothing waits.
  // CHECK-LABEL: gpu.func @once
  // CHECK-NOT: llvm.store
  gpu.func @once(%queues: memref<3xi32, #gpu.address_space<global>>) kernel {
    %c0 = arith.constant 0 : index
    %worker = fleet.worker_rank : index
    %end = memref.load %queues[%c0] : memref<3xi32, #gpu.address_space<global>>
    %task = arith.index_cast %end : i32 to index
    func.call @dispatch(%task, %worker) : (index, index) -> ()
    memref.store %end, %queues[%c0] : memref<3xi32, #gpu.address_space<global>>
    gpu.return
  }
}
