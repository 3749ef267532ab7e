// RUN: fleet-opt %s --pass-pipeline="builtin.module(gpu.module(fleet-nvgpu-stream-weights))" -split-input-file -verify-diagnostics

// expected-error @+1 {{expected @fleet_step and @dispatch, found neither or one}}
gpu.module @fleet {}

// -----

// expected-error @+1 {{expected @fleet_step and @dispatch, found neither or one}}
gpu.module @fleet {
  gpu.func @fleet_step() kernel {
    gpu.return
  }
}

// -----

// expected-error @+1 {{expected a module with a fleet.target, found none}}
gpu.module @fleet {
  func.func private @dispatch()
  gpu.func @fleet_step() kernel {
    gpu.return
  }
}

// -----

module attributes {fleet.target = #fleet.target<"sm_90a", backend = nvvm, chiplets = 1, workers = 2, lds = 232448, l2 = 1, hbm_gbs = 1, tile = 16>} {
  gpu.module @fleet {
    // expected-error @+1 {{expected a call of a body in every case, found none}}
    func.func private @dispatch(%kind: index) {
      scf.index_switch %kind
      case 0 {
        scf.yield
      }
      default {
      }
      return
    }
    gpu.func @fleet_step() kernel {
      gpu.return
    }
  }
}

// -----

// A slot for the chunk of each of 8 warps, and 4 on their way. 4096 bytes are kept for small exchanges, 8192 are the partial sums of 8 warps, 256 the left side and 128 the producer's tables.
module attributes {fleet.target = #fleet.target<"sm_90a", backend = nvvm, chiplets = 1, workers = 2, lds = 65536, l2 = 1, hbm_gbs = 1, tile = 16>} {
  // expected-error @+1 {{expected room for a ring of 12 slots of 8192 bytes in the lds of a worker, found 60032 bytes left: choose a smaller number of rows per step}}
  gpu.module @fleet attributes {fleet.threads = 256 : i64, fleet.lanes = 32 : i64} {
    func.func private @body(%x: memref<2x64xbf16>, %w: memref<8x64x16xbf16>, %y: memref<2x16xf32>, %lo: index, %hi: index) {
      %c1 = arith.constant 1 : index
      scf.for %i = %lo to %hi step %c1 {
        %a = memref.subview %w[%i, 0, 0] [1, 64, 16] [1, 1, 1] : memref<8x64x16xbf16> to memref<64x16xbf16, strided<[16, 1], offset: ?>>
        linalg.matmul ins(%x, %a : memref<2x64xbf16>, memref<64x16xbf16, strided<[16, 1], offset: ?>>) outs(%y : memref<2x16xf32>)
      }
      return
    }
    func.func private @dispatch(%kind: index, %x: memref<2x64xbf16>, %w: memref<8x64x16xbf16>, %y: memref<2x16xf32>) {
      scf.index_switch %kind
      case 0 {
        func.call @body(%x, %w, %y, %kind, %kind) : (memref<2x64xbf16>, memref<8x64x16xbf16>, memref<2x16xf32>, index, index) -> ()
        scf.yield
      }
      default {
      }
      return
    }
    gpu.func @fleet_step() kernel {
      gpu.return
    }
  }
}

// -----

// With many rows a turn needs two slots.
module attributes {fleet.target = #fleet.target<"sm_90a", backend = nvvm, chiplets = 1, workers = 2, lds = 131072, l2 = 1, hbm_gbs = 1, tile = 16>} {
  // expected-error @+1 {{expected room for a ring of 16 slots of 8192 bytes in the lds of a worker, found 126336 bytes left: choose a smaller number of rows per step}}
  gpu.module @fleet attributes {fleet.threads = 256 : i64, fleet.lanes = 32 : i64} {
    func.func private @body(%x: memref<8x64xbf16>, %w: memref<8x64x16xbf16>, %y: memref<8x16xf32>, %lo: index, %hi: index) {
      %c1 = arith.constant 1 : index
      scf.for %i = %lo to %hi step %c1 {
        %a = memref.subview %w[%i, 0, 0] [1, 64, 16] [1, 1, 1] : memref<8x64x16xbf16> to memref<64x16xbf16, strided<[16, 1], offset: ?>>
        linalg.matmul ins(%x, %a : memref<8x64xbf16>, memref<64x16xbf16, strided<[16, 1], offset: ?>>) outs(%y : memref<8x16xf32>)
      }
      return
    }
    func.func private @dispatch(%kind: index, %x: memref<8x64xbf16>, %w: memref<8x64x16xbf16>, %y: memref<8x16xf32>) {
      scf.index_switch %kind
      case 0 {
        func.call @body(%x, %w, %y, %kind, %kind) : (memref<8x64xbf16>, memref<8x64x16xbf16>, memref<8x16xf32>, index, index) -> ()
        scf.yield
      }
      default {
      }
      return
    }
    gpu.func @fleet_step() kernel {
      gpu.return
    }
  }
}

