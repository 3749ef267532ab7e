// Many rows on one die: rotations are cut by rows where there are as many of them as heads, attention by the row groups of
// its parts as well, and a tile of the merge has as many rows of a head as leave no worker a second tile.
// RUN: fleet-opt %s --fleet-set-target=target=sm_90a --fleet-form-tasks --fleet-cut-chiplets | FileCheck %s
// RUN: fleet-opt %s --fleet-set-target=target=gfx950 --fleet-form-tasks --fleet-cut-chiplets | FileCheck %s --check-prefix=OTHER
// RUN: sed 's/<20x/<32x/g; s/x20x/x32x/g' %s | fleet-opt --fleet-set-target=target=sm_90a --fleet-form-tasks --fleet-cut-chiplets | FileCheck %s --check-prefix=EQUAL
// RUN: sed 's/<20x/<8x/g; s/x20x/x8x/g' %s | fleet-opt --fleet-set-target=target=sm_90a --fleet-form-tasks --fleet-cut-chiplets | FileCheck %s --check-prefix=EIGHT

// CHECK: fleet.task 0 @task_0({{.*}}) partition <columns, tiles = 32, size = 1>
// CHECK: fleet.task 1 @task_1({{.*}}) partition <heads, tiles = 20, size = 1>
// CHECK: fleet.task 2 @task_2({{.*}}) partition <heads, tiles = 128, size = 1>
// CHECK: fleet.task 3 @task_3({{.*}}) partition <heads, tiles = 80, size = 2>

// OTHER: fleet.task 0 @task_0({{.*}}) partition <columns, tiles = 32, size = 1>
// OTHER: fleet.task 1 @task_1({{.*}}) partition <columns, tiles = 8, size = 1>
// OTHER: fleet.task 3 @task_3({{.*}}) partition <heads, tiles = 160, size = 1>

// EQUAL: fleet.task 0 @task_0({{.*}}) partition <heads, tiles = 32, size = 1>
// EQUAL: fleet.task 1 @task_1({{.*}}) partition <heads, tiles = 32, size = 1>
// EQUAL: fleet.task 3 @task_3({{.*}}) partition <heads, tiles = 128, size = 2>

// EIGHT: fleet.task 0 @task_0({{.*}}) partition <columns, tiles = 32, size = 1>
// EIGHT: fleet.task 1 @task_1({{.*}}) partition <columns, tiles = 8, size = 1>
// EIGHT: fleet.task 3 @task_3({{.*}}) partition <heads, tiles = 64, size = 1>
func.func @step(%q: tensor<20x32x128xf32>, %k: tensor<20x8x128xf32>, %cos: tensor<20x128xf32>, %slots: tensor<20xi32>) -> tensor<20x32x128xf32> {
  %keys = fleet.state "k_cache" layer 0 : memref<20x8x1152x128xbf16, #fleet.mem<hbm>>
  %eq = tensor.empty() : tensor<20x32x128xf32>
  %ek = tensor.empty() : tensor<20x8x128xf32>
  %ep = tensor.empty() : tensor<64x20x4x132xf32>
  %0 = fleet.rope ins(%q, %cos, %cos : tensor<20x32x128xf32>, tensor<20x128xf32>, tensor<20x128xf32>) outs(%eq : tensor<20x32x128xf32>) -> tensor<20x32x128xf32>
  %1 = fleet.rope ins(%k, %cos, %cos : tensor<20x8x128xf32>, tensor<20x128xf32>, tensor<20x128xf32>) outs(%ek : tensor<20x8x128xf32>) -> tensor<20x8x128xf32>
  %2 = fleet.attention_partial ins(%0, %1, %k, %slots, %slots, %keys, %keys : tensor<20x32x128xf32>, tensor<20x8x128xf32>, tensor<20x8x128xf32>, tensor<20xi32>, tensor<20xi32>, memref<20x8x1152x128xbf16, #fleet.mem<hbm>>, memref<20x8x1152x128xbf16, #fleet.mem<hbm>>) outs(%ep : tensor<64x20x4x132xf32>) {dealt = 16 : i64, parts = 8 : i64, row_groups = 2 : i64, scale = 0.25 : f64} -> tensor<64x20x4x132xf32>
  %3 = fleet.attention_merge ins(%2 : tensor<64x20x4x132xf32>) outs(%eq : tensor<20x32x128xf32>) {by_rows, parts = 8 : i64} -> tensor<20x32x128xf32>
  return %3 : tensor<20x32x128xf32>
}
