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

// -----

// expected-error @+1 {{expected a table @waits with its values}}
gpu.module @fleet attributes {fleet.counters = 0 : i64, fleet.status = 0 : i64} {
  memref.global "private" constant @device_tasks : memref<1x3xi32> = dense<0>
  memref.global "private" constant @cu_tasks : memref<1x3xi32> = dense<0>
  memref.global "private" constant @queues : memref<3xi32> = dense<0>
  memref.global "private" @waits : memref<1xi32> = uninitialized
  memref.global "private" constant @arrivals : memref<1x1xi32> = dense<0>
  func.func private @dispatch(%a: memref<?xi8>, %b: memref<?xi8>, %c: memref<?xi8>, %d: memref<?xi8>, %e: memref<?xi8>, %f: index, %g: index, %h: index, %i: index) {
    return
  }
}

// -----

// expected-error @+1 {{expected a kernel of at least one device task, found none}}
gpu.module @fleet attributes {fleet.counters = 0 : i64, fleet.status = 0 : i64} {
  memref.global "private" constant @device_tasks : memref<0x3xi32> = dense<>
  memref.global "private" constant @cu_tasks : memref<1x3xi32> = dense<0>
  memref.global "private" constant @queues : memref<3xi32> = dense<0>
  memref.global "private" constant @waits : memref<1xi32> = dense<0>
  memref.global "private" constant @arrivals : memref<0x1xi32> = dense<>
  func.func private @dispatch(%a: memref<?xi8>, %b: memref<?xi8>, %c: memref<?xi8>, %d: memref<?xi8>, %e: memref<?xi8>, %f: index, %g: index, %h: index, %i: index) {
    return
  }
}

// -----

gpu.module @fleet attributes {fleet.counters = 0 : i64, fleet.status = 0 : i64} {
  // expected-error @+1 {{expected 1 device tasks as in @arrivals, found 2}}
  memref.global "private" constant @device_tasks : memref<2x3xi32> = dense<0>
  memref.global "private" constant @cu_tasks : memref<1x3xi32> = dense<0>
  memref.global "private" constant @queues : memref<3xi32> = dense<0>
  memref.global "private" constant @waits : memref<1xi32> = dense<0>
  memref.global "private" constant @arrivals : memref<1x1xi32> = dense<0>
  func.func private @dispatch(%a: memref<?xi8>, %b: memref<?xi8>, %c: memref<?xi8>, %d: memref<?xi8>, %e: memref<?xi8>, %f: index, %g: index, %h: index, %i: index) {
    return
  }
}

// -----

gpu.module @fleet attributes {fleet.counters = 0 : i64, fleet.status = 0 : i64} {
  // expected-error @+1 {{expected at least 3 numbers a device task, found 2}}
  memref.global "private" constant @device_tasks : memref<1x2xi32> = dense<0>
  memref.global "private" constant @cu_tasks : memref<1x3xi32> = dense<0>
  memref.global "private" constant @queues : memref<3xi32> = dense<0>
  memref.global "private" constant @waits : memref<1xi32> = dense<0>
  memref.global "private" constant @arrivals : memref<1x1xi32> = dense<0>
  func.func private @dispatch(%a: memref<?xi8>, %b: memref<?xi8>, %c: memref<?xi8>, %d: memref<?xi8>, %e: memref<?xi8>, %f: index, %g: index, %h: index, %i: index) {
    return
  }
}

// -----

gpu.module @fleet attributes {fleet.counters = 0 : i64, fleet.status = 0 : i64} {
  memref.global "private" constant @device_tasks : memref<1x3xi32> = dense<0>
  // expected-error @+1 {{expected 3 numbers a cu task, found 4}}
  memref.global "private" constant @cu_tasks : memref<1x4xi32> = dense<0>
  memref.global "private" constant @queues : memref<3xi32> = dense<0>
  memref.global "private" constant @waits : memref<1xi32> = dense<0>
  memref.global "private" constant @arrivals : memref<1x1xi32> = dense<0>
  func.func private @dispatch(%a: memref<?xi8>, %b: memref<?xi8>, %c: memref<?xi8>, %d: memref<?xi8>, %e: memref<?xi8>, %f: index, %g: index, %h: index, %i: index) {
    return
  }
}

// -----

