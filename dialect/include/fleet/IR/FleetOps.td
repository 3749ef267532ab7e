#ifndef FLEET_IR_FLEETOPS_TD
#define FLEET_IR_FLEETOPS_TD

include "fleet/IR/FleetAttrs.td"
include "mlir/Interfaces/DestinationStyleOpInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"
include "mlir/Interfaces/TilingInterface.td"
include "mlir/IR/SymbolInterfaces.td"

class Fleet_Op<string mnemonic, list<Trait> traits = []> : Op<Fleet_Dialect, mnemonic, traits>;

//===----------------------------------------------------------------------===//
// Values that stand outside the step
//===----------------------------------------------------------------------===//

def Fleet_ParamOp : Fleet_Op<"param", [Pure]> {
  let summary = "a weight, by name";
  let description = [{
    The value stays outside the IR. Several names are concatenated along
    dimension 0. `pack` (tile columns; 0: as stored) and `offset` (bytes in the
    params arena) are set by the memory phase.

    Example: `%w = fleet.param ["q.weight", "k.weight"] : tensor<96x64xbf16>`
  }];
  let arguments = (ins StrArrayAttr:$names, OptionalAttr<I64Attr>:$pack, OptionalAttr<I64Attr>:$offset);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$names (`pack` $pack^)? (`offset` $offset^)? attr-dict `:` type($result)";
  let hasVerifier = 1;
}

def Fleet_StateOp : Fleet_Op<"state", [Pure]> {
  let summary = "state of the device that lives from step to step";
  let description = [{
    A cache of one layer, `[slot, kv head, position, head dim]`; a buffer, not a
    value, since the step updates it in place.

    Example: `%k = fleet.state "k_cache" layer 3 : memref<2x8x512x64xbf16, #fleet.mem<hbm>>`
  }];
  let arguments = (ins StrAttr:$name, I64Attr:$layer, OptionalAttr<I64Attr>:$offset);
  let results = (outs AnyMemRef:$result);
  let assemblyFormat = "$name `layer` $layer (`offset` $offset^)? attr-dict `:` type($result)";
  let hasVerifier = 1;
}

//===----------------------------------------------------------------------===//
// Named computations, destination style, on tensors or memrefs
//===----------------------------------------------------------------------===//

class Fleet_NamedOp<string mnemonic, list<Trait> traits = []>
    : Fleet_Op<mnemonic, !listconcat([AttrSizedOperandSegments, DestinationStyleOpInterface,
        DeclareOpInterfaceMethods<MemoryEffectsOpInterface>,
        DeclareOpInterfaceMethods<TilingInterface, ["getLoopIteratorTypes", "getIterationDomain",
          "getTiledImplementation", "getResultTilePosition", "generateResultTileValue"]>], traits)> {
  let results = (outs Variadic<AnyRankedTensor>:$results);
  code namedDecls = [{
    MutableOperandRange getDpsInitsMutable() { return getOutputsMutable(); }
  }];
  let extraClassDeclaration = namedDecls;
  let assemblyFormat = [{`ins` `(` $inputs `:` type($inputs) `)` `outs` `(` $outputs `:` type($outputs) `)`
    attr-dict (`->` type($results)^)?}];
  let hasVerifier = 1;
}

