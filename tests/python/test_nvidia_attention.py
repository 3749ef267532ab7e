"""Attention of many rows as NVIDIA's kernel computes it, lane by lane, against numpy: also fragments, the dealing of blocks and of rows."""

import copy
import re

import numpy as np
import pytest
from fleet_mlir.passmanager import PassManager
from lanes import Workgroup, from_bf16, to_bf16
from shared import Shared

from fleet_mlir import ir

SCALE = 0.0883883
EPS = 1e-3
MODULE = """
gpu.module @fleet attributes {{fleet.threads = 256 : i64, fleet.lanes = 32 : i64}} {{
  func.func @part(%q: {q}, %k: {k}, %v: {k}, %slots: {rows}, %positions: {rows}, %keys: {cache}, %values: {cache},
                  %out: {out}, {angles}%part: index, %rows: index) {{
    fleet.attention_partial part %part {names_rows}ins(%q, %k, %v, %slots, %positions, %keys, %values
        : {q}, {k}, {k}, {rows}, {rows}, {cache}, {cache}) {rotates}outs(%out : {out})
        {{{dealt}{eps}parts = {parts} : i64, {row_groups}scale = {scale} : f64}}
    return
  }}
}}
"""


class Case:
    """One step of attention of a key/value head: queries `rows x heads x size`, caches of `slots x context` positions.

    Rows of one slot stand at consecutive positions; what no row has written in a cache is NaN.
    Row t is of row group t mod ``row_groups``, each of which is a tile of each part. With ``rotated`` queries and keys
    come before their rotation, with ``normed`` before their norm as well.
    """

    def __init__(
        self, rows, heads, size, context, parts, slots, *, wide, dealt, row_groups=1, rotated=False, normed=False
    ):
        random = np.random.default_rng(rows + heads + size)
        self.rows, self.heads, self.size, self.context, self.parts, self.dealt = (
            rows,
            heads,
            size,
            context,
            parts,
            dealt,
        )
        self.row_groups = row_groups
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
        self.weights = [to_bf16(random.uniform(0.5, 2, size)) for _ in range(2 * normed)]
        angles = random.uniform(-3, 3, (rows, size))
        self.angles = [np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)] if rotated else []
        for i in range(2 * rotated):
            self.new[i] = self.rotated(self.new[i], i)
        if rotated and not wide:
            self.new[0] = from_bf16(to_bf16(self.new[0]))
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
        angle, weight = f"memref<{rows}x{size}xf32>", f"memref<{size}xbf16>"
        self.text = MODULE.format(
            q=f"memref<{rows}x{heads}x{size}x{element}>",
            k=f"memref<{rows}x1x{size}x{element}>",
            rows=f"memref<{rows}xi32>",
            cache=f"memref<{slots}x1x{context}x{size}xbf16, #gpu.address_space<global>>",
            out=f"memref<1x{rows}x{heads}x{size + 4}xf32>",
            dealt=f"dealt = {dealt} : i64, " if dealt else "",
            parts=parts,
            names_rows="rows %rows " if row_groups > 1 else "",
            row_groups=f"row_groups = {row_groups} : i64, " if row_groups > 1 else "",
            scale=SCALE,
            angles=f"%cos: {angle}, %sin: {angle}, " * rotated + f"%wq: {weight}, %wk: {weight}, " * normed,
            rotates=f"rotate(%cos, %sin : {angle}, {angle}) " * rotated
            + f"norm(%wq, %wk : {weight}, {weight}) " * normed,
            eps=f"eps = {EPS} : f64, " * normed,
        )

    def rotated(self, x, which) -> np.ndarray:
        """Rows of heads (of queries or keys: 0 or 1) as they are attended to."""
        x = x.astype(np.float64)
        if self.weights:
            x = x / np.sqrt((x * x).mean(-1, keepdims=True) + EPS) * from_bf16(self.weights[which])
        low, high = np.split(x, 2, axis=-1)
        cos, sin = (angle[:, None].astype(np.float64) for angle in self.angles)
        return (x * cos + np.concatenate([-high, low], axis=-1) * sin).astype(np.float32)

    def run(self, change=lambda text: text, lowering="fleet-nvgpu-lower-attention") -> np.ndarray:
        """The parts `parts x rows x heads x (size + 4)` f32 of the kernel, whose text `change` may damage."""
        with ir.Context() as context:
            module = ir.Module.parse(self.text)
            manager = f"builtin.module(gpu.module({lowering}),canonicalize,cse)"
            PassManager.parse(manager).run(module.operation)
            context.allow_unregistered_dialects = True
            module = ir.Module.parse(change(str(module)))
            *_, function = (op.operation for op in module.body.operations[0].regions[0].blocks[0].operations)
            parts = []
            for part in range(self.parts):
                out = np.full((1, self.rows, self.heads, self.size + 4), np.nan, np.float32)
                rows = [self.slots.view(np.uint32), self.positions.view(np.uint32)]
                for row_group in range(self.row_groups):
                    others = np.arange(self.rows) % self.row_groups != row_group
                    before = out[:, others].copy()
                    buffers = [*self.stored, *rows, *self.caches, out, *self.angles, *self.weights]
                    workgroup = Workgroup(function, [*buffers, part, row_group])
                    assert not workgroup.shared.barriers, "expected no mbarrier behind a body, found one"
                    np.testing.assert_array_equal(out[:, others], before)
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
                worst = np.maximum(worst, np.max(np.abs(weights - sums[part, row]) / np.maximum(weights, 1e-6)))
            weights = np.exp(scores - scores.max(1, keepdims=True))
            expected = weights @ value / weights.sum(1, keepdims=True)
            shrink = np.exp(maxima[:, row] - maxima[:, row].max(0))[..., None]
            merged = (values[:, row] * shrink).sum(0) / (sums[:, row][..., None] * shrink).sum(0)
            worst = np.maximum(worst, np.abs(merged - expected).max() / np.abs(expected).max())  # NaN if there is one
        return worst


