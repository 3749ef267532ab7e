#ifndef FLEET_TRANSFORMS_PASSES_TD
#define FLEET_TRANSFORMS_PASSES_TD

include "mlir/Pass/PassBase.td"

def SetTarget : Pass<"fleet-set-target", "ModuleOp"> {
  let summary = "attach a predefined target to the module";
  let description = "Fails on an unknown name. `chiplets` and `workers` override the target's numbers for study.";
  let options = [
    Option<"target", "target", "std::string", "\"cpu\"", "cpu, gfx942, gfx950 or sm_90a">,
    Option<"chiplets", "chiplets", "int64_t", "0", "chiplets (0: the target's)">,
    Option<"workers", "workers", "int64_t", "0", "workers of a chiplet (0: the target's)">,
  ];
  let dependentDialects = ["fleet::FleetDialect"];
}

def SetSchedule : Pass<"fleet-set-schedule", "ModuleOp"> {
  let summary = "choose how the step is scheduled";
  let description = [{
    Sets switches of the scheduler, NAME=VALUE,..., in the module's attribute
    `fleet.schedule`, where the passes after it find them. Without it every switch
    has its first value: `scheduler` static or dynamic, `chiplets` aware or
    unaware, `binding` on or off, `partition` auto, columns or rows, `traversal`
    auto, full_m, m_major, n_major or windowed, `queues` auto, balanced or even,
    `order` auto, list or program, `prefetch` on or off, `events` hierarchical or flat.
    Fails on any other name or value. What only the simulator can do (a dynamic
    scheduler, flat events, no prefetch) is refused where a kernel is built.
  }];
  let options = [Option<"switches", "switches", "std::string", "\"\"", "NAME=VALUE,...">];
}

def BeginPhase : Pass<"fleet-begin-phase", "ModuleOp"> {
  let summary = "check that the module is in the phase before";
  let description = [{
    Begins every pipeline `fleet-phase-<name>`. Fails where `fleet.phase` is not the
    phase before (a module without it is raw), or, after import, where the module
    has no `fleet.target`.
  }];
  let options = [Option<"expect", "expect", "std::string", "\"\"", "the phase the module must be in">];
}

def EndPhase : Pass<"fleet-end-phase", "ModuleOp"> {
  let summary = "verify a phase's output form and name it";
  let description = [{
    Fails where the module does not have the form that docs/Rationale.md gives
    for the phase.
  }];
  let options = [Option<"phase", "phase", "std::string", "\"\"", "the phase that ends">];
}

def ImportStep : Pass<"fleet-import-step", "ModuleOp"> {
  let summary = "parameters, caches and named ops out of the importer's form; no batch axis";
  let description = [{
    From: `@step` with arguments that carry `fleet.input` or `fleet.param`, calls
    of functions that carry `fleet.op`. To: `fleet.param`, `fleet.state`, named
    ops. A gather of one row from a table of one row is that row. A contraction of
    what was only widened to f32, both sides of it, takes them as they were: it widens
    what it multiplies itself. Fails on an unknown
    `fleet.op` or an argument with neither attribute.
  }];
  let dependentDialects = ["fleet::FleetDialect", "linalg::LinalgDialect", "tensor::TensorDialect"];
}

def KeepPrecision : Pass<"fleet-keep-precision", "ModuleOp"> {
  let summary = "round to the storage type only what is read in the storage type";
  let description = [{
    From: the step as the importer gives it, where every element-wise value is
    rounded to the storage type (bf16), as PyTorch does. To: values that only
    norms, rotary embeddings and other element-wise ops read (the residual
    stream, the rotary tables, the parts of an activation function) are f32.
    Contractions and attention read the storage type as before, unless the backend
    of `fleet.target` takes left sides of f32 beside weights of bf16 for the rows of
    this step (`getWideLeft`): then those that are not too deep are f32,
    and so are queries, keys, values and the result of attention.

    Before: `truncf(x + y)` feeds `fleet.rms_norm` as `tensor<1x8xbf16>`; after:
    `x + y` feeds it as `tensor<1x8xf32>`, and the norm rounds its result once.
  }];
  let dependentDialects = ["arith::ArithDialect", "fleet::FleetDialect", "tensor::TensorDialect"];
}

