// Results that carry the number of their step: who writes and who reads them, which waits they make needless.
// RUN: sed "s/OTHER//" %s | fleet-opt --fleet-nvgpu-flag-exchanges | FileCheck %s
// Not of more rows than the pass is told, nor what is read in a way that words cannot be.
// RUN: sed "s/OTHER//; s/tokens = 1 : i64/tokens = 3 : i64/" %s | fleet-opt --fleet-nvgpu-flag-exchanges | FileCheck %s --check-prefix=PLAIN
// RUN: sed "s/OTHER//; s/tokens = 1 : i64/tokens = 2 : i64/" %s | fleet-opt --fleet-nvgpu-flag-exchanges | FileCheck %s
// RUN: sed "s/OTHER//; s/tokens = 1 : i64/tokens = 3 : i64/" %s | fleet-opt --fleet-nvgpu-flag-exchanges=most-rows=3 | FileCheck %s
// RUN: sed "s/OTHER/%other = memref.reinterpret_cast %x to offset: [0], sizes: [32], strides: [1] : memref<1x32xf32, #fleet.mem<hbm>> to memref<32xf32, strided<[1]>, #fleet.mem<hbm>>/" %s | fleet-opt --fleet-nvgpu-flag-exchanges | FileCheck %s --check-prefix=HALF
// Then a worker that has no part in the norm, and so never waited for x, does so for the sum.
// RUN: sed "s/OTHER/%other = memref.reinterpret_cast %x to offset: [0], sizes: [32], strides: [1] : memref<1x32xf32, #fleet.mem<hbm>> to memref<32xf32, strided<[1]>, #fleet.mem<hbm>>/; s/dense<\[0, 3, 6\]>/dense<[0, 4, 6]>/; s/\[1, 0, 1\], \[2, 0, 1\], \[0, 1, 2\], \[1, 1, 2\]/[1, 0, 1], [1, 1, 2], [2, 0, 1], [0, 1, 2]/" %s | fleet-opt --fleet-nvgpu-flag-exchanges | FileCheck %s --check-prefix=PUT

// Behind the work of 512 bytes 32 words for x, and 16 for y.
// CHECK: fleet.manifest = {arenas = {{{.*}}work = 896 : i64}, flagged = {{\[\[}}0, 512], [128, 768]]
// Nobody waits for the first two tasks any more; the last is the next step's to wait for.
// CHECK-DAG: @device_tasks : memref<3x6xi32> = dense<{{\[\[}}0, 0, 0, 0, 8, 0], [1, 0, 0, 8, 0, 12], [2, 0, 0, 8, 12, 0]]>
// CHECK-DAG: @arrivals : memref<3x1xi32> = dense<{{\[\[}}0], [0], [2]]>
// CHECK-DAG: @flagged : memref<3xi32> = dense<[-1, 0, 1]>

// CHECK: func.func private @make(%[[IN:[^:]*]]: memref<1x32xf32, #fleet.mem<hbm>>, %[[X:[^:]*]]: memref<1x32xi64, #fleet.mem<hbm>>,
// CHECK-SAME: %[[SCRATCH:[^:]*]]: memref<128xi8, #fleet.mem<lds>>) attributes {fleet.body, fleet.scratch = 128 : i64}
// CHECK: %[[OWN:.*]] = memref.view %[[SCRATCH]][%c64][] : {{.*}} to memref<1x16xf32, #fleet.mem<lds>>
// CHECK: scf.for %[[I:.*]] =
// CHECK: %[[TILE:.*]] = memref.subview %[[X]][0, %[[I]]] [1, 16] [1, 1]
// CHECK: linalg.generic {{.*}} outs(%[[OWN]] :
// CHECK: fleet.publish %[[OWN]] to %[[TILE]] : memref<1x16xf32, #fleet.mem<lds>>, memref<1x16xi64,

// A norm is computed where its row has come to. Of bf16 a word has two values.
// CHECK: func.func private @norm(%[[X:[^:]*]]: memref<1x32xi64, #fleet.mem<hbm>>, %{{[^:]*}}: memref<32xbf16, #fleet.mem<hbm>>, %[[Y:[^:]*]]: memref<1x16xi64, #fleet.mem<hbm>>
// CHECK: %[[ROW:.*]] = memref.view {{.*}} to memref<1x32xf32, #fleet.mem<lds>>
// CHECK: fleet.receive %[[X]] to %[[ROW]] :
// CHECK: fleet.rms_norm ins(%[[ROW]], {{.*}} outs(%[[ROW]] :
// CHECK: scf.for %[[I:.*]] =
// CHECK: %[[C2:.*]] = arith.constant 2 : index
// CHECK: %[[WORD:.*]] = arith.divui %[[I]], %[[C2]]
// CHECK: memref.subview %[[Y]][0, %[[WORD]]] [1, 8] [1, 1]
// CHECK: fleet.publish {{.*}} : memref<1x16xbf16, #fleet.mem<lds>>, memref<1x8xi64,

