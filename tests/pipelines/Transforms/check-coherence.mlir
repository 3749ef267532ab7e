// RUN: fleet-opt %s --fleet-check-coherence --split-input-file --verify-diagnostics

!buf = memref<16xf32, #fleet.mem<hbm>>

// Ordered through another task: legal.
func.func private @copy(!buf, !buf)
func.func @step() {
  %a = fleet.buffer "work" offset 0 : !buf
  %b = fleet.buffer "work" offset 64 : !buf
  fleet.task 0 @copy(%b, %a) waits [] : (!buf, !buf) -> ()
  fleet.task 1 @copy(%a, %b) waits [0] : (!buf, !buf) -> ()
  fleet.task 2 @copy(%a, %b) waits [1] : (!buf, !buf) -> ()
  return
}

// -----

!buf = memref<16xf32, #fleet.mem<hbm>>

// A dropped wait: task 1 reads what task 0 writes.
func.func private @copy(!buf, !buf)
func.func @step() {
  %a = fleet.buffer "work" offset 0 : !buf
  %b = fleet.buffer "work" offset 64 : !buf
  %c = fleet.buffer "work" offset 128 : !buf
  fleet.task 0 @copy(%c, %a) waits [] : (!buf, !buf) -> ()
  // expected-error @+1 {{expected a wait for task 0, which touches the same bytes of arena work from offset 0, found none}}
  fleet.task 1 @copy(%a, %b) waits [] : (!buf, !buf) -> ()
  return
}

// -----

!buf = memref<16xf32, #fleet.mem<hbm>>
!half = memref<8xf32, #fleet.mem<hbm>>

// A value that is overwritten before its reader is known to be done, by a
// buffer of another shape at the same place.
func.func private @copy(!buf, !buf)
func.func private @fill(!half)
func.func @step() {
  %a = fleet.buffer "work" offset 0 : !buf
  %b = fleet.buffer "output" offset 0 : !buf
  %c = fleet.buffer "work" offset 0 : !half
  fleet.task 0 @copy(%a, %b) waits [] : (!buf, !buf) -> ()
  // expected-error @+1 {{expected a wait for task 0, which touches the same bytes of arena work from offset 0, found none}}
  fleet.task 1 @fill(%c) waits [] : (!half) -> ()
  return
}

// -----

!buf = memref<16xf32, #fleet.mem<hbm>>

// State is written by every task that has it.
func.func private @attend(!buf, !buf)
func.func @step() {
  %s = fleet.buffer "state" offset 0 : !buf
  %a = fleet.buffer "work" offset 0 : !buf
  %b = fleet.buffer "work" offset 64 : !buf
  fleet.task 0 @attend(%s, %a) waits [] : (!buf, !buf) -> ()
  // expected-error @+1 {{expected a wait for task 0, which touches the same bytes of arena state from offset 0, found none}}
  fleet.task 1 @attend(%s, %b) waits [] : (!buf, !buf) -> ()
  return
}

// -----

!buf = memref<16xf32, #fleet.mem<hbm>>
!half = memref<8xf32, #fleet.mem<hbm>>

// A result on top of what the task itself reads: its workers do not wait for each other.
func.func private @body(!buf, !half)
func.func @step() {
  %a = fleet.buffer "work" offset 64 : !buf
  %b = fleet.buffer "work" offset 64 : !half
  // expected-error @+1 {{expected what a task writes to be apart from its other operands, found both in arena work at offset 64}}
  fleet.task 0 @body(%a, %b) waits [] : (!buf, !half) -> ()
  return
}

// -----

// Parameters are only read: no order is needed.
!buf = memref<16xf32, #fleet.mem<hbm>>
func.func private @copy(!buf, !buf)
func.func @step() {
  %p = fleet.buffer "params" offset 0 : !buf
  %a = fleet.buffer "work" offset 0 : !buf
  %b = fleet.buffer "work" offset 64 : !buf
  fleet.task 0 @copy(%p, %a) waits [] : (!buf, !buf) -> ()
  fleet.task 1 @copy(%p, %b) waits [] : (!buf, !buf) -> ()
  return
}

// -----

!buf = memref<16xf32, #fleet.mem<hbm>>
func.func private @fill(!buf)
func.func @step() {
  %a = fleet.buffer "work" offset 0 : !buf
  // expected-error @+1 {{expected task ids in order, found 1 at place 0}}
  fleet.task 1 @fill(%a) waits [] : (!buf) -> ()
  return
}

// -----

func.func private @body()
func.func @step() {
  // expected-error @+1 {{expected a task on buffers, found no operand}}
  fleet.task 0 @body() waits [] : () -> ()
  return
}

// -----

func.func private @body(memref<4xf32>)
func.func @step(%a: memref<4xf32>) {
  // expected-error @+1 {{expected a task on buffers, found an operand of type 'memref<4xf32>'}}
  fleet.task 0 @body(%a) waits [] : (memref<4xf32>) -> ()
  return
}

// -----

#columns = #fleet.partition<columns, tiles = 2, size = 8>
!l2 = memref<16xf32, #fleet.mem<l2>>

// A value in l2 scope that all of a task's parts and its reader's have on one chiplet: legal.
func.func private @body(!l2)
func.func private @copy(!l2, !l2)
func.func @step() {
  %a = fleet.buffer "work" offset 0 : !l2
  %b = fleet.buffer "work" offset 64 : !l2
  fleet.task 0 @body(%a) partition #columns waits [] : (!l2) -> () into {
    fleet.chiplet_task on 1 tiles 0 to 2
  }
  fleet.task 1 @copy(%a, %b) partition #columns waits [0] : (!l2, !l2) -> () into {
    fleet.chiplet_task on 1 tiles 0 to 2
  }
  return
}

