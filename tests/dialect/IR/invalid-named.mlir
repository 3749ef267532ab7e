// One case for each rule of the verifiers of the named computations.
// RUN: fleet-opt %s -split-input-file -verify-diagnostics

func.func @inputs(%t: tensor<9x8xf32>, %o: tensor<2x8xf32>) {
  // expected-error @+1 {{'fleet.gather' op expected 2 inputs, found 1}}
  %0 = fleet.gather ins(%t : tensor<9x8xf32>) outs(%o : tensor<2x8xf32>) -> tensor<2x8xf32>
  return
}

// -----

func.func @outputs(%x: tensor<2x8xf32>, %o: tensor<2xi32>) {
  // expected-error @+1 {{'fleet.argmax' op expected 1 output, found 2}}
  %0:2 = fleet.argmax ins(%x : tensor<2x8xf32>) outs(%o, %o : tensor<2xi32>, tensor<2xi32>) -> tensor<2xi32>, tensor<2xi32>
  return
}

// -----

func.func @dynamic(%x: tensor<?x8xf32>, %o: tensor<2xi32>) {
  // expected-error @+1 {{'fleet.argmax' op expected static shapes, found 'tensor<?x8xf32>'}}
  %0 = fleet.argmax ins(%x : tensor<?x8xf32>) outs(%o : tensor<2xi32>) -> tensor<2xi32>
  return
}

// -----

func.func @result(%x: memref<2x8xf32>, %o: tensor<2xi32>) {
  // expected-error @+1 {{'fleet.argmax' op expected the number of tensor results (0) to be equal to the number of output tensors (1)}}
  fleet.argmax ins(%x : memref<2x8xf32>) outs(%o : tensor<2xi32>)
  return
}

// -----

func.func @gather_ranks(%t: tensor<9x8xf32>, %i: tensor<2x1xi32>, %o: tensor<2x8xf32>) {
  // expected-error @+1 {{'fleet.gather' op expected a table of rank 2 and indices of rank 1, found 'tensor<9x8xf32>' and 'tensor<2x1xi32>'}}
  %0 = fleet.gather ins(%t, %i : tensor<9x8xf32>, tensor<2x1xi32>) outs(%o : tensor<2x8xf32>) -> tensor<2x8xf32>
  return
}

// -----

func.func @gather_output(%t: tensor<9x8xf32>, %i: tensor<2xi32>, %o: tensor<3x8xf32>) {
  // expected-error @+1 {{'fleet.gather' op expected output of shape [2, 8], found 'tensor<3x8xf32>'}}
  %0 = fleet.gather ins(%t, %i : tensor<9x8xf32>, tensor<2xi32>) outs(%o : tensor<3x8xf32>) -> tensor<3x8xf32>
  return
}

// -----

func.func @rms_norm_inputs(%x: tensor<2x8xf32>, %o: tensor<2x8xf32>) {
  // expected-error @+1 {{'fleet.rms_norm' op expected 2 inputs, found 1}}
  %0 = fleet.rms_norm ins(%x : tensor<2x8xf32>) outs(%o : tensor<2x8xf32>) {eps = 1.0e-5 : f64} -> tensor<2x8xf32>
  return
}

// -----

func.func @rms_norm_weight(%x: tensor<2x8xf32>, %w: tensor<4xf32>, %o: tensor<2x8xf32>) {
  // expected-error @+1 {{'fleet.rms_norm' op expected weight of shape [8], found 'tensor<4xf32>'}}
  %0 = fleet.rms_norm ins(%x, %w : tensor<2x8xf32>, tensor<4xf32>) outs(%o : tensor<2x8xf32>) {eps = 1.0e-5 : f64} -> tensor<2x8xf32>
  return
}

// -----

func.func @rms_norm_output(%x: tensor<2x8xf32>, %w: tensor<8xf32>, %o: tensor<1x8xf32>) {
  // expected-error @+1 {{'fleet.rms_norm' op expected output of shape [2, 8], found 'tensor<1x8xf32>'}}
  %0 = fleet.rms_norm ins(%x, %w : tensor<2x8xf32>, tensor<8xf32>) outs(%o : tensor<1x8xf32>) {eps = 1.0e-5 : f64} -> tensor<1x8xf32>
  return
}

// -----

func.func @rms_norm_eps(%x: tensor<2x8xf32>, %w: tensor<8xf32>, %o: tensor<2x8xf32>) {
  // expected-error @+1 {{'fleet.rms_norm' op requires attribute 'eps'}}
  %0 = fleet.rms_norm ins(%x, %w : tensor<2x8xf32>, tensor<8xf32>) outs(%o : tensor<2x8xf32>) -> tensor<2x8xf32>
  return
}

// -----

func.func @layer_norm_inputs(%x: tensor<2x8xf32>, %w: tensor<8xf32>, %o: tensor<2x8xf32>) {
  // expected-error @+1 {{'fleet.layer_norm' op expected 3 inputs, found 2}}
  %0 = fleet.layer_norm ins(%x, %w : tensor<2x8xf32>, tensor<8xf32>) outs(%o : tensor<2x8xf32>) {eps = 1.0e-5 : f64} -> tensor<2x8xf32>
  return
}

// -----

func.func @layer_norm_bias(%x: tensor<2x8xf32>, %w: tensor<8xf32>, %b: tensor<2xf32>, %o: tensor<2x8xf32>) {
  // expected-error @+1 {{'fleet.layer_norm' op expected weight of shape [8], found 'tensor<2xf32>'}}
  %0 = fleet.layer_norm ins(%x, %w, %b : tensor<2x8xf32>, tensor<8xf32>, tensor<2xf32>) outs(%o : tensor<2x8xf32>) {eps = 1.0e-5 : f64} -> tensor<2x8xf32>
  return
}

// -----

