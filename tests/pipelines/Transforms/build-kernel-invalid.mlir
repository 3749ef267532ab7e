// RUN: fleet-opt %s --fleet-build-kernel -split-input-file -verify-diagnostics

// expected-error @+1 {{expected a module with a fleet.target, found none; run fleet-set-target}}
module {}

// -----

// expected-error @+1 {{expected a function @step, found none}}
module attributes {fleet.target = #fleet.target<"study", backend = llvm, chiplets = 1, workers = 1, lds = 1, l2 = 1, hbm_gbs = 1, tile = 16>} {}

// -----

// expected-error @+1 {{expected a module with a fleet.manifest, found none}}
module attributes {fleet.target = #fleet.target<"study", backend = llvm, chiplets = 1, workers = 1, lds = 1, l2 = 1, hbm_gbs = 1, tile = 16>} {
  func.func @step() {
    return
  }
}

// -----

module attributes {fleet.manifest = {}, fleet.target = #fleet.target<"study", backend = llvm, chiplets = 1, workers = 1, lds = 1, l2 = 1, hbm_gbs = 1, tile = 16>} {
  func.func @step(%x: memref<4xf32, #fleet.mem<hbm>>) {
    // expected-error @+1 {{expected a task on buffers, found an operand of type 'memref<4xf32, #fleet.mem<hbm>>'}}
    fleet.task 0 @body(%x) : (memref<4xf32, #fleet.mem<hbm>>) -> ()
    return
  }
}

// -----

module attributes {fleet.manifest = {}, fleet.target = #fleet.target<"study", backend = llvm, chiplets = 1, workers = 1, lds = 1, l2 = 1, hbm_gbs = 1, tile = 16>} {
  func.func @step() {
    // expected-error @+1 {{expected a task on buffers, found no operand}}
    fleet.task 0 @body() : () -> ()
    return
  }
}

// -----

module attributes {fleet.manifest = {}, fleet.target = #fleet.target<"study", backend = llvm, chiplets = 1, workers = 1, lds = 1, l2 = 1, hbm_gbs = 1, tile = 16>} {
  func.func @step() {
    %x = fleet.buffer "work" offset 0 : memref<4xf32, #fleet.mem<hbm>>
    // expected-error @+1 {{expected a body @body, found none}}
    fleet.task 0 @body(%x) : (memref<4xf32, #fleet.mem<hbm>>) -> ()
    return
  }
}

// -----

module attributes {fleet.manifest = {}, fleet.target = #fleet.target<"study", backend = llvm, chiplets = 1, workers = 2, lds = 1, l2 = 1, hbm_gbs = 1, tile = 16>} {
  func.func private @body(%x: memref<4xf32, #fleet.mem<hbm>>, %lo: index, %hi: index, %scratch: memref<64xi8, #fleet.mem<lds>>) attributes {fleet.body} {
    return
  }
  func.func @step() {
    %x = fleet.buffer "work" offset 0 : memref<4xf32, #fleet.mem<hbm>>
    fleet.task 0 @body(%x) partition <columns, tiles = 1, size = 16> waits [] : (memref<4xf32, #fleet.mem<hbm>>) -> () into {
      fleet.chiplet_task on 0 tiles 0 to 1 into {
        fleet.cu_task on 0 tiles 0 to 1
      }
    }
    fleet.queue chiplet 0 worker 0 [0]
    // expected-error @+1 {{expected a queue of the worker's own tasks, found task 0}}
    fleet.queue chiplet 0 worker 1 [0]
    return
  }
}

// -----

// A task twice.
module attributes {fleet.manifest = {}, fleet.target = #fleet.target<"study", backend = llvm, chiplets = 1, workers = 1, lds = 1, l2 = 1, hbm_gbs = 1, tile = 16>} {
  func.func private @body(%x: memref<4xf32, #fleet.mem<hbm>>, %lo: index, %hi: index, %scratch: memref<64xi8, #fleet.mem<lds>>) attributes {fleet.body} {
    return
  }
  func.func @step() {
    %x = fleet.buffer "work" offset 0 : memref<4xf32, #fleet.mem<hbm>>
    fleet.task 0 @body(%x) partition <columns, tiles = 1, size = 16> waits [] : (memref<4xf32, #fleet.mem<hbm>>) -> () into {
      fleet.chiplet_task on 0 tiles 0 to 1 into {
        fleet.cu_task on 0 tiles 0 to 1
      }
    }
    // expected-error @+1 {{expected a queue of the worker's own tasks, found task 0}}
    fleet.queue chiplet 0 worker 0 [0, 0]
    return
  }
}

// -----

module attributes {fleet.manifest = {}, fleet.target = #fleet.target<"study", backend = llvm, chiplets = 1, workers = 1, lds = 1, l2 = 1, hbm_gbs = 1, tile = 16>} {
  func.func private @body(%x: memref<4xf32, #fleet.mem<hbm>>, %lo: index, %hi: index, %scratch: memref<64xi8, #fleet.mem<lds>>) attributes {fleet.body} {
    return
  }
  func.func @step() {
    %x = fleet.buffer "work" offset 0 : memref<4xf32, #fleet.mem<hbm>>
    fleet.task 0 @body(%x) partition <columns, tiles = 1, size = 16> waits [] : (memref<4xf32, #fleet.mem<hbm>>) -> () into {
      fleet.chiplet_task on 0 tiles 0 to 1 into {
        fleet.cu_task on 0 tiles 0 to 1
      }
    }
    // expected-error @+1 {{expected every task of the worker in its queue, found 1 missing}}
    fleet.queue chiplet 0 worker 0 []
    return
  }
}

// -----

module attributes {fleet.manifest = {}, fleet.target = #fleet.target<"study", backend = llvm, chiplets = 1, workers = 1, lds = 1, l2 = 1, hbm_gbs = 1, tile = 16>} {
  // expected-error @+1 {{expected a step of at least one task, found none}}
  func.func @step() {
    return
  }
}

// -----

module attributes {fleet.manifest = {}, fleet.target = #fleet.target<"study", backend = llvm, chiplets = 1, workers = 1, lds = 1, l2 = 1, hbm_gbs = 1, tile = 16>} {
  func.func private @body(%x: memref<4xf32, #fleet.mem<hbm>>) attributes {fleet.body} {
    return
  }
  func.func @step() {
    %x = fleet.buffer "work" offset 0 : memref<4xf32, #fleet.mem<hbm>>
    // expected-error @+1 {{expected task ids in order, found 3 at place 0}}
    fleet.task 3 @body(%x) : (memref<4xf32, #fleet.mem<hbm>>) -> ()
    return
  }
}

// -----

module attributes {fleet.manifest = {}, fleet.target = #fleet.target<"study", backend = llvm, chiplets = 1, workers = 1, lds = 1, l2 = 1, hbm_gbs = 1, tile = 16>} {
  func.func private @body(%x: memref<4xf32, #fleet.mem<hbm>>) attributes {fleet.body} {
    return
  }
  func.func @step() {
    %x = fleet.buffer "work" offset 0 : memref<4xf32, #fleet.mem<hbm>>
    // expected-error @+1 {{expected a body of 1 buffers, two indices and a scratch, found '(memref<4xf32, #fleet.mem<hbm>>) -> ()'}}
    fleet.task 0 @body(%x) : (memref<4xf32, #fleet.mem<hbm>>) -> ()
    return
  }
}

// -----

// expected-error @+1 {{expected a fleet.manifest with arenas.work and outputs.status.offset, numbers of bytes, found no arenas.work}}
module attributes {fleet.manifest = {}, fleet.target = #fleet.target<"study", backend = llvm, chiplets = 1, workers = 1, lds = 1, l2 = 1, hbm_gbs = 1, tile = 16>} {
  func.func private @body(%x: memref<4xf32, #fleet.mem<hbm>>, %lo: index, %hi: index, %scratch: memref<64xi8, #fleet.mem<lds>>) attributes {fleet.body} {
    return
  }
  func.func @step() {
    %x = fleet.buffer "work" offset 0 : memref<4xf32, #fleet.mem<hbm>>
    fleet.task 0 @body(%x) partition <columns, tiles = 1, size = 16> waits [] : (memref<4xf32, #fleet.mem<hbm>>) -> () into {
      fleet.chiplet_task on 0 tiles 0 to 1 into {
        fleet.cu_task on 0 tiles 0 to 1
      }
    }
    fleet.queue chiplet 0 worker 0 [0]
    return
  }
}

// -----

// expected-error @+1 {{expected a fleet.manifest with arenas.work and outputs.status.offset, numbers of bytes, found no arenas.work}}
module attributes {fleet.manifest = {arenas = {params = 64 : i64}}, fleet.target = #fleet.target<"study", backend = llvm, chiplets = 1, workers = 1, lds = 1, l2 = 1, hbm_gbs = 1, tile = 16>} {
  func.func private @body(%x: memref<4xf32, #fleet.mem<hbm>>, %lo: index, %hi: index, %scratch: memref<64xi8, #fleet.mem<lds>>) attributes {fleet.body} {
    return
  }
  func.func @step() {
    %x = fleet.buffer "work" offset 0 : memref<4xf32, #fleet.mem<hbm>>
    fleet.task 0 @body(%x) partition <columns, tiles = 1, size = 16> waits [] : (memref<4xf32, #fleet.mem<hbm>>) -> () into {
      fleet.chiplet_task on 0 tiles 0 to 1 into {
        fleet.cu_task on 0 tiles 0 to 1
      }
    }
    fleet.queue chiplet 0 worker 0 [0]
    return
  }
}

// -----

// expected-error @+1 {{expected a fleet.manifest with arenas.work and outputs.status.offset, numbers of bytes, found no outputs.status.offset}}
module attributes {fleet.manifest = {arenas = {work = 64 : i64}}, fleet.target = #fleet.target<"study", backend = llvm, chiplets = 1, workers = 1, lds = 1, l2 = 1, hbm_gbs = 1, tile = 16>} {
  func.func private @body(%x: memref<4xf32, #fleet.mem<hbm>>, %lo: index, %hi: index, %scratch: memref<64xi8, #fleet.mem<lds>>) attributes {fleet.body} {
    return
  }
  func.func @step() {
    %x = fleet.buffer "work" offset 0 : memref<4xf32, #fleet.mem<hbm>>
    fleet.task 0 @body(%x) partition <columns, tiles = 1, size = 16> waits [] : (memref<4xf32, #fleet.mem<hbm>>) -> () into {
      fleet.chiplet_task on 0 tiles 0 to 1 into {
        fleet.cu_task on 0 tiles 0 to 1
      }
    }
    fleet.queue chiplet 0 worker 0 [0]
    return
  }
}

// -----

// expected-error @+1 {{expected a fleet.manifest with arenas.work and outputs.status.offset, numbers of bytes, found no outputs.status.offset}}
module attributes {fleet.manifest = {arenas = {work = 64 : i64}, outputs = {status = {offset = "64"}}}, fleet.target = #fleet.target<"study", backend = llvm, chiplets = 1, workers = 1, lds = 1, l2 = 1, hbm_gbs = 1, tile = 16>} {
  func.func private @body(%x: memref<4xf32, #fleet.mem<hbm>>, %lo: index, %hi: index, %scratch: memref<64xi8, #fleet.mem<lds>>) attributes {fleet.body} {
    return
  }
  func.func @step() {
    %x = fleet.buffer "work" offset 0 : memref<4xf32, #fleet.mem<hbm>>
    fleet.task 0 @body(%x) partition <columns, tiles = 1, size = 16> waits [] : (memref<4xf32, #fleet.mem<hbm>>) -> () into {
      fleet.chiplet_task on 0 tiles 0 to 1 into {
        fleet.cu_task on 0 tiles 0 to 1
      }
    }
    fleet.queue chiplet 0 worker 0 [0]
    return
  }
}
