// RUN: fleet-opt %s --fleet-gpu-driver | FileCheck %s
// RUN: fleet-opt %s --fleet-gpu-driver=omit-wait=0 | FileCheck %s --check-prefix=OMIT
// RUN: sed 's/dense<\[\[1, 0\], \[1, 1\]\]>/dense<[[1, 0], [1, 2]]>/' %s | fleet-opt --fleet-gpu-driver=flat-events | FileCheck %s --check-prefix=FLAT

// Two chiplets of two workers. Arenas are pointers of known size, the scratch is LDS.
// CHECK: gpu.module @fleet
// CHECK-SAME: fleet.lanes = 64 : i64
// CHECK-SAME: fleet.threads = 256 : i64
// CHECK-SAME: fleet.tickets = 512 : i64, fleet.tickets_size = 512 : i64, fleet.tickets_stride = 256 : i64
// CHECK-DAG: memref.global "private" @scratch : memref<128xi8, #gpu.address_space<workgroup>> = uninitialized {alignment = 16 : i64}
// CHECK-DAG: memref.global "private" constant @producers : memref<2xi32, #gpu.address_space<global>> = dense<[1, 2]>
// CHECK: func.func private @body(%{{.*}}: memref<4xf32, #gpu.address_space<global>>, %{{.*}}: index, %{{.*}}: index, %{{.*}}: memref<128xi8, #gpu.address_space<workgroup>>)
// CHECK: func.func private @dispatch(%{{.*}}: memref<64xi8, #gpu.address_space<global>>
// CHECK: %[[LDS:.*]] = memref.get_global @scratch
// CHECK-NOT: memref.memory_space_cast
// CHECK: %[[VIEW:.*]] = memref.view %[[LDS]]
// CHECK: %[[OWN:.*]] = memref.view %[[VIEW]]
// CHECK: call @body({{.*}}, %[[OWN]])

// CHECK: gpu.func @fleet_step(
// CHECK-SAME: i32) kernel attributes {known_block_size = array<i32: 256, 1, 1>}
// CHECK: %[[CHIPLET:.*]] = fleet.chiplet_id : index
// CHECK: %[[RANK:.*]] = fleet.worker_rank {fleet.expired = @expired, fleet.first = 4 : i64, fleet.present = @present} : index
// CHECK: scf.if
// The heads of the worker's queues, a set for each wave; the least task id comes next.
// CHECK: %[[HEADS:.*]] = memref.view {{.*}} to memref<4x2xi32, #gpu.address_space<workgroup>>
// CHECK: arith.ceildivui
// CHECK: scf.for
// CHECK: memref.store {{.*}}, %[[HEADS]]
// CHECK: scf.for {{.*}} iter_args
// CHECK: scf.while
// CHECK: } do {
// CHECK: scf.for
// CHECK: fleet.wait <device> {{.*}} {fleet.expired = @expired}
// CHECK: scf.if
// CHECK: func.call @dispatch(
// CHECK: %[[NOW:.*]] = fleet.signal <chiplet>
// CHECK: arith.cmpi eq, %[[NOW]]
// CHECK: scf.if
// CHECK: fleet.signal <device>
// The first worker that gives up writes the status.
// CHECK: memref.atomic_rmw assign
// CHECK-COUNT-3: memref.store

// To compare: each of the 1 and 3 arrivals tells the device, and is waited for.
// FLAT: memref.global "private" constant @producers : memref<2xi32, #gpu.address_space<global>> = dense<[1, 3]>
// FLAT: %[[NOW:.*]] = fleet.signal <chiplet>
// FLAT: %[[ZERO:.*]] = arith.constant 0 : i32
// FLAT: %[[TELLS:.*]] = arith.cmpi ne, %[[NOW]], %[[ZERO]]
// FLAT: scf.if %[[TELLS]]
// FLAT: fleet.signal <device>

// OMIT: } do {
// OMIT: scf.for %[[I:.*]] =
// OMIT: arith.cmpi ne, %[[I]]
// OMIT: scf.if
// OMIT: fleet.wait
module attributes {fleet.target = #fleet.target<"gfx950", backend = rocdl, chiplets = 2, workers = 2, lds = 1024, l2 = 1, hbm_gbs = 1, tile = 16>,
                   fleet.manifest = {arenas = {params = 64 : i64, state = 64 : i64, work = 4096 : i64, input = 64 : i64, output = 128 : i64}}} {
  gpu.module @fleet attributes {fleet.counters = 256 : i64, fleet.scratch = 512 : i64, fleet.scratch_stride = 128 : i64, fleet.status = 64 : i64} {
    memref.global "private" constant @device_tasks : memref<2x4xi32> = dense<[[0, 0, 0, 0], [0, 0, 1, 0]]>
    memref.global "private" constant @cu_tasks : memref<3x3xi32> = dense<[[0, 0, 1], [1, 0, 1], [1, 1, 2]]>
    memref.global "private" constant @queues : memref<5xi32> = dense<[0, 2, 2, 3, 3]>
    memref.global "private" constant @waits : memref<1xi32> = dense<[0]>
    memref.global "private" constant @arrivals : memref<2x2xi32> = dense<[[1, 0], [1, 1]]>
    func.func private @body(%out: memref<4xf32, #fleet.mem<hbm>>, %lo: index, %hi: index, %scratch: memref<128xi8, #fleet.mem<lds>>) attributes {fleet.body} {
      return
    }
    func.func private @dispatch(%params: memref<?xi8, #fleet.mem<hbm>>, %state: memref<?xi8, #fleet.mem<hbm>>, %work: memref<?xi8, #fleet.mem<hbm>>,
                                %input: memref<?xi8, #fleet.mem<hbm>>, %output: memref<?xi8, #fleet.mem<hbm>>, %task: index, %lo: index, %hi: index, %worker: index) {
      %c0 = arith.constant 0 : index
      %out = memref.view %work[%c0][] : memref<?xi8, #fleet.mem<hbm>> to memref<4xf32, #fleet.mem<hbm>>
      %own = memref.view %work[%c0][] : memref<?xi8, #fleet.mem<hbm>> to memref<128xi8, #fleet.mem<hbm>>
      %scratch = memref.memory_space_cast %own : memref<128xi8, #fleet.mem<hbm>> to memref<128xi8, #fleet.mem<lds>>
      func.call @body(%out, %lo, %hi, %scratch) : (memref<4xf32, #fleet.mem<hbm>>, index, index, memref<128xi8, #fleet.mem<lds>>) -> ()
      return
    }
  }
}
