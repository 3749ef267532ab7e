// RUN: fleet-opt %s --pass-pipeline="builtin.module(gpu.module(fleet-gpu-lower-named-ops))" -split-input-file -verify-diagnostics | FileCheck %s

gpu.module @fleet attributes {fleet.threads = 256 : i64, fleet.lanes = 64 : i64} {
  // A short part is one subgroup's: no exchange in LDS. Past its end it reads the last vector again.
  // CHECK-LABEL: func @partial
  // CHECK-SAME: %[[FIRST:[^:]*]]: index
  // CHECK: scf.for
  // CHECK-COUNT-3: vector.load {{.*}} vector<4xf32>
  // CHECK-NOT: vector.load
  // CHECK: arith.addi %{{.*}}, %[[FIRST]]
  // CHECK: arith.cmpf ogt
  // CHECK: arith.cmpf oeq
  // CHECK: arith.cmpi slt
  // CHECK-COUNT-12: gpu.shuffle  xor
  // CHECK-NOT: gpu.barrier
  // CHECK: arith.bitcast %{{.*}} : f32 to i32
  // CHECK-COUNT-2: memref.store {{.*}} memref<1x2x8xi32>
  // CHECK: gpu.barrier
  func.func @partial(%first: index, %x: memref<1x608xf32>, %y: memref<1x2x8xi32>) {
    fleet.argmax_partial from %first ins(%x : memref<1x608xf32>) outs(%y : memref<1x2x8xi32>) {width = 608 : i64}
    return
  }
  // A long one is the whole workgroup's.
  // CHECK-LABEL: func @long_partial
  // CHECK-COUNT-2: vector.load {{.*}} vector<4xf32>
  // CHECK-COUNT-12: gpu.shuffle  xor
  // CHECK-COUNT-2: memref.store {{.*}} memref<4x{{.*}}, #gpu.address_space<workgroup>>
  // CHECK: gpu.barrier
  // CHECK-COUNT-2: memref.store {{.*}} memref<1x2x8xi32>
  func.func @long_partial(%first: index, %x: memref<1x1152xf32>, %y: memref<1x2x8xi32>) {
    fleet.argmax_partial from %first ins(%x : memref<1x1152xf32>) outs(%y : memref<1x2x8xi32>) {width = 1152 : i64}
    return
  }
  // 130 parts in 3 rounds of 64 lanes.
  // CHECK-LABEL: func @merge
  // CHECK-COUNT-6: memref.load {{.*}} memref<130x2x8xi32>
  // CHECK-NOT: memref.load
  // CHECK-COUNT-12: gpu.shuffle  xor
  // CHECK: memref.store {{.*}} memref<2xi32>
  // CHECK: gpu.barrier
  func.func @merge(%x: memref<130x2x8xi32>, %y: memref<2xi32>) {
    fleet.argmax_merge ins(%x : memref<130x2x8xi32>) outs(%y : memref<2xi32>)
    return
  }
}

// -----

gpu.module @fleet {
  func.func @whole(%x: memref<1x608xf32>, %y: memref<2x2x8xi32>) {
    // expected-error @+1 {{'fleet.argmax_partial' op expected a tile of one part, found all parts}}
    fleet.argmax_partial ins(%x : memref<1x608xf32>) outs(%y : memref<2x2x8xi32>) {width = 304 : i64}
    return
  }
}
