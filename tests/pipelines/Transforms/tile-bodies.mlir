// RUN: fleet-opt %s --fleet-tile-bodies --canonicalize --cse | FileCheck %s

// A contraction of 3 tiles of 16 columns: a loop from lo to hi, the weight packed by tile. The norm, which each tile needs
// whole, is before the loop; the epilogue is in it. The parameter has its packed form in the step.
// CHECK-LABEL: func.func private @columns
// CHECK-SAME: %[[X:[a-z0-9]*]]: tensor<2x8xf32>, %[[N:[a-z0-9]*]]: tensor<8xf32>, %[[W:[a-z0-9]*]]: tensor<3x8x16xf32>, %[[OUT:[a-z0-9]*]]: tensor<2x48xf32>, %[[LO:[a-z0-9]*]]: index, %[[HI:[a-z0-9]*]]: index) -> tensor<2x48xf32>
// CHECK: %[[NORM:.*]] = fleet.rms_norm
// CHECK: %[[FROM:.*]] = arith.muli %[[LO]], %c16
// CHECK: %[[TO:.*]] = arith.muli %[[HI]], %c16
// CHECK: scf.for %[[J:.*]] = %[[FROM]] to %[[TO]] step %c16 iter_args(%[[ACC:.*]] = %[[OUT]])
// CHECK: %[[TILE:.*]] = arith.divui %[[J]], %c16
// CHECK: %[[B:.*]] = tensor.extract_slice %[[W]][%[[TILE]], 0, 0] [1, 8, 16] [1, 1, 1] : tensor<3x8x16xf32> to tensor<8x16xf32>
// CHECK: linalg.matmul ins(%[[NORM]], %[[B]] : tensor<2x8xf32>, tensor<8x16xf32>) outs(%{{.*}} : tensor<2x16xf32>)
// CHECK: linalg.exp {{.*}} outs(%{{.*}} : tensor<2x16xf32>)
// CHECK: tensor.insert_slice %{{.*}} into %[[ACC]][0, %[[J]]] [2, 16] [1, 1]
// CHECK-NOT: linalg.transpose

// One tile needs no loop, but the same arguments and the packed form.
// CHECK-LABEL: func.func private @one_tile
// CHECK-SAME: tensor<1x8x16xf32>, %[[OUT:[a-z0-9]*]]: tensor<2x16xf32>, %{{.*}}: index, %{{.*}}: index) -> tensor<2x16xf32>
// CHECK-NOT: scf.for
// CHECK: linalg.fill {{.*}} outs(%[[OUT]] : tensor<2x16xf32>)
// CHECK: linalg.matmul

// Heads: two query heads for each head of the cache; the rotation is done for the tile's heads alone.
// CHECK-LABEL: func.func private @heads
// CHECK: scf.for %[[H:.*]] = %{{.*}} to %{{.*}} step %c2
// CHECK: fleet.rope {{.*}} outs(%{{.*}} : tensor<2x2x8xf32>)
// CHECK: memref.subview %{{.*}}[0, %{{.*}}, 0, 0] [1, 1, 16, 8] [1, 1, 1, 1]
// CHECK: fleet.attention ins({{.*}} : tensor<2x2x8xf32>, tensor<2x1x8xf32>, tensor<2x1x8xf32>,

