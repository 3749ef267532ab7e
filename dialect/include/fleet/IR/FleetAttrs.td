#ifndef FLEET_IR_FLEETATTRS_TD
#define FLEET_IR_FLEETATTRS_TD

include "fleet/IR/FleetDialect.td"
include "fleet/IR/FleetInterfaces.td"
include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/EnumAttr.td"

def Fleet_TaskScope : I32EnumAttr<"TaskScope", "who runs a task",
    [I32EnumAttrCase<"Wavefront", 0, "wavefront">, I32EnumAttrCase<"Cu", 1, "cu">,
     I32EnumAttrCase<"Chiplet", 2, "chiplet">, I32EnumAttrCase<"Device", 3, "device">]> {
  let cppNamespace = "::mlir::fleet";
  let genSpecializedAttr = 0;
}
def Fleet_MemoryScope : I32EnumAttr<"MemoryScope", "where a value is coherent",
    [I32EnumAttrCase<"Registers", 0, "registers">, I32EnumAttrCase<"Lds", 1, "lds">,
     I32EnumAttrCase<"L2", 2, "l2">, I32EnumAttrCase<"Hbm", 3, "hbm">]> {
  let cppNamespace = "::mlir::fleet";
  let genSpecializedAttr = 0;
}
def Fleet_Traversal : I32EnumAttr<"Traversal", "order of a task's tiles",
    [I32EnumAttrCase<"NMajor", 0, "n_major">, I32EnumAttrCase<"MMajor", 1, "m_major">,
     I32EnumAttrCase<"FullM", 2, "full_m">, I32EnumAttrCase<"Windowed", 3, "windowed">]> {
  let cppNamespace = "::mlir::fleet";
  let genSpecializedAttr = 0;
}
def Fleet_PartitionKind : I32EnumAttr<"PartitionKind", "how a task is cut over chiplets",
    [I32EnumAttrCase<"Columns", 0, "columns">, I32EnumAttrCase<"Heads", 1, "heads">,
     I32EnumAttrCase<"Whole", 2, "whole">, I32EnumAttrCase<"Rows", 3, "rows">,
     I32EnumAttrCase<"Replicated", 4, "replicated">]> {
  let cppNamespace = "::mlir::fleet";
  let genSpecializedAttr = 0;
}
def Fleet_Backend : I32EnumAttr<"Backend", "code generator of a target",
    [I32EnumAttrCase<"LLVM", 0, "llvm">, I32EnumAttrCase<"ROCDL", 1, "rocdl">,
     I32EnumAttrCase<"NVVM", 2, "nvvm">]> {
  let cppNamespace = "::mlir::fleet";
  let genSpecializedAttr = 0;
}

class Fleet_Attr<string name, string attrMnemonic, list<Trait> traits = []>
    : AttrDef<Fleet_Dialect, name, traits> {
  let mnemonic = attrMnemonic;
}

