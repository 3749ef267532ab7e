// The phases up to the kernel are the same for all targets: the target says how many chiplets and workers there are.
// RUN: fleet-opt %S/Inputs/decoder.mlir --fleet-set-target=target=gfx950 --fleet-phase-import --fleet-phase-tasks --fleet-phase-chiplets --fleet-phase-tiles --fleet-phase-memory --fleet-phase-events --fleet-phase-schedule --fleet-phase-kernel | FileCheck %s --check-prefix=GFX950
// RUN: fleet-opt %S/Inputs/decoder.mlir --fleet-set-target=target=gfx942 --fleet-phase-import --fleet-phase-tasks --fleet-phase-chiplets --fleet-phase-tiles --fleet-phase-memory --fleet-phase-events --fleet-phase-schedule --fleet-phase-kernel | FileCheck %s --check-prefix=GFX942
// RUN: fleet-opt %S/Inputs/decoder.mlir --fleet-set-target=target=sm_90a --fleet-phase-import --fleet-phase-tasks --fleet-phase-chiplets --fleet-phase-tiles --fleet-phase-memory --fleet-phase-events --fleet-phase-schedule --fleet-phase-kernel | FileCheck %s --check-prefix=SM90

// GFX950: fleet.target = #fleet.target<"gfx950",
// GFX950: @queues : memref<257xi32>
// GFX950: @arrivals : memref<6x8xi32> = dense<{{.*}}, [5, 5, 5, 5, 5, 5, 5, 5], {{.*}}>
// GFX942: fleet.target = #fleet.target<"gfx942",
// GFX942: @queues : memref<305xi32>
// SM90: fleet.target = #fleet.target<"sm_90a",
// SM90: @queues : memref<133xi32>
// SM90: @arrivals : memref<6x1xi32> = dense<{{\[\[}}1], [4], [2], [1], [40], [1]]>