// CHECK: func.func private @add(%[[X:[^:]*]]: memref<1x32xi64, #fleet.mem<hbm>>, %[[Y:[^:]*]]: memref<1x16xi64, #fleet.mem<hbm>>, %[[Z:[^:]*]]: memref<1x32xf32, #fleet.mem<hbm>>
// CHECK: scf.for
// CHECK-DAG: fleet.receive %{{.*}} to %{{.*}} : memref<1x16xi64, {{.*}}>, memref<1x16xf32, #fleet.mem<lds>>
// CHECK-DAG: fleet.receive %{{.*}} to %{{.*}} : memref<1x8xi64, {{.*}}>, memref<1x16xbf16, #fleet.mem<lds>>
// CHECK-NOT: fleet.publish
// CHECK: func.func private @dispatch
// CHECK: memref.view %{{.*}} : memref<?xi8, #fleet.mem<hbm>> to memref<1x32xi64, #fleet.mem<hbm>>

// PLAIN-NOT: flagged
// PLAIN-NOT: fleet.receive

// x is seen in a way that words cannot be; y is flagged.
// HALF-DAG: @arrivals : memref<3x1xi32> = dense<{{\[\[}}2], [0], [2]]>
// HALF-DAG: @flagged : memref<3xi32> = dense<[-1, -1, 1]>
// HALF: func.func private @make(%{{[^:]*}}: memref<1x32xf32, #fleet.mem<hbm>>, %{{[^:]*}}: memref<1x32xf32, #fleet.mem<hbm>>
// HALF-NOT: fleet.publish
// HALF: func.func private @norm(
// HALF: fleet.publish

// PUT-DAG: @device_tasks : memref<3x6xi32> = dense<{{\[\[}}0, 0, 0, 0, 0, 0], [1, 0, 1, 0, 0, 8], [2, 1, 2, 0, 8, 0]]>
// PUT-DAG: @waits : memref<2xi32> = dense<0>
// PUT-DAG: @arrivals : memref<3x1xi32> = dense<{{\[\[}}2], [0], [2]]>
// PUT-DAG: @flagged : memref<3xi32> = dense<[-1, -1, 1]>

