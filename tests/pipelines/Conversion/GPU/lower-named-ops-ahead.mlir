// What is asked for early where `rounds` allows it, and where nothing is to be gained.
// RUN: fleet-opt %s --pass-pipeline="builtin.module(gpu.module(fleet-gpu-lower-named-ops{rounds=4}))" | FileCheck %s
// RUN: fleet-opt %s --pass-pipeline="builtin.module(gpu.module(fleet-gpu-lower-named-ops))" | FileCheck %s --check-prefix=ONE

#id = affine_map<(d0, d1) -> (d0, d1)>
gpu.module @fleet attributes {fleet.threads = 256 : i64, fleet.lanes = 32 : i64} {
  // The weights of a row that element-wise work makes: in front of it, as it ends with a barrier.
  // CHECK-LABEL: func @norm_of_a_sum
  // CHECK-SAME: %[[W:[^:]*]]: memref<2048xbf16>
  // CHECK: vector.load %[[W]]
  // CHECK: linalg.generic
  // CHECK-NOT: vector.load %[[W]]
  // CHECK: return
  // ONE-LABEL: func @norm_of_a_sum
  // ONE-SAME: %[[W:[^:]*]]: memref<2048xbf16>
  // ONE-NOT: vector.load
  // ONE: linalg.generic
  // ONE: vector.load %[[W]]
  func.func @norm_of_a_sum(%w: memref<2048xbf16>, %x: memref<1x2048xf32>, %y: memref<1x2048xf32>, %sum: memref<1x2048xf32>, %out: memref<1x2048xf32>) {
    linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel"]} ins(%x, %y : memref<1x2048xf32>, memref<1x2048xf32>) outs(%sum : memref<1x2048xf32>) {
    ^bb0(%a: f32, %b: f32, %c: f32):
      %s = arith.addf %a, %b : f32
      linalg.yield %s : f32
    }
    fleet.rms_norm ins(%sum, %w : memref<1x2048xf32>, memref<2048xbf16>) outs(%out : memref<1x2048xf32>) {eps = 1.0e-5 : f64}
    return
  }

  // A row that is there is asked for first, and its weights with it.
  // CHECK-LABEL: func @norm
  // CHECK-SAME: %[[W:[^:]*]]: memref<2048xbf16>, %[[X:[^:]*]]: memref<1x2048xf32>
  // CHECK: vector.load %[[X]]
  // CHECK: vector.load %[[W]]
  func.func @norm(%w: memref<2048xbf16>, %x: memref<1x2048xf32>, %out: memref<1x2048xf32>) {
    fleet.rms_norm ins(%x, %w : memref<1x2048xf32>, memref<2048xbf16>) outs(%out : memref<1x2048xf32>) {eps = 1.0e-5 : f64}
    return
  }

  // 16 heads, two of a warp: together. 8 heads: one each, as ever.
  // CHECK-LABEL: func @heads
  // CHECK: scf.for
  // CHECK-COUNT-3: vector.load
  // CHECK: gpu.shuffle
  // CHECK-LABEL: func @fewer_heads
  // CHECK-NOT: scf.for
  // CHECK: vector.load
  // CHECK: gpu.shuffle
  // CHECK: return
  // ONE-LABEL: func @heads
  // ONE: scf.for
  // ONE-COUNT-2: vector.load
  // ONE: gpu.shuffle
  func.func @heads(%w: memref<128xf32>, %x: memref<16x128xf32>, %out: memref<16x128xf32>) {
    fleet.rms_norm ins(%x, %w : memref<16x128xf32>, memref<128xf32>) outs(%out : memref<16x128xf32>) {eps = 1.0e-5 : f64}
    return
  }
  func.func @fewer_heads(%w: memref<128xf32>, %x: memref<8x128xf32>, %out: memref<8x128xf32>) {
    fleet.rms_norm ins(%x, %w : memref<8x128xf32>, memref<128xf32>) outs(%out : memref<8x128xf32>) {eps = 1.0e-5 : f64}
    return
  }
}
