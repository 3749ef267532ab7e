// The end of tiles that are computed together.
// RUN: fleet-opt %s --pass-pipeline="builtin.module(gpu.module(fleet-nvgpu-stream-weights))" | FileCheck %s --check-prefix=STREAM
// RUN: fleet-opt %s --pass-pipeline="builtin.module(gpu.module(fleet-nvgpu-stream-weights,fleet-nvgpu-lower-contractions),canonicalize,cse)" | FileCheck %s
// What reads other elements than its own needs them in shared memory.
// RUN: sed -e 's/.#same, #same, #same./[#same, #turned, #same]/' %s | fleet-opt - --pass-pipeline="builtin.module(gpu.module(fleet-nvgpu-stream-weights,fleet-nvgpu-lower-contractions),canonicalize,cse)" | FileCheck %s --check-prefix=TURNED
// RUN: sed -e 's/.#same, #same, #same./[#same, #turned, #same]/' %s | fleet-opt - --pass-pipeline="builtin.module(gpu.module(fleet-nvgpu-stream-weights,fleet-nvgpu-lower-contractions,fleet-gpu-lower-elementwise),canonicalize,cse)" | FileCheck %s --check-prefix=LOWER

// The sums of a tile take 2 x 4 turns x 16 rows x 64 bytes. What the ring leaves and other bodies' scratch decide of how
// many they are added at once.
// STREAM-LABEL: func.func private @gate
// STREAM-COUNT-2: linalg.matmul {fleet.streamed}
// STREAM: } {fleet.tiles_summed = 2 : i64, fleet.tiles_together = 3 : i64}
// What is not zero before, and no part of the result, is not streamed.
// STREAM-LABEL: func.func private @one
// STREAM: linalg.matmul ins(
// STREAM-NOT: fleet.tiles_summed

// Zeros are not written. The sums of two tiles stand behind the body's scratch, [tile][contraction][turn], then those of the
// third one, if it exists. Only what stores them is there for each.
// CHECK-LABEL: func.func private @gate
// CHECK-NOT: linalg.fill
// CHECK-NOT: memref.copy
// CHECK: scf.for %[[FROM:.*]] = %{{.*}} to %{{.*}} step %c32
// CHECK-NEXT: arith.cmpi eq, %[[FROM]],
// CHECK-NEXT: scf.if
// CHECK: %[[ALL:.*]] = memref.get_global @scratch
// CHECK: memref.view %[[ALL]][%c2048][] : {{.*}} to memref<16x16x16xf32, #gpu.address_space<workgroup>>
// CHECK-COUNT-16: vector.store {{.*}} : memref<16x16x16xf32, #gpu.address_space<workgroup>>
// CHECK-NEXT: }
// CHECK-NEXT: arith.cmpi eq, %[[FROM]],
// CHECK-NEXT: scf.if
// CHECK-COUNT-8: vector.store {{.*}} : memref<8x16x16xf32, #gpu.address_space<workgroup>>
// CHECK-NEXT: }
// CHECK-NEXT: gpu.barrier
// CHECK: %[[SUMS:.*]] = memref.view %{{.*}}[%c2048][] : {{.*}} to memref<16x16x16xf32, #gpu.address_space<workgroup>>
// Two warps take a tile: the four pairs of warps take them in turn. The same thread has an element of both contractions,
// and what follows from them, in registers. Rows whose halves have changed places are found by their number.
// CHECK: scf.for %[[TILE:.*]] = %{{.*}} to %{{.*}} step %c4 {
// CHECK: nvvm.bar.warp.sync
// CHECK-NEXT: %[[COLUMNS:.*]] = arith.muli %[[TILE]], %c16
// CHECK-NEXT: %[[AT:.*]] = arith.addi %[[FROM]], %[[COLUMNS]]
// CHECK-NEXT: %[[EXISTS:.*]] = arith.cmpi ult, %[[AT]],
// CHECK-NEXT: scf.if %[[EXISTS]] {
// CHECK: arith.xori
// CHECK: arith.muli %[[TILE]], %c8
// CHECK-COUNT-8: vector.load %[[SUMS]]
// CHECK-NOT: gpu.barrier
// CHECK: arith.mulf %{{.*}} : vector<4xf32>
// CHECK-NEXT: vector.store {{.*}} : memref<16x16xf32, strided<[48, 1], offset: ?>>, vector<4xf32>
// CHECK-NEXT: }
// CHECK-NEXT: }
// CHECK-NEXT: gpu.barrier
// CHECK-NEXT: }
// CHECK-LABEL: func.func private @one
// CHECK: linalg.fill

