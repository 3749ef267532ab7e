// For racecheck, which follows neither a warp sync behind which one lane speaks for all nor what wgmma reads: each lane frees a
// slot, and of wgmma's slots first loads what its warps have multiplied.
// RUN: fleet-opt %S/many-rows-groups.mlir --pass-pipeline="builtin.module(gpu.module(fleet-nvgpu-stream-weights{lanes-free=true},fleet-nvgpu-lower-contractions))" | FileCheck %s --check-prefixes=ALL,GROUPS
// RUN: sed -e 's/32x512xf32/32x512xbf16/g' %S/many-rows-groups.mlir | fleet-opt - --pass-pipeline="builtin.module(gpu.module(fleet-nvgpu-stream-weights{lanes-free=true},fleet-nvgpu-lower-contractions))" | FileCheck %s --check-prefixes=ALL,WARPS

// ALL: gpu.module @fleet attributes {{{.*}}fleet.lanes_free

// GROUPS-LABEL: func.func private @wide
// GROUPS: wgmma.mma_async
// GROUPS: nvvm.bar.warp.sync
// GROUPS: scf.for {{.*}} step %c32
// GROUPS: llvm.load volatile {{.*}} -> vector<4xi32>
// GROUPS-NOT: arith.cmpi eq
// GROUPS: "fence.proxy.async.shared::cta;"
// GROUPS: "mbarrier.arrive.shared::cta.b64 _, [$0];"
// 4 warps of 32 lanes.
// GROUPS-LABEL: gpu.func @fleet_step
// GROUPS: memref.get_global @ring_empty
// GROUPS: "mbarrier.init.shared::cta.b64 [$0], $1;", "l,r" %{{.*}}, %c128_i32

// WARPS-LABEL: func.func private @wide
// WARPS: nvvm.mma.sync
// WARPS: nvvm.bar.warp.sync
// WARPS-NOT: arith.cmpi eq
// WARPS-NEXT: "fence.proxy.async.shared::cta;"
// WARPS-NEXT: memref.get_global @ring_empty
// WARPS: "mbarrier.arrive.shared::cta.b64 _, [$0];"
