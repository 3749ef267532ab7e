// RUN: split-file %s %t
// RUN: not fleet-sim %t/phase.mlir 2>&1 | FileCheck %t/phase.mlir
// RUN: not fleet-sim %t/raw.mlir 2>&1 | FileCheck %t/raw.mlir
// RUN: not fleet-sim %t/target.mlir 2>&1 | FileCheck %t/target.mlir
// RUN: not fleet-sim %t/rows.mlir 2>&1 | FileCheck %t/rows.mlir
// RUN: not fleet-sim %t/operation.mlir 2>&1 | FileCheck %t/operation.mlir
// RUN: not fleet-sim %t/address.mlir 2>&1 | FileCheck %t/address.mlir
// RUN: not fleet-sim %t/stuck.mlir 2>&1 | FileCheck %t/stuck.mlir
// RUN: not fleet-sim %t/queue.mlir 2>&1 | FileCheck %t/queue.mlir
// RUN: not fleet-sim %t/missing.mlir 2>&1 | FileCheck %t/missing.mlir
// RUN: not fleet-sim %t/table.mlir 2>&1 | FileCheck %t/table.mlir
// RUN: not fleet-sim %t/dispatch.mlir 2>&1 | FileCheck %t/dispatch.mlir
// RUN: not fleet-sim %t/none.mlir 2>&1 | FileCheck %s --check-prefix=NONE
// RUN: not fleet-sim --parameter=speed=1 %t/good.mlir 2>&1 | FileCheck %s --check-prefix=NAME
// RUN: not fleet-sim --parameter=hbm_ns=x %t/good.mlir 2>&1 | FileCheck %s --check-prefix=VALUE
// RUN: not fleet-sim --group=task:2 %t/good.mlir 2>&1 | FileCheck %s --check-prefix=GROUP
// RUN: not fleet-sim --scheduler=dynamic %t/good.mlir 2>&1 | FileCheck %s --check-prefix=ALONE
// RUN: not fleet-sim --steps=0 %t/good.mlir 2>&1 | FileCheck %s --check-prefix=STEPS
// RUN: echo 'no' > %t/text.json
// RUN: not fleet-sim --stamps=%t/text.json %t/good.mlir 2>&1 | FileCheck %s --check-prefix=TEXT
// RUN: echo '{"clock": "sun", "tick_ns": 1, "stamps": []}' > %t/clock.json
// RUN: not fleet-sim --stamps=%t/clock.json %t/good.mlir 2>&1 | FileCheck %s --check-prefix=CLOCK
// RUN: echo '{"clock": "common", "tick_ns": 1, "stamps": []}' > %t/rows.json
// RUN: not fleet-sim --stamps=%t/rows.json %t/good.mlir 2>&1 | FileCheck %s --check-prefix=ROWS
// RUN: echo '{"clock": "common", "tick_ns": 1, "stamps": [[1, 2, 3]]}' > %t/row.json
// RUN: not fleet-sim --stamps=%t/row.json %t/good.mlir 2>&1 | FileCheck %s --check-prefix=ROW
// RUN: echo '{"clock": "common", "tick_ns": 1, "stamps": [[1, 3, 2, 4]]}' > %t/back.json
// RUN: not fleet-sim --stamps=%t/back.json %t/good.mlir 2>&1 | FileCheck %s --check-prefix=BACK
// RUN: not fleet-sim --stamps=%t/nowhere.json %t/good.mlir 2>&1 | FileCheck %s --check-prefix=NOWHERE

// TEXT: error: expected stamps in JSON, found {{.*}}Invalid JSON value
// CLOCK: error: expected stamps with "tick_ns" above 0, "clock" that is "common" or "worker", and a list "stamps"
// ROWS: error: expected a row of stamps for each of 1 queue entries, found 0
// ROW: error: expected 4 numbers in row 0 of the stamps, found another value
// BACK: error: expected times that rise in row 0 of the stamps, of worker 0
// NOWHERE: error: cannot open input file '{{.*}}nowhere.json'

// NONE: error: cannot open input file
// NAME: error: expected the name of a parameter, found 'speed'
// VALUE: error: expected hbm_ns=NUMBER, a number of at least 0, found 'x'
// GROUP: error: expected --group=BODY:N, a body of the schedule and a number of at least 1, found 'task:2'
// ALONE: error: expected chiplets of at least 2 workers for scheduler=dynamic, found 1
// STEPS: error: expected --steps of at least 1, found 0

//--- phase.mlir
// CHECK: error: expected a module in phase schedule or kernel, found events; stop the compilation there with --compile-to schedule
module attributes {fleet.phase = "events"} {
}

