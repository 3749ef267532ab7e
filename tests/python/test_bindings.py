"""MLIR's Python bindings with the fleet dialect and Fleet's passes in them."""

from __future__ import annotations

import subprocess
import sys

import pytest
from fleet_mlir.dialects import arith, fleet, func, gpu, linalg, tensor
from fleet_mlir.passmanager import PassManager

from fleet_mlir import ir

STEP = """
func.func @step(%a: tensor<4xf32>) -> tensor<4xf32> {
  %w = fleet.param ["w"] : tensor<4xf32>
  %v = fleet.param ["w"] : tensor<4xf32>
  %dead = fleet.param ["unused"] : tensor<4xf32>
  %e = tensor.empty() : tensor<4xf32>
  %n = fleet.rms_norm ins(%a, %w : tensor<4xf32>, tensor<4xf32>) outs(%e : tensor<4xf32>)
    {eps = 1.0e-5 : f64} -> tensor<4xf32>
  %s = arith.addf %n, %v : tensor<4xf32>
  return %s : tensor<4xf32>
}
"""

KERNEL = """
module attributes {gpu.container_module} {
  gpu.module @k [#rocdl.target<chip = "gfx950">] {
    gpu.func @add(%a: memref<64xf32>, %b: memref<64xf32>) kernel {
      %t = gpu.thread_id x
      %x = memref.load %a[%t] : memref<64xf32>
      %y = arith.addf %x, %x : f32
      memref.store %y, %b[%t] : memref<64xf32>
      gpu.return
    }
  }
}
"""


@pytest.fixture
def context():
    """A context and a location; a context that is never left aborts at exit."""
    with ir.Context() as ctx, ir.Location.unknown():
        yield ctx


def test_parse_gives_op_classes(context):
    module = ir.Module.parse(STEP)
    assert module.operation.verify()
    body = module.body.operations[0].regions[0].blocks[0].operations
    assert isinstance(body[0], fleet.ParamOp)
    assert [str(name) for name in body[0].names] == ['"w"']
    norm = next(op for op in body if isinstance(op, fleet.RmsNormOp))
    assert norm.eps.value == pytest.approx(1e-5)


def test_upstream_passes_see_the_traits(context):
    """Equal parameters are one after cse, an unused one goes: `Pure` is known to the shared library."""
    module = ir.Module.parse(STEP)
    PassManager.parse("builtin.module(canonicalize,cse)").run(module.operation)
    assert str(module).count("fleet.param") == 1
    assert str(module).count("fleet.rms_norm") == 1


def test_build_through_classes(context):
    module = ir.Module.create()
    vector = ir.RankedTensorType.get([8], ir.F32Type.get())
    with ir.InsertionPoint(module.body):

        @func.FuncOp.from_py_func(vector)
        def f(x):
            w = fleet.ParamOp(vector, ir.ArrayAttr.get([ir.StringAttr.get("w")])).result
            y = arith.addf(x, w)
            return linalg.add(y, x, outs=[tensor.empty([8], ir.F32Type.get())])

    assert module.operation.verify()
    assert 'fleet.param ["w"]' in str(module)


def test_enums_and_attributes(context):
    assert [str(case) for case in fleet.TaskScope] == ["wavefront", "cu", "chiplet", "device"]
    memory = ir.Attribute.parse("#fleet.mem<lds>")
    buffer = ir.MemRefType.get([4], ir.F32Type.get(), memory_space=memory)
    assert str(buffer) == "memref<4xf32, #fleet.mem<lds>>"


def test_fleet_pass_and_its_failure(context):
    module = ir.Module.parse(STEP)
    PassManager.parse("builtin.module(fleet-set-target{target=gfx950})").run(module.operation)
    assert "#fleet.target" in str(module.operation.attributes["fleet.target"])
    with pytest.raises(ir.MLIRError, match="nonesuch"):
        PassManager.parse("builtin.module(fleet-set-target{target=nonesuch})").run(module.operation)


def test_verifier_speaks(context):
    with pytest.raises(ir.MLIRError, match="param"):
        ir.Module.parse("func.func @f() { %0 = fleet.param [] : tensor<4xf32> return }")


def test_gpu_module_to_gfx950(context):
    module = ir.Module.parse(KERNEL)
    PassManager.parse(
        "builtin.module(gpu.module(convert-gpu-to-rocdl{use-bare-ptr-memref-call-conv=true}),"
        "reconcile-unrealized-casts,gpu-module-to-binary{format=isa})"
    ).run(module.operation)
    binary = next(op for op in module.body.operations if op.operation.name == "gpu.binary")
    isa = gpu.ObjectAttr(ir.ArrayAttr(binary.operation.attributes["objects"])[0]).object
    text = isa if isinstance(isa, str) else isa.decode(errors="replace")
    assert "gfx950" in text
    assert "v_add_f32" in text


@pytest.mark.parametrize("order", ["package first", "libMLIR first"])
def test_type_ids_do_not_depend_on_load_order(order):
    """One TypeID for a trait in libMLIR and in our library, whichever is loaded first.

    A build by a compiler that spells type names otherwise than libMLIR's fails here: the
    terminator of the body is then not seen as one, and equal params are not merged.
    """
    script = f"""
import ctypes, glob, os
if {order!r} == "libMLIR first":
    ctypes.CDLL(glob.glob("/usr/lib/llvm-22/lib/libMLIR.so.22*")[0], mode=os.RTLD_LOCAL | os.RTLD_NOW)
from fleet_mlir import ir
from fleet_mlir.passmanager import PassManager
with ir.Context():
    m = ir.Module.parse({STEP!r})
    assert m.operation.verify()
    PassManager.parse("builtin.module(canonicalize,cse)").run(m.operation)
    assert str(m).count("fleet.param") == 1, m
    PassManager.parse("builtin.module(func.func(canonicalize))").run(m.operation)
loaded = {{os.path.realpath(l.split()[-1]) for l in open("/proc/self/maps") if "libMLIR.so" in l}}
assert len(loaded) == 1, loaded
print("ok")
"""
    done = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip() == "ok"
