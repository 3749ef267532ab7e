#ifndef FLEET_CONVERSION_NVGPUPASSES_TD
#define FLEET_CONVERSION_NVGPUPASSES_TD

include "mlir/Pass/PassBase.td"

def NVGPUStreamWeights : Pass<"fleet-nvgpu-stream-weights", "::mlir::gpu::GPUModuleOp"> {
  let summary = "one warp copies the weights of all queued tasks into a ring, ahead of the events";
  let description = [{
    Weights do not depend on activations. Input: the persistent kernel of
    `fleet-gpu-driver`, bodies with linalg.matmul of bf16 whose right side is a
    tile of 16 columns of a parameter, read once for each tile of the body's
    loop. Output: one more warp, whose first thread walks the same queue, waits
    for no event and copies these tiles by `cp.async.bulk` into a ring in shared
    memory, as many slots of 8 KB as are left, a multiple of the warps that
    read them; the matmuls are marked
    `fleet.streamed`. Fails where there is no room for a slot a warp.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::fleet::FleetDialect",
                           "::mlir::gpu::GPUDialect", "::mlir::LLVM::LLVMDialect",
                           "::mlir::memref::MemRefDialect", "::mlir::NVVM::NVVMDialect",
                           "::mlir::scf::SCFDialect"];
}

def NVGPULowerContractions : Pass<"fleet-nvgpu-lower-contractions", "::mlir::gpu::GPUModuleOp"> {
  let summary = "lower bf16 linalg.matmul to mma.sync";
  let description = [{
    Input: linalg.matmul of bf16 memrefs of static shape with an f32 accumulator,
    16 columns, contracted dimension a multiple of 16. Output: mma m16n8k16 with
    the weights as left side; warps take the contracted dimension in turn and add
    their partial sums through shared memory in a fixed order. Streamed weights
    are read from the ring by ldmatrix. Other contractions are left to the loops.
    Ends with a barrier.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::gpu::GPUDialect",
                           "::mlir::LLVM::LLVMDialect", "::mlir::memref::MemRefDialect",
                           "::mlir::NVVM::NVVMDialect", "::mlir::scf::SCFDialect",
                           "::mlir::vector::VectorDialect"];
}

def NVGPULowerEvents : Pass<"fleet-nvgpu-lower-events", "::mlir::gpu::GPUModuleOp"> {
  let summary = "lower waits, signals, barriers and the worker's identity: all memory ordering is here";
  let description = [{
    Input: fleet.chiplet_id, worker_rank, wait and signal, gpu.barrier of the
    threads that walk the queue. Output: atomics of the LLVM dialect at device
    scope, named barriers. The comments in the pass cite the rule of the PTX
    memory model that each step relies on. Fails if the tables are missing.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::gpu::GPUDialect",
                           "::mlir::LLVM::LLVMDialect", "::mlir::memref::MemRefDialect",
                           "::mlir::NVVM::NVVMDialect", "::mlir::scf::SCFDialect"];
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