// Each is added where its first turn's was, behind a barrier read by warps of its own.
// TURNED-LABEL: func.func private @gate
// TURNED: gpu.barrier
// TURNED: scf.for {{.*}} step %c4 {
// TURNED-NOT: arith.xori
// TURNED-COUNT-4: vector.load %[[SUMS:.*]][
// TURNED: vector.store {{.*}} : memref<16x16x16xf32, #gpu.address_space<workgroup>>
// TURNED-COUNT-4: vector.load
// TURNED: vector.store {{.*}} : memref<16x16x16xf32, #gpu.address_space<workgroup>>
// TURNED-NEXT: }
// TURNED-NEXT: }
// TURNED-NEXT: gpu.barrier
// TURNED: linalg.generic {{.*}} attrs = {fleet.first_wave = 0 : i64}
// TURNED: scf.if
// TURNED: linalg.generic {{.*}} attrs = {fleet.first_wave = 2 : i64}
// TURNED: gpu.barrier
// TURNED-LABEL: func.func private @one

// LOWER-LABEL: func.func private @gate
// LOWER: gpu.barrier
// LOWER-NOT: arith.mulf
// LOWER: gpu.barrier
// LOWER: arith.mulf
// LOWER-NOT: gpu.barrier
// LOWER: arith.mulf
// LOWER: gpu.barrier
// LOWER-LABEL: func.func private @one
#turned = affine_map<(d0, d1) -> (d1, d0)>
#same = affine_map<(d0, d1) -> (d0, d1)>
module attributes {fleet.target = #fleet.target<"sm_90a", backend = nvvm, chiplets = 1, workers = 1, lds = 232448, l2 = 1, hbm_gbs = 1, tile = 16>} {
  gpu.module @fleet attributes {fleet.threads = 256 : i64, fleet.lanes = 32 : i64} {
    memref.global "private" constant @device_tasks : memref<2x8xi32, #gpu.address_space<global>> = dense<[[0, 0, 0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0, 0]]>
    memref.global "private" constant @cu_tasks : memref<2x3xi32, #gpu.address_space<global>> = dense<[[0, 0, 3], [1, 0, 1]]>
    memref.global "private" constant @queues : memref<2xi32, #gpu.address_space<global>> = dense<[0, 2]>
    memref.global "private" constant @arrivals : memref<2x1xi32, #gpu.address_space<global>> = dense<1>
    memref.global "private" @expired : memref<2xi32, #gpu.address_space<workgroup>> = uninitialized
    memref.global "private" @scratch : memref<10240xi8, #gpu.address_space<workgroup>> = uninitialized
    // 16 rows of f32: two warps a turn, of which there are 4.
    func.func private @gate(%x: memref<16x256xf32>, %v: memref<3x256x16xbf16>, %w: memref<3x256x16xbf16>, %y: memref<16x48xf32>, %lo: index, %hi: index, %scratch: memref<2048xi8, #gpu.address_space<workgroup>>) {
      %c0 = arith.constant 0 : index
      %c16 = arith.constant 16 : index
      %c1024 = arith.constant 1024 : index
      %zero = arith.constant 0.0 : f32
      %s = memref.view %scratch[%c0][] : memref<2048xi8, #gpu.address_space<workgroup>> to memref<16x16xf32, #gpu.address_space<workgroup>>
      %r = memref.view %scratch[%c1024][] : memref<2048xi8, #gpu.address_space<workgroup>> to memref<16x16xf32, #gpu.address_space<workgroup>>
      scf.for %i = %lo to %hi step %c16 {
        %t = arith.divui %i, %c16 : index
        %a = memref.subview %v[%t, 0, 0] [1, 256, 16] [1, 1, 1] : memref<3x256x16xbf16> to memref<256x16xbf16, strided<[16, 1], offset: ?>>
        linalg.fill ins(%zero : f32) outs(%r : memref<16x16xf32, #gpu.address_space<workgroup>>)
        memref.copy %r, %s : memref<16x16xf32, #gpu.address_space<workgroup>> to memref<16x16xf32, #gpu.address_space<workgroup>>
        linalg.matmul ins(%x, %a : memref<16x256xf32>, memref<256x16xbf16, strided<[16, 1], offset: ?>>) outs(%s : memref<16x16xf32, #gpu.address_space<workgroup>>)
        %b = memref.subview %w[%t, 0, 0] [1, 256, 16] [1, 1, 1] : memref<3x256x16xbf16> to memref<256x16xbf16, strided<[16, 1], offset: ?>>
        linalg.matmul ins(%x, %b : memref<16x256xf32>, memref<256x16xbf16, strided<[16, 1], offset: ?>>) outs(%r : memref<16x16xf32, #gpu.address_space<workgroup>>)
        %to = memref.subview %y[0, %i] [16, 16] [1, 1] : memref<16x48xf32> to memref<16x16xf32, strided<[48, 1], offset: ?>>
        linalg.generic {indexing_maps = [#same, #same, #same], iterator_types = ["parallel", "parallel"]}
            ins(%s, %r : memref<16x16xf32, #gpu.address_space<workgroup>>, memref<16x16xf32, #gpu.address_space<workgroup>>)
            outs(%to : memref<16x16xf32, strided<[48, 1], offset: ?>>) {
        ^bb0(%p: f32, %q: f32, %out: f32):
          %m = arith.mulf %p, %q : f32
          linalg.yield %m : f32
        }
      }
      return
    }
    func.func private @one(%x: memref<16x256xf32>, %v: memref<3x256x16xbf16>, %y: memref<16x16xf32>, %lo: index, %hi: index) {
      %c16 = arith.constant 16 : index
      %one = arith.constant 1.0 : f32
      scf.for %i = %lo to %hi step %c16 {
        %t = arith.divui %i, %c16 : index
        %a = memref.subview %v[%t, 0, 0] [1, 256, 16] [1, 1, 1] : memref<3x256x16xbf16> to memref<256x16xbf16, strided<[16, 1], offset: ?>>
        linalg.fill ins(%one : f32) outs(%y : memref<16x16xf32>)
        linalg.matmul ins(%x, %a : memref<16x256xf32>, memref<256x16xbf16, strided<[16, 1], offset: ?>>) outs(%y : memref<16x16xf32>)
      }
      return
    }
    func.func private @dispatch(%kind: index, %x: memref<16x256xf32>, %v: memref<3x256x16xbf16>, %y: memref<16x48xf32>, %z: memref<16x16xf32>,
                                %scratch: memref<2048xi8, #gpu.address_space<workgroup>>, %lo: index, %hi: index) {
      scf.index_switch %kind
      case 0 {
        func.call @gate(%x, %v, %v, %y, %lo, %hi, %scratch) : (memref<16x256xf32>, memref<3x256x16xbf16>, memref<3x256x16xbf16>, memref<16x48xf32>, index, index, memref<2048xi8, #gpu.address_space<workgroup>>) -> ()
        scf.yield
      }
      case 1 {
        func.call @one(%x, %v, %z, %lo, %hi) : (memref<16x256xf32>, memref<3x256x16xbf16>, memref<16x16xf32>, index, index) -> ()
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
