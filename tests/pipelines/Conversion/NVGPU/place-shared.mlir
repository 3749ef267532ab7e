// RUN: fleet-opt %s --fleet-nvgpu-place-shared | FileCheck %s

// Arrays begin at multiples of 128 bytes of one array whose size the manifest says, with the threads of the kernel.
// CHECK: module attributes {fleet.manifest = {shared = 384 : i64, threads = 288 : i64, tokens = 1 : i64}
// CHECK-NEXT: llvm.mlir.global external @fleet_shared() {addr_space = 3 : i32, alignment = 128 : i64} : !llvm.array<0 x i8>
// CHECK-NEXT: llvm.mlir.global internal constant @queues
// CHECK-NEXT: llvm.func @fleet_step
// CHECK: %[[A:.*]] = llvm.mlir.addressof @fleet_shared : !llvm.ptr<3>
// CHECK: %[[SCRATCH:.*]] = llvm.getelementptr %[[A]][0] : (!llvm.ptr<3>) -> !llvm.ptr<3>, i8
// CHECK: llvm.store %{{.*}}, %[[SCRATCH]]
// CHECK: %[[B:.*]] = llvm.mlir.addressof @fleet_shared : !llvm.ptr<3>
// CHECK: %[[EXPIRED:.*]] = llvm.getelementptr %[[B]][256] : (!llvm.ptr<3>) -> !llvm.ptr<3>, i8
// CHECK: llvm.store %{{.*}}, %[[EXPIRED]]
// CHECK: llvm.mlir.addressof @queues
module attributes {fleet.target = #fleet.target<"sm_90a", backend = nvvm, chiplets = 1, workers = 2, lds = 4096, l2 = 1, hbm_gbs = 1, tile = 16>,
                   fleet.manifest = {threads = 256 : i64, tokens = 1 : i64}} {
  llvm.mlir.global internal @scratch() {addr_space = 3 : i32, alignment = 16 : i64} : !llvm.array<130 x i8>
  llvm.mlir.global internal @expired() {addr_space = 3 : i32} : !llvm.array<2 x i32>
  llvm.mlir.global internal constant @queues(dense<[1, 2]> : tensor<2xi32>) {addr_space = 1 : i32} : !llvm.array<2 x i32>
  llvm.func @fleet_step(%out: !llvm.ptr<1>) attributes {nvvm.kernel, nvvm.maxntid = array<i32: 288, 1, 1>} {
    %zero = llvm.mlir.constant(0 : i32) : i32
    %a = llvm.mlir.addressof @scratch : !llvm.ptr<3>
    llvm.store %zero, %a : i32, !llvm.ptr<3>
    %b = llvm.mlir.addressof @expired : !llvm.ptr<3>
    llvm.store %zero, %b : i32, !llvm.ptr<3>
    %c = llvm.mlir.addressof @queues : !llvm.ptr<1>
    %q = llvm.load %c : !llvm.ptr<1> -> i32
    llvm.store %q, %out : i32, !llvm.ptr<1>
    llvm.return
  }
}
