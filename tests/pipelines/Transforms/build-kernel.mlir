// RUN: fleet-opt %s --fleet-build-kernel | FileCheck %s

// 2 chiplets of 2 workers. Counters follow 192 bytes of activations: 4 tasks * (2 chiplets + 1) of 4 bytes, then the
// scratch of 4 workers: the largest of the bodies, 256 bytes each.
// CHECK: module attributes {
// CHECK-SAME: arenas = {input = 64 : i64, output = 128 : i64, params = 8192 : i64, state = 0 : i64, work = 1280 : i64}
// CHECK-SAME: stats = {bodies = 2 : i64, chiplet_tasks = 6 : i64, counters = 12 : i64, cu_tasks = 8 : i64, device_tasks = 4 : i64, exchanges = 4 : i64, scratch = 256 : i64, signals = 14 : i64, signals_flat = 9 : i64}
// CHECK-SAME: gpu.container_module
// CHECK-NOT: fleet.task
// CHECK: gpu.module @fleet attributes {fleet.counters = 192 : i64, fleet.scratch = 256 : i64, fleet.scratch_stride = 256 : i64, fleet.status = 64 : i64, fleet.work_size = 1280 : i64}

// [case, first wait, last wait, offsets / 64 of the operands]; a body whose operands lie in other arenas is another case.
// CHECK: memref.global "private" constant @device_tasks : memref<4x6xi32> = dense<{{\[\[}}0, 0, 0, 0, 0, 0], [1, 0, 1, 0, 64, 1], [1, 1, 2, 0, 0, 2], [2, 2, 4, 1, 2, 0]]>
// [device task, lo, hi], by worker.
// CHECK: memref.global "private" constant @cu_tasks : memref<8x3xi32> = dense<{{\[\[}}0, 0, 1], [1, 0, 2], [0, 1, 2], [2, 0, 1], [0, 2, 3], [2, 1, 3], [0, 3, 4], [3, 0, 1]]>
// CHECK: memref.global "private" constant @queues : memref<5xi32> = dense<[0, 2, 4, 6, 8]>
// CHECK: memref.global "private" constant @waits : memref<4xi32> = dense<[0, 0, 1, 2]>
// cu-tasks of each task on each chiplet.
// CHECK: memref.global "private" constant @arrivals : memref<4x2xi32> = dense<{{\[\[}}2, 2], [1, 0], [1, 1], [0, 1]]>

// CHECK: func.func private @copy
// CHECK: func.func private @gemm

// CHECK: func.func private @dispatch(%[[PARAMS:[a-z0-9]*]]: memref<?xi8, #fleet.mem<hbm>>, %{{.*}}: memref<?xi8, #fleet.mem<hbm>>, %[[WORK:[a-z0-9]*]]: memref<?xi8, #fleet.mem<hbm>>, %[[INPUT:[a-z0-9]*]]: memref<?xi8, #fleet.mem<hbm>>, %[[OUTPUT:[a-z0-9]*]]: memref<?xi8, #fleet.mem<hbm>>, %[[TASK:[a-z0-9]*]]: index, %[[LO:[a-z0-9]*]]: index, %[[HI:[a-z0-9]*]]: index, %[[WORKER:[a-z0-9]*]]: index)
// CHECK: scf.index_switch
// CHECK: case 0 {
// CHECK: memref.view %[[INPUT]]
// CHECK: memref.view %[[WORK]]
// CHECK: call @copy(%{{.*}}, %{{.*}}, %[[LO]], %[[HI]], %{{.*}}) : (memref<4x4xf32, #fleet.mem<hbm>>, memref<4x4xf32, #fleet.mem<hbm>>, index, index, memref<64xi8, #fleet.mem<lds>>) -> ()
// CHECK: case 1 {
// CHECK: memref.view %[[WORK]]
// CHECK: memref.view %[[PARAMS]]
// CHECK: call @gemm
// CHECK: case 2 {
// CHECK: memref.view %[[WORK]]
// CHECK: memref.view %[[WORK]]
// CHECK: memref.view %[[OUTPUT]]
// CHECK: call @gemm

