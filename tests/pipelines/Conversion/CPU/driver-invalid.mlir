// RUN: not fleet-opt %s --fleet-cpu-driver 2>&1 | FileCheck %s

// CHECK: error: expected a table @device_tasks of rank 2 of i32
gpu.module @fleet {
}
