// One case for each rule of the verifiers of the ops that are no named computations.
// RUN: fleet-opt %s -split-input-file -verify-diagnostics

func.func @no_name() {
  // expected-error @+1 {{'fleet.param' op expected at least one name, found none}}
  %0 = fleet.param [] : tensor<8xf32>
  return
}

// -----

func.func @param_offset() {
  // expected-error @+1 {{'fleet.param' op expected an offset that is a multiple of 64, found 32}}
  %0 = fleet.param ["w"] offset 32 : tensor<8xf32>
  return
}

// -----

func.func @param_negative_offset() {
  // expected-error @+1 {{'fleet.param' op expected an offset of 0 or more, found -64}}
  %0 = fleet.param ["w"] offset -64 : tensor<8xf32>
  return
}

// -----

func.func @pack() {
  // expected-error @+1 {{'fleet.param' op expected a pack width of 0 or more, found -1}}
  %0 = fleet.param ["w"] pack -1 : tensor<8xf32>
  return
}

// -----

func.func @param_shape() {
  // expected-error @+1 {{'fleet.param' op expected a static shape without strides, found 'tensor<?x8xf32>'}}
  %0 = fleet.param ["w"] : tensor<?x8xf32>
  return
}

// -----

func.func @param_bits() {
  // expected-error @+1 {{'fleet.param' op expected elements of whole bytes, found 'i4'}}
  %0 = fleet.param ["w"] : tensor<8xi4>
  return
}

// -----

func.func @param_index() {
  // expected-error @+1 {{'fleet.param' op expected elements of whole bytes, found 'index'}}
  %0 = fleet.param ["w"] : tensor<8xindex>
  return
}

// -----

func.func @state_scope() {
  // expected-error @+1 {{'fleet.state' op expected state in hbm scope, found 'memref<1x1x16x8xf32, #fleet.mem<l2>>'}}
  %0 = fleet.state "k_cache" layer 0 : memref<1x1x16x8xf32, #fleet.mem<l2>>
  return
}

// -----

func.func @state_without_scope() {
  // expected-error @+1 {{'fleet.state' op expected state in hbm scope, found 'memref<1x1x16x8xf32>'}}
  %0 = fleet.state "k_cache" layer 0 : memref<1x1x16x8xf32>
  return
}

// -----

func.func @state_rank() {
  // expected-error @+1 {{'fleet.state' op expected [slot, kv head, position, head dim], found 'memref<16x8xf32, #fleet.mem<hbm>>'}}
  %0 = fleet.state "k_cache" layer 0 : memref<16x8xf32, #fleet.mem<hbm>>
  return
}

// -----

func.func @state_shape() {
  // expected-error @+1 {{'fleet.state' op expected a static shape without strides, found 'memref<?x1x16x8xf32, #fleet.mem<hbm>>'}}
  %0 = fleet.state "k_cache" layer 0 : memref<?x1x16x8xf32, #fleet.mem<hbm>>
  return
}

// -----

func.func @state_layer() {
  // expected-error @+1 {{'fleet.state' op expected a layer of 0 or more, found -1}}
  %0 = fleet.state "k_cache" layer -1 : memref<1x1x16x8xf32, #fleet.mem<hbm>>
  return
}

// -----

func.func @state_offset() {
  // expected-error @+1 {{'fleet.state' op expected an offset that is a multiple of 64, found 8}}
  %0 = fleet.state "k_cache" layer 0 offset 8 : memref<1x1x16x8xf32, #fleet.mem<hbm>>
  return
}

// -----

func.func @task_id() {
  // expected-error @+1 {{'fleet.task' op expected an id of 0 or more, found -1}}
  fleet.task -1 @task_0() : () -> ()
  return
}

// -----

func.func @task_results(%x: tensor<8xf32>) {
  // expected-error @+1 {{'fleet.task' op expected at most one result, found 2}}
  %0:2 = fleet.task 0 @task_0(%x) : (tensor<8xf32>) -> (tensor<8xf32>, tensor<8xf32>)
  return
}

// -----

func.func @waits_for_itself() {
  // expected-error @+1 {{'fleet.task' op expected to wait for an earlier task, found task 2}}
  fleet.task 2 @task_0() waits [0, 2] : () -> ()
  return
}

// -----

func.func @waits_for_nothing() {
  // expected-error @+1 {{'fleet.task' op expected to wait for an earlier task, found task -1}}
  fleet.task 2 @task_0() waits [-1] : () -> ()
  return
}

// -----

func.func @no_partition() {
  // expected-error @+1 {{'fleet.task' op expected a partition of a task that is cut into chiplet tasks, found none}}
  fleet.task 0 @task_0() : () -> () into {
    fleet.chiplet_task on 0 tiles 0 to 1
  }
  return
}

// -----

