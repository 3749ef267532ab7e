// RUN: fleet-opt %s --pass-pipeline="builtin.module(gpu.module(fleet-amdgpu-lower-events{omit=everything}))" -verify-diagnostics

// expected-error @+1 {{expected an ordering to omit among drain, write-back, write-back-wait, acquire and wait, found everything}}
gpu.module @fleet {}
