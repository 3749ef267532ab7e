// RUN: fleet-opt %s --fleet-gpu-driver -split-input-file -verify-diagnostics
// RUN: fleet-opt %s --fleet-gpu-driver='stamps=true most-steps=4 cache-tables=true flat-events=true' -split-input-file -verify-diagnostics

// expected-error @+1 {{expected one gpu.module, a fleet.target and a fleet.manifest with arenas}}
module {
  gpu.module @fleet {}
}

// -----

// expected-error @+1 {{expected one gpu.module, a fleet.target and a fleet.manifest with arenas}}
module attributes {fleet.target = #fleet.target<"gfx950", backend = rocdl, chiplets = 1, workers = 2, lds = 1024, l2 = 1, hbm_gbs = 1, tile = 16>, fleet.manifest = {arenas = {params = 64 : i64, state = 64 : i64, work = 4096 : i64, input = 64 : i64, output = 64 : i64}}} {
}

// -----

module attributes {fleet.target = #fleet.target<"gfx950", backend = rocdl, chiplets = 1, workers = 2, lds = 1024, l2 = 1, hbm_gbs = 1, tile = 16>, fleet.manifest = {arenas = {params = 64 : i64, state = 64 : i64, work = 4096 : i64, input = 64 : i64, output = 64 : i64}}} {
  // expected-error @+1 {{expected a table @device_tasks of rank 2 of i32}}
  gpu.module @fleet {
  }
}

// -----

module attributes {fleet.target = #fleet.target<"gfx950", backend = rocdl, chiplets = 1, workers = 2, lds = 1024, l2 = 1, hbm_gbs = 1, tile = 16>, fleet.manifest = {arenas = {params = 64 : i64, state = 64 : i64, work = 4096 : i64, input = 64 : i64, output = 64 : i64}}} {
  // expected-error @+1 {{expected a table @cu_tasks of rank 2 of i32}}
  gpu.module @fleet {
    memref.global "private" constant @device_tasks : memref<1x3xi32> = dense<0>
  }
}

// -----

module attributes {fleet.target = #fleet.target<"gfx950", backend = rocdl, chiplets = 1, workers = 2, lds = 1024, l2 = 1, hbm_gbs = 1, tile = 16>, fleet.manifest = {arenas = {params = 64 : i64, state = 64 : i64, work = 4096 : i64, input = 64 : i64, output = 64 : i64}}} {
  // expected-error @+1 {{expected a table @queues of rank 1 of i32}}
  gpu.module @fleet {
    memref.global "private" constant @device_tasks : memref<1x3xi32> = dense<0>
    memref.global "private" constant @cu_tasks : memref<1x3xi32> = dense<0>
  }
}

// -----

module attributes {fleet.target = #fleet.target<"gfx950", backend = rocdl, chiplets = 1, workers = 2, lds = 1024, l2 = 1, hbm_gbs = 1, tile = 16>, fleet.manifest = {arenas = {params = 64 : i64, state = 64 : i64, work = 4096 : i64, input = 64 : i64, output = 64 : i64}}} {
  // expected-error @+1 {{expected a table @waits of rank 1 of i32}}
  gpu.module @fleet {
    memref.global "private" constant @device_tasks : memref<1x3xi32> = dense<0>
    memref.global "private" constant @cu_tasks : memref<1x3xi32> = dense<0>
    memref.global "private" constant @queues : memref<3xi32> = dense<0>
  }
}

// -----

module attributes {fleet.target = #fleet.target<"gfx950", backend = rocdl, chiplets = 1, workers = 2, lds = 1024, l2 = 1, hbm_gbs = 1, tile = 16>, fleet.manifest = {arenas = {params = 64 : i64, state = 64 : i64, work = 4096 : i64, input = 64 : i64, output = 64 : i64}}} {
  // expected-error @+1 {{expected a table @arrivals of rank 2 of i32}}
  gpu.module @fleet {
    memref.global "private" constant @device_tasks : memref<1x3xi32> = dense<0>
    memref.global "private" constant @cu_tasks : memref<1x3xi32> = dense<0>
    memref.global "private" constant @queues : memref<3xi32> = dense<0>
    memref.global "private" constant @waits : memref<1xi32> = dense<0>
  }
}

// -----

