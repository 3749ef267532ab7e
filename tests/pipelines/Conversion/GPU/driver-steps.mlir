// A launch of several steps, each with the tokens of the one before, and cycle counts of every cu task.
// RUN: fleet-opt %s --fleet-gpu-driver=most-steps=64 | FileCheck %s --check-prefix=STEPS
// RUN: fleet-opt %s --fleet-gpu-driver=stamps=true | FileCheck %s --check-prefix=STAMPS
// RUN: fleet-opt %s "--fleet-gpu-driver=most-steps=64 stamps=true" | FileCheck %s --check-prefix=BOTH

// The ids of 64 steps of 2 rows stand behind the output, at a multiple of 64 bytes.
// STEPS: fleet.manifest = {arenas = {input = 256 : i64, output = 896 : i64, params = 64 : i64, state = 64 : i64, work = 4100 : i64}
// STEPS-SAME: history = 384 : i64
// STEPS-SAME: most_steps = 64 : i64
// STEPS-NOT: stamps
// STEPS: gpu.func @fleet_step(
// STEPS-SAME: %[[INPUT:[^:]*]]: memref<256xi8, #gpu.address_space<global>>, %[[OUTPUT:[^:]*]]: memref<896xi8, #gpu.address_space<global>>, %[[EPOCH:[^:]*]]: i32, %[[STEPS:[^:]*]]: i32) kernel
// STEPS: %[[N:.*]] = arith.index_cast %[[STEPS]] : i32 to index
// STEPS: %[[DONE:.*]] = scf.for %[[S:.*]] = %{{.*}} to %[[N]] step %{{.*}} iter_args(%[[GOES:.*]] = %true) -> (i1) {
// STEPS-NEXT: %[[STEP:.*]] = arith.index_cast %[[S]] : index to i32
// STEPS-NEXT: %[[NOW:.*]] = arith.addi %[[EPOCH]], %[[STEP]] : i32
// STEPS: scf.while (%{{.*}} = %{{.*}}, %{{.*}} = %[[GOES]]) : (index, i1)
// Events of this step, by its own epoch.
// STEPS: scf.for
// STEPS: %[[TARGET:.*]] = arith.muli %[[NOW]]
// STEPS: fleet.wait <device> {{.*}} %[[TARGET]] {fleet.expired = @expired}
// A task without any waits for the last task of the step before.
// STEPS: scf.if
// STEPS: %[[C1:.*]] = arith.constant 1 : i32
// STEPS: %[[BEFORE:.*]] = arith.subi %[[NOW]], %[[C1]] : i32
// STEPS: %[[OLD:.*]] = arith.muli %[[BEFORE]]
// STEPS: fleet.wait <device> {{.*}} %[[OLD]] {fleet.expired = @expired}
// STEPS: func.call @dispatch(
// After the last task its ids are kept; they and the next positions are what the next step reads.
// STEPS: scf.if
// STEPS-DAG: %[[TOKENS:.*]] = memref.view %[[INPUT]][%c0{{.*}}][] : {{.*}} to memref<2xi32
// STEPS-DAG: %[[POSITIONS:.*]] = memref.view %[[INPUT]][%c64{{.*}}][] : {{.*}} to memref<2xi32
// STEPS-DAG: %[[ROWS:.*]] = memref.view %[[INPUT]][%c192{{.*}}][] : {{.*}} to memref<2xi32
// STEPS-DAG: %[[IDS:.*]] = memref.view %[[OUTPUT]][%c256{{.*}}][] : {{.*}} to memref<2xi32
// STEPS-DAG: %[[HISTORY:.*]] = memref.view %[[OUTPUT]][%c384{{.*}}][] : {{.*}} to memref<64x2xi32
// STEPS: gpu.barrier
// STEPS: %[[ID:.*]] = memref.load %[[IDS]][%[[ROW:.*]]]
// STEPS: memref.store %[[ID]], %[[HISTORY]][%[[S]], %[[ROW]]]
// STEPS: memref.load %[[ROWS]][%[[ROW]]]
// STEPS: scf.if
// A row whose logits are all NaN has no token: the next step is fed with one that exists.
// STEPS: %[[NONE:.*]] = arith.cmpi eq, %[[ID]], %c2147483647{{.*}} : i32
// STEPS: %[[FED:.*]] = arith.select %[[NONE]], %c0{{.*}}, %[[ID]] : i32
// STEPS: memref.store %[[FED]], %[[TOKENS]][%[[ROW]]]
// STEPS: memref.load %[[POSITIONS]][%[[ROW]]]
// STEPS: arith.addi
// STEPS: memref.store {{.*}}, %[[POSITIONS]][%[[ROW]]]
// STEPS: fleet.signal <chiplet>
// A wait that gave up ends all steps, and the status names the first epoch.
// STEPS: arith.xori %[[DONE]], %true
// STEPS: memref.atomic_rmw assign
// STEPS: memref.store %[[EPOCH]]

