"""Norms and rotations of many short rows as NVIDIA's kernel computes them, lane by lane, against numpy: several of them at once."""

import numpy as np
import pytest
from fleet_mlir.passmanager import PassManager
from lanes import Workgroup, from_bf16, to_bf16

from fleet_mlir import ir

MODULE = """
gpu.module @fleet attributes {{fleet.threads = 256 : i64, fleet.lanes = 32 : i64}} {{
  func.func @body({arguments}) {{
    {op}
    return
  }}
}}
"""


def run(op: str, types: list[str], buffers: list[np.ndarray]) -> str:
    """Runs `op`, whose operands are %0, %1, ..., on `buffers`; the text it was lowered to."""
    arguments = ", ".join(f"%{i}: {type}" for i, type in enumerate(types))
    with ir.Context() as context:
        module = ir.Module.parse(MODULE.format(arguments=arguments, op=op))
        passes = "builtin.module(gpu.module(fleet-gpu-lower-named-ops{rounds=4}),canonicalize,cse)"
        PassManager.parse(passes).run(module.operation)
        context.allow_unregistered_dialects = True
        Workgroup(module.body.operations[0].regions[0].blocks[0].operations[0].operation, buffers)
        return str(module)


@pytest.mark.parametrize(
    ("rows", "heads", "size", "loads"),
    [
        pytest.param(32, 1, 128, 5, id="four rows of a warp"),
        pytest.param(6, 8, 64, 4, id="six: three at once"),
        pytest.param(40, 1, 256, 2, id="five, which nothing divides: one at once"),
        pytest.param(16, 1, 96, 3, id="two, of three elements a lane"),
    ],
)
def test_rows_are_normed_together(rows, heads, size, loads):
    random = np.random.default_rng(rows)
    x = random.standard_normal((rows, heads, size)).astype(np.float32)
    weight = to_bf16(random.standard_normal(size).astype(np.float32))
    out = np.full_like(x, np.nan)
    types = [f"memref<{rows}x{heads}x{size}xf32>", f"memref<{size}xbf16>"]
    op = f"fleet.rms_norm ins(%0, %1 : {types[0]}, {types[1]}) outs(%2 : {types[0]}) {{eps = 1.0e-6 : f64}}"
    text = run(op, [*types, types[0]], [x, weight, out])
    expected = x / np.sqrt((x.astype(np.float64) ** 2).mean(-1, keepdims=True) + 1e-6) * from_bf16(weight)
    np.testing.assert_allclose(out, expected, rtol=2e-6)
    # Of a round all loads come before the first shuffle.
    assert text.partition("gpu.shuffle")[0].count("vector.load") == loads


@pytest.mark.parametrize(
    ("rows", "heads", "size", "rotated", "loads"),
    [
        pytest.param(32, 1, 128, 128, 12, id="two places of a thread"),
        pytest.param(24, 2, 64, 64, 6, id="three"),
        pytest.param(16, 2, 96, 64, 6, id="a part of a head"),
    ],
)
def test_places_are_rotated_together(rows, heads, size, rotated, loads):
    random = np.random.default_rng(rows)
    x = random.standard_normal((rows, heads, size)).astype(np.float32)
    cos, sin = (random.standard_normal((rows, rotated)).astype(np.float32) for _ in range(2))
    out = np.full_like(x, np.nan)
    of_x, of_cos = f"memref<{rows}x{heads}x{size}xf32>", f"memref<{rows}x{rotated}xf32>"
    op = f"fleet.rope ins(%0, %1, %2 : {of_x}, {of_cos}, {of_cos}) outs(%3 : {of_x})"
    text = run(op, [of_x, of_cos, of_cos, of_x], [x, cos, sin, out])
    half = rotated // 2
    turned = np.concatenate([-x[..., half:rotated], x[..., :half]], -1)
    expected = x.copy()
    expected[..., :rotated] = x[..., :rotated] * cos[:, None] + turned * sin[:, None]
    np.testing.assert_allclose(out, expected, rtol=2e-6, atol=1e-6)
    # Of a round all loads come before the first store.
    assert text.partition("vector.store")[0].count("vector.load") == loads
