// RUN: fleet-opt %s --pass-pipeline="builtin.module(gpu.module(fleet-amdgpu-lower-contractions))" | FileCheck %s
// RUN: fleet-opt %s --pass-pipeline="builtin.module(gpu.module(fleet-amdgpu-lower-contractions{chipset=gfx942}))" | FileCheck %s --check-prefix=GFX942

#lhs = affine_map<(m, n, k, g) -> (m, k, g)>
#rhs = affine_map<(m, n, k, g) -> (k, n, g)>
#out = affine_map<(m, n, k, g) -> (m, n)>
gpu.module @fleet attributes {fleet.threads = 256 : i64, fleet.lanes = 64 : i64} {
  // Partial sums of 4 waves, at most 32 x 16 f32 each.
  // CHECK-DAG: memref.global "private" @partial : memref<8192xi8, #gpu.address_space<workgroup>>
  memref.global "private" constant @device_tasks : memref<1x5xi32, #gpu.address_space<global>> = dense<0>

  // One tile of 40 steps, 10 rounds of the 4 waves: all held at once, asked for in front.
  // CHECK-LABEL: func @rows_3
  // CHECK-SAME: %[[X:[^:]*]]: memref<3x160x8xbf16>, %[[W:[^:]*]]: memref<1x160x16x8xbf16>,
  // CHECK-SAME: %[[RING:[^:]*]]: memref<16x8xbf16, #gpu.address_space<private>>
  // CHECK: memref.subview %[[W]][%{{.*}}, %{{.*}}, 0, 0] [1, 4, 16, 8] [1, 1, 1, 1]
  // CHECK: vector.load {{.*}} {alignment = 16 : i64} : memref<4x16x8xbf16, strided<[128, 8, 1], offset: ?>>, vector<8xbf16>
  // CHECK-COUNT-9: memref.subview %[[W]]
  // CHECK: arith.minui
  // CHECK: vector.load %[[RING]]
  // CHECK: vector.load %[[X]]
  // CHECK: amdgpu.mfma 16x16x32
  // CHECK: memref.subview %[[W]]
  // CHECK: vector.store {{.*}}, %[[RING]]
  // CHECK-COUNT-9: amdgpu.mfma 16x16x32
  // CHECK-NOT: amdgpu.mfma
  // CHECK-COUNT-4: memref.store
  // CHECK: gpu.barrier
  // CHECK-COUNT-4: arith.addf
  // CHECK: vector.store
  // CHECK: gpu.barrier
  // CHECK: return
  // GFX942-LABEL: func @rows_3
  // GFX942-COUNT-20: amdgpu.mfma 16x16x16
  // GFX942-NOT: amdgpu.mfma
  // GFX942: gpu.barrier
  func.func @rows_3(%x: memref<3x160x8xbf16>, %w: memref<1x160x16x8xbf16>, %y: memref<3x16xf32>, %lo: index, %hi: index, %s: memref<64xi8>) {
    %tile = memref.subview %w[0, 0, 0, 0] [1, 160, 16, 8] [1, 1, 1, 1] : memref<1x160x16x8xbf16> to memref<160x16x8xbf16>
    linalg.generic {indexing_maps = [#lhs, #rhs, #out], iterator_types = ["parallel", "parallel", "reduction", "reduction"]}
        ins(%x, %tile : memref<3x160x8xbf16>, memref<160x16x8xbf16>) outs(%y : memref<3x16xf32>) {
    ^bb0(%a: bf16, %b: bf16, %c: f32):
      %0 = arith.extf %a : bf16 to f32
      %1 = arith.extf %b : bf16 to f32
      %2 = arith.mulf %0, %1 : f32
      %3 = arith.addf %c, %2 : f32
      linalg.yield %3 : f32
    }
    return
  }
  // Two rows of blocks, 128 steps: two turns of a ring of 16. What comes after the last turn is the next tile;
  // after the last tile it is this one again.
  // CHECK-LABEL: func @tiles
  // CHECK-SAME: %[[W:[^:]*]]: memref<8x512x16x8xbf16>,
  // CHECK-NOT: memref.subview
  // CHECK: scf.for %[[I:.*]] =
  // CHECK: %[[NEXT:.*]] = arith.addi %[[I]]
  // CHECK: %[[MORE:.*]] = arith.cmpi slt, %[[NEXT]]
  // CHECK: arith.select %[[MORE]]
  // CHECK: scf.for {{.*}} iter_args
  // CHECK-COUNT-16: memref.subview %[[W]][%{{.*}}, %{{.*}}, 0, 0] [1, 4, 16, 8]
  // CHECK: scf.yield
  // CHECK-COUNT-16: memref.subview %[[W]][%{{.*}}, %{{.*}}, 0, 0] [1, 4, 16, 8]
  // CHECK-NOT: memref.subview %[[W]]
  // CHECK: gpu.barrier
  func.func @tiles(%x: memref<17x512x8xbf16>, %w: memref<8x512x16x8xbf16>, %y: memref<17x16xf32>, %lo: index, %hi: index, %s: memref<64xi8>) {
    %c16 = arith.constant 16 : index
    %begin = arith.muli %lo, %c16 : index
    %end = arith.muli %hi, %c16 : index
    scf.for %i = %begin to %end step %c16 {
      %t = arith.divui %i, %c16 : index
      %tile = memref.subview %w[%t, 0, 0, 0] [1, 512, 16, 8] [1, 1, 1, 1] : memref<8x512x16x8xbf16> to memref<512x16x8xbf16, strided<[128, 8, 1], offset: ?>>
      linalg.generic {indexing_maps = [#lhs, #rhs, #out], iterator_types = ["parallel", "parallel", "reduction", "reduction"]}
          ins(%x, %tile : memref<17x512x8xbf16>, memref<512x16x8xbf16, strided<[128, 8, 1], offset: ?>>) outs(%y : memref<17x16xf32>) {
      ^bb0(%a: bf16, %b: bf16, %c: f32):
        %0 = arith.extf %a : bf16 to f32
        %1 = arith.extf %b : bf16 to f32
        %2 = arith.mulf %0, %1 : f32
        %3 = arith.addf %c, %2 : f32
        linalg.yield %3 : f32
      }
    }
    return
  }
  // 5 steps: in the second round one wave takes part, the others add zeros.
  // CHECK-LABEL: func @rest
  // CHECK-COUNT-2: amdgpu.mfma 16x16x32
  // CHECK-NOT: amdgpu.mfma
  // CHECK: return
  func.func @rest(%x: memref<2x20x8xbf16>, %w: memref<1x20x16x8xbf16>, %y: memref<2x16xf32>, %lo: index, %hi: index, %s: memref<64xi8>) {
    %tile = memref.subview %w[0, 0, 0, 0] [1, 20, 16, 8] [1, 1, 1, 1] : memref<1x20x16x8xbf16> to memref<20x16x8xbf16>
    linalg.generic {indexing_maps = [#lhs, #rhs, #out], iterator_types = ["parallel", "parallel", "reduction", "reduction"]}
        ins(%x, %tile : memref<2x20x8xbf16>, memref<20x16x8xbf16>) outs(%y : memref<2x16xf32>) {
    ^bb0(%a: bf16, %b: bf16, %c: f32):
      %0 = arith.extf %a : bf16 to f32
      %1 = arith.extf %b : bf16 to f32
      %2 = arith.mulf %0, %1 : f32
      %3 = arith.addf %c, %2 : f32
      linalg.yield %3 : f32
    }
    return
  }
  // f32 stays for the loops.
  // CHECK-LABEL: func @f32
  // CHECK: linalg.matmul
  func.func @f32(%x: memref<2x8xf32>, %w: memref<8x16xf32>, %y: memref<2x16xf32>) {
    linalg.matmul ins(%x, %w : memref<2x8xf32>, memref<8x16xf32>) outs(%y : memref<2x16xf32>)
    return
  }
  // CHECK-LABEL: func @dispatch
  // CHECK-SAME: %[[RING:[^:]*]]: memref<16x8xbf16, #gpu.address_space<private>>)
  // CHECK: call @tiles({{.*}}, %[[RING]])
  func.func @dispatch(%params: memref<1024xi8, #gpu.address_space<global>>, %b: index, %c: index, %d: index, %e: index, %task: index, %lo: index, %hi: index, %worker: index) {
    %x = memref.alloc() : memref<17x512x8xbf16>
    %w = memref.alloc() : memref<8x512x16x8xbf16>
    %y = memref.alloc() : memref<17x16xf32>
    %s = memref.alloc() : memref<64xi8>
    %z = memref.alloc() : memref<2x8xf32>
    %v = memref.alloc() : memref<8x16xf32>
    %u = memref.alloc() : memref<2x16xf32>
    scf.index_switch %task
    case 0 {
      func.call @f32(%z, %v, %u) : (memref<2x8xf32>, memref<8x16xf32>, memref<2x16xf32>) -> ()
      scf.yield
    }
    case 1 {
      func.call @tiles(%x, %w, %y, %lo, %hi, %s) : (memref<17x512x8xbf16>, memref<8x512x16x8xbf16>, memref<17x16xf32>, index, index, memref<64xi8>) -> ()
      scf.yield
    }
    default {
    }
    return
  }
  // Case 0 is not asked for ahead; case 1: the offset in column 4 of 128 steps, of which the ring holds 16 rounds.
  // CHECK: memref.global "private" constant @streams : memref<2x3xi32, #gpu.address_space<global>> = dense<{{\[}}[0, 0, 0], [4, 128, 16]]>
  // Before the waits, all waves but the one that polls ask for the head of the stream; that one comes after.
  // CHECK-LABEL: gpu.func @fleet_step
  // CHECK: %[[RING:.*]] = memref.alloca() : memref<16x8xbf16, #gpu.address_space<private>>
  // CHECK: scf.while
  // CHECK: arith.cmpi ne
  // CHECK-COUNT-16: vector.store {{.*}}, %[[RING]]
  // CHECK: fleet.wait
  // CHECK: arith.cmpi eq
  // CHECK-COUNT-16: vector.store {{.*}}, %[[RING]]
  // CHECK: func.call @dispatch({{.*}}, %[[RING]])
  gpu.func @fleet_step(%params: memref<1024xi8, #gpu.address_space<global>>, %b: index, %events: memref<8xi32, #gpu.address_space<global>>, %i: index, %epoch: i32) kernel {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %r = scf.while (%cu = %c0) : (index) -> index {
      %more = arith.cmpi slt, %cu, %i : index
      scf.condition(%more) %cu : index
    } do {
    ^bb0(%cu: index):
      %task = arith.addi %cu, %b : index
      scf.for %k = %c0 to %task step %c1 {
        fleet.wait #fleet.scope<device> %events[%k] >= %epoch : memref<8xi32, #gpu.address_space<global>>
      }
      func.call @dispatch(%params, %b, %b, %b, %b, %task, %cu, %i, %b) : (memref<1024xi8, #gpu.address_space<global>>, index, index, index, index, index, index, index, index) -> ()
      %next = arith.addi %cu, %c1 : index
      scf.yield %next : index
    }
    gpu.return
  }
}
