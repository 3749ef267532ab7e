// RUN: fleet-opt %s --fleet-cpu-driver | FileCheck %s

// The kernel's tables and functions come into the module without memory scopes; the kernel itself is replaced by a walk of
// the queues, and what the host had is gone.
// CHECK-NOT: gpu.{{module|func}}
// CHECK-NOT: #fleet.mem
// CHECK-NOT: @host
// CHECK: memref.global "private" constant @device_tasks : memref<2x4xi32>
// CHECK: memref.global "private" constant @arrivals : memref<2x1xi32>
// CHECK: func.func private @body(%{{.*}}: memref<8xf32>, %{{.*}}: memref<64xi8>) attributes {fleet.body}
// CHECK-NOT: memref.memory_space_cast
// CHECK: func.func private @dispatch(%{{.*}}: memref<?xi8>, %{{.*}}: memref<?xi8>, %{{.*}}: memref<?xi8>, %{{.*}}: memref<?xi8>, %{{.*}}: memref<?xi8>, %{{.*}}: index, %{{.*}}: index, %{{.*}}: index, %{{.*}}: index) {

// CHECK: func.func @fleet_step(%[[P:[a-z0-9]*]]: memref<?xi8>, %[[S:[a-z0-9]*]]: memref<?xi8>, %[[W:[a-z0-9]*]]: memref<?xi8>, %[[I:[a-z0-9]*]]: memref<?xi8>, %[[O:[a-z0-9]*]]: memref<?xi8>, %[[EPOCH:[a-z0-9]*]]: i32)
// One place in its queue for each of two workers.
// CHECK: memref.alloca() {{.*}} : memref<2xindex>
// Counters of 2 tasks: one for the chiplet, one for the device each.
// CHECK: memref.view %[[W]][%{{.*}}][] : memref<?xi8> to memref<4xi32>
// CHECK: scf.while
// CHECK: func.call @dispatch(%[[P]], %[[S]], %[[W]], %[[I]], %[[O]],
// The status: who is stuck, for which task, in which step.
// CHECK: memref.view %[[O]][%{{.*}}][] : memref<?xi8> to memref<4xi32>
// CHECK: memref.store %[[EPOCH]]
module attributes {gpu.container_module} {
  func.func private @host()
  gpu.module @fleet attributes {fleet.counters = 64 : i64, fleet.status = 128 : i64} {
    memref.global "private" constant @device_tasks : memref<2x4xi32> = dense<[[0, 0, 0, 0], [0, 0, 1, 0]]>
    memref.global "private" constant @cu_tasks : memref<3x3xi32> = dense<[[0, 0, 1], [1, 0, 1], [0, 1, 2]]>
    memref.global "private" constant @queues : memref<3xi32> = dense<[0, 2, 3]>
    memref.global "private" constant @waits : memref<1xi32> = dense<[0]>
    memref.global "private" constant @arrivals : memref<2x1xi32> = dense<[[2], [1]]>
    func.func private @body(%x: memref<8xf32, #fleet.mem<hbm>>, %scratch: memref<64xi8, #fleet.mem<lds>>) {
      return
    }
    func.func private @dispatch(%params: memref<?xi8, #fleet.mem<hbm>>, %state: memref<?xi8, #fleet.mem<hbm>>, %work: memref<?xi8, #fleet.mem<hbm>>,
                                %input: memref<?xi8, #fleet.mem<hbm>>, %output: memref<?xi8, #fleet.mem<hbm>>, %task: index, %lo: index, %hi: index, %worker: index) {
      %x = memref.view %work[%lo][] : memref<?xi8, #fleet.mem<hbm>> to memref<8xf32, #fleet.mem<hbm>>
      %own = memref.view %work[%hi][] : memref<?xi8, #fleet.mem<hbm>> to memref<64xi8, #fleet.mem<hbm>>
      %scratch = memref.memory_space_cast %own : memref<64xi8, #fleet.mem<hbm>> to memref<64xi8, #fleet.mem<lds>>
      func.call @body(%x, %scratch) : (memref<8xf32, #fleet.mem<hbm>>, memref<64xi8, #fleet.mem<lds>>) -> ()
      return
    }
    gpu.func @step() kernel {
      gpu.return
    }
  }
}
