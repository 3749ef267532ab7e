// Every operation is printed as it is read, in both forms.
// RUN: fleet-opt %s | fleet-opt | FileCheck %s
// RUN: fleet-opt %s --mlir-print-op-generic | fleet-opt | FileCheck %s

// CHECK-LABEL: func @outside_values
func.func @outside_values() {
  // CHECK: fleet.param ["embed"] : tensor<9x8xf32>
  %0 = fleet.param ["embed"] : tensor<9x8xf32>
  // CHECK: fleet.param ["q", "k", "v"] pack 32 offset 64 : tensor<3x64x32xbf16>
  %1 = fleet.param ["q", "k", "v"] pack 32 offset 64 : tensor<3x64x32xbf16>
  // CHECK: fleet.param ["o"] splits 2 pack 32 offset 64 : tensor<4x32x32xbf16>
  %9 = fleet.param ["o"] splits 2 pack 32 offset 64 : tensor<4x32x32xbf16>
  // CHECK: fleet.param ["norm"] offset 128 {note = "kept"} : tensor<8xf32>
  %2 = fleet.param ["norm"] offset 128 {note = "kept"} : tensor<8xf32>
  // CHECK: fleet.state "k_cache" layer 3 : memref<2x8x512x64xbf16, #fleet.mem<hbm>>
  %3 = fleet.state "k_cache" layer 3 : memref<2x8x512x64xbf16, #fleet.mem<hbm>>
  // CHECK: fleet.state "v_cache" layer 0 offset 4096 : memref<1x1x16x8xf32, #fleet.mem<hbm>>
  %4 = fleet.state "v_cache" layer 0 offset 4096 : memref<1x1x16x8xf32, #fleet.mem<hbm>>
  return
}

// CHECK-LABEL: func @named_on_tensors
func.func @named_on_tensors(
    %table: tensor<9x8xf32>, %i: tensor<2xi32>, %x: tensor<2x8xf32>, %w: tensor<8xf32>, %b: tensor<8xf32>,
    %q: tensor<2x4x8xf32>, %k: tensor<2x2x8xf32>, %v: tensor<2x2x8xf32>, %cos: tensor<2x6xf32>,
    %sin: tensor<2x6xf32>, %kc: memref<1x2x16x8xf32>, %vc: memref<1x2x16x8xf32>, %rows: tensor<2x8xf32>,
    %heads: tensor<2x4x8xf32>, %ids: tensor<2xi32>) {
  // CHECK: fleet.gather ins(%{{.*}}, %{{.*}} : tensor<9x8xf32>, tensor<2xi32>) outs(%{{.*}} : tensor<2x8xf32>) -> tensor<2x8xf32>
  %0 = fleet.gather ins(%table, %i : tensor<9x8xf32>, tensor<2xi32>) outs(%rows : tensor<2x8xf32>) -> tensor<2x8xf32>
  // CHECK: fleet.rms_norm ins(%{{.*}}, %{{.*}} : tensor<2x8xf32>, tensor<8xf32>) outs(%{{.*}} : tensor<2x8xf32>) {eps = 1.000000e-05 : f64} -> tensor<2x8xf32>
  %1 = fleet.rms_norm ins(%x, %w : tensor<2x8xf32>, tensor<8xf32>) outs(%rows : tensor<2x8xf32>) {eps = 1.0e-5 : f64} -> tensor<2x8xf32>
  // CHECK: fleet.rms_norm {{.*}} -> tensor<2x4x8xf32>
  %2 = fleet.rms_norm ins(%q, %w : tensor<2x4x8xf32>, tensor<8xf32>) outs(%heads : tensor<2x4x8xf32>) {eps = 1.0e-5 : f64} -> tensor<2x4x8xf32>
  // CHECK: fleet.layer_norm ins(%{{.*}}, %{{.*}}, %{{.*}} : tensor<2x8xf32>, tensor<8xf32>, tensor<8xf32>) outs(%{{.*}} : tensor<2x8xf32>) {eps = 1.000000e-05 : f64} -> tensor<2x8xf32>
  %3 = fleet.layer_norm ins(%x, %w, %b : tensor<2x8xf32>, tensor<8xf32>, tensor<8xf32>) outs(%rows : tensor<2x8xf32>) {eps = 1.0e-5 : f64} -> tensor<2x8xf32>
  // CHECK: fleet.rope ins(%{{.*}}, %{{.*}}, %{{.*}} : tensor<2x4x8xf32>, tensor<2x6xf32>, tensor<2x6xf32>) outs(%{{.*}} : tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %4 = fleet.rope ins(%q, %cos, %sin : tensor<2x4x8xf32>, tensor<2x6xf32>, tensor<2x6xf32>) outs(%heads : tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  // CHECK: fleet.attention ins({{.*}} : tensor<2x4x8xf32>, tensor<2x2x8xf32>, tensor<2x2x8xf32>, tensor<2xi32>, tensor<2xi32>, memref<1x2x16x8xf32>, memref<1x2x16x8xf32>) outs(%{{.*}} : tensor<2x4x8xf32>) {scale = 3.500000e-01 : f64} -> tensor<2x4x8xf32>
  %5 = fleet.attention ins(%q, %k, %v, %i, %i, %kc, %vc : tensor<2x4x8xf32>, tensor<2x2x8xf32>, tensor<2x2x8xf32>, tensor<2xi32>, tensor<2xi32>, memref<1x2x16x8xf32>, memref<1x2x16x8xf32>) outs(%heads : tensor<2x4x8xf32>) {scale = 0.35 : f64} -> tensor<2x4x8xf32>
  // CHECK: fleet.argmax ins(%{{.*}} : tensor<2x8xf32>) outs(%{{.*}} : tensor<2xi32>) -> tensor<2xi32>
  %6 = fleet.argmax ins(%x : tensor<2x8xf32>) outs(%ids : tensor<2xi32>) -> tensor<2xi32>
  return
}

