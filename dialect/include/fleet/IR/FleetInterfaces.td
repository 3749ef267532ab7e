#ifndef FLEET_IR_FLEETINTERFACES_TD
#define FLEET_IR_FLEETINTERFACES_TD

include "mlir/IR/OpBase.td"

def Fleet_TaskScopeInterface : AttrInterface<"TaskScopeAttrInterface"> {
  let cppNamespace = "::mlir::fleet";
  let description = [{Who runs a task. Scopes are totally ordered; a task may
    only be cut into tasks of a smaller scope.}];
  let methods = [
    InterfaceMethod<"0 for a wavefront up to 3 for the device", "unsigned", "getLevel">,
    InterfaceMethod<"the memory in which the scope's workers are coherent",
                    "::mlir::fleet::MemoryScope", "getCoherentMemory">,
  ];
}

def Fleet_MemoryScopeInterface : AttrInterface<"MemoryScopeAttrInterface"> {
  let cppNamespace = "::mlir::fleet";
  let description = [{In which memory a value is coherent: usable as the memory
    space of a memref.}];
  let methods = [
    InterfaceMethod<"0 for registers up to 3 for hbm", "unsigned", "getLevel">,
  ];
}

#endif // FLEET_IR_FLEETINTERFACES_TD
