#ifndef FLEET_IR_FLEETDIALECT_TD
#define FLEET_IR_FLEETDIALECT_TD

include "mlir/IR/OpBase.td"

def Fleet_Dialect : Dialect {
  let name = "fleet";
  let cppNamespace = "::mlir::fleet";
  let summary = "persistent kernels on GPUs of several dies";
  let description = [{
    Two orders of the same four levels: task scopes (wavefront, cu, chiplet,
    device) say who runs a task; memory scopes (registers, lds, l2, hbm) say
    in which memory a value is coherent. A device task is cut into chiplet
    tasks, each bound to one chiplet, and those into cu tasks, each bound to
    one worker. Everything else (arithmetic, loops, buffers) is upstream MLIR.
  }];
  let useDefaultAttributePrinterParser = 1;
  let dependentDialects = ["arith::ArithDialect", "tensor::TensorDialect"];
}

#endif // FLEET_IR_FLEETDIALECT_TD
