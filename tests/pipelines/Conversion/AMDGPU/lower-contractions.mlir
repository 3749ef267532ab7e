// RUN: fleet-opt %s --pass-pipeline="builtin.module(gpu.module(fleet-amdgpu-lower-contractions))" | FileCheck %s
// RUN: fleet-opt %s --pass-pipeline="builtin.module(gpu.module(fleet-amdgpu-lower-contractions{chipset=gfx942}))" | FileCheck %s --check-prefix=GFX942

#lhs = affine_map<(m, n, k, g) -> (m, k, g)>
#rhs = affine_map<(m, n, k, g) -> (k, n, g)>
#out = affine_map<(m, n, k, g) -> (m, n)>
gpu.module @fleet attributes {fleet.threads = 256 : i64, fleet.lanes = 64 : i64} {
  // Partial sums of 4 waves, at most 32 x 32 f32 each.
  // CHECK: memref.global "private" @partial : memref<16384xi8, #gpu.address_space<workgroup>>

  // 40 steps of 32: 10 rounds of the 4 waves, 8 in flight, then 2. 16 bytes of weights a lane.
  // CHECK-LABEL: func @rows_3
  // CHECK: arith.minui
  // CHECK: scf.for {{.*}} iter_args
  // CHECK-COUNT-8: vector.load %arg1{{.*}} {alignment = 16 : i64} : memref<160x16x8xbf16>, vector<8xbf16>
  // CHECK: vector.load %arg0
  // CHECK-COUNT-8: amdgpu.mfma 16x16x32
  // CHECK: scf.yield
  // CHECK-COUNT-2: amdgpu.mfma 16x16x32
  // CHECK-NOT: amdgpu.mfma
  // CHECK-COUNT-4: memref.store
  // CHECK: gpu.barrier
  // CHECK-COUNT-4: arith.addf
  // CHECK: vector.store
  // CHECK: gpu.barrier
  // CHECK: return
  // GFX942-LABEL: func @rows_3
  // GFX942-COUNT-16: amdgpu.mfma 16x16x16
  // GFX942: scf.yield
  func.func @rows_3(%x: memref<3x160x8xbf16>, %w: memref<160x16x8xbf16>, %y: memref<3x16xf32>) {
    linalg.generic {indexing_maps = [#lhs, #rhs, #out], iterator_types = ["parallel", "parallel", "reduction", "reduction"]}
        ins(%x, %w : memref<3x160x8xbf16>, memref<160x16x8xbf16>) outs(%y : memref<3x16xf32>) {
    ^bb0(%a: bf16, %b: bf16, %c: f32):
      %0 = arith.extf %a : bf16 to f32
      %1 = arith.extf %b : bf16 to f32
      %2 = arith.mulf %0, %1 : f32
      %3 = arith.addf %c, %2 : f32
      linalg.yield %3 : f32
    }
    return
  }
  // 5 steps: the second round is one wave's. Two blocks of rows, two of columns.
  // CHECK-LABEL: func @rest
  // CHECK: arith.minui
  // CHECK-COUNT-4: amdgpu.mfma 16x16x32
  // CHECK: arith.cmpi ult
  // CHECK: scf.if
  // CHECK-COUNT-4: amdgpu.mfma 16x16x32
  // CHECK-NOT: amdgpu.mfma
  // CHECK-COUNT-16: memref.store
  func.func @rest(%x: memref<17x20x8xbf16>, %w: memref<20x32x8xbf16>, %y: memref<17x32xf32>) {
    linalg.generic {indexing_maps = [#lhs, #rhs, #out], iterator_types = ["parallel", "parallel", "reduction", "reduction"]}
        ins(%x, %w : memref<17x20x8xbf16>, memref<20x32x8xbf16>) outs(%y : memref<17x32xf32>) {
    ^bb0(%a: bf16, %b: bf16, %c: f32):
      %0 = arith.extf %a : bf16 to f32
      %1 = arith.extf %b : bf16 to f32
      %2 = arith.mulf %0, %1 : f32
      %3 = arith.addf %c, %2 : f32
      linalg.yield %3 : f32
    }
    return
  }
  // f32 stays for the loops.
  // CHECK-LABEL: func @f32
  // CHECK: linalg.matmul
  func.func @f32(%x: memref<2x8xf32>, %w: memref<8x16xf32>, %y: memref<2x16xf32>) {
    linalg.matmul ins(%x, %w : memref<2x8xf32>, memref<8x16xf32>) outs(%y : memref<2x16xf32>)
    return
  }
}
