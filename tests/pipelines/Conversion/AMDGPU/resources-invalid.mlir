// RUN: split-file %s %t
// RUN: not fleet-translate --to-hsaco %t/lds.mlir -o %t/k 2>&1 | FileCheck %s --check-prefix=LDS
// RUN: not fleet-translate --to-hsaco %t/scratch.mlir -o %t/k 2>&1 | FileCheck %s --check-prefix=SCRATCH

//--- lds.mlir
// LDS: error: expected a kernel with at most 1024 bytes of LDS, so that all its workgroups are resident, found 4096: choose a smaller number of rows per step
module attributes {fleet.target = #fleet.target<"gfx942", backend = rocdl, chiplets = 8, workers = 4, lds = 1024, l2 = 1, hbm_gbs = 1, tile = 16>} {
  llvm.mlir.global internal @buffer() {addr_space = 3 : i32} : !llvm.array<1024 x i32> {
    %0 = llvm.mlir.undef : !llvm.array<1024 x i32>
    llvm.return %0 : !llvm.array<1024 x i32>
  }
  llvm.func @fleet_step(%p: !llvm.ptr<1>, %i: i32) attributes {gpu.kernel, rocdl.kernel} {
    %0 = llvm.mlir.addressof @buffer : !llvm.ptr<3>
    %1 = llvm.getelementptr %0[%i] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, i32
    llvm.store volatile %i, %1 : i32, !llvm.ptr<3>
    llvm.return
  }
}

//--- scratch.mlir
// SCRATCH: error: expected a kernel whose values fit in registers, found {{[0-9]+}} bytes of memory a thread: choose a smaller number of rows per step
module attributes {fleet.target = #fleet.target<"gfx942", backend = rocdl, chiplets = 8, workers = 4, lds = 1024, l2 = 1, hbm_gbs = 1, tile = 16>} {
  llvm.func @fleet_step(%p: !llvm.ptr<1>, %i: i32) attributes {gpu.kernel, rocdl.kernel} {
    %c = llvm.mlir.constant(4096 : i32) : i32
    %0 = llvm.alloca %c x i32 : (i32) -> !llvm.ptr<5>
    %1 = llvm.getelementptr %0[%i] : (!llvm.ptr<5>, i32) -> !llvm.ptr<5>, i32
    llvm.store volatile %i, %1 : i32, !llvm.ptr<5>
    llvm.return
  }
}
