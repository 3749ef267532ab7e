// REQUIRES: fleet-translate
// RUN: split-file %s %t
// RUN: not fleet-translate --to-object %t/calls.mlir -o %t/calls.o 2>&1 | FileCheck %t/calls.mlir
// RUN: not ls %t/calls.o
// RUN: not fleet-translate --to-object --cpu=i9 %t/good.mlir 2>&1 | FileCheck %t/good.mlir --check-prefix=CPU
// RUN: not fleet-translate --to-object %t/dialect.mlir 2>&1 | FileCheck %t/dialect.mlir
// RUN: not fleet-translate --to-object %t/syntax.mlir 2>&1 | FileCheck %t/syntax.mlir
// RUN: not fleet-translate --to-object %t/none.mlir 2>&1 | FileCheck %t/good.mlir --check-prefix=NONE
// RUN: not fleet-translate --to-object %t/good.mlir -o %t/no/such/folder.o 2>&1 | FileCheck %t/good.mlir --check-prefix=FOLDER
// RUN: not fleet-translate %t/good.mlir 2>&1 | FileCheck %t/good.mlir --check-prefix=KIND
// RUN: not fleet-translate --to-object --to-manifest %t/good.mlir 2>&1 | FileCheck %t/good.mlir --check-prefix=KIND

//--- good.mlir
// CPU: error: cannot emit code: unknown cpu 'i9'
// NONE: error: cannot open input file '{{.*}}none.mlir'
// FOLDER: error: cannot open output file '{{.*}}folder.o'
// KIND: error: expected one of --to-object
llvm.func @fleet_step() {
  llvm.return
}

//--- calls.mlir
// Nothing resolves symbols where the object runs.
// CHECK: error: the object needs the undefined symbol 'expf'
llvm.func @expf(f32) -> f32
llvm.func @fleet_step(%x: f32) -> f32 {
  %0 = llvm.call @expf(%x) : (f32) -> f32
  llvm.return %0 : f32
}

//--- dialect.mlir
// CHECK: error: cannot be converted to LLVM IR
func.func @fleet_step() {
  return
}

//--- syntax.mlir
// CHECK: error: expected
llvm.func @fleet_step(
