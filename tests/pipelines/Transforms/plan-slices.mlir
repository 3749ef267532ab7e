// Contractions of one chiplet in slices of their depth, each for a part of its workers.
// RUN: fleet-opt %s --fleet-plan-partitions --canonicalize --cse | FileCheck %s
// RUN: fleet-opt %s --fleet-set-schedule=switches=partition=columns --fleet-plan-partitions | FileCheck %s --check-prefix=COLUMNS
// With few rows there is nothing to save: the contraction waits for its weights.
// RUN: sed -e 's/32x/8x/g' %s | fleet-opt --fleet-plan-partitions | FileCheck %s --check-prefix=COLUMNS
// RUN: sed -e 's/32x/16x/g' %s | fleet-opt --fleet-plan-partitions | FileCheck %s --check-prefix=COLUMNS
// RUN: sed -e 's/32x/8x/g' %s | fleet-opt --fleet-set-schedule=switches=partition=rows --fleet-plan-partitions | FileCheck %s --check-prefix=ROWS
// With more rows three slices save more than their sums cost.
// RUN: sed -e 's/32x/64x/g' %s | fleet-opt --fleet-plan-partitions | FileCheck %s --check-prefix=MORE
// Other code generators read the left side of one tile at a time. One worker has nobody to share with.
// RUN: sed -e 's/nvvm/llvm/' %s | fleet-opt --fleet-plan-partitions | FileCheck %s --check-prefix=COLUMNS
// RUN: sed -e 's/nvvm/rocdl/' %s | fleet-opt --fleet-set-schedule=switches=partition=rows --fleet-plan-partitions | FileCheck %s --check-prefix=COLUMNS
// RUN: sed -e 's/workers = 132/workers = 1/' %s | fleet-opt --fleet-set-schedule=switches=partition=rows --fleet-plan-partitions | FileCheck %s --check-prefix=COLUMNS

// The partial sums of the slices stand side by side. Who needs them adds them in order, before what was added to
// the contraction: a norm of rows, and what follows a contraction by columns. So no task stands between them.
// CHECK: func.func private @down_slices(%{{.*}}: tensor<32x12288xbf16>, %{{.*}}: tensor<8192x6144xbf16>) -> tensor<32x8192xf32>
// CHECK: func.func private @norm_of_down_sum(%{{.*}}: tensor<4096xbf16>, %[[P:.*]]: tensor<32x8192xf32>, %[[R:.*]]: tensor<32x4096xf32>)
// CHECK-DAG: %[[A:.*]] = tensor.extract_slice %[[P]][0, 0] [32, 4096]
// CHECK-DAG: %[[B:.*]] = tensor.extract_slice %[[P]][0, 4096] [32, 4096]
// CHECK: linalg.generic {{.*}} ins(%[[A]], %[[B]] :
// CHECK: linalg.generic {{.*}} ins(%{{.*}}, %[[R]] :
// CHECK: fleet.rms_norm
// CHECK: func.func private @last_of_down_sum(
// CHECK-NOT: func.func private @down(
// CHECK-LABEL: func.func @step
// CHECK: %[[W:.*]] = fleet.param ["down"] splits 2 : tensor<8192x6144xbf16>
// CHECK: %[[S:.*]] = fleet.task 1 @down_slices(%[[X:.*]], %[[W]]) partition <rows, tiles = 512, size = 16, splits = 2>
// CHECK: fleet.task 2 @norm_of_down_sum(%{{.*}}, %[[S]], %[[Y:.*]]) partition <heads, tiles = 32, size = 1>
// CHECK: fleet.task 3 @last_of_down_sum(%{{.*}}, %{{.*}}, %[[S]], %[[Y]]) partition <columns, tiles = 256, size = 16>
// Whoever reads all of it waits for a task that adds them, behind those that do not.
// CHECK: %[[SUM:.*]] = fleet.task 4 @down_sum(%[[S]], %[[Y]]) partition <columns, tiles = 128, size = 32>
// CHECK: fleet.task 5 @ids(%[[SUM]])

// COLUMNS: fleet.task 1 @down({{.*}}) partition <columns, tiles = 256, size = 16>
// COLUMNS: fleet.task 2 @norm(
// COLUMNS: fleet.task 3 @last({{.*}}) partition <columns, tiles = 256, size = 16>

// MORE: fleet.param ["down"] splits 3 : tensor<12288x4096xbf16>
// MORE: fleet.task 1 @down_slices({{.*}}) partition <rows, tiles = 768, size = 16, splits = 3>
// MORE: fleet.task 2 @norm_of_down_sum({{.*}}) partition <heads, tiles = 64, size = 1>

// ROWS: fleet.task 1 @down_slices({{.*}}) partition <rows, {{.*}}, splits = 2>
// ROWS: fleet.task 2 @norm_of_down_sum(

