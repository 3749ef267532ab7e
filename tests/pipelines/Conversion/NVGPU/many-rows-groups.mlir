// Left sides of f32 of more than 16 rows: four warps multiply a slot together, which none of them loads.
// RUN: fleet-opt %s --pass-pipeline="builtin.module(gpu.module(fleet-nvgpu-stream-weights))" | FileCheck %s --check-prefix=STREAM
// RUN: fleet-opt %s --pass-pipeline="builtin.module(gpu.module(fleet-nvgpu-stream-weights,fleet-nvgpu-lower-contractions))" | FileCheck %s --implicit-check-not=nvvm.ldmatrix --implicit-check-not=nvvm.mma.sync
// Without them that are more than 32 rows: a warp has two blocks of 8 then, the first and the second half of its 16 rows of wgmma.
// RUN: sed -e 's/32x512xf32/64x512xbf16/g;s/32x/64x/g' %s | fleet-opt - --pass-pipeline="builtin.module(gpu.module(fleet-nvgpu-stream-weights,fleet-nvgpu-lower-contractions))" | FileCheck %s --check-prefix=TWO --implicit-check-not=nvvm.ldmatrix --implicit-check-not=nvvm.mma.sync
// Up to 32 rows of bf16 nobody needs them, and weights are stored as ever.
// RUN: sed -e 's/32x512xf32/32x512xbf16/g' %s | fleet-opt - --pass-pipeline="builtin.module(gpu.module(fleet-nvgpu-stream-weights,fleet-nvgpu-lower-contractions))" | FileCheck %s --check-prefix=WARPS --implicit-check-not=fleet.ordered_weights --implicit-check-not=wgmma

// STREAM: gpu.module @fleet attributes {{{.*}}fleet.ordered_weights, fleet.ring_slots = 12 : i64, fleet.row_groups = 4 : i64
// STREAM-LABEL: func.func private @wide
// STREAM: linalg.matmul {fleet.streamed}
// STREAM-LABEL: func.func private @ragged
// STREAM: linalg.matmul {fleet.streamed}
// Four warps that copy nothing but for one thread: registers go from one group of four to others.
// STREAM-LABEL: gpu.func @fleet_step
// STREAM-SAME: known_block_size = array<i32: 384, 1, 1>
// STREAM-SAME: nvvm.minctasm = 1 : i32
// A slot is free after 4 arrivals.
// STREAM: memref.get_global @ring_empty
// STREAM: "mbarrier.init.shared::cta.b64 [$0], $1;", "l,r" %{{.*}}, %c4_i32
// STREAM: %[[WALKS:.*]] = arith.cmpi ult, %{{.*}}, %c256
// STREAM: %[[ALL:.*]] = arith.constant 384 : i32
// STREAM-NEXT: nvvm.barrier id = %{{.*}} number_of_threads = %[[ALL]]
// STREAM-NEXT: scf.if %[[WALKS]] {
// STREAM-NEXT: "setmaxnreg.inc.sync.aligned.u32 216;"
// STREAM: gpu.barrier
// STREAM: } else {
// STREAM-NEXT: "setmaxnreg.dec.sync.aligned.u32 72;"
// A slot has the chunks of two tiles, one behind the other, if there is a second one: which may be the same tile's of another matrix.
// STREAM: scf.for {{.*}} step %c16384
// STREAM: scf.for {{.*}} step %c2
// STREAM: %[[WRAPS:.*]] = arith.cmpi eq,
// STREAM: %[[TILE:.*]] = arith.select %[[WRAPS]]
// STREAM: %[[EXISTS:.*]] = arith.cmpi ult, %[[TILE]]
// STREAM: %[[TWICE:.*]] = arith.shli %[[BYTES:.*]], %c1_i32
// STREAM: %[[ALL:.*]] = arith.select %[[EXISTS]], %[[TWICE]], %[[BYTES]] : i32
// STREAM: mbarrier.arrive.expect_tx.{{.*}} %{{.*}}, %[[ALL]]
// STREAM: %[[SLOT:.*]] = arith.muli %{{.*}}, %c16384
// STREAM: cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes {{.*}} %[[BYTES]],
// STREAM: scf.if %[[EXISTS]] {
// STREAM: arith.addi %[[SLOT]],
// STREAM: cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes {{.*}} %[[BYTES]],