func.func @rope_inputs(%x: tensor<2x4x8xf32>, %o: tensor<2x4x8xf32>) {
  // expected-error @+1 {{'fleet.rope' op expected 3 inputs, found 1}}
  %0 = fleet.rope ins(%x : tensor<2x4x8xf32>) outs(%o : tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  return
}

// -----

func.func @rope_ranks(%x: tensor<2x8xf32>, %c: tensor<2x8xf32>) {
  // expected-error @+1 {{'fleet.rope' op expected x of rank 3 and cos of rank 2, found 'tensor<2x8xf32>' and 'tensor<2x8xf32>'}}
  %0 = fleet.rope ins(%x, %c, %c : tensor<2x8xf32>, tensor<2x8xf32>, tensor<2x8xf32>) outs(%x : tensor<2x8xf32>) -> tensor<2x8xf32>
  return
}

// -----

func.func @rope_odd(%x: tensor<2x4x8xf32>, %c: tensor<2x5xf32>) {
  // expected-error @+1 {{'fleet.rope' op expected an even number of rotated dims of at most 8, found 5}}
  %0 = fleet.rope ins(%x, %c, %c : tensor<2x4x8xf32>, tensor<2x5xf32>, tensor<2x5xf32>) outs(%x : tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  return
}

// -----

func.func @rope_wide(%x: tensor<2x4x8xf32>, %c: tensor<2x10xf32>) {
  // expected-error @+1 {{'fleet.rope' op expected an even number of rotated dims of at most 8, found 10}}
  %0 = fleet.rope ins(%x, %c, %c : tensor<2x4x8xf32>, tensor<2x10xf32>, tensor<2x10xf32>) outs(%x : tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  return
}

// -----

func.func @rope_cos(%x: tensor<2x4x8xf32>, %c: tensor<1x8xf32>) {
  // expected-error @+1 {{'fleet.rope' op expected cos of shape [2, 8], found 'tensor<1x8xf32>'}}
  %0 = fleet.rope ins(%x, %c, %c : tensor<2x4x8xf32>, tensor<1x8xf32>, tensor<1x8xf32>) outs(%x : tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  return
}

// -----

func.func @rope_sin(%x: tensor<2x4x8xf32>, %c: tensor<2x8xf32>, %s: tensor<2x6xf32>) {
  // expected-error @+1 {{'fleet.rope' op expected sin of shape [2, 8], found 'tensor<2x6xf32>'}}
  %0 = fleet.rope ins(%x, %c, %s : tensor<2x4x8xf32>, tensor<2x8xf32>, tensor<2x6xf32>) outs(%x : tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  return
}

// -----

func.func @rope_output(%x: tensor<2x4x8xf32>, %c: tensor<2x8xf32>, %o: tensor<2x3x8xf32>) {
  // expected-error @+1 {{'fleet.rope' op expected output of shape [2, 4, 8], found 'tensor<2x3x8xf32>'}}
  %0 = fleet.rope ins(%x, %c, %c : tensor<2x4x8xf32>, tensor<2x8xf32>, tensor<2x8xf32>) outs(%o : tensor<2x3x8xf32>) -> tensor<2x3x8xf32>
  return
}

// -----

func.func @attention_inputs(%q: memref<1x4x8xf32>) {
  // expected-error @+1 {{'fleet.attention' op expected 7 inputs, found 1}}
  fleet.attention ins(%q : memref<1x4x8xf32>) outs(%q : memref<1x4x8xf32>) {scale = 1.0 : f64}
  return
}

// -----

func.func @attention_ranks(%q: memref<1x4x8xf32>, %k: memref<1x8xf32>, %i: memref<1xi32>, %c: memref<1x2x16x8xf32>) {
  // expected-error @+1 {{'fleet.attention' op expected q and k of rank 3, found 'memref<1x4x8xf32>' and 'memref<1x8xf32>'}}
  fleet.attention ins(%q, %k, %k, %i, %i, %c, %c : memref<1x4x8xf32>, memref<1x8xf32>, memref<1x8xf32>, memref<1xi32>, memref<1xi32>, memref<1x2x16x8xf32>, memref<1x2x16x8xf32>) outs(%q : memref<1x4x8xf32>) {scale = 1.0 : f64}
  return
}

// -----

func.func @attention_groups(%q: memref<1x4x8xf32>, %k: memref<1x3x8xf32>, %i: memref<1xi32>, %c: memref<1x3x16x8xf32>) {
  // expected-error @+1 {{'fleet.attention' op expected query heads to be a multiple of the kv heads, found 4 and 3}}
  fleet.attention ins(%q, %k, %k, %i, %i, %c, %c : memref<1x4x8xf32>, memref<1x3x8xf32>, memref<1x3x8xf32>, memref<1xi32>, memref<1xi32>, memref<1x3x16x8xf32>, memref<1x3x16x8xf32>) outs(%q : memref<1x4x8xf32>) {scale = 1.0 : f64}
  return
}

// -----

func.func @attention_cache_is_a_value(%q: memref<1x4x8xf32>, %k: memref<1x2x8xf32>, %i: memref<1xi32>, %c: tensor<1x2x16x8xf32>) {
  // expected-error @+1 {{'fleet.attention' op expected caches to be memrefs of rank 4, found 'tensor<1x2x16x8xf32>'}}
  fleet.attention ins(%q, %k, %k, %i, %i, %c, %c : memref<1x4x8xf32>, memref<1x2x8xf32>, memref<1x2x8xf32>, memref<1xi32>, memref<1xi32>, tensor<1x2x16x8xf32>, tensor<1x2x16x8xf32>) outs(%q : memref<1x4x8xf32>) {scale = 1.0 : f64}
  return
}

// -----

func.func @attention_k(%q: memref<1x4x8xf32>, %k: memref<2x2x8xf32>, %i: memref<1xi32>, %c: memref<1x2x16x8xf32>) {
  // expected-error @+1 {{'fleet.attention' op expected k of shape [1, 2, 8], found 'memref<2x2x8xf32>'}}
  fleet.attention ins(%q, %k, %k, %i, %i, %c, %c : memref<1x4x8xf32>, memref<2x2x8xf32>, memref<2x2x8xf32>, memref<1xi32>, memref<1xi32>, memref<1x2x16x8xf32>, memref<1x2x16x8xf32>) outs(%q : memref<1x4x8xf32>) {scale = 1.0 : f64}
  return
}

// -----

func.func @attention_v(%q: memref<1x4x8xf32>, %k: memref<1x2x8xf32>, %v: memref<1x2x4xf32>, %i: memref<1xi32>, %c: memref<1x2x16x8xf32>) {
  // expected-error @+1 {{'fleet.attention' op expected v of shape [1, 2, 8], found 'memref<1x2x4xf32>'}}
  fleet.attention ins(%q, %k, %v, %i, %i, %c, %c : memref<1x4x8xf32>, memref<1x2x8xf32>, memref<1x2x4xf32>, memref<1xi32>, memref<1xi32>, memref<1x2x16x8xf32>, memref<1x2x16x8xf32>) outs(%q : memref<1x4x8xf32>) {scale = 1.0 : f64}
  return
}

// -----

func.func @attention_slots(%q: memref<1x4x8xf32>, %k: memref<1x2x8xf32>, %i: memref<1xi32>, %s: memref<2xi32>, %c: memref<1x2x16x8xf32>) {
  // expected-error @+1 {{'fleet.attention' op expected slots of shape [1], found 'memref<2xi32>'}}
  fleet.attention ins(%q, %k, %k, %s, %i, %c, %c : memref<1x4x8xf32>, memref<1x2x8xf32>, memref<1x2x8xf32>, memref<2xi32>, memref<1xi32>, memref<1x2x16x8xf32>, memref<1x2x16x8xf32>) outs(%q : memref<1x4x8xf32>) {scale = 1.0 : f64}
  return
}

// -----

func.func @attention_positions(%q: memref<1x4x8xf32>, %k: memref<1x2x8xf32>, %i: memref<1xi32>, %p: memref<2xi32>, %c: memref<1x2x16x8xf32>) {
  // expected-error @+1 {{'fleet.attention' op expected positions of shape [1], found 'memref<2xi32>'}}
  fleet.attention ins(%q, %k, %k, %i, %p, %c, %c : memref<1x4x8xf32>, memref<1x2x8xf32>, memref<1x2x8xf32>, memref<1xi32>, memref<2xi32>, memref<1x2x16x8xf32>, memref<1x2x16x8xf32>) outs(%q : memref<1x4x8xf32>) {scale = 1.0 : f64}
  return
}

// -----

func.func @attention_k_cache(%q: memref<1x4x8xf32>, %k: memref<1x2x8xf32>, %i: memref<1xi32>, %c: memref<1x4x16x8xf32>) {
  // expected-error @+1 {{'fleet.attention' op expected k cache of shape [1, 2, 16, 8], found 'memref<1x4x16x8xf32>'}}
  fleet.attention ins(%q, %k, %k, %i, %i, %c, %c : memref<1x4x8xf32>, memref<1x2x8xf32>, memref<1x2x8xf32>, memref<1xi32>, memref<1xi32>, memref<1x4x16x8xf32>, memref<1x4x16x8xf32>) outs(%q : memref<1x4x8xf32>) {scale = 1.0 : f64}
  return
}

// -----

func.func @attention_v_cache(%q: memref<1x4x8xf32>, %k: memref<1x2x8xf32>, %i: memref<1xi32>, %c: memref<1x2x16x8xf32>, %d: memref<1x2x32x8xf32>) {
  // expected-error @+1 {{'fleet.attention' op expected v cache of shape [1, 2, 16, 8], found 'memref<1x2x32x8xf32>'}}
  fleet.attention ins(%q, %k, %k, %i, %i, %c, %d : memref<1x4x8xf32>, memref<1x2x8xf32>, memref<1x2x8xf32>, memref<1xi32>, memref<1xi32>, memref<1x2x16x8xf32>, memref<1x2x32x8xf32>) outs(%q : memref<1x4x8xf32>) {scale = 1.0 : f64}
  return
}

// -----

func.func @attention_output(%q: memref<1x4x8xf32>, %k: memref<1x2x8xf32>, %i: memref<1xi32>, %c: memref<1x2x16x8xf32>, %o: memref<1x2x8xf32>) {
  // expected-error @+1 {{'fleet.attention' op expected output of shape [1, 4, 8], found 'memref<1x2x8xf32>'}}
  fleet.attention ins(%q, %k, %k, %i, %i, %c, %c : memref<1x4x8xf32>, memref<1x2x8xf32>, memref<1x2x8xf32>, memref<1xi32>, memref<1xi32>, memref<1x2x16x8xf32>, memref<1x2x16x8xf32>) outs(%o : memref<1x2x8xf32>) {scale = 1.0 : f64}
  return
}

// -----

func.func @argmax_rank(%x: tensor<8xf32>, %o: tensor<1xi32>) {
  // expected-error @+1 {{'fleet.argmax' op expected an input of rank 2, found 'tensor<8xf32>'}}
  %0 = fleet.argmax ins(%x : tensor<8xf32>) outs(%o : tensor<1xi32>) -> tensor<1xi32>
  return
}

// -----

func.func @argmax_output(%x: tensor<2x8xf32>, %o: tensor<8xi32>) {
  // expected-error @+1 {{'fleet.argmax' op expected output of shape [2], found 'tensor<8xi32>'}}
  %0 = fleet.argmax ins(%x : tensor<2x8xf32>) outs(%o : tensor<8xi32>) -> tensor<8xi32>
  return
}

// -----

func.func @gather_indices(%t: tensor<9x8xf32>, %i: tensor<2xi64>, %o: tensor<2x8xf32>) {
  // expected-error @+1 {{'fleet.gather' op expected indices of i32, found 'tensor<2xi64>'}}
  %0 = fleet.gather ins(%t, %i : tensor<9x8xf32>, tensor<2xi64>) outs(%o : tensor<2x8xf32>) -> tensor<2x8xf32>
  return
}

// -----

func.func @rms_norm_rank(%x: tensor<f32>, %w: tensor<8xf32>) {
  // expected-error @+1 {{'fleet.rms_norm' op expected x of rank 1 or more, found 'tensor<f32>'}}
  %0 = fleet.rms_norm ins(%x, %w : tensor<f32>, tensor<8xf32>) outs(%x : tensor<f32>) {eps = 1.0e-5 : f64} -> tensor<f32>
  return
}

// -----

func.func @layer_norm_rank(%x: tensor<f32>, %w: tensor<8xf32>) {
  // expected-error @+1 {{'fleet.layer_norm' op expected x of rank 1 or more, found 'tensor<f32>'}}
  %0 = fleet.layer_norm ins(%x, %w, %w : tensor<f32>, tensor<8xf32>, tensor<8xf32>) outs(%x : tensor<f32>) {eps = 1.0e-5 : f64} -> tensor<f32>
  return
}

// -----

func.func @argmax_ids(%x: tensor<2x8xf32>, %o: tensor<2xi64>) {
  // expected-error @+1 {{'fleet.argmax' op expected an output of i32, found 'tensor<2xi64>'}}
  %0 = fleet.argmax ins(%x : tensor<2x8xf32>) outs(%o : tensor<2xi64>) -> tensor<2xi64>
  return
}

// -----

func.func @attention_no_kv_heads(%q: memref<1x4x8xf32>, %k: memref<1x0x8xf32>, %v: memref<1x0x8xf32>, %s: memref<1xi32>, %p: memref<1xi32>, %c: memref<1x0x16x8xf32>, %d: memref<1x0x16x8xf32>, %o: memref<1x4x8xf32>) {
  // expected-error @+1 {{'fleet.attention' op expected query heads to be a multiple of the kv heads, found 4 and 0}}
  fleet.attention ins(%q, %k, %v, %s, %p, %c, %d : memref<1x4x8xf32>, memref<1x0x8xf32>, memref<1x0x8xf32>, memref<1xi32>, memref<1xi32>, memref<1x0x16x8xf32>, memref<1x0x16x8xf32>) outs(%o : memref<1x4x8xf32>) {scale = 1.0 : f64}
  return
}

// -----

func.func @attention_slots_of_i64(%q: memref<1x4x8xf32>, %k: memref<1x2x8xf32>, %v: memref<1x2x8xf32>, %s: memref<1xi64>, %p: memref<1xi32>, %c: memref<1x2x16x8xf32>, %d: memref<1x2x16x8xf32>, %o: memref<1x4x8xf32>) {
  // expected-error @+1 {{'fleet.attention' op expected slots and positions of i32, found 'memref<1xi64>'}}
  fleet.attention ins(%q, %k, %v, %s, %p, %c, %d : memref<1x4x8xf32>, memref<1x2x8xf32>, memref<1x2x8xf32>, memref<1xi64>, memref<1xi32>, memref<1x2x16x8xf32>, memref<1x2x16x8xf32>) outs(%o : memref<1x4x8xf32>) {scale = 1.0 : f64}
  return
}

// -----

func.func @attention_positions_of_i64(%q: memref<1x4x8xf32>, %k: memref<1x2x8xf32>, %v: memref<1x2x8xf32>, %s: memref<1xi32>, %p: memref<1xi64>, %c: memref<1x2x16x8xf32>, %d: memref<1x2x16x8xf32>, %o: memref<1x4x8xf32>) {
  // expected-error @+1 {{'fleet.attention' op expected slots and positions of i32, found 'memref<1xi64>'}}
  fleet.attention ins(%q, %k, %v, %s, %p, %c, %d : memref<1x4x8xf32>, memref<1x2x8xf32>, memref<1x2x8xf32>, memref<1xi32>, memref<1xi64>, memref<1x2x16x8xf32>, memref<1x2x16x8xf32>) outs(%o : memref<1x4x8xf32>) {scale = 1.0 : f64}
  return
}

// -----

func.func @attention_cache_rank(%q: memref<1x4x8xf32>, %k: memref<1x2x8xf32>, %v: memref<1x2x8xf32>, %s: memref<1xi32>, %p: memref<1xi32>, %c: memref<2x16x8xf32>, %d: memref<2x16x8xf32>, %o: memref<1x4x8xf32>) {
  // expected-error @+1 {{'fleet.attention' op expected caches to be memrefs of rank 4, found 'memref<2x16x8xf32>'}}
  fleet.attention ins(%q, %k, %v, %s, %p, %c, %d : memref<1x4x8xf32>, memref<1x2x8xf32>, memref<1x2x8xf32>, memref<1xi32>, memref<1xi32>, memref<2x16x8xf32>, memref<2x16x8xf32>) outs(%o : memref<1x4x8xf32>) {scale = 1.0 : f64}
  return
}

// -----

func.func @partial_inputs(%q: memref<1x4x8xf32>, %o: memref<8x1x2x12xf32>) {
  // expected-error @+1 {{'fleet.attention_partial' op expected 7 inputs, found 1}}
  fleet.attention_partial ins(%q : memref<1x4x8xf32>) outs(%o : memref<8x1x2x12xf32>) {parts = 4 : i64, scale = 1.0 : f64}
  return
}

// -----

func.func @partial_ranks(%q: memref<1x4x8xf32>, %k: memref<1x8xf32>, %v: memref<1x8xf32>, %s: memref<1xi32>, %p: memref<1xi32>, %c: memref<1x2x16x8xf32>, %d: memref<1x2x16x8xf32>, %o: memref<8x1x2x12xf32>) {
  // expected-error @+1 {{'fleet.attention_partial' op expected q and k of rank 3, found 'memref<1x4x8xf32>' and 'memref<1x8xf32>'}}
  fleet.attention_partial ins(%q, %k, %v, %s, %p, %c, %d : memref<1x4x8xf32>, memref<1x8xf32>, memref<1x8xf32>, memref<1xi32>, memref<1xi32>, memref<1x2x16x8xf32>, memref<1x2x16x8xf32>) outs(%o : memref<8x1x2x12xf32>) {parts = 4 : i64, scale = 1.0 : f64}
  return
}

// -----

func.func @partial_groups(%q: memref<1x4x8xf32>, %k: memref<1x3x8xf32>, %v: memref<1x3x8xf32>, %s: memref<1xi32>, %p: memref<1xi32>, %c: memref<1x3x16x8xf32>, %d: memref<1x3x16x8xf32>, %o: memref<8x1x2x12xf32>) {
  // expected-error @+1 {{'fleet.attention_partial' op expected query heads to be a multiple of the kv heads, found 4 and 3}}
  fleet.attention_partial ins(%q, %k, %v, %s, %p, %c, %d : memref<1x4x8xf32>, memref<1x3x8xf32>, memref<1x3x8xf32>, memref<1xi32>, memref<1xi32>, memref<1x3x16x8xf32>, memref<1x3x16x8xf32>) outs(%o : memref<8x1x2x12xf32>) {parts = 4 : i64, scale = 1.0 : f64}
  return
}

// -----

func.func @partial_cache_is_a_value(%q: memref<1x4x8xf32>, %k: memref<1x2x8xf32>, %v: memref<1x2x8xf32>, %s: memref<1xi32>, %p: memref<1xi32>, %c: tensor<1x2x16x8xf32>, %d: tensor<1x2x16x8xf32>, %o: memref<8x1x2x12xf32>) {
  // expected-error @+1 {{'fleet.attention_partial' op expected caches to be memrefs of rank 4, found 'tensor<1x2x16x8xf32>'}}
  fleet.attention_partial ins(%q, %k, %v, %s, %p, %c, %d : memref<1x4x8xf32>, memref<1x2x8xf32>, memref<1x2x8xf32>, memref<1xi32>, memref<1xi32>, tensor<1x2x16x8xf32>, tensor<1x2x16x8xf32>) outs(%o : memref<8x1x2x12xf32>) {parts = 4 : i64, scale = 1.0 : f64}
  return
}

// -----

func.func @partial_slots_of_i64(%q: memref<1x4x8xf32>, %k: memref<1x2x8xf32>, %v: memref<1x2x8xf32>, %s: memref<1xi64>, %p: memref<1xi32>, %c: memref<1x2x16x8xf32>, %d: memref<1x2x16x8xf32>, %o: memref<8x1x2x12xf32>) {
  // expected-error @+1 {{'fleet.attention_partial' op expected slots and positions of i32, found 'memref<1xi64>'}}
  fleet.attention_partial ins(%q, %k, %v, %s, %p, %c, %d : memref<1x4x8xf32>, memref<1x2x8xf32>, memref<1x2x8xf32>, memref<1xi64>, memref<1xi32>, memref<1x2x16x8xf32>, memref<1x2x16x8xf32>) outs(%o : memref<8x1x2x12xf32>) {parts = 4 : i64, scale = 1.0 : f64}
  return
}

// -----

func.func @partial_k(%q: memref<1x4x8xf32>, %k: memref<2x2x8xf32>, %v: memref<2x2x8xf32>, %s: memref<1xi32>, %p: memref<1xi32>, %c: memref<1x2x16x8xf32>, %d: memref<1x2x16x8xf32>, %o: memref<8x1x2x12xf32>) {
  // expected-error @+1 {{'fleet.attention_partial' op expected k of shape [1, 2, 8], found 'memref<2x2x8xf32>'}}
  fleet.attention_partial ins(%q, %k, %v, %s, %p, %c, %d : memref<1x4x8xf32>, memref<2x2x8xf32>, memref<2x2x8xf32>, memref<1xi32>, memref<1xi32>, memref<1x2x16x8xf32>, memref<1x2x16x8xf32>) outs(%o : memref<8x1x2x12xf32>) {parts = 4 : i64, scale = 1.0 : f64}
  return
}

// -----

func.func @partial_v(%q: memref<1x4x8xf32>, %k: memref<1x2x8xf32>, %v: memref<1x2x4xf32>, %s: memref<1xi32>, %p: memref<1xi32>, %c: memref<1x2x16x8xf32>, %d: memref<1x2x16x8xf32>, %o: memref<8x1x2x12xf32>) {
  // expected-error @+1 {{'fleet.attention_partial' op expected v of shape [1, 2, 8], found 'memref<1x2x4xf32>'}}
  fleet.attention_partial ins(%q, %k, %v, %s, %p, %c, %d : memref<1x4x8xf32>, memref<1x2x8xf32>, memref<1x2x4xf32>, memref<1xi32>, memref<1xi32>, memref<1x2x16x8xf32>, memref<1x2x16x8xf32>) outs(%o : memref<8x1x2x12xf32>) {parts = 4 : i64, scale = 1.0 : f64}
  return
}

// -----

func.func @partial_slots(%q: memref<1x4x8xf32>, %k: memref<1x2x8xf32>, %v: memref<1x2x8xf32>, %s: memref<2xi32>, %p: memref<1xi32>, %c: memref<1x2x16x8xf32>, %d: memref<1x2x16x8xf32>, %o: memref<8x1x2x12xf32>) {
  // expected-error @+1 {{'fleet.attention_partial' op expected slots of shape [1], found 'memref<2xi32>'}}
  fleet.attention_partial ins(%q, %k, %v, %s, %p, %c, %d : memref<1x4x8xf32>, memref<1x2x8xf32>, memref<1x2x8xf32>, memref<2xi32>, memref<1xi32>, memref<1x2x16x8xf32>, memref<1x2x16x8xf32>) outs(%o : memref<8x1x2x12xf32>) {parts = 4 : i64, scale = 1.0 : f64}
  return
}

// -----

func.func @partial_positions(%q: memref<1x4x8xf32>, %k: memref<1x2x8xf32>, %v: memref<1x2x8xf32>, %s: memref<1xi32>, %p: memref<2xi32>, %c: memref<1x2x16x8xf32>, %d: memref<1x2x16x8xf32>, %o: memref<8x1x2x12xf32>) {
  // expected-error @+1 {{'fleet.attention_partial' op expected positions of shape [1], found 'memref<2xi32>'}}
  fleet.attention_partial ins(%q, %k, %v, %s, %p, %c, %d : memref<1x4x8xf32>, memref<1x2x8xf32>, memref<1x2x8xf32>, memref<1xi32>, memref<2xi32>, memref<1x2x16x8xf32>, memref<1x2x16x8xf32>) outs(%o : memref<8x1x2x12xf32>) {parts = 4 : i64, scale = 1.0 : f64}
  return
}

// -----

func.func @partial_k_cache(%q: memref<1x4x8xf32>, %k: memref<1x2x8xf32>, %v: memref<1x2x8xf32>, %s: memref<1xi32>, %p: memref<1xi32>, %c: memref<1x4x16x8xf32>, %d: memref<1x4x16x8xf32>, %o: memref<8x1x2x12xf32>) {
  // expected-error @+1 {{'fleet.attention_partial' op expected k cache of shape [1, 2, 16, 8], found 'memref<1x4x16x8xf32>'}}
  fleet.attention_partial ins(%q, %k, %v, %s, %p, %c, %d : memref<1x4x8xf32>, memref<1x2x8xf32>, memref<1x2x8xf32>, memref<1xi32>, memref<1xi32>, memref<1x4x16x8xf32>, memref<1x4x16x8xf32>) outs(%o : memref<8x1x2x12xf32>) {parts = 4 : i64, scale = 1.0 : f64}
  return
}

// -----

func.func @partial_v_cache(%q: memref<1x4x8xf32>, %k: memref<1x2x8xf32>, %v: memref<1x2x8xf32>, %s: memref<1xi32>, %p: memref<1xi32>, %c: memref<1x2x16x8xf32>, %d: memref<1x2x32x8xf32>, %o: memref<8x1x2x12xf32>) {
  // expected-error @+1 {{'fleet.attention_partial' op expected v cache of shape [1, 2, 16, 8], found 'memref<1x2x32x8xf32>'}}
  fleet.attention_partial ins(%q, %k, %v, %s, %p, %c, %d : memref<1x4x8xf32>, memref<1x2x8xf32>, memref<1x2x8xf32>, memref<1xi32>, memref<1xi32>, memref<1x2x16x8xf32>, memref<1x2x32x8xf32>) outs(%o : memref<8x1x2x12xf32>) {parts = 4 : i64, scale = 1.0 : f64}
  return
}

// -----

func.func @partial_one_angle(%q: memref<2x4x8xf32>, %k: memref<2x2x8xf32>, %i: memref<2xi32>, %c: memref<2x2x16x8xf32>, %a: memref<2x8xf32>, %w: memref<8xf32>, %o: memref<8x2x2x12xf32>) {
  // expected-error @+1 {{'fleet.attention_partial' op expected cosines and sines to rotate by, found 1 of them}}
  fleet.attention_partial ins(%q, %k, %k, %i, %i, %c, %c : memref<2x4x8xf32>, memref<2x2x8xf32>, memref<2x2x8xf32>, memref<2xi32>, memref<2xi32>, memref<2x2x16x8xf32>, memref<2x2x16x8xf32>) rotate(%a : memref<2x8xf32>) outs(%o : memref<8x2x2x12xf32>) {parts = 4 : i64, scale = 1.0 : f64}
  return
}

// -----

func.func @partial_one_weight(%q: memref<2x4x8xf32>, %k: memref<2x2x8xf32>, %i: memref<2xi32>, %c: memref<2x2x16x8xf32>, %a: memref<2x8xf32>, %w: memref<8xf32>, %o: memref<8x2x2x12xf32>) {
  // expected-error @+1 {{'fleet.attention_partial' op expected weights of queries and of keys, eps and angles to norm and rotate, found 1 weights, eps and 2 angles}}
  fleet.attention_partial ins(%q, %k, %k, %i, %i, %c, %c : memref<2x4x8xf32>, memref<2x2x8xf32>, memref<2x2x8xf32>, memref<2xi32>, memref<2xi32>, memref<2x2x16x8xf32>, memref<2x2x16x8xf32>) rotate(%a, %a : memref<2x8xf32>, memref<2x8xf32>) norm(%w : memref<8xf32>) outs(%o : memref<8x2x2x12xf32>) {eps = 1.0e-6 : f64, parts = 4 : i64, scale = 1.0 : f64}
  return
}

// -----

func.func @partial_no_eps(%q: memref<2x4x8xf32>, %k: memref<2x2x8xf32>, %i: memref<2xi32>, %c: memref<2x2x16x8xf32>, %a: memref<2x8xf32>, %w: memref<8xf32>, %o: memref<8x2x2x12xf32>) {
  // expected-error @+1 {{'fleet.attention_partial' op expected weights of queries and of keys, eps and angles to norm and rotate, found 2 weights, no eps and 2 angles}}
  fleet.attention_partial ins(%q, %k, %k, %i, %i, %c, %c : memref<2x4x8xf32>, memref<2x2x8xf32>, memref<2x2x8xf32>, memref<2xi32>, memref<2xi32>, memref<2x2x16x8xf32>, memref<2x2x16x8xf32>) rotate(%a, %a : memref<2x8xf32>, memref<2x8xf32>) norm(%w, %w : memref<8xf32>, memref<8xf32>) outs(%o : memref<8x2x2x12xf32>) {parts = 4 : i64, scale = 1.0 : f64}
  return
}

// -----

func.func @partial_norm_alone(%q: memref<2x4x8xf32>, %k: memref<2x2x8xf32>, %i: memref<2xi32>, %c: memref<2x2x16x8xf32>, %a: memref<2x8xf32>, %w: memref<8xf32>, %o: memref<8x2x2x12xf32>) {
  // expected-error @+1 {{'fleet.attention_partial' op expected weights of queries and of keys, eps and angles to norm and rotate, found 2 weights, eps and 0 angles}}
  fleet.attention_partial ins(%q, %k, %k, %i, %i, %c, %c : memref<2x4x8xf32>, memref<2x2x8xf32>, memref<2x2x8xf32>, memref<2xi32>, memref<2xi32>, memref<2x2x16x8xf32>, memref<2x2x16x8xf32>) norm(%w, %w : memref<8xf32>, memref<8xf32>) outs(%o : memref<8x2x2x12xf32>) {eps = 1.0e-6 : f64, parts = 4 : i64, scale = 1.0 : f64}
  return
}

// -----

func.func @partial_angles(%q: memref<2x4x8xf32>, %k: memref<2x2x8xf32>, %i: memref<2xi32>, %c: memref<2x2x16x8xf32>, %a: memref<2x4xf32>, %w: memref<8xf32>, %o: memref<8x2x2x12xf32>) {
  // expected-error @+1 {{'fleet.attention_partial' op expected angles of shape [2, 8], found 'memref<2x4xf32>'}}
  fleet.attention_partial ins(%q, %k, %k, %i, %i, %c, %c : memref<2x4x8xf32>, memref<2x2x8xf32>, memref<2x2x8xf32>, memref<2xi32>, memref<2xi32>, memref<2x2x16x8xf32>, memref<2x2x16x8xf32>) rotate(%a, %a : memref<2x4xf32>, memref<2x4xf32>) outs(%o : memref<8x2x2x12xf32>) {parts = 4 : i64, scale = 1.0 : f64}
  return
}

// -----

func.func @partial_weight(%q: memref<2x4x8xf32>, %k: memref<2x2x8xf32>, %i: memref<2xi32>, %c: memref<2x2x16x8xf32>, %a: memref<2x8xf32>, %w: memref<4xf32>, %o: memref<8x2x2x12xf32>) {
  // expected-error @+1 {{'fleet.attention_partial' op expected weight of shape [8], found 'memref<4xf32>'}}
  fleet.attention_partial ins(%q, %k, %k, %i, %i, %c, %c : memref<2x4x8xf32>, memref<2x2x8xf32>, memref<2x2x8xf32>, memref<2xi32>, memref<2xi32>, memref<2x2x16x8xf32>, memref<2x2x16x8xf32>) rotate(%a, %a : memref<2x8xf32>, memref<2x8xf32>) norm(%w, %w : memref<4xf32>, memref<4xf32>) outs(%o : memref<8x2x2x12xf32>) {eps = 1.0e-6 : f64, parts = 4 : i64, scale = 1.0 : f64}
  return
}

// -----

func.func @partial_no_parts(%q: memref<1x4x8xf32>, %k: memref<1x2x8xf32>, %v: memref<1x2x8xf32>, %s: memref<1xi32>, %p: memref<1xi32>, %c: memref<1x2x16x8xf32>, %d: memref<1x2x16x8xf32>, %o: memref<8x1x2x12xf32>) {
  // expected-error @+1 {{'fleet.attention_partial' op expected at least 1 part, found 0}}
  fleet.attention_partial ins(%q, %k, %v, %s, %p, %c, %d : memref<1x4x8xf32>, memref<1x2x8xf32>, memref<1x2x8xf32>, memref<1xi32>, memref<1xi32>, memref<1x2x16x8xf32>, memref<1x2x16x8xf32>) outs(%o : memref<8x1x2x12xf32>) {parts = 0 : i64, scale = 1.0 : f64}
  return
}

// -----

func.func @partial_negative_parts(%q: memref<1x4x8xf32>, %k: memref<1x2x8xf32>, %v: memref<1x2x8xf32>, %s: memref<1xi32>, %p: memref<1xi32>, %c: memref<1x2x16x8xf32>, %d: memref<1x2x16x8xf32>, %o: memref<8x1x2x12xf32>) {
  // expected-error @+1 {{'fleet.attention_partial' op expected at least 1 part, found -1}}
  fleet.attention_partial ins(%q, %k, %v, %s, %p, %c, %d : memref<1x4x8xf32>, memref<1x2x8xf32>, memref<1x2x8xf32>, memref<1xi32>, memref<1xi32>, memref<1x2x16x8xf32>, memref<1x2x16x8xf32>) outs(%o : memref<8x1x2x12xf32>) {parts = -1 : i64, scale = 1.0 : f64}
  return
}

// -----

func.func @partial_no_row_groups(%i: index, %q: memref<2x4x8xf32>, %k: memref<2x2x8xf32>, %v: memref<2x2x8xf32>, %s: memref<2xi32>, %p: memref<2xi32>, %c: memref<1x2x16x8xf32>, %d: memref<1x2x16x8xf32>, %o: memref<8x2x2x12xf32>) {
  // expected-error @+1 {{'fleet.attention_partial' op expected 1 to 2 row groups of 2 rows, found 0}}
  fleet.attention_partial ins(%q, %k, %v, %s, %p, %c, %d : memref<2x4x8xf32>, memref<2x2x8xf32>, memref<2x2x8xf32>, memref<2xi32>, memref<2xi32>, memref<1x2x16x8xf32>, memref<1x2x16x8xf32>) outs(%o : memref<8x2x2x12xf32>) {parts = 4 : i64, row_groups = 0 : i64, scale = 1.0 : f64}
  return
}

// -----

func.func @partial_more_row_groups_than_rows(%i: index, %q: memref<2x4x8xf32>, %k: memref<2x2x8xf32>, %v: memref<2x2x8xf32>, %s: memref<2xi32>, %p: memref<2xi32>, %c: memref<1x2x16x8xf32>, %d: memref<1x2x16x8xf32>, %o: memref<8x2x2x12xf32>) {
  // expected-error @+1 {{'fleet.attention_partial' op expected 1 to 2 row groups of 2 rows, found 3}}
  fleet.attention_partial ins(%q, %k, %v, %s, %p, %c, %d : memref<2x4x8xf32>, memref<2x2x8xf32>, memref<2x2x8xf32>, memref<2xi32>, memref<2xi32>, memref<1x2x16x8xf32>, memref<1x2x16x8xf32>) outs(%o : memref<8x2x2x12xf32>) {parts = 4 : i64, row_groups = 3 : i64, scale = 1.0 : f64}
  return
}

// -----

func.func @partial_tile_of_no_row_group(%i: index, %q: memref<2x2x8xf32>, %k: memref<2x1x8xf32>, %v: memref<2x1x8xf32>, %s: memref<2xi32>, %p: memref<2xi32>, %c: memref<1x1x16x8xf32>, %d: memref<1x1x16x8xf32>, %o: memref<1x2x2x12xf32>) {
  // expected-error @+1 {{'fleet.attention_partial' op expected a tile that names its row group, found none}}
  fleet.attention_partial part %i ins(%q, %k, %v, %s, %p, %c, %d : memref<2x2x8xf32>, memref<2x1x8xf32>, memref<2x1x8xf32>, memref<2xi32>, memref<2xi32>, memref<1x1x16x8xf32>, memref<1x1x16x8xf32>) outs(%o : memref<1x2x2x12xf32>) {parts = 4 : i64, row_groups = 2 : i64, scale = 1.0 : f64}
  return
}

// -----

func.func @partial_row_group_of_all_rows(%i: index, %q: memref<2x2x8xf32>, %k: memref<2x1x8xf32>, %v: memref<2x1x8xf32>, %s: memref<2xi32>, %p: memref<2xi32>, %c: memref<1x1x16x8xf32>, %d: memref<1x1x16x8xf32>, %o: memref<1x2x2x12xf32>) {
  // expected-error @+1 {{'fleet.attention_partial' op expected no row group where rows are not dealt, or of no tile, found one}}
  fleet.attention_partial part %i rows %i ins(%q, %k, %v, %s, %p, %c, %d : memref<2x2x8xf32>, memref<2x1x8xf32>, memref<2x1x8xf32>, memref<2xi32>, memref<2xi32>, memref<1x1x16x8xf32>, memref<1x1x16x8xf32>) outs(%o : memref<1x2x2x12xf32>) {parts = 4 : i64, row_groups = 1 : i64, scale = 1.0 : f64}
  return
}

// -----

func.func @partial_row_group_of_no_tile(%i: index, %q: memref<2x4x8xf32>, %k: memref<2x2x8xf32>, %v: memref<2x2x8xf32>, %s: memref<2xi32>, %p: memref<2xi32>, %c: memref<1x2x16x8xf32>, %d: memref<1x2x16x8xf32>, %o: memref<8x2x2x12xf32>) {
  // expected-error @+1 {{'fleet.attention_partial' op expected no row group where rows are not dealt, or of no tile, found one}}
  fleet.attention_partial rows %i ins(%q, %k, %v, %s, %p, %c, %d : memref<2x4x8xf32>, memref<2x2x8xf32>, memref<2x2x8xf32>, memref<2xi32>, memref<2xi32>, memref<1x2x16x8xf32>, memref<1x2x16x8xf32>) outs(%o : memref<8x2x2x12xf32>) {parts = 4 : i64, row_groups = 2 : i64, scale = 1.0 : f64}
  return
}

// -----

func.func @partial_dealt_no_positions(%q: memref<1x4x8xf32>, %k: memref<1x2x8xf32>, %v: memref<1x2x8xf32>, %s: memref<1xi32>, %p: memref<1xi32>, %c: memref<1x2x16x8xf32>, %d: memref<1x2x16x8xf32>, %o: memref<8x1x2x12xf32>) {
  // expected-error @+1 {{'fleet.attention_partial' op expected blocks of at least 1 position to be dealt, found 0}}
  fleet.attention_partial ins(%q, %k, %v, %s, %p, %c, %d : memref<1x4x8xf32>, memref<1x2x8xf32>, memref<1x2x8xf32>, memref<1xi32>, memref<1xi32>, memref<1x2x16x8xf32>, memref<1x2x16x8xf32>) outs(%o : memref<8x1x2x12xf32>) {dealt = 0 : i64, parts = 4 : i64, scale = 1.0 : f64}
  return
}

// -----

func.func @partial_tile_of_two_heads(%q: memref<1x4x8xf32>, %k: memref<1x2x8xf32>, %v: memref<1x2x8xf32>, %s: memref<1xi32>, %p: memref<1xi32>, %c: memref<1x2x16x8xf32>, %d: memref<1x2x16x8xf32>, %o: memref<8x1x2x12xf32>, %part: index) {
  // expected-error @+1 {{'fleet.attention_partial' op expected 1 kv head of a tile, found 2}}
  fleet.attention_partial part %part ins(%q, %k, %v, %s, %p, %c, %d : memref<1x4x8xf32>, memref<1x2x8xf32>, memref<1x2x8xf32>, memref<1xi32>, memref<1xi32>, memref<1x2x16x8xf32>, memref<1x2x16x8xf32>) outs(%o : memref<8x1x2x12xf32>) {parts = 4 : i64, scale = 1.0 : f64}
  return
}

// -----

func.func @partial_output(%q: memref<1x4x8xf32>, %k: memref<1x2x8xf32>, %v: memref<1x2x8xf32>, %s: memref<1xi32>, %p: memref<1xi32>, %c: memref<1x2x16x8xf32>, %d: memref<1x2x16x8xf32>, %o: memref<8x1x2x8xf32>) {
  // expected-error @+1 {{'fleet.attention_partial' op expected output of shape [8, 1, 2, 12], found 'memref<8x1x2x8xf32>'}}
  fleet.attention_partial ins(%q, %k, %v, %s, %p, %c, %d : memref<1x4x8xf32>, memref<1x2x8xf32>, memref<1x2x8xf32>, memref<1xi32>, memref<1xi32>, memref<1x2x16x8xf32>, memref<1x2x16x8xf32>) outs(%o : memref<8x1x2x8xf32>) {parts = 4 : i64, scale = 1.0 : f64}
  return
}

// -----

func.func @partial_tile_output(%q: memref<1x4x8xf32>, %k: memref<1x1x8xf32>, %v: memref<1x1x8xf32>, %s: memref<1xi32>, %p: memref<1xi32>, %c: memref<1x1x16x8xf32>, %d: memref<1x1x16x8xf32>, %o: memref<4x1x4x12xf32>, %part: index) {
  // expected-error @+1 {{'fleet.attention_partial' op expected output of shape [1, 1, 4, 12], found 'memref<4x1x4x12xf32>'}}
  fleet.attention_partial part %part ins(%q, %k, %v, %s, %p, %c, %d : memref<1x4x8xf32>, memref<1x1x8xf32>, memref<1x1x8xf32>, memref<1xi32>, memref<1xi32>, memref<1x1x16x8xf32>, memref<1x1x16x8xf32>) outs(%o : memref<4x1x4x12xf32>) {parts = 4 : i64, scale = 1.0 : f64}
  return
}

// -----

func.func @merge_inputs(%x: tensor<8x1x2x12xf32>, %o: tensor<1x4x8xbf16>) {
  // expected-error @+1 {{'fleet.attention_merge' op expected 1 inputs, found 2}}
  %0 = fleet.attention_merge ins(%x, %x : tensor<8x1x2x12xf32>, tensor<8x1x2x12xf32>) outs(%o : tensor<1x4x8xbf16>) {parts = 4 : i64} -> tensor<1x4x8xbf16>
  return
}

// -----

func.func @merge_input_rank(%x: tensor<8x2x12xf32>, %o: tensor<1x4x8xbf16>) {
  // expected-error @+1 {{'fleet.attention_merge' op expected an input of rank 4 and an output of rank 3, found 'tensor<8x2x12xf32>' and 'tensor<1x4x8xbf16>'}}
  %0 = fleet.attention_merge ins(%x : tensor<8x2x12xf32>) outs(%o : tensor<1x4x8xbf16>) {parts = 4 : i64} -> tensor<1x4x8xbf16>
  return
}

// -----

func.func @merge_output_rank(%x: tensor<8x1x2x12xf32>, %o: tensor<4x8xbf16>) {
  // expected-error @+1 {{'fleet.attention_merge' op expected an input of rank 4 and an output of rank 3, found 'tensor<8x1x2x12xf32>' and 'tensor<4x8xbf16>'}}
  %0 = fleet.attention_merge ins(%x : tensor<8x1x2x12xf32>) outs(%o : tensor<4x8xbf16>) {parts = 4 : i64} -> tensor<4x8xbf16>
  return
}

// -----

func.func @merge_no_parts(%x: tensor<8x1x2x12xf32>, %o: tensor<1x4x8xbf16>) {
  // expected-error @+1 {{'fleet.attention_merge' op expected a multiple of 0 parts, found 8}}
  %0 = fleet.attention_merge ins(%x : tensor<8x1x2x12xf32>) outs(%o : tensor<1x4x8xbf16>) {parts = 0 : i64} -> tensor<1x4x8xbf16>
  return
}

// -----

func.func @merge_parts(%x: tensor<8x1x2x12xf32>, %o: tensor<1x4x8xbf16>) {
  // expected-error @+1 {{'fleet.attention_merge' op expected a multiple of 3 parts, found 8}}
  %0 = fleet.attention_merge ins(%x : tensor<8x1x2x12xf32>) outs(%o : tensor<1x4x8xbf16>) {parts = 3 : i64} -> tensor<1x4x8xbf16>
  return
}

// -----

func.func @merge_output(%x: tensor<8x1x2x12xf32>, %o: tensor<1x2x8xbf16>) {
  // expected-error @+1 {{'fleet.attention_merge' op expected output of shape [1, 4, 8], found 'tensor<1x2x8xbf16>'}}
  %0 = fleet.attention_merge ins(%x : tensor<8x1x2x12xf32>) outs(%o : tensor<1x2x8xbf16>) {parts = 4 : i64} -> tensor<1x2x8xbf16>
  return
}
