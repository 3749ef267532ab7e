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

// expected-error @+1 {{expected a function @step, found none}}
module {}