def Fleet_GatherOp : Fleet_NamedOp<"gather"> {
  let summary = "rows of a table";
  let description = [{
    `out[i, :] = table[indices[i], :]`; table `NxH`, indices `Mxi32`, out `MxH`.
    Indices are checked by the caller.
    Example: `%y = fleet.gather ins(%t, %i : tensor<9x8xf32>, tensor<2xi32>) outs(%e : tensor<2x8xf32>) -> tensor<2x8xf32>`
  }];
  let arguments = (ins Variadic<AnyShaped>:$inputs, Variadic<AnyShaped>:$outputs);
}
def Fleet_RmsNormOp : Fleet_NamedOp<"rms_norm"> {
  let summary = "root mean square normalisation of the last dimension";
  let description = [{
    Inputs x `...xD` and weight `D`; f32 inside, rounded to the storage type
    before the weight is applied.
    Example: `%y = fleet.rms_norm ins(%x, %w : tensor<2x8xf32>, tensor<8xf32>) outs(%e : tensor<2x8xf32>) {eps = 1.0e-5 : f64} -> tensor<2x8xf32>`
  }];
  let arguments = (ins Variadic<AnyShaped>:$inputs, Variadic<AnyShaped>:$outputs, F64Attr:$eps);
}
def Fleet_LayerNormOp : Fleet_NamedOp<"layer_norm"> {
  let summary = "layer normalisation of the last dimension";
  let description = [{
    Inputs x `...xD`, weight `D`, bias `D`; f32 inside, rounded once.
    Example: `%y = fleet.layer_norm ins(%x, %w, %b : tensor<2x8xf32>, tensor<8xf32>, tensor<8xf32>) outs(%e : tensor<2x8xf32>) {eps = 1.0e-5 : f64} -> tensor<2x8xf32>`
  }];
  let arguments = (ins Variadic<AnyShaped>:$inputs, Variadic<AnyShaped>:$outputs, F64Attr:$eps);
}
def Fleet_RopeOp : Fleet_NamedOp<"rope"> {
  let summary = "rotary position embedding, halves form";
  let description = [{
    Inputs x `TxHxD`, cos `TxR`, sin `TxR`, R even and at most D. For d < R:
    `x[d] * cos[d] + (d < R/2 ? -x[d + R/2] : x[d - R/2]) * sin[d]`, rest unchanged. Each product
    and the sum are rounded to the storage type.
    Example: `%y = fleet.rope ins(%x, %c, %s : tensor<2x4x8xf32>, tensor<2x8xf32>, tensor<2x8xf32>) outs(%e : tensor<2x4x8xf32>) -> tensor<2x4x8xf32>`
  }];
  let arguments = (ins Variadic<AnyShaped>:$inputs, Variadic<AnyShaped>:$outputs);
}
def Fleet_AttentionOp : Fleet_NamedOp<"attention"> {
  let summary = "causal attention with its cache, updated in place";
  let description = [{
    Inputs q `TxHxD`, k `TxGxD`, v `TxGxD`, slots `Txi32`, positions `Txi32`, k and v
    caches (memrefs `RxGxSxD`), H a multiple of G. First the keys and values of
    all rows with slot >= 0 are stored at (slot, head, position); then each such
    row attends to positions 0..position of its slot, softmax in f32. A row with
    slot < 0 gives zeros. As a tile: heads of the caches start at `head`.
    Example: `%y = fleet.attention ins(%q, %k, %v, %s, %p, %kc, %vc : tensor<1x4x8xf32>, tensor<1x2x8xf32>, tensor<1x2x8xf32>, tensor<1xi32>, tensor<1xi32>, memref<1x2x16x8xf32>, memref<1x2x16x8xf32>) outs(%e : tensor<1x4x8xf32>) {scale = 0.35 : f64} -> tensor<1x4x8xf32>`
  }];
  let arguments = (ins Variadic<AnyShaped>:$inputs, Variadic<AnyShaped>:$outputs, F64Attr:$scale);
}
def Fleet_ArgmaxOp : Fleet_NamedOp<"argmax"> {
  let summary = "index of the greatest element of each row, the first of equals";
  let description = [{
    Input `OxV`, output `Oxi32`.
    Example: `%y = fleet.argmax ins(%x : tensor<2x8xf32>) outs(%e : tensor<2xi32>) -> tensor<2xi32>`
  }];
  let arguments = (ins Variadic<AnyShaped>:$inputs, Variadic<AnyShaped>:$outputs);
}

//===----------------------------------------------------------------------===//
// Tasks
//===----------------------------------------------------------------------===//

def Fleet_TaskOp : Fleet_Op<"task", [SingleBlock, NoTerminator, NoRegionArguments]> {
  let summary = "a device task: a body applied to operands";
  let description = [{
    Runs `body` (a function) on the operands. Before the memory phase it has one
    tensor result; after it the result is the last operand. `chiplets` cuts the
    tiles of its partition into `fleet.chiplet_task`s, which cover every tile once.
    Example:
    ```mlir
    %y = fleet.task 0 @task_0(%x) : (tensor<1x8xf32>) -> tensor<1x8xf32>
    ```
  }];
  let arguments = (ins I64Attr:$id, FlatSymbolRefAttr:$body, Variadic<AnyType>:$operands,
      OptionalAttr<Fleet_PartitionAttr>:$partition, OptionalAttr<Fleet_TraversalAttr>:$traversal,
      OptionalAttr<DenseI64ArrayAttr>:$waits);
  let results = (outs Variadic<AnyRankedTensor>:$results);
  let regions = (region AnyRegion:$chiplets);
  let assemblyFormat = [{$id $body `(` $operands `)` (`partition` $partition^)? (`traversal` $traversal^)?
    (`waits` $waits^)? attr-dict `:` functional-type($operands, $results) (`into` $chiplets^)?}];
  let hasVerifier = 1;
  let hasRegionVerifier = 1;
}

def Fleet_ChipletTaskOp : Fleet_Op<"chiplet_task",
    [SingleBlock, NoTerminator, NoRegionArguments, HasParent<"TaskOp">]> {
  let summary = "the part of a task bound to one chiplet: tiles [lo, hi)";
  let description = "Example: `fleet.chiplet_task on 3 tiles 12 to 24 into { fleet.cu_task on 0 tiles 12 to 24 }`";
  let arguments = (ins I64Attr:$chiplet, I64Attr:$lo, I64Attr:$hi);
  let regions = (region AnyRegion:$cus);
  let assemblyFormat = "`on` $chiplet `tiles` $lo `to` $hi attr-dict (`into` $cus^)?";
  let hasVerifier = 1;
  let hasRegionVerifier = 1;
}

