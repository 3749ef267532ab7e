// What one thread does before a body and what it does behind it must not make two copies of the body, one for that
// thread and one for the others: its barrier would be two.
// RUN: fleet-opt %s --fleet-gpu-finalize-llvm -o %t.mlir
// RUN: fleet-translate --to-ptx %t.mlir | FileCheck %s
// RUN: sed -e 's/, convergent}/}/;s/{convergent, /{/' %t.mlir | fleet-translate --to-ptx - | FileCheck %s --check-prefix=TWO

// CHECK-LABEL: .entry fleet_step
// CHECK: st.volatile.shared
// CHECK: bar.sync
// CHECK-NOT: bar.sync
// CHECK: st.volatile.shared

// Seen without the attribute.
// TWO-LABEL: .entry fleet_step
// TWO-COUNT-2: bar.sync
module attributes {fleet.target = #fleet.target<"sm_90a", backend = nvvm, chiplets = 1, workers = 2, lds = 232448, l2 = 1, hbm_gbs = 1, tile = 16>} {
  gpu.module @fleet {
    llvm.mlir.global internal @busy() {addr_space = 3 : i32} : i32
    llvm.func @body(%out: !llvm.ptr<1>, %x: i32) {
      %id = nvvm.read.ptx.sreg.tid.x : i32
      %at = llvm.getelementptr %out[%id] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, i32
      llvm.store %x, %at : i32, !llvm.ptr<1>
      nvvm.barrier
      llvm.return
    }
    llvm.func @dispatch(%out: !llvm.ptr<1>, %task: i32) {
      %zero = llvm.mlir.constant(0 : i32) : i32
      %one = llvm.mlir.constant(1 : i32) : i32
      %busy = llvm.mlir.addressof @busy : !llvm.ptr<3>
      %id = nvvm.read.ptx.sreg.tid.x : i32
      %first = llvm.icmp "eq" %id, %zero : i32
      llvm.cond_br %first, ^begin, ^run
    ^begin:
      llvm.store volatile %one, %busy : i32, !llvm.ptr<3>
      llvm.br ^run
    ^run:
      llvm.call @body(%out, %task) : (!llvm.ptr<1>, i32) -> ()
      llvm.cond_br %first, ^end, ^done
    ^end:
      llvm.store volatile %zero, %busy : i32, !llvm.ptr<3>
      llvm.br ^done
    ^done:
      llvm.return
    }
    llvm.func @fleet_step(%out: !llvm.ptr<1>, %task: i32) attributes {nvvm.kernel, nvvm.maxntid = array<i32: 256, 1, 1>} {
      llvm.call @dispatch(%out, %task) : (!llvm.ptr<1>, i32) -> ()
      llvm.return
    }
  }
}
