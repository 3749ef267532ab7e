// RUN: not fleet-translate --to-hsaco %s 2>&1 | FileCheck %s
// RUN: not fleet-translate --to-hsaco --cpu=gfx1 %s 2>&1 | FileCheck %s --check-prefix=CHIP
// RUN: not fleet-translate --to-hsaco --to-object %s 2>&1 | FileCheck %s --check-prefix=ONE

// CHECK: error: expected a module with an AMD target, or a chip by name
// CHIP: error: cannot emit code: unknown chip 'gfx1'
// ONE: error: expected one of --to-object
module {
  llvm.func @fleet_step() {
    llvm.return
  }
}
