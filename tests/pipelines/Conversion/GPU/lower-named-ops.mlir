// RUN: fleet-opt %s --pass-pipeline="builtin.module(gpu.module(fleet-gpu-lower-named-ops))" -split-input-file | FileCheck %s

gpu.module @fleet attributes {fleet.threads = 256 : i64, fleet.lanes = 64 : i64} {
  // CHECK-DAG: memref.global "private" @exchange0 : memref<16xi8, #gpu.address_space<workgroup>> = uninitialized
  // CHECK-DAG: memref.global "private" @exchange1 : memref<16xi8, #gpu.address_space<workgroup>> = uninitialized

  // CHECK-LABEL: func @gather
  // CHECK: arith.index_cast
  // CHECK: vector.load {{.*}} vector<8xbf16>
  // CHECK: vector.store {{.*}} vector<8xbf16>
  // CHECK: gpu.barrier
  func.func @gather(%t: memref<9x64xbf16>, %i: memref<2xi32>, %y: memref<2x64xbf16>) {
    fleet.gather ins(%t, %i : memref<9x64xbf16>, memref<2xi32>) outs(%y : memref<2x64xbf16>)
    return
  }
  // One long row: the whole workgroup, 6 shuffles, then LDS. All loads come first.
  // CHECK-LABEL: func @norm_of_one
  // CHECK-COUNT-2: vector.load
  // CHECK-COUNT-6: gpu.shuffle  xor
  // CHECK: memref.store
  // CHECK: gpu.barrier
  // CHECK: math.sqrt
  // CHECK: gpu.barrier
  func.func @norm_of_one(%x: memref<1x2048xf32>, %w: memref<2048xbf16>, %y: memref<1x2048xbf16>) {
    fleet.rms_norm ins(%x, %w : memref<1x2048xf32>, memref<2048xbf16>) outs(%y : memref<1x2048xbf16>) {eps = 1.0e-5 : f64}
    return
  }
  // Enough rows: a subgroup each, no LDS.
  // CHECK-LABEL: func @norm_of_many
  // CHECK: scf.for
  // CHECK-COUNT-12: gpu.shuffle  xor
  // CHECK-NOT: memref.get_global
  // CHECK: gpu.barrier
  // CHECK: return
  func.func @norm_of_many(%x: memref<8x64xf32>, %w: memref<64xf32>, %b: memref<64xf32>, %y: memref<8x64xbf16>) {
    fleet.layer_norm ins(%x, %w, %b : memref<8x64xf32>, memref<64xf32>, memref<64xf32>) outs(%y : memref<8x64xbf16>) {eps = 1.0e-5 : f64}
    return
  }
  // Rotary dimensions in one loop, the rest in another.
  // CHECK-LABEL: func @rope
  // CHECK: arith.negf
  // CHECK-COUNT-2: vector.store
  // CHECK: vector.load
  // CHECK: vector.store
  // CHECK: gpu.barrier
  func.func @rope(%x: memref<2x4x32xf32>, %c: memref<2x16xf32>, %s: memref<2x16xf32>, %y: memref<2x4x32xbf16>) {
    fleet.rope ins(%x, %c, %s : memref<2x4x32xf32>, memref<2x16xf32>, memref<2x16xf32>) outs(%y : memref<2x4x32xbf16>)
    return
  }
  // 64 elements of a head are 8 lanes of 8: 3 shuffles for a score; 8 groups of lanes take
  // positions in turn and are merged by 3 more rounds of 10 values.
  // CHECK-LABEL: func @attention
  // CHECK: arith.cmpi sge
  // CHECK: gpu.barrier
  // CHECK: scf.for {{.*}} iter_args
  // CHECK-COUNT-2: vector.load {{.*}} vector<8xbf16>
  // CHECK-COUNT-3: gpu.shuffle  xor
  // CHECK-COUNT-2: math.exp
  // CHECK: scf.yield
  // CHECK-COUNT-30: gpu.shuffle  xor
  // CHECK-NOT: gpu.shuffle
  // CHECK: gpu.barrier
  func.func @attention(%q: memref<2x4x64xbf16>, %k: memref<2x2x64xbf16>, %v: memref<2x2x64xbf16>, %s: memref<2xi32>, %p: memref<2xi32>,
                       %kc: memref<3x2x16x64xbf16>, %vc: memref<3x2x16x64xbf16>, %y: memref<2x4x64xbf16>) {
    fleet.attention ins(%q, %k, %v, %s, %p, %kc, %vc : memref<2x4x64xbf16>, memref<2x2x64xbf16>, memref<2x2x64xbf16>, memref<2xi32>, memref<2xi32>, memref<3x2x16x64xbf16>, memref<3x2x16x64xbf16>)
        outs(%y : memref<2x4x64xbf16>) {scale = 0.125 : f64}
    return
  }
  // The lower index wins among equals, across lanes and across subgroups.
  // CHECK-LABEL: func @argmax
  // CHECK: scf.for {{.*}} iter_args
  // CHECK: arith.cmpf ogt
  // CHECK: arith.cmpf oeq
  // CHECK: arith.cmpi slt
  // CHECK-COUNT-12: gpu.shuffle  xor
  // CHECK: gpu.barrier
  // CHECK: memref.store {{.*}} memref<1xi32>
  func.func @argmax(%x: memref<1x1000xf32>, %y: memref<1xi32>) {
    fleet.argmax ins(%x : memref<1x1000xf32>) outs(%y : memref<1xi32>)
    return
  }
}
