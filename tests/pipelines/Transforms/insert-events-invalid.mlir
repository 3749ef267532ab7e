// RUN: fleet-opt %s --fleet-insert-events -split-input-file -verify-diagnostics

func.func @step() {
  %0 = fleet.buffer "work" offset 0 : memref<16xf32, #fleet.mem<hbm>>
  fleet.task 0 @t(%0) : (memref<16xf32, #fleet.mem<hbm>>) -> ()
  // expected-error @+1 {{expected task ids in order, found 2 at place 1}}
  fleet.task 2 @t(%0) : (memref<16xf32, #fleet.mem<hbm>>) -> ()
  return
}

// -----

func.func @step() {
  // expected-error @+1 {{expected a task on buffers, found no operand}}
  fleet.task 0 @t() : () -> ()
  return
}

// -----

func.func @step(%x: tensor<2xf32>) {
  // expected-error @+1 {{expected a task on buffers, found an operand of type 'tensor<2xf32>'}}
  fleet.task 0 @t(%x) : (tensor<2xf32>) -> ()
  return
}

// -----

// expected-error @+1 {{expected a function @step, found none}}
module {}
