// As many parts, a power of two of at most 16, as there are workers for and as have 64 positions each; more of
// at least 16 positions where several dies share the merge and the model of costs says so.
// RUN: fleet-opt %s --fleet-set-target=target=gfx950 --fleet-split-attention | FileCheck %s --check-prefixes=CHECK,GFX950
// RUN: fleet-opt %s --fleet-set-target=target=sm_90a --fleet-split-attention | FileCheck %s --check-prefixes=CHECK,SM90

// One core of a CPU walks all queues, so that nothing is split.
// RUN: fleet-opt %s --fleet-set-target=target=cpu --fleet-split-attention | FileCheck %s --check-prefix=CPU
// CPU-NOT: fleet.attention_
// CPU-COUNT-23: fleet.attention ins(
// CPU-NOT: fleet.attention

// RUN: not fleet-opt %s --fleet-split-attention 2>&1 | FileCheck %s --check-prefix=NONE
// NONE: error: expected a module with a fleet.target, found none; run fleet-set-target

// The context gives 2048 / 64 parts, the merge takes 16 of them, by query heads 32. 2 of the 4 query heads share a key head.
// CHECK-LABEL: func @most
// CHECK-SAME: %[[Q:[^:]*]]: tensor<2x4x8xbf16>, %[[K:[^:]*]]: tensor<2x2x8xbf16>, %[[V:[^:]*]]: tensor<2x2x8xbf16>, %[[S:[^:]*]]: tensor<2xi32>, %[[P:[^:]*]]: tensor<2xi32>, %[[KC:[^:]*]]: memref<1x2x2048x8xbf16>, %[[VC:[^:]*]]: memref<1x2x2048x8xbf16>, %[[O:[^:]*]]: tensor<2x4x8xbf16>)
// GFX950: %[[E:.*]] = tensor.empty() : tensor<64x2x2x12xf32>
// SM90: %[[E:.*]] = tensor.empty() : tensor<32x2x2x12xf32>
// CHECK: %[[X:.*]] = fleet.attention_partial ins(%[[Q]], %[[K]], %[[V]], %[[S]], %[[P]], %[[KC]], %[[VC]] :
// GFX950-SAME: outs(%[[E]] : tensor<64x2x2x12xf32>) {parts = 32 : i64, scale = 2.500000e-01 : f64} -> tensor<64x2x2x12xf32>
// SM90-SAME: outs(%[[E]] : tensor<32x2x2x12xf32>) {parts = 16 : i64, scale = 2.500000e-01 : f64} -> tensor<32x2x2x12xf32>
// GFX950: %[[Y:.*]] = fleet.attention_merge ins(%[[X]] : tensor<64x2x2x12xf32>) outs(%[[O]] : tensor<2x4x8xbf16>) {parts = 32 : i64} -> tensor<2x4x8xbf16>
// SM90: %[[Y:.*]] = fleet.attention_merge ins(%[[X]] : tensor<32x2x2x12xf32>) outs(%[[O]] : tensor<2x4x8xbf16>) {parts = 16 : i64} -> tensor<2x4x8xbf16>
// CHECK: return %[[Y]]
func.func @most(%q: tensor<2x4x8xbf16>, %k: tensor<2x2x8xbf16>, %v: tensor<2x2x8xbf16>, %s: tensor<2xi32>, %p: tensor<2xi32>, %kc: memref<1x2x2048x8xbf16>, %vc: memref<1x2x2048x8xbf16>, %o: tensor<2x4x8xbf16>) -> tensor<2x4x8xbf16> {
  %0 = fleet.attention ins(%q, %k, %v, %s, %p, %kc, %vc : tensor<2x4x8xbf16>, tensor<2x2x8xbf16>, tensor<2x2x8xbf16>, tensor<2xi32>, tensor<2xi32>, memref<1x2x2048x8xbf16>, memref<1x2x2048x8xbf16>) outs(%o : tensor<2x4x8xbf16>) {scale = 0.25 : f64} -> tensor<2x4x8xbf16>
  return %0 : tensor<2x4x8xbf16>
}

// A part has at least 64 positions, where more parts would save next to nothing.
// CHECK-LABEL: func @context_512
// CHECK: fleet.attention_partial {{.*}} {parts = 8 : i64, scale = 2.500000e-01 : f64} -> tensor<16x1x2x12xf32>
// CHECK: fleet.attention_merge {{.*}} {parts = 8 : i64}
func.func @context_512(%q: tensor<1x4x8xf32>, %k: tensor<1x2x8xf32>, %i: tensor<1xi32>, %c: memref<1x2x512x8xf32>) -> tensor<1x4x8xf32> {
  %0 = fleet.attention ins(%q, %k, %k, %i, %i, %c, %c : tensor<1x4x8xf32>, tensor<1x2x8xf32>, tensor<1x2x8xf32>, tensor<1xi32>, tensor<1xi32>, memref<1x2x512x8xf32>, memref<1x2x512x8xf32>) outs(%q : tensor<1x4x8xf32>) {scale = 0.25 : f64} -> tensor<1x4x8xf32>
  return %0 : tensor<1x4x8xf32>
}

