"""The simulator: what it counts, what it refuses, and that it runs every schedule as its waits demand."""

import importlib.util
import itertools
import json
import os
import random
import re
import shutil
import struct
import subprocess
import tempfile
from pathlib import Path
from types import ModuleType

import pytest

from fleet_mlir import simulate as sim
from fleet_mlir import tools
from fleet_mlir.cli import main
from fleet_mlir.errors import FleetError

HBM = "#fleet.mem<hbm>"


def cut(rng: random.Random, lo: int, hi: int, parts: int) -> list[tuple[int, int]]:
    """``parts`` ranges, some of them empty, that join and cover ``[lo, hi)``."""
    places = sorted(rng.randint(lo, hi) for _ in range(parts - 1))
    return list(zip([lo, *places], [*places, hi], strict=True))


def body(name: str, rows: int, size: int, residual: bool) -> str:
    """A contraction of a packed weight in tiles of 16 columns, with or without an addition at its end."""
    x, w = f"memref<{rows}x{size}xbf16, {HBM}>", f"memref<{size // 16}x{size}x16xbf16, {HBM}>"
    scratch, acc = f"memref<{rows * 64}xi8, #fleet.mem<lds>>", f"memref<{rows}x16xf32, #fleet.mem<lds>>"
    part = f"memref<{rows}x16xbf16, strided<[{size}, 1], offset: ?>, {HBM}>"
    tile = f"memref<{size}x16xbf16, strided<[16, 1], offset: ?>, {HBM}>"
    args = ["%x", "%w", *(["%y"] if residual else []), "%out"]
    maps = ", ".join(["affine_map<(d0, d1) -> (d0, d1)>"] * (3 if residual else 2))
    return f"""
  func.func private @{name}({", ".join(f"{a}: {w if a == '%w' else x}" for a in args)}, %lo: index, %hi: index, %s: {scratch})
      attributes {{fleet.body, fleet.scratch = {rows * 64} : i64}} {{
    %c0 = arith.constant 0 : index
    %c16 = arith.constant 16 : index
    %zero = arith.constant 0.0 : f32
    %acc = memref.view %s[%c0][] : {scratch} to {acc}
    %first = arith.muli %lo, %c16 : index
    %last = arith.muli %hi, %c16 : index
    scf.for %i = %first to %last step %c16 {{
      %t = arith.divui %i, %c16 : index
      %wt = memref.subview %w[%t, 0, 0] [1, {size}, 16] [1, 1, 1] : {w} to {tile}
      linalg.fill ins(%zero : f32) outs(%acc : {acc})
      linalg.matmul ins(%x, %wt : {x}, {tile}) outs(%acc : {acc})
      %o = memref.subview %out[0, %i] [{rows}, 16] [1, 1] : {x} to {part}
      {f"%r = memref.subview %y[0, %i] [{rows}, 16] [1, 1] : {x} to {part}" if residual else ""}
      linalg.generic {{indexing_maps = [{maps}], iterator_types = ["parallel", "parallel"]}}
          ins(%acc{", %r" if residual else ""} : {acc}{f", {part}" if residual else ""}) outs(%o : {part}) {{
      ^bb0(%a: f32, {"%b: bf16, " if residual else ""}%c: bf16):
        %n = arith.truncf %a : f32 to bf16
        {"%m = arith.addf %n, %b : bf16" if residual else ""}
        linalg.yield {"%m" if residual else "%n"} : bf16
      }}
    }}
    return
  }}"""


