// RUN: fleet-opt %s --fleet-place-step | FileCheck %s

// The manifest: sizes of the arenas, and where a loader puts inputs and parameters. Parameters are in the order of first
// use; a packed one is described by its shape before packing.
// CHECK: fleet.manifest = {arenas = {input = 256 : i64, output = 256 : i64, params = 3072 : i64, state = 12288 : i64, work = 320 : i64}, context = 64 : i64,
// CHECK-SAME: inputs = {out_rows = {dtype = "i32", offset = 192 : i64, shape = [2]}, positions = {dtype = "i32", offset = 64 : i64, shape = [2]}, slots = {dtype = "i32", offset = 128 : i64, shape = [2]}, tokens = {dtype = "i32", offset = 0 : i64, shape = [2]}},
// CHECK-SAME: layers = 2 : i64, out_rows = 2 : i64,
// CHECK-SAME: outputs = {ids = {dtype = "i32", offset = 128 : i64, shape = [2]}, logits = {dtype = "f32", offset = 0 : i64, shape = [2, 16]}, status = {dtype = "i32", offset = 192 : i64, shape = [4]}},
// CHECK-SAME: params = [{concat = 0 : i64, dtype = "f32", names = ["w"], offset = 0 : i64, pack = 16 : i64, shape = [64, 8]}, {concat = 0 : i64, dtype = "bf16", names = ["a", "b"], offset = 2048 : i64, pack = 0 : i64, shape = [16, 32]}],
// CHECK-SAME: slots = 1 : i64, target = "study", tokens = 2 : i64}

// States are in the order of their layers. What the step returns is in the output arena, other values are in the work
// arena, each on a cache line of its own.
// CHECK: func.func @step() {
// CHECK-DAG: %[[W:.*]] = fleet.buffer "params" offset 0 : memref<4x8x16xf32, #fleet.mem<hbm>>
// CHECK-DAG: %[[AB:.*]] = fleet.buffer "params" offset 2048 : memref<16x32xbf16, #fleet.mem<hbm>>
// CHECK-DAG: %[[K0:.*]] = fleet.buffer "state" offset 0 : memref<1x2x64x8xf32, #fleet.mem<hbm>>
// CHECK-DAG: %[[K1:.*]] = fleet.buffer "state" offset 4096 : memref<1x2x64x16xf32, #fleet.mem<hbm>>
// CHECK-DAG: %[[TOK:.*]] = fleet.buffer "input" offset 0
// CHECK-DAG: %[[ROWS:.*]] = fleet.buffer "input" offset 192
// CHECK-DAG: %[[LOGITS:.*]] = fleet.buffer "output" offset 0 : memref<2x16xf32, #fleet.mem<hbm>>
// CHECK-DAG: %[[IDS:.*]] = fleet.buffer "output" offset 128 : memref<2xi32, #fleet.mem<hbm>>
// CHECK: %[[X:.*]] = fleet.buffer "work" offset 0 : memref<2x17xf32, #fleet.mem<hbm>>
// CHECK: fleet.task 0 @a(%[[W]], %[[TOK]], %[[X]]) partition <columns, tiles = 2, size = 16> traversal <full_m> : {{.*}} -> () into {
// CHECK-NEXT: fleet.chiplet_task on 0 tiles 0 to 2 into {
// CHECK-NEXT: fleet.cu_task on 0 tiles 0 to 2
// CHECK: %[[Y:.*]] = fleet.buffer "work" offset 192 : memref<2x16xf32, #fleet.mem<hbm>>
// CHECK: fleet.task 1 @b(%[[X]], %[[AB]], %[[K0]], %[[Y]])
// CHECK: fleet.task 2 @c(%[[Y]], %[[W]], %[[K1]], %[[ROWS]], %[[LOGITS]])
// CHECK: fleet.task 3 @d(%[[LOGITS]], %[[IDS]])
// CHECK: return
module attributes {fleet.slots = 1 : i64, fleet.context = 64 : i64, fleet.layers = 2 : i64,
                   fleet.target = #fleet.target<"study", backend = llvm, chiplets = 1, workers = 1, lds = 1, l2 = 1, hbm_gbs = 1, tile = 16>} {
  func.func @step(%tokens: tensor<2xi32> {fleet.input = "tokens"}, %out_rows: tensor<2xi32> {fleet.input = "out_rows"},
                  %slots: tensor<2xi32> {fleet.input = "slots"}, %positions: tensor<2xi32> {fleet.input = "positions"}) -> (tensor<2x16xf32>, tensor<2xi32>) {
    %ab = fleet.param ["a", "b"] : tensor<16x32xbf16>
    %w = fleet.param ["w"] pack 16 : tensor<4x8x16xf32>
    %k1 = fleet.state "k_cache" layer 1 : memref<1x2x64x16xf32, #fleet.mem<hbm>>
    %k0 = fleet.state "k_cache" layer 0 : memref<1x2x64x8xf32, #fleet.mem<hbm>>
    %0 = fleet.task 0 @a(%w, %tokens) partition <columns, tiles = 2, size = 16> traversal <full_m> : (tensor<4x8x16xf32>, tensor<2xi32>) -> tensor<2x17xf32> into {
      fleet.chiplet_task on 0 tiles 0 to 2 into {
        fleet.cu_task on 0 tiles 0 to 2
      }
    }
    %1 = fleet.task 1 @b(%0, %ab, %k0) : (tensor<2x17xf32>, tensor<16x32xbf16>, memref<1x2x64x8xf32, #fleet.mem<hbm>>) -> tensor<2x16xf32>
    %2 = fleet.task 2 @c(%1, %w, %k1, %out_rows) : (tensor<2x16xf32>, tensor<4x8x16xf32>, memref<1x2x64x16xf32, #fleet.mem<hbm>>, tensor<2xi32>) -> tensor<2x16xf32>
    %3 = fleet.task 3 @d(%2) : (tensor<2x16xf32>) -> tensor<2xi32>
    return %2, %3 : tensor<2x16xf32>, tensor<2xi32>
  }
}
