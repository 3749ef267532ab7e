#ifndef FLEET_CONVERSION_GPUPASSES_TD
#define FLEET_CONVERSION_GPUPASSES_TD

include "mlir/Pass/PassBase.td"

def GPUDriver : Pass<"fleet-gpu-driver", "::mlir::ModuleOp"> {
  let summary = "make the persistent kernel: arenas as pointers, scratch in LDS, a walk that can give up";
  let description = [{
    Input: a module of the kernel phase. Output: in its `gpu.module`, the bodies
    and @dispatch on `global` and `workgroup` memory and
    `gpu.func @fleet_step(params, state, work, input, output, epoch : i32)`, one
    workgroup per worker; with `most-steps` above 1, and rows that all give a token,
    a last argument `steps : i32`: step s has epoch + s and keeps its ids. fleet.chiplet_id, worker_rank, wait and signal stay for
    the target's event lowering and are collective: every thread of the
    workgroup executes them, except that a device signal is executed by one
    thread. Only the scratch of the bodies is known here to be in LDS: fails if
    it exceeds the target's lds, or if the tables are missing.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::func::FuncDialect",
                           "::mlir::gpu::GPUDialect", "::mlir::LLVM::LLVMDialect", "::mlir::memref::MemRefDialect",
                           "::mlir::scf::SCFDialect"];
  let options = [Option<"omitWait", "omit-wait", "int64_t", "-1",
                        "for tests: leave out one wait, by its index in @waits">,
                 Option<"cacheTables", "cache-tables", "bool", "false",
                        "copy the tables of the schedule to LDS first">,
                 Option<"mostSteps", "most-steps", "int64_t", "1",
                        "steps that one launch may take, each with the tokens of the one before">,
                 Option<"flatEvents", "flat-events", "bool", "false",
                        "to compare: every cu task tells the device, not only a chiplet's last one">,
                 Option<"stamps", "stamps", "bool", "false",
                        "every cu task leaves four cycle counts in the work arena">];
}

def GPULowerNamedOps : Pass<"fleet-gpu-lower-named-ops", "::mlir::gpu::GPUModuleOp"> {
  let summary = "lower the named ops on memrefs to code of a whole workgroup";
  let description = [{
    Input: fleet.gather, rms_norm, layer_norm, rope, attention, attention_partial,
    attention_merge, argmax, argmax_partial, argmax_merge on memrefs
    of static shape. Output: loops in which every thread of the workgroup takes
    its part; sums and maxima go through subgroup shuffles, then LDS, in a fixed
    order. Each op ends with a barrier. Attention is an online softmax: groups of
    lanes take positions in turn and are merged at the end. Where each subgroup has several short
    rows to norm, or each thread several places to rotate, it takes up to `rounds` of them at once:
    the loads of all stand in front of the first sum or store. With more than one, weights of a norm
    whose row is made by element-wise work in front of it are asked for before that work.
    Fails on tensors and on buffers whose last dimension is strided.
  }];
  let options = [Option<"rounds", "rounds", "int64_t", /*default=*/"1",
                        "iterations of a subgroup or thread whose loads are asked for at once">];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::gpu::GPUDialect",
                           "::mlir::math::MathDialect", "::mlir::memref::MemRefDialect",
                           "::mlir::scf::SCFDialect", "::mlir::vector::VectorDialect"];
}

def GPULowerElementwise : Pass<"fleet-gpu-lower-elementwise", "::mlir::gpu::GPUModuleOp"> {
  let summary = "lower the remaining linalg ops and copies to loops over the threads";
  let description = [{
    Input: linalg ops and memref.copy on memrefs of static shape. Output: the
    threads of the workgroup stride over the parallel iterations, 16 bytes at a
    time where every operand is contiguous or constant along the innermost one;
    reductions are sequential loops in one thread. Each op ends with a barrier, but for
    one with `fleet.first_wave`, whose first iterations are that subgroup's. Where all threads
    have the same number of iterations, of vectors and at most `rounds`, the loads of all stand
    in front of the first store. Fails on shapes that are not static.
  }];
  let options = [Option<"rounds", "rounds", "int64_t", /*default=*/"1",
                        "iterations of a thread whose loads are asked for at once">];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::gpu::GPUDialect",
                           "::mlir::linalg::LinalgDialect", "::mlir::memref::MemRefDialect",
                           "::mlir::scf::SCFDialect", "::mlir::vector::VectorDialect"];
}

