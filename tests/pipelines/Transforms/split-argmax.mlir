// A part of the columns for each worker, of whole lines and of at least 256.
// RUN: fleet-opt %s --fleet-set-target=target=gfx950 --fleet-split-argmax | FileCheck %s --check-prefixes=CHECK,GFX950
// RUN: fleet-opt %s --fleet-set-target=target=sm_90a --fleet-split-argmax | FileCheck %s --check-prefixes=CHECK,SM90

// One core of a CPU walks all queues, so that nothing is split.
// RUN: fleet-opt %s --fleet-set-target=target=cpu --fleet-split-argmax | FileCheck %s --check-prefix=CPU
// CPU-NOT: fleet.argmax_
// CPU-COUNT-4: fleet.argmax ins(
// CPU-NOT: fleet.argmax

// RUN: not fleet-opt %s --fleet-split-argmax 2>&1 | FileCheck %s --check-prefix=NONE
// NONE: error: expected a module with a fleet.target, found none; run fleet-set-target

// 151936 / 256 and 151936 / 132 columns, to the next multiple of 16.
// CHECK-LABEL: func @long_row
// CHECK-SAME: %[[X:[^:]*]]: tensor<1x151936xf32>, %[[O:[^:]*]]: tensor<1xi32>)
// GFX950: %[[E:.*]] = tensor.empty() : tensor<250x2x8xi32>
// GFX950: %[[P:.*]] = fleet.argmax_partial ins(%[[X]] : tensor<1x151936xf32>) outs(%[[E]] : tensor<250x2x8xi32>) {width = 608 : i64} -> tensor<250x2x8xi32>
// SM90: %[[E:.*]] = tensor.empty() : tensor<132x2x8xi32>
// SM90: %[[P:.*]] = fleet.argmax_partial ins(%[[X]] : tensor<1x151936xf32>) outs(%[[E]] : tensor<132x2x8xi32>) {width = 1152 : i64} -> tensor<132x2x8xi32>
// CHECK: %[[Y:.*]] = fleet.argmax_merge ins(%[[P]] : tensor<{{.*}}xi32>) outs(%[[O]] : tensor<1xi32>) -> tensor<1xi32>
// CHECK: return %[[Y]]
func.func @long_row(%x: tensor<1x151936xf32>, %o: tensor<1xi32>) -> tensor<1xi32> {
  %0 = fleet.argmax ins(%x : tensor<1x151936xf32>) outs(%o : tensor<1xi32>) -> tensor<1xi32>
  return %0 : tensor<1xi32>
}

// Results of two parts stand in no common line. On an NVIDIA GPU each of many rows is a task already.
// CHECK-LABEL: func @many_rows
// GFX950: fleet.argmax_partial ins(%{{.*}} : tensor<9x1000xf32>) outs(%{{.*}} : tensor<4x2x16xi32>) {width = 256 : i64}
// GFX950: fleet.argmax_merge
// SM90-NOT: fleet.argmax_
// SM90: fleet.argmax ins(
func.func @many_rows(%x: tensor<9x1000xf32>, %o: tensor<9xi32>) -> tensor<9xi32> {
  %0 = fleet.argmax ins(%x : tensor<9x1000xf32>) outs(%o : tensor<9xi32>) -> tensor<9xi32>
  return %0 : tensor<9xi32>
}

// The most that is left to one worker, and one column more.
// CHECK-LABEL: func @columns_8192
// CHECK-NOT: fleet.argmax_
// CHECK: fleet.argmax ins(
// CHECK-NOT: fleet.argmax_
// CHECK-LABEL: func @columns_8193
// CHECK: fleet.argmax_partial ins({{.*}}) outs(%{{.*}} : tensor<33x2x8xi32>) {width = 256 : i64}
func.func @columns_8192(%x: tensor<1x8192xf32>, %o: tensor<1xi32>) -> tensor<1xi32> {
  %0 = fleet.argmax ins(%x : tensor<1x8192xf32>) outs(%o : tensor<1xi32>) -> tensor<1xi32>
  return %0 : tensor<1xi32>
}
func.func @columns_8193(%x: tensor<1x8193xf32>, %o: tensor<1xi32>) -> tensor<1xi32> {
  %0 = fleet.argmax ins(%x : tensor<1x8193xf32>) outs(%o : tensor<1xi32>) -> tensor<1xi32>
  return %0 : tensor<1xi32>
}