// A lane's four elements of a step are those of its row, high parts and what they leave: rows g and g + 8 of wgmma.
// CHECK-LABEL: func.func private @wide
// CHECK: scf.for {{.*}} to %c2{{.*}} step %c2{{.*}} iter_args
// CHECK-COUNT-16: vector.load {{.*}} {alignment = 16 : i64} : memref<32x512xf32>, vector<4xf32>
// CHECK-NOT: vector.load
// CHECK: %[[HIGH:.*]] = llvm.inline_asm {{.*}} "cvt.rn.bf16x2.f32 $0, $1, $2;", "=r,f,f"
// CHECK: %[[REST:.*]] = llvm.inline_asm {{.*}} "cvt.rn.bf16x2.f32 $0, $1, $2;", "=r,f,f"
// CHECK: mbarrier.try_wait.parity.shared::cta.b64
// All lanes have the same place of the slot, matrices of the next elements 128 bytes further (8 << 16), of the next columns 4096.
// CHECK: %[[UNITS:.*]] = arith.shrui %{{.*}}, %c4
// CHECK: %[[NEXT:.*]] = arith.constant 524288 : i32
// CHECK: %[[BOTH:.*]] = arith.ori %[[UNITS]], %[[NEXT]] : i32
// CHECK: %[[COLUMNS:.*]] = arith.constant 256 : i32
// CHECK: %[[PLACE:.*]] = nvvm.shfl.sync idx %{{.*}}, %[[BOTH]]
// One group of 16 steps a slot, the first of which adds to nothing. It has been read when the group is waited for.
// CHECK: wgmma.fence.sync.aligned; mov.b64 at, {low, $81}; wgmma.mma_async.sync.aligned.m64n32k16.f32.bf16.bf16 {$0, $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15}, {$16, $17, $18, $19}, at, p, 1, 1, 0; add.s32 low, low, 16; setp.eq.s32 p, 0, 0;
// CHECK-COUNT-15: wgmma.mma_async.sync.aligned.m64n32k16.f32.bf16.bf16
// CHECK-NOT: wgmma.mma_async
// CHECK-SAME: {$76, $77, $78, $79}, at, p, 1, 1, 0; wgmma.commit_group.sync.aligned; wgmma.wait_group.sync.aligned 0; }"
// CHECK-SAME: ~{memory}" %[[HIGH]], %[[REST]], {{.*}}, %[[PLACE]], %[[COLUMNS]] :
// What high parts and rests give is one sum, of each of two tiles.
// CHECK-COUNT-16: arith.addf
// CHECK-NOT: wgmma
// CHECK-NOT: fence.proxy
// CHECK: nvvm.bar.warp.sync
// CHECK-NOT: fence.proxy
// CHECK: "mbarrier.arrive.shared::cta.b64 _, [$0];"
// So for the third tile, if it exists: the other half of its slot is nobody's.
// CHECK: scf.if
// CHECK: wgmma.fence.sync.aligned;
// CHECK-NOT: wgmma.fence
// CHECK-COUNT-8: arith.addf
// CHECK-NOT: arith.addf
// CHECK-NOT: fence.proxy
// CHECK: mbarrier.arrive
// Sums of two turns, a lane's two adjacent columns at once. Behind them four warps take a tile.
// CHECK-COUNT-6: vector.store {{.*}} {alignment = 8 : i64} : memref<6x32x16xf32, #gpu.address_space<workgroup>>, vector<2xf32>
// CHECK-NEXT: gpu.barrier
// CHECK: scf.for {{.*}} step %c2
// CHECK-COUNT-2: vector.load {{.*}} {alignment = 16 : i64} : memref<6x32x16xf32, #gpu.address_space<workgroup>>, vector<4xf32>
// CHECK: vector.store {{.*}} : memref<32x16xf32>, vector<4xf32>
// CHECK-NEXT: }
// CHECK-NEXT: }
// CHECK-NEXT: gpu.barrier
// The other contraction of the kernel is computed so, too: nothing is in row g + 8. Where the last chunk is not whole
// steps are asked for one by one, and add to what the one before gave. Columns are as far apart then as it has steps, 256 bytes each.
// CHECK-LABEL: func.func private @ragged
// CHECK-COUNT-16: vector.load {{.*}} : memref<32x320xbf16>, vector<4xbf16>
// CHECK: %[[NOBODY:.*]] = arith.constant 0 : i32
// CHECK: mbarrier.try_wait.parity.shared::cta.b64
// CHECK: %[[STEPS:.*]] = arith.index_cast %{{.*}} : index to i32
// CHECK: scf.if
// CHECK: %[[APART:.*]] = arith.muli %[[STEPS]], %c16_i32
// CHECK: %[[COLUMNS:.*]] = nvvm.shfl.sync idx %{{.*}}, %[[APART]]
// CHECK: setp.ne.s32 p, 0, 0; wgmma.fence.sync.aligned; setp.eq.s32 p, 0, 0; {{.*}}wgmma.mma_async
// CHECK-NOT: wgmma.mma_async
// CHECK-SAME: wgmma.wait_group.sync.aligned 0; }", "=&f,=&f,=&f,=&f,=&f,=&f,=&f,=&f,=&f,=&f,=&f,=&f,=&f,=&f,=&f,=&f,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,r,r,r,r,r,r,~{memory}"
// CHECK-SAME: %[[NOBODY]],
// CHECK-SAME: %[[COLUMNS]] :
// CHECK: } else {
// CHECK-COUNT-15: wgmma.fence.sync.aligned;
// CHECK-COUNT-8: arith.addf
// CHECK-NOT: wgmma
// CHECK-NOT: fence.proxy
// CHECK: mbarrier.arrive.shared::cta.b64
// CHECK-LABEL: func.func private @dispatch