// Reading 64 positions of a long head takes two rounds of loads: 32 parts of 32 positions cost less, although the merge costs more.
// CHECK-LABEL: func @long_heads
// GFX950: fleet.attention_partial {{.*}} {parts = 32 : i64,
// SM90: fleet.attention_partial {{.*}} {parts = 16 : i64,
func.func @long_heads(%q: tensor<1x32x128xf32>, %k: tensor<1x8x128xf32>, %i: tensor<1xi32>, %c: memref<1x8x1024x128xbf16>) -> tensor<1x32x128xf32> {
  %0 = fleet.attention ins(%q, %k, %k, %i, %i, %c, %c : tensor<1x32x128xf32>, tensor<1x8x128xf32>, tensor<1x8x128xf32>, tensor<1xi32>, tensor<1xi32>, memref<1x8x1024x128xbf16>, memref<1x8x1024x128xbf16>) outs(%q : tensor<1x32x128xf32>) {scale = 0.25 : f64} -> tensor<1x32x128xf32>
  return %0 : tensor<1x32x128xf32>
}

// 32 key heads: a worker for each part of each head, of 256 and of 132.
// CHECK-LABEL: func @heads_32
// GFX950: fleet.attention_partial {{.*}} {parts = 8 : i64, scale = 2.500000e-01 : f64} -> tensor<256x1x1x12xf32>
// SM90: fleet.attention_partial {{.*}} {parts = 4 : i64, scale = 2.500000e-01 : f64} -> tensor<128x1x1x12xf32>
// CHECK: fleet.attention_merge
func.func @heads_32(%q: tensor<1x32x8xf32>, %i: tensor<1xi32>, %c: memref<1x32x2048x8xf32>) -> tensor<1x32x8xf32> {
  %0 = fleet.attention ins(%q, %q, %q, %i, %i, %c, %c : tensor<1x32x8xf32>, tensor<1x32x8xf32>, tensor<1x32x8xf32>, tensor<1xi32>, tensor<1xi32>, memref<1x32x2048x8xf32>, memref<1x32x2048x8xf32>) outs(%q : tensor<1x32x8xf32>) {scale = 0.25 : f64} -> tensor<1x32x8xf32>
  return %0 : tensor<1x32x8xf32>
}

// The shortest context that is split, and the longest that is not.
// CHECK-LABEL: func @context_128
// CHECK: fleet.attention_partial {{.*}} {parts = 2 : i64,
func.func @context_128(%q: tensor<1x4x8xf32>, %k: tensor<1x2x8xf32>, %i: tensor<1xi32>, %c: memref<1x2x128x8xf32>) -> tensor<1x4x8xf32> {
  %0 = fleet.attention ins(%q, %k, %k, %i, %i, %c, %c : tensor<1x4x8xf32>, tensor<1x2x8xf32>, tensor<1x2x8xf32>, tensor<1xi32>, tensor<1xi32>, memref<1x2x128x8xf32>, memref<1x2x128x8xf32>) outs(%q : tensor<1x4x8xf32>) {scale = 0.25 : f64} -> tensor<1x4x8xf32>
  return %0 : tensor<1x4x8xf32>
}
// CHECK-LABEL: func @context_127
// CHECK-NOT: fleet.attention_
// CHECK: fleet.attention ins(
// CHECK-NOT: fleet.attention_
// CHECK: return
func.func @context_127(%q: tensor<1x4x8xf32>, %k: tensor<1x2x8xf32>, %i: tensor<1xi32>, %c: memref<1x2x127x8xf32>) -> tensor<1x4x8xf32> {
  %0 = fleet.attention ins(%q, %k, %k, %i, %i, %c, %c : tensor<1x4x8xf32>, tensor<1x2x8xf32>, tensor<1x2x8xf32>, tensor<1xi32>, tensor<1xi32>, memref<1x2x127x8xf32>, memref<1x2x127x8xf32>) outs(%q : tensor<1x4x8xf32>) {scale = 0.25 : f64} -> tensor<1x4x8xf32>
  return %0 : tensor<1x4x8xf32>
}

// Heads enough for all workers.
// CHECK-LABEL: func @heads_256
// CHECK-NOT: fleet.attention_
// CHECK: fleet.attention ins(
// CHECK-NOT: fleet.attention_
// CHECK: return
func.func @heads_256(%q: tensor<1x256x8xf32>, %i: tensor<1xi32>, %c: memref<1x256x2048x8xf32>) -> tensor<1x256x8xf32> {
  %0 = fleet.attention ins(%q, %q, %q, %i, %i, %c, %c : tensor<1x256x8xf32>, tensor<1x256x8xf32>, tensor<1x256x8xf32>, tensor<1xi32>, tensor<1xi32>, memref<1x256x2048x8xf32>, memref<1x256x2048x8xf32>) outs(%q : tensor<1x256x8xf32>) {scale = 0.25 : f64} -> tensor<1x256x8xf32>
  return %0 : tensor<1x256x8xf32>
}