// -----

// Each warp has 16 rows of a turn.
module attributes {fleet.target = #fleet.target<"sm_90a", backend = nvvm, chiplets = 1, workers = 2, lds = 232448, l2 = 1, hbm_gbs = 1, tile = 16>} {
  // expected-error @+1 {{expected contractions of at most 128 rows, found 136: choose a smaller number of rows per step}}
  gpu.module @fleet attributes {fleet.threads = 256 : i64, fleet.lanes = 32 : i64} {
    func.func private @body(%x: memref<136x64xbf16>, %w: memref<8x64x16xbf16>, %y: memref<136x16xf32>, %lo: index, %hi: index) {
      %c1 = arith.constant 1 : index
      scf.for %i = %lo to %hi step %c1 {
        %a = memref.subview %w[%i, 0, 0] [1, 64, 16] [1, 1, 1] : memref<8x64x16xbf16> to memref<64x16xbf16, strided<[16, 1], offset: ?>>
        linalg.matmul ins(%x, %a : memref<136x64xbf16>, memref<64x16xbf16, strided<[16, 1], offset: ?>>) outs(%y : memref<136x16xf32>)
      }
      return
    }
    func.func private @dispatch(%kind: index, %x: memref<136x64xbf16>, %w: memref<8x64x16xbf16>, %y: memref<136x16xf32>) {
      scf.index_switch %kind
      case 0 {
        func.call @body(%x, %w, %y, %kind, %kind) : (memref<136x64xbf16>, memref<8x64x16xbf16>, memref<136x16xf32>, index, index) -> ()
        scf.yield
      }
      default {
      }
      return
    }
    gpu.func @fleet_step() kernel {
      gpu.return
    }
  }
}

// -----

// In a step of so many rows no left side is of f32, be it of fewer rows ...
module attributes {fleet.target = #fleet.target<"sm_90a", backend = nvvm, chiplets = 1, workers = 2, lds = 232448, l2 = 1, hbm_gbs = 1, tile = 16>} {
  gpu.module @fleet attributes {fleet.threads = 256 : i64, fleet.lanes = 32 : i64} {
    func.func private @body(%x: memref<34x64xbf16>, %u: memref<2x64xf32>, %w: memref<8x64x16xbf16>, %y: memref<34x16xf32>, %z: memref<2x16xf32>, %lo: index, %hi: index) {
      %c1 = arith.constant 1 : index
      scf.for %i = %lo to %hi step %c1 {
        %a = memref.subview %w[%i, 0, 0] [1, 64, 16] [1, 1, 1] : memref<8x64x16xbf16> to memref<64x16xbf16, strided<[16, 1], offset: ?>>
        linalg.matmul ins(%x, %a : memref<34x64xbf16>, memref<64x16xbf16, strided<[16, 1], offset: ?>>) outs(%y : memref<34x16xf32>)
        // expected-error @+1 {{expected a left side of bf16 in a step of more than 32 rows, found 'memref<2x64xf32>'}}
        linalg.matmul ins(%u, %a : memref<2x64xf32>, memref<64x16xbf16, strided<[16, 1], offset: ?>>) outs(%z : memref<2x16xf32>)
      }
      return
    }
    func.func private @dispatch(%kind: index)
    gpu.func @fleet_step() kernel {
      gpu.return
    }
  }
}

// -----

// ... or of as many.
module attributes {fleet.target = #fleet.target<"sm_90a", backend = nvvm, chiplets = 1, workers = 2, lds = 232448, l2 = 1, hbm_gbs = 1, tile = 16>} {
  gpu.module @fleet attributes {fleet.threads = 256 : i64, fleet.lanes = 32 : i64} {
    func.func private @body(%x: memref<34x64xf32>, %w: memref<64x16xbf16>, %y: memref<34x16xf32>) {
      // expected-error @+1 {{expected a left side of bf16 in a step of more than 32 rows, found 'memref<34x64xf32>'}}
      linalg.matmul ins(%x, %w : memref<34x64xf32>, memref<64x16xbf16>) outs(%y : memref<34x16xf32>)
      return
    }
    func.func private @dispatch(%kind: index)
    gpu.func @fleet_step() kernel {
      gpu.return
    }
  }
}