@pytest.mark.parametrize(
    ("shape", "wide", "dealt"),
    [
        pytest.param((8, 4, 64, 128, 2, 8), False, 0, id="ranges"),
        pytest.param((3, 4, 128, 200, 4, 3), True, 16, id="3 rows, most warps without one"),
        pytest.param((7, 4, 64, 96, 3, 2), True, 16, id="7 rows of two requests"),
        pytest.param((9, 3, 128, 200, 4, 9), True, 16, id="dealt, f32, 3 heads, a second row"),
        pytest.param((9, 8, 64, 100, 2, 9), True, 16, id="f32, 8 heads"),
        pytest.param((16, 7, 64, 96, 3, 4), False, 16, id="rows of one request, 7 heads, 3 parts"),
        pytest.param((32, 4, 128, 300, 2, 32), True, 16, id="copied, f32"),
        pytest.param((17, 4, 64, 150, 2, 17), False, 0, id="copied, ranges"),
        pytest.param((17, 8, 64, 100, 2, 17), True, 16, id="copied, f32, 8 heads"),
        pytest.param((40, 7, 64, 96, 3, 4), False, 16, id="copied, rows of one request, 7 heads, 3 parts"),
    ],
)
def test_parts_are_those_of_numpy(shape, wide, dealt):
    check(Case(*shape, wide=wide, dealt=dealt))


@pytest.mark.parametrize("rows", [9, 17])
def test_a_slot_does_not_change_a_bit(rows):
    """The same requests in other slots: the same parts."""
    case = Case(rows, 4, 64, 150, 2, rows, wide=True, dealt=16)
    order = np.roll(np.arange(rows), 3)
    other = copy.deepcopy(case)
    other.slots = np.where(case.slots < 0, -1, order[case.slots]).astype(np.int32)
    for cache, moved in zip(case.caches, other.caches, strict=True):
        moved[order] = cache
    assert case.run().tobytes() == other.run().tobytes()