// From 3 rows on NVIDIA GPUs have blocks of 16 positions dealt to the parts, and merge by rows; others do that from 8 rows on.
// CHECK-LABEL: func @rows_3
// GFX950: fleet.attention_partial {{.*}} {parts = {{[0-9]+}} : i64, scale
// SM90: fleet.attention_partial {{.*}} {dealt = 16 : i64, parts = 8 : i64, scale
// GFX950: fleet.attention_merge {{.*}} {parts = {{[0-9]+}} : i64} -> tensor<3x4x8xf32>
// SM90: fleet.attention_merge {{.*}} {by_rows, parts = 8 : i64} -> tensor<3x4x8xf32>
func.func @rows_3(%q: tensor<3x4x8xf32>, %k: tensor<3x2x8xf32>, %i: tensor<3xi32>, %c: memref<8x2x512x8xf32>) -> tensor<3x4x8xf32> {
  %0 = fleet.attention ins(%q, %k, %k, %i, %i, %c, %c : tensor<3x4x8xf32>, tensor<3x2x8xf32>, tensor<3x2x8xf32>, tensor<3xi32>, tensor<3xi32>, memref<8x2x512x8xf32>, memref<8x2x512x8xf32>) outs(%q : tensor<3x4x8xf32>) {scale = 0.25 : f64} -> tensor<3x4x8xf32>
  return %0 : tensor<3x4x8xf32>
}
// CHECK-LABEL: func @rows_2
// CHECK: fleet.attention_partial {{.*}} {parts = {{[0-9]+}} : i64, scale
func.func @rows_2(%q: tensor<2x4x8xf32>, %k: tensor<2x2x8xf32>, %i: tensor<2xi32>, %c: memref<8x2x512x8xf32>) -> tensor<2x4x8xf32> {
  %0 = fleet.attention ins(%q, %k, %k, %i, %i, %c, %c : tensor<2x4x8xf32>, tensor<2x2x8xf32>, tensor<2x2x8xf32>, tensor<2xi32>, tensor<2xi32>, memref<8x2x512x8xf32>, memref<8x2x512x8xf32>) outs(%q : tensor<2x4x8xf32>) {scale = 0.25 : f64} -> tensor<2x4x8xf32>
  return %0 : tensor<2x4x8xf32>
}

