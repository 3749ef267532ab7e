"""Properties of every schedule: proved, each part run once and after what it needs, the same numbers however it is cut."""

import re
import time
from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from graphs import Graph, decoder
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from fleet_mlir import FleetError, simulate
from fleet_mlir.compiler import PHASES, from_text, run_phases
from fleet_mlir.importer import import_step
from fleet_mlir.known import config_of

# An example is small already: looking for a smaller one takes minutes.
QUIET = {
    "deadline": None, "derandomize": True, "suppress_health_check": list(HealthCheck), "database": None,
    "phases": (Phase.explicit, Phase.generate),
}  # fmt: skip
SCHEDULES = (
    "", "partition=rows", "partition=columns", "binding=off", "chiplets=unaware", "queues=even", "queues=balanced",
    "order=program", "partition=rows,queues=even,order=list", "traversal=m_major", "traversal=n_major",
    "traversal=windowed,partition=columns",
)  # fmt: skip


@dataclass
class Task:
    """A device task of a scheduled module's text."""

    operands: list[str]
    kind: str
    tiles: int
    waits: list[int]
    chiplet_waits: list[int]
    parts: list[tuple[int, int, int, int]] = field(default_factory=list)  # chiplet, worker, lo, hi


_TASK = re.compile(
    r"fleet\.task (\d+) @\w+\(([^)]*)\) partition <(\w+), tiles = (\d+).*? waits \[([^\]]*)\](?: chiplet_waits \[([^\]]*)\])?"
)
_QUEUE = re.compile(r"fleet\.queue chiplet (\d+) worker (\d+) \[([^\]]*)\]")


def _numbers(text: str | None) -> list[int]:
    return [int(n) for n in text.split(",") if n.strip()] if text else []


def read(text: str) -> tuple[list[Task], dict[tuple[int, int], list[int]]]:
    """Tasks and queues of a module of phase schedule, found with nothing of the compiler."""
    tasks, queues, chiplet = [], {}, 0
    for line in text.splitlines():
        if match := _TASK.search(line):
            number, operands, kind, tiles, waits, own = match.groups()
            assert int(number) == len(tasks)
            tasks.append(Task(operands.split(", "), kind, int(tiles), _numbers(waits), _numbers(own)))
        elif match := re.search(r"fleet\.chiplet_task on (\d+)", line):
            chiplet = int(match.group(1))
        elif match := re.search(r"fleet\.cu_task on (\d+) tiles (\d+) to (\d+)", line):
            tasks[-1].parts.append((chiplet, *map(int, match.groups())))
        elif match := _QUEUE.search(line):
            queues[int(match.group(1)), int(match.group(2))] = _numbers(match.group(3))
    return tasks, queues


def check(text: str, seed: int = 0) -> None:
    """Every tile once (of a replicated task on each chiplet), every entry once, in an order in which all it needs is done."""
    tasks, queues = read(text)
    assert tasks and queues
    left = defaultdict(int)
    for number, task in enumerate(tasks):
        of = defaultdict(list)
        for chiplet, _, lo, hi in task.parts:
            of[chiplet if task.kind == "replicated" else 0] += range(lo, hi)
            left[number, chiplet] += 1
        assert all(sorted(tiles) == list(range(task.tiles)) for tiles in of.values()), (
            f"task {number} does not run every tile once"
        )
    entries = sorted((chiplet, worker, number) for number, t in enumerate(tasks) for chiplet, worker, _, _ in t.parts)
    assert entries == sorted((*who, n) for who, queue in queues.items() for n in queue), "the queues are not the parts"
    writer = {}
    needs = []
    for number, task in enumerate(tasks):
        needs.append({writer[o] for o in task.operands[:-1] if o in writer})
        writer[task.operands[-1]] = number

    def done(number: int, chiplet: int | None = None) -> bool:
        return all(not n for (t, c), n in left.items() if t == number and chiplet in (None, c))

    at, random = {who: 0 for who in queues}, np.random.default_rng(seed)
    while open_ := [who for who in queues if at[who] < len(queues[who])]:
        moved = False
        for index in random.permutation(len(open_)):
            chiplet, worker = open_[index]
            number = queues[chiplet, worker][at[chiplet, worker]]
            task = tasks[number]
            if all(map(done, task.waits)) and all(done(n, chiplet) for n in task.chiplet_waits):
                for need in needs[number]:
                    assert done(need, chiplet), f"task {number} runs before task {need} is done on chiplet {chiplet}"
                at[chiplet, worker] += 1
                left[number, chiplet] -= 1
                moved = True
        assert moved, "the queues stop"


