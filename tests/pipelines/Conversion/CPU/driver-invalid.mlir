// RUN: fleet-opt %s --fleet-cpu-driver -split-input-file -verify-diagnostics

// expected-error @+1 {{expected one gpu.module, found 0}}
module {}

// -----

// expected-error @+1 {{expected one gpu.module, found 2}}
module {
  gpu.module @a {}
  gpu.module @b {}
}

// -----

// expected-error @+1 {{expected a table @device_tasks of rank 2 of i32}}
gpu.module @fleet {}

// -----

// expected-error @+1 {{expected a table @cu_tasks of rank 2 of i32}}
gpu.module @fleet {
  memref.global "private" constant @device_tasks : memref<1x3xi32> = dense<0>
  memref.global "private" constant @cu_tasks : memref<3xi32> = dense<0>
}

// -----

// expected-error @+1 {{expected a table @queues of rank 1 of i32}}
gpu.module @fleet {
  memref.global "private" constant @device_tasks : memref<1x3xi32> = dense<0>
  memref.global "private" constant @cu_tasks : memref<1x3xi32> = dense<0>
  memref.global "private" constant @queues : memref<3xi64> = dense<0>
}

// -----

// expected-error @+1 {{expected a table @waits of rank 1 of i32}}
gpu.module @fleet {
  memref.global "private" constant @device_tasks : memref<1x3xi32> = dense<0>
  memref.global "private" constant @cu_tasks : memref<1x3xi32> = dense<0>
  memref.global "private" constant @queues : memref<3xi32> = dense<0>
}

// -----

// expected-error @+1 {{expected a table @arrivals of rank 2 of i32}}
gpu.module @fleet {
  memref.global "private" constant @device_tasks : memref<1x3xi32> = dense<0>
  memref.global "private" constant @cu_tasks : memref<1x3xi32> = dense<0>
  memref.global "private" constant @queues : memref<3xi32> = dense<0>
  memref.global "private" constant @waits : memref<1xi32> = dense<0>
}

// -----

// expected-error @+1 {{expected the attribute 'fleet.counters' of i64}}
gpu.module @fleet {
  memref.global "private" constant @device_tasks : memref<1x3xi32> = dense<0>
  memref.global "private" constant @cu_tasks : memref<1x3xi32> = dense<0>
  memref.global "private" constant @queues : memref<3xi32> = dense<0>
  memref.global "private" constant @waits : memref<1xi32> = dense<0>
  memref.global "private" constant @arrivals : memref<1x1xi32> = dense<0>
}

// -----

// expected-error @+1 {{expected the attribute 'fleet.status' of i64}}
gpu.module @fleet attributes {fleet.counters = 0 : i64} {
  memref.global "private" constant @device_tasks : memref<1x3xi32> = dense<0>
  memref.global "private" constant @cu_tasks : memref<1x3xi32> = dense<0>
  memref.global "private" constant @queues : memref<3xi32> = dense<0>
  memref.global "private" constant @waits : memref<1xi32> = dense<0>
  memref.global "private" constant @arrivals : memref<1x1xi32> = dense<0>
}

// -----

// expected-error @+1 {{expected a function @dispatch of 9 arguments}}
gpu.module @fleet attributes {fleet.counters = 0 : i64, fleet.status = 0 : i64} {
  memref.global "private" constant @device_tasks : memref<1x3xi32> = dense<0>
  memref.global "private" constant @cu_tasks : memref<1x3xi32> = dense<0>
  memref.global "private" constant @queues : memref<3xi32> = dense<0>
  memref.global "private" constant @waits : memref<1xi32> = dense<0>
  memref.global "private" constant @arrivals : memref<1x1xi32> = dense<0>
  func.func private @dispatch(index)
}

// -----

// expected-error @+1 {{expected workers to be a multiple of chiplets, found 3 and 2}}
gpu.module @fleet attributes {fleet.counters = 0 : i64, fleet.status = 0 : i64} {
  memref.global "private" constant @device_tasks : memref<1x3xi32> = dense<0>
  memref.global "private" constant @cu_tasks : memref<1x3xi32> = dense<0>
  memref.global "private" constant @queues : memref<4xi32> = dense<0>
  memref.global "private" constant @waits : memref<1xi32> = dense<0>
  memref.global "private" constant @arrivals : memref<1x2xi32> = dense<0>
  func.func private @dispatch(%a: memref<?xi8>, %b: memref<?xi8>, %c: memref<?xi8>, %d: memref<?xi8>, %e: memref<?xi8>, %f: index, %g: index, %h: index, %i: index) {
    return
  }
}
