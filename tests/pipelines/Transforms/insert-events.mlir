// RUN: fleet-opt %s --fleet-insert-events | FileCheck %s

// 1 and 2 read what 0 wrote; 3 reads all three, but 0 is done when 1 or 2 is; 4 shares nothing with anyone;
// 5 reads a value of long ago that 3 has waited for, by two steps.
// CHECK: fleet.task 0 @t({{.*}}) waits [] :
// CHECK: fleet.task 1 @t({{.*}}) waits [0] :
// CHECK: fleet.task 2 @t({{.*}}) waits [0] :
// CHECK: fleet.task 3 @t({{.*}}) waits [1, 2] :
// CHECK: fleet.task 4 @t({{.*}}) waits [] :
// CHECK: fleet.task 5 @t({{.*}}) waits [3, 4] :
func.func @step() {
  %x = fleet.buffer "input" offset 0 : memref<16xf32, #fleet.mem<hbm>>
  %0 = fleet.buffer "work" offset 0 : memref<16xf32, #fleet.mem<hbm>>
  %1 = fleet.buffer "work" offset 64 : memref<16xf32, #fleet.mem<hbm>>
  %2 = fleet.buffer "work" offset 128 : memref<16xf32, #fleet.mem<hbm>>
  %3 = fleet.buffer "work" offset 192 : memref<16xf32, #fleet.mem<hbm>>
  %4 = fleet.buffer "work" offset 256 : memref<16xf32, #fleet.mem<hbm>>
  %5 = fleet.buffer "work" offset 320 : memref<16xf32, #fleet.mem<hbm>>
  fleet.task 0 @t(%x, %0) : (memref<16xf32, #fleet.mem<hbm>>, memref<16xf32, #fleet.mem<hbm>>) -> ()
  fleet.task 1 @t(%0, %1) : (memref<16xf32, #fleet.mem<hbm>>, memref<16xf32, #fleet.mem<hbm>>) -> ()
  fleet.task 2 @t(%0, %0, %2) : (memref<16xf32, #fleet.mem<hbm>>, memref<16xf32, #fleet.mem<hbm>>, memref<16xf32, #fleet.mem<hbm>>) -> ()
  fleet.task 3 @t(%2, %1, %0, %3) : (memref<16xf32, #fleet.mem<hbm>>, memref<16xf32, #fleet.mem<hbm>>, memref<16xf32, #fleet.mem<hbm>>, memref<16xf32, #fleet.mem<hbm>>) -> ()
  fleet.task 4 @t(%x, %4) : (memref<16xf32, #fleet.mem<hbm>>, memref<16xf32, #fleet.mem<hbm>>) -> ()
  fleet.task 5 @t(%0, %4, %3, %5) : (memref<16xf32, #fleet.mem<hbm>>, memref<16xf32, #fleet.mem<hbm>>, memref<16xf32, #fleet.mem<hbm>>, memref<16xf32, #fleet.mem<hbm>>) -> ()
  return
}