// CHECK: gpu.func @step({{.*}}, %[[EPOCH:[a-z0-9]*]]: i32) kernel
// CHECK: %[[C:.*]] = fleet.chiplet_id : index
// CHECK: %[[R:.*]] = fleet.worker_rank : index
// CHECK: %[[BASE:.*]] = arith.muli %[[C]], %c2{{[_0-9]*}} : index
// CHECK: arith.addi %[[BASE]], %[[R]]
// CHECK: fleet.wait <device>
// CHECK: gpu.barrier
// CHECK: call @dispatch
// CHECK: gpu.barrier
// CHECK: %[[NOW:.*]] = fleet.signal <chiplet>
// CHECK: arith.muli %[[EPOCH]]
// CHECK: arith.cmpi eq, %[[NOW]]
// CHECK: scf.if
// CHECK: fleet.signal <device>
// CHECK: gpu.return
!v = memref<4x4xf32, #fleet.mem<hbm>>
module attributes {
    fleet.manifest = {arenas = {params = 8192 : i64, state = 0 : i64, work = 192 : i64, input = 64 : i64, output = 128 : i64},
                      outputs = {status = {offset = 64 : i64}}},
    fleet.target = #fleet.target<"study", backend = llvm, chiplets = 2, workers = 2, lds = 1, l2 = 1, hbm_gbs = 1, tile = 16>} {
  func.func private @copy(%x: !v, %out: !v, %lo: index, %hi: index, %scratch: memref<64xi8, #fleet.mem<lds>>) attributes {fleet.body, fleet.scratch = 64 : i64} {
    return
  }
  func.func private @gemm(%x: !v, %w: !v, %out: !v, %lo: index, %hi: index, %scratch: memref<256xi8, #fleet.mem<lds>>) attributes {fleet.body, fleet.scratch = 256 : i64} {
    return
  }
  func.func @step() {
    %x = fleet.buffer "input" offset 0 : !v
    %w = fleet.buffer "params" offset 4096 : !v
    %v = fleet.buffer "params" offset 0 : !v
    %a = fleet.buffer "work" offset 0 : !v
    %b = fleet.buffer "work" offset 64 : !v
    %c = fleet.buffer "work" offset 128 : !v
    %out = fleet.buffer "output" offset 0 : !v
    fleet.task 0 @copy(%x, %a) partition <columns, tiles = 4, size = 1> waits [] : (!v, !v) -> () into {
      fleet.chiplet_task on 0 tiles 0 to 2 into {
        fleet.cu_task on 0 tiles 0 to 1
        fleet.cu_task on 1 tiles 1 to 2
      }
      fleet.chiplet_task on 1 tiles 2 to 4 into {
        fleet.cu_task on 0 tiles 2 to 3
        fleet.cu_task on 1 tiles 3 to 4
      }
    }
    fleet.task 1 @gemm(%a, %w, %b) partition <columns, tiles = 2, size = 2> waits [0] : (!v, !v, !v) -> () into {
      fleet.chiplet_task on 0 tiles 0 to 2 into {
        fleet.cu_task on 0 tiles 0 to 2
      }
    }
    fleet.task 2 @gemm(%a, %v, %c) partition <columns, tiles = 3, size = 2> waits [0] : (!v, !v, !v) -> () into {
      fleet.chiplet_task on 0 tiles 0 to 1 into {
        fleet.cu_task on 1 tiles 0 to 1
      }
      fleet.chiplet_task on 1 tiles 1 to 3 into {
        fleet.cu_task on 0 tiles 1 to 3
      }
    }
    fleet.task 3 @gemm(%b, %c, %out) partition <whole, tiles = 1, size = 4> waits [1, 2] : (!v, !v, !v) -> () into {
      fleet.chiplet_task on 1 tiles 0 to 1 into {
        fleet.cu_task on 1 tiles 0 to 1
      }
    }
    fleet.queue chiplet 0 worker 0 [0, 1]
    fleet.queue chiplet 0 worker 1 [0, 2]
    fleet.queue chiplet 1 worker 0 [0, 2]
    fleet.queue chiplet 1 worker 1 [0, 3]
    return
  }
}
