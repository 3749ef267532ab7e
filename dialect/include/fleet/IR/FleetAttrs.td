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
     I32EnumAttrCase<"FullM", 2, "full_m">]> {
  let cppNamespace = "::mlir::fleet";
  let genSpecializedAttr = 0;
}
def Fleet_PartitionKind : I32EnumAttr<"PartitionKind", "how a task is cut over chiplets",
    [I32EnumAttrCase<"Columns", 0, "columns">, I32EnumAttrCase<"Heads", 1, "heads">,
     I32EnumAttrCase<"Whole", 2, "whole">]> {
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

    Example:
    ```mlir
    #fleet.partition<columns, tiles = 9, size = 64>
    ```
  }];
  let parameters = (ins EnumParameter<Fleet_PartitionKind>:$kind, "int64_t":$tiles, "int64_t":$size);
  let assemblyFormat = "`<` $kind `,` `tiles` `=` $tiles `,` `size` `=` $size `>`";
  let genVerifyDecl = 1;
}
def Fleet_TraversalAttr : Fleet_Attr<"Traversal", "traversal"> {
  let summary = "order in which a worker walks its tiles";
  let description = [{
    `m_major`: the row tiles of one column tile run together, so that its weights
    are reused; `n_major`: the column tiles of one row tile run together; `full_m`:
    a tile takes all rows at once, so that a weight byte is fetched once.

    Example:
    ```mlir
    #fleet.traversal<full_m>
    ```
  }];
  let parameters = (ins EnumParameter<Fleet_Traversal>:$value);
  let assemblyFormat = "`<` $value `>`";
}
def Fleet_TargetAttr : Fleet_Attr<"Target", "target"> {
  let summary = "the facts of a chip";
  let description = [{
    Every chip fact stands here and nowhere else. Sizes in bytes, bandwidth in
    GB/s. `tile` is the number of result columns of a contraction's tile.
    `fleet-set-target` attaches a predefined one (gfx950, gfx942, sm_90a, cpu);
    any other may be written out for study.

    Example:
    ```mlir
    #fleet.target<"cpu", backend = llvm, chiplets = 8, workers = 4, lds = 1048576,
                  l2 = 4194304, hbm_gbs = 16, tile = 64>
    ```
  }];
  let parameters = (ins StringRefParameter<>:$name, EnumParameter<Fleet_Backend>:$backend,
      "int64_t":$chiplets, "int64_t":$workers, "int64_t":$lds, "int64_t":$l2,
      "int64_t":$hbmGbs, "int64_t":$tile);
  let assemblyFormat = [{`<` $name `,` `backend` `=` $backend `,` `chiplets` `=` $chiplets `,`
    `workers` `=` $workers `,` `lds` `=` $lds `,` `l2` `=` $l2 `,` `hbm_gbs` `=` $hbmGbs `,`
    `tile` `=` $tile `>`}];
  let genVerifyDecl = 1;
}

#endif // FLEET_IR_FLEETATTRS_TD
