// Left sides of f32 of more than 2 rows: a warp has 8 rows, splits them in registers, and multiplies weights with both parts.
// RUN: fleet-opt %s --pass-pipeline="builtin.module(gpu.module(fleet-nvgpu-stream-weights))" | FileCheck %s --check-prefix=STREAM
// RUN: fleet-opt %s --pass-pipeline="builtin.module(gpu.module(fleet-nvgpu-stream-weights,fleet-nvgpu-lower-contractions))" | FileCheck %s
// With 8 rows a turn is that of one warp, which adds the parts up apart and swaps no halves.
// RUN: sed -e 's/12x/8x/g' %s | fleet-opt - --pass-pipeline="builtin.module(gpu.module(fleet-nvgpu-stream-weights,fleet-nvgpu-lower-contractions))" | FileCheck %s --check-prefix=EIGHT

// For 12 rows 2 warps share a turn, of which there are 4: so they do for the bf16 contraction of the same kernel, which
// alone would have one warp a turn.
// STREAM: gpu.module @fleet attributes {
// STREAM-NOT: fleet.ordered_weights
// STREAM-SAME: fleet.ring_slots = 24 : i64, fleet.row_groups = 2 : i64
// STREAM-LABEL: func.func private @wide
// STREAM: linalg.matmul {fleet.streamed}
// STREAM: } {fleet.tiles_summed = 3 : i64, fleet.tiles_together = 3 : i64}
// STREAM-LABEL: func.func private @narrow
// STREAM: linalg.matmul {fleet.streamed}
// STREAM: } {fleet.tiles_summed = 3 : i64, fleet.tiles_together = 3 : i64}
// A slot is free after 2 arrivals. A round of the stream is a slot of each turn.
// STREAM-LABEL: gpu.func @fleet_step
// STREAM: memref.get_global @ring_empty
// STREAM: "mbarrier.init.shared::cta.b64 [$0], $1;", "l,r" %{{.*}}, %c2_i32
// STREAM: %[[ROUND:.*]] = arith.constant 32768 : index
// STREAM: scf.for %{{.*}} = %{{.*}} to %{{.*}} step %[[ROUND]] iter_args
// STREAM-COUNT-2: scf.for
// STREAM: scf.for %{{.*}} = %{{.*}} to %c4{{.*}} step

// Rows past the end repeat the last one. A lane's 16 bytes are what it has of one step, 16 times for a chunk.
// CHECK-LABEL: func.func private @wide
// CHECK: arith.minui %{{.*}}, %c11
// CHECK-COUNT-16: vector.load {{.*}} {alignment = 16 : i64} : memref<12x2048xf32>, vector<4xf32>
// CHECK-NOT: vector.load
// CHECK: scf.for {{.*}} to %c8{{.*}} step %c4{{.*}} iter_args
// CHECK-NOT: vector.load
// High parts, which are rounded, and what is left of them.
// CHECK: %[[HIGH:.*]] = llvm.inline_asm {{.*}} "cvt.rn.bf16x2.f32 $0, $1, $2;", "=r,f,f"
// CHECK: arith.shli %[[HIGH]], %c16
// CHECK: arith.andi %[[HIGH]], %c-65536
// CHECK-COUNT-2: arith.subf
// CHECK: %[[REST:.*]] = llvm.inline_asm {{.*}} "cvt.rn.bf16x2.f32 $0, $1, $2;", "=r,f,f"
// CHECK: mbarrier.try_wait.parity.shared::cta.b64
// Two lanes of each 4 have the other half of the columns: no two rows of a matrix are in the same banks.
// CHECK: %[[SWAPPED:.*]] = arith.cmpi uge, %{{.*}}, %c2
// CHECK: nvvm.ldmatrix
// CHECK: %[[FIRST:.*]] = arith.select %[[SWAPPED]]
// CHECK-COUNT-3: arith.select %[[SWAPPED]]
// CHECK: nvvm.mma.sync A[%[[FIRST]], %{{.*}}, %{{.*}}, %{{.*}}] B[%[[HIGH]], %{{.*}}]
// CHECK: nvvm.mma.sync A[%[[FIRST]], %{{.*}}, %{{.*}}, %{{.*}}] B[%[[REST]], %{{.*}}]
// CHECK-COUNT-30: nvvm.mma.sync
// CHECK-NOT: nvvm.mma.sync
// Three sums become one.
// CHECK-COUNT-8: arith.addf
// CHECK: nvvm.bar.warp.sync
// CHECK: mbarrier.arrive.shared::cta.b64
// The round's last tile loads the next chunk, each step when it has multiplied that of this one: a worker without that
// tile loads it then.
// CHECK: scf.if
// CHECK-COUNT-32: nvvm.mma.sync
// CHECK-NOT: vector.load
// CHECK: mbarrier.arrive.shared::cta.b64 _, [$0];
// CHECK: scf.if
// CHECK: nvvm.ldmatrix
// CHECK-COUNT-2: nvvm.mma.sync
// CHECK: vector.load {{.*}} : memref<12x2048xf32>, vector<4xf32>
// CHECK: nvvm.ldmatrix
// CHECK-COUNT-2: nvvm.mma.sync
// CHECK-COUNT-15: vector.load {{.*}} : memref<12x2048xf32>, vector<4xf32>
// CHECK-NOT: vector.load
// CHECK: } else {
// CHECK-COUNT-16: vector.load {{.*}} : memref<12x2048xf32>, vector<4xf32>
// The bf16 one: a warp has 8 rows, too, and loads the next chunk before it multiplies this one.
// CHECK-LABEL: func.func private @narrow
// CHECK-COUNT-8: vector.load {{.*}} {alignment = 16 : i64} : memref<12x2048xbf16>, vector<8xbf16>
// CHECK: scf.for {{.*}} to %c8{{.*}} step %c4{{.*}} iter_args
// CHECK-COUNT-8: vector.load {{.*}} {alignment = 16 : i64} : memref<12x2048xbf16>, vector<8xbf16>
// CHECK: nvvm.ldmatrix
// CHECK-COUNT-16: nvvm.mma.sync
// CHECK-NOT: nvvm.mma.sync
// CHECK: nvvm.bar.warp.sync
// CHECK: mbarrier.arrive.shared::cta.b64

