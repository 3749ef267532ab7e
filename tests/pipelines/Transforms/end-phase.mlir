// The form that each phase leaves and the next one finds: one case for each rule.
// RUN: split-file %s %t
// RUN: fleet-opt %t/import.mlir --fleet-end-phase=phase=import -split-input-file -verify-diagnostics
// RUN: fleet-opt %t/tasks.mlir --fleet-end-phase=phase=tasks -split-input-file -verify-diagnostics
// RUN: fleet-opt %t/chiplets.mlir --fleet-end-phase=phase=chiplets -split-input-file -verify-diagnostics
// RUN: fleet-opt %t/tiles.mlir --fleet-end-phase=phase=tiles -split-input-file -verify-diagnostics
// RUN: fleet-opt %t/memory.mlir --fleet-end-phase=phase=memory -split-input-file -verify-diagnostics
// RUN: fleet-opt %t/schedule.mlir --fleet-end-phase=phase=schedule -split-input-file -verify-diagnostics
// RUN: fleet-opt %t/kernel.mlir --fleet-end-phase=phase=kernel -verify-diagnostics
// RUN: fleet-opt %t/target.mlir --fleet-end-phase=phase=target -verify-diagnostics
// RUN: fleet-opt %t/package.mlir --fleet-end-phase=phase=package -verify-diagnostics
// RUN: fleet-opt %t/good.mlir --fleet-end-phase=phase=schedule | FileCheck %t/good.mlir
// RUN: fleet-opt %t/good.mlir --fleet-end-phase=phase=schedule --fleet-begin-phase=expect=schedule | FileCheck %t/good.mlir

//--- import.mlir
// expected-error @+1 {{expected a function @step, found none}}
module {}

// -----

// expected-error @+1 {{expected a function @step, found none}}
module {
  func.func private @step()
}

//--- tasks.mlir
func.func @step(%x: tensor<2xf32>) {
  // expected-error @+1 {{expected only tasks in @step after phase tasks, found math.exp}}
  %0 = math.exp %x : tensor<2xf32>
  return
}

// -----

func.func @step(%x: tensor<2xf32>) {
  // expected-error @+1 {{expected a body @task_0, found none}}
  %0 = fleet.task 0 @task_0(%x) : (tensor<2xf32>) -> tensor<2xf32>
  return
}

// -----

func.func private @task_0() {
  return
}
func.func @step() {
  // expected-error @+1 {{expected a task with a tensor result, found none}}
  fleet.task 0 @task_0() : () -> ()
  return
}

// -----

func.func private @task_0(%x: tensor<3xf32>) -> tensor<2xf32> {
  %e = tensor.empty() : tensor<2xf32>
  return %e : tensor<2xf32>
}
func.func @step(%x: tensor<2xf32>) {
  // expected-error @+1 {{expected a body @task_0 of type '(tensor<2xf32>) -> tensor<2xf32>', found '(tensor<3xf32>) -> tensor<2xf32>'}}
  %0 = fleet.task 0 @task_0(%x) : (tensor<2xf32>) -> tensor<2xf32>
  return
}

// -----

// A declaration is no body.
func.func private @task_0(tensor<2xf32>) -> tensor<2xf32>
func.func @step(%x: tensor<2xf32>) {
  // expected-error @+1 {{expected a body @task_0, found none}}
  %0 = fleet.task 0 @task_0(%x) : (tensor<2xf32>) -> tensor<2xf32>
  return
}

//--- chiplets.mlir
func.func private @task_0(%x: tensor<2xf32>) -> tensor<2xf32> {
  %e = tensor.empty() : tensor<2xf32>
  return %e : tensor<2xf32>
}
func.func @step(%x: tensor<2xf32>) {
  // expected-error @+1 {{expected a task cut into chiplet tasks, found none}}
  %0 = fleet.task 0 @task_0(%x) : (tensor<2xf32>) -> tensor<2xf32>
  return
}

//--- tiles.mlir
func.func private @task_0(%x: tensor<2xf32>, %out: tensor<2xf32>, %lo: index, %hi: index) -> tensor<2xf32> {
  %e = tensor.empty() : tensor<2xf32>
  return %e : tensor<2xf32>
}
func.func @step(%x: tensor<2xf32>) {
  %0 = fleet.task 0 @task_0(%x) partition <whole, tiles = 1, size = 2> : (tensor<2xf32>) -> tensor<2xf32> into {
    // expected-error @+1 {{expected a chiplet task cut into cu tasks, found none}}
    fleet.chiplet_task on 0 tiles 0 to 1
  }
  return
}

// -----

func.func private @task_0(%x: tensor<2xf32>) -> tensor<2xf32> {
  %e = tensor.empty() : tensor<2xf32>
  return %e : tensor<2xf32>
}
func.func @step(%x: tensor<2xf32>) {
  // expected-error @+1 {{expected a body @task_0 of type '(tensor<2xf32>, tensor<2xf32>, index, index) -> tensor<2xf32>', found '(tensor<2xf32>) -> tensor<2xf32>'}}
  %0 = fleet.task 0 @task_0(%x) partition <whole, tiles = 1, size = 2> : (tensor<2xf32>) -> tensor<2xf32> into {
    fleet.chiplet_task on 0 tiles 0 to 1 into {
      fleet.cu_task on 0 tiles 0 to 1
    }
  }
  return
}

//--- memory.mlir
// expected-error @+1 {{expected a module with a fleet.manifest after phase memory, found none}}
module {
  func.func @step() {
    return
  }
}

