// Every phase is a pipeline of its own.
// RUN: fleet-opt --help | FileCheck %s

// CHECK-DAG: --fleet-phase-import {{.*}} phase raw -> import
// CHECK-DAG: --fleet-phase-tasks {{.*}} phase import -> tasks
// CHECK-DAG: --fleet-phase-chiplets {{.*}} phase tasks -> chiplets
// CHECK-DAG: --fleet-phase-tiles {{.*}} phase chiplets -> tiles
// CHECK-DAG: --fleet-phase-memory {{.*}} phase tiles -> memory
// CHECK-DAG: --fleet-phase-events {{.*}} phase memory -> events
// CHECK-DAG: --fleet-phase-schedule {{.*}} phase events -> schedule
// CHECK-DAG: --fleet-phase-kernel {{.*}} phase schedule -> kernel
// CHECK-DAG: --fleet-phase-target {{.*}} phase kernel -> target
// CHECK-DAG: --fleet-phase-package {{.*}} phase target -> package