// -----

// Weights that wgmma reads are stored in its order: nothing else can read them, as a contraction of another kind of left side ...
module attributes {fleet.target = #fleet.target<"sm_90a", backend = nvvm, chiplets = 1, workers = 2, lds = 232448, l2 = 1, hbm_gbs = 1, tile = 16>} {
  gpu.module @fleet attributes {fleet.threads = 256 : i64, fleet.lanes = 32 : i64} {
    func.func private @body(%x: memref<34x64xbf16>, %u: memref<34x64xf16>, %w: memref<8x64x16xbf16>, %v: memref<8x64x16xbf16>, %y: memref<34x16xf32>, %lo: index, %hi: index) {
      %c1 = arith.constant 1 : index
      scf.for %i = %lo to %hi step %c1 {
        %a = memref.subview %w[%i, 0, 0] [1, 64, 16] [1, 1, 1] : memref<8x64x16xbf16> to memref<64x16xbf16, strided<[16, 1], offset: ?>>
        linalg.matmul ins(%x, %a : memref<34x64xbf16>, memref<64x16xbf16, strided<[16, 1], offset: ?>>) outs(%y : memref<34x16xf32>)
        // expected-error @+1 {{expected packed weights to be read tile by tile, by contractions with left sides of bf16 or f32: choose a smaller number of rows per step}}
        %b = memref.subview %v[%i, 0, 0] [1, 64, 16] [1, 1, 1] : memref<8x64x16xbf16> to memref<64x16xbf16, strided<[16, 1], offset: ?>>
        linalg.matmul ins(%u, %b : memref<34x64xf16>, memref<64x16xbf16, strided<[16, 1], offset: ?>>) outs(%y : memref<34x16xf32>)
      }
      return
    }
    func.func private @dispatch(%params: memref<?xi8>, %kind: index, %x: memref<34x64xbf16>, %u: memref<34x64xf16>, %y: memref<34x16xf32>, %lo: index, %hi: index) {
      %w = memref.view %params[%lo][] : memref<?xi8> to memref<8x64x16xbf16>
      %v = memref.view %params[%lo][] : memref<?xi8> to memref<8x64x16xbf16>
      scf.index_switch %kind
      case 0 {
        func.call @body(%x, %u, %w, %v, %y, %lo, %hi) : (memref<34x64xbf16>, memref<34x64xf16>, memref<8x64x16xbf16>, memref<8x64x16xbf16>, memref<34x16xf32>, index, index) -> ()
        scf.yield
      }
      default {
      }
      return
    }
    gpu.func @fleet_step() kernel {
      gpu.return
    }
  }
}

// -----

// ... as a part of a tile ...
module attributes {fleet.target = #fleet.target<"sm_90a", backend = nvvm, chiplets = 1, workers = 2, lds = 232448, l2 = 1, hbm_gbs = 1, tile = 16>} {
  gpu.module @fleet attributes {fleet.threads = 256 : i64, fleet.lanes = 32 : i64} {
    func.func private @body(%x: memref<34x64xbf16>, %u: memref<34x32xbf16>, %w: memref<8x64x16xbf16>, %y: memref<34x16xf32>, %lo: index, %hi: index) {
      %c1 = arith.constant 1 : index
      scf.for %i = %lo to %hi step %c1 {
        %a = memref.subview %w[%i, 0, 0] [1, 64, 16] [1, 1, 1] : memref<8x64x16xbf16> to memref<64x16xbf16, strided<[16, 1], offset: ?>>
        linalg.matmul ins(%x, %a : memref<34x64xbf16>, memref<64x16xbf16, strided<[16, 1], offset: ?>>) outs(%y : memref<34x16xf32>)
        // expected-error @+1 {{expected packed weights to be read tile by tile, by contractions with left sides of bf16 or f32: choose a smaller number of rows per step}}
        %b = memref.subview %w[%i, 32, 0] [1, 32, 16] [1, 1, 1] : memref<8x64x16xbf16> to memref<32x16xbf16, strided<[16, 1], offset: ?>>
        linalg.matmul ins(%u, %b : memref<34x32xbf16>, memref<32x16xbf16, strided<[16, 1], offset: ?>>) outs(%y : memref<34x16xf32>)
      }
      return
    }
    func.func private @dispatch(%params: memref<?xi8>, %kind: index, %x: memref<34x64xbf16>, %u: memref<34x32xbf16>, %y: memref<34x16xf32>, %lo: index, %hi: index) {
      %w = memref.view %params[%lo][] : memref<?xi8> to memref<8x64x16xbf16>
      scf.index_switch %kind
      case 0 {
        func.call @body(%x, %u, %w, %y, %lo, %hi) : (memref<34x64xbf16>, memref<34x32xbf16>, memref<8x64x16xbf16>, memref<34x16xf32>, index, index) -> ()
        scf.yield
      }
      default {
      }
      return
    }
    gpu.func @fleet_step() kernel {
      gpu.return
    }
  }
}

