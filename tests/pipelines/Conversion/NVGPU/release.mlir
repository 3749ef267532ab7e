// What a worker stores is visible to those that wait for its signal: the add releases at gpu scope, by itself or
// by a fence in front of it.
// RUN: fleet-opt %S/../../../docs/step.mlir --fleet-set-target=target=sm_90a --fleet-phase-import --fleet-phase-tasks \
// RUN:   --fleet-phase-chiplets --fleet-phase-tiles --fleet-phase-memory --fleet-phase-events --fleet-phase-schedule \
// RUN:   --fleet-phase-kernel --fleet-phase-target -o %t.mlir
// RUN: fleet-translate --to-ptx %t.mlir | FileCheck %s

// CHECK: {{atom|fence|red}}.{{acq_rel|release}}.gpu
