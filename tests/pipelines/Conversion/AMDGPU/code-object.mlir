// From the head of a decoder to assembly and to a linked code object, for both chips.
// RUN: fleet-opt %S/Inputs/head.mlir --fleet-set-target=target=gfx950 --fleet-phase-import --fleet-phase-tasks --fleet-phase-chiplets --fleet-phase-tiles --fleet-phase-memory --fleet-phase-events --fleet-phase-schedule --fleet-phase-kernel --fleet-phase-target -o %t.950.mlir
// RUN: fleet-opt %S/Inputs/head.mlir --fleet-set-target=target=gfx942 --fleet-phase-import --fleet-phase-tasks --fleet-phase-chiplets --fleet-phase-tiles --fleet-phase-memory --fleet-phase-events --fleet-phase-schedule --fleet-phase-kernel --fleet-phase-target -o %t.942.mlir
// RUN: fleet-translate --to-hsaco --emit=asm %t.950.mlir | FileCheck %s --check-prefixes=CHECK,GFX950
// RUN: fleet-translate --to-hsaco --emit=asm %t.942.mlir | FileCheck %s --check-prefixes=CHECK,GFX942
// RUN: fleet-translate --to-hsaco --emit=asm %t.950.mlir | FileCheck %s --check-prefix=RELEASES
// RUN: fleet-translate --to-hsaco %t.950.mlir -o %t.hsaco
// RUN: llvm-readelf --notes %t.hsaco | FileCheck %s --check-prefix=NOTES
// RUN: fleet-translate --to-hsaco --emit=llvm %t.950.mlir | FileCheck %s --check-prefix=LLVM

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
