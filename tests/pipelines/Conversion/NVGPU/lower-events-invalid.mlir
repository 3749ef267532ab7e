// RUN: fleet-opt %s --pass-pipeline="builtin.module(gpu.module(fleet-nvgpu-lower-events))" -split-input-file -verify-diagnostics

// expected-error @+1 {{expected the tables @queues and @arrivals, found neither or one}}
gpu.module @fleet {}

// -----

// expected-error @+1 {{expected the tables @queues and @arrivals, found neither or one}}
gpu.module @fleet {
  memref.global "private" constant @queues : memref<9xi32, #gpu.address_space<global>> = dense<0>
}