// On buffers there is no result.
// CHECK-LABEL: func @named_on_buffers
func.func @named_on_buffers(%x: memref<2x8xf32, #fleet.mem<hbm>>, %ids: memref<2xi32, #fleet.mem<hbm>>) {
  // CHECK: fleet.argmax ins(%{{.*}} : memref<2x8xf32, #fleet.mem<hbm>>) outs(%{{.*}} : memref<2xi32, #fleet.mem<hbm>>){{$}}
  fleet.argmax ins(%x : memref<2x8xf32, #fleet.mem<hbm>>) outs(%ids : memref<2xi32, #fleet.mem<hbm>>)
  return
}

// A tile of attention_partial names its part, and its row group where rows are dealt; the whole does not.
// CHECK-LABEL: func @attention_in_parts
// CHECK-SAME: %[[PART:[^:]*]]: index
func.func @attention_in_parts(%part: index, %q: tensor<2x4x8xf32>, %k: tensor<2x2x8xf32>, %i: tensor<2xi32>, %c: memref<1x2x16x8xf32>,
                              %out: tensor<8x2x2x12xf32>, %heads: tensor<2x4x8xf32>, %q1: tensor<2x2x8xf32>, %k1: tensor<2x1x8xf32>,
                              %c1: memref<1x1x16x8xf32>, %out1: tensor<1x2x2x12xf32>, %qm: memref<2x2x8xf32>, %km: memref<2x1x8xf32>,
                              %im: memref<2xi32>, %outm: memref<1x2x2x12xf32>, %all: memref<4x2x2x12xf32>, %headsm: memref<2x2x8xf32>) {
  // CHECK: fleet.attention_partial ins({{.*}} : tensor<2x4x8xf32>, tensor<2x2x8xf32>, tensor<2x2x8xf32>, tensor<2xi32>, tensor<2xi32>, memref<1x2x16x8xf32>, memref<1x2x16x8xf32>) outs(%{{.*}} : tensor<8x2x2x12xf32>) {parts = 4 : i64, scale = 3.500000e-01 : f64} -> tensor<8x2x2x12xf32>
  %0 = fleet.attention_partial ins(%q, %k, %k, %i, %i, %c, %c : tensor<2x4x8xf32>, tensor<2x2x8xf32>, tensor<2x2x8xf32>, tensor<2xi32>, tensor<2xi32>, memref<1x2x16x8xf32>, memref<1x2x16x8xf32>) outs(%out : tensor<8x2x2x12xf32>) {parts = 4 : i64, scale = 0.35 : f64} -> tensor<8x2x2x12xf32>
  // CHECK: fleet.attention_merge ins(%{{.*}} : tensor<8x2x2x12xf32>) outs(%{{.*}} : tensor<2x4x8xf32>) {parts = 4 : i64} -> tensor<2x4x8xf32>
  %1 = fleet.attention_merge ins(%0 : tensor<8x2x2x12xf32>) outs(%heads : tensor<2x4x8xf32>) {parts = 4 : i64} -> tensor<2x4x8xf32>
  // CHECK: fleet.attention_partial part %[[PART]] ins({{.*}}) outs(%{{.*}} : tensor<1x2x2x12xf32>) {parts = 4 : i64, scale = 3.500000e-01 : f64} -> tensor<1x2x2x12xf32>
  %2 = fleet.attention_partial part %part ins(%q1, %k1, %k1, %i, %i, %c1, %c1 : tensor<2x2x8xf32>, tensor<2x1x8xf32>, tensor<2x1x8xf32>, tensor<2xi32>, tensor<2xi32>, memref<1x1x16x8xf32>, memref<1x1x16x8xf32>) outs(%out1 : tensor<1x2x2x12xf32>) {parts = 4 : i64, scale = 0.35 : f64} -> tensor<1x2x2x12xf32>
  // CHECK: fleet.attention_partial part %[[PART]] ins({{.*}}) outs(%{{.*}} : memref<1x2x2x12xf32>) {parts = 4 : i64, scale = 3.500000e-01 : f64}{{$}}
  fleet.attention_partial part %part ins(%qm, %km, %km, %im, %im, %c1, %c1 : memref<2x2x8xf32>, memref<2x1x8xf32>, memref<2x1x8xf32>, memref<2xi32>, memref<2xi32>, memref<1x1x16x8xf32>, memref<1x1x16x8xf32>) outs(%outm : memref<1x2x2x12xf32>) {parts = 4 : i64, scale = 0.35 : f64}
  // CHECK: fleet.attention_partial part %[[PART]] ins({{.*}}) outs(%{{.*}} : memref<1x2x2x12xf32>) {dealt = 2 : i64, parts = 4 : i64, scale = 3.500000e-01 : f64}{{$}}
  fleet.attention_partial part %part ins(%qm, %km, %km, %im, %im, %c1, %c1 : memref<2x2x8xf32>, memref<2x1x8xf32>, memref<2x1x8xf32>, memref<2xi32>, memref<2xi32>, memref<1x1x16x8xf32>, memref<1x1x16x8xf32>) outs(%outm : memref<1x2x2x12xf32>) {dealt = 2 : i64, parts = 4 : i64, scale = 0.35 : f64}
  // CHECK: fleet.attention_partial part %[[PART]] rows %[[PART]] ins({{.*}}) outs(%{{.*}} : memref<1x2x2x12xf32>) {dealt = 2 : i64, parts = 4 : i64, row_groups = 2 : i64, scale = 3.500000e-01 : f64}{{$}}
  fleet.attention_partial part %part rows %part ins(%qm, %km, %km, %im, %im, %c1, %c1 : memref<2x2x8xf32>, memref<2x1x8xf32>, memref<2x1x8xf32>, memref<2xi32>, memref<2xi32>, memref<1x1x16x8xf32>, memref<1x1x16x8xf32>) outs(%outm : memref<1x2x2x12xf32>) {dealt = 2 : i64, parts = 4 : i64, row_groups = 2 : i64, scale = 0.35 : f64}
  // CHECK: fleet.attention_merge ins(%{{.*}} : memref<4x2x2x12xf32>) outs(%{{.*}} : memref<2x2x8xf32>) {parts = 4 : i64}{{$}}
  fleet.attention_merge ins(%all : memref<4x2x2x12xf32>) outs(%headsm : memref<2x2x8xf32>) {parts = 4 : i64}
  return
}

// CHECK-LABEL: func @tasks
func.func @tasks(%x: tensor<1x8xf32>) -> tensor<1x8xf32> {
  // CHECK: fleet.task 0 @task_0(%{{.*}}) : (tensor<1x8xf32>) -> tensor<1x8xf32>
  %0 = fleet.task 0 @task_0(%x) : (tensor<1x8xf32>) -> tensor<1x8xf32>
  // CHECK: fleet.task 1 @task_1(%{{.*}}, %{{.*}}) partition <columns, tiles = 4, size = 2> traversal <full_m> waits [0] : (tensor<1x8xf32>, tensor<1x8xf32>) -> tensor<1x8xf32> into {
  %1 = fleet.task 1 @task_1(%x, %0) partition <columns, tiles = 4, size = 2> traversal <full_m> waits [0]
      : (tensor<1x8xf32>, tensor<1x8xf32>) -> tensor<1x8xf32> into {
    // CHECK-NEXT: fleet.chiplet_task on 0 tiles 0 to 1{{$}}
    fleet.chiplet_task on 0 tiles 0 to 1
    // CHECK-NEXT: fleet.chiplet_task on 3 tiles 1 to 4 into {
    fleet.chiplet_task on 3 tiles 1 to 4 into {
      // CHECK-NEXT: fleet.cu_task on 0 tiles 1 to 3
      fleet.cu_task on 0 tiles 1 to 3
      // CHECK-NEXT: fleet.cu_task on 5 tiles 3 to 4
      fleet.cu_task on 5 tiles 3 to 4
    }
  }
  return %1 : tensor<1x8xf32>
}

// CHECK-LABEL: func @placed
func.func @placed() {
  // CHECK: fleet.buffer "work" offset 256 chiplet_stride 128 : memref<4x8xf32, #fleet.mem<l2>>
  %each = fleet.buffer "work" offset 256 chiplet_stride 128 : memref<4x8xf32, #fleet.mem<l2>>
  // CHECK: %[[B:.*]] = fleet.buffer "work" offset 128 : memref<4x8xf32, #fleet.mem<hbm>>
  %b = fleet.buffer "work" offset 128 : memref<4x8xf32, #fleet.mem<hbm>>
  // CHECK: fleet.task 0 @task_0(%[[B]]) waits [] : (memref<4x8xf32, #fleet.mem<hbm>>) -> ()
  fleet.task 0 @task_0(%b) waits [] : (memref<4x8xf32, #fleet.mem<hbm>>) -> ()
  // CHECK: fleet.queue chiplet 7 worker 1 [0, 2, 1]
  fleet.queue chiplet 7 worker 1 [0, 2, 1]
  // CHECK: fleet.queue chiplet 7 worker 2 []
  fleet.queue chiplet 7 worker 2 []
  return
}

// CHECK-LABEL: func @kernel
func.func @kernel(%counters: memref<8xi32>, %target: i32) -> i32 {
  // CHECK: %[[C:.*]] = fleet.chiplet_id : index
  %c = fleet.chiplet_id : index
  // CHECK: %[[R:.*]] = fleet.worker_rank : index
  %r = fleet.worker_rank : index
  // CHECK: fleet.wait <device> %{{.*}}[%[[R]]]{{ ?}}>{{ ?}}= %{{.*}} : memref<8xi32>
  fleet.wait <device> %counters[%r] >= %target : memref<8xi32>
  // CHECK: fleet.signal <chiplet> %{{.*}}[%[[C]]] : memref<8xi32>
  %n = fleet.signal <chiplet> %counters[%c] : memref<8xi32>
  return %n : i32
}

// CHECK: fleet.package @fleet_step {format = "embedded-elf", manifest = {tokens = 4 : i64}}
fleet.package @fleet_step {format = "embedded-elf", manifest = {tokens = 4 : i64}}

// CHECK-LABEL: func @ring
func.func @ring(%ring: memref<8x64x8xbf16>, %slot: index, %weights: memref<4096xi8>) -> vector<8xbf16> {
  // CHECK: fleet.ring_ask %{{.*}}[%{{.*}}] from %{{.*}}[%{{.*}}] : memref<8x64x8xbf16>, memref<4096xi8>
  fleet.ring_ask %ring[%slot] from %weights[%slot] : memref<8x64x8xbf16>, memref<4096xi8>
  // CHECK: fleet.ring_wait 4
  fleet.ring_wait 4
  // CHECK: fleet.ring_read %{{.*}}[%{{.*}}] : memref<8x64x8xbf16>, vector<8xbf16>
  %0 = fleet.ring_read %ring[%slot] : memref<8x64x8xbf16>, vector<8xbf16>
  return %0 : vector<8xbf16>
}