def Fleet_CuTaskOp : Fleet_Op<"cu_task", [HasParent<"ChipletTaskOp">]> {
  let summary = "the part of a chiplet task bound to one worker: tiles [lo, hi)";
  let description = "Example: see `fleet.chiplet_task`.";
  let arguments = (ins I64Attr:$worker, I64Attr:$lo, I64Attr:$hi);
  let assemblyFormat = "`on` $worker `tiles` $lo `to` $hi attr-dict";
  let hasVerifier = 1;
}

def Fleet_BufferOp : Fleet_Op<"buffer", [Pure]> {
  let summary = "a buffer at a fixed place in an arena";
  let description = [{
    Arena: params, state, work, input or output; offset in bytes, a multiple of 64.
    Example: `%b = fleet.buffer "work" offset 128 : memref<4x8xf32, #fleet.mem<hbm>>`
  }];
  let arguments = (ins StrAttr:$arena, I64Attr:$offset);
  let results = (outs AnyMemRef:$result);
  let assemblyFormat = "$arena `offset` $offset attr-dict `:` type($result)";
  let hasVerifier = 1;
}

def Fleet_QueueOp : Fleet_Op<"queue"> {
  let summary = "the static queue of one worker";
  let description = [{
    Device tasks (by id) in the order in which the worker runs its part of them.
    Example: `fleet.queue chiplet 0 worker 1 [0, 1, 2]`
  }];
  let arguments = (ins I64Attr:$chiplet, I64Attr:$worker, DenseI64ArrayAttr:$tasks);
  let assemblyFormat = "`chiplet` $chiplet `worker` $worker $tasks attr-dict";
  let hasVerifier = 1;
}

//===----------------------------------------------------------------------===//
// Inside the persistent kernel
//===----------------------------------------------------------------------===//

def Fleet_ChipletIdOp : Fleet_Op<"chiplet_id", [Pure]> {
  let summary = "the chiplet that runs this workgroup, read from the hardware";
  let description = "Example: `%c = fleet.chiplet_id : index`";
  let results = (outs Index:$result);
  let assemblyFormat = "attr-dict `:` type($result)";
}
def Fleet_WorkerRankOp : Fleet_Op<"worker_rank", [Pure]> {
  let summary = "the rank of this workgroup in its chiplet";
  let description = "Example: `%r = fleet.worker_rank : index`";
  let results = (outs Index:$result);
  let assemblyFormat = "attr-dict `:` type($result)";
}
def Fleet_WaitOp : Fleet_Op<"wait", [MemoryEffects<[MemRead, MemWrite]>]> {
  let summary = "wait until a counter has reached a value, then acquire";
  let description = [{
    Returns when `counters[index] >= target`; what its signals published at the
    scope is then visible.
    Example: `fleet.wait #fleet.scope<device> %c[%i] >= %t : memref<8xi32>`
  }];
  let arguments = (ins Fleet_TaskScopeAttr:$scope, MemRefOf<[I32]>:$counters, Index:$index, I32:$target);
  let assemblyFormat = "$scope $counters `[` $index `]` `>` `=` $target attr-dict `:` type($counters)";
  let hasVerifier = 1;
}
def Fleet_SignalOp : Fleet_Op<"signal", [MemoryEffects<[MemRead, MemWrite]>]> {
  let summary = "release at a scope, then add 1 to a counter";
  let description = [{
    Returns the counter's new value.
    Example: `%n = fleet.signal #fleet.scope<chiplet> %c[%i] : memref<8xi32>`
  }];
  let arguments = (ins Fleet_TaskScopeAttr:$scope, MemRefOf<[I32]>:$counters, Index:$index);
  let results = (outs I32:$result);
  let assemblyFormat = "$scope $counters `[` $index `]` attr-dict `:` type($counters)";
  let hasVerifier = 1;
}

//===----------------------------------------------------------------------===//
// The package
//===----------------------------------------------------------------------===//

def Fleet_PackageOp : Fleet_Op<"package"> {
  let summary = "what the packager needs: entry point, format, arenas, weights";
  let description = [{
    Example: `fleet.package @fleet_step {format = "embedded-elf", manifest = {}}`
  }];
  let arguments = (ins FlatSymbolRefAttr:$entry, StrAttr:$format, DictionaryAttr:$manifest);
  let assemblyFormat = "$entry attr-dict";
}

#endif // FLEET_IR_FLEETOPS_TD