def Fleet_TaskScopeAttr : Fleet_Attr<"TaskScope", "scope",
    [DeclareAttrInterfaceMethods<Fleet_TaskScopeInterface>]> {
  let summary = "task scope";
  let description = [{
    Who runs a task: `wavefront`, `cu`, `chiplet` or `device`, each contained in
    the next.

    Example:
    ```mlir
    #fleet.scope<chiplet>
    ```
  }];
  let parameters = (ins EnumParameter<Fleet_TaskScope>:$value);
  let assemblyFormat = "`<` $value `>`";
}
def Fleet_MemoryScopeAttr : Fleet_Attr<"MemoryScope", "mem",
    [DeclareAttrInterfaceMethods<Fleet_MemoryScopeInterface>]> {
  let summary = "memory scope";
  let description = [{
    The memory in which a value is coherent, as a memory space: `registers`, `lds`,
    `l2` or `hbm`.

    Example:
    ```mlir
    memref<4xf32, #fleet.mem<lds>>
    ```
  }];
  let parameters = (ins EnumParameter<Fleet_MemoryScope>:$value);
  let assemblyFormat = "`<` $value `>`";
}
def Fleet_PartitionAttr : Fleet_Attr<"Partition", "partition"> {
  let summary = "how a task's tiles are cut over chiplets";
  let description = [{
    The kind, the number of tiles, and the result columns of a tile (for `heads`:
    the query heads of a kv head). A `whole` task has one tile.

    `rows` cuts the contracted dimension in `splits` equal slices. The result has
    the partial sums of all slices side by side, and of `tiles` tiles the first
    `tiles / splits` are those of the first slice, and so on. Of a `replicated`
    task every chiplet that takes part runs all tiles, into a result of its own.

    Example:
    ```mlir
    #fleet.partition<columns, tiles = 9, size = 64>
    #fleet.partition<rows, tiles = 16, size = 64, splits = 2>
    ```
  }];
  let parameters = (ins EnumParameter<Fleet_PartitionKind>:$kind, "int64_t":$tiles, "int64_t":$size,
      DefaultValuedParameter<"int64_t", "1">:$splits);
  let assemblyFormat = "`<` $kind `,` `tiles` `=` $tiles `,` `size` `=` $size (`,` `splits` `=` $splits^)? `>`";
  let genVerifyDecl = 1;
}
def Fleet_TraversalAttr : Fleet_Attr<"Traversal", "traversal"> {
  let summary = "order in which a worker walks its tiles";
  let description = [{
    `m_major`: the row tiles of one column tile run together, so that its weights
    are reused; `n_major`: the column tiles of one row tile run together; `windowed`:
    as `m_major`, for `window` row tiles at a time; `full_m`: a tile takes all rows at
    once, so that a weight byte is fetched once. `rows` is the height of a row tile.

    Example:
    ```mlir
    #fleet.traversal<full_m>
    #fleet.traversal<windowed, rows = 16, window = 4>
    ```
  }];
  let parameters = (ins EnumParameter<Fleet_Traversal>:$value, DefaultValuedParameter<"int64_t", "0">:$rows,
      DefaultValuedParameter<"int64_t", "0">:$window);
  let builders = [AttrBuilder<(ins "Traversal":$value), [{ return $_get($_ctxt, value, 0, 0); }]>];
  let assemblyFormat = "`<` $value (`,` `rows` `=` $rows^)? (`,` `window` `=` $window^)? `>`";
  let genVerifyDecl = 1;
}
def Fleet_TargetAttr : Fleet_Attr<"Target", "target"> {
  let summary = "the facts of a chip";
  let description = [{
    Every chip fact stands here and nowhere else. Sizes in bytes, bandwidth in
    GB/s. `tile` is the number of result columns of a contraction's tile.
    `fleet-set-target` attaches a predefined one (gfx950, gfx942, sm_90a, cpu);
    any other may be written out for study.

    What decides how many workgroups are resident is optional: compute units of a
    chiplet, SIMDs of a unit, 32-bit registers of a lane that the waves of a SIMD
    share, and waves that a SIMD holds. Without it nothing of this is checked.

    Example:
    ```mlir
    #fleet.target<"cpu", backend = llvm, chiplets = 8, workers = 4, lds = 1048576,
                  l2 = 4194304, hbm_gbs = 16, tile = 64>
    #fleet.target<"study", backend = rocdl, chiplets = 8, workers = 32, lds = 163840, l2 = 4194304,
                  hbm_gbs = 8000, tile = 16, units = 32, simds = 4, registers = 512, waves = 8>
    ```
  }];
  let parameters = (ins StringRefParameter<>:$name, EnumParameter<Fleet_Backend>:$backend,
      "int64_t":$chiplets, "int64_t":$workers, "int64_t":$lds, "int64_t":$l2,
      "int64_t":$hbmGbs, "int64_t":$tile,
      DefaultValuedParameter<"int64_t", "0">:$units, DefaultValuedParameter<"int64_t", "0">:$simds,
      DefaultValuedParameter<"int64_t", "0">:$registers, DefaultValuedParameter<"int64_t", "0">:$waves);
  let assemblyFormat = [{`<` $name `,` `backend` `=` $backend `,` `chiplets` `=` $chiplets `,`
    `workers` `=` $workers `,` `lds` `=` $lds `,` `l2` `=` $l2 `,` `hbm_gbs` `=` $hbmGbs `,`
    `tile` `=` $tile (`,` `units` `=` $units^ `,` `simds` `=` $simds `,` `registers` `=` $registers `,`
    `waves` `=` $waves)? `>`}];
  let genVerifyDecl = 1;
}

#endif // FLEET_IR_FLEETATTRS_TD
