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
    params arena) are set by the tiles and the memory phase. With `splits` S a
    stored matrix `NxK` is `(S N)x(K / S)` here: its S slices of columns stand one
    above the other.

    Example:
    ```mlir
    %w = fleet.param ["q.weight", "k.weight"] : tensor<96x64xbf16>
    ```
  }];
  let arguments = (ins StrArrayAttr:$names, OptionalAttr<I64Attr>:$pack, OptionalAttr<I64Attr>:$offset,
      OptionalAttr<I64Attr>:$splits);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$names (`splits` $splits^)? (`pack` $pack^)? (`offset` $offset^)? attr-dict `:` type($result)";
  let builders = [OpBuilder<(ins "Type":$type, "ArrayAttr":$names, "IntegerAttr":$pack, "IntegerAttr":$offset), [{
    build($_builder, $_state, type, names, pack, offset, IntegerAttr());
  }]>];
  let hasVerifier = 1;
}

def Fleet_StateOp : Fleet_Op<"state", [Pure]> {
  let summary = "state of the device that lives from step to step";
  let description = [{
    A cache of one layer, `[slot, kv head, position, head dim]`; a buffer, not a
    value, since the step updates it in place.

    Example:
    ```mlir
    %k = fleet.state "k_cache" layer 3 : memref<2x8x512x64xbf16, #fleet.mem<hbm>>
    ```
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

    Example:
    ```mlir
    func.func @rows(%table: tensor<9x8xf32>, %indices: tensor<2xi32>, %out: tensor<2x8xf32>) -> tensor<2x8xf32> {
      %y = fleet.gather ins(%table, %indices : tensor<9x8xf32>, tensor<2xi32>)
          outs(%out : tensor<2x8xf32>) -> tensor<2x8xf32>
      return %y : tensor<2x8xf32>
    }
    ```
  }];
  let arguments = (ins Variadic<AnyShaped>:$inputs, Variadic<AnyShaped>:$outputs);
}
def Fleet_RmsNormOp : Fleet_NamedOp<"rms_norm"> {
  let summary = "root mean square normalisation of the last dimension";
  let description = [{
    Inputs x `...xD` and weight `D`; f32 inside, rounded once to
    the element type of the output, which may differ from that of x.

    Example:
    ```mlir
    func.func @norm(%x: tensor<2x8xf32>, %weight: tensor<8xf32>, %out: tensor<2x8xf32>) -> tensor<2x8xf32> {
      %y = fleet.rms_norm ins(%x, %weight : tensor<2x8xf32>, tensor<8xf32>)
          outs(%out : tensor<2x8xf32>) {eps = 1.0e-5 : f64} -> tensor<2x8xf32>
      return %y : tensor<2x8xf32>
    }
    ```
  }];
  let arguments = (ins Variadic<AnyShaped>:$inputs, Variadic<AnyShaped>:$outputs, F64Attr:$eps);
}
def Fleet_LayerNormOp : Fleet_NamedOp<"layer_norm"> {
  let summary = "layer normalisation of the last dimension";
  let description = [{
    Inputs x `...xD`, weight `D`, bias `D`; f32 inside, rounded once.

    Example:
    ```mlir
    func.func @norm(%x: tensor<2x8xf32>, %weight: tensor<8xf32>, %bias: tensor<8xf32>,
                    %out: tensor<2x8xf32>) -> tensor<2x8xf32> {
      %y = fleet.layer_norm ins(%x, %weight, %bias : tensor<2x8xf32>, tensor<8xf32>, tensor<8xf32>)
          outs(%out : tensor<2x8xf32>) {eps = 1.0e-5 : f64} -> tensor<2x8xf32>
      return %y : tensor<2x8xf32>
    }
    ```
  }];
  let arguments = (ins Variadic<AnyShaped>:$inputs, Variadic<AnyShaped>:$outputs, F64Attr:$eps);
}
def Fleet_RopeOp : Fleet_NamedOp<"rope"> {
  let summary = "rotary position embedding, halves form";
  let description = [{
    Inputs x `TxHxD`, cos `TxR`, sin `TxR`, R even and at most D. For d < R:
    `x[d] * cos[d] + (d < R/2 ? -x[d + R/2] : x[d - R/2]) * sin[d]`, rest unchanged.
    f32 inside, rounded once; cos and sin may be wider than x.

    Example:
    ```mlir
    func.func @rotate(%x: tensor<2x4x8xf32>, %cos: tensor<2x8xf32>, %sin: tensor<2x8xf32>,
                      %out: tensor<2x4x8xf32>) -> tensor<2x4x8xf32> {
      %y = fleet.rope ins(%x, %cos, %sin : tensor<2x4x8xf32>, tensor<2x8xf32>, tensor<2x8xf32>)
          outs(%out : tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
      return %y : tensor<2x4x8xf32>
    }
    ```
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
    slot < 0 gives zeros. Tiled by heads; a tile takes whole groups of query heads
    and its slice of the caches.

    Example:
    ```mlir
    func.func @attend(%q: tensor<1x4x8xf32>, %k: tensor<1x2x8xf32>, %v: tensor<1x2x8xf32>,
                      %slots: tensor<1xi32>, %positions: tensor<1xi32>,
                      %keys: memref<1x2x16x8xf32, #fleet.mem<hbm>>,
                      %values: memref<1x2x16x8xf32, #fleet.mem<hbm>>, %out: tensor<1x4x8xf32>) -> tensor<1x4x8xf32> {
      %y = fleet.attention ins(%q, %k, %v, %slots, %positions, %keys, %values
          : tensor<1x4x8xf32>, tensor<1x2x8xf32>, tensor<1x2x8xf32>, tensor<1xi32>,
            tensor<1xi32>, memref<1x2x16x8xf32, #fleet.mem<hbm>>, memref<1x2x16x8xf32, #fleet.mem<hbm>>)
          outs(%out : tensor<1x4x8xf32>) {scale = 0.35 : f64} -> tensor<1x4x8xf32>
      return %y : tensor<1x4x8xf32>
    }
    ```
  }];
  let arguments = (ins Variadic<AnyShaped>:$inputs, Variadic<AnyShaped>:$outputs, F64Attr:$scale);
}
def Fleet_AttentionPartialOp : Fleet_NamedOp<"attention_partial"> {
  let summary = "causal attention over parts of the context, to be merged";
  let description = [{
    Inputs as of `fleet.attention`. The context C of the caches is cut into `parts`
    parts of ceil(C / parts) positions; result `[G * parts] x T x (H / G) x (D + 4)`
    f32: at (g * parts + p, t, h) the values of part p of key/value head g weighted by
    exp(score - m), then m, the greatest score, and the sum of the weights (2
    elements are padding). Part p stores the keys and values of the rows that stand
    in it before it reads them. Tiled by the first dimension; a tile names its part
    and takes its slices of the inputs.

    With `dealt = B` the parts are no ranges: the context is dealt to them in blocks of B
    positions. Block b (the positions bB to bB + B - 1) is of part b mod `parts`. So all
    parts have as much to read, but for a block, wherever the rows stand.

    With `row_groups = R` rows are dealt, too: row t is of row group t mod R, and there is
    a tile for each row group of a part of a head. Tile i is row group i div `parts` mod R
    of part i mod `parts`, of head i div (R * `parts`); it names its row group behind
    `rows`, and writes the rows of that group alone. It stores all keys and values of this
    step that it reads: where rows of several groups are of one slot they all store the
    same bytes.

    With `rotate` queries and keys come as their contraction has left them: each head of both is
    rotated by its row's cosines and sines (`TxD` each), as by `fleet.rope`, and before that, with
    `norm`, normed with the weights of queries and of keys (`D` each), as by `fleet.rms_norm` with
    `eps`; f32 in between. A tile does so for the rows it reads and stores.

    Example:
    ```mlir
    func.func @attend(%q: tensor<1x4x8xf32>, %k: tensor<1x2x8xf32>, %v: tensor<1x2x8xf32>,
                      %slots: tensor<1xi32>, %positions: tensor<1xi32>,
                      %keys: memref<1x2x16x8xf32, #fleet.mem<hbm>>,
                      %values: memref<1x2x16x8xf32, #fleet.mem<hbm>>, %out: tensor<8x1x2x12xf32>) -> tensor<8x1x2x12xf32> {
      %y = fleet.attention_partial ins(%q, %k, %v, %slots, %positions, %keys, %values
          : tensor<1x4x8xf32>, tensor<1x2x8xf32>, tensor<1x2x8xf32>, tensor<1xi32>,
            tensor<1xi32>, memref<1x2x16x8xf32, #fleet.mem<hbm>>, memref<1x2x16x8xf32, #fleet.mem<hbm>>)
          outs(%out : tensor<8x1x2x12xf32>) {parts = 4 : i64, scale = 0.35 : f64} -> tensor<8x1x2x12xf32>
      return %y : tensor<8x1x2x12xf32>
    }
    ```
  }];
  let arguments = (ins Variadic<AnyShaped>:$inputs, Optional<Index>:$part, Optional<Index>:$row_group,
      Variadic<AnyShaped>:$angles, Variadic<AnyShaped>:$weights, Variadic<AnyShaped>:$outputs, F64Attr:$scale,
      I64Attr:$parts, OptionalAttr<I64Attr>:$dealt, DefaultValuedAttr<I64Attr, "1">:$row_groups,
      OptionalAttr<F64Attr>:$eps);
  let assemblyFormat = [{(`part` $part^)? (`rows` $row_group^)? `ins` `(` $inputs `:` type($inputs) `)`
    (`rotate` `(` $angles^ `:` type($angles) `)`)? (`norm` `(` $weights^ `:` type($weights) `)`)?
    `outs` `(` $outputs `:` type($outputs) `)` attr-dict (`->` type($results)^)?}];
}
def Fleet_AttentionMergeOp : Fleet_NamedOp<"attention_merge"> {
  let summary = "merges the parts of fleet.attention_partial";
  let description = [{
    Input `[G * parts] x T x (H / G) x (D + 4)` f32, output `TxHxD`. Rows whose parts
    have no weight, those with slot < 0, give zeros. Parts are added in their order. Tiled by heads; a tile takes
    whole groups of query heads or a part of one that divides it, all rows; with `by_rows`
    a group of one row, tile t being row t mod T of key/value head t div T, or of as
    many rows, a divisor of T, as the tile is wide.

    Example:
    ```mlir
    func.func @merge(%x: tensor<8x1x2x12xf32>, %out: tensor<1x4x8xbf16>) -> tensor<1x4x8xbf16> {
      %y = fleet.attention_merge ins(%x : tensor<8x1x2x12xf32>) outs(%out : tensor<1x4x8xbf16>)
          {parts = 4 : i64} -> tensor<1x4x8xbf16>
      return %y : tensor<1x4x8xbf16>
    }
    ```
  }];
  let arguments = (ins Variadic<AnyShaped>:$inputs, Variadic<AnyShaped>:$outputs, I64Attr:$parts, UnitAttr:$by_rows);
}
def Fleet_ArgmaxOp : Fleet_NamedOp<"argmax"> {
  let summary = "index of the greatest element of each row, the first of equals";
  let description = [{
    Input `OxV`, output `Oxi32`; 2147483647 where all are NaN.

    Example:
    ```mlir
    func.func @greedy(%x: tensor<2x8xf32>, %out: tensor<2xi32>) -> tensor<2xi32> {
      %y = fleet.argmax ins(%x : tensor<2x8xf32>)
          outs(%out : tensor<2xi32>) -> tensor<2xi32>
      return %y : tensor<2xi32>
    }
    ```
  }];
  let arguments = (ins Variadic<AnyShaped>:$inputs, Variadic<AnyShaped>:$outputs);
}
def Fleet_ArgmaxPartialOp : Fleet_NamedOp<"argmax_partial"> {
  let summary = "greatest elements of parts of each row, to be merged";
  let description = [{
    Input x `OxV`. Part p is the `width` columns from min(p * width, V - width) on, so that the
    last may overlap the one before; there are P = ceil(V / width). Result `P x 2 x S` i32, S >= O,
    at (p, 0, r) the bits (f32) of the greatest element of row r in part p, at (p, 1, r) its column,
    the first of equals. Minus infinity and 2147483647 where all are NaN. Elements from O on are
    padding. Tiled by the first dimension; a tile names its first column and takes its slice of x.

    Example:
    ```mlir
    func.func @greedy(%x: tensor<2x40xf32>, %out: tensor<3x2x8xi32>) -> tensor<3x2x8xi32> {
      %y = fleet.argmax_partial ins(%x : tensor<2x40xf32>)
          outs(%out : tensor<3x2x8xi32>) {width = 16 : i64} -> tensor<3x2x8xi32>
      return %y : tensor<3x2x8xi32>
    }
    ```
  }];
  let arguments = (ins Variadic<AnyShaped>:$inputs, Optional<Index>:$first, Variadic<AnyShaped>:$outputs,
      I64Attr:$width);
  let assemblyFormat = [{(`from` $first^)? `ins` `(` $inputs `:` type($inputs) `)`
    `outs` `(` $outputs `:` type($outputs) `)` attr-dict (`->` type($results)^)?}];
}
def Fleet_ArgmaxMergeOp : Fleet_NamedOp<"argmax_merge"> {
  let summary = "merges the parts of fleet.argmax_partial";
  let description = [{
    Input `P x 2 x S` i32, output `Oxi32`, O at most S: the column of the greatest of P values, the
    lowest of equals.

    Example:
    ```mlir
    func.func @greedy(%x: tensor<3x2x8xi32>, %out: tensor<2xi32>) -> tensor<2xi32> {
      %y = fleet.argmax_merge ins(%x : tensor<3x2x8xi32>)
          outs(%out : tensor<2xi32>) -> tensor<2xi32>
      return %y : tensor<2xi32>
    }
    ```
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
    tiles of its partition into `fleet.chiplet_task`s, which cover every tile once
    (of a `replicated` partition: once on each chiplet). A chiplet may have several,
    in rising order. `waits` are the ids of earlier tasks whose results it needs, at
    device scope. `chiplet_waits` are those of which the part on a chiplet needs
    nothing but the results of the same chiplet, at chiplet scope.

    Example:
    ```mlir
    module attributes {fleet.target = #fleet.target<"study", backend = llvm, chiplets = 2, workers = 2,
        lds = 65536, l2 = 4194304, hbm_gbs = 100, tile = 16>} {
      func.func @step() {
        %x = fleet.buffer "work" offset 0 : memref<1x64xf32, #fleet.mem<hbm>>
        %y = fleet.buffer "work" offset 256 : memref<1x64xf32, #fleet.mem<hbm>>
        fleet.task 3 @task_1(%x, %y) partition <columns, tiles = 4, size = 16> traversal <full_m>
            waits [0, 2] : (memref<1x64xf32, #fleet.mem<hbm>>, memref<1x64xf32, #fleet.mem<hbm>>) -> () into {
          fleet.chiplet_task on 0 tiles 0 to 2 into {
            fleet.cu_task on 0 tiles 0 to 1
            fleet.cu_task on 1 tiles 1 to 2
          }
          fleet.chiplet_task on 1 tiles 2 to 4 into {
            fleet.cu_task on 0 tiles 2 to 4
          }
        }
        return
      }
    }
    ```
  }];
  let arguments = (ins I64Attr:$id, FlatSymbolRefAttr:$body, Variadic<AnyType>:$operands,
      OptionalAttr<Fleet_PartitionAttr>:$partition, OptionalAttr<Fleet_TraversalAttr>:$traversal,
      OptionalAttr<DenseI64ArrayAttr>:$waits, OptionalAttr<DenseI64ArrayAttr>:$chipletWaits);
  let results = (outs Variadic<AnyRankedTensor>:$results);
  let regions = (region AnyRegion:$chiplets);
  let assemblyFormat = [{$id $body `(` $operands `)` (`partition` $partition^)? (`traversal` $traversal^)?
    (`waits` $waits^)? (`chiplet_waits` $chipletWaits^)? attr-dict `:` functional-type($operands, $results) (`into` $chiplets^)?}];
  let hasVerifier = 1;
  let hasRegionVerifier = 1;
}

