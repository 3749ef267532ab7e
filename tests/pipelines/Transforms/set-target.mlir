// RUN: fleet-opt %s --fleet-set-target | FileCheck %s --check-prefix=CPU
// RUN: fleet-opt %s --fleet-set-target=target=gfx950 | FileCheck %s --check-prefix=GFX950
// RUN: fleet-opt %s --fleet-set-target=target=gfx942 | FileCheck %s --check-prefix=GFX942
// RUN: fleet-opt %s --fleet-set-target=target=sm_90a | FileCheck %s --check-prefix=SM90
// RUN: fleet-opt %s --fleet-set-target="target=cpu chiplets=8 workers=4" | FileCheck %s --check-prefix=STUDY
// RUN: not fleet-opt %s --fleet-set-target=target=gfx90a 2>&1 | FileCheck %s --check-prefix=UNKNOWN
// RUN: not fleet-opt %s --fleet-set-target=chiplets=-1 2>&1 | FileCheck %s --check-prefix=CHIPLETS
// RUN: not fleet-opt %s --fleet-set-target=workers=-2 2>&1 | FileCheck %s --check-prefix=WORKERS

// CPU: module attributes {fleet.target = #fleet.target<"cpu", backend = llvm, chiplets = 1, workers = 1, lds = 1048576, l2 = 2097152, hbm_gbs = 16, tile = 64>}
// GFX950: fleet.target = #fleet.target<"gfx950", backend = rocdl, chiplets = 8, workers = 32, lds = 163840, l2 = 4194304, hbm_gbs = 8000, tile = 16, units = 32, simds = 4, registers = 512, waves = 8>
// GFX942: fleet.target = #fleet.target<"gfx942", backend = rocdl, chiplets = 8, workers = 38, lds = 65536, l2 = 4194304, hbm_gbs = 5300, tile = 16, units = 38, simds = 4, registers = 512, waves = 8>
// SM90: fleet.target = #fleet.target<"sm_90a", backend = nvvm, chiplets = 1, workers = 132, lds = 232448, l2 = 52428800, hbm_gbs = 4800, tile = 16>
// STUDY: fleet.target = #fleet.target<"cpu", backend = llvm, chiplets = 8, workers = 4, lds = 1048576, l2 = 2097152, hbm_gbs = 16, tile = 64>
// UNKNOWN: error: unknown target 'gfx90a', expected one of cpu, gfx942, gfx950, sm_90a{{$}}
// CHIPLETS: error: expected a positive number of chiplets, found -1
// WORKERS: error: expected a positive number of workers, found -2
module {}