func.func @not_a_chiplet_task() {
  fleet.task 0 @task_0() partition <columns, tiles = 1, size = 4> : () -> () into {
    // expected-error @+1 {{'arith.constant' op expected a chiplet task inside a task, found another operation}}
    %0 = arith.constant 0 : index
  }
  return
}

// -----

module attributes {fleet.target = #fleet.target<"study", backend = llvm, chiplets = 2, workers = 3, lds = 1, l2 = 1, hbm_gbs = 1, tile = 1>} {
  func.func @no_such_chiplet() {
    fleet.task 0 @task_0() partition <columns, tiles = 1, size = 4> : () -> () into {
      // expected-error @+1 {{'fleet.chiplet_task' op expected a chiplet below 2, found 2}}
      fleet.chiplet_task on 2 tiles 0 to 1
    }
    return
  }
}

// -----

func.func @chiplets_fall() {
  fleet.task 0 @task_0() partition <columns, tiles = 2, size = 4> : () -> () into {
    fleet.chiplet_task on 1 tiles 0 to 1
    // expected-error @+1 {{'fleet.chiplet_task' op expected chiplets in rising order, found chiplet 0 after 1}}
    fleet.chiplet_task on 0 tiles 1 to 2
  }
  return
}

// -----

func.func @negative_chiplet() {
  fleet.task 0 @task_0() partition <columns, tiles = 1, size = 4> : () -> () into {
    // expected-error @+1 {{'fleet.chiplet_task' op expected a chiplet of 0 or more, found -1}}
    fleet.chiplet_task on -1 tiles 0 to 1
  }
  return
}

// -----

func.func @gap_of_chiplets() {
  fleet.task 0 @task_0() partition <columns, tiles = 4, size = 4> : () -> () into {
    fleet.chiplet_task on 0 tiles 0 to 1
    // expected-error @+1 {{'fleet.chiplet_task' op expected tiles from 1, found 2}}
    fleet.chiplet_task on 1 tiles 2 to 4
  }
  return
}

// -----

func.func @tiles_missing() {
  // expected-error @+1 {{'fleet.task' op expected chiplet tasks to cover 4 tiles, found 3}}
  fleet.task 0 @task_0() partition <columns, tiles = 4, size = 4> : () -> () into {
    fleet.chiplet_task on 0 tiles 0 to 3
  }
  return
}

// -----

func.func @empty_chiplet_task() {
  fleet.task 0 @task_0() partition <columns, tiles = 4, size = 4> : () -> () into {
    // expected-error @+1 {{'fleet.chiplet_task' op expected a non-empty range of tiles, found 2 to 2}}
    fleet.chiplet_task on 0 tiles 2 to 2
  }
  return
}

// -----

func.func @negative_tiles() {
  fleet.task 0 @task_0() partition <columns, tiles = 4, size = 4> : () -> () into {
    // expected-error @+1 {{'fleet.chiplet_task' op expected a non-empty range of tiles, found 0 to -1}}
    fleet.chiplet_task on 0 tiles 0 to -1
  }
  return
}

// -----

// expected-error @+1 {{'fleet.chiplet_task' op expects parent op 'fleet.task'}}
fleet.chiplet_task on 0 tiles 0 to 1

// -----

func.func @not_a_cu_task() {
  fleet.task 0 @task_0() partition <columns, tiles = 1, size = 4> : () -> () into {
    fleet.chiplet_task on 0 tiles 0 to 1 into {
      // expected-error @+1 {{'arith.constant' op expected a cu task inside a chiplet task, found another operation}}
      %0 = arith.constant 0 : index
    }
  }
  return
}

// -----

module attributes {fleet.target = #fleet.target<"study", backend = llvm, chiplets = 2, workers = 3, lds = 1, l2 = 1, hbm_gbs = 1, tile = 1>} {
  func.func @no_such_worker() {
    fleet.task 0 @task_0() partition <columns, tiles = 1, size = 4> : () -> () into {
      fleet.chiplet_task on 1 tiles 0 to 1 into {
        // expected-error @+1 {{'fleet.cu_task' op expected a worker below 3, found 3}}
        fleet.cu_task on 3 tiles 0 to 1
      }
    }
    return
  }
}

// -----

func.func @workers_fall() {
  fleet.task 0 @task_0() partition <columns, tiles = 2, size = 4> : () -> () into {
    fleet.chiplet_task on 0 tiles 0 to 2 into {
      fleet.cu_task on 1 tiles 0 to 1
      // expected-error @+1 {{'fleet.cu_task' op expected workers in rising order, found worker 0 after 1}}
      fleet.cu_task on 0 tiles 1 to 2
    }
  }
  return
}

// -----

func.func @negative_worker() {
  fleet.task 0 @task_0() partition <columns, tiles = 1, size = 4> : () -> () into {
    fleet.chiplet_task on 0 tiles 0 to 1 into {
      // expected-error @+1 {{'fleet.cu_task' op expected a worker of 0 or more, found -1}}
      fleet.cu_task on -1 tiles 0 to 1
    }
  }
  return
}

