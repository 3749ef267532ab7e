// A contraction whose sides torch has widened to f32, as it does for a product with a bias, takes them as they are stored.
// RUN: fleet-opt %s --fleet-import-step --canonicalize --cse | FileCheck %s

#map = affine_map<(d0, d1) -> (d0, d1)>
#turned = affine_map<(d0, d1) -> (d1, d0)>
module attributes {fleet.slots = 1 : i64, fleet.context = 32 : i64, fleet.layers = 1 : i64} {
  // CHECK-LABEL: func.func @step
  // CHECK-SAME: %[[X:[a-z0-9]*]]: tensor<2x8xbf16>
  // CHECK-DAG: %[[W:.*]] = fleet.param ["w"] : tensor<4x8xbf16>
  // CHECK-DAG: %[[V:.*]] = fleet.param ["v"] : tensor<8x4xbf16>
  // CHECK: %[[T:.*]] = linalg.transpose ins(%[[W]] : tensor<4x8xbf16>) outs(%{{.*}} : tensor<8x4xbf16>) permutation = [1, 0]
  // CHECK: linalg.matmul ins(%[[X]], %[[T]] : tensor<2x8xbf16>, tensor<8x4xbf16>) outs(%{{.*}} : tensor<2x4xf32>)
  // CHECK: linalg.matmul ins(%[[X]], %[[V]] : tensor<2x8xbf16>, tensor<8x4xbf16>) outs(%{{.*}} : tensor<2x4xf32>)
  // What does more than widen stays, and so does what is read in another order, and a side whose other one is not widened.
  // CHECK: linalg.matmul ins(%{{.*}} : tensor<2x8xf32>, tensor<8x4xf32>)
  // CHECK: linalg.matmul ins(%{{.*}} : tensor<8x2xf32>, tensor<2x8xf32>)
  // CHECK: linalg.matmul ins(%{{.*}} : tensor<2x8xf32>, tensor<8x4xf32>)
  func.func @step(%x: tensor<2x8xbf16> {fleet.input = "tokens"}, %y: tensor<2x8xf32> {fleet.input = "positions"},
                  %w: tensor<4x8xbf16> {fleet.param = "w"}, %v: tensor<8x4xbf16> {fleet.param = "v"})
      -> (tensor<2x4xf32>, tensor<2x4xf32>, tensor<2x4xf32>, tensor<8x8xf32>, tensor<2x4xf32>) {
    %zero = arith.constant 0.0 : f32
    %e24 = tensor.empty() : tensor<2x4xf32>
    %sum = linalg.fill ins(%zero : f32) outs(%e24 : tensor<2x4xf32>) -> tensor<2x4xf32>
    %e28 = tensor.empty() : tensor<2x8xf32>
    %left = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel"]}
        ins(%x : tensor<2x8xbf16>) outs(%e28 : tensor<2x8xf32>) {
    ^bb0(%in: bf16, %out: f32):
      %a = arith.extf %in : bf16 to f32
      linalg.yield %a : f32
    } -> tensor<2x8xf32>
    %e48 = tensor.empty() : tensor<4x8xf32>
    %wide = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel"]}
        ins(%w : tensor<4x8xbf16>) outs(%e48 : tensor<4x8xf32>) {
    ^bb0(%in: bf16, %out: f32):
      %a = arith.extf %in : bf16 to f32
      linalg.yield %a : f32
    } -> tensor<4x8xf32>
    %e84 = tensor.empty() : tensor<8x4xf32>
    %t = linalg.transpose ins(%wide : tensor<4x8xf32>) outs(%e84 : tensor<8x4xf32>) permutation = [1, 0]
    %0 = linalg.matmul ins(%left, %t : tensor<2x8xf32>, tensor<8x4xf32>) outs(%sum : tensor<2x4xf32>) -> tensor<2x4xf32>
    %right = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel"]}
        ins(%v : tensor<8x4xbf16>) outs(%e84 : tensor<8x4xf32>) {
    ^bb0(%in: bf16, %out: f32):
      %a = arith.extf %in : bf16 to f32
      linalg.yield %a : f32
    } -> tensor<8x4xf32>
    %1 = linalg.matmul ins(%left, %right : tensor<2x8xf32>, tensor<8x4xf32>) outs(%sum : tensor<2x4xf32>) -> tensor<2x4xf32>
    %scaled = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel"]}
        ins(%v : tensor<8x4xbf16>) outs(%e84 : tensor<8x4xf32>) {
    ^bb0(%in: bf16, %out: f32):
      %a = arith.extf %in : bf16 to f32
      %b = arith.addf %a, %a : f32
      linalg.yield %b : f32
    } -> tensor<8x4xf32>
    %2 = linalg.matmul ins(%left, %scaled : tensor<2x8xf32>, tensor<8x4xf32>) outs(%sum : tensor<2x4xf32>) -> tensor<2x4xf32>
    %e82 = tensor.empty() : tensor<8x2xf32>
    %flat = linalg.generic {indexing_maps = [#turned, #map], iterator_types = ["parallel", "parallel"]}
        ins(%x : tensor<2x8xbf16>) outs(%e82 : tensor<8x2xf32>) {
    ^bb0(%in: bf16, %out: f32):
      %a = arith.extf %in : bf16 to f32
      linalg.yield %a : f32
    } -> tensor<8x2xf32>
    %e88 = tensor.empty() : tensor<8x8xf32>
    %square = linalg.fill ins(%zero : f32) outs(%e88 : tensor<8x8xf32>) -> tensor<8x8xf32>
    %3 = linalg.matmul ins(%flat, %left : tensor<8x2xf32>, tensor<2x8xf32>) outs(%square : tensor<8x8xf32>) -> tensor<8x8xf32>
    %4 = linalg.matmul ins(%y, %right : tensor<2x8xf32>, tensor<8x4xf32>) outs(%sum : tensor<2x4xf32>) -> tensor<2x4xf32>
    return %0, %1, %2, %3, %4 : tensor<2x4xf32>, tensor<2x4xf32>, tensor<2x4xf32>, tensor<8x8xf32>, tensor<2x4xf32>
  }
}
