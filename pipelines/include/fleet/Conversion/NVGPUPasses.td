#ifndef FLEET_CONVERSION_NVGPUPASSES_TD
#define FLEET_CONVERSION_NVGPUPASSES_TD

include "mlir/Pass/PassBase.td"

def NVGPUFlagExchanges : Pass<"fleet-nvgpu-flag-exchanges", "::mlir::ModuleOp"> {
  let summary = "results of a row carry the number of their step, and need no event";
  let description = [{
    Input: the kernel phase of a step of few rows, one chiplet. A buffer of the work arena that one task
    writes tile by tile and others read tile by tile, or whole by few loads a thread, gets a place of twice its size,
    behind the others: `fleet.publish` stores it there and `fleet.receive` takes it from there. A wait for the task that wrote it is
    dropped where nothing else rests on it; the table `@flagged` has the task that was waited for, or -1.
    Tasks for which nobody waits any more have no arrivals. The manifest's `flagged` has the old and the new offset of each. What is left as it is: buffers that
    anything else reads or writes, and a kernel whose order would not follow from the waits that are left.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::memref::MemRefDialect"];
  let options = [Option<"mostRows", "most-rows", "int64_t", "2", "rows of the steps whose results are flagged, at most">,
                 Option<"mostPositions", "most-positions", "int64_t", "128",
                        "positions that a part of attention may have where results are flagged: all threads of those "
                        "that wait poll, and would slow down a long one">];
}

def NVGPUKeepWalk : Pass<"fleet-nvgpu-keep-walk", "::mlir::gpu::GPUModuleOp"> {
  let summary = "what the walk needs behind a body waits in shared memory";
  let description = [{
    Bodies need nearly all registers. A number that the walk over the queue knows before it calls @dispatch and needs
    again behind it would be spilled to local memory, whose line is no longer in the L1 by then: each costs a way to the L2 between two
    tasks. Input: the persistent kernel of `fleet-gpu-driver`. Output: such numbers stand in a word of shared
    memory for each warp, or are computed again from one that does and from the cached tables. A kernel without such a loop is left as it is.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::gpu::GPUDialect", "::mlir::LLVM::LLVMDialect",
                           "::mlir::memref::MemRefDialect", "::mlir::NVVM::NVVMDialect"];
}

def NVGPUStreamWeights : Pass<"fleet-nvgpu-stream-weights", "::mlir::gpu::GPUModuleOp"> {
  let summary = "one thread copies the weights of all queued tasks into a ring, ahead of the events";
  let description = [{
    Weights do not depend on activations. Input: the persistent kernel of
    `fleet-gpu-driver`, bodies with linalg.matmul by bf16 whose right side is a
    tile of 16 columns of a parameter, read once for each tile of the body's
    loop. Output: one more warpgroup, or a warp where those of the walk are no whole ones, whose first thread walks the same queue, waits
    for no event and copies these tiles by `cp.async.bulk` into a ring in shared
    memory, as many slots of 8 KB as are left; the matmuls are marked
    `fleet.streamed`. A warpgroup keeps 72 registers a lane and gives the walk 216. At most 96 KB are on their way at once. When it reaches
    a task it also asks the L2 for the task's small parameters and for the part of
    the caches that `fleet.caches` on its body names. With more than 2 rows tiles are
    streamed in the order in which they are computed together (`fleet.many_rows`),
    and slots are a multiple of the warps. Fails where there is no room for a slot a
    warp and 4 more, with many rows for two slots a warp. Without `prefetch` it
    asks for nothing of a task before its workgroup calls @dispatch for it.
    With `lanes-free` each lane of a warp that has read a slot frees it, not one of them behind a warp sync:
    the same order, in a form that compute-sanitizer's racecheck follows.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::fleet::FleetDialect",
                           "::mlir::gpu::GPUDialect", "::mlir::LLVM::LLVMDialect",
                           "::mlir::memref::MemRefDialect", "::mlir::NVVM::NVVMDialect",
                           "::mlir::scf::SCFDialect"];
  let options = [Option<"prefetch", "prefetch", "bool", "true",
                        "to compare: false makes the copies of a task wait for its events">,
                 Option<"lanesFree", "lanes-free", "bool", "false",
                        "for racecheck: each lane says that its warp has read a slot">];
}

def NVGPUOrderWeights : Pass<"fleet-nvgpu-order-weights", "::mlir::ModuleOp"> {
  let summary = "tell the loader in which order the kernel's packed weights are stored";
  let description = [{
    Input: a module with a `fleet.manifest` and a gpu.module that `fleet-nvgpu-stream-weights` may have marked
    `fleet.ordered_weights`, as it does where contractions are computed by wgmma. Output: then the manifest's
    packed weights of bf16, 16 columns a tile and a depth of a multiple of 16, have `order = "wgmma-256"`: of
    each 256 of the depth, or what is left at its end, element (k, n) of a tile, k = 16 s + 4 t + 2 c + e and
    n = 8 h + m, stands at `[h][s][c][m][t][e]` of 2 x 16 x 2 x 8 x 4 x 2. Programs of few rows store weights as `[k][n]`: the two share no weights. Fails where the manifest has no params.
  }];
}

def NVGPULowerContractions : Pass<"fleet-nvgpu-lower-contractions", "::mlir::gpu::GPUModuleOp"> {
  let summary = "lower bf16 linalg.matmul to mma.sync and wgmma";
  let description = [{
    Input: linalg.matmul of bf16 memrefs of static shape with an f32 accumulator,
    16 columns, contracted dimension a multiple of 16. Output: mma m16n8k16 with
    the weights as left side; warps take the contracted dimension in turn and add
    their partial sums through shared memory in a fixed order. With at most 2 rows
    the activations may be f32: they come to shared memory as bf16 and
    what rounding to it leaves, and both have rows of one mma. Streamed weights
    are read from the ring by ldmatrix. With more than 32 rows (16 with left sides of f32) four warps take a
    slot together as right side of wgmma m64n16k16; activations whose rows stand in global memory at multiples of 16 bytes
    come by `cp.async.bulk` to a buffer of each warp, a chunk ahead. Other contractions are left to the loops.
    Ends with a barrier.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::gpu::GPUDialect",
                           "::mlir::LLVM::LLVMDialect", "::mlir::memref::MemRefDialect",
                           "::mlir::NVVM::NVVMDialect", "::mlir::scf::SCFDialect",
                           "::mlir::vector::VectorDialect"];
}

def NVGPULowerAttention : Pass<"fleet-nvgpu-lower-attention", "::mlir::gpu::GPUModuleOp"> {
  let summary = "lower fleet.attention_partial of many rows to mma.sync";
  let description = [{
    Input: a tile of one part, a range or dealt in blocks of 16 positions, caches in bf16,
    queries, new keys and values in bf16 or f32, at least 3 rows, at most 8 query heads a
    key/value head, heads of a multiple of 64 elements. Output: a warp a row, in rounds of
    16 positions, mma m16n8k16 for scores and for weighted values, both read from
    the cache as they lie there, all of a round before the first is used. In steps of more than 16
    rows, where a head's positions are one piece of global memory and 16 of keys and of values for each warp fit in 64 KB,
    they come by `cp.async.bulk` to buffers of a warp behind the scratch of bodies: the next
    round's as soon as this one's have been read, of the warp's next row too. Weights, and
    queries in f32, keep what rounding them to bf16 leaves. Queries and keys that are still to be normed
    and rotated are so in registers: a query by the lanes that have it in the mma, a key by the
    warp that stores it. Other attention is left to `fleet-gpu-lower-named-ops`. Ends with a barrier.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::gpu::GPUDialect",
                           "::mlir::LLVM::LLVMDialect", "::mlir::math::MathDialect", "::mlir::memref::MemRefDialect",
                           "::mlir::NVVM::NVVMDialect", "::mlir::scf::SCFDialect",
                           "::mlir::vector::VectorDialect"];
}

def NVGPULowerFewRowAttention : Pass<"fleet-nvgpu-lower-few-row-attention", "::mlir::gpu::GPUModuleOp"> {
  let summary = "lower parts of attention of few rows, with the norms and rotations in front, to mma.sync";
  let description = [{
    Input: tiles of fleet.attention_partial of at most 2 rows whose caches are bf16, with at most 8
    query heads a tile and 32, 64, 128 or 256 elements a head, whose queries and keys
    come from global memory by way of fleet.rms_norm and full fleet.rope alone.
    Output: loads of keys and values that start before the queries are there, norms
    and rotations in the registers of a warp, scores by mma m16n8k16, where the rest
    of the queries' rounding to bf16 has rows of its own, weighted values by FMA;
    warps merged in a fixed order. What does not match is left as it is. Ends with
    a barrier.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::gpu::GPUDialect",
                           "::mlir::LLVM::LLVMDialect", "::mlir::math::MathDialect",
                           "::mlir::memref::MemRefDialect", "::mlir::NVVM::NVVMDialect",
                           "::mlir::scf::SCFDialect", "::mlir::vector::VectorDialect"];
}

def NVGPULowerMath : Pass<"fleet-nvgpu-lower-math", "::mlir::gpu::GPUModuleOp"> {
  let summary = "bf16 conversions, quotients, inverse roots and exponentials as single instructions";
  let description = [{
    Input: arith and math ops on scalars and vectors of one dimension. Output:
    `cvt.rn.bf16x2.f32` for arith.truncf to bf16, shifts for arith.extf from it,
    `div.full`, `rsqrt.approx` and `ex2.approx` for f32 division, 1 / sqrt and exp
    (2 ulp, subnormal results are 0). Other ops are left as they are.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::gpu::GPUDialect",
                           "::mlir::LLVM::LLVMDialect", "::mlir::vector::VectorDialect"];
}

def NVGPULowerEvents : Pass<"fleet-nvgpu-lower-events", "::mlir::gpu::GPUModuleOp"> {
  let summary = "lower waits, signals, barriers and the worker's identity: all memory ordering is here";
  let description = [{
    Input: fleet.chiplet_id, worker_rank, wait, signal, publish and receive, gpu.barrier of the
    threads that walk the queue. Output: atomics of the LLVM dialect at device
    scope, named barriers. The comments in the pass cite the rule of the PTX
    memory model that each step relies on. Fails if the tables are missing.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::gpu::GPUDialect",
                           "::mlir::LLVM::LLVMDialect", "::mlir::memref::MemRefDialect",
                           "::mlir::NVVM::NVVMDialect", "::mlir::scf::SCFDialect", "::mlir::vector::VectorDialect"];
  let options = [Option<"pollBudget", "poll-budget", "int64_t", "1 << 22",
                        "polls after which a wait gives up">];
}

def NVGPUPlaceShared : Pass<"fleet-nvgpu-place-shared", "::mlir::ModuleOp"> {
  let summary = "all shared memory in one array whose size the launch gives";
  let description = [{
    Input: the LLVM dialect with globals in address space 3. Output: one external
    array without a size, as more than 48 KB need, and offsets in it; its bytes
    as `shared` in the manifest. Fails if they exceed the target's lds.
  }];
  let dependentDialects = ["::mlir::LLVM::LLVMDialect"];
}

#endif // FLEET_CONVERSION_NVGPUPASSES_TD