// 3 cu tasks of 4 counts stand behind the work, at a multiple of 64 bytes: begun, waited, computed, signalled.
// STAMPS: fleet.manifest = {arenas = {input = 256 : i64, output = 324 : i64, params = 64 : i64, state = 64 : i64, work = 4256 : i64}
// STAMPS-NOT: history
// STAMPS-NOT: most_steps
// STAMPS-SAME: stamps = 4160 : i64
// STAMPS: gpu.func @fleet_step(
// STAMPS-SAME: %[[WORK:[^:]*]]: memref<4256xi8, #gpu.address_space<global>>
// STAMPS-SAME: memref<324xi8, #gpu.address_space<global>>, %{{[^:]*}}: i32) kernel
// STAMPS: %[[STAMPS:.*]] = memref.view %[[WORK]][%c4160{{.*}}][] : {{.*}} to memref<3x4xi64
// STAMPS: scf.while
// STAMPS: llvm.call_intrinsic "llvm.readcyclecounter"() : () -> i64
// STAMPS: memref.store {{.*}}, %[[STAMPS]][
// STAMPS: fleet.wait
// STAMPS: llvm.call_intrinsic "llvm.readcyclecounter"() : () -> i64
// STAMPS: memref.store {{.*}}, %[[STAMPS]][
// STAMPS: func.call @dispatch(
// STAMPS: llvm.call_intrinsic "llvm.readcyclecounter"() : () -> i64
// STAMPS: memref.store {{.*}}, %[[STAMPS]][
// STAMPS: fleet.signal <chiplet>
// STAMPS: llvm.call_intrinsic "llvm.readcyclecounter"() : () -> i64
// STAMPS: memref.store {{.*}}, %[[STAMPS]][

// BOTH: fleet.manifest = {arenas = {input = 256 : i64, output = 896 : i64, params = 64 : i64, state = 64 : i64, work = 4256 : i64}
// BOTH-SAME: history = 384 : i64
// BOTH-SAME: most_steps = 64 : i64
// BOTH-SAME: stamps = 4160 : i64

// A launch takes one step where not every row gives a token, where the last task is not after all others, and by default.
// RUN: sed "s/out_rows = 2 : i64/out_rows = 1 : i64/" %s | fleet-opt --fleet-gpu-driver=most-steps=64 | FileCheck %s --check-prefix=ONE
// RUN: sed "s/\[0, 0, 1, 0\]/[0, 0, 0, 0]/" %s | fleet-opt --fleet-gpu-driver=most-steps=64 | FileCheck %s --check-prefix=ONE
// RUN: fleet-opt %s --fleet-gpu-driver | FileCheck %s --check-prefix=ONE
// ONE: fleet.manifest = {arenas = {input = 256 : i64, output = 324 : i64,
// ONE-NOT: history
// ONE-NOT: most_steps
// ONE: gpu.func @fleet_step(
// ONE-SAME: memref<324xi8, #gpu.address_space<global>>, %{{[^:]*}}: i32) kernel
// ONE: scf.while
// ONE-COUNT-1: fleet.wait
// ONE-NOT: fleet.wait

// The last task may be cut by rows: each worker feeds its own. Not so if its tiles are no rows.
// RUN: sed -e "s/memref<3x3xi32> = dense<.*>/memref<4x3xi32> = dense<[[0, 0, 1], [1, 0, 1], [0, 1, 2], [1, 1, 2]]>/" -e "s/dense<\[0, 1, 3\]>/dense<[0, 2, 4]>/" -e "s/\[\[2\], \[1\]\]/[[2], [2]]/" %s > %t.mlir
// RUN: fleet-opt %t.mlir --fleet-gpu-driver=most-steps=64 | FileCheck %s --check-prefix=CUT
// RUN: sed "s/\[1, 1, 2\]/[1, 1, 3]/" %t.mlir | fleet-opt --fleet-gpu-driver=most-steps=64 | FileCheck %s --check-prefix=ONE
// CUT: most_steps = 64 : i64
// CUT: func.call @dispatch({{.*}}, %[[LO:[^,]*]], %[[HI:[^,]*]], %{{[^,]*}})
// CUT: %[[COUNT:.*]] = arith.subi %[[HI]], %[[LO]] : index
// CUT: scf.for %[[I:.*]] = %{{.*}} to %[[COUNT]]
// CUT: %[[ROW:.*]] = arith.addi %[[LO]], %[[I]] : index
// CUT: memref.load %{{.*}}[%[[ROW]]]

