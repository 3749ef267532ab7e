"""Attention over parts of the context on AMD chips: a part for each worker of a chiplet, merged there by query heads."""

import re

import numpy as np
import pytest
import test_amdgpu
import torch
from reference import relative
from test_amdgpu import Step, code_object
from tiny_models import tiny

import fleet_mlir
from fleet_mlir import compiler, package, runtime
from fleet_mlir.importer import import_step
from fleet_mlir.models import load

SHAPE = {"tokens": 1, "slots": 2, "context": 128, "out_rows": 1}
# One request up into its second part, and the beginning of another.
STEPS = [(7 * position % 256, position, 1) for position in range(34)] + [(5, 0, 0), (17, 1, 0)]


class OneRow(Step):
    """A step of one token: what `Step` writes for four."""

    def __call__(self, token, position, slot):
        offsets = package.input_offsets(self.manifest)
        for name, value in (("tokens", token), ("positions", position), ("slots", slot), ("out_rows", 0)):
            self.arenas["input"][offsets[name] : offsets[name] + 4].view(np.int32)[:] = value
        self.epoch += 1
        self.machine.launch("fleet_step", grid=self.grid, block=256, args=[*self.buffers, self.epoch])
        assert not self.output("status", np.int32).any()
        return self.output("logits", np.float32).copy(), self.output("ids", np.int32).copy()


def lowered(kind, chip):
    """The model and its step after the phase tiles."""
    model = tiny(kind, torch.bfloat16)
    phases = compiler.PHASES[: compiler.PHASES.index("tiles") + 1]
    return model, compiler.run_phases(import_step(model.config, dtype=torch.bfloat16, **SHAPE), phases, f"{chip}:2x4")[
        0
    ]


@pytest.mark.parametrize("kind,chip", [("qwen3", "gfx950"), ("llama", "gfx942")])
def test_parts_merged_by_query_heads_are_the_whole(kind, chip, tmp_path):
    """The cpu target attends to the whole context at once: its logits and tokens, in any order of waves, bit for bit."""
    model, tiles = lowered(kind, chip)
    merge = next(line for line in tiles.splitlines() if "= fleet.attention_merge" in line)
    assert "{parts = 4 : i64}" in merge and "tensor<4x1x1x" in merge  # one of the two query heads of its group
    assert "partition <heads, tiles = 4, size = 1>" in tiles
    code, manifest = code_object(tmp_path, str(compiler.from_text(tiles, compile_to="kernel")), chip)
    params = runtime.pack_params(manifest, load(model).weights)
    cpu = fleet_mlir.compile(model, "cpu", **SHAPE).bind(model)
    wanted = [cpu.step([token], [position], [slot], [0]) for token, position, slot in STEPS]
    first = None
    for seed in range(2):
        step = OneRow(chip, code, manifest, params, seed=seed)
        results = [step(*inputs) for inputs in STEPS]
        for (logits, ids), want in zip(results, wanted, strict=True):
            assert relative(logits, want.logits) < 2e-2
            assert ids.tolist() == want.ids.tolist()
        bits = [logits.tobytes() for logits, _ in results]
        first = first or bits
        assert bits == first, seed


def test_a_merge_of_another_head_is_seen(tmp_path):
    """Every query head merges the parts of the first of its group: the numbers are wrong at once."""
    model, tiles = lowered("qwen3", "gfx950")
    wrong, count = re.subn(r"(extract_slice %arg0\[%\w+, 0, )%\w+(, 0\] \[4, 1, 1, 36\])", r"\g<1>0\g<2>", tiles)
    assert count == 1
    code, manifest = code_object(tmp_path, str(compiler.from_text(wrong, compile_to="kernel")), "gfx950")
    params = runtime.pack_params(manifest, load(model).weights)
    cpu = fleet_mlir.compile(model, "cpu", **SHAPE).bind(model)
    step = OneRow("gfx950", code, manifest, params, seed=0)
    worst = max(
        relative(step(token, position, slot)[0], cpu.step([token], [position], [slot], [0]).logits)
        for token, position, slot in STEPS[:4]
    )
    assert worst > 0.1


