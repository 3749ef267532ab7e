// RUN: fleet-opt %s --fleet-generate-target | FileCheck %s

// CHECK-NOT: gpu.module
// CHECK: llvm.mlir.global internal constant @queues
// CHECK: llvm.func internal @dispatch(
// CHECK: llvm.func @fleet_step(
module attributes {fleet.target = #fleet.target<"cpu", backend = llvm, chiplets = 1, workers = 1, lds = 1, l2 = 1, hbm_gbs = 1, tile = 64>} {
  gpu.module @fleet attributes {fleet.counters = 64 : i64, fleet.status = 128 : i64} {
    memref.global "private" constant @device_tasks : memref<1x3xi32> = dense<[[0, 0, 0]]>
    memref.global "private" constant @cu_tasks : memref<1x3xi32> = dense<[[0, 0, 1]]>
    memref.global "private" constant @queues : memref<2xi32> = dense<[0, 1]>
    memref.global "private" constant @waits : memref<1xi32> = dense<[-1]>
    memref.global "private" constant @arrivals : memref<1x1xi32> = dense<[[1]]>
    func.func private @dispatch(%params: memref<?xi8, #fleet.mem<hbm>>, %state: memref<?xi8, #fleet.mem<hbm>>, %work: memref<?xi8, #fleet.mem<hbm>>,
                                %input: memref<?xi8, #fleet.mem<hbm>>, %output: memref<?xi8, #fleet.mem<hbm>>, %task: index, %lo: index, %hi: index, %worker: index) {
      return
    }
  }
}
