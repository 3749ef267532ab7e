// RUN: fleet-opt %s --canonicalize --cse | FileCheck %s

// What has no effect and no use disappears.
// CHECK-LABEL: func @unused
// CHECK-NEXT: return
func.func @unused(%x: tensor<2x8xf32>, %w: tensor<8xf32>, %ids: tensor<2xi32>) {
  %p = fleet.param ["w"] : tensor<8xf32>
  %s = fleet.state "k_cache" layer 0 : memref<1x1x16x8xf32, #fleet.mem<hbm>>
  %b = fleet.buffer "work" offset 0 : memref<8xf32, #fleet.mem<hbm>>
  %c = fleet.chiplet_id : index
  %r = fleet.worker_rank : index
  %n = fleet.rms_norm ins(%x, %w : tensor<2x8xf32>, tensor<8xf32>) outs(%x : tensor<2x8xf32>) {eps = 1.0e-5 : f64} -> tensor<2x8xf32>
  %a = fleet.argmax ins(%x : tensor<2x8xf32>) outs(%ids : tensor<2xi32>) -> tensor<2xi32>
  return
}

// Equal parameters and equal buffers are one; parameters of other names are others.
// CHECK-LABEL: func @equal
// CHECK-NEXT: %[[W:.*]] = fleet.param ["w"]
// CHECK-NEXT: %[[V:.*]] = fleet.param ["v"]
// CHECK-NEXT: %[[B:.*]] = fleet.buffer "work" offset 64
// CHECK-NEXT: return %[[W]], %[[W]], %[[V]], %[[B]], %[[B]]
func.func @equal() -> (tensor<8xf32>, tensor<8xf32>, tensor<8xf32>, memref<8xf32, #fleet.mem<hbm>>, memref<8xf32, #fleet.mem<hbm>>) {
  %0 = fleet.param ["w"] : tensor<8xf32>
  %1 = fleet.param ["w"] : tensor<8xf32>
  %2 = fleet.param ["v"] : tensor<8xf32>
  %3 = fleet.buffer "work" offset 64 : memref<8xf32, #fleet.mem<hbm>>
  %4 = fleet.buffer "work" offset 64 : memref<8xf32, #fleet.mem<hbm>>
  return %0, %1, %2, %3, %4 : tensor<8xf32>, tensor<8xf32>, tensor<8xf32>, memref<8xf32, #fleet.mem<hbm>>, memref<8xf32, #fleet.mem<hbm>>
}

// What writes a buffer, a cache or a counter stays, once for each time.
// CHECK-LABEL: func @effects
// CHECK-COUNT-2: fleet.attention
// CHECK-NEXT: fleet.argmax
// CHECK-COUNT-2: fleet.signal
// CHECK: fleet.wait
// CHECK-COUNT-2: fleet.task
// CHECK: return
func.func @effects(%q: tensor<1x4x8xf32>, %k: tensor<1x2x8xf32>, %i: tensor<1xi32>, %c: memref<1x2x16x8xf32>,
                   %x: memref<2x8xf32>, %ids: memref<2xi32>, %counters: memref<8xi32>, %at: index, %target: i32) {
  %0 = fleet.attention ins(%q, %k, %k, %i, %i, %c, %c : tensor<1x4x8xf32>, tensor<1x2x8xf32>, tensor<1x2x8xf32>, tensor<1xi32>, tensor<1xi32>, memref<1x2x16x8xf32>, memref<1x2x16x8xf32>) outs(%q : tensor<1x4x8xf32>) {scale = 1.0 : f64} -> tensor<1x4x8xf32>
  %1 = fleet.attention ins(%q, %k, %k, %i, %i, %c, %c : tensor<1x4x8xf32>, tensor<1x2x8xf32>, tensor<1x2x8xf32>, tensor<1xi32>, tensor<1xi32>, memref<1x2x16x8xf32>, memref<1x2x16x8xf32>) outs(%q : tensor<1x4x8xf32>) {scale = 1.0 : f64} -> tensor<1x4x8xf32>
  fleet.argmax ins(%x : memref<2x8xf32>) outs(%ids : memref<2xi32>)
  %2 = fleet.signal <chiplet> %counters[%at] : memref<8xi32>
  %3 = fleet.signal <chiplet> %counters[%at] : memref<8xi32>
  fleet.wait <device> %counters[%at] >= %target : memref<8xi32>
  %4 = fleet.task 0 @task_0(%i) : (tensor<1xi32>) -> tensor<1xi32>
  %5 = fleet.task 1 @task_0(%i) : (tensor<1xi32>) -> tensor<1xi32>
  return
}
