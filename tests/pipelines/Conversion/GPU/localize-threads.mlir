// RUN: fleet-opt %s --pass-pipeline="builtin.module(gpu.module(fleet-gpu-localize-threads))" | FileCheck %s

gpu.module @fleet attributes {fleet.threads = 256 : i64, fleet.lanes = 64 : i64} {
  // CHECK-LABEL: llvm.func @body
  // CHECK: %[[ID:.*]] = rocdl.workitem.id.x : i32
  // CHECK: %[[HIDDEN:.*]] = llvm.inline_asm has_side_effects "", "=v,0" %[[ID]]
  // CHECK: %[[MASK:.*]] = llvm.mlir.constant(255 : i32)
  // CHECK: %[[OWN:.*]] = llvm.and %[[HIDDEN]], %[[MASK]]
  // CHECK-NOT: rocdl.workitem.id.x
  // CHECK: llvm.add %[[OWN]], %[[OWN]]
  llvm.func @body() -> i32 {
    %0 = rocdl.workitem.id.x : i32
    %1 = rocdl.workitem.id.x : i32
    %2 = llvm.add %0, %1 : i32
    llvm.return %2 : i32
  }
  // CHECK-LABEL: llvm.func @nvidia
  // CHECK: %[[ID:.*]] = nvvm.read.ptx.sreg.tid.x : i32
  // CHECK: %[[HIDDEN:.*]] = llvm.inline_asm has_side_effects "", "=r,0" %[[ID]]
  // CHECK: %[[MASK:.*]] = llvm.mlir.constant(255 : i32)
  // CHECK: %[[OWN:.*]] = llvm.and %[[HIDDEN]], %[[MASK]]
  // CHECK-NOT: nvvm.read.ptx.sreg.tid.x
  // CHECK: llvm.add %[[OWN]], %[[OWN]]
  llvm.func @nvidia() -> i32 {
    %0 = nvvm.read.ptx.sreg.tid.x range <i32, 0, 384> : i32
    %1 = nvvm.read.ptx.sreg.tid.x range <i32, 0, 384> : i32
    %2 = llvm.add %0, %1 : i32
    llvm.return %2 : i32
  }
  // CHECK-LABEL: llvm.func @fleet_step
  // CHECK-NOT: llvm.inline_asm
  llvm.func @fleet_step() -> i32 {
    %0 = rocdl.workitem.id.x : i32
    llvm.return %0 : i32
  }
}