def Fleet_ChipletTaskOp : Fleet_Op<"chiplet_task",
    [SingleBlock, NoTerminator, NoRegionArguments, HasParent<"TaskOp">]> {
  let summary = "the part of a task bound to one chiplet: tiles [lo, hi)";
  let description = [{
    `cus` cuts the tiles further into `fleet.cu_task`s, which cover the range once,
    in order. A chiplet may have several of one task, as it has columns of Q, K and
    V of one contraction.

    Example:
    ```mlir
    func.func @step(%x: tensor<1x64xf32>) -> tensor<1x64xf32> {
      %y = fleet.task 0 @task_0(%x) partition <columns, tiles = 4, size = 16>
          : (tensor<1x64xf32>) -> tensor<1x64xf32> into {
        fleet.chiplet_task on 0 tiles 0 to 1
        fleet.chiplet_task on 3 tiles 1 to 4
      }
      return %y : tensor<1x64xf32>
    }
    ```
  }];
  let arguments = (ins I64Attr:$chiplet, I64Attr:$lo, I64Attr:$hi);
  let regions = (region AnyRegion:$cus);
  let assemblyFormat = "`on` $chiplet `tiles` $lo `to` $hi attr-dict (`into` $cus^)?";
  let hasVerifier = 1;
  let hasRegionVerifier = 1;
}

