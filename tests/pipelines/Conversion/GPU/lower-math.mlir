// RUN: fleet-opt %s --pass-pipeline="builtin.module(gpu.module(fleet-gpu-lower-math))" | FileCheck %s

gpu.module @fleet {
  // CHECK-LABEL: func @functions
  // CHECK: %[[SCALED:.*]] = arith.mulf %{{.*}}, %{{.*}} : vector<4xf32>
  // CHECK: llvm.call_intrinsic "llvm.exp2"(%[[SCALED]])
  // CHECK: llvm.call_intrinsic "llvm.floor"
  // CHECK: llvm.call_intrinsic "llvm.roundeven"
  // CHECK: llvm.call_intrinsic "llvm.sqrt"
  // CHECK: llvm.call_intrinsic "llvm.fma"
  // CHECK: llvm.call_intrinsic "llvm.fabs"
  // CHECK: llvm.call_intrinsic "llvm.copysign"
  // CHECK: math.tanh
  func.func @functions(%x: vector<4xf32>) -> vector<4xf32> {
    %0 = math.exp %x : vector<4xf32>
    %1 = math.floor %0 : vector<4xf32>
    %2 = math.roundeven %1 : vector<4xf32>
    %3 = math.sqrt %2 : vector<4xf32>
    %4 = math.fma %3, %x, %x : vector<4xf32>
    %5 = math.absf %4 : vector<4xf32>
    %6 = math.copysign %5, %x : vector<4xf32>
    %7 = math.tanh %6 : vector<4xf32>
    return %7 : vector<4xf32>
  }
}