// The last task takes the results of the first by their flags: it is after it, waits for no step before, and has none
// waiting for the first. The number of the step is there before its tasks; a flag that does not come ends the walk.
// RUN: sed -e "s/memref<2x4xi32> = dense<.*>/memref<2x4xi32> = dense<0>/" -e "s/\[\[2\], \[1\]\]/[[0], [1]]/" -e 's/^.*@queues/    memref.global "private" constant @flagged : memref<2xi32> = dense<[-1, 0]>\n&/' %s > %t.mlir
// RUN: fleet-opt %t.mlir "--fleet-gpu-driver=most-steps=64 cache-tables=true" | FileCheck %s --check-prefix=FLAGGED
// FLAGGED: most_steps = 64 : i64
// FLAGGED: gpu.func @fleet_step(
// FLAGGED-SAME: %[[EPOCH:[^:]*]]: i32, %{{[^:]*}}: i32) kernel
// FLAGGED: memref.get_global @late
// FLAGGED: scf.for
// FLAGGED: %[[NOW:.*]] = arith.addi %[[EPOCH]]
// FLAGGED: %[[NUMBER:.*]] = memref.get_global @step_number
// FLAGGED: memref.store %[[NOW]]
// FLAGGED: gpu.barrier
// FLAGGED: scf.while
// FLAGGED: fleet.wait
// FLAGGED: %[[FIRST:.*]] = arith.cmpi eq
// FLAGGED: memref.get_global @cached_flagged
// FLAGGED: %[[NONE:.*]] = arith.cmpi slt
// FLAGGED: %[[WAITS:.*]] = arith.andi %[[FIRST]], %[[NONE]]
// FLAGGED: scf.if %[[WAITS]]
// FLAGGED: fleet.wait
// FLAGGED: func.call @dispatch(
// FLAGGED: %[[AWAITED:.*]] = arith.cmpi ne
// FLAGGED: memref.get_global @late
// FLAGGED: %[[LATE:.*]] = arith.cmpi ne
// FLAGGED: scf.if %[[LATE]]
// FLAGGED: memref.get_global @cached_flagged
// FLAGGED-COUNT-2: memref.store
// FLAGGED: gpu.barrier
// FLAGGED: %[[RIGHT:.*]] = arith.xori %[[LATE]]
// FLAGGED: %[[TELLS:.*]] = arith.andi %[[AWAITED]], %[[RIGHT]]
// FLAGGED: scf.if %[[TELLS]]
// FLAGGED: fleet.signal <chiplet>

// RUN: sed "s/ids = {offset = 256 : i64}//" %s | not fleet-opt --fleet-gpu-driver=most-steps=64 2>&1 | FileCheck %s --check-prefix=PLACES
// PLACES: error: expected tokens, positions, out_rows and ids with offsets in the manifest

module attributes {fleet.target = #fleet.target<"sm_90a", backend = nvvm, chiplets = 1, workers = 2, lds = 1024, l2 = 1, hbm_gbs = 1, tile = 16>,
                   fleet.manifest = {arenas = {params = 64 : i64, state = 64 : i64, work = 4100 : i64, input = 256 : i64, output = 324 : i64}, tokens = 2 : i64, out_rows = 2 : i64,
                                     inputs = {tokens = {offset = 0 : i64}, positions = {offset = 64 : i64}, slots = {offset = 128 : i64}, out_rows = {offset = 192 : i64}}, outputs = {ids = {offset = 256 : i64}}}} {
  gpu.module @fleet attributes {fleet.counters = 256 : i64, fleet.scratch = 512 : i64, fleet.scratch_stride = 128 : i64, fleet.status = 64 : i64} {
    memref.global "private" constant @device_tasks : memref<2x4xi32> = dense<[[0, 0, 0, 0], [0, 0, 1, 0]]>
    memref.global "private" constant @cu_tasks : memref<3x3xi32> = dense<[[0, 0, 1], [0, 1, 2], [1, 0, 1]]>
    memref.global "private" constant @queues : memref<3xi32> = dense<[0, 1, 3]>
    memref.global "private" constant @waits : memref<1xi32> = dense<[0]>
    memref.global "private" constant @arrivals : memref<2x1xi32> = dense<[[2], [1]]>
    func.func private @dispatch(%params: memref<?xi8, #fleet.mem<hbm>>, %state: memref<?xi8, #fleet.mem<hbm>>, %work: memref<?xi8, #fleet.mem<hbm>>,
                                %input: memref<?xi8, #fleet.mem<hbm>>, %output: memref<?xi8, #fleet.mem<hbm>>, %task: index, %lo: index, %hi: index, %worker: index) {
      return
    }
  }
}