//--- raw.mlir
// CHECK: error: expected a module in phase schedule or kernel, found none
module {
}

//--- target.mlir
// CHECK: error: expected a module with a fleet.target, found none; run fleet-set-target
module attributes {fleet.phase = "schedule"} {
  func.func @step() {
    return
  }
}

//--- rows.mlir
// CHECK: error: expected a number of at least 1 as the shape of the manifest's inputs.tokens, found ["many"]
module attributes {fleet.phase = "schedule", fleet.manifest = {inputs = {tokens = {shape = ["many"]}}},
                   fleet.target = #fleet.target<"study", backend = rocdl, chiplets = 1, workers = 1, lds = 65536, l2 = 65536, hbm_gbs = 100, tile = 16>} {
  func.func @step() {
    return
  }
}

//--- good.mlir
module attributes {fleet.phase = "schedule", fleet.target = #fleet.target<"study", backend = rocdl, chiplets = 1, workers = 1, lds = 65536, l2 = 65536, hbm_gbs = 100, tile = 16>} {
  func.func private @body(%x: memref<64xf32, #fleet.mem<hbm>>, %out: memref<64xf32, #fleet.mem<hbm>>, %lo: index, %hi: index, %s: memref<64xi8, #fleet.mem<lds>>) {
    memref.copy %x, %out : memref<64xf32, #fleet.mem<hbm>> to memref<64xf32, #fleet.mem<hbm>>
    return
  }
  func.func @step() {
    %x = fleet.buffer "work" offset 0 : memref<64xf32, #fleet.mem<hbm>>
    %y = fleet.buffer "work" offset 256 : memref<64xf32, #fleet.mem<hbm>>
    fleet.task 0 @body(%x, %y) partition <whole, tiles = 1, size = 64> waits [] : (memref<64xf32, #fleet.mem<hbm>>, memref<64xf32, #fleet.mem<hbm>>) -> () into {
      fleet.chiplet_task on 0 tiles 0 to 1 into {
        fleet.cu_task on 0 tiles 0 to 1
      }
    }
    fleet.queue chiplet 0 worker 0 [0]
    return
  }
}

//--- operation.mlir
// CHECK: error: expected an operation that the simulator can follow in a body, found 'scf.while'
module attributes {fleet.phase = "schedule", fleet.target = #fleet.target<"study", backend = rocdl, chiplets = 1, workers = 1, lds = 65536, l2 = 65536, hbm_gbs = 100, tile = 16>} {
  func.func private @body(%x: memref<64xf32, #fleet.mem<hbm>>, %lo: index, %hi: index, %s: memref<64xi8, #fleet.mem<lds>>) {
    %true = arith.constant true
    scf.while : () -> () {
      scf.condition(%true)
    } do {
      scf.yield
    }
    return
  }
  func.func @step() {
    %x = fleet.buffer "work" offset 0 : memref<64xf32, #fleet.mem<hbm>>
    fleet.task 0 @body(%x) partition <whole, tiles = 1, size = 64> : (memref<64xf32, #fleet.mem<hbm>>) -> () into {
      fleet.chiplet_task on 0 tiles 0 to 1 into {
        fleet.cu_task on 0 tiles 0 to 1
      }
    }
    fleet.queue chiplet 0 worker 0 [0]
    return
  }
}

//--- address.mlir
// CHECK: error: expected an index that follows from the tile, found another; the simulator needs static addresses
module attributes {fleet.phase = "schedule", fleet.target = #fleet.target<"study", backend = rocdl, chiplets = 1, workers = 1, lds = 65536, l2 = 65536, hbm_gbs = 100, tile = 16>} {
  func.func private @body(%x: memref<64xf32, #fleet.mem<hbm>>, %lo: index, %hi: index, %s: memref<64xi8, #fleet.mem<lds>>) {
    %f = arith.constant 1.0 : f32
    %i = arith.fptosi %f : f32 to i64
    %at = arith.index_cast %i : i64 to index
    %v = memref.subview %x[%at] [8] [1] : memref<64xf32, #fleet.mem<hbm>> to memref<8xf32, strided<[1], offset: ?>, #fleet.mem<hbm>>
    return
  }
  func.func @step() {
    %x = fleet.buffer "work" offset 0 : memref<64xf32, #fleet.mem<hbm>>
    fleet.task 0 @body(%x) partition <whole, tiles = 1, size = 64> : (memref<64xf32, #fleet.mem<hbm>>) -> () into {
      fleet.chiplet_task on 0 tiles 0 to 1 into {
        fleet.cu_task on 0 tiles 0 to 1
      }
    }
    fleet.queue chiplet 0 worker 0 [0]
    return
  }
}

