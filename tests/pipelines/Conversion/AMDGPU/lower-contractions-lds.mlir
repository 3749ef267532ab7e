// A chip whose loads move 16 bytes a lane to LDS: the ring takes what LDS is left.
// RUN: fleet-opt %s --pass-pipeline="builtin.module(gpu.module(fleet-amdgpu-lower-contractions,fleet-amdgpu-check-ring))" | FileCheck %s
// RUN: fleet-opt %s --pass-pipeline="builtin.module(gpu.module(fleet-amdgpu-lower-contractions,fleet-amdgpu-check-ring,fleet-amdgpu-lower-ring))" | FileCheck %s --check-prefix=LOWERED
// The other chip keeps it in registers, and so does a worker without room.
// RUN: fleet-opt %s --pass-pipeline="builtin.module(gpu.module(fleet-amdgpu-lower-contractions{chipset=gfx942}))" | FileCheck %s --check-prefix=REGISTERS
// RUN: sed 's/lds = 57344/lds = 16384/' %s | fleet-opt --pass-pipeline="builtin.module(gpu.module(fleet-amdgpu-lower-contractions))" | FileCheck %s --check-prefix=REGISTERS
// REGISTERS-NOT: fleet.ring
// REGISTERS: memref<16x8xbf16, #gpu.address_space<private>>
// REGISTERS-NOT: fleet.ring

#lhs = affine_map<(m, n, k, g) -> (m, k, g)>
#rhs = affine_map<(m, n, k, g) -> (k, n, g)>
#out = affine_map<(m, n, k, g) -> (m, n)>
#hbm = #gpu.address_space<global>
// 57344 bytes less 4096 of reserve, 4096 of partial sums and 4096 of the left side leave 11 slots a wave: 8 are used.
module attributes {fleet.target = #fleet.target<"gfx950", backend = rocdl, chiplets = 8, workers = 4, lds = 57344, l2 = 1, hbm_gbs = 1, tile = 16>} {
gpu.module @fleet attributes {fleet.threads = 256 : i64, fleet.lanes = 64 : i64} {
  // CHECK-DAG: memref.global "private" @ring : memref<32768xi8, #gpu.address_space<workgroup>>
  // CHECK-DAG: memref.global "private" @body : memref<4096xi8, #gpu.address_space<workgroup>>

  // Tiles of 64 steps, 16 rounds of the 4 waves.
  // CHECK-LABEL: func @tiles
  // CHECK-SAME: %[[X:[^:]*]]: memref<1x2048xbf16, #gpu.address_space<global>>, %[[W:[^:]*]]: memref<4x256x16x8xbf16, #gpu.address_space<global>>
  // The left side comes to LDS first.
  // CHECK: %[[STAGED:.*]] = memref.view {{.*}} to memref<1x256x8xbf16, #gpu.address_space<workgroup>>
  // CHECK: vector.load %[[X]]
  // CHECK: vector.store {{.*}}, %[[STAGED]]
  // CHECK: gpu.barrier
  // The head.
  // CHECK: scf.for %[[SLOT:.*]] = %c0{{.*}} to %c8
  // CHECK: fleet.ring_ask %{{.*}}[%[[SLOT]]] from %[[W]][%{{.*}}, %{{.*}}, %c0{{.*}}, %c0{{.*}}] : memref<8x64x8xbf16, #gpu.address_space<workgroup>>
  // CHECK: scf.for
  // Half of the rounds, each asking for one 8 rounds ahead.
  // CHECK: scf.for
  // CHECK: fleet.ring_wait 4
  // CHECK-COUNT-4: fleet.ring_read
  // CHECK: vector.load %[[STAGED]]
  // CHECK: amdgpu.mfma 16x16x32
  // CHECK-COUNT-4: fleet.ring_ask
  // The other half, which asks for the next tile if there is one.
  // CHECK: %[[MORE:.*]] = scf.if
  // CHECK: scf.for
  // CHECK: fleet.ring_wait 4
  // CHECK-COUNT-4: fleet.ring_ask
  // CHECK: } else {
  // CHECK: fleet.ring_wait 4
  // CHECK-COUNT-4: fleet.ring_read
  // CHECK-NOT: fleet.ring_ask
  // CHECK: fleet.ring_wait 0
  // CHECK-COUNT-4: fleet.ring_read
  // CHECK-NOT: fleet.ring
  // CHECK: return

  // LOWERED-LABEL: func @tiles
  // LOWERED: %[[TO:.*]] = rocdl.readfirstlane %{{.*}} : i32
  // LOWERED: %[[FROM:.*]] = rocdl.readfirstlane %{{.*}} : i64
  // LOWERED: llvm.inline_asm has_side_effects "s_waitcnt lgkmcnt(0)\0As_mov_b32 m0, $0\0As_nop 4\0Aglobal_load_lds_dwordx4 $1, $2", "s,v,s,~{memory}" %[[TO]], %{{.*}}, %[[FROM]]
  // LOWERED: llvm.inline_asm has_side_effects "s_waitcnt vmcnt(4)", "~{memory}"
  // LOWERED: vector.load {{.*}} {alignment = 16 : i64} : memref<8x64x8xbf16, #gpu.address_space<workgroup>>, vector<8xbf16>
  // LOWERED-NOT: fleet.ring
  func.func @tiles(%x: memref<1x2048xbf16, #hbm>, %w: memref<4x256x16x8xbf16, #hbm>, %y: memref<1x64xf32, #hbm>, %lo: index, %hi: index, %s: memref<64xi8>) {
    %c16 = arith.constant 16 : index
    %first = arith.muli %lo, %c16 : index
    %last = arith.muli %hi, %c16 : index
    %groups = memref.expand_shape %x [[0], [1, 2]] output_shape [1, 256, 8] : memref<1x2048xbf16, #hbm> into memref<1x256x8xbf16, #hbm>
    scf.for %i = %first to %last step %c16 {
      %t = arith.divui %i, %c16 : index
      %tile = memref.subview %w[%t, 0, 0, 0] [1, 256, 16, 8] [1, 1, 1, 1] : memref<4x256x16x8xbf16, #hbm> to memref<256x16x8xbf16, strided<[128, 8, 1], offset: ?>, #hbm>
      %o = memref.subview %y[0, %i] [1, 16] [1, 1] : memref<1x64xf32, #hbm> to memref<1x16xf32, strided<[64, 1], offset: ?>, #hbm>
      linalg.generic {indexing_maps = [#lhs, #rhs, #out], iterator_types = ["parallel", "parallel", "reduction", "reduction"]}
          ins(%groups, %tile : memref<1x256x8xbf16, #hbm>, memref<256x16x8xbf16, strided<[128, 8, 1], offset: ?>, #hbm>) outs(%o : memref<1x16xf32, strided<[64, 1], offset: ?>, #hbm>) {
      ^bb0(%a: bf16, %b: bf16, %c: f32):
        %0 = arith.extf %a : bf16 to f32
        %1 = arith.extf %b : bf16 to f32
        %2 = arith.mulf %0, %1 : f32
        %3 = arith.addf %c, %2 : f32
        linalg.yield %3 : f32
      }
    }
    return
  }
}
}