// -----

#columns = #fleet.partition<columns, tiles = 2, size = 8>
!hbm = memref<16xf32, #fleet.mem<hbm>>
!l2 = memref<16xf32, #fleet.mem<l2>>

// Its reader on another chiplet, whatever it waits for.
func.func private @body(!l2)
func.func private @copy(!l2, !hbm)
func.func @step() {
  %a = fleet.buffer "work" offset 0 : !l2
  %b = fleet.buffer "work" offset 64 : !hbm
  fleet.task 0 @body(%a) partition #columns waits [] : (!l2) -> () into {
    fleet.chiplet_task on 1 tiles 0 to 2
  }
  // expected-error @+1 {{expected a value in l2 or lds scope to be read where it is written, found that task 1 reads on a chiplet what task 0 writes on another}}
  fleet.task 1 @copy(%a, %b) partition #columns waits [0] : (!l2, !hbm) -> () into {
    fleet.chiplet_task on 0 tiles 0 to 2
  }
  return
}

// -----

#columns = #fleet.partition<columns, tiles = 2, size = 8>
!l2 = memref<16xf32, #fleet.mem<l2>>

// Two chiplets write it.
func.func private @body(!l2)
func.func @step() {
  %a = fleet.buffer "work" offset 0 : !l2
  // expected-error @+1 {{expected a value in l2 scope to stay on chiplet 0, where task 0 has it, found chiplet 1}}
  fleet.task 0 @body(%a) partition #columns waits [] : (!l2) -> () into {
    fleet.chiplet_task on 0 tiles 0 to 1
    fleet.chiplet_task on 1 tiles 1 to 2
  }
  return
}

// -----

#whole = #fleet.partition<whole, tiles = 1, size = 16>
#replicated = #fleet.partition<replicated, tiles = 1, size = 16>
!hbm = memref<16xf32, #fleet.mem<hbm>>
!l2 = memref<16xf32, #fleet.mem<l2>>

// An instance for each chiplet, read where its writer has run: legal. Where it has not: an instance that nobody wrote.
func.func private @body(!l2)
func.func private @copy(!l2, !hbm)
func.func @step() {
  %a = fleet.buffer "work" offset 0 chiplet_stride 64 : !l2
  %b = fleet.buffer "work" offset 256 : !hbm
  %c = fleet.buffer "work" offset 320 : !hbm
  fleet.task 0 @body(%a) partition #replicated waits [] : (!l2) -> () into {
    fleet.chiplet_task on 0 tiles 0 to 1
    fleet.chiplet_task on 1 tiles 0 to 1
  }
  fleet.task 1 @copy(%a, %b) partition #whole waits [0] : (!l2, !hbm) -> () into {
    fleet.chiplet_task on 1 tiles 0 to 1
  }
  // expected-error @+1 {{expected a value in l2 or lds scope to be read where it is written, found that task 2 reads on a chiplet what task 0 writes on another}}
  fleet.task 2 @copy(%a, %c) partition #whole waits [0] : (!l2, !hbm) -> () into {
    fleet.chiplet_task on 2 tiles 0 to 1
  }
  return
}

// -----

#whole = #fleet.partition<whole, tiles = 1, size = 16>
!hbm = memref<16xf32, #fleet.mem<hbm>>
!l2 = memref<16xf32, #fleet.mem<l2>>
func.func private @copy(!l2, !hbm)
func.func @step() {
  %a = fleet.buffer "work" offset 0 : !l2
  %b = fleet.buffer "work" offset 64 : !hbm
  // expected-error @+1 {{expected a value in l2 or lds scope to be written by an earlier task, found none that writes offset 0 of arena work}}
  fleet.task 0 @copy(%a, %b) partition #whole waits [] : (!l2, !hbm) -> () into {
    fleet.chiplet_task on 1 tiles 0 to 1
  }
  return
}

// -----

!l2 = memref<16xf32, #fleet.mem<l2>>
func.func private @body(!l2)
func.func @step() {
  %a = fleet.buffer "work" offset 0 : !l2
  // expected-error @+1 {{expected a task cut into chiplet tasks, as it has a value in l2 or lds scope, found none}}
  fleet.task 0 @body(%a) waits [] : (!l2) -> ()
  return
}

// -----

#columns = #fleet.partition<columns, tiles = 2, size = 8>
!lds = memref<16xf32, #fleet.mem<lds>>

// Two workers of a chiplet share no LDS.
func.func private @body(!lds)
func.func @step() {
  %a = fleet.buffer "work" offset 0 : !lds
  // expected-error @+1 {{expected a value in lds scope to stay with worker 0, as in task 0, found worker 1}}
  fleet.task 0 @body(%a) partition #columns waits [] : (!lds) -> () into {
    fleet.chiplet_task on 0 tiles 0 to 2 into {
      fleet.cu_task on 0 tiles 0 to 1
      fleet.cu_task on 1 tiles 1 to 2
    }
  }
  return
}

// -----

!own = memref<16xf32, #fleet.mem<registers>>
func.func private @body(!own)
func.func @step() {
  %a = fleet.buffer "work" offset 0 : !own
  // expected-error @+1 {{expected a value of the step in lds, l2 or hbm scope, found one in registers}}
  fleet.task 0 @body(%a) waits [] : (!own) -> ()
  return
}

// -----

// expected-error @+1 {{expected a function @step, found none}}
module {}