@st.composite
def graphs(draw) -> tuple[Graph, str]:
    """A random step: branches that are added, gated, normalised, attended to and multiplied by weights."""
    graph = Graph(draw(st.sampled_from([1, 3, 4])), 16 * draw(st.integers(2, 6)), seed=draw(st.integers(0, 99)))
    depth = 16
    values = [graph.embed(16 * draw(st.sampled_from([2, 4, 6, 8])))]
    for index in range(draw(st.integers(1, 5))):
        x = draw(st.sampled_from(values))
        # A step without any cache has no arena for it.
        kind = draw(st.sampled_from(["linear", "add", "gate", "norm", "attend", "branch"])) if index else "attend"
        same = [v for v in values if graph.widths[v] == graph.widths[x]]
        if kind == "linear":
            x = graph.linear(x, 16 * draw(st.integers(1, 8)))
        elif kind == "add":
            x = graph.add(x, draw(st.sampled_from(same)))
        elif kind == "gate":
            inner = 16 * draw(st.sampled_from([4, 6, 8]))
            x = graph.add(x, graph.linear(graph.gate(graph.linear(x, inner), graph.linear(x, inner)), graph.widths[x]))
        elif kind == "norm":
            x = graph.linear(graph.norm(x), 16 * draw(st.integers(1, 6)))
        elif kind == "attend":
            groups, each = draw(st.sampled_from([(1, 2), (2, 2), (4, 1), (3, 1)]))
            n = graph.norm(x)
            q, k, v = (graph.linear(n, count * depth) for count in (groups * each, groups, groups))
            x = graph.add(x, graph.linear(graph.attend(q, k, v, groups * each, groups), graph.widths[x]))
        else:
            x = graph.add(graph.linear(x, graph.widths[x]), graph.linear(graph.norm(x), graph.widths[x]))
        values.append(x)
    return graph, graph.text(graph.norm(x))


TARGETS = st.sampled_from(["cpu:2x2", "cpu:2x3", "cpu:3x2", "cpu:4x1", "cpu:4x3", "cpu:1x4"])


@settings(max_examples=10, **QUIET)
@given(graphs(), TARGETS, st.sampled_from(SCHEDULES))
def test_a_schedule_is_proved_and_runs_every_part_once(made, target, schedule):
    """The compiler's own proofs stand in its phases; `check` knows nothing of them."""
    check(run_phases(made[1], PHASES[:7], target, schedule=schedule or None)[0])


@settings(max_examples=3, **QUIET)
@given(graphs(), TARGETS, st.sampled_from(SCHEDULES))
def test_numbers_do_not_depend_on_the_cut(made, target, schedule):
    graph, text = made
    weights = graph.values()
    tokens = [3, 1, 30, 7][: graph.tokens]
    rows = range(graph.tokens)
    step = from_text(text, target, schedule=schedule or None).bind({n: torch.from_numpy(v) for n, v in weights.items()})
    first = step.step(tokens, rows, [0] * len(tokens), rows).logits.copy()
    again = step.step(tokens, rows, [0] * len(tokens), rows).logits
    want = graph.reference(weights, tokens)
    assert np.abs(first - want).max() < 1e-5 * np.abs(want).max()
    assert (first == again).all(), "two runs differ"


@pytest.mark.parametrize(("rows", "cut"), [(8, {"task_6"}), (20, {"task_4", "task_6"})])
def test_slices_of_one_die_compute_the_same(rows, cut):
    """The plan for an NVIDIA chip, with all slices that its kernel can have, whose tiles are then compiled for a CPU.

    Norms of rows add the slices themselves, and contractions by columns that add the result, if they are not cut.
    """
    graph, text = decoder(rows, 256, 8, 4, 128, 4096, 96, 2)
    weights = graph.values()
    tiles = run_phases(text, PHASES[:4], "sm_90a", schedule="partition=rows")[0]
    assert set(re.findall(r"@(\w+)_slices\(.*partition <rows", tiles)) == cut
    assert "of_task_6_sum(" in tiles and ("of_task_4_sum(" in tiles) == ("task_4" in cut)
    chip, workers = (
        re.search(r"fleet\.target = (.*?>)", run_phases(text, PHASES[:1], t)[0])[1] for t in ("sm_90a", "cpu:1x132")
    )
    step = from_text(tiles.replace(chip, workers)).bind({n: torch.from_numpy(v) for n, v in weights.items()})
    tokens = [7 * i % 96 for i in range(rows)]
    want = graph.reference(weights, tokens)
    got = step.step(tokens, range(rows), [0] * rows, range(rows)).logits
    assert np.abs(got - want).max() < 1e-5 * np.abs(want).max()


@pytest.mark.slow
@settings(max_examples=150, **QUIET)
@given(graphs(), TARGETS, st.sampled_from(SCHEDULES), st.integers(0, 9))
def test_many_schedules(made, target, schedule, seed):
    check(run_phases(made[1], PHASES[:7], target, schedule=schedule or None)[0], seed)