def GPULowerMath : Pass<"fleet-gpu-lower-math", "::mlir::gpu::GPUModuleOp"> {
  let summary = "lower f32 math functions to LLVM intrinsics that are instructions";
  let description = [{
    Input: math on f32 and vectors of f32. Output: intrinsics for exp (by exp2),
    floor, roundeven, sqrt, fma, absf and copysign, which need no library. Others
    stay; `fleet-cpu-lower-math` makes them of these.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::LLVM::LLVMDialect"];
}

def GPUFinalizeLLVM : Pass<"fleet-gpu-finalize-llvm", "::mlir::ModuleOp"> {
  let summary = "one module of the LLVM dialect, everything inlined into the kernel";
  let description = [{
    Input: a `gpu.module` of the LLVM dialect. Output: its contents in the module
    itself, every function `convergent`, and private and always inlined but for @fleet_step. Fails if
    an op is left that is not of the LLVM, ROCDL or NVVM dialect.
  }];
  let dependentDialects = ["::mlir::LLVM::LLVMDialect"];
}

def AMDGPUGroupWeights : Pass<"fleet-amdgpu-group-weights", "::mlir::ModuleOp"> {
  let summary = "store packed weights in the order of MFMA operands";
  let description = [{
    Input: a module of the kernel phase. Output: packed bf16 weights
    `[N/nb][K][nb]`, nb a multiple of 16, K a multiple of 32, are
    `[N/nb][K/8][nb][8]`, so that a lane reads its 8 contracted elements of one
    column at once; their linalg.matmul is a linalg.generic on groups. The
    manifest's entries get `group = 8`, which the loader follows.
    Fails if a packed weight is read by anything else than linalg.matmul.
  }];
  let dependentDialects = ["::mlir::linalg::LinalgDialect", "::mlir::memref::MemRefDialect"];
}

def AMDGPULowerContractions : Pass<"fleet-amdgpu-lower-contractions", "::mlir::gpu::GPUModuleOp"> {
  let summary = "lower contractions with grouped weights to MFMA";
  let description = [{
    Input: linalg.generic as `fleet-amdgpu-group-weights` makes it. Output: steps
    of 32 contracted elements, 16 bytes of weights a lane, by amdgpu.mfma 16x16x32
    (gfx950) or two of 16x16x16 (gfx942). Steps go round the waves, whose partial
    sums are added through LDS in a fixed order. Ends with a barrier.
    Each wave has a ring of weights on their way, which does not stop between
    tiles; its head is asked for by the walk before the waits of a task, as weights
    do not depend on activations (@streams says where each case's stream begins).
    On gfx950, whose loads move 16 bytes a lane to LDS, the ring takes what is left
    of the target's LDS (fleet.ring_ask, ring_wait, ring_read); otherwise, and where
    there is no target, it is 16 steps in registers. A left side from memory is
    brought to LDS first. Other contractions are left to the loops.
  }];
  let dependentDialects = ["::mlir::fleet::FleetDialect", "::mlir::amdgpu::AMDGPUDialect", "::mlir::arith::ArithDialect",
                           "::mlir::gpu::GPUDialect", "::mlir::LLVM::LLVMDialect", "::mlir::memref::MemRefDialect",
                           "::mlir::scf::SCFDialect", "::mlir::vector::VectorDialect"];
  let options = [Option<"chipset", "chipset", "std::string", "\"gfx950\"", "the chip">];
}

def AMDGPUCheckRing : Pass<"fleet-amdgpu-check-ring", "::mlir::gpu::GPUModuleOp"> {
  let summary = "prove that no slot of a ring in LDS is overwritten before it is read";
  let description = [{
    Input: bodies with fleet.ring_ask, ring_wait and ring_read, the kernel that asks
    for their heads. Output: the same. Runs every body on the slots of a wave's
    ring: a slot is asked for only when it has been read, read only when it has
    been waited for, and all are free at the end, for every number of tiles; the
    walk asks for as many slots as the body expects. Fails where this is not so, or
    where which slot is meant follows from anything but the number of tiles.
  }];
}

def AMDGPULowerRing : Pass<"fleet-amdgpu-lower-ring", "::mlir::gpu::GPUModuleOp"> {
  let summary = "lower the ring of weights in LDS to loads of 16 bytes a lane and counted waits";
  let description = [{
    Input: fleet.ring_ask, ring_wait and ring_read. Output: global_load_lds_dwordx4
    behind a wait for the wave's reads of LDS, s_waitcnt vmcnt, vector.load. Fails
    on a source whose strides are not known.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::gpu::GPUDialect",
                           "::mlir::LLVM::LLVMDialect", "::mlir::memref::MemRefDialect",
                           "::mlir::ROCDL::ROCDLDialect", "::mlir::vector::VectorDialect"];
  let options = [Option<"omit", "omit", "std::string", "\"\"",
                        "for tests: leave out the waits of the ring (wait), or those for reads of its slots (order)">,
                 Option<"shift", "shift", "int64_t", "0", "for tests: read as many slots further on">];
}

def AMDGPULowerEvents : Pass<"fleet-amdgpu-lower-events", "::mlir::gpu::GPUModuleOp"> {
  let summary = "lower waits, signals and the worker's identity: all memory ordering is here";
  let description = [{
    Input: fleet.chiplet_id, worker_rank, wait and signal in the kernel. Output:
    the LLVM dialect. The comments in the pass cite the rule of LLVM's AMDGPU
    memory model that each step relies on. Fails on a scope other than chiplet or
    device, and on an ordering to omit that does not exist. (Without `binding`
    workgroups take their chiplet from their number; with `binding@N` workgroup N
    takes the chiplet next to its own.)
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::gpu::GPUDialect",
                           "::mlir::LLVM::LLVMDialect", "::mlir::memref::MemRefDialect",
                           "::mlir::ROCDL::ROCDLDialect", "::mlir::scf::SCFDialect"];
  let options = [Option<"pollBudget", "poll-budget", "int64_t", "1 << 22",
                        "polls after which a wait gives up">,
                 Option<"omit", "omit", "std::string", "\"\"",
                        "for tests: leave out one ordering (drain, write-back, write-back-wait, acquire, wait, "
                        "meeting, binding, bypass), with @N that of task N alone">];
}

def GPULocalizeThreads : Pass<"fleet-gpu-localize-threads", "::mlir::gpu::GPUModuleOp"> {
  let summary = "hide from each body that its thread number is everybody's";
  let description = [{
    Input: the LLVM dialect with one function a body. Output: the thread number of
    a function passes through an opaque move, so that after inlining LLVM does not
    compute the comparisons and lane numbers of all bodies once, in front of the
    walk, where they would fill the scalar registers of AMD's chips and be spilled on NVIDIA's.
  }];
  let dependentDialects = ["::mlir::LLVM::LLVMDialect"];
}

#endif // FLEET_CONVERSION_GPUPASSES_TD
