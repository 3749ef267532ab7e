// The step of tests/docs on an NVIDIA GPU, all the way to PTX.
// RUN: fleet-opt %S/../../../docs/step.mlir --fleet-set-target=target=sm_90a --fleet-phase-import --fleet-phase-tasks \
// RUN:   --fleet-phase-chiplets --fleet-phase-tiles --fleet-phase-memory --fleet-phase-events --fleet-phase-schedule \
// RUN:   --fleet-phase-kernel --fleet-phase-target -o %t.mlir
// RUN: fleet-translate --to-ptx %t.mlir -o %t.ptx
// RUN: FileCheck %s --input-file=%t.ptx
// RUN: FileCheck %s --input-file=%t.ptx --check-prefix=SHARED

// CHECK: .target sm_90a
// CHECK: .visible .entry fleet_step(
// CHECK-DAG: ld.acquire.gpu
// CHECK-DAG: mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32
// CHECK-DAG: ldmatrix.sync.aligned
// CHECK-DAG: cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes
// CHECK-DAG: mbarrier.try_wait.parity
// CHECK-DAG: bar.sync

// One array of shared memory, whose size the launch gives.
// SHARED-NOT: .shared .align
// SHARED: .extern .shared .align 128 .b8 fleet_shared[];
// SHARED-NOT: .shared .align
// SHARED-NOT: .extern

// RUN: FileCheck %s --input-file=%t.mlir --check-prefix=TARGET
// TARGET: history = {{[0-9]+}} : i64
// TARGET-SAME: most_steps = 64 : i64
// TARGET-SAME: shared = {{[0-9]+}} : i64
// TARGET-SAME: threads = 384 : i64
// TARGET-SAME: fleet.phase = "target"
// TARGET: llvm.func @fleet_step(