module attributes {fleet.target = #fleet.target<"gfx950", backend = rocdl, chiplets = 1, workers = 2, lds = 1024, l2 = 1, hbm_gbs = 1, tile = 16>, fleet.manifest = {arenas = {params = 64 : i64, state = 64 : i64, work = 4096 : i64, input = 64 : i64, output = 64 : i64}}} {
  // expected-error @+1 {{expected the attribute 'fleet.counters' of i64}}
  gpu.module @fleet {
    memref.global "private" constant @device_tasks : memref<1x3xi32> = dense<0>
    memref.global "private" constant @cu_tasks : memref<1x3xi32> = dense<0>
    memref.global "private" constant @queues : memref<3xi32> = dense<0>
    memref.global "private" constant @waits : memref<1xi32> = dense<0>
    memref.global "private" constant @arrivals : memref<1x1xi32> = dense<0>
  }
}

// -----

module attributes {fleet.target = #fleet.target<"gfx950", backend = rocdl, chiplets = 1, workers = 2, lds = 1024, l2 = 1, hbm_gbs = 1, tile = 16>, fleet.manifest = {arenas = {params = 64 : i64, state = 64 : i64, work = 4096 : i64, input = 64 : i64, output = 64 : i64}}} {
  // expected-error @+1 {{expected the attribute 'fleet.status' of i64}}
  gpu.module @fleet attributes {fleet.counters = 0 : i64} {
    memref.global "private" constant @device_tasks : memref<1x3xi32> = dense<0>
    memref.global "private" constant @cu_tasks : memref<1x3xi32> = dense<0>
    memref.global "private" constant @queues : memref<3xi32> = dense<0>
    memref.global "private" constant @waits : memref<1xi32> = dense<0>
    memref.global "private" constant @arrivals : memref<1x1xi32> = dense<0>
  }
}

// -----

module attributes {fleet.target = #fleet.target<"gfx950", backend = rocdl, chiplets = 1, workers = 2, lds = 1024, l2 = 1, hbm_gbs = 1, tile = 16>, fleet.manifest = {arenas = {params = 64 : i64, state = 64 : i64, work = 4096 : i64, input = 64 : i64, output = 64 : i64}}} {
  // expected-error @+1 {{expected the attribute 'fleet.scratch' of i64}}
  gpu.module @fleet attributes {fleet.counters = 0 : i64, fleet.status = 0 : i64} {
    memref.global "private" constant @device_tasks : memref<1x3xi32> = dense<0>
    memref.global "private" constant @cu_tasks : memref<1x3xi32> = dense<0>
    memref.global "private" constant @queues : memref<3xi32> = dense<0>
    memref.global "private" constant @waits : memref<1xi32> = dense<0>
    memref.global "private" constant @arrivals : memref<1x1xi32> = dense<0>
    func.func private @dispatch(%a: memref<?xi8>, %b: memref<?xi8>, %c: memref<?xi8>, %d: memref<?xi8>, %e: memref<?xi8>, %f: index, %g: index, %h: index, %i: index) {
      return
    }
  }
}

// -----

module attributes {fleet.target = #fleet.target<"gfx950", backend = rocdl, chiplets = 1, workers = 2, lds = 1024, l2 = 1, hbm_gbs = 1, tile = 16>, fleet.manifest = {arenas = {params = 64 : i64, state = 64 : i64, work = 4096 : i64, input = 64 : i64, output = 64 : i64}}} {
  // expected-error @+1 {{expected the attribute 'fleet.scratch_stride' of i64}}
  gpu.module @fleet attributes {fleet.counters = 0 : i64, fleet.status = 0 : i64, fleet.scratch = 64 : i64} {
    memref.global "private" constant @device_tasks : memref<1x3xi32> = dense<0>
    memref.global "private" constant @cu_tasks : memref<1x3xi32> = dense<0>
    memref.global "private" constant @queues : memref<3xi32> = dense<0>
    memref.global "private" constant @waits : memref<1xi32> = dense<0>
    memref.global "private" constant @arrivals : memref<1x1xi32> = dense<0>
    func.func private @dispatch(%a: memref<?xi8>, %b: memref<?xi8>, %c: memref<?xi8>, %d: memref<?xi8>, %e: memref<?xi8>, %f: index, %g: index, %h: index, %i: index) {
      return
    }
  }
}

// -----

