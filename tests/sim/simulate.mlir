// What a schedule of two contractions on 2 x 2 workers costs, in bytes and counts.
// RUN: fleet-sim %s | FileCheck %s
// RUN: fleet-sim --exact %s | FileCheck %s
// RUN: fleet-sim --events=flat %s | FileCheck %s --check-prefix=FLAT
// RUN: fleet-sim --chiplets=unaware %s | FileCheck %s --check-prefix=UNAWARE
// RUN: fleet-sim --steps=2 %s | FileCheck %s --check-prefix=WARM
// RUN: fleet-sim --json %s | FileCheck %s --check-prefix=JSON
// RUN: fleet-sim --trace=%t.json %s -o %t.txt
// RUN: FileCheck %s --check-prefix=TRACE --input-file=%t.json
// RUN: fleet-sim --ablate %s | FileCheck %s --check-prefix=ABLATE
// RUN: fleet-sim --list-parameters --parameter=hbm_ns=7 %s | FileCheck %s --check-prefix=LIST

// Two weights of 64 x 64 bf16 are 16384 bytes, the input is a line.
// CHECK:      target          study, 2 x 2 workers
// CHECK-NEXT: step            {{.*}} us; floor by HBM
// CHECK-NEXT: HBM             0.017 MB read, 1.0000 x compulsory
// CHECK-NEXT: L2              {{.*}} hits of
// CHECK-NEXT: MALL            {{.*}} hits of
// CHECK-NEXT: tasks           2 device tasks, 6 cu tasks, 9 signals, 3 of them to the device, 3 write backs
// CHECK-NEXT: mean worker     compute {{.*}} bandwidth {{.*}} activations {{.*}} dependency {{.*}} signal {{.*}} dispatch {{.*}} idle
// CHECK-NEXT: critical path   2 tasks, 1 exchanges:

// FLAT: tasks           2 device tasks, 6 cu tasks, 6 signals, 6 of them to the device, 6 write backs

// Each of 2 x 4 tiles is a task of its own.
// UNAWARE: tasks           2 device tasks, 8 cu tasks,

// WARM: HBM             0.000 MB read, 0.0000 x compulsory

// JSON:     "bytes": {
// JSON-NEXT:  "compulsory": 16512,
// JSON-NEXT:  "hbm_read": 16512,
// JSON:     "flops": 16384,
// JSON:     "l2": 65536,

// TRACE: {"displayTimeUnit":"ns","traceEvents":[{"ph":"M","name":"process_name","pid":0,"args":{"name":"chiplet 0"}}
// TRACE-SAME: {"ph":"X","name":"body","cat":"task","pid":0,"tid":0,{{.*}}"args":{"task":0,{{.*}}"waits":[],"chiplet_waits":[],"pieces":[0,1]}}
// TRACE-SAME: "waits":[0],"chiplet_waits":[],"pieces":[2]
// TRACE-SAME: "cat":"fetch"

// ABLATE:      without step us against L2 hits HBM MB signals
// ABLATE-NEXT: nothing
// ABLATE-NEXT: prefetch
// ABLATE-NEXT: hierarchical events
// ABLATE-NEXT: static queues
// ABLATE-NEXT: chiplet binding
// ABLATE-NEXT: full_m traversal
// ABLATE-NEXT: all of them

// LIST: hbm_efficiency {{.*}} borrowed
// LIST: hbm_ns 7 ns given

