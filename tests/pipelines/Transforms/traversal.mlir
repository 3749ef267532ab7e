// A contraction of 32 rows with each order of its tiles of 16 rows and 16 columns.
// RUN: fleet-opt %s --fleet-set-schedule=switches=traversal=m_major --fleet-cut-chiplets --fleet-cut-workers --fleet-tile-bodies | FileCheck %s --check-prefixes=CHECK,MMAJOR
// RUN: fleet-opt %s --fleet-set-schedule=switches=traversal=n_major --fleet-cut-chiplets --fleet-cut-workers --fleet-tile-bodies | FileCheck %s --check-prefixes=CHECK,NMAJOR
// RUN: fleet-opt %s --fleet-set-schedule=switches=traversal=windowed --fleet-cut-chiplets --fleet-cut-workers --fleet-tile-bodies | FileCheck %s --check-prefixes=CHECK,WINDOWS
// RUN: fleet-opt %s --fleet-set-schedule=switches=traversal=full_m --fleet-cut-chiplets --fleet-cut-workers --fleet-tile-bodies | FileCheck %s --check-prefix=FULL

// CHECK-LABEL: func.func private @product
// CHECK-SAME: %{{.*}}: tensor<8x8x16xf32>, %{{.*}}: tensor<32x128xf32>, %[[LO:.*]]: index, %[[HI:.*]]: index
// MMAJOR: %[[BEGIN:.*]] = arith.muli %[[LO]]
// MMAJOR: %[[END:.*]] = arith.muli %[[HI]]
// MMAJOR: scf.for %{{.*}} = %[[BEGIN]] to %[[END]]
// MMAJOR: scf.for %{{.*}} = %c0{{.*}} to %c32{{.*}} step %c16
// NMAJOR: scf.for %{{.*}} = %c0{{.*}} to %c32{{.*}} step %c16
// NMAJOR: scf.for %{{.*}} = %{{.*}} to %{{.*}} step %c16
// WINDOWS: scf.for %{{.*}} = %c0{{.*}} to %c32{{.*}} step %c32
// WINDOWS: scf.for %{{.*}} = %{{.*}} to %{{.*}} step %c16
// WINDOWS: scf.for %{{.*}} = %c0{{.*}} to %c32{{.*}} step %c16
// CHECK: linalg.matmul {{.*}} tensor<16x16xf32>
// CHECK: fleet.task 0
// MMAJOR-SAME: traversal <m_major, rows = 16>
// NMAJOR-SAME: traversal <n_major, rows = 16>
// WINDOWS-SAME: traversal <windowed, rows = 16, window = 2>
// FULL: linalg.matmul {{.*}} tensor<32x16xf32>
// FULL: traversal <full_m>
module attributes {fleet.target = #fleet.target<"study", backend = llvm, chiplets = 2, workers = 2, lds = 1, l2 = 1, hbm_gbs = 1, tile = 16>} {
  func.func private @product(%x: tensor<32x8xf32>, %w: tensor<128x8xf32>) -> tensor<32x128xf32> attributes {fleet.body} {
    %zero = arith.constant 0.0 : f32
    %te = tensor.empty() : tensor<8x128xf32>
    %t = linalg.transpose ins(%w : tensor<128x8xf32>) outs(%te : tensor<8x128xf32>) permutation = [1, 0]
    %e = tensor.empty() : tensor<32x128xf32>
    %z = linalg.fill ins(%zero : f32) outs(%e : tensor<32x128xf32>) -> tensor<32x128xf32>
    %y = linalg.matmul ins(%x, %t : tensor<32x8xf32>, tensor<8x128xf32>) outs(%z : tensor<32x128xf32>) -> tensor<32x128xf32>
    return %y : tensor<32x128xf32>
  }
  func.func @step(%x: tensor<32x8xf32>) -> tensor<32x128xf32> {
    %w = fleet.param ["w"] : tensor<128x8xf32>
    %0 = fleet.task 0 @product(%x, %w) : (tensor<32x8xf32>, tensor<128x8xf32>) -> tensor<32x128xf32>
    return %0 : tensor<32x128xf32>
  }
}
