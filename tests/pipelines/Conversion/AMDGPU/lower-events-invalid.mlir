// RUN: fleet-opt %s --pass-pipeline="builtin.module(gpu.module(fleet-amdgpu-lower-events{omit=everything}))" -verify-diagnostics
// RUN: not fleet-opt %s --pass-pipeline="builtin.module(gpu.module(fleet-amdgpu-lower-events{omit=acquire@first}))" 2>&1 | FileCheck %s --check-prefix=NUMBER
// RUN: not fleet-opt %s --pass-pipeline="builtin.module(gpu.module(fleet-amdgpu-lower-events{omit=acquire@1}))" 2>&1 | FileCheck %s --check-prefix=TABLE

// NUMBER: error: expected a number after acquire@, found first
// TABLE: error: expected a table @arrivals of rank 2, found none
// expected-error @+1 {{expected an ordering to omit among drain, write-back, write-back-wait, acquire, wait, meeting, binding and bypass, found everything}}
gpu.module @fleet {}
