// A decoder of one layer, taken through every phase by files: 8 chiplets of 4 workers, run on a CPU.
// RUN: mkdir -p %t
// RUN: fleet-opt %S/Inputs/decoder.mlir --fleet-set-schedule=switches=queues=even --fleet-phase-import -o %t/import.mlir
// RUN: fleet-opt %t/import.mlir --fleet-phase-tasks -o %t/tasks.mlir
// RUN: fleet-opt %t/tasks.mlir --fleet-phase-chiplets -o %t/chiplets.mlir
// RUN: fleet-opt %t/chiplets.mlir --fleet-phase-tiles -o %t/tiles.mlir
// RUN: fleet-opt %t/tiles.mlir --fleet-phase-memory -o %t/memory.mlir
// RUN: fleet-opt %t/memory.mlir --fleet-phase-events -o %t/events.mlir
// RUN: fleet-opt %t/events.mlir --fleet-phase-schedule -o %t/schedule.mlir
// RUN: fleet-opt %t/schedule.mlir --fleet-phase-kernel -o %t/kernel.mlir
// RUN: fleet-opt %t/kernel.mlir --fleet-phase-target -o %t/target.mlir
// RUN: fleet-opt %t/target.mlir --fleet-phase-package -o %t/package.mlir

// Text is the whole exchange: one process gives the same module as ten.
// RUN: fleet-opt %S/Inputs/decoder.mlir --fleet-set-schedule=switches=queues=even --fleet-phase-import --fleet-phase-tasks -o %t/tasks.both.mlir
// RUN: diff %t/tasks.mlir %t/tasks.both.mlir
// RUN: fleet-opt %t/tasks.mlir --fleet-phase-chiplets --fleet-phase-tiles -o %t/tiles.both.mlir
// RUN: diff %t/tiles.mlir %t/tiles.both.mlir
// RUN: fleet-opt %t/tiles.mlir --fleet-phase-memory --fleet-phase-events -o %t/events.both.mlir
// RUN: diff %t/events.mlir %t/events.both.mlir
// RUN: fleet-opt %t/events.mlir --fleet-phase-schedule --fleet-phase-kernel -o %t/kernel.both.mlir
// RUN: diff %t/kernel.mlir %t/kernel.both.mlir
// RUN: fleet-opt %S/Inputs/decoder.mlir --fleet-set-schedule=switches=queues=even --fleet-phase-import --fleet-phase-tasks --fleet-phase-chiplets --fleet-phase-tiles --fleet-phase-memory --fleet-phase-events --fleet-phase-schedule --fleet-phase-kernel --fleet-phase-target --fleet-phase-package -o %t/all.mlir
// RUN: diff %t/package.mlir %t/all.mlir

// RUN: FileCheck %s --check-prefix=IMPORT --input-file=%t/import.mlir
// IMPORT: fleet.phase = "import"
// IMPORT: func.func @step(%{{.*}}: tensor<2xi32> {fleet.input = "tokens"}, %{{.*}}: tensor<2xi32> {fleet.input = "positions"}, %{{.*}}: tensor<2xi32> {fleet.input = "slots"}, %{{.*}}: tensor<2xi32> {fleet.input = "out_rows"}) -> (tensor<2x640xf32>, tensor<2xi32>)
// IMPORT: fleet.attention {{.*}} memref<3x2x32x8xf32, #fleet.mem<hbm>>
// IMPORT-NOT: call @

// RUN: FileCheck %s --check-prefix=TASKS --input-file=%t/tasks.mlir
// TASKS: fleet.phase = "tasks"
// TASKS-COUNT-6: func.func private @task_
// TASKS: func.func @step
// TASKS: %[[QKV:.*]] = fleet.param ["q", "k", "v"] : tensor<64x16xf32>
// TASKS: %[[X:.*]] = fleet.task 0 @task_0(
// TASKS-NEXT: %[[P:.*]] = fleet.task 1 @task_1(%[[X]], %{{.*}}, %[[QKV]])
// TASKS-NEXT: %[[A:.*]] = fleet.task 2 @task_2(%[[P]],
// TASKS-NEXT: %[[Y:.*]] = fleet.task 3 @task_3(%[[A]], %{{.*}}, %[[X]])
// TASKS-NEXT: %[[L:.*]] = fleet.task 4 @task_4(%[[Y]],
// TASKS-NEXT: %[[I:.*]] = fleet.task 5 @task_5(%[[L]])
// TASKS-NEXT: return %[[L]], %[[I]]