@pytest.mark.slow
@pytest.mark.parametrize("target", ["cpu:2x2", "cpu:4x3"])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_switch_computes_the_same(target, schedule):
    graph, text = decoder(4, 128, 8, 4, 16, 256, 96, 2)
    weights = graph.values()
    step = from_text(text, target, schedule=schedule or None).bind({n: torch.from_numpy(v) for n, v in weights.items()})
    tokens = [3, 1, 30, 7]
    want = graph.reference(weights, tokens)
    got = step.step(tokens, range(4), [0] * 4, range(4)).logits
    assert np.abs(got - want).max() < 1e-5 * np.abs(want).max()


@pytest.mark.slow
@pytest.mark.parametrize("order", ["m_major", "n_major", "windowed"])
def test_every_traversal_computes_the_same(order):
    """96 rows: two windows of three tiles of 16 rows."""
    graph, text = decoder(96, 64, 4, 2, 16, 128, 96, 1)
    weights = graph.values()
    step = from_text(text, "cpu:2x2", schedule=f"traversal={order}").bind(
        {n: torch.from_numpy(v) for n, v in weights.items()}
    )
    tokens = [7 * i % 96 for i in range(96)]
    want = graph.reference(weights, tokens)
    got = step.step(tokens, range(96), [0] * 96, range(96)).logits
    assert np.abs(got - want).max() < 1e-5 * np.abs(want).max()


@pytest.mark.slow
def test_cost_grows_with_the_size():
    """Seconds of the phases from chiplets to schedule, printed, near linear in layers and chiplets."""

    def seconds(layers: int, chiplets: int) -> float:
        text = run_phases(decoder(1, 2048, 64, 64, 32, 4096, 2048, layers)[1], PHASES[:2], f"gfx950:{chiplets}x32")[0]
        start = time.process_time()
        run_phases(text, PHASES[2:7])
        return time.process_time() - start

    layers = {n: seconds(n, 8) for n in (8, 16, 32, 64)}
    chiplets = {n: seconds(16, n) for n in (4, 8, 16, 32, 64)}
    print(
        "layers", {n: round(s, 2) for n, s in layers.items()}, "chiplets", {n: round(s, 2) for n, s in chiplets.items()}
    )
    assert layers[64] < 1.5 * 8 * layers[8] and chiplets[64] < 1.5 * 16 * chiplets[4]


@pytest.fixture(scope="module")
def paired() -> str:
    """A decoder of one layer on two chiplets, whose heads and columns stay where they are."""
    return run_phases(decoder(1, 64, 4, 2, 16, 128, 96, 1)[1], PHASES[:7], "cpu:2x2", schedule="partition=rows")[0]


def test_a_layer_has_two_exchanges(paired):
    tasks, _ = read(paired)
    rows = [number for number, task in enumerate(tasks) if task.kind == "rows"]
    assert len(rows) == 2
    waited = {n for task in tasks for n in task.waits}
    # Besides the embedding and the head: the partial sums, and nothing between them.
    assert waited & set(range(1, len(tasks) - 2)) == set(rows)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (r"chiplet_waits \[1\]", "", "runs before task 1 is done"),
        (r"(queue chiplet 0 worker 0 \[)(\d+), (\d+)", r"\1\3, \2", "runs before|the queues stop"),
        (r"(queue chiplet 1 worker 1 \[)(\d+), ", r"\1", "the queues are not the parts"),
        (r"cu_task on 1 tiles 1 to 2", "cu_task on 1 tiles 0 to 1", "does not run every tile once"),
    ],
)
def test_the_check_goes_red(paired, old, new, says):
    check(paired)
    broken = re.sub(old, new, paired, count=1)
    assert broken != paired
    with pytest.raises(AssertionError, match=says):
        for seed in range(20):
            check(broken, seed)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        # The sum reads what the other chiplet wrote; the head is after the sum of the own chiplet alone.
        (r"(@task_3_sum\(.*)waits \[3\]", r"\1waits [] chiplet_waits [3]", "expected a wait at device scope for task 3"),
        (r"(@task_1\(.*)waits \[0\]", r"\1waits [] chiplet_waits [0]",
         "expected a wait on the own chiplet for a task with parts on the same chiplets, found task 0"),
        (r"waits \[\] chiplet_waits \[1\]", "waits []", "expected a wait for task 0, which touches the same bytes"),
    ],
)  # fmt: skip
def test_the_proofs_go_red(paired, old, new, says):
    """Every wait that the schedule has is needed where it is, and at its scope."""
    broken = re.sub(old, new, paired, count=1)
    assert broken != paired
    with pytest.raises(FleetError, match=says):
        from_text(broken, compile_to="kernel")


