// RUN: fleet-opt %s --fleet-import-step --canonicalize --cse | FileCheck %s

// Parameters come as values of their names, caches as states of their layer, calls as named ops;
// the axis of one batch is gone from the element-wise ops.
// CHECK: module attributes
// CHECK-NOT: func private
// CHECK: func.func @step(%[[TOK:[a-z0-9]*]]: tensor<2xi32> {fleet.input = "tokens"}, %[[POS:[a-z0-9]*]]: tensor<2xi32> {fleet.input = "positions"}, %[[SLOT:[a-z0-9]*]]: tensor<2xi32> {fleet.input = "slots"}) -> tensor<2xi32>
// CHECK-DAG: %[[E:.*]] = fleet.param ["embed"] : tensor<9x16xf32>
// CHECK-DAG: %[[N:.*]] = fleet.param ["norm"] : tensor<16xf32>
// CHECK-DAG: %[[C:.*]] = fleet.param ["cos"] : tensor<2x8xf32>
// CHECK: fleet.gather ins(%[[E]], %[[TOK]] : tensor<9x16xf32>, tensor<2xi32>) outs(%{{.*}} : tensor<2x16xf32>)
// CHECK: linalg.generic {{.*}} outs(%{{.*}} : tensor<2x16xf32>)
// CHECK: math.exp
// CHECK: fleet.rms_norm ins(%{{.*}}, %[[N]] : tensor<2x16xf32>, tensor<16xf32>) {{.*}} {eps = 1.000000e-05 : f64}
// CHECK: fleet.layer_norm ins(%{{.*}}, %[[N]], %[[N]] : {{.*}} {eps = 1.250000e-01 : f64}
// CHECK: fleet.rope ins(%{{.*}}, %[[C]], %[[C]] : tensor<2x2x8xf32>, tensor<2x8xf32>, tensor<2x8xf32>)
// CHECK: %[[KC:.*]] = fleet.state "k_cache" layer 5 : memref<3x2x32x8xf32, #fleet.mem<hbm>>
// CHECK: %[[VC:.*]] = fleet.state "v_cache" layer 5 : memref<3x2x32x8xf32, #fleet.mem<hbm>>
// CHECK: fleet.attention ins(%{{.*}}, %{{.*}}, %{{.*}}, %[[SLOT]], %[[POS]], %[[KC]], %[[VC]] : {{.*}}) outs({{.*}}) {scale = 2.500000e-01 : f64}
// CHECK: fleet.argmax ins(%{{.*}} : tensor<2x16xf32>) outs(%{{.*}} : tensor<2xi32>)
#batch = affine_map<(d0, d1, d2) -> (d0, d1, d2)>
module attributes {fleet.slots = 3 : i64, fleet.context = 32 : i64, fleet.layers = 6 : i64} {
  func.func private @f0(tensor<9x16xf32>, tensor<2xi32>) -> tensor<2x16xf32> attributes {fleet.op = "gather"}
  func.func private @f1(tensor<2x16xf32>, tensor<16xf32>) -> tensor<2x16xf32> attributes {fleet.op = "rms_norm", eps = 1.0e-5 : f64}
  func.func private @f2(tensor<2x16xf32>, tensor<16xf32>, tensor<16xf32>) -> tensor<2x16xf32> attributes {fleet.op = "layer_norm", eps = 0.125 : f64}
  func.func private @f3(tensor<2x2x8xf32>, tensor<2x8xf32>, tensor<2x8xf32>) -> tensor<2x2x8xf32> attributes {fleet.op = "rope"}
  func.func private @f4(tensor<2x2x8xf32>, tensor<2x2x8xf32>, tensor<2x2x8xf32>, tensor<2xi32>, tensor<2xi32>) -> tensor<2x2x8xf32> attributes {fleet.op = "attention", layer = 5 : i64, scale = 0.25 : f64}
  func.func private @f5(tensor<2x16xf32>) -> tensor<2xi32> attributes {fleet.op = "argmax"}
  func.func @step(%tokens: tensor<2xi32> {fleet.input = "tokens"}, %positions: tensor<2xi32> {fleet.input = "positions"},
                  %slots: tensor<2xi32> {fleet.input = "slots"}, %embed: tensor<9x16xf32> {fleet.param = "embed"},
                  %norm: tensor<16xf32> {fleet.param = "norm"}, %cos: tensor<2x8xf32> {fleet.param = "cos"}) -> tensor<2xi32> {
    %0 = call @f0(%embed, %tokens) : (tensor<9x16xf32>, tensor<2xi32>) -> tensor<2x16xf32>
    %1 = tensor.expand_shape %0 [[0, 1], [2]] output_shape [1, 2, 16] : tensor<2x16xf32> into tensor<1x2x16xf32>
    %e = tensor.empty() : tensor<1x2x16xf32>
    %2 = linalg.generic {indexing_maps = [#batch, #batch], iterator_types = ["parallel", "parallel", "parallel"]}
        ins(%1 : tensor<1x2x16xf32>) outs(%e : tensor<1x2x16xf32>) {
    ^bb0(%x: f32, %out: f32):
      %y = math.exp %x : f32
      linalg.yield %y : f32
    } -> tensor<1x2x16xf32>
    %3 = tensor.collapse_shape %2 [[0, 1], [2]] : tensor<1x2x16xf32> into tensor<2x16xf32>
    %4 = call @f1(%3, %norm) : (tensor<2x16xf32>, tensor<16xf32>) -> tensor<2x16xf32>
    %5 = call @f2(%4, %norm, %norm) : (tensor<2x16xf32>, tensor<16xf32>, tensor<16xf32>) -> tensor<2x16xf32>
    %6 = tensor.expand_shape %5 [[0], [1, 2]] output_shape [2, 2, 8] : tensor<2x16xf32> into tensor<2x2x8xf32>
    %7 = call @f3(%6, %cos, %cos) : (tensor<2x2x8xf32>, tensor<2x8xf32>, tensor<2x8xf32>) -> tensor<2x2x8xf32>
    %8 = call @f4(%7, %7, %6, %slots, %positions) : (tensor<2x2x8xf32>, tensor<2x2x8xf32>, tensor<2x2x8xf32>, tensor<2xi32>, tensor<2xi32>) -> tensor<2x2x8xf32>
    %9 = tensor.collapse_shape %8 [[0], [1, 2]] : tensor<2x2x8xf32> into tensor<2x16xf32>
    %10 = call @f5(%9) : (tensor<2x16xf32>) -> tensor<2xi32>
    return %10 : tensor<2xi32>
  }
}