def SplitAttention : Pass<"fleet-split-attention", "ModuleOp"> {
  let summary = "attention over parts of the context, so that it occupies more workers than heads";
  let description = [{
    From: `fleet.attention` on tensors. To: `fleet.attention_partial` and
    `fleet.attention_merge`, with as many parts as workers for each key/value head,
    at most 16, of at least 64 positions. On chips of several dies, where the merge is
    shared by query heads, there may be more, of at least 16 positions, if the model of
    costs finds that they save 5 % of attention and merge. On NVIDIA GPUs the context is
    dealt to the parts in blocks of 16 positions from 3 rows on (`dealt`), and with 8 rows, or more than 16,
    attention takes over a whole `fleet.rope` of its queries and keys (`rotate`), and
    the `fleet.rms_norm` in front of it (`norm`), if heads have a power of two of at least 64 elements
    and at most 8 share a key. Of many rows (8, on NVIDIA GPUs 3, `getManyRows`) each is merged
    for itself (`by_rows`). Leaves attention whole where one part is enough or the target is a CPU.
  }];
  let dependentDialects = ["fleet::FleetDialect", "tensor::TensorDialect"];
}

def SplitArgmax : Pass<"fleet-split-argmax", "ModuleOp"> {
  let summary = "the greatest of a long row by many workers";
  let description = [{
    From: `fleet.argmax` on tensors of more elements than one worker reads at once. To:
    `fleet.argmax_partial`, a part of the columns for each worker, at least 256, and
    `fleet.argmax_merge`. Leaves it whole where the target is a CPU, and where an NVIDIA GPU
    gives each of 3 rows or more to a worker of its own.
  }];
  let dependentDialects = ["fleet::FleetDialect", "tensor::TensorDialect"];
}

def MergeContractions : Pass<"fleet-merge-contractions", "ModuleOp"> {
  let summary = "contractions of one activation become one, their weights concatenated";
  let description = [{
    Merges matmuls of one left side by distinct parameters (Q, K and V) whose
    element-wise epilogues are alike. Results become column slices.
  }];
  let dependentDialects = ["fleet::FleetDialect", "linalg::LinalgDialect", "tensor::TensorDialect"];
}

def FuseElementwise : Pass<"fleet-fuse-elementwise", "ModuleOp"> {
  let summary = "chains of element-wise generics in task bodies become one";
  let description = [{
    The upstream fusion of producers with one use; unlike the upstream pass it
    leaves reshapes and contractions alone.
  }];
  let dependentDialects = ["linalg::LinalgDialect"];
}

def FormTasks : Pass<"fleet-form-tasks", "ModuleOp"> {
  let summary = "outline the step into device tasks with shared bodies";
  let description = [{
    A task's root is a contraction with its element-wise epilogue, an
    attention, a gather of a parameter, an argmax, or an element-wise value that
    one of these needs. Norms, rotary embeddings and views are computed in the
    task that uses them; on GPUs norms and rotations of many rows (8 or more, on those of NVIDIA 3) are tasks of
    their own, but for rotations that attention has taken over. Equal bodies are shared. Fails on any other operation.
  }];
  let dependentDialects = ["fleet::FleetDialect", "func::FuncDialect"];
}

def PlanPartitions : Pass<"fleet-plan-partitions", "ModuleOp"> {
  let summary = "choose by cost how each task is cut, and keep what belongs together on a chiplet";
  let description = [{
    From: `fleet.task`s on tensors. To: each has a partition. Looks for contractions
    whose left side is made by tasks that can be cut into as many equal chunks as the
    target has chiplets, each chunk of a later task reading one chunk of an earlier one:
    heads of attention and the columns they are computed from, columns and the
    contracted rows that read them, also by way of tasks that rotate heads. Such chunks are bound to one chiplet. Where the
    model of costs finds it cheaper (or `partition=rows`), the contraction is cut by
    the contracted rows: it becomes a task of partial sums for each slice, and a
    `replicated` task that adds them in the order of the slices on every chiplet.

    On a target of one chiplet a contraction is cut so among its workers, where that saves
    reading activations (steps of many rows on NVIDIA chips; with `partition=rows` on CPUs, too): tasks that
    need its result next and can do it tile by tile, norms of rows and contractions by columns
    that add it, get the partial sums and add them; for others, behind these, there is a task
    by columns that does.

    Before: `%y = fleet.task 6 @task_6(%x, %w, %r) : (...) -> tensor<1x64xf32>`; after, on 2 chiplets:
    `%p = fleet.task 6 @task_6_slices(%x, %w2) partition <rows, ..., splits = 2> : (...) -> tensor<1x128xf32>` and
    `%y = fleet.task 7 @task_6_sum(%p, %r) partition <replicated, ...> : (...) -> tensor<1x64xf32>`.
  }];
  let dependentDialects = ["arith::ArithDialect", "fleet::FleetDialect", "func::FuncDialect", "linalg::LinalgDialect",
                           "tensor::TensorDialect"];
}

