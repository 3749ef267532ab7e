// On two chiplets, of which one has nothing of the last task, a step waits for the chiplets that signal that task.
// RUN: sed "s/chiplets = 1, workers = 2/chiplets = 2, workers = 1/; s/memref<2x1xi32> = dense<.*/memref<2x2xi32> = dense<[[1, 1], [0, 1]]>/" \
// RUN:   %S/driver-steps.mlir | fleet-opt --fleet-gpu-driver=most-steps=64 | FileCheck %s

// CHECK: memref.global "private" constant @producers : memref<2xi32, #gpu.address_space<global>> = dense<[2, 1]>
// CHECK: %[[PRODUCERS:.*]] = memref.get_global @producers
// CHECK: %[[BEFORE:.*]] = arith.subi
// CHECK: %[[ALL:.*]] = memref.load %[[PRODUCERS]]
// CHECK: arith.muli %[[BEFORE]], %[[ALL]]