# hidden, heads, kv heads, depth of a head, inner, vocabulary, layers: few heads of a small model, and eight kv heads.
SHAPES = {"small": (576, 9, 3, 64, 1536, 49152, 30), "large": (1024, 16, 8, 128, 3072, 151936, 8)}


@pytest.mark.parametrize("target", ["gfx950:4x32", "gfx950:6x38", "gfx950:8x32", "gfx942:8x38"])
@pytest.mark.parametrize("shape", SHAPES)
def test_work_is_balanced(shape, target):
    """Weight bytes of every chiplet and of every worker are within 5 % of the mean."""
    text = decoder(1, *SHAPES[shape])[1]
    result = run_phases(text, PHASES[:4], target)[0]
    load = defaultdict(int)
    bytes_of, chiplet = 0, 0
    weights = {m[0]: int(np.prod([int(n) for n in m[2].split("x")])) // int(m[2].split("x")[0])
               for m in re.findall(r"(%\w+) = fleet\.param .*?(pack \d+) : tensor<([\dx]+)xf32>", result)}  # fmt: skip
    for line in result.splitlines():
        if match := re.search(r"fleet\.task \d+ @\w+\(([^)]*)\)", line):
            bytes_of = 4 * sum(weights.get(o, 0) for o in match.group(1).split(", "))
        elif match := re.search(r"fleet\.chiplet_task on (\d+)", line):
            chiplet = int(match.group(1))
        elif match := re.search(r"fleet\.cu_task on (\d+) tiles (\d+) to (\d+)", line):
            load[chiplet, int(match.group(1))] += bytes_of * (int(match.group(3)) - int(match.group(2)))
    chiplets, workers = (int(n) for n in target.split(":")[1].split("x"))
    of = np.array([[load[c, w] for w in range(workers)] for c in range(chiplets)], float)
    assert of.sum(1).max() <= 1.05 * of.sum(1).mean()
    assert of.max() <= 1.05 * of.mean()


def test_the_step_of_a_large_model_stays_near_its_floor():
    """Qwen3-8B of one row on gfx950, on the simulator's model of the chip: time, bytes and exchanges."""
    raw = import_step(config_of("qwen3-8b"), dtype=torch.bfloat16, tokens=1, slots=1, context=1024, out_rows=1)
    step = simulate.simulate(run_phases(raw, PHASES[: PHASES.index("schedule") + 1], "gfx950")[0])
    assert step["floor_us"]["hbm"] < step["step_us"] < 2400
    assert step["bytes"]["hbm_read"] < 1.001 * step["bytes"]["compulsory"]
    assert step["counts"]["exchanges"] / step["layers"] < 2.2
    assert step["counts"]["device_signals"] / step["layers"] < 20


def test_the_command_line_takes_switches(tmp_path, capsys):
    from fleet_mlir.cli import main

    raw = tmp_path / "step.mlir"
    raw.write_text(decoder(1, 64, 4, 2, 16, 128, 96, 1)[1])
    command = ["compile", "--compile-from", str(raw), "--target", "cpu:2x2", "--compile-to", "schedule"]
    for switches, cut in (("partition=rows", True), ("partition=columns,queues=even", False)):
        assert main([*command, "--schedule", switches]) == 0
        text = capsys.readouterr().out
        assert ("partition <rows" in text) == cut
        assert f'partition = "{switches.split(",")[0].split("=")[1]}"' in text
        check(text)


def test_switches_are_checked():
    text = decoder(1, 64, 4, 2, 16, 128, 96, 1)[1]
    with pytest.raises(FleetError, match=r"expected a switch among scheduler, chiplets, .*, found 'speed'"):
        from_text(text, "cpu", schedule="speed=full")
    with pytest.raises(FleetError, match="expected queues to be auto or balanced or even, found 'long'"):
        from_text(text, "cpu", schedule="queues=long")
    with pytest.raises(FleetError, match="the schedule 'a b' is not NAME=VALUE"):
        from_text(text, "cpu", schedule="a b")
    for schedule in ("scheduler=dynamic", "events=flat"):
        with pytest.raises(FleetError, match=f"expected a schedule without {schedule} for a kernel, found it"):
            from_text(text, "cpu:2x2", schedule=schedule, compile_to="kernel")
    high = decoder(32, 64, 4, 2, 16, 128, 96, 1)[1]
    with pytest.raises(
        FleetError, match="expected the traversal full_m, the only one of a rocdl kernel, found m_major"
    ):
        from_text(high, "gfx950:2x2", schedule="traversal=m_major", compile_to="kernel")
    cut = from_text(text, "cpu:2x2", compile_to="chiplets")
    with pytest.raises(FleetError, match="the module has been cut already, in the phase chiplets"):
        from_text(cut, schedule="queues=even")