#same = affine_map<(d0, d1) -> (d0, d1)>
module attributes {fleet.target = #fleet.target<"sm_90a", backend = nvvm, chiplets = 1, workers = 132, lds = 232448, l2 = 52428800, hbm_gbs = 4800, tile = 16>} {
  func.func private @gather(%t: tensor<64x4096xbf16>, %i: tensor<32xi32>) -> tensor<32x4096xf32> attributes {fleet.body} {
    %e = tensor.empty() : tensor<32x4096xf32>
    %0 = fleet.gather ins(%t, %i : tensor<64x4096xbf16>, tensor<32xi32>) outs(%e : tensor<32x4096xf32>) -> tensor<32x4096xf32>
    return %0 : tensor<32x4096xf32>
  }
  func.func private @down(%x: tensor<32x12288xbf16>, %w: tensor<4096x12288xbf16>, %r: tensor<32x4096xf32>) -> tensor<32x4096xf32> attributes {fleet.body} {
    %zero = arith.constant 0.0 : f32
    %te = tensor.empty() : tensor<12288x4096xbf16>
    %t = linalg.transpose ins(%w : tensor<4096x12288xbf16>) outs(%te : tensor<12288x4096xbf16>) permutation = [1, 0]
    %e = tensor.empty() : tensor<32x4096xf32>
    %z = linalg.fill ins(%zero : f32) outs(%e : tensor<32x4096xf32>) -> tensor<32x4096xf32>
    %y = linalg.matmul ins(%x, %t : tensor<32x12288xbf16>, tensor<12288x4096xbf16>) outs(%z : tensor<32x4096xf32>) -> tensor<32x4096xf32>
    %s = linalg.generic {indexing_maps = [#same, #same, #same], iterator_types = ["parallel", "parallel"]}
        ins(%y, %r : tensor<32x4096xf32>, tensor<32x4096xf32>) outs(%e : tensor<32x4096xf32>) {
    ^bb0(%a: f32, %b: f32, %out: f32):
      %c = arith.addf %a, %b : f32
      linalg.yield %c : f32
    } -> tensor<32x4096xf32>
    return %s : tensor<32x4096xf32>
  }
  func.func private @norm(%x: tensor<32x4096xf32>, %w: tensor<4096xbf16>) -> tensor<32x4096xbf16> attributes {fleet.body} {
    %e = tensor.empty() : tensor<32x4096xbf16>
    %0 = fleet.rms_norm ins(%x, %w : tensor<32x4096xf32>, tensor<4096xbf16>) outs(%e : tensor<32x4096xbf16>) {eps = 1.0e-6 : f64} -> tensor<32x4096xbf16>
    return %0 : tensor<32x4096xbf16>
  }
  // Its result is the step's, so it is not cut itself.
  func.func private @last(%n: tensor<32x4096xbf16>, %w: tensor<4096x4096xbf16>, %x: tensor<32x4096xf32>) -> tensor<32x4096xf32> attributes {fleet.body} {
    %zero = arith.constant 0.0 : f32
    %te = tensor.empty() : tensor<4096x4096xbf16>
    %t = linalg.transpose ins(%w : tensor<4096x4096xbf16>) outs(%te : tensor<4096x4096xbf16>) permutation = [1, 0]
    %e = tensor.empty() : tensor<32x4096xf32>
    %z = linalg.fill ins(%zero : f32) outs(%e : tensor<32x4096xf32>) -> tensor<32x4096xf32>
    %y = linalg.matmul ins(%n, %t : tensor<32x4096xbf16>, tensor<4096x4096xbf16>) outs(%z : tensor<32x4096xf32>) -> tensor<32x4096xf32>
    %s = linalg.generic {indexing_maps = [#same, #same, #same], iterator_types = ["parallel", "parallel"]}
        ins(%x, %y : tensor<32x4096xf32>, tensor<32x4096xf32>) outs(%e : tensor<32x4096xf32>) {
    ^bb0(%a: f32, %b: f32, %out: f32):
      %c = arith.addf %a, %b : f32
      linalg.yield %c : f32
    } -> tensor<32x4096xf32>
    return %s : tensor<32x4096xf32>
  }
  func.func private @ids(%x: tensor<32x4096xf32>) -> tensor<32xi32> attributes {fleet.body} {
    %e = tensor.empty() : tensor<32xi32>
    %0 = fleet.argmax ins(%x : tensor<32x4096xf32>) outs(%e : tensor<32xi32>) -> tensor<32xi32>
    return %0 : tensor<32xi32>
  }
  func.func @step(%x: tensor<32x12288xbf16>, %i: tensor<32xi32>) -> (tensor<32x4096xf32>, tensor<32xi32>) {
    %t = fleet.param ["table"] : tensor<64x4096xbf16>
    %w = fleet.param ["down"] : tensor<4096x12288xbf16>
    %g = fleet.param ["norm"] : tensor<4096xbf16>
    %v = fleet.param ["last"] : tensor<4096x4096xbf16>
    %0 = fleet.task 0 @gather(%t, %i) : (tensor<64x4096xbf16>, tensor<32xi32>) -> tensor<32x4096xf32>
    %1 = fleet.task 1 @down(%x, %w, %0) : (tensor<32x12288xbf16>, tensor<4096x12288xbf16>, tensor<32x4096xf32>) -> tensor<32x4096xf32>
    %2 = fleet.task 2 @norm(%1, %g) : (tensor<32x4096xf32>, tensor<4096xbf16>) -> tensor<32x4096xbf16>
    %3 = fleet.task 3 @last(%2, %v, %1) : (tensor<32x4096xbf16>, tensor<4096x4096xbf16>, tensor<32x4096xf32>) -> tensor<32x4096xf32>
    %4 = fleet.task 4 @ids(%1) : (tensor<32x4096xf32>) -> tensor<32xi32>
    return %3, %4 : tensor<32x4096xf32>, tensor<32xi32>
  }
}