// TWO: fleet.ordered_weights{{.*}}fleet.row_groups = 4 : i64
// TWO-LABEL: func.func private @wide
// TWO-COUNT-32: vector.load {{.*}} {alignment = 8 : i64} : memref<64x512xbf16>, vector<4xbf16>
// TWO-NOT: vector.load
// TWO: wgmma.fence.sync.aligned;
// TWO-COUNT-16: wgmma.mma_async
// TWO-NOT: wgmma.mma_async
// TWO-SAME: wgmma.wait_group.sync.aligned 0; }"
// TWO-COUNT-16: arith.addf
// TWO-NOT: arith.addf
// TWO: mbarrier.arrive.shared::cta.b64
// TWO-COUNT-12: vector.store {{.*}} : memref<6x64x16xf32, #gpu.address_space<workgroup>>, vector<2xf32>
// TWO-LABEL: func.func private @dispatch

// WARPS: fleet.row_groups = 2 : i64
// WARPS-LABEL: func.func private @wide
// WARPS: nvvm.ldmatrix
// WARPS: fence.proxy.async.shared::cta
// WARPS: mbarrier.arrive.shared::cta.b64
// WARPS-LABEL: gpu.func @fleet_step
// WARPS-SAME: known_block_size = array<i32: 384, 1, 1>
module attributes {fleet.target = #fleet.target<"sm_90a", backend = nvvm, chiplets = 1, workers = 2, lds = 232448, l2 = 1, hbm_gbs = 1, tile = 16>} {
  gpu.module @fleet attributes {fleet.threads = 256 : i64, fleet.lanes = 32 : i64} {
    memref.global "private" constant @device_tasks : memref<2x8xi32, #gpu.address_space<global>> = dense<[[0, 0, 0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0, 0]]>
    memref.global "private" constant @cu_tasks : memref<2x3xi32, #gpu.address_space<global>> = dense<[[0, 0, 3], [1, 0, 3]]>
    memref.global "private" constant @queues : memref<3xi32, #gpu.address_space<global>> = dense<[0, 1, 2]>
    memref.global "private" constant @arrivals : memref<2x1xi32, #gpu.address_space<global>> = dense<1>
    memref.global "private" @expired : memref<2xi32, #gpu.address_space<workgroup>> = uninitialized
    func.func private @wide(%x: memref<32x512xf32>, %w: memref<8x512x16xbf16>, %y: memref<32x16xf32>, %lo: index, %hi: index) {
      %c1 = arith.constant 1 : index
      scf.for %i = %lo to %hi step %c1 {
        %a = memref.subview %w[%i, 0, 0] [1, 512, 16] [1, 1, 1] : memref<8x512x16xbf16> to memref<512x16xbf16, strided<[16, 1], offset: ?>>
        linalg.matmul ins(%x, %a : memref<32x512xf32>, memref<512x16xbf16, strided<[16, 1], offset: ?>>) outs(%y : memref<32x16xf32>)
      }
      return
    }
    // What stands nowhere in the parameters may look like a weight, and be read in any way.
    func.func private @ragged(%x: memref<32x320xbf16>, %w: memref<8x320x16xbf16>, %t: memref<8x320x16xbf16>, %y: memref<32x16xf32>, %lo: index, %hi: index) {
      %one = memref.load %t[%lo, %lo, %lo] : memref<8x320x16xbf16>
      %c1 = arith.constant 1 : index
      scf.for %i = %lo to %hi step %c1 {
        %a = memref.subview %w[%i, 0, 0] [1, 320, 16] [1, 1, 1] : memref<8x320x16xbf16> to memref<320x16xbf16, strided<[16, 1], offset: ?>>
        linalg.matmul ins(%x, %a : memref<32x320xbf16>, memref<320x16xbf16, strided<[16, 1], offset: ?>>) outs(%y : memref<32x16xf32>)
      }
      return
    }
    func.func private @dispatch(%params: memref<?xi8>, %kind: index, %x: memref<32x512xf32>, %u: memref<32x320xbf16>, %t: memref<8x320x16xbf16>, %y: memref<32x16xf32>, %lo: index, %hi: index) {
      %v = memref.view %params[%lo][] : memref<?xi8> to memref<8x512x16xbf16>
      %w = memref.view %params[%lo][] : memref<?xi8> to memref<8x320x16xbf16>
      scf.index_switch %kind
      case 0 {
        func.call @wide(%x, %v, %y, %lo, %hi) : (memref<32x512xf32>, memref<8x512x16xbf16>, memref<32x16xf32>, index, index) -> ()
        scf.yield
      }
      case 1 {
        func.call @ragged(%u, %w, %t, %y, %lo, %hi) : (memref<32x320xbf16>, memref<8x320x16xbf16>, memref<8x320x16xbf16>, memref<32x16xf32>, index, index) -> ()
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