// -----

func.func @workers_overlap() {
  fleet.task 0 @task_0() partition <columns, tiles = 4, size = 4> : () -> () into {
    fleet.chiplet_task on 0 tiles 0 to 4 into {
      fleet.cu_task on 0 tiles 0 to 2
      // expected-error @+1 {{'fleet.cu_task' op expected tiles from 2, found 1}}
      fleet.cu_task on 1 tiles 1 to 4
    }
  }
  return
}

// -----

func.func @tiles_of_two_slices() {
  fleet.task 0 @task_0() partition <rows, tiles = 4, size = 4, splits = 2> : () -> () into {
    fleet.chiplet_task on 0 tiles 0 to 4 into {
      fleet.cu_task on 0 tiles 0 to 1
      // expected-error @+1 {{'fleet.cu_task' op expected tiles of one slice, which has 2, found 1 to 4}}
      fleet.cu_task on 1 tiles 1 to 4
    }
  }
  return
}

// -----

func.func @cu_tiles_missing() {
  fleet.task 0 @task_0() partition <columns, tiles = 4, size = 4> : () -> () into {
    fleet.chiplet_task on 0 tiles 0 to 1
    // expected-error @+1 {{'fleet.chiplet_task' op expected cu tasks to cover tiles up to 4, found 3}}
    fleet.chiplet_task on 1 tiles 1 to 4 into {
      fleet.cu_task on 0 tiles 1 to 3
    }
  }
  return
}

// -----

func.func @empty_cu_task() {
  fleet.task 0 @task_0() partition <columns, tiles = 1, size = 4> : () -> () into {
    fleet.chiplet_task on 0 tiles 0 to 1 into {
      // expected-error @+1 {{'fleet.cu_task' op expected a non-empty range of tiles, found 1 to 0}}
      fleet.cu_task on 0 tiles 1 to 0
    }
  }
  return
}

// -----

func.func @arena() {
  // expected-error @+1 {{'fleet.buffer' op expected arena params, state, work, input or output, found heap}}
  %0 = fleet.buffer "heap" offset 0 : memref<8xf32, #fleet.mem<hbm>>
  return
}

// -----

func.func @buffer_offset() {
  // expected-error @+1 {{'fleet.buffer' op expected an offset that is a multiple of 64, found 100}}
  %0 = fleet.buffer "work" offset 100 : memref<8xf32, #fleet.mem<hbm>>
  return
}

// -----

func.func @buffer_negative_offset() {
  // expected-error @+1 {{'fleet.buffer' op expected an offset of 0 or more, found -128}}
  %0 = fleet.buffer "work" offset -128 : memref<8xf32, #fleet.mem<hbm>>
  return
}

// -----

func.func @buffer_strides() {
  // expected-error @+1 {{'fleet.buffer' op expected a static shape without strides, found 'memref<8xf32, strided<[2]>, #fleet.mem<hbm>>'}}
  %0 = fleet.buffer "work" offset 0 : memref<8xf32, strided<[2]>, #fleet.mem<hbm>>
  return
}

// -----

func.func @buffer_bits() {
  // expected-error @+1 {{'fleet.buffer' op expected elements of whole bytes, found 'i1'}}
  %0 = fleet.buffer "work" offset 0 : memref<8xi1, #fleet.mem<hbm>>
  return
}

// -----

func.func @buffer_scope() {
  // expected-error @+1 {{'fleet.buffer' op expected a buffer with a memory scope, found 'memref<8xf32>'}}
  %0 = fleet.buffer "work" offset 0 : memref<8xf32>
  return
}

// -----

module attributes {fleet.target = #fleet.target<"study", backend = llvm, chiplets = 2, workers = 3, lds = 1, l2 = 1, hbm_gbs = 1, tile = 1>} {
  // expected-error @+1 {{'fleet.queue' op expected a chiplet below 2, found 2}}
  fleet.queue chiplet 2 worker 0 []
}

// -----

module attributes {fleet.target = #fleet.target<"study", backend = llvm, chiplets = 2, workers = 3, lds = 1, l2 = 1, hbm_gbs = 1, tile = 1>} {
  // expected-error @+1 {{'fleet.queue' op expected a worker below 3, found 3}}
  fleet.queue chiplet 1 worker 3 []
}

// -----

// expected-error @+1 {{'fleet.queue' op expected a chiplet of 0 or more, found -1}}
fleet.queue chiplet -1 worker 0 []

// -----

// expected-error @+1 {{'fleet.queue' op expected a worker of 0 or more, found -2}}
fleet.queue chiplet 0 worker -2 []

// -----

