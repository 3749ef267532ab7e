// RUN: fleet-opt %s --fleet-cpu-finalize-llvm | FileCheck %s

// Everything but the entry is internal.
// CHECK: llvm.mlir.global internal constant @table(dense<[1, 2]> : tensor<2xi32>)
llvm.mlir.global private constant @table(dense<[1, 2]> : tensor<2xi32>) : !llvm.array<2 x i32>

// bf16 constants are their bits: 1.0 is 0x3f80.
// CHECK: llvm.mlir.global internal constant @weights(dense<[16256, -16384]> : tensor<2xi16>) {{.*}}: !llvm.array<2 x i16>
llvm.mlir.global private constant @weights(dense<[1.0, -2.0]> : tensor<2xbf16>) : !llvm.array<2 x bf16>

// The second pointer of each buffer is the one accessed: no two of a body alias. Bodies are not inlined into each other.
// CHECK: llvm.func internal @body(%{{.*}}: !llvm.ptr, %{{.*}}: !llvm.ptr {llvm.noalias}, %{{.*}}: i64, %{{.*}}: !llvm.ptr, %{{.*}}: !llvm.ptr {llvm.noalias})
// CHECK-SAME: no_inline
// CHECK-NOT: fleet.body
// CHECK: llvm.mlir.constant(16256 : i16) : i16
// CHECK: llvm.load {{.*}} -> vector<16xi16>
// CHECK-NOT: bf16
// CHECK: llvm.return
llvm.func @body(%a: !llvm.ptr, %x: !llvm.ptr, %n: i64, %b: !llvm.ptr, %y: !llvm.ptr) attributes {fleet.body} {
  %one = llvm.mlir.constant(1.0 : bf16) : bf16
  llvm.store %one, %y : bf16, !llvm.ptr
  %v = llvm.load %x : !llvm.ptr -> vector<16xbf16>
  llvm.store %v, %y : vector<16xbf16>, !llvm.ptr
  llvm.return
}

// CHECK: llvm.func internal @dispatch(%{{.*}}: !llvm.ptr, %{{.*}}: !llvm.ptr) {
llvm.func @dispatch(%a: !llvm.ptr, %x: !llvm.ptr) {
  llvm.return
}

// CHECK: llvm.func @fleet_step(
llvm.func @fleet_step(%a: !llvm.ptr, %x: !llvm.ptr) {
  llvm.return
}