// CHECK-LABEL: func.func @step
// CHECK-DAG: %[[W:.*]] = fleet.param ["w"] pack 16 : tensor<3x8x16xf32>
// CHECK-DAG: %[[V:.*]] = fleet.param ["v"] pack 16 : tensor<1x8x16xf32>
// CHECK: fleet.task 0 @columns(%{{.*}}, %{{.*}}, %[[W]])
// CHECK: fleet.task 1 @one_tile(%{{.*}}, %[[V]])
module attributes {fleet.target = #fleet.target<"study", backend = llvm, chiplets = 2, workers = 2, lds = 1, l2 = 1, hbm_gbs = 1, tile = 16>} {
  func.func private @columns(%x: tensor<2x8xf32>, %n: tensor<8xf32>, %w: tensor<48x8xf32>) -> tensor<2x48xf32> attributes {fleet.body} {
    %zero = arith.constant 0.0 : f32
    %e = tensor.empty() : tensor<2x48xf32>
    %ex = tensor.empty() : tensor<2x8xf32>
    %et = tensor.empty() : tensor<8x48xf32>
    %norm = fleet.rms_norm ins(%x, %n : tensor<2x8xf32>, tensor<8xf32>) outs(%ex : tensor<2x8xf32>) {eps = 0.125 : f64} -> tensor<2x8xf32>
    %t = linalg.transpose ins(%w : tensor<48x8xf32>) outs(%et : tensor<8x48xf32>) permutation = [1, 0]
    %acc = linalg.fill ins(%zero : f32) outs(%e : tensor<2x48xf32>) -> tensor<2x48xf32>
    %0 = linalg.matmul ins(%norm, %t : tensor<2x8xf32>, tensor<8x48xf32>) outs(%acc : tensor<2x48xf32>) -> tensor<2x48xf32>
    %1 = linalg.exp ins(%0 : tensor<2x48xf32>) outs(%e : tensor<2x48xf32>) -> tensor<2x48xf32>
    return %1 : tensor<2x48xf32>
  }
  func.func private @one_tile(%x: tensor<2x8xf32>, %w: tensor<16x8xf32>) -> tensor<2x16xf32> attributes {fleet.body} {
    %zero = arith.constant 0.0 : f32
    %e = tensor.empty() : tensor<2x16xf32>
    %et = tensor.empty() : tensor<8x16xf32>
    %t = linalg.transpose ins(%w : tensor<16x8xf32>) outs(%et : tensor<8x16xf32>) permutation = [1, 0]
    %acc = linalg.fill ins(%zero : f32) outs(%e : tensor<2x16xf32>) -> tensor<2x16xf32>
    %0 = linalg.matmul ins(%x, %t : tensor<2x8xf32>, tensor<8x16xf32>) outs(%acc : tensor<2x16xf32>) -> tensor<2x16xf32>
    return %0 : tensor<2x16xf32>
  }
  func.func private @heads(%q: tensor<2x6x8xf32>, %k: tensor<2x3x8xf32>, %cos: tensor<2x8xf32>, %i: tensor<2xi32>, %c: memref<1x3x16x8xf32, #fleet.mem<hbm>>) -> tensor<2x6x8xf32> attributes {fleet.body} {
    %e = tensor.empty() : tensor<2x6x8xf32>
    %r = fleet.rope ins(%q, %cos, %cos : tensor<2x6x8xf32>, tensor<2x8xf32>, tensor<2x8xf32>) outs(%e : tensor<2x6x8xf32>) -> tensor<2x6x8xf32>
    %0 = fleet.attention ins(%r, %k, %k, %i, %i, %c, %c : tensor<2x6x8xf32>, tensor<2x3x8xf32>, tensor<2x3x8xf32>, tensor<2xi32>, tensor<2xi32>, memref<1x3x16x8xf32, #fleet.mem<hbm>>, memref<1x3x16x8xf32, #fleet.mem<hbm>>) outs(%e : tensor<2x6x8xf32>) {scale = 1.0 : f64} -> tensor<2x6x8xf32>
    return %0 : tensor<2x6x8xf32>
  }
  func.func @step(%x: tensor<2x8xf32>, %q: tensor<2x6x8xf32>, %k: tensor<2x3x8xf32>, %i: tensor<2xi32>) -> (tensor<2x48xf32>, tensor<2x16xf32>, tensor<2x6x8xf32>) {
    %n = fleet.param ["n"] : tensor<8xf32>
    %w = fleet.param ["w"] : tensor<48x8xf32>
    %v = fleet.param ["v"] : tensor<16x8xf32>
    %c = fleet.state "k_cache" layer 0 : memref<1x3x16x8xf32, #fleet.mem<hbm>>
    %0 = fleet.task 0 @columns(%x, %n, %w) partition <columns, tiles = 3, size = 16> : (tensor<2x8xf32>, tensor<8xf32>, tensor<48x8xf32>) -> tensor<2x48xf32>
    %1 = fleet.task 1 @one_tile(%x, %v) partition <columns, tiles = 1, size = 16> : (tensor<2x8xf32>, tensor<16x8xf32>) -> tensor<2x16xf32>
    %2 = fleet.task 2 @heads(%q, %k, %x, %i, %c) partition <heads, tiles = 3, size = 2> : (tensor<2x6x8xf32>, tensor<2x3x8xf32>, tensor<2x8xf32>, tensor<2xi32>, memref<1x3x16x8xf32, #fleet.mem<hbm>>) -> tensor<2x6x8xf32>
    return %0, %1, %2 : tensor<2x48xf32>, tensor<2x16xf32>, tensor<2x6x8xf32>
  }
}
