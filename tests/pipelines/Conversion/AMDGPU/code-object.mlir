// From the head of a decoder to assembly and to a linked code object, for both chips.
// RUN: fleet-opt %S/Inputs/head.mlir --fleet-set-target=target=gfx950 --fleet-phase-import --fleet-phase-tasks --fleet-phase-chiplets --fleet-phase-tiles --fleet-phase-memory --fleet-phase-events --fleet-phase-schedule --fleet-phase-kernel --fleet-phase-target -o %t.950.mlir
// RUN: fleet-opt %S/Inputs/head.mlir --fleet-set-target=target=gfx942 --fleet-phase-import --fleet-phase-tasks --fleet-phase-chiplets --fleet-phase-tiles --fleet-phase-memory --fleet-phase-events --fleet-phase-schedule --fleet-phase-kernel --fleet-phase-target -o %t.942.mlir
// RUN: fleet-translate --to-hsaco --emit=asm %t.950.mlir | FileCheck %s --check-prefixes=CHECK,GFX950
// RUN: fleet-translate --to-hsaco --emit=asm %t.942.mlir | FileCheck %s --check-prefixes=CHECK,GFX942
// RUN: fleet-translate --to-hsaco --emit=asm %t.950.mlir | FileCheck %s --check-prefix=RELEASES
// RUN: fleet-translate --to-hsaco %t.950.mlir -o %t.hsaco
// RUN: llvm-readelf --notes %t.hsaco | FileCheck %s --check-prefix=NOTES
// RUN: fleet-translate --to-hsaco --emit=llvm %t.950.mlir | FileCheck %s --check-prefix=LLVM

// A contraction long enough for a loop: its blocks hold matrix instructions and loads of 16 bytes, and nothing waits for all loads.
// RUN: sed 's/64xbf16/4096xbf16/g; s/<64x512/<4096x512/g' %S/Inputs/head.mlir > %t.deep.mlir
// RUN: fleet-opt %t.deep.mlir --fleet-set-target=target=gfx950 --fleet-phase-import --fleet-phase-tasks --fleet-phase-chiplets --fleet-phase-tiles --fleet-phase-memory --fleet-phase-events --fleet-phase-schedule --fleet-phase-kernel --fleet-phase-target -o %t.deep950.mlir
// RUN: fleet-opt %t.deep.mlir --fleet-set-target=target=gfx942 --fleet-phase-import --fleet-phase-tasks --fleet-phase-chiplets --fleet-phase-tiles --fleet-phase-memory --fleet-phase-events --fleet-phase-schedule --fleet-phase-kernel --fleet-phase-target -o %t.deep942.mlir
// RUN: fleet-translate --to-hsaco --emit=asm %t.deep950.mlir -o %t.deep950.s
// RUN: fleet-translate --to-hsaco --emit=asm %t.deep942.mlir -o %t.deep942.s
// RUN: FileCheck %s --check-prefix=GEMM950 --input-file=%t.deep950.s
// RUN: FileCheck %s --check-prefix=GEMM942 --input-file=%t.deep942.s
// Nothing but the ring of gfx950 uses M0.
// RUN: sed '/s_mov_b32 m0, /d' %t.deep950.s | FileCheck %s --check-prefix=M0 --implicit-check-not=m0

// GEMM950: s_waitcnt vmcnt({{[1-9][0-9]+}})
// GEMM950-NEXT: ;;#ASMEND
// GEMM950-NOT: {{^}}.LBB
// GEMM950: ds_read_b128
// GEMM950-NOT: {{^}}.LBB
// GEMM950: v_mfma_f32_16x16x32_bf16
// GEMM950-NOT: {{^}}.LBB
// GEMM950: ;;#ASMSTART
// GEMM950-NEXT: s_waitcnt lgkmcnt(0)
// GEMM950-NEXT: s_mov_b32 m0, {{s[0-9]|vcc}}
// GEMM950-NEXT: s_nop 4
// GEMM950-NEXT: global_load_lds_dwordx4 v{{[0-9]+}}, {{s\[|vcc}}
// GEMM950-NOT: {{^}}.LBB
// GEMM950-NOT: s_waitcnt vmcnt
// GEMM950: s_cbranch
// GEMM950: .amdhsa_private_segment_fixed_size 0
// GEMM950: .sgpr_spill_count: 0
// GEMM950: .vgpr_spill_count: 0

// GEMM942: v_mfma_f32_16x16x16_bf16
// GEMM942-NOT: {{^}}.LBB
// GEMM942-NOT: s_waitcnt vmcnt(0)
// GEMM942: global_load_dwordx4
// GEMM942-NOT: {{^}}.LBB
// GEMM942-NOT: s_waitcnt vmcnt(0)
// GEMM942: s_cbranch
// GEMM942-NOT: global_load_lds
// GEMM942: .amdhsa_private_segment_fixed_size 0
// GEMM942: .sgpr_spill_count: 0
// GEMM942: .vgpr_spill_count: 0

// M0: fleet_step:
// M0: s_endpgm

// LLVM: define amdgpu_kernel void @fleet_step(ptr addrspace(1) {{.*}}, i32 %5)
// LLVM-NOT: {{^}}define

// GFX950: .amdgcn_target "amdgcn-amd-amdhsa--gfx950"
// GFX942: .amdgcn_target "amdgcn-amd-amdhsa--gfx942"
// CHECK: fleet_step:
// CHECK: s_getreg_b32 s{{[0-9]+}}, hwreg(HW_REG_XCC_ID, 0, 4)
// CHECK-DAG: s_sleep 1
// CHECK-DAG: buffer_inv sc1
// CHECK-DAG: global_load_dwordx4
// GFX950-DAG: v_mfma_f32_16x16x32_bf16
// GFX942-DAG: v_mfma_f32_16x16x16_bf16
// CHECK-NOT: scratch_
// CHECK: .end_amdhsa_kernel

// The counts of a launch are tested where one runs: a write-back for each producing chiplet and event.
// One write-back in the code of a device signal; the other belongs to the report of a worker that gives up.
// Nothing passes between it and the end of its wait.
// RELEASES: buffer_wbl2 sc1
// RELEASES-NOT: global_
// RELEASES: s_waitcnt vmcnt(0)
// RELEASES: global_atomic_add {{.*}} sc1
// RELEASES-NOT: buffer_wbl2 sc1
// RELEASES: .end_amdhsa_kernel

// NOTES: .group_segment_fixed_size:
// NOTES: .max_flat_workgroup_size: 256
// NOTES: .name: fleet_step
// NOTES: .private_segment_fixed_size: 0
// NOTES: .sgpr_spill_count: 0
// NOTES: .vgpr_spill_count: 0