def Fleet_CuTaskOp : Fleet_Op<"cu_task", [HasParent<"ChipletTaskOp">]> {
  let summary = "the part of a chiplet task bound to one worker: tiles [lo, hi)";
  let description = [{
    What one workgroup runs at a time: an entry of its worker's queue.

    Example:
    ```mlir
    func.func @step(%x: tensor<1x64xf32>) -> tensor<1x64xf32> {
      %y = fleet.task 0 @task_0(%x) partition <columns, tiles = 4, size = 16>
          : (tensor<1x64xf32>) -> tensor<1x64xf32> into {
        fleet.chiplet_task on 0 tiles 0 to 4 into {
          fleet.cu_task on 0 tiles 0 to 2
          fleet.cu_task on 7 tiles 2 to 4
        }
      }
      return %y : tensor<1x64xf32>
    }
    ```
  }];
  let arguments = (ins I64Attr:$worker, I64Attr:$lo, I64Attr:$hi);
  let assemblyFormat = "`on` $worker `tiles` $lo `to` $hi attr-dict";
  let hasVerifier = 1;
}

def Fleet_BufferOp : Fleet_Op<"buffer", [Pure]> {
  let summary = "a buffer at a fixed place in an arena";
  let description = [{
    Arena: params, state, work, input or output; offset in bytes, a multiple of 64.
    A buffer in l2 scope has an instance for each chiplet, that of chiplet c at
    `offset + c * chiplet_stride`.

    Example:
    ```mlir
    %b = fleet.buffer "work" offset 128 : memref<4x8xf32, #fleet.mem<hbm>>
    %c = fleet.buffer "work" offset 256 chiplet_stride 128 : memref<4x8xf32, #fleet.mem<l2>>
    ```
  }];
  let arguments = (ins StrAttr:$arena, I64Attr:$offset, OptionalAttr<I64Attr>:$chipletStride);
  let results = (outs AnyMemRef:$result);
  let assemblyFormat = "$arena `offset` $offset (`chiplet_stride` $chipletStride^)? attr-dict `:` type($result)";
  let hasVerifier = 1;
}