def test_one_row_is_gathered_by_nobody():
    """A step of one token has no rows to choose from: its last norm needs no copy, and the ring in LDS has the room."""
    scratch = {}
    for rows in (1, 2):
        shape = SHAPE | {"tokens": rows, "out_rows": rows}
        raw = import_step(tiny("llama", torch.bfloat16).config, dtype=torch.bfloat16, **shape)
        text, _ = compiler.run_phases(raw, compiler.PHASES[: compiler.PHASES.index("memory") + 1], "gfx950:2x4")
        scratch[rows] = max(int(part.split()[0]) for part in text.split("fleet.scratch = ")[1:])
        assert text.count("fleet.gather ins") == rows  # the embedding, and the rows wanted
    assert 2 * scratch[1] < scratch[2] * 1.5


@pytest.mark.parametrize("kind,chip", [("qwen3", "gfx950"), ("llama", "gfx942")])
def test_prologues_of_many_rows_are_tasks_of_their_own(kind, chip, tmp_path, monkeypatch):
    """Norms and rotations of 8 rows: in no worker's LDS whole, queries and keys on the chiplet of their head."""
    shape = {"tokens": 8, "slots": 3, "context": 128, "out_rows": 3}
    monkeypatch.setattr(test_amdgpu, "SHAPE", shape)
    model = tiny(kind, torch.bfloat16)
    phases = compiler.PHASES[: compiler.PHASES.index("kernel") + 1]
    raw = import_step(model.config, dtype=torch.bfloat16, **shape)
    events, _ = compiler.run_phases(raw, phases[: phases.index("events") + 1], f"{chip}:2x4")
    bodies = events.split("func.func private ")[1:]
    assert not any("linalg.matmul" in body and "_norm ins" in body for body in bodies)
    rotating = {line.split("@")[1].split("(")[0] for line in rope_bodies(events)}
    tasks = [
        line for line in events.splitlines() if "fleet.task " in line and line.split("@")[1].split("(")[0] in rotating
    ]
    assert len(tasks) == 4 and all("waits [] chiplet_waits" in line for line in tasks[2:])
    text, _ = compiler.run_phases(raw, phases, f"{chip}:2x4")
    code, manifest = code_object(tmp_path, text, chip)
    params = runtime.pack_params(manifest, load(model).weights)
    cpu = fleet_mlir.compile(model, "cpu", **shape).bind(model)
    # Two requests of 4 rows side by side, then one of 6 beside one of 2, up into the second part of the context.
    steps, filled = [], [0, 0, 0]
    for number in range(8):
        counts = (0, 4, 4) if number % 2 else (2, 6, 0)
        rows = [(slot, filled[slot] + i) for slot, count in enumerate(counts) for i in range(count)]
        filled = [a + b for a, b in zip(filled, counts, strict=True)]
        tokens = [(7 * position + 31 * slot) % 256 for slot, position in rows]
        steps.append((tokens, [position for _, position in rows], [slot for slot, _ in rows], [0, 3, 7]))
    wanted = [cpu.step(*step) for step in steps]
    step = Step(chip, code, manifest, params, seed=5)
    for inputs, want in zip(steps, wanted, strict=True):
        logits, ids = step(*inputs)
        assert relative(logits, want.logits) < 2e-2
        assert ids.tolist() == want.ids.tolist()


def rope_bodies(text):
    """The first lines of the bodies that rotate heads and do nothing else with them."""
    lines = []
    for part in text.split("func.func private ")[1:]:
        body = part.split("\n  }\n")[0]
        if "fleet.rope" in body and "fleet.attention" not in body:
            lines.append(body.splitlines()[0])
    return lines
