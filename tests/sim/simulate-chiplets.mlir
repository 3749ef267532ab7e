// RUN: fleet-opt --fleet-check-progress --fleet-check-coherence %s -o %t.checked
// RUN: fleet-sim %s | FileCheck %s
// RUN: fleet-sim --events=flat %s | FileCheck %s --check-prefix=FLAT
// RUN: fleet-sim --chiplets=unaware %s | FileCheck %s --check-prefix=UNAWARE
// RUN: fleet-sim --trace=%t.json %s -o %t.txt
// RUN: FileCheck %s --check-prefix=TRACE --input-file=%t.json
// RUN: fleet-opt --fleet-phase-kernel %s | fleet-sim - | FileCheck %s

// Both chiplets read the input. Task 0 runs whole on both chiplets, each into an instance of its own: task 1 reads that of its chiplet
// and waits for its own counter, so nobody tells the device of task 0. Worker 0 of chiplet 0 has two
// parts of task 1.
// CHECK:      HBM             0.002 MB read, 2.0000 x compulsory
// CHECK:      tasks           2 device tasks, 5 cu tasks, 7 signals, 2 of them to the device, 2 write backs
// CHECK:      critical path   3 tasks, 0 exchanges:

// One counter a task tells nothing of a chiplet: all waits are for all.
// FLAT:       tasks           2 device tasks, 5 cu tasks, 5 signals, 5 of them to the device, 5 write backs

// A replicated task stays where it is read. Each of the other 4 tiles is a task.
// UNAWARE:    tasks           2 device tasks, 6 cu tasks, 10 signals, 4 of them to the device, 4 write backs

// TRACE: "name":"copy","cat":"task"{{.*}}"args":{"task":0,{{.*}}"waits":[],"chiplet_waits":[],"pieces":[0]}
// TRACE-SAME: "args":{"task":1,{{.*}}"waits":[],"chiplet_waits":[0],"pieces":[0]}
// TRACE-SAME: "args":{"task":1,{{.*}}"waits":[],"chiplet_waits":[0],"pieces":[3]}

module attributes {fleet.phase = "schedule", fleet.layers = 1 : i64, fleet.manifest = {
    arenas = {params = 0, state = 0, work = 4096, input = 0, output = 64}, outputs = {status = {offset = 0}}},
    fleet.target = #fleet.target<"study", backend = llvm, chiplets = 2, workers = 2, lds = 65536, l2 = 65536, hbm_gbs = 100, tile = 16>} {
  func.func private @copy(%x: memref<256xf32, #fleet.mem<hbm>>, %out: memref<256xf32, #fleet.mem<hbm>>, %lo: index, %hi: index, %s: memref<64xi8, #fleet.mem<lds>>)
      attributes {fleet.body, fleet.scratch = 64 : i64} {
    memref.copy %x, %out : memref<256xf32, #fleet.mem<hbm>> to memref<256xf32, #fleet.mem<hbm>>
    return
  }
  func.func private @part(%x: memref<256xf32, #fleet.mem<hbm>>, %out: memref<256xf32, #fleet.mem<hbm>>, %lo: index, %hi: index, %s: memref<64xi8, #fleet.mem<lds>>)
      attributes {fleet.body, fleet.scratch = 64 : i64} {
    %c1 = arith.constant 1 : index
    %c64 = arith.constant 64 : index
    scf.for %t = %lo to %hi step %c1 {
      %at = arith.muli %t, %c64 : index
      %in = memref.subview %x[%at] [64] [1] : memref<256xf32, #fleet.mem<hbm>> to memref<64xf32, strided<[1], offset: ?>, #fleet.mem<hbm>>
      %to = memref.subview %out[%at] [64] [1] : memref<256xf32, #fleet.mem<hbm>> to memref<64xf32, strided<[1], offset: ?>, #fleet.mem<hbm>>
      memref.copy %in, %to : memref<64xf32, strided<[1], offset: ?>, #fleet.mem<hbm>> to memref<64xf32, strided<[1], offset: ?>, #fleet.mem<hbm>>
    }
    return
  }
  func.func @step() {
    %x = fleet.buffer "work" offset 0 : memref<256xf32, #fleet.mem<hbm>>
    %y = fleet.buffer "work" offset 1024 chiplet_stride 1024 : memref<256xf32, #fleet.mem<l2>>
    %z = fleet.buffer "work" offset 3072 : memref<256xf32, #fleet.mem<hbm>>
    fleet.task 0 @copy(%x, %y) partition <replicated, tiles = 1, size = 256> waits [] : (memref<256xf32, #fleet.mem<hbm>>, memref<256xf32, #fleet.mem<l2>>) -> () into {
      fleet.chiplet_task on 0 tiles 0 to 1 into {
        fleet.cu_task on 0 tiles 0 to 1
      }
      fleet.chiplet_task on 1 tiles 0 to 1 into {
        fleet.cu_task on 0 tiles 0 to 1
      }
    }
    fleet.task 1 @part(%y, %z) partition <columns, tiles = 4, size = 64> waits [] chiplet_waits [0] : (memref<256xf32, #fleet.mem<l2>>, memref<256xf32, #fleet.mem<hbm>>) -> () into {
      fleet.chiplet_task on 0 tiles 0 to 1 into {
        fleet.cu_task on 0 tiles 0 to 1
      }
      fleet.chiplet_task on 0 tiles 3 to 4 into {
        fleet.cu_task on 0 tiles 3 to 4
      }
      fleet.chiplet_task on 1 tiles 1 to 3 into {
        fleet.cu_task on 0 tiles 1 to 3
      }
    }
    fleet.queue chiplet 0 worker 0 [0, 1, 1]
    fleet.queue chiplet 0 worker 1 []
    fleet.queue chiplet 1 worker 0 [0, 1]
    fleet.queue chiplet 1 worker 1 []
    return
  }
}