def Fleet_QueueOp : Fleet_Op<"queue"> {
  let summary = "the static queue of one worker";
  let description = [{
    Device tasks (by id) in the order in which the worker runs its part of them. A
    task of which it has several parts stands there once for each.

    Example:
    ```mlir
    fleet.queue chiplet 0 worker 1 [0, 1, 2]
    ```
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
  let description = [{
    Never inferred from the number of the workgroup.

    Example:
    ```mlir
    %chiplet = fleet.chiplet_id : index
    ```
  }];
  let results = (outs Index:$result);
  let assemblyFormat = "attr-dict `:` type($result)";
}
def Fleet_WorkerRankOp : Fleet_Op<"worker_rank", [Pure]> {
  let summary = "the rank of this workgroup in its chiplet";
  let description = [{
    From 0 to the target's workers of a chiplet, exclusive; no two workgroups of a
    chiplet have the same.

    Example:
    ```mlir
    %rank = fleet.worker_rank : index
    ```
  }];
  let results = (outs Index:$result);
  let assemblyFormat = "attr-dict `:` type($result)";
}
def Fleet_WaitOp : Fleet_Op<"wait", [MemoryEffects<[MemRead, MemWrite]>]> {
  let summary = "wait until a counter has reached a value, then acquire";
  let description = [{
    Returns when `counters[index] >= target`; what its signals published at the
    scope is then visible. Scopes: chiplet or device.

    Example:
    ```mlir
    func.func @wait(%counters: memref<8xi32>, %i: index, %target: i32) {
      fleet.wait <device> %counters[%i] >= %target : memref<8xi32>
      return
    }
    ```
  }];
  let arguments = (ins Fleet_TaskScopeAttr:$scope, MemRefOf<[I32]>:$counters, Index:$index, I32:$target);
  let assemblyFormat = "$scope $counters `[` $index `]` `>` `=` $target attr-dict `:` type($counters)";
  let hasVerifier = 1;
}
def Fleet_SignalOp : Fleet_Op<"signal", [MemoryEffects<[MemRead, MemWrite]>]> {
  let summary = "release at a scope, then add 1 to a counter";
  let description = [{
    Returns the counter's new value. Scopes: chiplet or device.

    Example:
    ```mlir
    func.func @signal(%counters: memref<8xi32>, %i: index) -> i32 {
      %n = fleet.signal <chiplet> %counters[%i] : memref<8xi32>
      return %n : i32
    }
    ```
  }];
  let arguments = (ins Fleet_TaskScopeAttr:$scope, MemRefOf<[I32]>:$counters, Index:$index);
  let results = (outs I32:$result);
  let assemblyFormat = "$scope $counters `[` $index `]` attr-dict `:` type($counters)";
  let hasVerifier = 1;
}

def Fleet_PublishOp : Fleet_Op<"publish"> {
  let summary = "store values as words that carry the number of the step";
  let description = [{
    A word is 4 bytes of `from`, one f32 or two bf16, and above them the number of the step, in
    one store of 8 bytes: who sees the number has the values. Nothing else is published by it.

    Example:
    ```mlir
    func.func @publish(%tile: memref<1x16xf32>, %words: memref<1x16xi64>) {
      fleet.publish %tile to %words : memref<1x16xf32>, memref<1x16xi64>
      return
    }
    ```
  }];
  let arguments = (ins Arg<MemRefOf<[F32, BF16]>, "", [MemRead]>:$from, Arg<MemRefOf<[I64]>, "", [MemWrite]>:$words);
  let assemblyFormat = "$from `to` $words attr-dict `:` type($from) `,` type($words)";
  let hasVerifier = 1;
}
def Fleet_ReceiveOp : Fleet_Op<"receive"> {
  let summary = "wait until words carry the number of the step, and take their values";
  let description = [{
    What `fleet.publish` has stored in this step. A wait that does not end gives up after the
    budget of a poll, and the walk of the queue says for which task.

    Example:
    ```mlir
    func.func @receive(%words: memref<1x8xi64>, %row: memref<1x16xbf16>) {
      fleet.receive %words to %row : memref<1x8xi64>, memref<1x16xbf16>
      return
    }
    ```
  }];
  let arguments = (ins Arg<MemRefOf<[I64]>, "", [MemRead]>:$words, Arg<MemRefOf<[F32, BF16]>, "", [MemWrite]>:$to);
  let assemblyFormat = "$words `to` $to attr-dict `:` type($words) `,` type($to)";
  let hasVerifier = 1;
}

def Fleet_TakeOp : Fleet_Op<"take"> {
  let summary = "a thread waits until its own words carry the number of the step";
  let description = [{
    The f32 of words next to each other, from the one at `indices` on: `fleet.receive`
    for what one thread needs alone. Threads may take different words, or none.

    Example:
    ```mlir
    func.func @take(%words: memref<1x8xi64>, %row: index, %at: index) -> vector<4xf32> {
      %x = fleet.take %words[%row, %at] : memref<1x8xi64>, vector<4xf32>
      return %x : vector<4xf32>
    }
    ```
  }];
  let arguments = (ins Arg<MemRefOf<[I64]>, "", [MemRead]>:$words, Variadic<Index>:$indices);
  let results = (outs VectorOfRankAndType<[1], [F32]>:$values);
  let assemblyFormat = "$words `[` $indices `]` attr-dict `:` type($words) `,` type($values)";
  let hasVerifier = 1;
}

//===----------------------------------------------------------------------===//
// A wave's ring of weights in LDS: `[slot][lane][16 bytes]`
//===----------------------------------------------------------------------===//

def Fleet_RingAskOp : Fleet_Op<"ring_ask", [MemoryEffects<[MemRead, MemWrite]>]> {
  let summary = "a wave asks for the weights of one slot of its ring";
  let description = [{
    All lanes of a wave together: 16 bytes a lane, in a row from the element of
    `source` at `indices`, are on their way to the slot. They are there when a
    `fleet.ring_wait` has counted them.

    Example:
    ```mlir
    func.func @ask(%ring: memref<8x64x8xbf16>, %slot: index, %weights: memref<4096xi8>, %at: index) {
      fleet.ring_ask %ring[%slot] from %weights[%at] : memref<8x64x8xbf16>, memref<4096xi8>
      return
    }
    ```
  }];
  let arguments = (ins MemRefRankOf<[AnyType], [3]>:$ring, Index:$slot, AnyMemRef:$source, Variadic<Index>:$indices);
  let assemblyFormat = "$ring `[` $slot `]` `from` $source `[` $indices `]` attr-dict `:` type($ring) `,` type($source)";
}

def Fleet_RingWaitOp : Fleet_Op<"ring_wait", [MemoryEffects<[MemRead, MemWrite]>]> {
  let summary = "wait until no more than so many asks of the wave are on their way";
  let description = [{
    Asks arrive in the order in which they were made.

    Example:
    ```mlir
    func.func @oldest() {
      fleet.ring_wait 4
      return
    }
    ```
  }];
  let arguments = (ins ConfinedAttr<I64Attr, [IntNonNegative]>:$left);
  let assemblyFormat = "$left attr-dict";
}

def Fleet_RingReadOp : Fleet_Op<"ring_read", [MemoryEffects<[MemRead]>]> {
  let summary = "a lane's part of a slot";
  let description = [{
    What the last ask for the slot brought, if it has been waited for.

    Example:
    ```mlir
    func.func @read(%ring: memref<8x64x8xbf16>, %slot: index) -> vector<8xbf16> {
      %0 = fleet.ring_read %ring[%slot] : memref<8x64x8xbf16>, vector<8xbf16>
      return %0 : vector<8xbf16>
    }
    ```
  }];
  let arguments = (ins MemRefRankOf<[AnyType], [3]>:$ring, Index:$slot);
  let results = (outs AnyVectorOfNonZeroRank:$result);
  let assemblyFormat = "$ring `[` $slot `]` attr-dict `:` type($ring) `,` type($result)";
}

//===----------------------------------------------------------------------===//
// The package
//===----------------------------------------------------------------------===//

def Fleet_PackageOp : Fleet_Op<"package"> {
  let summary = "what the packager needs: entry point, format, arenas, weights";
  let description = [{
    `entry` is the function that runs a step, `manifest` what a loader has to put
    where.

    Example:
    ```mlir
    fleet.package @fleet_step {format = "embedded-elf", manifest = {}}
    ```
  }];
  let arguments = (ins FlatSymbolRefAttr:$entry, StrAttr:$format, DictionaryAttr:$manifest);
  let assemblyFormat = "$entry attr-dict";
}

#endif // FLEET_IR_FLEETOPS_TD
