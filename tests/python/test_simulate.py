"""The simulator: what it counts, what it refuses, and that it runs every schedule as its waits demand."""

import itertools
import json
import os
import random
import re
import shutil
import subprocess
from pathlib import Path

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


@pytest.fixture
def small() -> str:
    return schedule(4)


@pytest.mark.parametrize("seed", range(50))
def test_blocks_against_exact_lines(seed: int) -> None:
    """Caches of blocks count HBM bytes within 1 % of caches of lines, and none can go below the compulsory bytes."""
    text = schedule(seed)
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


def test_random_schedules_are_schedules() -> None:
    """What the tests above run passes the compiler's own checks."""
    for seed in range(10):
        tools.run("fleet-opt", ["--fleet-check-progress", "--fleet-check-coherence"], schedule(seed))


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


def _browser() -> str | None:
    return os.environ.get("FLEET_BROWSER") or shutil.which("chromium") or shutil.which("google-chrome")


@pytest.mark.skipif(not _browser(), reason="no chromium")
def test_report_in_a_browser(small: str, tmp_path) -> None:
    """The page's script runs to its end, draws the roofline and no error reaches the log."""
    result, timeline = sim.with_spans(small)
    page = tmp_path / "r.html"
    page.write_text(sim.report(result, timeline, title="a <small> schedule", batch=1))
    done = subprocess.run(
        [_browser(), "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom", page.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert 'data-drawn="yes"' in done.stdout
    assert "% of the limit" in done.stdout and "a &lt;small&gt; schedule" in done.stdout
    assert f"us of {result['step_us']:.1f} us" in done.stdout
    assert "CONSOLE" not in done.stderr, done.stderr[-2000:]