#map = affine_map<(d0, d1) -> (d0, d1)>
module attributes {fleet.manifest = {arenas = {input = 128 : i64, output = 256 : i64, params = 64 : i64, state = 64 : i64, work = 512 : i64}, tokens = 1 : i64}} {
  gpu.module @fleet attributes {fleet.counters = 448 : i64, fleet.scratch = 512 : i64, fleet.scratch_stride = 128 : i64, fleet.status = 192 : i64} {
    memref.global "private" constant @device_tasks : memref<3x6xi32> = dense<[[0, 0, 0, 0, 0, 0], [1, 0, 1, 0, 0, 2], [2, 1, 2, 0, 2, 0]]>
    memref.global "private" constant @cu_tasks : memref<6x3xi32> = dense<[[0, 0, 1], [1, 0, 1], [2, 0, 1], [0, 1, 2], [1, 1, 2], [2, 1, 2]]>
    memref.global "private" constant @queues : memref<3xi32> = dense<[0, 3, 6]>
    memref.global "private" constant @waits : memref<2xi32> = dense<[0, 1]>
    memref.global "private" constant @arrivals : memref<3x1xi32> = dense<2>
    func.func private @make(%in: memref<1x32xf32, #fleet.mem<hbm>>, %x: memref<1x32xf32, #fleet.mem<hbm>>, %lo: index, %hi: index, %scratch: memref<64xi8, #fleet.mem<lds>>) attributes {fleet.body, fleet.scratch = 64 : i64} {
      %c16 = arith.constant 16 : index
      %begin = arith.muli %lo, %c16 : index
      %end = arith.muli %hi, %c16 : index
      scf.for %i = %begin to %end step %c16 {
        %from = memref.subview %in[0, %i] [1, 16] [1, 1] : memref<1x32xf32, #fleet.mem<hbm>> to memref<1x16xf32, strided<[32, 1], offset: ?>, #fleet.mem<hbm>>
        %to = memref.subview %x[0, %i] [1, 16] [1, 1] : memref<1x32xf32, #fleet.mem<hbm>> to memref<1x16xf32, strided<[32, 1], offset: ?>, #fleet.mem<hbm>>
        linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel"]} ins(%from : memref<1x16xf32, strided<[32, 1], offset: ?>, #fleet.mem<hbm>>) outs(%to : memref<1x16xf32, strided<[32, 1], offset: ?>, #fleet.mem<hbm>>) {
        ^bb0(%a: f32, %b: f32):
          linalg.yield %a : f32
        }
      }
      return
    }
    func.func private @norm(%x: memref<1x32xf32, #fleet.mem<hbm>>, %w: memref<32xbf16, #fleet.mem<hbm>>, %y: memref<1x32xbf16, #fleet.mem<hbm>>, %lo: index, %hi: index, %scratch: memref<128xi8, #fleet.mem<lds>>) attributes {fleet.body, fleet.scratch = 128 : i64} {
      %c0 = arith.constant 0 : index
      %c16 = arith.constant 16 : index
      %row = memref.view %scratch[%c0][] : memref<128xi8, #fleet.mem<lds>> to memref<1x32xf32, #fleet.mem<lds>>
      OTHER
      fleet.rms_norm ins(%x, %w : memref<1x32xf32, #fleet.mem<hbm>>, memref<32xbf16, #fleet.mem<hbm>>) outs(%row : memref<1x32xf32, #fleet.mem<lds>>) {eps = 1.0e-6 : f64}
      %begin = arith.muli %lo, %c16 : index
      %end = arith.muli %hi, %c16 : index
      scf.for %i = %begin to %end step %c16 {
        %from = memref.subview %row[0, %i] [1, 16] [1, 1] : memref<1x32xf32, #fleet.mem<lds>> to memref<1x16xf32, strided<[32, 1], offset: ?>, #fleet.mem<lds>>
        %to = memref.subview %y[0, %i] [1, 16] [1, 1] : memref<1x32xbf16, #fleet.mem<hbm>> to memref<1x16xbf16, strided<[32, 1], offset: ?>, #fleet.mem<hbm>>
        linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel"]} ins(%from : memref<1x16xf32, strided<[32, 1], offset: ?>, #fleet.mem<lds>>) outs(%to : memref<1x16xbf16, strided<[32, 1], offset: ?>, #fleet.mem<hbm>>) {
        ^bb0(%a: f32, %b: bf16):
          %n = arith.truncf %a : f32 to bf16
          linalg.yield %n : bf16
        }
      }
      return
    }
    func.func private @add(%x: memref<1x32xf32, #fleet.mem<hbm>>, %y: memref<1x32xbf16, #fleet.mem<hbm>>, %z: memref<1x32xf32, #fleet.mem<hbm>>, %lo: index, %hi: index, %scratch: memref<64xi8, #fleet.mem<lds>>) attributes {fleet.body, fleet.scratch = 64 : i64} {
      %c16 = arith.constant 16 : index
      %begin = arith.muli %lo, %c16 : index
      %end = arith.muli %hi, %c16 : index
      scf.for %i = %begin to %end step %c16 {
        %a = memref.subview %x[0, %i] [1, 16] [1, 1] : memref<1x32xf32, #fleet.mem<hbm>> to memref<1x16xf32, strided<[32, 1], offset: ?>, #fleet.mem<hbm>>
        %b = memref.subview %y[0, %i] [1, 16] [1, 1] : memref<1x32xbf16, #fleet.mem<hbm>> to memref<1x16xbf16, strided<[32, 1], offset: ?>, #fleet.mem<hbm>>
        %to = memref.subview %z[0, %i] [1, 16] [1, 1] : memref<1x32xf32, #fleet.mem<hbm>> to memref<1x16xf32, strided<[32, 1], offset: ?>, #fleet.mem<hbm>>
        linalg.generic {indexing_maps = [#map, #map, #map], iterator_types = ["parallel", "parallel"]} ins(%a, %b : memref<1x16xf32, strided<[32, 1], offset: ?>, #fleet.mem<hbm>>, memref<1x16xbf16, strided<[32, 1], offset: ?>, #fleet.mem<hbm>>) outs(%to : memref<1x16xf32, strided<[32, 1], offset: ?>, #fleet.mem<hbm>>) {
        ^bb0(%p: f32, %q: bf16, %r: f32):
          %wide = arith.extf %q : bf16 to f32
          %sum = arith.addf %p, %wide : f32
          linalg.yield %sum : f32
        }
      }
      return
    }
    func.func private @dispatch(%params: memref<?xi8, #fleet.mem<hbm>>, %state: memref<?xi8, #fleet.mem<hbm>>, %work: memref<?xi8, #fleet.mem<hbm>>, %input: memref<?xi8, #fleet.mem<hbm>>, %output: memref<?xi8, #fleet.mem<hbm>>, %task: index, %lo: index, %hi: index, %worker: index) {
      %table = memref.get_global @device_tasks : memref<3x6xi32>
      %c0 = arith.constant 0 : index
      %word = memref.load %table[%task, %c0] : memref<3x6xi32>
      %kind = arith.index_cast %word : i32 to index
      scf.index_switch %kind
      case 0 {
        %in = memref.view %input[%c0][] : memref<?xi8, #fleet.mem<hbm>> to memref<1x32xf32, #fleet.mem<hbm>>
        %x = memref.view %work[%c0][] : memref<?xi8, #fleet.mem<hbm>> to memref<1x32xf32, #fleet.mem<hbm>>
        %own = memref.view %work[%c0][] : memref<?xi8, #fleet.mem<hbm>> to memref<64xi8, #fleet.mem<hbm>>
        %scratch = memref.memory_space_cast %own : memref<64xi8, #fleet.mem<hbm>> to memref<64xi8, #fleet.mem<lds>>
        func.call @make(%in, %x, %lo, %hi, %scratch) : (memref<1x32xf32, #fleet.mem<hbm>>, memref<1x32xf32, #fleet.mem<hbm>>, index, index, memref<64xi8, #fleet.mem<lds>>) -> ()
        scf.yield
      }
      case 1 {
        %x = memref.view %work[%c0][] : memref<?xi8, #fleet.mem<hbm>> to memref<1x32xf32, #fleet.mem<hbm>>
        %w = memref.view %params[%c0][] : memref<?xi8, #fleet.mem<hbm>> to memref<32xbf16, #fleet.mem<hbm>>
        %y = memref.view %work[%c0][] : memref<?xi8, #fleet.mem<hbm>> to memref<1x32xbf16, #fleet.mem<hbm>>
        %own = memref.view %work[%c0][] : memref<?xi8, #fleet.mem<hbm>> to memref<128xi8, #fleet.mem<hbm>>
        %scratch = memref.memory_space_cast %own : memref<128xi8, #fleet.mem<hbm>> to memref<128xi8, #fleet.mem<lds>>
        func.call @norm(%x, %w, %y, %lo, %hi, %scratch) : (memref<1x32xf32, #fleet.mem<hbm>>, memref<32xbf16, #fleet.mem<hbm>>, memref<1x32xbf16, #fleet.mem<hbm>>, index, index, memref<128xi8, #fleet.mem<lds>>) -> ()
        scf.yield
      }
      case 2 {
        %x = memref.view %work[%c0][] : memref<?xi8, #fleet.mem<hbm>> to memref<1x32xf32, #fleet.mem<hbm>>
        %y = memref.view %work[%c0][] : memref<?xi8, #fleet.mem<hbm>> to memref<1x32xbf16, #fleet.mem<hbm>>
        %z = memref.view %output[%c0][] : memref<?xi8, #fleet.mem<hbm>> to memref<1x32xf32, #fleet.mem<hbm>>
        %own = memref.view %work[%c0][] : memref<?xi8, #fleet.mem<hbm>> to memref<64xi8, #fleet.mem<hbm>>
        %scratch = memref.memory_space_cast %own : memref<64xi8, #fleet.mem<hbm>> to memref<64xi8, #fleet.mem<lds>>
        func.call @add(%x, %y, %z, %lo, %hi, %scratch) : (memref<1x32xf32, #fleet.mem<hbm>>, memref<1x32xbf16, #fleet.mem<hbm>>, memref<1x32xf32, #fleet.mem<hbm>>, index, index, memref<64xi8, #fleet.mem<lds>>) -> ()
        scf.yield
      }
      default {
      }
      return
    }
  }
}
