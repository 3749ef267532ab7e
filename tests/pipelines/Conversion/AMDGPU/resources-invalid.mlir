// RUN: split-file %s %t
// RUN: not fleet-translate --to-hsaco %t/lds.mlir -o %t/k 2>&1 | FileCheck %s --check-prefix=LDS
// RUN: not fleet-translate --to-hsaco %t/scratch.mlir -o %t/k 2>&1 | FileCheck %s --check-prefix=SCRATCH
// RUN: sed 's/registers = 1024/registers = 256/' %t/fits.mlir > %t/registers.mlir
// RUN: not fleet-translate --to-hsaco %t/registers.mlir -o %t/k 2>&1 | FileCheck %s --check-prefix=REGISTERS
// RUN: sed 's/simds = 4/simds = 1/; s/waves = 8/waves = 3/' %t/fits.mlir > %t/waves.mlir
// RUN: not fleet-translate --to-hsaco %t/waves.mlir -o %t/k 2>&1 | FileCheck %s --check-prefix=WAVES
// RUN: sed 's/workers = 8/workers = 9/' %t/fits.mlir > %t/workers.mlir
// RUN: not fleet-translate --to-hsaco %t/workers.mlir -o %t/k 2>&1 | FileCheck %s --check-prefix=WORKERS
// RUN: fleet-translate --to-hsaco %t/fits.mlir -o %t/k

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

//--- fits.mlir
// A workgroup of 4 waves, 264 registers each as it asks for a SIMD of its own, and 4 KiB of LDS. Two fit on each of 4 units.
// REGISTERS: error: expected a kernel whose workgroup of 4 waves is resident on a unit of 4 SIMDs with 256 registers a lane, found 264 registers a wave: choose a smaller number of rows per step
// WAVES: error: expected a workgroup of at most 3 waves, so that it is resident on a unit, found 4
// WORKERS: error: expected at most 8 workers of a chiplet, so that all are resident on its 4 units, found 9: choose a target with fewer workers
module attributes {fleet.target = #fleet.target<"gfx942", backend = rocdl, chiplets = 8, workers = 8, lds = 8192, l2 = 1, hbm_gbs = 1, tile = 16, units = 4, simds = 4, registers = 1024, waves = 8>} {
  llvm.mlir.global internal @buffer() {addr_space = 3 : i32} : !llvm.array<1024 x i32> {
    %0 = llvm.mlir.undef : !llvm.array<1024 x i32>
    llvm.return %0 : !llvm.array<1024 x i32>
  }
  llvm.func @fleet_step(%p: !llvm.ptr<1>, %i: i32) attributes {gpu.kernel, rocdl.kernel, rocdl.flat_work_group_size = "256,256", rocdl.reqd_work_group_size = array<i32: 256, 1, 1>} {
    %0 = llvm.mlir.addressof @buffer : !llvm.ptr<3>
    %1 = llvm.getelementptr %0[%i] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, i32
    llvm.store volatile %i, %1 : i32, !llvm.ptr<3>
    llvm.return
  }
}
