// RUN: fleet-opt %s --pass-pipeline="builtin.module(gpu.module(fleet-gpu-lower-named-ops))" -split-input-file -verify-diagnostics

gpu.module @fleet {
  func.func @strided(%x: memref<1x8xf32, strided<[16, 2]>>, %y: memref<1xi32>) {
    // expected-error @+1 {{expected buffers contiguous in the last dimension, found 'memref<1x8xf32, strided<[16, 2]>>'}}
    fleet.argmax ins(%x : memref<1x8xf32, strided<[16, 2]>>) outs(%y : memref<1xi32>)
    return
  }
}

// -----

gpu.module @fleet {
  func.func @rotate(%q: memref<1x2x8xf32>, %k: memref<1x1x8xf32>, %i: memref<1xi32>, %c: memref<1x1x16x8xf32>, %a: memref<1x8xf32>, %o: memref<1x1x2x12xf32>, %part: index) {
    // expected-error @+1 {{'fleet.attention_partial' op expected rotated queries and keys, found some to rotate}}
    fleet.attention_partial part %part ins(%q, %k, %k, %i, %i, %c, %c : memref<1x2x8xf32>, memref<1x1x8xf32>, memref<1x1x8xf32>, memref<1xi32>, memref<1xi32>, memref<1x1x16x8xf32>, memref<1x1x16x8xf32>) rotate(%a, %a : memref<1x8xf32>, memref<1x8xf32>) outs(%o : memref<1x1x2x12xf32>) {parts = 2 : i64, scale = 1.0 : f64}
    return
  }
}