module attributes {fleet.target = #fleet.target<"gfx950", backend = rocdl, chiplets = 1, workers = 2, lds = 1024, l2 = 1, hbm_gbs = 1, tile = 16>, fleet.manifest = {arenas = {params = 64 : i64, state = 64 : i64, work = 4096 : i64, input = 64 : i64, output = 64 : i64}}} {
  // expected-error @+1 {{expected a table @arrivals with its values}}
  gpu.module @fleet attributes {fleet.counters = 0 : i64, fleet.scratch = 64 : i64, fleet.scratch_stride = 64 : i64, fleet.status = 0 : i64} {
    memref.global "private" constant @device_tasks : memref<1x3xi32> = dense<0>
    memref.global "private" constant @cu_tasks : memref<1x3xi32> = dense<0>
    memref.global "private" constant @queues : memref<3xi32> = dense<0>
    memref.global "private" constant @waits : memref<1xi32> = dense<0>
    memref.global "private" @arrivals : memref<1x1xi32> = uninitialized
    func.func private @dispatch(%a: memref<?xi8>, %b: memref<?xi8>, %c: memref<?xi8>, %d: memref<?xi8>, %e: memref<?xi8>, %f: index, %g: index, %h: index, %i: index) {
      return
    }
  }
}

// -----

module attributes {fleet.target = #fleet.target<"gfx950", backend = rocdl, chiplets = 1, workers = 2, lds = 1024, l2 = 1, hbm_gbs = 1, tile = 16>, fleet.manifest = {arenas = {params = 64 : i64, state = 64 : i64, work = 4096 : i64, input = 64 : i64, output = 64 : i64}}} {
  // expected-error @+1 {{expected a function @dispatch of 9 arguments}}
  gpu.module @fleet attributes {fleet.counters = 0 : i64, fleet.scratch = 64 : i64, fleet.scratch_stride = 64 : i64, fleet.status = 0 : i64} {
    memref.global "private" constant @device_tasks : memref<1x3xi32> = dense<0>
    memref.global "private" constant @cu_tasks : memref<1x3xi32> = dense<0>
    memref.global "private" constant @queues : memref<3xi32> = dense<0>
    memref.global "private" constant @waits : memref<1xi32> = dense<0>
    memref.global "private" constant @arrivals : memref<1x1xi32> = dense<0>
    func.func private @dispatch(index)
  }
}

// -----

module attributes {fleet.target = #fleet.target<"gfx950", backend = rocdl, chiplets = 1, workers = 2, lds = 1024, l2 = 1, hbm_gbs = 1, tile = 16>, fleet.manifest = {arenas = {params = 64 : i64, state = 64 : i64, work = 4096 : i64, input = 64 : i64, output = 64 : i64}}} {
  // expected-error @+1 {{expected workers to be a multiple of chiplets, found 3 and 2}}
  gpu.module @fleet attributes {fleet.counters = 0 : i64, fleet.scratch = 64 : i64, fleet.scratch_stride = 64 : i64, fleet.status = 0 : i64} {
    memref.global "private" constant @device_tasks : memref<1x3xi32> = dense<0>
    memref.global "private" constant @cu_tasks : memref<1x3xi32> = dense<0>
    memref.global "private" constant @queues : memref<4xi32> = dense<0>
    memref.global "private" constant @waits : memref<1xi32> = dense<0>
    memref.global "private" constant @arrivals : memref<1x2xi32> = dense<0>
    func.func private @dispatch(%a: memref<?xi8>, %b: memref<?xi8>, %c: memref<?xi8>, %d: memref<?xi8>, %e: memref<?xi8>, %f: index, %g: index, %h: index, %i: index) {
      return
    }
  }
}

// -----

module attributes {fleet.target = #fleet.target<"gfx950", backend = rocdl, chiplets = 1, workers = 2, lds = 1024, l2 = 1, hbm_gbs = 1, tile = 16>, fleet.manifest = {arenas = {params = 64 : i64, state = 64 : i64, work = 4096 : i64, input = 64 : i64, output = 64 : i64}}} {
  // expected-error @+1 {{expected bodies with at most 1024 bytes of scratch, the lds of a worker, found 2048: choose a smaller number of rows per step}}
  gpu.module @fleet attributes {fleet.counters = 0 : i64, fleet.scratch = 64 : i64, fleet.scratch_stride = 2048 : i64, fleet.status = 0 : i64} {
    memref.global "private" constant @device_tasks : memref<1x3xi32> = dense<0>
    memref.global "private" constant @cu_tasks : memref<1x3xi32> = dense<0>
    memref.global "private" constant @queues : memref<3xi32> = dense<0>
    memref.global "private" constant @waits : memref<1xi32> = dense<0>
    memref.global "private" constant @arrivals : memref<1x1xi32> = dense<0>
    func.func private @dispatch(%a: memref<?xi8>, %b: memref<?xi8>, %c: memref<?xi8>, %d: memref<?xi8>, %e: memref<?xi8>, %f: index, %g: index, %h: index, %i: index) {
      return
    }
  }
}

