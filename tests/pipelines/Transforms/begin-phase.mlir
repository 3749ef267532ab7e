// RUN: fleet-opt %s --fleet-begin-phase=expect=import | FileCheck %s
// RUN: not fleet-opt %s --fleet-begin-phase=expect=memory 2>&1 | FileCheck %s --check-prefix=WRONG
// RUN: not fleet-opt %s --fleet-phase-import 2>&1 | FileCheck %s --check-prefix=AGAIN
// RUN: not fleet-opt %s --fleet-phase-chiplets 2>&1 | FileCheck %s --check-prefix=SKIPPED

// CHECK: func @step
// WRONG: error: expected a module in phase memory, found import
// AGAIN: error: expected a module in phase raw, found import
// SKIPPED: error: expected a module in phase tasks, found import
module attributes {fleet.phase = "import", fleet.target = #fleet.target<"cpu", backend = llvm, chiplets = 1, workers = 1, lds = 1, l2 = 1, hbm_gbs = 1, tile = 64>} {
  func.func @step() {
    return
  }
}
