// RUN: fleet-opt %s -split-input-file -verify-diagnostics

func.func @ranks(%x: tensor<2x40xf32>, %o: tensor<2xi32>) {
  // expected-error @+1 {{'fleet.argmax_partial' op expected an input of rank 2 and an output of rank 3, found 'tensor<2x40xf32>' and 'tensor<2xi32>'}}
  %0 = fleet.argmax_partial ins(%x : tensor<2x40xf32>) outs(%o : tensor<2xi32>) {width = 16 : i64} -> tensor<2xi32>
  return
}

// -----

func.func @element(%x: tensor<2x40xf32>, %o: tensor<3x2x8xf32>) {
  // expected-error @+1 {{'fleet.argmax_partial' op expected an output of i32, found 'tensor<3x2x8xf32>'}}
  %0 = fleet.argmax_partial ins(%x : tensor<2x40xf32>) outs(%o : tensor<3x2x8xf32>) {width = 16 : i64} -> tensor<3x2x8xf32>
  return
}

// -----

func.func @width(%x: tensor<2x40xf32>, %o: tensor<3x2x8xi32>) {
  // expected-error @+1 {{'fleet.argmax_partial' op expected a width of 1 to 40, found 41}}
  %0 = fleet.argmax_partial ins(%x : tensor<2x40xf32>) outs(%o : tensor<3x2x8xi32>) {width = 41 : i64} -> tensor<3x2x8xi32>
  return
}

// -----

func.func @tile(%at: index, %x: tensor<2x40xf32>, %o: tensor<3x2x8xi32>) {
  // expected-error @+1 {{'fleet.argmax_partial' op expected a tile of 16 columns, found 40}}
  %0 = fleet.argmax_partial from %at ins(%x : tensor<2x40xf32>) outs(%o : tensor<3x2x8xi32>) {width = 16 : i64} -> tensor<3x2x8xi32>
  return
}

// -----

func.func @room(%x: tensor<9x40xf32>, %o: tensor<3x2x8xi32>) {
  // expected-error @+1 {{'fleet.argmax_partial' op expected room for 9 rows, found 'tensor<3x2x8xi32>'}}
  %0 = fleet.argmax_partial ins(%x : tensor<9x40xf32>) outs(%o : tensor<3x2x8xi32>) {width = 16 : i64} -> tensor<3x2x8xi32>
  return
}

// -----

func.func @parts(%x: tensor<2x40xf32>, %o: tensor<2x2x8xi32>) {
  // expected-error @+1 {{'fleet.argmax_partial' op expected output of shape [3, 2, 8], found 'tensor<2x2x8xi32>'}}
  %0 = fleet.argmax_partial ins(%x : tensor<2x40xf32>) outs(%o : tensor<2x2x8xi32>) {width = 16 : i64} -> tensor<2x2x8xi32>
  return
}

// -----

func.func @merge_ranks(%x: tensor<3x2xi32>, %o: tensor<2xi32>) {
  // expected-error @+1 {{'fleet.argmax_merge' op expected an input of rank 3 and an output of rank 1, found 'tensor<3x2xi32>' and 'tensor<2xi32>'}}
  %0 = fleet.argmax_merge ins(%x : tensor<3x2xi32>) outs(%o : tensor<2xi32>) -> tensor<2xi32>
  return
}

// -----

func.func @merge_element(%x: tensor<3x2x8xf32>, %o: tensor<2xi32>) {
  // expected-error @+1 {{'fleet.argmax_merge' op expected an input and an output of i32, found 'tensor<3x2x8xf32>'}}
  %0 = fleet.argmax_merge ins(%x : tensor<3x2x8xf32>) outs(%o : tensor<2xi32>) -> tensor<2xi32>
  return
}

// -----

func.func @merge_rows(%x: tensor<3x2x8xi32>, %o: tensor<9xi32>) {
  // expected-error @+1 {{'fleet.argmax_merge' op expected parts of at least 9 rows, found 'tensor<3x2x8xi32>'}}
  %0 = fleet.argmax_merge ins(%x : tensor<3x2x8xi32>) outs(%o : tensor<9xi32>) -> tensor<9xi32>
  return
}

// -----

func.func @merge_pairs(%x: tensor<3x3x8xi32>, %o: tensor<2xi32>) {
  // expected-error @+1 {{'fleet.argmax_merge' op expected input of shape [3, 2, 8], found 'tensor<3x3x8xi32>'}}
  %0 = fleet.argmax_merge ins(%x : tensor<3x3x8xi32>) outs(%o : tensor<2xi32>) -> tensor<2xi32>
  return
}