// -----

module attributes {fleet.target = #fleet.target<"gfx950", backend = rocdl, chiplets = 1, workers = 2, lds = 1024, l2 = 1, hbm_gbs = 1, tile = 16>, fleet.manifest = {arenas = {params = 64 : i64, work = 4096 : i64, input = 64 : i64, output = 64 : i64}}} {
  // expected-error @+1 {{expected the size of the arena 'state' in the manifest}}
  gpu.module @fleet attributes {fleet.counters = 0 : i64, fleet.scratch = 64 : i64, fleet.scratch_stride = 64 : i64, fleet.status = 0 : i64} {
    memref.global "private" constant @device_tasks : memref<1x3xi32> = dense<0>
    memref.global "private" constant @cu_tasks : memref<1x3xi32> = dense<0>
    memref.global "private" constant @queues : memref<3xi32> = dense<0>
    memref.global "private" constant @waits : memref<1xi32> = dense<0>
    memref.global "private" constant @arrivals : memref<1x1xi32> = dense<0>
    func.func private @dispatch(%a: memref<?xi8>, %b: memref<?xi8>, %c: memref<?xi8>, %d: memref<?xi8>, %e: memref<?xi8>, %f: index, %g: index, %h: index, %i: index) {
      return
    }
  }
}

// -----

module attributes {fleet.target = #fleet.target<"gfx950", backend = rocdl, chiplets = 1, workers = 2, lds = 1024, l2 = 1, hbm_gbs = 1, tile = 16>, fleet.manifest = {arenas = {params = 64 : i64, state = 64 : i64, input = 64 : i64, output = 64 : i64}}} {
  // expected-error @+1 {{expected the size of the arena 'work' in the manifest}}
  gpu.module @fleet attributes {fleet.counters = 0 : i64, fleet.scratch = 64 : i64, fleet.scratch_stride = 64 : i64, fleet.status = 0 : i64} {
    memref.global "private" constant @device_tasks : memref<1x3xi32> = dense<0>
    memref.global "private" constant @cu_tasks : memref<1x3xi32> = dense<0>
    memref.global "private" constant @queues : memref<3xi32> = dense<0>
    memref.global "private" constant @waits : memref<1xi32> = dense<0>
    memref.global "private" constant @arrivals : memref<1x1xi32> = dense<0>
    func.func private @dispatch(%a: memref<?xi8>, %b: memref<?xi8>, %c: memref<?xi8>, %d: memref<?xi8>, %e: memref<?xi8>, %f: index, %g: index, %h: index, %i: index) {
      return
    }
  }
}

// -----

module attributes {fleet.target = #fleet.target<"gfx950", backend = rocdl, chiplets = 1, workers = 2, lds = 1024, l2 = 1, hbm_gbs = 1, tile = 16>, fleet.manifest = {arenas = {}}} {
  // expected-error @+1 {{expected the size of the arena 'params' in the manifest}}
  gpu.module @fleet attributes {fleet.counters = 0 : i64, fleet.scratch = 64 : i64, fleet.scratch_stride = 64 : i64, fleet.status = 0 : i64} {
    memref.global "private" constant @device_tasks : memref<1x3xi32> = dense<0>
    memref.global "private" constant @cu_tasks : memref<1x3xi32> = dense<0>
    memref.global "private" constant @queues : memref<3xi32> = dense<0>
    memref.global "private" constant @waits : memref<1xi32> = dense<0>
    memref.global "private" constant @arrivals : memref<1x1xi32> = dense<0>
    func.func private @dispatch(%a: memref<?xi8>, %b: memref<?xi8>, %c: memref<?xi8>, %d: memref<?xi8>, %e: memref<?xi8>, %f: index, %g: index, %h: index, %i: index) {
      return
    }
  }
}
