"""From an exported graph to the text of the raw phase, through torch-mlir.

torch-mlir and Fleet's own tools stand on different versions of LLVM, so they meet in text alone. What would not pass:
  * `torch.operator` (any custom operator) is rejected by torch-mlir's simplification, so custom operators become calls of private
    functions on the raw import; function types are converted with everything else;
  * the ready-made linalg-on-tensors pipeline forbids calls in its last pass, so the passes are listed here;
  * `tm_tensor` is unknown to upstream MLIR: no in-place cache and no scatter goes through torch-mlir.
"""

from __future__ import annotations

import re

from torch.fx import Graph
from torch_mlir import ir
from torch_mlir.dialects import torch as torch_dialect
from torch_mlir.extras.fx_importer import FxImporter
from torch_mlir.passmanager import PassManager

from ..errors import FleetError
from .graph import Argument

PASSES = (
    "builtin.module(torchdynamo-export-to-torch-backend-pipeline,"
    "func.func(convert-torch-to-linalg,canonicalize,convert-torch-to-scf,convert-torch-to-arith,convert-torch-to-tensor,canonicalize,cse),"
    "torch-func-backend-type-conversion,canonicalize,func.func(torch-finalizing-backend-type-conversion),canonicalize,cse)"
)

# The scalar arguments of each operator, in order, after its tensors; the other operators have none.
SCALARS = {"rms_norm": ("eps",), "layer_norm": ("eps",), "attention": ("layer", "scale")}

_PREFIX = "torch.fleet."
# What torch-mlir says of an operation that it cannot lower.
_CUSTOM = re.compile(r"'torch\.operator'.*?name = \"torch\.([\w.]+)\"")
_ILLEGAL = re.compile(r"failed to legalize operation 'torch\.((?:aten|prims)\.[\w.]+)'")
_OURS = ("patching.py", "export.py", "graph.py")
_FILE = re.compile(r'"(?:[^"]*/)?([^"/]+)":(\d+)')


def _walk(block: ir.Block):
    """The operations of a block, as a list that survives their erasure."""
    return list(block.operations)


def _scalar(value: ir.Value) -> ir.Attribute:
    owner = value.owner
    if owner.name == "torch.constant.float":
        return ir.FloatAttr.get(ir.F64Type.get(), ir.FloatAttr(owner.attributes["value"]).value)
    if owner.name == "torch.constant.int":
        return ir.IntegerAttr.get(ir.IntegerType.get_signless(64), ir.IntegerAttr(owner.attributes["value"]).value)
    raise RuntimeError(f"{owner.name} is no scalar constant")


def outline_operators(module: ir.Module) -> None:
    """`torch.operator "torch.fleet.X"` -> a call of a private function that carries the operator's name and scalars."""
    functions: dict[tuple, str] = {}
    top = module.body
    step = next(op for op in top.operations if op.operation.name == "func.func")
    for op in _walk(step.regions[0].blocks[0]):
        op = op.operation
        if op.name != "torch.operator":
            continue
        name = ir.StringAttr(op.attributes["name"]).value
        if not name.startswith(_PREFIX):
            continue
        name = name[len(_PREFIX) :].split(".")[0]
        tensors = [v for v in op.operands if "vtensor" in str(v.type)]
        names = SCALARS.get(name, ())
        scalars = [_scalar(v) for v in list(op.operands)[len(tensors) :]]
        if len(scalars) != len(names):
            raise RuntimeError(f"fleet.{name} has {len(scalars)} scalars instead of {len(names)}")
        results = [r.type for r in op.results]
        key = (
            name,
            tuple(str(v.type) for v in tensors),
            tuple(str(t) for t in results),
            tuple(str(s) for s in scalars),
        )
        if key not in functions:
            symbol = f"fleet.{name}.{len(functions)}"
            functions[key] = symbol
            attributes = {
                "sym_name": ir.StringAttr.get(symbol),
                "function_type": ir.TypeAttr.get(ir.FunctionType.get([v.type for v in tensors], results)),
                "sym_visibility": ir.StringAttr.get("private"),
                "fleet.op": ir.StringAttr.get(name),
                **{n: s for n, s in zip(names, scalars, strict=True)},
            }
            ir.Operation.create("func.func", attributes=attributes, regions=1, ip=ir.InsertionPoint.at_block_begin(top))
        call = ir.Operation.create(
            "func.call",
            results=results,
            operands=tensors,
            attributes={"callee": ir.FlatSymbolRefAttr.get(functions[key])},
            ip=ir.InsertionPoint(op),
        )
        for old, new in zip(op.results, call.results, strict=True):
            old.replace_all_uses_with(new)
        op.erase()