// Rows of NVIDIA GPUs are dealt to workers, too, as far as each warp has a row and a row 4 parts.
// CHECK-LABEL: func @rows_15_heads_8
// GFX950: fleet.attention_partial {{.*}} {parts = {{[0-9]+}} : i64, scale
// GFX950: fleet.attention_merge {{.*}} {by_rows, parts
// SM90: fleet.attention_partial {{.*}} {dealt = 16 : i64, parts = 16 : i64, scale = 2.500000e-01 : f64} -> tensor<128x15x4x132xf32>
// SM90: fleet.attention_merge {{.*}} {by_rows, parts = 16 : i64} -> tensor<15x32x128xf32>
func.func @rows_15_heads_8(%q: tensor<15x32x128xf32>, %k: tensor<15x8x128xf32>, %i: tensor<15xi32>, %c: memref<15x8x1152x128xbf16>) -> tensor<15x32x128xf32> {
  %0 = fleet.attention ins(%q, %k, %k, %i, %i, %c, %c : tensor<15x32x128xf32>, tensor<15x8x128xf32>, tensor<15x8x128xf32>, tensor<15xi32>, tensor<15xi32>, memref<15x8x1152x128xbf16>, memref<15x8x1152x128xbf16>) outs(%q : tensor<15x32x128xf32>) {scale = 0.25 : f64} -> tensor<15x32x128xf32>
  return %0 : tensor<15x32x128xf32>
}
// CHECK-LABEL: func @rows_16_heads_8
// GFX950: fleet.attention_partial {{.*}} {parts = {{[0-9]+}} : i64, scale
// SM90: fleet.attention_partial {{.*}} {dealt = 16 : i64, parts = 8 : i64, row_groups = 2 : i64, scale = 2.500000e-01 : f64} -> tensor<64x16x4x132xf32>
// SM90: fleet.attention_merge {{.*}} {by_rows, parts = 8 : i64} -> tensor<16x32x128xf32>
func.func @rows_16_heads_8(%q: tensor<16x32x128xf32>, %k: tensor<16x8x128xf32>, %i: tensor<16xi32>, %c: memref<16x8x1152x128xbf16>) -> tensor<16x32x128xf32> {
  %0 = fleet.attention ins(%q, %k, %k, %i, %i, %c, %c : tensor<16x32x128xf32>, tensor<16x8x128xf32>, tensor<16x8x128xf32>, tensor<16xi32>, tensor<16xi32>, memref<16x8x1152x128xbf16>, memref<16x8x1152x128xbf16>) outs(%q : tensor<16x32x128xf32>) {scale = 0.25 : f64} -> tensor<16x32x128xf32>
  return %0 : tensor<16x32x128xf32>
}
// CHECK-LABEL: func @rows_32_heads_8
// GFX950: fleet.attention_partial {{.*}} {parts = {{[0-9]+}} : i64, scale
// SM90: fleet.attention_partial {{.*}} {dealt = 16 : i64, parts = 4 : i64, row_groups = 4 : i64, scale = 2.500000e-01 : f64} -> tensor<32x32x4x132xf32>
// SM90: fleet.attention_merge {{.*}} {by_rows, parts = 4 : i64} -> tensor<32x32x128xf32>
func.func @rows_32_heads_8(%q: tensor<32x32x128xf32>, %k: tensor<32x8x128xf32>, %i: tensor<32xi32>, %c: memref<32x8x1152x128xbf16>) -> tensor<32x32x128xf32> {
  %0 = fleet.attention ins(%q, %k, %k, %i, %i, %c, %c : tensor<32x32x128xf32>, tensor<32x8x128xf32>, tensor<32x8x128xf32>, tensor<32xi32>, tensor<32xi32>, memref<32x8x1152x128xbf16>, memref<32x8x1152x128xbf16>) outs(%q : tensor<32x32x128xf32>) {scale = 0.25 : f64} -> tensor<32x32x128xf32>
  return %0 : tensor<32x32x128xf32>
}
// CHECK-LABEL: func @rows_64_heads_8
// GFX950: fleet.attention_partial {{.*}} {parts = {{[0-9]+}} : i64, scale
// SM90: fleet.attention_partial {{.*}} {dealt = 16 : i64, parts = 4 : i64, row_groups = 4 : i64, scale = 2.500000e-01 : f64} -> tensor<32x64x4x132xf32>
// SM90: fleet.attention_merge {{.*}} {by_rows, parts = 4 : i64} -> tensor<64x32x128xf32>
func.func @rows_64_heads_8(%q: tensor<64x32x128xf32>, %k: tensor<64x8x128xf32>, %i: tensor<64xi32>, %c: memref<64x8x1152x128xbf16>) -> tensor<64x32x128xf32> {
  %0 = fleet.attention ins(%q, %k, %k, %i, %i, %c, %c : tensor<64x32x128xf32>, tensor<64x8x128xf32>, tensor<64x8x128xf32>, tensor<64xi32>, tensor<64xi32>, memref<64x8x1152x128xbf16>, memref<64x8x1152x128xbf16>) outs(%q : tensor<64x32x128xf32>) {scale = 0.25 : f64} -> tensor<64x32x128xf32>
  return %0 : tensor<64x32x128xf32>
}
// A worker for each of 4 parts of each key head.
// CHECK-LABEL: func @rows_64_heads_32
// GFX950: fleet.attention_partial {{.*}} {parts = {{[0-9]+}} : i64, scale
// SM90: fleet.attention_partial {{.*}} {dealt = 16 : i64, parts = 4 : i64, scale = 2.500000e-01 : f64} -> tensor<128x64x4x132xf32>
// SM90: fleet.attention_merge {{.*}} {by_rows, parts = 4 : i64} -> tensor<64x128x128xf32>
func.func @rows_64_heads_32(%q: tensor<64x128x128xf32>, %k: tensor<64x32x128xf32>, %i: tensor<64xi32>, %c: memref<64x32x1152x128xbf16>) -> tensor<64x128x128xf32> {
  %0 = fleet.attention ins(%q, %k, %k, %i, %i, %c, %c : tensor<64x128x128xf32>, tensor<64x32x128xf32>, tensor<64x32x128xf32>, tensor<64xi32>, tensor<64xi32>, memref<64x32x1152x128xbf16>, memref<64x32x1152x128xbf16>) outs(%q : tensor<64x128x128xf32>) {scale = 0.25 : f64} -> tensor<64x128x128xf32>
  return %0 : tensor<64x128x128xf32>
}
// Few key heads: all workers have rows of their own.
// CHECK-LABEL: func @rows_64_heads_2
// GFX950: fleet.attention_partial {{.*}} {parts = {{[0-9]+}} : i64, scale
// SM90: fleet.attention_partial {{.*}} {dealt = 16 : i64, parts = 8 : i64, row_groups = 8 : i64, scale = 2.500000e-01 : f64} -> tensor<16x64x4x132xf32>
// SM90: fleet.attention_merge {{.*}} {by_rows, parts = 8 : i64} -> tensor<64x8x128xf32>
func.func @rows_64_heads_2(%q: tensor<64x8x128xf32>, %k: tensor<64x2x128xf32>, %i: tensor<64xi32>, %c: memref<64x2x1152x128xbf16>) -> tensor<64x8x128xf32> {
  %0 = fleet.attention ins(%q, %k, %k, %i, %i, %c, %c : tensor<64x8x128xf32>, tensor<64x2x128xf32>, tensor<64x2x128xf32>, tensor<64xi32>, tensor<64xi32>, memref<64x2x1152x128xbf16>, memref<64x2x1152x128xbf16>) outs(%q : tensor<64x8x128xf32>) {scale = 0.25 : f64} -> tensor<64x8x128xf32>
  return %0 : tensor<64x8x128xf32>
}

