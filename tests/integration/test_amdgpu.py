"""The AMD kernel of small models, run instruction by instruction on chiplets whose L2s know nothing of each other."""

import functools
import random

import numpy as np
import pytest
import torch
from reference import exact, logits_of, relative
from tiny_models import tiny

import fleet_mlir
from fleet_mlir import compiler, gpu, package, runtime, tools
from fleet_mlir.cdna import Machine
from fleet_mlir.importer import import_step

SHAPE = {"tokens": 4, "slots": 2, "context": 64, "out_rows": 2}
CHIPLETS, WORKERS = 8, 4
SEEDS = range(20)
# A prompt of 3 rows and an idle one, then two tokens of the same slot and one of another.
STEPS = (
    ([17, 3, 250, 0], [0, 1, 2, 0], [1, 1, 1, -1], [0, 2]),
    ([99], [3], [1], [0]),
    ([4, 200], [4, 0], [1, 0], [0, 1]),
)


class Step:
    """A code object's step with arenas of its own on a fresh machine."""

    def __init__(self, chip, code, manifest, params, **machine):
        self.manifest = manifest
        chiplets = manifest["chiplets"]
        units = machine.pop("cus", [manifest["workers"] // chiplets] * chiplets)
        self.grid = sum(units)
        self.machine = Machine(chip, xcds=chiplets, cus=units, groups_per_cu=1, **machine)
        self.machine.load(code)
        sizes = manifest["arenas"]
        self.arenas = {n: runtime.aligned_zeros(sizes[n]) for n in ("state", "work", "input", "output")}
        arrays = [params, *(self.arenas[n] for n in ("state", "work", "input", "output"))]
        self.buffers = [
            self.machine.buffer(array, name, readonly=name in ("params", "input"))
            for array, name in zip(arrays, package.ARENAS, strict=True)
        ]
        self.epoch = 0

    def output(self, name, dtype):
        entry = self.manifest["outputs"][name]
        count = int(np.prod(entry["shape"]))
        begin = entry["offset"]
        return self.arenas["output"][begin : begin + 4 * count].view(dtype).reshape(entry["shape"])

    def __call__(self, tokens, positions, slots, out_rows):
        """Logits and ids of the rows wanted."""
        offsets = package.input_offsets(self.manifest)
        for name, values, rest in (
            ("tokens", tokens, 0),
            ("positions", positions, 0),
            ("slots", slots, -1),
            ("out_rows", out_rows, 0),
        ):
            size = SHAPE["out_rows" if name == "out_rows" else "tokens"]
            view = self.arenas["input"][offsets[name] : offsets[name] + 4 * size].view(np.int32)
            view[:] = rest
            view[: len(values)] = values
        self.epoch += 1
        self.machine.launch("fleet_step", grid=self.grid, block=256, args=[*self.buffers, self.epoch])
        assert not self.output("status", np.int32).any()
        return self.output("logits", np.float32)[: len(out_rows)].copy(), self.output("ids", np.int32)[
            : len(out_rows)
        ].copy()


@functools.cache
def kernel(kind, dtype, chip):
    """The model's module after the phase kernel."""
    text = import_step(tiny(kind, dtype).config, dtype=dtype, **SHAPE)
    return compiler.run_phases(
        text, compiler.PHASES[: compiler.PHASES.index("kernel") + 1], f"{chip}:{CHIPLETS}x{WORKERS}"
    )[0]


@functools.cache
def reference(kind, dtype):
    """Logits and ids of the steps on the cpu."""
    model = tiny(kind, dtype)
    program = fleet_mlir.compile(model, "cpu", **SHAPE).bind(model)
    results = [program.step(*step) for step in STEPS]
    return [(r.logits, r.ids) for r in results]


def code_object(folder, text, chip, options=""):
    """Code object and manifest of a module of the kernel phase."""
    source, lowered, linked = folder / "kernel.mlir", folder / "target.mlir", folder / "step.hsaco"
    source.write_text(text)
    tools.run("fleet-opt", [f"--fleet-amdgpu-to-llvm=chipset={chip} {options}", str(source), "-o", str(lowered)])
    tools.run("fleet-translate", ["--to-hsaco", str(lowered), "-o", str(linked)])
    return linked.read_bytes(), compiler.manifest_of(lowered.read_text())


def weights_of(kind, dtype, manifest):
    from fleet_mlir.models import load

    return runtime.pack_params(manifest, load(tiny(kind, dtype)).weights)


@functools.cache
def exact_logits(kind, dtype):
    """Logits of the steps' rows by the same weights in f32."""
    model = exact(tiny(kind, dtype))
    tokens, rows = {}, []
    for new, _, slots, out_rows in STEPS:
        places = []
        for token, slot in zip(new, slots, strict=True):
            tokens.setdefault(slot, []).append(token)
            places.append((slot, len(tokens[slot]) - 1))
        rows.append([places[row] for row in out_rows])
    whole = {slot: logits_of(model, ids) for slot, ids in tokens.items() if slot >= 0}
    return [np.stack([whole[slot][at] for slot, at in step]) for step in rows]


def units_of(seed):
    """CUs of the chiplets of a machine: all alike, or one or two chiplets with fewer (the program wants 4 of each)."""
    chance = random.Random(f"units {seed}")
    units = [WORKERS] * CHIPLETS
    for chiplet in chance.sample(range(CHIPLETS), chance.choice([0, 0, 1, 2])):
        units[chiplet] = chance.randint(1, WORKERS - 1)
    return units


@functools.cache
def program(kind, dtype, chip):
    """The code object in the model's vmfb, and the manifest."""
    step = fleet_mlir.compile(tiny(kind, dtype), f"{chip}:{CHIPLETS}x{WORKERS}", **SHAPE)
    return gpu.code_object(step.vmfb), step.manifest


@pytest.mark.parametrize("chip", ["gfx950", "gfx942"])
@pytest.mark.parametrize("kind,dtype", [("llama", torch.bfloat16), ("qwen3", torch.bfloat16), ("neox", torch.bfloat16), ("llama", torch.float32)],
                         ids=["llama", "qwen3", "neox", "llama-f32"])  # fmt: skip
def test_steps_are_the_cpus(kind, dtype, chip):
    """Whatever the order of waves, evictions, the first chiplet and the number of units are: f32's logits, the cpu's tokens.

    All machines give the same bits.
    """
    code, manifest = program(kind, dtype, chip)
    params = weights_of(kind, dtype, manifest)
    first = None
    assert len({tuple(units_of(seed)) for seed in SEEDS}) > 5
    for seed in SEEDS:
        step = Step(chip, code, manifest, params, seed=seed, cus=units_of(seed))
        results = [step(*inputs) for inputs in STEPS]
        for (logits, ids), want, (_, tokens) in zip(
            results, exact_logits(kind, dtype), reference(kind, dtype), strict=True
        ):
            assert relative(logits, want) < (2e-2 if dtype == torch.bfloat16 else 1e-4), seed
            assert ids.tolist() == tokens.tolist(), seed
        bits = [logits.tobytes() for logits, _ in results]
        first = first or bits
        assert bits == first, seed


def test_a_wait_that_never_ends_is_reported(tmp_path):
    """A worker that is missing: the others give up, and the status says who waits for what."""
    code, manifest = code_object(tmp_path, kernel("llama", torch.bfloat16, "gfx950"), "gfx950", "poll-budget=20")
    step = Step(
        "gfx950",
        code,
        manifest,
        weights_of("llama", torch.bfloat16, manifest),
        seed=1,
        caches=False,
        stall_rounds=10**5,
    )
    # Counters that are one behind, as after a step that did not end.
    step.epoch = 1
    with pytest.raises(AssertionError):
        step(*STEPS[0])
    status = step.output("status", np.int32).reshape(-1)
    assert status[0] == 1 and 0 <= status[1] < CHIPLETS * WORKERS and status[2] >= 0 and status[3] == 2