def schedule(seed: int, l2: int | None = None) -> str:
    """A random module of phase schedule: a graph of contractions, some of shared weights, cut and ordered at random."""
    rng = random.Random(seed)
    chiplets, workers = rng.choice([1, 2, 3, 4]), rng.choice([1, 2, 4])
    rows, size = rng.choice([1, 4, 16]), rng.choice([64, 128, 256, 512])
    l2 = l2 or rng.choice([1 << 16, 1 << 18, 1 << 20])
    count, weights = rng.randint(2, 9), rng.randint(1, 4)
    nbytes, row = size * size * 2, -(-rows * size * 2 // 64) * 64
    x, w = f"memref<{rows}x{size}xbf16, {HBM}>", f"memref<{size // 16}x{size}x16xbf16, {HBM}>"
    lines = [f'    %w{i} = fleet.buffer "params" offset {i * nbytes} : {w}' for i in range(weights)]
    lines += [f'    %x{i} = fleet.buffer "work" offset {i * row} : {x}' for i in range(count + 1)]
    waits: list[list[int]] = []
    queues: dict[tuple[int, int], list[int]] = {(c, k): [] for c in range(chiplets) for k in range(workers)}
    owned: list[set[tuple[int, int]]] = []
    for task in range(count):
        read = rng.sample(range(task + 1), min(task + 1, rng.randint(1, 2)))
        waits.append(sorted(r - 1 for r in read if r))
        operands = [f"%x{read[0]}", f"%w{rng.randrange(weights)}", *(f"%x{r}" for r in read[1:]), f"%x{task + 1}"]
        types = [w if o.startswith("%w") else x for o in operands]
        parts, mine = [], set()
        for c, (lo, hi) in enumerate(cut(rng, 0, size // 16, chiplets)):
            cus = [(k, a, b) for k, (a, b) in enumerate(cut(rng, lo, hi, workers)) if a < b]
            mine |= {(c, k) for k, _, _ in cus}
            if lo < hi:
                inner = " ".join(f"fleet.cu_task on {k} tiles {a} to {b}" for k, a, b in cus)
                parts.append(f"fleet.chiplet_task on {c} tiles {lo} to {hi} into {{ {inner} }}")
        owned.append(mine)
        lines.append(
            f"    fleet.task {task} @task_{len(read) - 1}({', '.join(operands)}) partition <columns, tiles = {size // 16}, "
            f"size = 16> traversal <full_m> waits [{', '.join(map(str, waits[-1]))}] : ({', '.join(types)}) -> () "
            f"into {{ {' '.join(parts)} }}"
        )
    # Any order that follows the waits is one that the queues can have.
    left, done = list(range(count)), set()
    while left:
        task = rng.choice([t for t in left if all(p in done for p in waits[t])])
        left.remove(task)
        done.add(task)
        for who in owned[task]:
            queues[who].append(task)
    lines += [f"    fleet.queue chiplet {c} worker {k} {q}" for (c, k), q in queues.items()]
    return f"""module attributes {{fleet.phase = "schedule", fleet.layers = 1 : i64,
    fleet.manifest = {{inputs = {{tokens = {{shape = [{rows}]}}}}}},
    fleet.target = #fleet.target<"study", backend = rocdl, chiplets = {chiplets}, workers = {workers}, lds = 65536,
        l2 = {l2}, hbm_gbs = 100, tile = 16>}} {{
{body("task_0", rows, size, False)}{body("task_1", rows, size, True)}
  func.func @step() {{
""" + "\n".join(lines) + "\n    return\n  }\n}\n"


def slices(rows: int, size: int, splits: int) -> str:
    """A contraction of which tile t has the columns of tile t mod (size / 16), of slice t div (size / 16) of the terms."""
    x, w = f"memref<{rows}x{size}xbf16, {HBM}>", f"memref<{splits * size // 16}x{size // splits}x16xbf16, {HBM}>"
    out = f"memref<{splits}x{rows}x{size}xf32, {HBM}>"
    xs = f"memref<{rows}x{size // splits}xbf16, strided<[{size}, 1], offset: ?>, {HBM}>"
    part = f"memref<{rows}x16xf32, strided<[{size}, 1], offset: ?>, {HBM}>"
    tile = f"memref<{size // splits}x16xbf16, strided<[16, 1], offset: ?>, {HBM}>"
    return f"""
  func.func private @slices(%x: {x}, %w: {w}, %out: {out}, %lo: index, %hi: index, %s: memref<64xi8, #fleet.mem<lds>>)
      attributes {{fleet.body, fleet.scratch = 64 : i64}} {{
    %one = arith.constant 1 : index
    %c16 = arith.constant 16 : index
    %tiles = arith.constant {size // 16} : index
    %terms = arith.constant {size // splits} : index
    scf.for %t = %lo to %hi step %one {{
      %slice = arith.divui %t, %tiles : index
      %n = arith.remui %t, %tiles : index
      %k = arith.muli %slice, %terms : index
      %i = arith.muli %n, %c16 : index
      %xs = memref.subview %x[0, %k] [{rows}, {size // splits}] [1, 1] : {x} to {xs}
      %wt = memref.subview %w[%t, 0, 0] [1, {size // splits}, 16] [1, 1, 1] : {w} to {tile}
      %o = memref.subview %out[%slice, 0, %i] [1, {rows}, 16] [1, 1, 1] : {out} to {part}
      linalg.matmul ins(%xs, %wt : {xs}, {tile}) outs(%o : {part})
    }}
    return
  }}
  func.func private @sums(%x: {out}, %out: {x}, %lo: index, %hi: index, %s: memref<64xi8, #fleet.mem<lds>>)
      attributes {{fleet.body, fleet.scratch = 64 : i64}} {{
    %zero = arith.constant 0 : index
    %one = arith.constant 1 : index
    %c16 = arith.constant 16 : index
    %splits = arith.constant {splits} : index
    %b = arith.constant 0.0 : bf16
    scf.for %t = %lo to %hi step %one {{
      %i = arith.muli %t, %c16 : index
      %own = memref.alloca() : memref<{rows}x16xf32, #fleet.mem<lds>>
      scf.for %slice = %zero to %splits step %one {{
        %p = memref.subview %x[%slice, 0, %i] [1, {rows}, 16] [1, 1, 1] : {out} to {part}
        memref.copy %p, %own : {part} to memref<{rows}x16xf32, #fleet.mem<lds>>
      }}
      %o = memref.subview %out[0, %i] [{rows}, 16] [1, 1] : {x} to memref<{rows}x16xbf16, strided<[{size}, 1], offset: ?>, {HBM}>
      linalg.fill ins(%b : bf16) outs(%o : memref<{rows}x16xbf16, strided<[{size}, 1], offset: ?>, {HBM}>)
    }}
    return
  }}"""


def bound_schedule(seed: int) -> str:
    """A random chain of which each link is cut by terms: slices, their sum, made by each chiplet for itself, and a
    contraction that reads it there, in ranges of tiles of which a chiplet and a worker may have several."""
    rng = random.Random(seed)
    chiplets, workers, links = rng.choice([2, 3, 4]), rng.choice([2, 4]), rng.randint(1, 4)
    rows, size, splits = rng.choice([1, 4, 16]), rng.choice([64, 128, 256]), rng.choice([2, 4])
    l2, tiles, nbytes, row = rng.choice([1 << 16, 1 << 18]), size // 16, size * size * 2, -(-rows * size * 2 // 128) * 128
    x, own = f"memref<{rows}x{size}xbf16, {HBM}>", f"memref<{rows}x{size}xbf16, #fleet.mem<l2>>"
    w, ws = f"memref<{tiles}x{size}x16xbf16, {HBM}>", f"memref<{splits * tiles}x{size // splits}x16xbf16, {HBM}>"
    part = f"memref<{splits}x{rows}x{size}xf32, {HBM}>"
    lines, queues = [], {(c, k): [] for c in range(chiplets) for k in range(workers)}
    at, task = row, 0

    def cus(lo: int, hi: int, c: int, name: int) -> str:
        found = [(k, a, b) for k, (a, b) in enumerate(cut(rng, lo, hi, workers)) if a < b]
        for k, _, _ in found:
            queues[c, k].append(name)
        return " ".join(f"fleet.cu_task on {k} tiles {a} to {b}" for k, a, b in found)

    def parts(ranges: list[tuple[int, int, int]], name: int) -> str:
        return " ".join(
            f"fleet.chiplet_task on {c} tiles {a} to {b} into {{ {cus(a, b, c, name)} }}" for c, a, b in ranges if a < b
        )

    lines.append(f'    %x0 = fleet.buffer "work" offset 0 : {x}')
    for link in range(links):
        lines += [
            f'    %w{link} = fleet.buffer "params" offset {2 * link * nbytes} : {ws}',
            f'    %v{link} = fleet.buffer "params" offset {(2 * link + 1) * nbytes} : {w}',
            f'    %p{link} = fleet.buffer "work" offset {at} : {part}',
            f'    %s{link} = fleet.buffer "work" offset {at + 2 * splits * row} chiplet_stride {row} : {own}',
            f'    %x{link + 1} = fleet.buffer "work" offset {at + (2 * splits + chiplets) * row} : {x}',
        ]
        at += (2 * splits + chiplets + 1) * row
        # Of each slice a range on each chiplet, in the order of the chiplets.
        ranges = [(c, s * tiles + a, s * tiles + b) for s in range(splits) for c, (a, b) in enumerate(cut(rng, 0, tiles, chiplets))]
        before = f"waits [{task - 1 if task else ''}]"
        lines.append(
            f"    fleet.task {task} @slices(%x{link}, %w{link}, %p{link}) partition <rows, tiles = {splits * tiles}, size = 16, "
            f"splits = {splits}> {before} : ({x}, {ws}, {part}) -> () into {{ {parts(sorted(ranges), task)} }}"
        )
        every = [(c, 0, tiles) for c in range(chiplets)]
        lines.append(
            f"    fleet.task {task + 1} @sums(%p{link}, %s{link}) partition <replicated, tiles = {tiles}, size = 16> "
            f"waits [{task}] : ({part}, {own}) -> () into {{ {parts(every, task + 1)} }}"
        )
        # Who waits on its own chiplet has parts where the sums have theirs: on all of them.
        dealt = [(c, tiles * c // chiplets, tiles * (c + 1) // chiplets) for c in range(chiplets)]
        lines.append(
            f"    fleet.task {task + 2} @task_0(%s{link}, %v{link}, %x{link + 1}) partition <columns, tiles = {tiles}, size = 16> "
            f"waits [] chiplet_waits [{task + 1}] : ({own}, {w}, {x}) -> () into {{ {parts(dealt, task + 2)} }}"
        )
        task += 3
    lines += [f"    fleet.queue chiplet {c} worker {k} {q}" for (c, k), q in queues.items()]
    return f"""module attributes {{fleet.phase = "schedule", fleet.layers = 1 : i64,
    fleet.manifest = {{inputs = {{tokens = {{shape = [{rows}]}}}}}},
    fleet.target = #fleet.target<"study", backend = rocdl, chiplets = {chiplets}, workers = {workers}, lds = 65536,
        l2 = {l2}, hbm_gbs = 100, tile = 16>}} {{
{body("task_0", rows, size, False)}{slices(rows, size, splits)}
  func.func @step() {{
""" + "\n".join(lines) + "\n    return\n  }\n}\n"


@pytest.fixture
def small() -> str:
    return schedule(4)


@pytest.mark.parametrize("seed", range(50))
def test_blocks_against_exact_lines(seed: int) -> None:
    """Caches of blocks count HBM bytes within 1 % of caches of lines, and none can go below the compulsory bytes."""
    text = bound_schedule(seed) if seed % 2 else schedule(seed)
    for mall in (0, 1 << 19):
        blocks, lines = (
            sim.simulate(text, exact=exact, parameters={"mall_bytes": mall})["bytes"] for exact in (False, True)
        )
        assert blocks["compulsory"] == lines["compulsory"] <= blocks["hbm_read"]
        assert abs(blocks["hbm_read"] - lines["hbm_read"]) <= 0.01 * lines["hbm_read"], (blocks, lines)


ANY = [
    {}, {"prefetch": "off"}, {"events": "flat"}, {"scheduler": "dynamic"}, {"chiplets": "unaware"}, {"traversal": "m_major"},
    {"traversal": "n_major", "prefetch": "off", "events": "flat", "chiplets": "unaware"},
]  # fmt: skip


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("switches", ANY, ids=str)
def test_every_task_once_after_its_waits(seed: int, switches: dict[str, str], tmp_path: object) -> None:
    text = schedule(seed)
    if switches.get("scheduler") == "dynamic" and "workers = 1," in text:
        with pytest.raises(FleetError, match="expected chiplets of at least 2 workers for scheduler=dynamic, found 1"):
            sim.simulate(text, switches=switches)
        return
    result, timeline = sim.with_spans(text, switches=switches, row_tile=4)
    tiles = int(re.search(r"tiles = (\d+)", text)[1])
    rows = int(re.search(r"shape = \[(\d+)\]", text)[1])
    parts = -(-rows // 4) if switches.get("traversal", "full_m") != "full_m" else 1
    pieces: dict[int, list[int]] = {}
    begins: dict[int, float] = {}
    ends: dict[int, float] = {}
    waits: dict[int, list[int]] = {}
    for span in (s for s in timeline if s["cat"] == "task"):
        task = span["args"]["task"]
        pieces.setdefault(task, []).extend(span["args"]["pieces"])
        begins[task] = min(begins.get(task, 1e30), span["ts"])
        ends[task] = max(ends.get(task, 0), span["ts"] + span["dur"])
        waits[task] = span["args"]["waits"]
    assert len(pieces) == result["counts"]["device_tasks"]
    for task, done in pieces.items():
        assert sorted(done) == list(range(tiles * parts))
        assert all(begins[task] >= ends[wait] for wait in waits[task])
    # One worker does one thing at a time, and its times add up to the step.
    for worker in range(len(result["workers"])):
        mine = sorted((s["ts"], s["ts"] + s["dur"]) for s in timeline if s["tid"] == worker)
        assert all(a[1] <= b[0] + 1e-3 for a, b in itertools.pairwise(mine))
    names = list(result["mean_worker_us"])
    for worker in result["workers"]:
        assert sum(worker[name] for name in names) == pytest.approx(result["step_us"], rel=1e-6)
        assert all(worker[name] >= -1e-6 for name in names)
    assert result["step_us"] >= result["floor_us"]["hbm"] * 0.999


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("switches", ANY, ids=str)
def test_parts_after_what_their_chiplet_made(seed: int, switches: dict[str, str]) -> None:
    """Tasks cut by terms, made by each chiplet for itself, read where they were made: all tiles, after their waits."""
    text = bound_schedule(seed)
    result, timeline = sim.with_spans(text, switches=switches, row_tile=16)
    chiplets, workers = result["target"]["chiplets"], result["target"]["workers"]
    size, splits = int(re.search(r"replicated, tiles = (\d+)", text)[1]), int(re.search(r"splits = (\d+)", text)[1])
    done: dict[tuple[int, int], list[int]] = {}
    begins: dict[tuple[int, int], float] = {}
    ends: dict[tuple[int, int], float] = {}
    needs: dict[int, tuple[list[int], list[int]]] = {}
    for span in (s for s in timeline if s["cat"] == "task"):
        key = (span["args"]["task"], span["tid"] // workers)
        done.setdefault(key, []).extend(span["args"]["pieces"])
        begins[key] = min(begins.get(key, 1e30), span["ts"])
        ends[key] = max(ends.get(key, 0), span["ts"] + span["dur"])
        needs[key[0]] = (span["args"]["waits"], span["args"]["chiplet_waits"])
    for task in range(result["counts"]["device_tasks"]):
        pieces = [sorted(found) for (name, _), found in done.items() if name == task]
        if task % 3 == 1:
            assert pieces == [list(range(size))] * chiplets
        else:
            assert sorted(itertools.chain(*pieces)) == list(range(size * (splits if task % 3 == 0 else 1)))
    stays = switches.get("chiplets", "aware") == "aware" and switches.get("events", "hierarchical") == "hierarchical"
    for (task, chiplet), begin in begins.items():
        waits, own = needs[task]
        assert bool(own) == (stays and task % 3 == 2)
        assert all(begin >= end for (name, _), end in ends.items() if name in waits)
        assert all(begin >= ends[name, chiplet] for name in own)
    # Sums are waited for where they are made alone: no one tells the device of them.
    assert result["counts"]["exchanges"] == result["counts"]["device_tasks"] * (2 if stays else 3) // 3 - 1


def test_a_chiplet_reads_its_own_instance() -> None:
    """What a chiplet made for itself it finds in its own L2: no other chiplet's writing drops it."""
    text = re.sub(r"l2 = \d+", "l2 = 4194304", bound_schedule(2))
    apart = sim.simulate(text)["bytes"]["l2_missed"]
    shared = re.sub(r"chiplet_stride \d+ ", "", text).replace("#fleet.mem<l2>", HBM)
    shared = sim.simulate(shared)["bytes"]["l2_missed"]
    assert apart < shared


def test_random_schedules_are_schedules() -> None:
    """What the tests above run passes the compiler's own checks."""
    for seed in range(10):
        for text in (schedule(seed), bound_schedule(seed)):
            tools.run("fleet-opt", ["--fleet-check-progress", "--fleet-check-coherence"], text)


@pytest.mark.parametrize("target", ["target=gfx950", "target=sm_90a", "target=cpu chiplets=3 workers=2"])
def test_kernel_as_its_schedule(target: str) -> None:
    """The tables of a kernel are simulated as the schedule that they were made from; all bodies are followed."""
    text = (Path(__file__).parents[1] / "docs" / "step.mlir").read_text()
    phases = ("import", "tasks", "chiplets", "tiles", "memory", "events", "schedule")
    planned = tools.run("fleet-opt", [f"--fleet-set-target={target}", *(f"--fleet-phase-{phase}" for phase in phases)], text)
    result = sim.simulate(planned)
    assert sim.simulate(tools.run("fleet-opt", ["--fleet-phase-kernel"], planned)) == result
    assert result["bytes"]["hbm_read"] >= result["bytes"]["compulsory"] > 0
    assert result["counts"]["tasks_run"] == result["counts"]["cu_tasks"]


def test_bytes_of_a_schedule() -> None:
    """Every weight leaves HBM once while the caches hold it, and again when they do not."""
    text = schedule(3, l2=1 << 22)
    size = int(re.search(r"%w0 = .*memref<\d+x(\d+)x16", text)[1])
    used = len(set(re.findall(r"\(%x\d+, (%w\d+)", text)))
    read = sim.simulate(text)["bytes"]
    activations = read["compulsory"] - used * size * size * 2
    assert 0 <= activations <= 64 * 1024
    assert read["hbm_read"] >= read["compulsory"]
    none = sim.simulate(schedule(3, l2=4096), parameters={"mall_bytes": 0})["bytes"]
    assert none["hbm_read"] > read["hbm_read"]


def two_key_heads(target: str, rows: int, *, layers: int, context: int) -> str:
    """The schedule of a step of a Qwen3 with 4 query heads and 2 key heads of 32."""
    import torch
    from transformers import Qwen3Config

    from fleet_mlir import compiler
    from fleet_mlir.importer import import_step

    config = Qwen3Config(
        hidden_size=64, intermediate_size=128, num_hidden_layers=layers, num_attention_heads=4, num_key_value_heads=2,
        head_dim=32, vocab_size=256, max_position_embeddings=context,
    )  # fmt: skip
    raw = import_step(config, dtype=torch.bfloat16, tokens=rows, slots=rows, context=context, out_rows=rows)
    phases = compiler.PHASES[: compiler.PHASES.index("schedule") + 1]
    return compiler.run_phases(raw, phases, target)[0]


@pytest.mark.parametrize(("rows", "groups"), [(8, 1), (16, 2), (33, 4)])
def test_caches_of_dealt_rows_are_read_once(rows: int, groups: int) -> None:
    """Of 2 layers with 2 key heads of 32, whatever row group of attention a row is of."""
    text = two_key_heads("sm_90a", rows, layers=2, context=512)
    assert re.findall(r"row_groups = (\d+)", text)[:1] == ([str(groups)] if groups > 1 else [])
    long, short = (sim.simulate(text, context=context)["bytes"] for context in (512, 100))
    position = 2 * 2 * 2 * 32 * 2
    for what in ("compulsory", "hbm_read", "l2_requested"):
        assert long[what] - short[what] == rows * 412 * position, what


@pytest.mark.parametrize(("target", "rows", "rounds"), [("sm_90a", 1, 2), ("sm_90a", 2, 4), ("sm_90a", 3, 0), ("gfx950", 2, 0)])
def test_attention_of_few_rows_goes_in_rounds(target: str, rows: int, rounds: int) -> None:
    """A row has 8 warps, or its share of them, each of which takes 16 positions of the part in a round; on NVIDIA chips alone."""
    text = two_key_heads(target, rows, layers=2, context=4096)
    quick, slow = (sim.simulate(text, parameters={"few_positions_ns": ns})["step_us"] for ns in (0, 100_000))
    assert not rounds or "parts = 16 : i64" in text
    assert slow - quick == pytest.approx(2 * rounds * 100, abs=1)


@pytest.mark.parametrize(("rows", "parameter"), [(16, "positions_ns"), (24, "copied_positions_ns")])
def test_attention_of_many_rows_is_copied_beyond_16(rows: int, parameter: str) -> None:
    """One cost of a round applies and the other does not: rounds of up to 16 rows are loaded to registers."""
    text = two_key_heads("sm_90a", rows, layers=1, context=512)
    base = sim.simulate(text)["step_us"]
    for name in ("positions_ns", "copied_positions_ns"):
        slow = sim.simulate(text, parameters={name: 100_000})["step_us"]
        assert (slow > base + 90) if name == parameter else slow == base, name


def test_steps_of_a_model_that_fits(small: str) -> None:
    """With a memory side cache that holds all, the second step reads nothing from HBM."""
    once, twice = (sim.simulate(small, steps=steps)["bytes"] for steps in (1, 2))
    assert once["hbm_read"] == once["compulsory"]
    assert twice["hbm_read"] == 0 and twice["compulsory"] == once["compulsory"]


def test_bandwidth_and_switches(small: str) -> None:
    base = sim.simulate(small)
    slow = sim.simulate(small, parameters={"hbm_efficiency": 0.1})
    assert slow["step_us"] > base["step_us"]
    assert slow["parameters"]["hbm_efficiency"]["origin"] == "given"
    assert sim.simulate(small, switches={"prefetch": "off"})["step_us"] >= base["step_us"]
    flat = sim.simulate(small, switches={"events": "flat"})
    assert flat["counts"]["write_backs"] == flat["counts"]["cu_tasks"] == flat["counts"]["signals"]
    assert base["counts"]["signals"] > base["counts"]["cu_tasks"]


def test_switches_of_the_module(small: str) -> None:
    """A module says what it was scheduled for; what is given replaces it."""
    made = 'fleet.schedule = {prefetch = "off", events = "flat", scheduler = "dynamic", chiplets = "unaware"}, fleet.layers'
    text = small.replace("fleet.layers", made, 1)
    options = sim.simulate(text)["options"]
    assert (options["prefetch"], options["events"], options["scheduler"], options["chiplets"]) == (False, "flat", "dynamic", "unaware")
    switches = {"prefetch": "on", "events": "hierarchical", "scheduler": "static", "chiplets": "aware"}
    assert sim.simulate(text, switches=switches) == sim.simulate(small)


def test_streamed_with_its_weights(small: str) -> None:
    """Where nothing is fetched ahead, what a tile's loop reads comes with the weights, not before them."""
    loop = re.sub(
        r"      linalg.matmul ins\(%x, %wt : (.*?), (.*?)\) outs\(%acc : (.*?)\)\n",
        r"      %c1 = arith.constant 1 : index\n      scf.for %k = %c0 to %c1 step %c1 {\n"
        r"        linalg.matmul ins(%x, %wt : \1, \2) outs(%acc : \3)\n      }\n",
        small,
    )
    assert loop != small
    ahead, plain = sim.simulate(loop), sim.simulate(small)
    assert ahead["step_us"] == plain["step_us"] and ahead["bytes"] == plain["bytes"]
    late = {"prefetch": "off"}
    streamed, apart = (sim.simulate(text, switches=late) for text in (loop, small))
    assert streamed["bytes"]["l2_requested"] == apart["bytes"]["l2_requested"]
    assert streamed["mean_worker_us"]["activations"] < apart["mean_worker_us"]["activations"]


def test_additions_take_time(small: str) -> None:
    """A sum in memory that is added to in place costs what add_gbs says, one that is written does not."""
    adds = small.replace("linalg.yield %n : bf16", "%q = arith.addf %n, %c : bf16\n        linalg.yield %q : bf16")
    assert adds != small
    slow, fast = ({"add_gbs": rate} for rate in (0.001, 1.0))
    assert sim.simulate(adds, parameters=slow)["step_us"] > 2 * sim.simulate(adds, parameters=fast)["step_us"]
    assert sim.simulate(small, parameters=slow)["step_us"] == sim.simulate(small, parameters=fast)["step_us"]


def test_same_answer_twice(small: str) -> None:
    assert sim.simulate(small) == sim.simulate(small)


def test_ablation(small: str) -> None:
    rows = sim.ablate(small, parameters={"mall_bytes": 0})
    alone = re.sub(r"workers = \d+", "workers = 1", schedule(7))
    assert "static queues" not in [row["without"] for row in sim.ablate(alone)]
    assert [row["without"] for row in rows] == [
        "nothing", "prefetch", "hierarchical events", "static queues", "chiplet binding", "full_m traversal", "all of them",
    ]  # fmt: skip
    assert sim.ablation_text(rows).splitlines()[1].split()[:2] == ["nothing", f"{rows[0]['step_us']:.1f}"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"switches": {"speed": "on"}}, "unknown switch speed: the switches are prefetch, events"),
        ({"switches": {"events": "none"}}, "unknown value none of the switch events: expected hierarchical or flat"),
        ({"parameters": {"speed": 1.0}}, "expected the name of a parameter, found 'speed'"),
        ({"parameters": {"hbm_ns": -1.0}}, "expected hbm_ns=NUMBER, a number of at least 0, found '-1.0'"),
        ({"groups": {"task_9": 2}}, "expected --group=BODY:N, a body of the schedule and a number of at least 1"),
        ({"steps": 0}, "expected --steps of at least 1, found 0"),
        ({"row_tile": 0}, "expected --row-tile of at least 1, found 0"),
        ({"context": -1}, "expected --context of at least 0, found -1"),
    ],
)  # fmt: skip
def test_refusals(small: str, options: dict, message: str) -> None:
    with pytest.raises(FleetError, match=re.escape(message)):
        sim.simulate(small, **options)


@pytest.mark.parametrize("text", ["prefetch", "prefetch=on,flat"])
def test_switches_of_another_form(text: str) -> None:
    with pytest.raises(FleetError, match="expected SWITCH=VALUE, found"):
        sim.parse_switches(text)


def test_parameters_of_another_form() -> None:
    assert sim.parse_parameters(["hbm_ns=7"]) == {"hbm_ns": 7.0}
    with pytest.raises(FleetError, match="expected NAME=NUMBER, found 'hbm_ns=fast'"):
        sim.parse_parameters(["hbm_ns=fast"])


def test_command(small: str, tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    source, trace, page = tmp_path / "s.mlir", tmp_path / "t.json", tmp_path / "r.html"
    source.write_text(small)
    assert main(["simulate", str(source), "--trace", str(trace), "--report", str(page), "--against", "chiplets=unaware"]) == 0
    assert capsys.readouterr().out.startswith("target          study, ")
    tracks = {e["args"]["name"] for e in json.loads(trace.read_text())["traceEvents"] if e["ph"] == "M"}
    assert {"chiplet 0", "worker 0"} <= tracks
    text = page.read_text()
    assert "chiplets unaware" in text and not re.search(r"(?:https?:)?//\w+\.\w|src=|@import", text)
    assert main(["simulate", str(source), "--json", "--switch", "prefetch=off"]) == 0
    assert json.loads(capsys.readouterr().out)["options"]["prefetch"] is False
    assert main(["simulate", str(source), "--ablate"]) == 0
    assert "all of them" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--against", "chiplets=unaware"], "--against needs --report"),
        (["--ablate", "--trace", "t.json"], "give either --ablate or --trace and --report"),
        (["--report", "/nowhere/r.html"], "cannot write /nowhere/r.html: there is no folder /nowhere"),
        (["--switch", "prefetch"], "expected SWITCH=VALUE, found 'prefetch'"),
    ],
)
def test_command_refuses(small: str, extra: list[str], message: str, tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "s.mlir"
    source.write_text(small)
    assert main(["simulate", str(source), *extra]) == 1
    assert message in capsys.readouterr().err


def test_command_without_a_file(tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", str(tmp_path / "none.mlir")]) == 1
    assert "none.mlir: No such file or directory" in capsys.readouterr().err


def stamps_of(timeline: list[dict], workers: int, factor: float = 1.0, own: bool = False) -> dict:
    """What a kernel with these times would leave: ticks of 2 ns, ``factor`` times as long in its tasks."""
    rows = []
    for worker in range(workers):
        now, mine = 1000.0 * worker if own else 0.0, sorted((s for s in timeline if s["tid"] == worker), key=lambda s: s["ts"])
        for i, span in enumerate(mine):
            if span["cat"] != "task":
                continue
            taken = mine[i - 1]["ts"] if i and mine[i - 1]["cat"] == "wait" else span["ts"]
            times = [taken, span["ts"], span["ts"] + span["dur"] * factor, span["ts"] + span["dur"] * factor]
            rows.append([round(500 * (now + time)) for time in times])
    return {"tick_ns": 2.0, "clock": "worker" if own else "common", "stamps": rows}


def test_a_measurement_that_is_the_simulation(small: str, tmp_path) -> None:
    """Stamps made of a simulation's own spans compare as equal, and a kernel that takes longer shows where."""
    result, timeline = sim.with_spans(small)
    workers, stamps = len(result["workers"]), tmp_path / "stamps.json"
    stamps.write_text(json.dumps(stamps_of(timeline, workers)))
    measured, its = sim.with_spans(small, stamps=stamps)
    assert measured["measured"] and not result["measured"]
    for name, body in measured["bodies"].items():
        for what in ("tasks", "entries"):
            assert body[what] == result["bodies"][name][what]
        for what in ("run_us", "longest_us", "span_us"):
            assert body[what] == pytest.approx(result["bodies"][name][what], rel=0.02, abs=0.05)
    tasks = [[(s["tid"], s["name"], s["args"]["pieces"]) for s in spans if s["cat"] == "task"] for spans in (timeline, its)]
    assert sorted(tasks[0]) == sorted(tasks[1])
    assert measured["step_us"] <= result["step_us"] * 1.001
    lines = sim.measured_text(result, measured).splitlines()
    assert lines[0].split()[:4] == ["body", "tasks", "a", "task"] and lines[-1].startswith("step")
    # Clocks that count from other zeros begin together; a run that is half as long as simulated is 100 % off.
    stamps.write_text(json.dumps(stamps_of(timeline, workers, 0.5, own=True)))
    measured = sim.measured(small, stamps)
    name = max(result["bodies"], key=lambda body: result["bodies"][body]["run_us"])
    assert measured["bodies"][name]["run_us"] == pytest.approx(result["bodies"][name]["run_us"] / 2, rel=0.02, abs=0.05)
    assert measured["step_us"] < 1000


def test_stamps_of_an_arena() -> None:
    """Four counts an entry stand in the work arena where the manifest says."""
    arena = bytes(64) + struct.pack("<8q", 1, 2, 3, 4, 5, 6, 7, 1 << 40)
    found = sim.stamps_of(arena, 64, 2, tick_ns=0.5)
    assert found == {"tick_ns": 0.5, "clock": "worker", "stamps": [[1, 2, 3, 4], [5, 6, 7, 1 << 40]]}
    with pytest.raises(FleetError, match="expected 96 bytes of stamps at offset 64, found 64"):
        sim.stamps_of(arena, 64, 3, tick_ns=0.5)


def test_command_with_stamps(small: str, tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    """One table, one page and two traces of the same form: simulated and measured."""
    source, stamps, trace, page = (tmp_path / name for name in ("s.mlir", "stamps.json", "t.json", "r.html"))
    source.write_text(small)
    result, timeline = sim.with_spans(small)
    stamps.write_text(json.dumps(stamps_of(timeline, len(result["workers"]), 0.8)))
    arguments = ["simulate", str(source), "--against", str(stamps), "--trace", str(trace), "--report", str(page)]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[0].split()[0] == "body" and re.search(r"task_\d .*\+\d+\.\d %", out)
    measured = tmp_path / "t.measured.json"
    assert [e["ph"] for e in json.loads(trace.read_text())["traceEvents"]][:3] == ["M", "M", "M"]
    assert {s["name"] for s in sim.spans(measured)} <= {s["name"] for s in sim.spans(trace)}
    assert "what a kernel has measured" in page.read_text()
    assert main([*arguments[:4], "--json"]) == 0
    both = json.loads(capsys.readouterr().out)
    assert set(both) == {"simulated", "measured"} and both["measured"]["measured"]
    stamps.write_text('{"tick_ns": 1, "clock": "common", "stamps": []}')
    assert main(arguments) == 1
    assert "expected a row of stamps for each of" in capsys.readouterr().err


def test_ideas_are_compiled(capsys: pytest.CaptureFixture[str]) -> None:
    """Every idea has its row, the command's first is the compiler's own choice, and a bad phase is refused."""
    text = (Path(__file__).parents[1] / "docs" / "step.mlir").read_text()
    text = tools.run("fleet-opt", ["--fleet-set-target=target=gfx950", "--fleet-phase-import"], text)
    seen: list[str] = []
    rows = sim.ablate_ideas(text, progress=lambda row: seen.append(sim.ideas_line(row)))
    names = [row["name"] for row in rows]
    assert names[0] == "all ideas" and names[-2:] == ["none of them", "the paper's choice"]
    assert {f"without {idea}" for idea in sim.IDEAS} | {f"{idea} alone" for idea in sim.IDEAS} == set(names[1:-2])
    assert rows[0]["device_signals"] < rows[-2]["device_signals"] and len(seen) == len(rows)
    assert all(row["hbm"] >= 1 and row["step_us"] > 0 for row in rows)
    assert sim.ideas_line().splitlines()[0].split() == ["step", "ms", "HBM", "exchanges", "device", "signals", "arrivals"]
    with pytest.raises(FleetError, match="a schedule is chosen before"):
        sim.ablate_ideas(schedule(4))


def paper() -> ModuleType:
    """The benchmark that compares with the paper."""
    spec = importlib.util.spec_from_file_location("simulate_paper", Path(__file__).parents[2] / "benchmarks" / "simulate_paper.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("batch", [1, *(pytest.param(batch, marks=pytest.mark.slow) for batch in (8, 32, 64))])
def test_the_paper(batch: int) -> None:
    """Times within 15 %, L2 hits within 5 points and the ratio of HBM reads within 0.08 of those of the Fleet paper."""
    study = paper()
    figures = study.figures(batch, study.run(batch, False), study.run(batch, True))
    assert [row for row in figures if not row[-1]] == []
    assert len(figures) == 5


def test_a_paper_that_disagrees() -> None:
    """A figure that is off is said to be: faster workers make the times of both kernels disagree, not the hits."""
    study = paper()
    results = [{"step_us": 1000.0, "l2_hit_rate": 0.17, "bytes": {"l2_missed": 100}} for _ in range(2)]
    assert [row[-1] for row in study.figures(1, *results)] == [False, True, False, True, True]


def _browser() -> str:
    """A browser without a window: ``FLEET_BROWSER``, or the one that ``scripts/setup`` installs."""
    found = os.environ.get("FLEET_BROWSER") or shutil.which("chromium") or shutil.which("google-chrome")
    assert found, "no chromium: run scripts/setup, or set FLEET_BROWSER"
    return found


def _shown(page: Path) -> str:
    """The page after its script has run; raises if that wrote an error to the console."""
    with tempfile.TemporaryDirectory(prefix="fleet-browser-") as profile:
        done = subprocess.run(
            [_browser(), "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", f"--user-data-dir={profile}",
             "--virtual-time-budget=5000", "--dump-dom", page.as_uri()],
            capture_output=True, text=True, timeout=120, check=True,
        )  # fmt: skip
    assert "CONSOLE" not in done.stderr, done.stderr[-2000:]
    return done.stdout


# What a user does, and what the page shows then: asked of the page itself, after its own script.
_ACTS = """<script>addEventListener('load',()=>{
 const view=document.querySelector('canvas.timeline'),at=(type,x,y,more={})=>view.dispatchEvent(new MouseEvent(type,{clientX:view.getBoundingClientRect().x+x,clientY:view.getBoundingClientRect().y+y,bubbles:true,...more}));
 const said=i=>document.getElementById('hint'+i).textContent,log=[];
 const ink=c=>{const p=c.getContext('2d').getImageData(0,0,c.width,c.height).data;let n=0;for(let i=3;i<p.length;i+=4)n+=p[i]>0;return n;};
 log.push('ink '+[...document.querySelectorAll('canvas')].every(c=>ink(c)>0));
 view.dispatchEvent(new WheelEvent('wheel',{deltaY:-1,clientX:view.getBoundingClientRect().x+view.clientWidth/2,clientY:0,cancelable:true}));log.push('zoomed '+said(0));
 at('mousedown',100,5);at('mousemove',60,5);at('mouseup',60,5);log.push('moved '+said(0));
 let found='';for(let x=1;x<view.clientWidth&&!found;x+=2)for(let y=1;y<520&&!found;y+=5){at('mousemove',x,y);if(said(0).startsWith('chiplet'))found=said(0);}log.push('pointed '+found);
 const out=document.createElement('pre');out.id='log';out.textContent=log.join('\\n');document.body.append(out);});</script></body>"""


def test_report_in_a_browser(small: str, tmp_path) -> None:
    """The page's script runs to its end without an error; it draws, zooms, moves and names what is pointed at."""
    result, timeline = sim.with_spans(small)
    stamps = tmp_path / "stamps.json"
    stamps.write_text(json.dumps(stamps_of(timeline, len(result["workers"]), 0.8)))
    measured, its = sim.with_spans(small, stamps=stamps)
    page = tmp_path / "r.html"
    page.write_text(sim.report(result, timeline, title="a <small> schedule", batch=1).replace("</body>", _ACTS))
    text = _shown(page)
    assert 'data-drawn="yes"' in text
    assert "% of the limit" in text and "a &lt;small&gt; schedule" in text and "paper, M-tile" in text
    log = re.search(r'<pre id="log">(.*?)</pre>', text, re.S)[1].splitlines()
    assert log[0] == "ink true"
    whole = f" of {result['step_us']:.1f} us"
    zoomed, moved = (re.fullmatch(rf"\w+ ([\d.]+) to ([\d.]+) us{re.escape(whole)}", line) for line in log[1:3])
    assert zoomed and moved, log
    assert float(zoomed[2]) - float(zoomed[1]) < result["step_us"] * 0.81
    assert float(moved[1]) >= float(zoomed[1])
    assert re.match(r"pointed chiplet \d+ worker \d+: \w+ from [\d.]+ for [\d.]+ us", log[3]), log
    page.write_text(sim.report(result, timeline, against=measured, against_timeline=its))
    text = _shown(page)
    assert text.count('class="timeline"') == 2 == text.count('class="stalls"')
    assert "Bodies, against the measurement" in text and f"us of {measured['step_us']:.1f} us" in text


def test_a_page_with_an_error_is_seen(tmp_path) -> None:
    """A script that fails fails the test above."""
    page = tmp_path / "r.html"
    page.write_text("<body><script>nothing.at.all()</script></body>")
    with pytest.raises(AssertionError, match="nothing is not defined"):
        _shown(page)


@pytest.mark.parametrize(("rows", "share"), [(4, 0.5), (8, 1.0), (16, 2.0)])
def test_a_round_of_fewer_rows_takes_its_share(rows: int, share: float) -> None:
    """A round of attention of many rows is of eight warps' rows: four take half of what eight do, sixteen two rounds."""
    text = two_key_heads("sm_90a", rows, layers=1, context=512)
    quick, slow = (sim.simulate(text, parameters={"positions_ns": ns})["step_us"] for ns in (0, 100_000))
    (parts,) = {int(number) for number in re.findall(r"fleet.attention_partial .*?parts = (\d+)", text)}
    groups = int((re.findall(r"row_groups = (\d+)", text) or [1])[0])
    blocks = -(-512 // 16 // parts)
    assert slow - quick == pytest.approx(share / groups * blocks * 100, rel=0.02)
