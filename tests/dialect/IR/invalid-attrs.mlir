// One case for each rule of the attributes' verifiers.
// RUN: fleet-opt %s -split-input-file -verify-diagnostics

// expected-error @+1 {{expected a positive number of tiles and a positive tile size, found 0 and 64}}
func.func private @f() attributes {a = #fleet.partition<columns, tiles = 0, size = 64>}

// -----

// expected-error @+1 {{expected a positive number of tiles and a positive tile size, found 4 and -1}}
func.func private @f() attributes {a = #fleet.partition<columns, tiles = 4, size = -1>}

// -----

// expected-error @+1 {{expected 1 tile of a whole task, found 2}}
func.func private @f() attributes {a = #fleet.partition<whole, tiles = 2, size = 64>}

// -----

// expected-error @+2 {{expected ::mlir::fleet::PartitionKind to be one of: columns, heads, whole, rows, replicated}}
// expected-error @+1 {{failed to parse Fleet_PartitionAttr parameter 'kind'}}
func.func private @f() attributes {a = #fleet.partition<planes, tiles = 2, size = 64>}

// -----

// expected-error @+1 {{expected splits of a partition by rows alone, found 2 of columns}}
func.func private @f() attributes {a = #fleet.partition<columns, tiles = 2, size = 64, splits = 2>}

// -----

// expected-error @+1 {{expected as many tiles in each split, found 5 tiles in 2 splits}}
func.func private @f() attributes {a = #fleet.partition<rows, tiles = 5, size = 64, splits = 2>}

// -----

// expected-error @+1 {{expected a target name, found none}}
func.func private @f() attributes {a = #fleet.target<"", backend = llvm, chiplets = 1, workers = 1, lds = 1, l2 = 1, hbm_gbs = 1, tile = 1>}

// -----

// expected-error @+1 {{expected a positive number of chiplets, found 0}}
func.func private @f() attributes {a = #fleet.target<"t", backend = llvm, chiplets = 0, workers = 1, lds = 1, l2 = 1, hbm_gbs = 1, tile = 1>}

// -----

// expected-error @+1 {{expected a positive number of workers, found -4}}
func.func private @f() attributes {a = #fleet.target<"t", backend = llvm, chiplets = 1, workers = -4, lds = 1, l2 = 1, hbm_gbs = 1, tile = 1>}

// -----

// expected-error @+1 {{expected a positive lds size, found 0}}
func.func private @f() attributes {a = #fleet.target<"t", backend = llvm, chiplets = 1, workers = 1, lds = 0, l2 = 1, hbm_gbs = 1, tile = 1>}

// -----

// expected-error @+1 {{expected a positive l2 size, found 0}}
func.func private @f() attributes {a = #fleet.target<"t", backend = llvm, chiplets = 1, workers = 1, lds = 1, l2 = 0, hbm_gbs = 1, tile = 1>}

// -----

// expected-error @+1 {{expected a positive hbm bandwidth, found 0}}
func.func private @f() attributes {a = #fleet.target<"t", backend = llvm, chiplets = 1, workers = 1, lds = 1, l2 = 1, hbm_gbs = 0, tile = 1>}

// -----

// expected-error @+1 {{expected a positive tile width, found 0}}
func.func private @f() attributes {a = #fleet.target<"t", backend = llvm, chiplets = 1, workers = 1, lds = 1, l2 = 1, hbm_gbs = 1, tile = 0>}

// -----

// expected-error @+1 {{expected a positive number of simds, found 0}}
func.func private @f() attributes {a = #fleet.target<"t", backend = rocdl, chiplets = 1, workers = 1, lds = 1, l2 = 1, hbm_gbs = 1, tile = 1, units = 4, simds = 0, registers = 512, waves = 8>}

// -----

// expected-error @+1 {{expected a positive number of waves, found -1}}
func.func private @f() attributes {a = #fleet.target<"t", backend = rocdl, chiplets = 1, workers = 1, lds = 1, l2 = 1, hbm_gbs = 1, tile = 1, units = 4, simds = 4, registers = 512, waves = -1>}

// -----

// expected-error @+2 {{expected ::mlir::fleet::Backend to be one of: llvm, rocdl, nvvm}}
// expected-error @+1 {{failed to parse Fleet_TargetAttr parameter 'backend'}}
func.func private @f() attributes {a = #fleet.target<"t", backend = spirv, chiplets = 1, workers = 1, lds = 1, l2 = 1, hbm_gbs = 1, tile = 1>}

// -----

// expected-error @+1 {{expected rows of a tile of a traversal that cuts them, found 16 of full_m}}
func.func private @f() attributes {a = #fleet.traversal<full_m, rows = 16>}

// -----

// expected-error @+1 {{expected a window of a windowed traversal, found 4 of m_major}}
func.func private @f() attributes {a = #fleet.traversal<m_major, rows = 16, window = 4>}
