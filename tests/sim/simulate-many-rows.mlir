// How often activations are read: on NVIDIA chips tiles of many rows go together, and read them once a pass.
// RUN: fleet-sim --json %s | FileCheck %s --check-prefixes=CHECK,ONCE
// RUN: sed -e 's/nvvm/rocdl/' %s | fleet-sim --json - | FileCheck %s --check-prefixes=CHECK,EACH
// RUN: sed -e 's/16x512x/2x512x/g' -e 's/16x128x/2x128x/g' -e 's/16x16x/2x16x/g' -e 's/\[16, 16\]/[2, 16]/' %s | fleet-sim --json - | FileCheck %s --check-prefix=FEW
// RUN: sed -e 's/16x512xbf16/16x512xf32/g' %s | fleet-sim --json - | FileCheck %s --check-prefix=WIDE
// RUN: fleet-sim --parameter=together_ns=100000 %s | FileCheck %s --check-prefix=SLOW
// RUN: sed -e 's/nvvm/rocdl/' %s | fleet-sim --parameter=together_ns=100000 - | FileCheck %s --check-prefix=FAST
// RUN: fleet-sim --parameter=warpgroup_slot_ns=100000 %s | FileCheck %s --check-prefix=FAST
// RUN: sed -e 's/16x512x/64x512x/g' -e 's/16x128x/64x128x/g' -e 's/16x16x/64x16x/g' -e 's/\[16, 16\]/[64, 16]/' %s > %t.64
// RUN: fleet-sim --parameter=warpgroup_slot_ns=100000 %t.64 | FileCheck %s --check-prefix=GROUPS
// RUN: fleet-sim --parameter=together_ns=100000 %t.64 | FileCheck %s --check-prefix=ENDS

// 8 tiles of weights of 16384 bytes are 131072 bytes, the left side is 16384, for each of 2 workers.
// Each has 4 tiles, which fit in one pass.
// CHECK:     "compulsory": 147456,
// ONCE:      "l2_requested": 163840
// EACH:      "l2_requested": 262144
// Activations of f32 are twice as many bytes, in one pass as well.
// WIDE:      "l2_requested": 196608
// Two rows are few: 2048 bytes of activations for each of 8 tiles.
// FEW:       "l2_requested": 147456

// SLOW: step {{4[0-9][0-9]\.}}
// FAST: step {{[0-9][0-9]?\.}}
// 64 rows have warpgroups, two turns of them: a worker's 8 slots take the time of 4, and all its tiles end at once, in two blocks of rows.
// GROUPS: compute 4{{[0-9][0-9]\.}}
// ENDS: compute 2{{[0-9][0-9]\.}}

#id = affine_map<(d0, d1) -> (d0, d1)>
module attributes {fleet.phase = "schedule", fleet.layers = 1 : i64,
    fleet.target = #fleet.target<"study", backend = nvvm, chiplets = 1, workers = 2, lds = 65536, l2 = 1048576, hbm_gbs = 100, tile = 16>} {
  func.func private @body(%x: memref<16x512xbf16, #fleet.mem<hbm>>, %w: memref<8x512x16xbf16, #fleet.mem<hbm>>,
                          %out: memref<16x128xbf16, #fleet.mem<hbm>>, %lo: index, %hi: index, %s: memref<1024xi8, #fleet.mem<lds>>)
      attributes {fleet.body, fleet.scratch = 1024 : i64} {
    %c0 = arith.constant 0 : index
    %c16 = arith.constant 16 : index
    %zero = arith.constant 0.0 : f32
    %acc = memref.view %s[%c0][] : memref<1024xi8, #fleet.mem<lds>> to memref<16x16xf32, #fleet.mem<lds>>
    %first = arith.muli %lo, %c16 : index
    %last = arith.muli %hi, %c16 : index
    scf.for %i = %first to %last step %c16 {
      %t = arith.divui %i, %c16 : index
      %tile = memref.subview %w[%t, 0, 0] [1, 512, 16] [1, 1, 1] : memref<8x512x16xbf16, #fleet.mem<hbm>> to memref<512x16xbf16, strided<[16, 1], offset: ?>, #fleet.mem<hbm>>
      linalg.fill ins(%zero : f32) outs(%acc : memref<16x16xf32, #fleet.mem<lds>>)
      linalg.matmul ins(%x, %tile : memref<16x512xbf16, #fleet.mem<hbm>>, memref<512x16xbf16, strided<[16, 1], offset: ?>, #fleet.mem<hbm>>) outs(%acc : memref<16x16xf32, #fleet.mem<lds>>)
      %o = memref.subview %out[0, %i] [16, 16] [1, 1] : memref<16x128xbf16, #fleet.mem<hbm>> to memref<16x16xbf16, strided<[128, 1], offset: ?>, #fleet.mem<hbm>>
      linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]}
          ins(%acc : memref<16x16xf32, #fleet.mem<lds>>) outs(%o : memref<16x16xbf16, strided<[128, 1], offset: ?>, #fleet.mem<hbm>>) {
      ^bb0(%a: f32, %b: bf16):
        %n = arith.truncf %a : f32 to bf16
        linalg.yield %n : bf16
      }
    }
    return
  }
  func.func @step() {
    %w = fleet.buffer "params" offset 0 : memref<8x512x16xbf16, #fleet.mem<hbm>>
    %x = fleet.buffer "work" offset 0 : memref<16x512xbf16, #fleet.mem<hbm>>
    %y = fleet.buffer "work" offset 16384 : memref<16x128xbf16, #fleet.mem<hbm>>
    fleet.task 0 @body(%x, %w, %y) partition <columns, tiles = 8, size = 16> waits [] : (memref<16x512xbf16, #fleet.mem<hbm>>, memref<8x512x16xbf16, #fleet.mem<hbm>>, memref<16x128xbf16, #fleet.mem<hbm>>) -> () into {
      fleet.chiplet_task on 0 tiles 0 to 8 into {
        fleet.cu_task on 0 tiles 0 to 4
        fleet.cu_task on 1 tiles 4 to 8
      }
    }
    fleet.queue chiplet 0 worker 0 [0]
    fleet.queue chiplet 0 worker 1 [0]
    return
  }
}