def OrderTasks : Pass<"fleet-order-tasks", "ModuleOp"> {
  let summary = "tasks in the order in which they become ready";
  let description = [{
    From: tasks on tensors. To: the same in the order in which the model of costs finds
    them ready, of equals the one with the longest way to the end of the step first, with
    ids 0, 1, 2, ... Queues have the order of the ids, so independent branches overlap.
    With `order=program`, and on a target of one chiplet unless `order=list`, tasks stay
    as the model has them.
  }];
  let dependentDialects = ["fleet::FleetDialect"];
}

def CutChiplets : Pass<"fleet-cut-chiplets", "ModuleOp"> {
  let summary = "cut each task's tiles over the target's chiplets";
  let description = [{
    From: `fleet.task`s on tensors. To: each has a partition, a traversal and its
    `fleet.chiplet_task`s. A partition that is not given: columns for a contraction (the
    widest tile up to the target's that divides them), kv heads for attention, whole
    otherwise. Ranges are contiguous and balanced within one tile, odd tiles go to the
    chiplets that have least to do; chiplets without a tile take no part. Tiles that
    `fleet-plan-partitions` bound to chiplets are cut as it says. With `chiplets=unaware`
    tile t is on chiplet t mod chiplets.
  }];
  let dependentDialects = ["fleet::FleetDialect"];
}

def CutWorkers : Pass<"fleet-cut-workers", "ModuleOp"> {
  let summary = "cut each chiplet task's tiles over the chiplet's workers";
  let description = [{
    From: `fleet.chiplet_task`s. To: each has its `fleet.cu_task`s, contiguous ranges
    balanced within one tile; workers without a tile take no part. All ranges of a chiplet
    are dealt as one. On chips of several dies odd tiles go to the workers that have least
    to stream (`queues=even`: to the same in every task). Slices of the contracted dimension
    that one chiplet has are dealt to as many of its workers each; no worker has tiles of two.
    Fails where there are fewer workers than slices.
  }];
  let dependentDialects = ["fleet::FleetDialect"];
}

def TileBodies : Pass<"fleet-tile-bodies", "ModuleOp"> {
  let summary = "task bodies become loops over their tiles, weights packed by tile";
  let description = [{
    A body gets the arguments out, lo and hi. Producers are fused into the loop
    by the upstream TilingInterface, but for those that a tile needs whole. Of a contraction by rows
    the slice of the left side stands in front of the loop on a target of one chiplet.
  }];
  let dependentDialects = ["fleet::FleetDialect", "scf::SCFDialect", "tensor::TensorDialect",
                           "linalg::LinalgDialect", "affine::AffineDialect"];
}

def PlaceStep : Pass<"fleet-place-step", "ModuleOp"> {
  let summary = "every value of the step gets an arena and an offset";
  let description = [{
    From: tasks on tensors. To: tasks without results on `fleet.buffer`s, the result
    last; parameters in the order of their first use, caches by layer, inputs in a
    fixed order, no two values in one place; but on NVIDIA chips of one chiplet, from 3 rows
    on, a value takes the bytes of one of its size whose writer and readers its own task
    needs, by way of others too: they are over. Writes `fleet.manifest`: what a loader
    has to put where. Fails where the step takes anything but tokens, positions,
    slots and out_rows, or does not return logits and ids.
  }];
  let dependentDialects = ["fleet::FleetDialect"];
}

def PlaceBodies : Pass<"fleet-place-bodies", "ModuleOp"> {
  let summary = "after bufferization: memory scopes, temporaries in the worker's scratch";
  let description = "Arguments are hbm, temporaries lds at fixed offsets of the last argument.";
  let dependentDialects = ["fleet::FleetDialect", "memref::MemRefDialect"];
}

def InsertEvents : Pass<"fleet-insert-events", "ModuleOp"> {
  let summary = "data dependences between tasks become waits, reduced transitively";
  let description = [{
    From: tasks on buffers, ids 0, 1, 2, ... in order. To: `waits` of each task: the
    tasks that write its operands, without those that one of them has waited for. A
    task of which each chiplet reads only what the same chiplet wrote is in
    `chiplet_waits`: bodies are followed tile by tile, and bytes compared; a body that cannot
    be followed waits at device scope. Fails on ids out of order.
  }];
  let dependentDialects = ["fleet::FleetDialect"];
}

def CheckCoherence : Pass<"fleet-check-coherence", "ModuleOp"> {
  let summary = "prove that waits order every two tasks that touch the same bytes";
  let description = [{
    Looks at the bytes of buffers, not at how the waits were found. Two tasks
    that touch a byte of one arena, one of them writing, must be ordered by
    waits, directly or through others; since a wait is an acquire at device scope
    of what the signal released, the later one then sees what the earlier one
    wrote. A wait at chiplet scope orders what no other chiplet has touched, which
    is followed through the bodies, tile by tile. Writes: the last operand, and state.
    A value in l2 scope must stay on its chiplet, or have an instance for each and be
    read where it was written; one in lds scope must stay with its worker. Fails naming
    the later task, the missing wait and the offset, or where a value is and is not.
  }];
}

def CheckProgress : Pass<"fleet-check-progress", "ModuleOp"> {
  let summary = "prove that the queues run every part of every task once, to the end";
  let description = [{
    Runs the static queues in an arbitrary order: as waits are for finished
    tasks and never time out, that order reaches the end if any does. Fails on
    a cu-task in no queue or in two, and where workers wait for each other.
  }];
}

def ScheduleTasks : Pass<"fleet-schedule-tasks", "ModuleOp"> {
  let summary = "one static queue for each worker, in list order";
  let description = [{
    From: tasks with waits. To: a `fleet.queue` for each worker, its device tasks in
    the order of their ids. Fails on a wait for a task that stands later.
  }];
  let dependentDialects = ["fleet::FleetDialect"];
}

def BuildKernel : Pass<"fleet-build-kernel", "ModuleOp"> {
  let summary = "one persistent gpu.func, bodies and constant task tables";
  let description = [{
    From: tasks on buffers with waits and queues. To: `gpu.module @fleet` with the
    bodies, the tables @device_tasks, @cu_tasks, @queues, @waits and @arrivals,
    `@dispatch` that calls a task's body, and the persistent `gpu.func @step`; the
    manifest gets counts and the size of the work arena with counters and scratch.
    Expects what `fleet-check-coherence` and `fleet-check-progress` prove.
  }];
  let dependentDialects = ["fleet::FleetDialect", "gpu::GPUDialect", "memref::MemRefDialect",
                           "scf::SCFDialect", "arith::ArithDialect", "func::FuncDialect"];
}

def GenerateTarget : Pass<"fleet-generate-target", "ModuleOp"> {
  let summary = "run the code generator of the module's target";
  let description = [{
    From: the kernel phase. To: the LLVM dialect, by the pipeline of the target's
    backend: `fleet-cpu-to-llvm`, `fleet-amdgpu-to-llvm` or `fleet-nvgpu-to-llvm`.
    Fails as that does.
  }];
  let dependentDialects = ["amdgpu::AMDGPUDialect", "gpu::GPUDialect", "NVVM::NVVMDialect", "ROCDL::ROCDLDialect",
    "affine::AffineDialect", "arith::ArithDialect", "cf::ControlFlowDialect",
                           "func::FuncDialect", "index::IndexDialect", "linalg::LinalgDialect", "LLVM::LLVMDialect",
                           "math::MathDialect", "memref::MemRefDialect", "scf::SCFDialect", "ub::UBDialect",
                           "vector::VectorDialect"];
}

def BuildPackage : Pass<"fleet-build-package", "ModuleOp"> {
  let summary = "a fleet.package that says what the packager needs";
  let description = [{
    From: the LLVM dialect with `@fleet_step`. To: the same with a `fleet.package`
    that holds the manifest and the format of the target's backend. Fails where
    one of the three is missing.
  }];
  let dependentDialects = ["fleet::FleetDialect"];
}

#endif // FLEET_TRANSFORMS_PASSES_TD