//--- stuck.mlir
// CHECK: error: expected queues that run to their end, found task 1 of worker 0 waiting for ever
module attributes {fleet.phase = "schedule", fleet.target = #fleet.target<"study", backend = rocdl, chiplets = 1, workers = 1, lds = 65536, l2 = 65536, hbm_gbs = 100, tile = 16>} {
  func.func private @body(%x: memref<64xf32, #fleet.mem<hbm>>, %lo: index, %hi: index, %s: memref<64xi8, #fleet.mem<lds>>) {
    return
  }
  func.func @step() {
    %x = fleet.buffer "work" offset 0 : memref<64xf32, #fleet.mem<hbm>>
    fleet.task 0 @body(%x) partition <whole, tiles = 1, size = 64> : (memref<64xf32, #fleet.mem<hbm>>) -> () into {
      fleet.chiplet_task on 0 tiles 0 to 1 into {
        fleet.cu_task on 0 tiles 0 to 1
      }
    }
    fleet.task 1 @body(%x) partition <whole, tiles = 1, size = 64> waits [0] : (memref<64xf32, #fleet.mem<hbm>>) -> () into {
      fleet.chiplet_task on 0 tiles 0 to 1 into {
        fleet.cu_task on 0 tiles 0 to 1
      }
    }
    fleet.queue chiplet 0 worker 0 [1, 0]
    return
  }
}

//--- queue.mlir
// CHECK: error: expected each of the worker's tasks once, found task 0 again or without a part
module attributes {fleet.phase = "schedule", fleet.target = #fleet.target<"study", backend = rocdl, chiplets = 1, workers = 1, lds = 65536, l2 = 65536, hbm_gbs = 100, tile = 16>} {
  func.func private @body(%x: memref<64xf32, #fleet.mem<hbm>>, %lo: index, %hi: index, %s: memref<64xi8, #fleet.mem<lds>>) {
    return
  }
  func.func @step() {
    %x = fleet.buffer "work" offset 0 : memref<64xf32, #fleet.mem<hbm>>
    fleet.task 0 @body(%x) partition <whole, tiles = 1, size = 64> : (memref<64xf32, #fleet.mem<hbm>>) -> () into {
      fleet.chiplet_task on 0 tiles 0 to 1 into {
        fleet.cu_task on 0 tiles 0 to 1
      }
    }
    fleet.queue chiplet 0 worker 0 [0, 0]
    return
  }
}

//--- missing.mlir
// CHECK: error: expected every task of the worker in its queue, found 1 missing
module attributes {fleet.phase = "schedule", fleet.target = #fleet.target<"study", backend = rocdl, chiplets = 1, workers = 1, lds = 65536, l2 = 65536, hbm_gbs = 100, tile = 16>} {
  func.func private @body(%x: memref<64xf32, #fleet.mem<hbm>>, %lo: index, %hi: index, %s: memref<64xi8, #fleet.mem<lds>>) {
    return
  }
  func.func @step() {
    %x = fleet.buffer "work" offset 0 : memref<64xf32, #fleet.mem<hbm>>
    fleet.task 0 @body(%x) partition <whole, tiles = 1, size = 64> : (memref<64xf32, #fleet.mem<hbm>>) -> () into {
      fleet.chiplet_task on 0 tiles 0 to 1 into {
        fleet.cu_task on 0 tiles 0 to 1
      }
    }
    fleet.queue chiplet 0 worker 0 []
    return
  }
}

//--- table.mlir
// CHECK: error: expected a table @device_tasks of i32 with its values, found none
module attributes {fleet.phase = "kernel", fleet.target = #fleet.target<"study", backend = rocdl, chiplets = 1, workers = 1, lds = 65536, l2 = 65536, hbm_gbs = 100, tile = 16>} {
  gpu.module @fleet {
  }
}

//--- dispatch.mlir
// CHECK: error: expected a function @dispatch that chooses a body by its case, found none
module attributes {fleet.phase = "kernel", fleet.target = #fleet.target<"study", backend = rocdl, chiplets = 1, workers = 1, lds = 65536, l2 = 65536, hbm_gbs = 100, tile = 16>} {
  gpu.module @fleet {
    memref.global "private" constant @device_tasks : memref<1x4xi32> = dense<0>
    memref.global "private" constant @cu_tasks : memref<1x3xi32> = dense<0>
    memref.global "private" constant @queues : memref<2xi32> = dense<[0, 1]>
    memref.global "private" constant @waits : memref<1xi32> = dense<-1>
  }
}