// -----

// ... as the left side ...
module attributes {fleet.target = #fleet.target<"sm_90a", backend = nvvm, chiplets = 1, workers = 2, lds = 232448, l2 = 1, hbm_gbs = 1, tile = 16>} {
  gpu.module @fleet attributes {fleet.threads = 256 : i64, fleet.lanes = 32 : i64} {
    func.func private @body(%x: memref<34x64xbf16>, %w: memref<8x64x16xbf16>, %u: memref<16x16xbf16>, %y: memref<34x16xf32>, %z: memref<64x16xf32>, %lo: index, %hi: index) {
      %c1 = arith.constant 1 : index
      scf.for %i = %lo to %hi step %c1 {
        // expected-error @+1 {{expected packed weights to be read tile by tile, by contractions with left sides of bf16 or f32: choose a smaller number of rows per step}}
        %a = memref.subview %w[%i, 0, 0] [1, 64, 16] [1, 1, 1] : memref<8x64x16xbf16> to memref<64x16xbf16, strided<[16, 1], offset: ?>>
        linalg.matmul ins(%x, %a : memref<34x64xbf16>, memref<64x16xbf16, strided<[16, 1], offset: ?>>) outs(%y : memref<34x16xf32>)
        linalg.matmul ins(%a, %u : memref<64x16xbf16, strided<[16, 1], offset: ?>>, memref<16x16xbf16>) outs(%z : memref<64x16xf32>)
      }
      return
    }
    func.func private @dispatch(%params: memref<?xi8>, %kind: index, %x: memref<34x64xbf16>, %u: memref<16x16xbf16>, %y: memref<34x16xf32>, %z: memref<64x16xf32>, %lo: index, %hi: index) {
      %w = memref.view %params[%lo][] : memref<?xi8> to memref<8x64x16xbf16>
      scf.index_switch %kind
      case 0 {
        func.call @body(%x, %w, %u, %y, %z, %lo, %hi) : (memref<34x64xbf16>, memref<8x64x16xbf16>, memref<16x16xbf16>, memref<34x16xf32>, memref<64x16xf32>, index, index) -> ()
        scf.yield
      }
      default {
      }
      return
    }
    gpu.func @fleet_step() kernel {
      gpu.return
    }
  }
}

// -----

// ... or as a number.
module attributes {fleet.target = #fleet.target<"sm_90a", backend = nvvm, chiplets = 1, workers = 2, lds = 232448, l2 = 1, hbm_gbs = 1, tile = 16>} {
  gpu.module @fleet attributes {fleet.threads = 256 : i64, fleet.lanes = 32 : i64} {
    func.func private @body(%x: memref<34x64xbf16>, %w: memref<8x64x16xbf16>, %y: memref<34x16xf32>, %lo: index, %hi: index) {
      %c1 = arith.constant 1 : index
      // expected-error @+1 {{expected packed weights to be read tile by tile, by contractions with left sides of bf16 or f32: choose a smaller number of rows per step}}
      %0 = memref.load %w[%lo, %lo, %lo] : memref<8x64x16xbf16>
      scf.for %i = %lo to %hi step %c1 {
        %a = memref.subview %w[%i, 0, 0] [1, 64, 16] [1, 1, 1] : memref<8x64x16xbf16> to memref<64x16xbf16, strided<[16, 1], offset: ?>>
        linalg.matmul ins(%x, %a : memref<34x64xbf16>, memref<64x16xbf16, strided<[16, 1], offset: ?>>) outs(%y : memref<34x16xf32>)
      }
      return
    }
    func.func private @dispatch(%params: memref<?xi8>, %kind: index, %x: memref<34x64xbf16>, %y: memref<34x16xf32>, %lo: index, %hi: index) {
      %w = memref.view %params[%lo][] : memref<?xi8> to memref<8x64x16xbf16>
      scf.index_switch %kind
      case 0 {
        func.call @body(%x, %w, %y, %lo, %hi) : (memref<34x64xbf16>, memref<8x64x16xbf16>, memref<34x16xf32>, index, index) -> ()
        scf.yield
      }
      default {
      }
      return
    }
    gpu.func @fleet_step() kernel {
      gpu.return
    }
  }
}