// RUN: FileCheck %s --check-prefix=CHIPLETS --input-file=%t/chiplets.mlir
// CHIPLETS: fleet.phase = "chiplets"
// CHIPLETS: fleet.task 2 {{.*}} partition <heads, tiles = 2, size = 2>
// CHIPLETS: fleet.task 4 {{.*}} partition <columns, tiles = 40, size = 16>
// CHIPLETS-NEXT: fleet.chiplet_task on 0 tiles 0 to 5{{$}}
// CHIPLETS: fleet.chiplet_task on 7 tiles 35 to 40{{$}}

// RUN: FileCheck %s --check-prefix=TILES --input-file=%t/tiles.mlir
// TILES: fleet.phase = "tiles"
// TILES: fleet.param ["head"] pack 16 : tensor<40x16x16xf32>
// TILES: fleet.task 4
// TILES: fleet.chiplet_task on 7 tiles 35 to 40 into {
// TILES-NEXT: fleet.cu_task on 0 tiles 35 to 36
// TILES-NEXT: fleet.cu_task on 1 tiles 36 to 37
// TILES-NEXT: fleet.cu_task on 2 tiles 37 to 38
// TILES-NEXT: fleet.cu_task on 3 tiles 38 to 40
// TILES-NEXT: }

// RUN: FileCheck %s --check-prefix=MEMORY --input-file=%t/memory.mlir
// MEMORY: fleet.manifest = {arenas = {input = 256 : i64, output = 5248 : i64, params = 51264 : i64, state = 12288 : i64, work = 1024 : i64}
// MEMORY: fleet.phase = "memory"
// MEMORY-NOT: tensor<
// MEMORY: func.func @step() {

// RUN: FileCheck %s --check-prefix=EVENTS --input-file=%t/events.mlir
// EVENTS: fleet.phase = "events"
// EVENTS: fleet.task 0 {{.*}} waits [] :
// EVENTS: fleet.task 1 {{.*}} waits [0] :
// EVENTS: fleet.task 2 {{.*}} waits [1] :
// The residual is of task 0, which task 2 is after.
// EVENTS: fleet.task 3 {{.*}} waits [2] :
// EVENTS: fleet.task 4 {{.*}} waits [3] :
// EVENTS: fleet.task 5 {{.*}} waits [4] :

// RUN: FileCheck %s --check-prefix=SCHEDULE --input-file=%t/schedule.mlir
// SCHEDULE: fleet.phase = "schedule"
// SCHEDULE: fleet.queue chiplet 0 worker 0 [4]
// SCHEDULE: fleet.queue chiplet 3 worker 3 [1, 2, 4]
// SCHEDULE: fleet.queue chiplet 7 worker 2 [4]
// SCHEDULE-NEXT: fleet.queue chiplet 7 worker 3 [0, 1, 2, 3, 4, 5]
// SCHEDULE-NEXT: return

// RUN: FileCheck %s --check-prefix=KERNEL --input-file=%t/kernel.mlir
// KERNEL: fleet.phase = "kernel"
// KERNEL: gpu.module @fleet
// KERNEL: @device_tasks : memref<6x11xi32>
// KERNEL: @cu_tasks : memref<41x3xi32>
// KERNEL: @queues : memref<33xi32> = dense<[0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 19, 20, 21, 22, 23, 24, 25, 26, 28, 29, 30, 31, 32, 33, 34, 35, 41]>
// KERNEL: @waits : memref<5xi32> = dense<[0, 1, 2, 3, 4]>
// KERNEL: @arrivals : memref<6x8xi32> = dense<{{\[\[}}0, 0, 0, 0, 0, 0, 0, 1], [0, 1, 0, 1, 0, 1, 0, 1], [0, 0, 0, 1, 0, 0, 0, 1], [0, 0, 0, 0, 0, 0, 0, 1], [4, 4, 4, 4, 4, 4, 4, 4], [0, 0, 0, 0, 0, 0, 0, 1]]>
// KERNEL: gpu.func @step

// Nothing but the LLVM dialect is left, and nobody is called that is not here.
// RUN: FileCheck %s --check-prefix=TARGET --input-file=%t/target.mlir
// TARGET: fleet.phase = "target"
// TARGET-NOT: {{gpu\.(module|func)|func\.func|memref\.|scf\.|arith\.|fleet\.(wait|signal|gather|attention)}}
// TARGET: llvm.func @fleet_step(
// TARGET-NOT: {{gpu\.(module|func)|func\.func|memref\.|scf\.|arith\.}}

// RUN: FileCheck %s --check-prefix=PACKAGE --input-file=%t/package.mlir
// PACKAGE-NOT: fleet.manifest
// PACKAGE: fleet.phase = "package"
// PACKAGE: fleet.package @fleet_step {format = "embedded-elf", manifest = {arenas =
