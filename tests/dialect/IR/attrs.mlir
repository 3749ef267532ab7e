// RUN: fleet-opt %s | fleet-opt | FileCheck %s
// RUN: fleet-opt %s --emit-bytecode | fleet-opt | FileCheck %s

// CHECK-LABEL: func private @scopes
// CHECK-SAME: mem = [#fleet.mem<registers>, #fleet.mem<lds>, #fleet.mem<l2>, #fleet.mem<hbm>]
// CHECK-SAME: scope = [#fleet.scope<wavefront>, #fleet.scope<cu>, #fleet.scope<chiplet>, #fleet.scope<device>]
func.func private @scopes() attributes {
  mem = [#fleet.mem<registers>, #fleet.mem<lds>, #fleet.mem<l2>, #fleet.mem<hbm>],
  scope = [#fleet.scope<wavefront>, #fleet.scope<cu>, #fleet.scope<chiplet>, #fleet.scope<device>]
}

// A memory scope is a memory space.
// CHECK: func private @spaces(memref<4xf32, #fleet.mem<registers>>, memref<4xf32, #fleet.mem<lds>>, memref<4xf32, #fleet.mem<l2>>, memref<4xf32, #fleet.mem<hbm>>)
func.func private @spaces(memref<4xf32, #fleet.mem<registers>>, memref<4xf32, #fleet.mem<lds>>,
                          memref<4xf32, #fleet.mem<l2>>, memref<4xf32, #fleet.mem<hbm>>)

// CHECK-LABEL: func private @cuts
// CHECK-SAME: partition = [#fleet.partition<columns, tiles = 9, size = 64>, #fleet.partition<heads, tiles = 8, size = 4>, #fleet.partition<whole, tiles = 1, size = 1>, #fleet.partition<rows, tiles = 8, size = 16, splits = 2>, #fleet.partition<replicated, tiles = 2, size = 32>]
// CHECK-SAME: traversal = [#fleet.traversal<n_major>, #fleet.traversal<m_major>, #fleet.traversal<full_m>]
func.func private @cuts() attributes {
  partition = [#fleet.partition<columns, tiles = 9, size = 64>, #fleet.partition<heads, tiles = 8, size = 4>,
               #fleet.partition<whole, tiles = 1, size = 1>, #fleet.partition<rows, tiles = 8, size = 16, splits = 2>,
               #fleet.partition<replicated, tiles = 2, size = 32>],
  traversal = [#fleet.traversal<n_major>, #fleet.traversal<m_major>, #fleet.traversal<full_m>]
}

// A target of one's own: 4 chiplets of 16 workers, for each backend.
// CHECK-LABEL: func private @targets
// CHECK-SAME: a = #fleet.target<"study", backend = llvm, chiplets = 4, workers = 16, lds = 65536, l2 = 4194304, hbm_gbs = 1000, tile = 32>
// CHECK-SAME: b = #fleet.target<"study", backend = rocdl, chiplets = 4, workers = 16, lds = 65536, l2 = 4194304, hbm_gbs = 1000, tile = 32>
// CHECK-SAME: c = #fleet.target<"study", backend = nvvm, chiplets = 4, workers = 16, lds = 65536, l2 = 4194304, hbm_gbs = 1000, tile = 32>
// CHECK-SAME: d = #fleet.target<"study", backend = rocdl, chiplets = 4, workers = 16, lds = 65536, l2 = 4194304, hbm_gbs = 1000, tile = 32, units = 16, simds = 4, registers = 512, waves = 8>
func.func private @targets() attributes {
  a = #fleet.target<"study", backend = llvm, chiplets = 4, workers = 16, lds = 65536, l2 = 4194304, hbm_gbs = 1000, tile = 32>,
  b = #fleet.target<"study", backend = rocdl, chiplets = 4, workers = 16, lds = 65536, l2 = 4194304, hbm_gbs = 1000, tile = 32>,
  c = #fleet.target<"study", backend = nvvm, chiplets = 4, workers = 16, lds = 65536, l2 = 4194304, hbm_gbs = 1000, tile = 32>,
  d = #fleet.target<"study", backend = rocdl, chiplets = 4, workers = 16, lds = 65536, l2 = 4194304, hbm_gbs = 1000, tile = 32, units = 16, simds = 4, registers = 512, waves = 8>
}