// With 8 rows, or more than 16, attention of NVIDIA GPUs norms and rotates its rows' queries and keys itself: no task has to do so before.
// CHECK-LABEL: func @rotated_32
// CHECK-SAME: %[[Q:[^:]*]]: {{[^,]*}}, %[[K:[^:]*]]: {{[^,]*}}, %{{.*}}, %{{.*}}, %[[COS:[^:]*]]: {{[^,]*}}, %[[SIN:[^:]*]]: {{[^,]*}}, %[[WQ:[^:]*]]: {{[^,]*}}, %[[WK:[^:]*]]: {{[^,]*}}, %{{[^:]*}}: tensor<{{[0-9]*}}xi32>
// GFX950: fleet.attention_partial ins(%{{[0-9]+}}, %{{[0-9]+}}, {{.*}}) outs(
// SM90: fleet.attention_partial ins(%[[Q]], %[[K]], %[[K]], {{.*}}) rotate(%[[COS]], %[[SIN]] : tensor<32x128xf32>, tensor<32x128xf32>) norm(%[[WQ]], %[[WK]] : tensor<128xbf16>, tensor<128xbf16>) outs({{.*}}) {dealt = 16 : i64, eps = 9.9999999999999995E-7 : f64, parts = 4 : i64, row_groups = 4 : i64,
func.func @rotated_32(%q: tensor<32x32x128xf32>, %k: tensor<32x8x128xf32>, %qm: tensor<32x32x128xf32>, %km: tensor<32x8x128xf32>, %cos: tensor<32x128xf32>, %sin: tensor<32x128xf32>, %wq: tensor<128xbf16>, %wk: tensor<128xbf16>, %i: tensor<32xi32>, %c: memref<32x8x1152x128xbf16>) -> tensor<32x32x128xf32> {
  %0 = fleet.rms_norm ins(%q, %wq : tensor<32x32x128xf32>, tensor<128xbf16>) outs(%qm : tensor<32x32x128xf32>) {eps = 1.0e-6 : f64} -> tensor<32x32x128xf32>
  %1 = fleet.rms_norm ins(%k, %wk : tensor<32x8x128xf32>, tensor<128xbf16>) outs(%km : tensor<32x8x128xf32>) {eps = 1.0e-6 : f64} -> tensor<32x8x128xf32>
  %2 = fleet.rope ins(%0, %cos, %sin : tensor<32x32x128xf32>, tensor<32x128xf32>, tensor<32x128xf32>) outs(%q : tensor<32x32x128xf32>) -> tensor<32x32x128xf32>
  %3 = fleet.rope ins(%1, %cos, %sin : tensor<32x8x128xf32>, tensor<32x128xf32>, tensor<32x128xf32>) outs(%k : tensor<32x8x128xf32>) -> tensor<32x8x128xf32>
  %4 = fleet.attention ins(%2, %3, %k, %i, %i, %c, %c : tensor<32x32x128xf32>, tensor<32x8x128xf32>, tensor<32x8x128xf32>, tensor<32xi32>, tensor<32xi32>, memref<32x8x1152x128xbf16>, memref<32x8x1152x128xbf16>) outs(%q : tensor<32x32x128xf32>) {scale = 0.25 : f64} -> tensor<32x32x128xf32>
  return %4 : tensor<32x32x128xf32>
}
// CHECK-LABEL: func @rotated_8
// CHECK-SAME: %[[Q:[^:]*]]: {{[^,]*}}, %[[K:[^:]*]]: {{[^,]*}}, %{{.*}}, %{{.*}}, %[[COS:[^:]*]]: {{[^,]*}}, %[[SIN:[^:]*]]: {{[^,]*}}, %[[WQ:[^:]*]]: {{[^,]*}}, %[[WK:[^:]*]]: {{[^,]*}}, %{{[^:]*}}: tensor<{{[0-9]*}}xi32>
// GFX950: fleet.attention_partial ins(%{{[0-9]+}}, %{{[0-9]+}}, {{.*}}) outs(
// SM90: fleet.attention_partial ins(%[[Q]], %[[K]], %[[K]], {{.*}}) rotate(%[[COS]], %[[SIN]] : tensor<8x128xf32>, tensor<8x128xf32>) norm(%[[WQ]], %[[WK]] : tensor<128xbf16>, tensor<128xbf16>) outs({{.*}}) {dealt = 16 : i64, eps = 9.9999999999999995E-7 : f64, parts = 16 : i64,
func.func @rotated_8(%q: tensor<8x32x128xf32>, %k: tensor<8x8x128xf32>, %qm: tensor<8x32x128xf32>, %km: tensor<8x8x128xf32>, %cos: tensor<8x128xf32>, %sin: tensor<8x128xf32>, %wq: tensor<128xbf16>, %wk: tensor<128xbf16>, %i: tensor<8xi32>, %c: memref<8x8x1152x128xbf16>) -> tensor<8x32x128xf32> {
  %0 = fleet.rms_norm ins(%q, %wq : tensor<8x32x128xf32>, tensor<128xbf16>) outs(%qm : tensor<8x32x128xf32>) {eps = 1.0e-6 : f64} -> tensor<8x32x128xf32>
  %1 = fleet.rms_norm ins(%k, %wk : tensor<8x8x128xf32>, tensor<128xbf16>) outs(%km : tensor<8x8x128xf32>) {eps = 1.0e-6 : f64} -> tensor<8x8x128xf32>
  %2 = fleet.rope ins(%0, %cos, %sin : tensor<8x32x128xf32>, tensor<8x128xf32>, tensor<8x128xf32>) outs(%q : tensor<8x32x128xf32>) -> tensor<8x32x128xf32>
  %3 = fleet.rope ins(%1, %cos, %sin : tensor<8x8x128xf32>, tensor<8x128xf32>, tensor<8x128xf32>) outs(%k : tensor<8x8x128xf32>) -> tensor<8x8x128xf32>
  %4 = fleet.attention ins(%2, %3, %k, %i, %i, %c, %c : tensor<8x32x128xf32>, tensor<8x8x128xf32>, tensor<8x8x128xf32>, tensor<8xi32>, tensor<8xi32>, memref<8x8x1152x128xbf16>, memref<8x8x1152x128xbf16>) outs(%q : tensor<8x32x128xf32>) {scale = 0.25 : f64} -> tensor<8x32x128xf32>
  return %4 : tensor<8x32x128xf32>
}
// In bf16 they are rounded behind the rotation alone, as before.
// CHECK-LABEL: func @rotated_64
// CHECK-SAME: %[[Q:[^:]*]]: {{[^,]*}}, %[[K:[^:]*]]: {{[^,]*}}, %{{.*}}, %{{.*}}, %[[COS:[^:]*]]: {{[^,]*}}, %[[SIN:[^:]*]]: {{[^,]*}}, %[[WQ:[^:]*]]: {{[^,]*}}, %[[WK:[^:]*]]: {{[^,]*}}, %{{[^:]*}}: tensor<{{[0-9]*}}xi32>
// GFX950: fleet.attention_partial ins(%{{[0-9]+}}, %{{[0-9]+}}, {{.*}}) outs(
// SM90: fleet.attention_partial ins(%[[Q]], %[[K]], %[[K]], {{.*}}) rotate(%[[COS]], %[[SIN]] : tensor<64x128xf32>, tensor<64x128xf32>) norm(%[[WQ]], %[[WK]] :
func.func @rotated_64(%q: tensor<64x32x128xbf16>, %k: tensor<64x8x128xbf16>, %qm: tensor<64x32x128xf32>, %km: tensor<64x8x128xf32>, %cos: tensor<64x128xf32>, %sin: tensor<64x128xf32>, %wq: tensor<128xbf16>, %wk: tensor<128xbf16>, %i: tensor<64xi32>, %c: memref<64x8x1152x128xbf16>) -> tensor<64x32x128xbf16> {
  %0 = fleet.rms_norm ins(%q, %wq : tensor<64x32x128xbf16>, tensor<128xbf16>) outs(%qm : tensor<64x32x128xf32>) {eps = 1.0e-6 : f64} -> tensor<64x32x128xf32>
  %1 = fleet.rms_norm ins(%k, %wk : tensor<64x8x128xbf16>, tensor<128xbf16>) outs(%km : tensor<64x8x128xf32>) {eps = 1.0e-6 : f64} -> tensor<64x8x128xf32>
  %2 = fleet.rope ins(%0, %cos, %sin : tensor<64x32x128xf32>, tensor<64x128xf32>, tensor<64x128xf32>) outs(%q : tensor<64x32x128xbf16>) -> tensor<64x32x128xbf16>
  %3 = fleet.rope ins(%1, %cos, %sin : tensor<64x8x128xf32>, tensor<64x128xf32>, tensor<64x128xf32>) outs(%k : tensor<64x8x128xbf16>) -> tensor<64x8x128xbf16>
  %4 = fleet.attention ins(%2, %3, %k, %i, %i, %c, %c : tensor<64x32x128xbf16>, tensor<64x8x128xbf16>, tensor<64x8x128xbf16>, tensor<64xi32>, tensor<64xi32>, memref<64x8x1152x128xbf16>, memref<64x8x1152x128xbf16>) outs(%q : tensor<64x32x128xbf16>) {scale = 0.25 : f64} -> tensor<64x32x128xbf16>
  return %4 : tensor<64x32x128xbf16>
}
// CHECK-LABEL: func @rotated_without_norm
// CHECK-SAME: %[[Q:[^:]*]]: {{[^,]*}}, %[[K:[^:]*]]: {{[^,]*}}, %{{.*}}, %{{.*}}, %[[COS:[^:]*]]: {{[^,]*}}, %[[SIN:[^:]*]]: {{[^,]*}}, %[[WQ:[^:]*]]: {{[^,]*}}, %[[WK:[^:]*]]: {{[^,]*}}, %{{[^:]*}}: tensor<{{[0-9]*}}xi32>
// GFX950: fleet.attention_partial ins(%{{[0-9]+}}, %{{[0-9]+}}, {{.*}}) outs(
// SM90: fleet.attention_partial ins(%[[Q]], %[[K]], %[[K]], {{.*}}) rotate(%[[COS]], %[[SIN]] : tensor<32x128xf32>, tensor<32x128xf32>) outs({{.*}}) {dealt = 16 : i64, parts
func.func @rotated_without_norm(%q: tensor<32x32x128xf32>, %k: tensor<32x8x128xf32>, %qm: tensor<32x32x128xf32>, %km: tensor<32x8x128xf32>, %cos: tensor<32x128xf32>, %sin: tensor<32x128xf32>, %wq: tensor<128xbf16>, %wk: tensor<128xbf16>, %i: tensor<32xi32>, %c: memref<32x8x1152x128xbf16>) -> tensor<32x32x128xf32> {
  %2 = fleet.rope ins(%q, %cos, %sin : tensor<32x32x128xf32>, tensor<32x128xf32>, tensor<32x128xf32>) outs(%q : tensor<32x32x128xf32>) -> tensor<32x32x128xf32>
  %3 = fleet.rope ins(%k, %cos, %sin : tensor<32x8x128xf32>, tensor<32x128xf32>, tensor<32x128xf32>) outs(%k : tensor<32x8x128xf32>) -> tensor<32x8x128xf32>
  %4 = fleet.attention ins(%2, %3, %k, %i, %i, %c, %c : tensor<32x32x128xf32>, tensor<32x8x128xf32>, tensor<32x8x128xf32>, tensor<32xi32>, tensor<32xi32>, memref<32x8x1152x128xbf16>, memref<32x8x1152x128xbf16>) outs(%q : tensor<32x32x128xf32>) {scale = 0.25 : f64} -> tensor<32x32x128xf32>
  return %4 : tensor<32x32x128xf32>
}
// 16 rows, heads that no warp has as a whole, keys with other angles, and norms that are rounded, stay as they are.
// CHECK-LABEL: func @rotated_16
// CHECK: fleet.attention_partial ins(%{{[0-9]+}}, %{{[0-9]+}}, {{.*}}) outs(
func.func @rotated_16(%q: tensor<16x32x128xf32>, %k: tensor<16x8x128xf32>, %qm: tensor<16x32x128xf32>, %km: tensor<16x8x128xf32>, %cos: tensor<16x128xf32>, %sin: tensor<16x128xf32>, %wq: tensor<128xbf16>, %wk: tensor<128xbf16>, %i: tensor<16xi32>, %c: memref<16x8x1152x128xbf16>) -> tensor<16x32x128xf32> {
  %0 = fleet.rms_norm ins(%q, %wq : tensor<16x32x128xf32>, tensor<128xbf16>) outs(%qm : tensor<16x32x128xf32>) {eps = 1.0e-6 : f64} -> tensor<16x32x128xf32>
  %1 = fleet.rms_norm ins(%k, %wk : tensor<16x8x128xf32>, tensor<128xbf16>) outs(%km : tensor<16x8x128xf32>) {eps = 1.0e-6 : f64} -> tensor<16x8x128xf32>
  %2 = fleet.rope ins(%0, %cos, %sin : tensor<16x32x128xf32>, tensor<16x128xf32>, tensor<16x128xf32>) outs(%q : tensor<16x32x128xf32>) -> tensor<16x32x128xf32>
  %3 = fleet.rope ins(%1, %cos, %sin : tensor<16x8x128xf32>, tensor<16x128xf32>, tensor<16x128xf32>) outs(%k : tensor<16x8x128xf32>) -> tensor<16x8x128xf32>
  %4 = fleet.attention ins(%2, %3, %k, %i, %i, %c, %c : tensor<16x32x128xf32>, tensor<16x8x128xf32>, tensor<16x8x128xf32>, tensor<16xi32>, tensor<16xi32>, memref<16x8x1152x128xbf16>, memref<16x8x1152x128xbf16>) outs(%q : tensor<16x32x128xf32>) {scale = 0.25 : f64} -> tensor<16x32x128xf32>
  return %4 : tensor<16x32x128xf32>
}
// CHECK-LABEL: func @rotated_192
// CHECK: fleet.attention_partial ins(%{{[0-9]+}}, %{{[0-9]+}}, {{.*}}) outs(
func.func @rotated_192(%q: tensor<32x32x192xf32>, %k: tensor<32x8x192xf32>, %qm: tensor<32x32x192xf32>, %km: tensor<32x8x192xf32>, %cos: tensor<32x192xf32>, %sin: tensor<32x192xf32>, %wq: tensor<192xbf16>, %wk: tensor<192xbf16>, %i: tensor<32xi32>, %c: memref<32x8x1152x192xbf16>) -> tensor<32x32x192xf32> {
  %0 = fleet.rms_norm ins(%q, %wq : tensor<32x32x192xf32>, tensor<192xbf16>) outs(%qm : tensor<32x32x192xf32>) {eps = 1.0e-6 : f64} -> tensor<32x32x192xf32>
  %1 = fleet.rms_norm ins(%k, %wk : tensor<32x8x192xf32>, tensor<192xbf16>) outs(%km : tensor<32x8x192xf32>) {eps = 1.0e-6 : f64} -> tensor<32x8x192xf32>
  %2 = fleet.rope ins(%0, %cos, %sin : tensor<32x32x192xf32>, tensor<32x192xf32>, tensor<32x192xf32>) outs(%q : tensor<32x32x192xf32>) -> tensor<32x32x192xf32>
  %3 = fleet.rope ins(%1, %cos, %sin : tensor<32x8x192xf32>, tensor<32x192xf32>, tensor<32x192xf32>) outs(%k : tensor<32x8x192xf32>) -> tensor<32x8x192xf32>
  %4 = fleet.attention ins(%2, %3, %k, %i, %i, %c, %c : tensor<32x32x192xf32>, tensor<32x8x192xf32>, tensor<32x8x192xf32>, tensor<32xi32>, tensor<32xi32>, memref<32x8x1152x192xbf16>, memref<32x8x1152x192xbf16>) outs(%q : tensor<32x32x192xf32>) {scale = 0.25 : f64} -> tensor<32x32x192xf32>
  return %4 : tensor<32x32x192xf32>
}
// CHECK-LABEL: func @rotated_by_others
// CHECK: fleet.attention_partial ins(%{{[0-9]+}}, %{{[0-9]+}}, {{.*}}) outs(
func.func @rotated_by_others(%q: tensor<32x32x128xf32>, %k: tensor<32x8x128xf32>, %qm: tensor<32x32x128xf32>, %km: tensor<32x8x128xf32>, %cos: tensor<32x128xf32>, %sin: tensor<32x128xf32>, %wq: tensor<128xbf16>, %wk: tensor<128xbf16>, %i: tensor<32xi32>, %c: memref<32x8x1152x128xbf16>) -> tensor<32x32x128xf32> {
  %0 = fleet.rms_norm ins(%q, %wq : tensor<32x32x128xf32>, tensor<128xbf16>) outs(%qm : tensor<32x32x128xf32>) {eps = 1.0e-6 : f64} -> tensor<32x32x128xf32>
  %1 = fleet.rms_norm ins(%k, %wk : tensor<32x8x128xf32>, tensor<128xbf16>) outs(%km : tensor<32x8x128xf32>) {eps = 1.0e-6 : f64} -> tensor<32x8x128xf32>
  %2 = fleet.rope ins(%0, %cos, %sin : tensor<32x32x128xf32>, tensor<32x128xf32>, tensor<32x128xf32>) outs(%q : tensor<32x32x128xf32>) -> tensor<32x32x128xf32>
  %3 = fleet.rope ins(%1, %sin, %cos : tensor<32x8x128xf32>, tensor<32x128xf32>, tensor<32x128xf32>) outs(%k : tensor<32x8x128xf32>) -> tensor<32x8x128xf32>
  %4 = fleet.attention ins(%2, %3, %k, %i, %i, %c, %c : tensor<32x32x128xf32>, tensor<32x8x128xf32>, tensor<32x8x128xf32>, tensor<32xi32>, tensor<32xi32>, memref<32x8x1152x128xbf16>, memref<32x8x1152x128xbf16>) outs(%q : tensor<32x32x128xf32>) {scale = 0.25 : f64} -> tensor<32x32x128xf32>
  return %4 : tensor<32x32x128xf32>
}
// CHECK-LABEL: func @rounded_between
// CHECK: fleet.attention_partial ins(%{{[0-9]+}}, %{{[0-9]+}}, {{.*}}) outs(
func.func @rounded_between(%q: tensor<32x32x128xf32>, %k: tensor<32x8x128xf32>, %qm: tensor<32x32x128xbf16>, %km: tensor<32x8x128xbf16>, %cos: tensor<32x128xf32>, %sin: tensor<32x128xf32>, %wq: tensor<128xbf16>, %wk: tensor<128xbf16>, %i: tensor<32xi32>, %c: memref<32x8x1152x128xbf16>) -> tensor<32x32x128xf32> {
  %0 = fleet.rms_norm ins(%q, %wq : tensor<32x32x128xf32>, tensor<128xbf16>) outs(%qm : tensor<32x32x128xbf16>) {eps = 1.0e-6 : f64} -> tensor<32x32x128xbf16>
  %1 = fleet.rms_norm ins(%k, %wk : tensor<32x8x128xf32>, tensor<128xbf16>) outs(%km : tensor<32x8x128xbf16>) {eps = 1.0e-6 : f64} -> tensor<32x8x128xbf16>
  %2 = fleet.rope ins(%0, %cos, %sin : tensor<32x32x128xbf16>, tensor<32x128xf32>, tensor<32x128xf32>) outs(%q : tensor<32x32x128xf32>) -> tensor<32x32x128xf32>
  %3 = fleet.rope ins(%1, %cos, %sin : tensor<32x8x128xbf16>, tensor<32x128xf32>, tensor<32x128xf32>) outs(%k : tensor<32x8x128xf32>) -> tensor<32x8x128xf32>
  %4 = fleet.attention ins(%2, %3, %k, %i, %i, %c, %c : tensor<32x32x128xf32>, tensor<32x8x128xf32>, tensor<32x8x128xf32>, tensor<32xi32>, tensor<32xi32>, memref<32x8x1152x128xbf16>, memref<32x8x1152x128xbf16>) outs(%q : tensor<32x32x128xf32>) {scale = 0.25 : f64} -> tensor<32x32x128xf32>
  return %4 : tensor<32x32x128xf32>
}