def test_idle_rows_copy_nothing(monkeypatch):
    case = Case(17, 4, 64, 64, 2, 17, wide=True, dealt=16)
    case.slots[:] = -1
    monkeypatch.setattr(Shared, "copy", lambda *_: pytest.fail("expected no copy, found one"))
    assert case.error(case.run()) == 0


def check(case, **how):
    """Parts and caches are numpy's."""
    assert case.error(case.run(**how)) < 3e-5
    for cache, expected in zip(case.caches, case.expected, strict=True):
        assert (cache == expected).all()


@pytest.mark.parametrize(
    ("shape", "row_groups"),
    [
        pytest.param((16, 4, 64, 200, 2, 16), 2, id="a slot each"),
        pytest.param((18, 4, 64, 96, 2, 20), 4, id="groups of 5 and 4 rows"),
        pytest.param((18, 3, 64, 80, 2, 18), 2, id="a second row of a warp"),
        pytest.param((21, 4, 64, 96, 2, 5), 4, id="rows of one request in different groups"),
        pytest.param((12, 4, 64, 64, 1, 5), 3, id="one part"),
    ],
)
def test_rows_are_dealt(shape, row_groups):
    check(Case(*shape, wide=True, dealt=16, row_groups=row_groups))


ROTATED = {"wide": True, "dealt": 16, "rotated": True}
NARROW = {**ROTATED, "wide": False}


def check_rotated(case, **how):
    """As check(), but that a key next to the middle of two numbers may be rounded to the other one."""
    parts = case.run(**how)
    for cache, expected in zip(case.caches, case.expected, strict=True):
        assert (cache != expected).mean() < 1e-4
        assert np.array_equal(np.isnan(from_bf16(cache)), np.isnan(from_bf16(expected)))
        np.testing.assert_allclose(from_bf16(cache), from_bf16(expected), rtol=2**-7)
    case.expected = case.caches
    assert case.error(parts) < (3e-5 if case.stored[0].dtype == np.float32 else 2e-3)


@pytest.mark.parametrize(
    ("shape", "how"),
    [
        pytest.param(
            (18, 4, 128, 96, 2, 18), {**ROTATED, "row_groups": 2, "normed": True}, id="a second row of a warp"
        ),
        pytest.param((34, 4, 64, 96, 2, 40), {**NARROW, "normed": True}, id="all rows, bf16, 64 elements"),
        pytest.param((21, 8, 64, 96, 2, 5), {**ROTATED, "row_groups": 4}, id="rows of one request, 8 heads, no norm"),
        pytest.param(
            (18, 4, 128, 64, 2, 5), {**ROTATED, "row_groups": 4, "normed": True}, id="of one request, 4 heads"
        ),
        pytest.param((34, 3, 128, 64, 2, 5), {**NARROW, "row_groups": 4, "normed": True}, id="of one request, 3 heads"),
        pytest.param((8, 4, 128, 96, 2, 9), {**ROTATED, "normed": True}, id="nothing is copied"),
        pytest.param((8, 4, 64, 96, 2, 3), {**NARROW, "normed": True}, id="of one request, nothing is copied"),
    ],
)
def test_rows_are_normed_and_rotated(shape, how):
    check_rotated(Case(*shape, **how))


@pytest.mark.parametrize(("rows", "slots"), [(18, 20), (21, 5)])
def test_rows_are_dealt_without_mma(rows, slots):
    """What no mma takes, as heads of other sizes."""
    check(Case(rows, 2, 32, 96, 2, slots, wide=True, dealt=16, row_groups=4), lowering="fleet-gpu-lower-named-ops")


def test_rows_in_common_are_noticed():
    """Without the keys of other groups' rows of the same slots the cache a tile reads is not written yet."""
    case = Case(21, 4, 64, 96, 2, 5, wide=True, dealt=16, row_groups=4)

    def damage(text):
        assert text.count("arith.ori") == 1
        return text.replace("arith.ori", "arith.andi")

    assert not case.error(case.run(damage)) < 3e-5


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


