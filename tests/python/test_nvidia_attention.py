"""Attention of many rows as NVIDIA's kernel computes it, lane by lane, against numpy: also fragments and the dealing of blocks."""

import numpy as np
import pytest
from fleet_mlir.passmanager import PassManager
from lanes import Workgroup, from_bf16, to_bf16

from fleet_mlir import ir

SCALE = 0.0883883
MODULE = """
gpu.module @fleet attributes {{fleet.threads = 256 : i64, fleet.lanes = 32 : i64}} {{
  func.func @part(%q: {q}, %k: {k}, %v: {k}, %slots: {rows}, %positions: {rows}, %keys: {cache}, %values: {cache},
                  %out: {out}, %part: index) {{
    fleet.attention_partial part %part ins(%q, %k, %v, %slots, %positions, %keys, %values
        : {q}, {k}, {k}, {rows}, {rows}, {cache}, {cache}) outs(%out : {out})
        {{{dealt}parts = {parts} : i64, scale = {scale} : f64}}
    return
  }}
}}
"""


class Case:
    """One step of attention of a key/value head: queries `rows x heads x size`, caches of `slots x context` positions.

    Rows of one slot stand at consecutive positions; what no row has written in a cache is NaN.
    """

    def __init__(self, rows, heads, size, context, parts, slots, *, wide, dealt):
        random = np.random.default_rng(rows + heads + size)
        self.rows, self.heads, self.size, self.context, self.parts, self.dealt = (
            rows,
            heads,
            size,
            context,
            parts,
            dealt,
        )
        if slots >= rows:
            self.slots = random.permutation(slots)[:rows].astype(np.int32)
            self.positions = random.integers(0, context, rows).astype(np.int32)
            self.slots[2], self.positions[0], self.positions[-1] = -1, 0, context - 1
        else:
            self.slots = (np.arange(rows) % slots).astype(np.int32)
            self.positions = (11 * (self.slots + 1) + np.arange(rows) // slots).astype(np.int32)
        new = [random.standard_normal((rows, n, size)).astype(np.float32) for n in (heads, 1, 1)]
        self.new = new if wide else [from_bf16(to_bf16(x)) for x in new]
        self.stored = [x if wide else to_bf16(x) for x in self.new]
        self.caches = [np.full((slots, 1, context, size), 0x7FC0, np.uint16) for _ in range(2)]
        for slot in range(slots):
            here = self.positions[self.slots == slot]
            for cache in self.caches:
                before = int(here.min()) if len(here) else 0
                cache[slot, 0, :before] = to_bf16(random.standard_normal((before, size)))
        self.expected = [cache.copy() for cache in self.caches]
        for row, (slot, position) in enumerate(zip(self.slots, self.positions, strict=True)):
            for cache, x in zip(self.expected, self.new[1:], strict=True):
                if slot >= 0:
                    cache[slot, 0, position] = to_bf16(x[row, 0])
        element = "f32" if wide else "bf16"
        self.text = MODULE.format(
            q=f"memref<{rows}x{heads}x{size}x{element}>",
            k=f"memref<{rows}x1x{size}x{element}>",
            rows=f"memref<{rows}xi32>",
            cache=f"memref<{slots}x1x{context}x{size}xbf16>",
            out=f"memref<1x{rows}x{heads}x{size + 4}xf32>",
            dealt=f"dealt = {dealt} : i64, " if dealt else "",
            parts=parts,
            scale=SCALE,
        )

    def run(self, change=lambda text: text) -> np.ndarray:
        """The parts `parts x rows x heads x (size + 4)` f32 of the kernel, whose text `change` may damage."""
        with ir.Context() as context:
            module = ir.Module.parse(self.text)
            manager = "builtin.module(gpu.module(fleet-nvgpu-lower-attention),canonicalize,cse)"
            PassManager.parse(manager).run(module.operation)
            context.allow_unregistered_dialects = True
            module = ir.Module.parse(change(str(module)))
            function = module.body.operations[0].regions[0].blocks[0].operations[0].operation
            parts = []
            for part in range(self.parts):
                out = np.full((1, self.rows, self.heads, self.size + 4), np.nan, np.float32)
                rows = [self.slots.view(np.uint32), self.positions.view(np.uint32)]
                Workgroup(function, [*self.stored, *rows, *self.caches, out, part])
                parts.append(out[0])
        return np.stack(parts)

    def owns(self, part, row) -> np.ndarray:
        """Which positions (bool, those of the row) the part has."""
        at = np.arange(self.positions[row] + 1)
        if self.dealt:
            return at // self.dealt % self.parts == part
        return at // -(-self.context // self.parts) == part

    def error(self, parts) -> float:
        """The greatest difference to numpy of a part's sums of weights and of the merged rows, relative."""
        size = self.size
        values, maxima, sums = parts[..., :size].astype(np.float64), parts[..., size], parts[..., size + 1]
        worst = 0.0
        for row, slot in enumerate(self.slots):
            if slot < 0:
                assert not sums[:, row].any()
                continue
            count = self.positions[row] + 1
            key, value = (from_bf16(cache[slot, 0, :count]).astype(np.float64) for cache in self.expected)
            scores = self.new[0][row].astype(np.float64) @ key.T * SCALE
            for part in range(self.parts):
                weights = np.exp(scores[:, self.owns(part, row)] - maxima[part, row][:, None]).sum(1)
                worst = max(worst, np.max(np.abs(weights - sums[part, row]) / np.maximum(weights, 1e-6)))
            weights = np.exp(scores - scores.max(1, keepdims=True))
            expected = weights @ value / weights.sum(1, keepdims=True)
            shrink = np.exp(maxima[:, row] - maxima[:, row].max(0))[..., None]
            merged = (values[:, row] * shrink).sum(0) / (sums[:, row][..., None] * shrink).sum(0)
            worst = max(worst, np.abs(merged - expected).max() / np.abs(expected).max())
        return worst


@pytest.mark.parametrize(
    ("shape", "wide", "dealt"),
    [
        pytest.param((8, 4, 64, 128, 2, 8), False, 0, id="ranges"),
        pytest.param((9, 3, 128, 200, 4, 9), True, 16, id="dealt, f32, 3 heads, a second row"),
        pytest.param((17, 8, 64, 100, 2, 17), True, 16, id="f32, 8 heads"),
        pytest.param((20, 7, 64, 96, 3, 4), False, 16, id="rows of one request, 7 heads, 3 parts"),
    ],
)
def test_parts_are_those_of_numpy(shape, wide, dealt):
    case = Case(*shape, wide=wide, dealt=dealt)
    assert case.error(case.run()) < 3e-5
    for cache, expected in zip(case.caches, case.expected, strict=True):
        assert (cache == expected).all()


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("0x5410", "0x7632"),
        ("gpu.shuffle  idx", "gpu.shuffle  xor"),
        ("arith.constant 0.693147", "arith.constant 0.793147"),
    ],
)
def test_a_damaged_kernel_is_noticed(right, wrong):
    case = Case(8, 4, 64, 64, 2, 8, wide=True, dealt=16)

    def damage(text):
        assert right in text
        return text.replace(right, wrong)

    assert not case.error(case.run(damage)) < 3e-5
