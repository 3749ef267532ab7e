// What goes wrong between two phases is seen by the next: each case is one line of the true file, changed.
// RUN: mkdir -p %t
// RUN: fleet-opt %S/Inputs/decoder.mlir --fleet-set-schedule=switches=queues=even --fleet-phase-import --fleet-phase-tasks --fleet-phase-chiplets --fleet-phase-tiles --fleet-phase-memory --fleet-phase-events --fleet-phase-schedule -o %t/good.mlir
// RUN: fleet-opt %t/good.mlir --fleet-phase-kernel -o %t/kernel.mlir

// The residual's sum no longer waits for the attention.
// RUN: sed 's/waits \[2\]/waits [0]/' %t/good.mlir > %t/wait.mlir
// RUN: not fleet-opt %t/wait.mlir --fleet-phase-kernel 2>&1 | FileCheck %s --check-prefix=WAIT
// WAIT: error: expected a wait for task 2, which touches the same bytes of arena work from offset 640, found none

// A worker that runs its tasks in another order than its neighbours.
// RUN: sed 's/worker 3 \[1, 2, 4\]/worker 3 [2, 1, 4]/' %t/good.mlir > %t/order.mlir
// RUN: not fleet-opt %t/order.mlir --fleet-phase-kernel 2>&1 | FileCheck %s --check-prefix=ORDER
// ORDER: error: expected queues that run to their end, found task 2 waiting for ever for task 1

// The attention writes on top of its queries.
// RUN: sed 's/"work" offset 640/"work" offset 128/' %t/good.mlir > %t/place.mlir
// RUN: not fleet-opt %t/place.mlir --fleet-phase-kernel 2>&1 | FileCheck %s --check-prefix=PLACE
// PLACE: error: expected what a task writes to be apart from its other operands, found both in arena work at offset 128

// A queue of another worker, and one too few.
// RUN: sed 's/chiplet 6 worker 1/chiplet 6 worker 0/' %t/good.mlir > %t/queue.mlir
// RUN: not fleet-opt %t/queue.mlir --fleet-phase-kernel 2>&1 | FileCheck %s --check-prefix=QUEUE
// QUEUE: error: expected the queue of chiplet 6 worker 1, found that of chiplet 6 worker 0
// RUN: sed '/chiplet 7 worker 3 \[/d' %t/good.mlir > %t/few.mlir
// RUN: not fleet-opt %t/few.mlir --fleet-phase-kernel 2>&1 | FileCheck %s --check-prefix=FEW
// FEW: error: expected a queue for each of 32 workers, found 31

// A task of which no worker runs a tile.
// RUN: sed '/cu_task on 1 tiles 36 to 37/d' %t/good.mlir > %t/tile.mlir
// RUN: not fleet-opt %t/tile.mlir --fleet-phase-kernel 2>&1 | FileCheck %s --check-prefix=TILE
// TILE: error: 'fleet.cu_task' op expected tiles from 36, found 37

// A body of other operands.
// RUN: sed 's/task 5 @task_5/task 5 @task_3/' %t/good.mlir > %t/body.mlir
// RUN: not fleet-opt %t/body.mlir --fleet-phase-kernel 2>&1 | FileCheck %s --check-prefix=BODY
// BODY: error: expected a body @task_3 of type '(memref<2x640xf32, #fleet.mem<hbm>>, memref<2xi32, #fleet.mem<hbm>>, index, index, memref<{{.*}}xi8, #fleet.mem<lds>>) -> ()', found

// A file of a later phase that says it is of an earlier one.
// RUN: sed 's/fleet.phase = "kernel"/fleet.phase = "schedule"/' %t/kernel.mlir > %t/name.mlir
// RUN: not fleet-opt %t/name.mlir --fleet-phase-kernel 2>&1 | FileCheck %s --check-prefix=NAME
// NAME: error: expected a function @step, found none
