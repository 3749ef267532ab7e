// RUN: fleet-opt %s --pass-pipeline="builtin.module(gpu.module(fleet-gpu-lower-elementwise))" -split-input-file | FileCheck %s
// RUN: fleet-opt %s --pass-pipeline="builtin.module(gpu.module(fleet-gpu-lower-elementwise{rounds=2}))" -split-input-file | FileCheck %s --check-prefix=ROUNDS

// Both iterations' loads stand in front of the first store; more than that, or half an iteration, is a loop.
// ROUNDS-LABEL: func @vectors
// ROUNDS-NOT: scf.for
// ROUNDS-COUNT-4: vector.load
// ROUNDS-COUNT-2: vector.store
// ROUNDS: gpu.barrier
// ROUNDS-LABEL: func @copy
// ROUNDS: scf.if

#id = affine_map<(i, j) -> (i, j)>
#row = affine_map<(i, j) -> (j)>
gpu.module @fleet attributes {fleet.threads = 256 : i64, fleet.lanes = 64 : i64} {
  // 512 vectors of 8 bf16: two for each thread. The row is read along, the scalar spread.
  // CHECK-LABEL: func @vectors
  // CHECK: %[[T:.*]] = gpu.thread_id x
  // CHECK: scf.for %[[I:.*]] = %[[T]] to %c512 step %c256
  // CHECK: vector.load {{.*}} {alignment = 16 : i64} : memref<64x64xbf16>, vector<8xbf16>
  // CHECK: vector.load {{.*}} : memref<64xf32>, vector<8xf32>
  // CHECK: arith.truncf {{.*}} : vector<8xf32> to vector<8xbf16>
  // CHECK: vector.store
  // CHECK: gpu.barrier
  func.func @vectors(%x: memref<64x64xbf16>, %w: memref<64xf32>, %y: memref<64x64xbf16>) {
    linalg.generic {indexing_maps = [#id, #row, #id], iterator_types = ["parallel", "parallel"]}
        ins(%x, %w : memref<64x64xbf16>, memref<64xf32>) outs(%y : memref<64x64xbf16>) {
    ^bb0(%a: bf16, %b: f32, %c: bf16):
      %0 = arith.extf %a : bf16 to f32
      %1 = arith.mulf %0, %b : f32
      %2 = arith.truncf %1 : f32 to bf16
      linalg.yield %2 : bf16
    }
    return
  }
  // Begins with subgroup 2 of 4, and leaves the barrier to others.
  // CHECK-LABEL: func @beside
  // CHECK: %[[T:.*]] = gpu.thread_id x
  // CHECK: %[[MOVED:.*]] = arith.addi %[[T]], %c128
  // CHECK: %[[FROM:.*]] = arith.remui %[[MOVED]], %c256
  // CHECK: arith.cmpi ult, %[[FROM]], %c64
  // CHECK-NOT: gpu.barrier
  // CHECK: return
  func.func @beside(%x: memref<16x16xf32>, %y: memref<16x16xf32>) {
    linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]}
        ins(%x : memref<16x16xf32>) outs(%y : memref<16x16xf32>) attrs = {fleet.first_wave = 2 : i64} {
    ^bb0(%a: f32, %c: f32):
      %0 = arith.mulf %a, %a : f32
      linalg.yield %0 : f32
    }
    return
  }
  // A thread a result; the sum is carried, not stored in between.
  // CHECK-LABEL: func @reduction
  // CHECK: arith.cmpi ult
  // CHECK: scf.if
  // CHECK: scf.for {{.*}} iter_args
  // CHECK-NOT: memref.store
  // CHECK: scf.yield
  // CHECK: memref.store
  // CHECK: gpu.barrier
  func.func @reduction(%x: memref<2x8xf32>, %y: memref<8x4xf32>, %z: memref<2x4xf32>) {
    linalg.matmul ins(%x, %y : memref<2x8xf32>, memref<8x4xf32>) outs(%z : memref<2x4xf32>)
    return
  }
  // CHECK-LABEL: func @copy
  // CHECK: vector.load {{.*}} vector<4xf32>
  // CHECK: vector.store {{.*}} vector<4xf32>
  // CHECK: gpu.barrier
  func.func @copy(%x: memref<4x8xf32>, %y: memref<4x8xf32, strided<[16, 1], offset: 8>>) {
    memref.copy %x, %y : memref<4x8xf32> to memref<4x8xf32, strided<[16, 1], offset: 8>>
    return
  }
  // An odd number of columns: one at a time.
  // CHECK-LABEL: func @scalar
  // CHECK-NOT: vector.
  // CHECK: memref.store
  func.func @scalar(%x: memref<4x7xf32>) {
    %cst = arith.constant 0.0 : f32
    linalg.fill ins(%cst : f32) outs(%x : memref<4x7xf32>)
    return
  }
}