// EIGHT: fleet.row_groups = 1 : i64
// EIGHT-LABEL: func.func private @wide
// EIGHT-COUNT-16: vector.load {{.*}} : memref<8x2048xf32>, vector<4xf32>
// EIGHT: mbarrier.try_wait.parity.shared::cta.b64
// EIGHT: nvvm.ldmatrix
// EIGHT-NOT: arith.select
// EIGHT: nvvm.mma.sync
// EIGHT-COUNT-31: nvvm.mma.sync
// EIGHT-NOT: nvvm.mma.sync
// EIGHT-COUNT-4: arith.addf
// EIGHT: nvvm.bar.warp.sync
module attributes {fleet.target = #fleet.target<"sm_90a", backend = nvvm, chiplets = 1, workers = 2, lds = 232448, l2 = 1, hbm_gbs = 1, tile = 16>} {
  gpu.module @fleet attributes {fleet.threads = 256 : i64, fleet.lanes = 32 : i64} {
    memref.global "private" constant @device_tasks : memref<2x8xi32, #gpu.address_space<global>> = dense<[[0, 0, 0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0, 0]]>
    memref.global "private" constant @cu_tasks : memref<2x3xi32, #gpu.address_space<global>> = dense<[[0, 0, 3], [1, 0, 3]]>
    memref.global "private" constant @queues : memref<3xi32, #gpu.address_space<global>> = dense<[0, 1, 2]>
    memref.global "private" constant @arrivals : memref<2x1xi32, #gpu.address_space<global>> = dense<1>
    memref.global "private" @expired : memref<2xi32, #gpu.address_space<workgroup>> = uninitialized
    func.func private @wide(%x: memref<12x2048xf32>, %w: memref<8x2048x16xbf16>, %y: memref<12x16xf32>, %lo: index, %hi: index) {
      %c1 = arith.constant 1 : index
      scf.for %i = %lo to %hi step %c1 {
        %a = memref.subview %w[%i, 0, 0] [1, 2048, 16] [1, 1, 1] : memref<8x2048x16xbf16> to memref<2048x16xbf16, strided<[16, 1], offset: ?>>
        linalg.matmul ins(%x, %a : memref<12x2048xf32>, memref<2048x16xbf16, strided<[16, 1], offset: ?>>) outs(%y : memref<12x16xf32>)
      }
      return
    }
    func.func private @narrow(%x: memref<12x2048xbf16>, %w: memref<8x2048x16xbf16>, %y: memref<12x16xf32>, %lo: index, %hi: index) {
      %c1 = arith.constant 1 : index
      scf.for %i = %lo to %hi step %c1 {
        %a = memref.subview %w[%i, 0, 0] [1, 2048, 16] [1, 1, 1] : memref<8x2048x16xbf16> to memref<2048x16xbf16, strided<[16, 1], offset: ?>>
        linalg.matmul ins(%x, %a : memref<12x2048xbf16>, memref<2048x16xbf16, strided<[16, 1], offset: ?>>) outs(%y : memref<12x16xf32>)
      }
      return
    }
    func.func private @dispatch(%kind: index, %x: memref<12x2048xf32>, %u: memref<12x2048xbf16>, %w: memref<8x2048x16xbf16>, %y: memref<12x16xf32>, %lo: index, %hi: index) {
      scf.index_switch %kind
      case 0 {
        func.call @wide(%x, %w, %y, %lo, %hi) : (memref<12x2048xf32>, memref<8x2048x16xbf16>, memref<12x16xf32>, index, index) -> ()
        scf.yield
      }
      case 1 {
        func.call @narrow(%u, %w, %y, %lo, %hi) : (memref<12x2048xbf16>, memref<8x2048x16xbf16>, memref<12x16xf32>, index, index) -> ()
        scf.yield
      }
      default {
      }
      return
    }
    gpu.func @fleet_step(%params: memref<1024xi8, #gpu.address_space<global>>, %state: memref<64xi8, #gpu.address_space<global>>, %work: memref<64xi8, #gpu.address_space<global>>,
                         %input: memref<64xi8, #gpu.address_space<global>>, %output: memref<64xi8, #gpu.address_space<global>>, %epoch: i32, %steps: i32) kernel {
      gpu.barrier
      gpu.return
    }
  }
}