def _refusal(error: Exception, module: ir.Module) -> FleetError:
    """What torch-mlir refuses: the operation and the line of the model where that is known."""
    found = list(getattr(error, "error_diagnostics", ()))
    reason = " ".join((found[0].message if found else str(error)).split())
    operation = _CUSTOM.search(reason) or _ILLEGAL.search(reason)
    name, location = (operation.group(1), str(found[0].location)) if operation else ("", "")
    if not operation and "'torch.constant." in reason:
        # A constant is left because what uses it is, in a module whose other operations are converted.
        step = next(op for op in module.body.operations if op.operation.name == "func.func" and op.regions[0].blocks)
        left = [op.operation for op in _walk(step.regions[0].blocks[0])]
        left = [op for op in left if op.name.startswith(("torch.aten.", "torch.prims."))]
        if left:
            name, location = left[0].name.removeprefix("torch."), str(left[0].location)
    if not name:
        return FleetError(f"torch-mlir cannot lower this model: {reason[:300].rstrip('. ')}")
    lines = [(file, line) for file, line in _FILE.findall(location) if file not in _OURS]
    where = f" ({lines[0][0]}, line {lines[0][1]})" if lines else ""
    return FleetError(
        f"the model uses the operation {name}{where}, which has no lowering to linalg, so it has to be written without it"
    )


def lower(graph: Graph, arguments: list[Argument], attributes: dict[str, int]) -> str:
    """The text of the raw phase: `graph` as @step, its placeholders marked by `arguments`, `fleet.*` integers on the module."""
    context = ir.Context()
    torch_dialect.register_dialect(context)
    context.allow_unregistered_dialects = True
    with context, ir.Location.unknown():
        importer = FxImporter(context=context)
        try:
            importer.import_stateless_graph(graph, func_name="step")
            module = importer.module
            outline_operators(module)
            PassManager.parse(PASSES).run(module.operation)
        except (ir.MLIRError, NotImplementedError) as error:
            raise _refusal(error, importer.module) from error
        step = next(
            op
            for op in module.body.operations
            if op.operation.name == "func.func" and ir.StringAttr(op.attributes["sym_name"]).value == "step"
        )
        step.attributes["arg_attrs"] = ir.ArrayAttr.get(
            [ir.DictAttr.get({f"fleet.{a.kind}": ir.StringAttr.get(a.name)}) for a in arguments]
        )
        integer = ir.IntegerType.get_signless(64)
        for name, value in attributes.items():
            module.operation.attributes[f"fleet.{name}"] = ir.IntegerAttr.get(integer, value)
        text = module.operation.get_asm()
        _check(text)
        return text


def _check(text: str) -> None:
    """Refuse what upstream MLIR would not parse or what the contract forbids."""
    for word in ("tm_tensor.", "!torch.", "torch_c.", "torch."):
        at = text.find(word)
        if at >= 0 and (word != "torch." or text[at - 1] in ' "'):
            line = text[text.rfind("\n", 0, at) + 1 : text.find("\n", at)].strip()
            raise FleetError(f"the import leaves an operation that fleet cannot read: {line[:200]}")
