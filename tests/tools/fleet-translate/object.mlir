// REQUIRES: fleet-translate
// RUN: fleet-translate --to-object --cpu=x86-64-v3 %s -o %t.o
// RUN: llvm-nm %t.o | FileCheck %s --check-prefix=SYMBOLS
// RUN: fleet-translate --to-object --cpu=x86-64-v3 --emit=asm %s | FileCheck %s --check-prefix=ASM
// RUN: fleet-translate --to-object --cpu=x86-64-v3 --emit=llvm %s | FileCheck %s --check-prefix=LLVM
// RUN: fleet-translate --to-object --emit=obj %s -o %t.native.o
// RUN: llvm-nm %t.native.o | FileCheck %s --check-prefix=SYMBOLS

// SYMBOLS-NOT: U
// SYMBOLS: T fleet_step
// SYMBOLS-NOT: U
// ASM: fleet_step:
// ASM: vfmadd
// LLVM: define void @fleet_step(
// LLVM: call <8 x float> @llvm.fma.v8f32
// LLVM: attributes #{{.*}} "no-builtins" {{.*}} "target-cpu"="x86-64-v3"
llvm.func @fleet_step(%x: !llvm.ptr, %y: !llvm.ptr) {
  %a = llvm.load %x : !llvm.ptr -> vector<8xf32>
  %b = llvm.load %y : !llvm.ptr -> vector<8xf32>
  %c = llvm.intr.fma(%a, %b, %b) : (vector<8xf32>, vector<8xf32>, vector<8xf32>) -> vector<8xf32>
  llvm.store %c, %y : vector<8xf32>, !llvm.ptr
  llvm.return
}