def is_noticed(case, damage):
    """Whether a damaged kernel gives other numbers, or does what no kernel may."""

    def change(text):
        damaged = damage(text)
        assert damaged != text
        return damaged

    try:
        with np.errstate(all="ignore"):
            return not case.error(case.run(change)) < 3e-5
    except AssertionError as error:
        return "expected" in str(error)


def asked_too_early(text):
    """The next round's values are asked for when this round's have come, but have not been read."""
    lines = text.split("\n")
    copies = [i for i, line in enumerate(lines) if "cp.async.bulk.shared" in line]
    first = next(i for i in range(copies[-1], 0, -1) if lines[i].lstrip().startswith("scf.if"))
    last = next(i for i in range(copies[-1], len(lines)) if lines[i].strip() == "}")
    before = next(i for i in range(first, 0, -1) if lines[i].strip() == "}") + 1
    assert sum("vector.load" in line for line in lines[before:first]) == 4 * 128 // 64
    return "\n".join([*lines[:before], *lines[first : last + 1], *lines[before:first], *lines[last + 1 :]])


def without(pattern):
    """Every such line is dropped."""
    return lambda text: re.sub(rf".*{pattern}.*\n", "", text)


def changed(right, wrong):
    return lambda text: text.replace(right, wrong)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(asked_too_early, id="values are overwritten"),
        pytest.param(without("vector.store.*8x16x64xf32"), id="values that are not there"),
        pytest.param(changed("arith.cmpi ule", "arith.cmpi uge"), id="the first round is not stored yet"),
        pytest.param(without("nvvm.bar.warp.sync"), id="no sync before a copy"),
        pytest.param(without(r"fence.proxy.async.shared::cta"), id="no fence before a copy"),
        pytest.param(without(r"fence.proxy.async.global"), id="no fence behind what is stored"),
        pytest.param(without(r"mbarrier.inval"), id="mbarriers are left in other bodies' scratch"),
        pytest.param(changed("arith.constant 256 : i32", "arith.constant 240 : i32"), id="a copy is too short"),
        pytest.param(
            lambda text: re.sub(r"arith.xori (%\w+), %c1_i32 : i32", r"arith.ori \1, \1 : i32", text),
            id="the parity stays",
        ),
    ],
)
def test_a_damaged_kernel_with_copies_is_noticed(damage):
    assert is_noticed(Case(18, 4, 128, 150, 2, 18, wide=True, dealt=16), damage)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        pytest.param(
            r"(vector.load %arg[89]\[)%\w+(, .*vector<8xf32>)", r"\1%c0\2", id="queries by another row's angles"
        ),
        pytest.param(r"(vector.load %arg[89]\[)%\w+(, .*vector<4xf32>)", r"\1%c0\2", id="keys by another row's angles"),
        pytest.param(r"vector.load %arg10\[", "vector.load %arg11[", id="queries by the weights of keys"),
        pytest.param(r"vector.load %arg11\[", "vector.load %arg10[", id="keys by the weights of queries"),
        pytest.param(r"arith.constant 1.280000e\+02", "arith.constant 64.0", id="another mean"),
        pytest.param(r"arith.negf (%\w+)", r"arith.addf \1, \1", id="keys the other way"),
        pytest.param("arith.ori", "arith.andi", id="no keys of other groups"),
    ],
)
def test_a_damaged_rotation_is_noticed(right, wrong):
    def change(text):
        damaged = re.sub(right, wrong, text)
        assert damaged != text, "nothing to damage"
        return damaged

    case = Case(18, 4, 128, 64, 2, 5, **ROTATED, normed=True, row_groups=4)
    with np.errstate(all="ignore"), pytest.raises(AssertionError, match="^(?!nothing)"):
        check_rotated(case, change=change)


def test_a_first_round_waits_for_all_rows_of_its_request():
    """Noticed: it is asked for before this step's keys are stored, since it has not those of its own row."""
    case = Case(40, 4, 64, 96, 3, 1, wide=False, dealt=16)
    assert case.error(copy.deepcopy(case).run()) < 3e-5
    assert is_noticed(case, changed("arith.constant 40 : i32", "arith.constant 1 : i32"))