func.func @wait_scope(%counters: memref<8xi32>, %i: index, %target: i32) {
  // expected-error @+1 {{'fleet.wait' op expected an event of chiplet or device scope, found cu}}
  fleet.wait <cu> %counters[%i] >= %target : memref<8xi32>
  return
}

// -----

func.func @signal_scope(%counters: memref<8xi32>, %i: index) {
  // expected-error @+1 {{'fleet.signal' op expected an event of chiplet or device scope, found wavefront}}
  %n = fleet.signal <wavefront> %counters[%i] : memref<8xi32>
  return
}

// -----

func.func @counter_type(%counters: memref<8xi64>, %i: index) {
  // expected-error @+1 {{'fleet.signal' op operand #0 must be memref of 32-bit signless integer values, but got 'memref<8xi64>'}}
  %n = fleet.signal <device> %counters[%i] : memref<8xi64>
  return
}

// -----

func.func @ranges_of_a_chiplet_fall() {
  fleet.task 0 @task_0() partition <columns, tiles = 2, size = 4> : () -> () into {
    fleet.chiplet_task on 1 tiles 1 to 2
    // expected-error @+1 {{'fleet.chiplet_task' op expected chiplets in rising order, found chiplet 1 after 1}}
    fleet.chiplet_task on 1 tiles 0 to 1
  }
  return
}

// -----

func.func @replicated_in_part() {
  // expected-error @+1 {{'fleet.task' op expected chiplet tasks to cover 2 tiles, found 1}}
  fleet.task 0 @task_0() partition <replicated, tiles = 2, size = 4> : () -> () into {
    fleet.chiplet_task on 0 tiles 0 to 2
    fleet.chiplet_task on 1 tiles 0 to 1
  }
  return
}

// -----

func.func @later_on_the_chiplet() {
  // expected-error @+1 {{'fleet.task' op expected to wait for an earlier task, found task 3}}
  fleet.task 2 @task_0() chiplet_waits [3] : () -> ()
  return
}

// -----

func.func @instances_in_hbm() {
  // expected-error @+1 {{'fleet.buffer' op expected an instance for each chiplet of a buffer in l2 scope alone, found 'memref<8xf32, #fleet.mem<hbm>>'}}
  %0 = fleet.buffer "work" offset 0 chiplet_stride 128 : memref<8xf32, #fleet.mem<hbm>>
  return
}

// -----

func.func @instances_overlap() {
  // expected-error @+1 {{'fleet.buffer' op expected instances at least 128 bytes apart, found 64}}
  %0 = fleet.buffer "work" offset 0 chiplet_stride 64 : memref<32xf32, #fleet.mem<l2>>
  return
}

// -----

func.func @splits_that_do_not_divide() {
  // expected-error @+1 {{'fleet.param' op expected splits that divide 'tensor<8x4xf32>', found 3}}
  %0 = fleet.param ["w"] splits 3 : tensor<8x4xf32>
  return
}

// -----

func.func @ring(%ring: memref<8x64xbf16>, %slot: index) -> vector<8xbf16> {
  // expected-error @+1 {{operand #0 must be 3D memref of any type values, but got 'memref<8x64xbf16>'}}
  %0 = fleet.ring_read %ring[%slot] : memref<8x64xbf16>, vector<8xbf16>
  return %0 : vector<8xbf16>
}

// -----

func.func @ring_wait() {
  // expected-error @+1 {{attribute 'left' failed to satisfy constraint: 64-bit signless integer attribute whose value is non-negative}}
  fleet.ring_wait -1
  return
}

// -----

func.func @publish_shape(%x: memref<1x16xf32>, %words: memref<1x8xi64>) {
  // expected-error @+1 {{'fleet.publish' op expected a word for each 1 values of 'memref<1x16xf32>', found 'memref<1x8xi64>'}}
  fleet.publish %x to %words : memref<1x16xf32>, memref<1x8xi64>
  return
}

// -----

func.func @publish_half(%x: memref<1x15xbf16>, %words: memref<1x8xi64>) {
  // expected-error @+1 {{'fleet.publish' op expected values that fill whole words, found 'memref<1x15xbf16>'}}
  fleet.publish %x to %words : memref<1x15xbf16>, memref<1x8xi64>
  return
}

// -----

func.func @receive_shape(%words: memref<1x16xi64>, %x: memref<1x16xbf16>) {
  // expected-error @+1 {{'fleet.receive' op expected a word for each 2 values of 'memref<1x16xbf16>', found 'memref<1x16xi64>'}}
  fleet.receive %words to %x : memref<1x16xi64>, memref<1x16xbf16>
  return
}

// -----

func.func @take_rank(%words: memref<1x16xi64>, %i: index) {
  // expected-error @+1 {{'fleet.take' op expected 2 indices, found 1}}
  %x = fleet.take %words[%i] : memref<1x16xi64>, vector<4xf32>
  return
}
