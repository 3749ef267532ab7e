// Conversions and functions of f32 as single instructions.
// RUN: fleet-opt %s --pass-pipeline="builtin.module(gpu.module(fleet-nvgpu-lower-math))" | FileCheck %s

gpu.module @fleet attributes {fleet.threads = 256 : i64, fleet.lanes = 32 : i64} {
  // Two values a conversion; an odd one alone.
  // CHECK-LABEL: func @narrow
  // CHECK-COUNT-2: cvt.rn.bf16x2.f32
  // CHECK: vector.bitcast %{{.*}} : vector<2xi32> to vector<4xbf16>
  // CHECK: cvt.rn.bf16x2.f32
  // CHECK: arith.trunci %{{.*}} : i32 to i16
  // CHECK-NOT: arith.truncf
  // CHECK: return
  func.func @narrow(%x: vector<4xf32>, %y: f32) -> (vector<4xbf16>, bf16) {
    %a = arith.truncf %x : vector<4xf32> to vector<4xbf16>
    %b = arith.truncf %y : f32 to bf16
    return %a, %b : vector<4xbf16>, bf16
  }
  // CHECK-LABEL: func @wide
  // CHECK: vector.bitcast %{{.*}} : vector<4xbf16> to vector<2xi32>
  // CHECK-COUNT-4: arith.bitcast %{{.*}} : i32 to f32
  // CHECK: arith.shli
  // CHECK-NOT: arith.extf
  // CHECK: return
  func.func @wide(%x: vector<4xbf16>, %y: bf16) -> (vector<4xf32>, f32) {
    %a = arith.extf %x : vector<4xbf16> to vector<4xf32>
    %b = arith.extf %y : bf16 to f32
    return %a, %b : vector<4xf32>, f32
  }
  // CHECK-LABEL: func @functions
  // CHECK: div.full.ftz.f32
  // CHECK: rsqrt.approx.ftz.f32
  // CHECK: ex2.approx.ftz.f32
  // CHECK: return
  func.func @functions(%x: f32, %y: f32) -> (f32, f32, f32) {
    %one = arith.constant 1.0 : f32
    %a = arith.divf %x, %y : f32
    %root = math.sqrt %x : f32
    %b = arith.divf %one, %root : f32
    %c = math.exp %x : f32
    return %a, %b, %c : f32, f32, f32
  }
  // A division by a constant, other types and more dimensions are left.
  // CHECK-LABEL: func @left
  // CHECK: arith.divf
  // CHECK: arith.truncf
  // CHECK: math.exp
  func.func @left(%x: f32, %y: f64, %z: vector<2x2xf32>) -> (f32, f32, vector<2x2xf32>) {
    %three = arith.constant 3.0 : f32
    %a = arith.divf %x, %three : f32
    %b = arith.truncf %y : f64 to f32
    %c = math.exp %z : vector<2x2xf32>
    return %a, %b, %c : f32, f32, vector<2x2xf32>
  }
}