gpu.module @fleet attributes {fleet.counters = 0 : i64, fleet.status = 0 : i64} {
  // expected-error @+1 {{expected waits of a device task among 1, found 2}}
  memref.global "private" constant @device_tasks : memref<1x3xi32> = dense<[[0, 0, 2]]>
  memref.global "private" constant @cu_tasks : memref<1x3xi32> = dense<0>
  memref.global "private" constant @queues : memref<3xi32> = dense<0>
  memref.global "private" constant @waits : memref<1xi32> = dense<0>
  memref.global "private" constant @arrivals : memref<1x1xi32> = dense<0>
  func.func private @dispatch(%a: memref<?xi8>, %b: memref<?xi8>, %c: memref<?xi8>, %d: memref<?xi8>, %e: memref<?xi8>, %f: index, %g: index, %h: index, %i: index) {
    return
  }
}

// -----

gpu.module @fleet attributes {fleet.counters = 0 : i64, fleet.status = 0 : i64} {
  memref.global "private" constant @device_tasks : memref<1x3xi32> = dense<[[0, 0, 1]]>
  memref.global "private" constant @cu_tasks : memref<1x3xi32> = dense<0>
  memref.global "private" constant @queues : memref<3xi32> = dense<0>
  // expected-error @+1 {{expected a wait for one of 1 device tasks, found -2}}
  memref.global "private" constant @waits : memref<1xi32> = dense<-2>
  memref.global "private" constant @arrivals : memref<1x1xi32> = dense<0>
  func.func private @dispatch(%a: memref<?xi8>, %b: memref<?xi8>, %c: memref<?xi8>, %d: memref<?xi8>, %e: memref<?xi8>, %f: index, %g: index, %h: index, %i: index) {
    return
  }
}

// -----

gpu.module @fleet attributes {fleet.counters = 0 : i64, fleet.status = 0 : i64} {
  memref.global "private" constant @device_tasks : memref<1x3xi32> = dense<0>
  memref.global "private" constant @cu_tasks : memref<1x3xi32> = dense<0>
  // expected-error @+1 {{expected rising places among 1 cu tasks, found 2}}
  memref.global "private" constant @queues : memref<3xi32> = dense<[0, 1, 2]>
  memref.global "private" constant @waits : memref<1xi32> = dense<0>
  memref.global "private" constant @arrivals : memref<1x1xi32> = dense<0>
  func.func private @dispatch(%a: memref<?xi8>, %b: memref<?xi8>, %c: memref<?xi8>, %d: memref<?xi8>, %e: memref<?xi8>, %f: index, %g: index, %h: index, %i: index) {
    return
  }
}

// -----

gpu.module @fleet attributes {fleet.counters = 0 : i64, fleet.status = 0 : i64} {
  memref.global "private" constant @device_tasks : memref<1x3xi32> = dense<0>
  memref.global "private" constant @cu_tasks : memref<1x3xi32> = dense<0>
  // expected-error @+1 {{expected rising places among 1 cu tasks, found 0}}
  memref.global "private" constant @queues : memref<3xi32> = dense<[0, 1, 0]>
  memref.global "private" constant @waits : memref<1xi32> = dense<0>
  memref.global "private" constant @arrivals : memref<1x1xi32> = dense<0>
  func.func private @dispatch(%a: memref<?xi8>, %b: memref<?xi8>, %c: memref<?xi8>, %d: memref<?xi8>, %e: memref<?xi8>, %f: index, %g: index, %h: index, %i: index) {
    return
  }
}

// -----

gpu.module @fleet attributes {fleet.counters = 0 : i64, fleet.status = 0 : i64} {
  memref.global "private" constant @device_tasks : memref<1x3xi32> = dense<0>
  // expected-error @+1 {{expected cu tasks of one of 1 device tasks, found 1}}
  memref.global "private" constant @cu_tasks : memref<1x3xi32> = dense<1>
  memref.global "private" constant @queues : memref<3xi32> = dense<[0, 1, 1]>
  memref.global "private" constant @waits : memref<1xi32> = dense<0>
  memref.global "private" constant @arrivals : memref<1x1xi32> = dense<0>
  func.func private @dispatch(%a: memref<?xi8>, %b: memref<?xi8>, %c: memref<?xi8>, %d: memref<?xi8>, %e: memref<?xi8>, %f: index, %g: index, %h: index, %i: index) {
    return
  }
}