// -----

module attributes {fleet.manifest = {}} {
  func.func private @task_0(%x: tensor<2xf32>) -> tensor<2xf32> {
    %e = tensor.empty() : tensor<2xf32>
    return %e : tensor<2xf32>
  }
  func.func @step() {
    %x = fleet.param ["x"] : tensor<2xf32>
    // expected-error @+1 {{expected a task on buffers, found a tensor result}}
    %0 = fleet.task 0 @task_0(%x) partition <whole, tiles = 1, size = 2> : (tensor<2xf32>) -> tensor<2xf32> into {
      fleet.chiplet_task on 0 tiles 0 to 1 into {
        fleet.cu_task on 0 tiles 0 to 1
      }
    }
    return
  }
}

// -----

module attributes {fleet.manifest = {}} {
  func.func private @task_0(%x: tensor<2xf32>) {
    return
  }
  func.func @step() {
    %x = fleet.param ["x"] : tensor<2xf32>
    // expected-error @+1 {{expected a task on buffers, found an operand of type 'tensor<2xf32>'}}
    fleet.task 0 @task_0(%x) partition <whole, tiles = 1, size = 2> : (tensor<2xf32>) -> () into {
      fleet.chiplet_task on 0 tiles 0 to 1 into {
        fleet.cu_task on 0 tiles 0 to 1
      }
    }
    return
  }
}

// -----

module attributes {fleet.manifest = {}} {
  func.func private @task_0(%x: memref<2xf32, #fleet.mem<hbm>>, %lo: index, %hi: index, %scratch: memref<64xi8, #fleet.mem<hbm>>) {
    return
  }
  func.func @step() {
    %x = fleet.buffer "work" offset 0 : memref<2xf32, #fleet.mem<hbm>>
    // expected-error @+1 {{expected a body @task_0 of type '(memref<2xf32, #fleet.mem<hbm>>, index, index, memref<64xi8, #fleet.mem<lds>>) -> ()', found '(memref<2xf32, #fleet.mem<hbm>>, index, index, memref<64xi8, #fleet.mem<hbm>>) -> ()'}}
    fleet.task 0 @task_0(%x) partition <whole, tiles = 1, size = 2> : (memref<2xf32, #fleet.mem<hbm>>) -> () into {
      fleet.chiplet_task on 0 tiles 0 to 1 into {
        fleet.cu_task on 0 tiles 0 to 1
      }
    }
    return
  }
}

// -----

module attributes {fleet.manifest = {}} {
  func.func @step() {
    return
  }
  // expected-error @+1 {{expected only memrefs after phase memory, found 'tensor<2xf32>'}}
  func.func private @task_0(%x: tensor<2xf32>) {
    return
  }
}

//--- schedule.mlir
module attributes {fleet.manifest = {}, fleet.target = #fleet.target<"study", backend = llvm, chiplets = 2, workers = 2, lds = 1, l2 = 1, hbm_gbs = 1, tile = 16>} {
  // expected-error @+1 {{expected a queue for each of 4 workers, found 3}}
  func.func @step() {
    fleet.queue chiplet 0 worker 0 []
    fleet.queue chiplet 0 worker 1 []
    fleet.queue chiplet 1 worker 0 []
    return
  }
}

// -----

module attributes {fleet.manifest = {}, fleet.target = #fleet.target<"study", backend = llvm, chiplets = 2, workers = 2, lds = 1, l2 = 1, hbm_gbs = 1, tile = 16>} {
  func.func @step() {
    fleet.queue chiplet 0 worker 0 []
    // expected-error @+1 {{expected the queue of chiplet 0 worker 1, found that of chiplet 1 worker 0}}
    fleet.queue chiplet 1 worker 0 []
    fleet.queue chiplet 0 worker 1 []
    fleet.queue chiplet 1 worker 1 []
    return
  }
}

// -----

// expected-error @+1 {{expected a module with a fleet.target, found none; run fleet-set-target}}
module attributes {fleet.manifest = {}} {
  func.func @step() {
    return
  }
}

//--- kernel.mlir
// expected-error @+1 {{expected a gpu.module after phase kernel, found none}}
module {}

//--- target.mlir
// expected-error @+1 {{expected llvm functions after phase target, found none}}
module {}

//--- package.mlir
// expected-error @+1 {{expected llvm functions after phase package, found none}}
module {}

//--- good.mlir
// CHECK: fleet.phase = "schedule"
module attributes {fleet.manifest = {}, fleet.target = #fleet.target<"study", backend = llvm, chiplets = 1, workers = 2, lds = 1, l2 = 1, hbm_gbs = 1, tile = 16>} {
  func.func private @task_0(%x: memref<2xf32, #fleet.mem<hbm>>, %lo: index, %hi: index, %scratch: memref<64xi8, #fleet.mem<lds>>) {
    return
  }
  func.func @step() {
    %x = fleet.buffer "work" offset 0 : memref<2xf32, #fleet.mem<hbm>>
    fleet.task 0 @task_0(%x) partition <whole, tiles = 1, size = 2> : (memref<2xf32, #fleet.mem<hbm>>) -> () into {
      fleet.chiplet_task on 0 tiles 0 to 1 into {
        fleet.cu_task on 0 tiles 0 to 1
      }
    }
    fleet.queue chiplet 0 worker 0 [0]
    fleet.queue chiplet 0 worker 1 []
    return
  }
}
