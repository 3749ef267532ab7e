// RUN: fleet-opt %s --fleet-place-bodies | FileCheck %s

// Arguments are in hbm; temporaries are in the worker's scratch, each at a multiple of 64 bytes; views have the scope of
// what they show; a result that is not in its place is copied there.
// CHECK: func.func private @body(%[[X:[a-z0-9]*]]: memref<2x20xf32, #fleet.mem<hbm>>, %[[OUT:[a-z0-9]*]]: memref<2x20xf32, #fleet.mem<hbm>>, %{{.*}}: index, %{{.*}}: index, %[[SCRATCH:[a-z0-9]*]]: memref<320xi8, #fleet.mem<lds>>) attributes {fleet.body, fleet.scratch = 320 : i64}
// CHECK-DAG: %[[A:.*]] = memref.view %[[SCRATCH]][%c0{{[_0-9]*}}][] : memref<320xi8, #fleet.mem<lds>> to memref<2x20xf32, #fleet.mem<lds>>
// CHECK-DAG: %[[B:.*]] = memref.view %[[SCRATCH]][%c192{{[_0-9]*}}][] : memref<320xi8, #fleet.mem<lds>> to memref<2x10xf32, #fleet.mem<lds>>
// CHECK: memref.subview %[[X]][0, 0] [2, 10] [1, 1] : memref<2x20xf32, #fleet.mem<hbm>> to memref<2x10xf32, strided<[20, 1]>, #fleet.mem<hbm>>
// CHECK: memref.copy %{{.*}}, %[[B]]
// CHECK: memref.subview %[[A]][0, 0] [2, 10] [1, 1] : memref<2x20xf32, #fleet.mem<lds>> to memref<2x10xf32, strided<[20, 1]>, #fleet.mem<lds>>
// CHECK: memref.copy %[[A]], %[[OUT]]
// CHECK-NEXT: return{{$}}
func.func private @body(%x: memref<2x20xf32>, %out: memref<2x20xf32>, %lo: index, %hi: index) -> memref<2x20xf32> attributes {fleet.body} {
  %a = memref.alloc() : memref<2x20xf32>
  %b = memref.alloc() : memref<2x10xf32>
  %xs = memref.subview %x[0, 0] [2, 10] [1, 1] : memref<2x20xf32> to memref<2x10xf32, strided<[20, 1]>>
  memref.copy %xs, %b : memref<2x10xf32, strided<[20, 1]>> to memref<2x10xf32>
  %as = memref.subview %a[0, 0] [2, 10] [1, 1] : memref<2x20xf32> to memref<2x10xf32, strided<[20, 1]>>
  memref.copy %b, %as : memref<2x10xf32> to memref<2x10xf32, strided<[20, 1]>>
  return %a : memref<2x20xf32>
}

// Nothing to keep: one line of scratch, so that every body has the same arguments. The result is in its place.
// CHECK: func.func private @in_place({{.*}}memref<64xi8, #fleet.mem<lds>>) attributes {fleet.body, fleet.scratch = 64 : i64}
// CHECK-NEXT: linalg.exp
// CHECK-NEXT: return{{$}}
func.func private @in_place(%x: memref<2x8xf32>, %out: memref<2x8xf32>, %lo: index, %hi: index) -> memref<2x8xf32> attributes {fleet.body} {
  linalg.exp ins(%x : memref<2x8xf32>) outs(%out : memref<2x8xf32>)
  return %out : memref<2x8xf32>
}

// CHECK: func.func private @no_body(memref<2xf32>)
func.func private @no_body(memref<2xf32>)