#id = affine_map<(d0, d1) -> (d0, d1)>
module attributes {fleet.phase = "schedule", fleet.layers = 1 : i64,
    fleet.target = #fleet.target<"study", backend = rocdl, chiplets = 2, workers = 2, lds = 65536, l2 = 65536, hbm_gbs = 100, tile = 16>} {
  func.func private @body(%x: memref<1x64xbf16, #fleet.mem<hbm>>, %w: memref<4x64x16xbf16, #fleet.mem<hbm>>,
                          %out: memref<1x64xbf16, #fleet.mem<hbm>>, %lo: index, %hi: index, %s: memref<64xi8, #fleet.mem<lds>>)
      attributes {fleet.body, fleet.scratch = 64 : i64} {
    %c0 = arith.constant 0 : index
    %c16 = arith.constant 16 : index
    %zero = arith.constant 0.0 : f32
    %acc = memref.view %s[%c0][] : memref<64xi8, #fleet.mem<lds>> to memref<1x16xf32, #fleet.mem<lds>>
    %first = arith.muli %lo, %c16 : index
    %last = arith.muli %hi, %c16 : index
    scf.for %i = %first to %last step %c16 {
      %t = arith.divui %i, %c16 : index
      %tile = memref.subview %w[%t, 0, 0] [1, 64, 16] [1, 1, 1] : memref<4x64x16xbf16, #fleet.mem<hbm>> to memref<64x16xbf16, strided<[16, 1], offset: ?>, #fleet.mem<hbm>>
      linalg.fill ins(%zero : f32) outs(%acc : memref<1x16xf32, #fleet.mem<lds>>)
      linalg.matmul ins(%x, %tile : memref<1x64xbf16, #fleet.mem<hbm>>, memref<64x16xbf16, strided<[16, 1], offset: ?>, #fleet.mem<hbm>>) outs(%acc : memref<1x16xf32, #fleet.mem<lds>>)
      %o = memref.subview %out[0, %i] [1, 16] [1, 1] : memref<1x64xbf16, #fleet.mem<hbm>> to memref<1x16xbf16, strided<[64, 1], offset: ?>, #fleet.mem<hbm>>
      linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]}
          ins(%acc : memref<1x16xf32, #fleet.mem<lds>>) outs(%o : memref<1x16xbf16, strided<[64, 1], offset: ?>, #fleet.mem<hbm>>) {
      ^bb0(%a: f32, %b: bf16):
        %n = arith.truncf %a : f32 to bf16
        linalg.yield %n : bf16
      }
    }
    return
  }
  func.func @step() {
    %w0 = fleet.buffer "params" offset 0 : memref<4x64x16xbf16, #fleet.mem<hbm>>
    %w1 = fleet.buffer "params" offset 8192 : memref<4x64x16xbf16, #fleet.mem<hbm>>
    %x = fleet.buffer "work" offset 0 : memref<1x64xbf16, #fleet.mem<hbm>>
    %y = fleet.buffer "work" offset 128 : memref<1x64xbf16, #fleet.mem<hbm>>
    %z = fleet.buffer "work" offset 256 : memref<1x64xbf16, #fleet.mem<hbm>>
    fleet.task 0 @body(%x, %w0, %y) partition <columns, tiles = 4, size = 16> waits [] : (memref<1x64xbf16, #fleet.mem<hbm>>, memref<4x64x16xbf16, #fleet.mem<hbm>>, memref<1x64xbf16, #fleet.mem<hbm>>) -> () into {
      fleet.chiplet_task on 0 tiles 0 to 4 into {
        fleet.cu_task on 0 tiles 0 to 2
        fleet.cu_task on 1 tiles 2 to 4
      }
    }
    fleet.task 1 @body(%y, %w1, %z) partition <columns, tiles = 4, size = 16> waits [0] : (memref<1x64xbf16, #fleet.mem<hbm>>, memref<4x64x16xbf16, #fleet.mem<hbm>>, memref<1x64xbf16, #fleet.mem<hbm>>) -> () into {
      fleet.chiplet_task on 0 tiles 0 to 2 into {
        fleet.cu_task on 0 tiles 0 to 1
        fleet.cu_task on 1 tiles 1 to 2
      }
      fleet.chiplet_task on 1 tiles 2 to 4 into {
        fleet.cu_task on 0 tiles 2 to 3
        fleet.cu_task on 1 tiles 3 to 4
      }
    }
    fleet.queue chiplet 0 worker 0 [0, 1]
    fleet.queue chiplet 0 worker 1 [0, 1]
    fleet.queue chiplet 1 worker 0 [1]
    fleet.queue chiplet 1 worker 1 [1]
    return
  }
}
