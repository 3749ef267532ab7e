"""Kernels with one fault each: a static proof rejects it, or the executor shows it.

Left out in turn: each release, acquire and wait of each event. Besides: LDS buffers stand in their neighbours, and a
workgroup, or a part of a task, is bound to another chiplet. At least 95 % must be caught; of the others the tests say why
they are harmless, where that can be seen in the program.
"""

import collections
import dataclasses
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from test_amdgpu import SHAPE, STEPS, Step, code_object
from tiny_models import tiny

from fleet_mlir import FleetError, compiler, passes, runtime, tools
from fleet_mlir.cdna import KernelError
from fleet_mlir.cdna.machine import Adversary
from fleet_mlir.importer import import_step
from fleet_mlir.models import load

CHIP, CHIPLETS, WORKERS = "gfx950", 2, 16
SEEDS = range(60)
UNEVEN = [18, 14]
ORDERINGS = ("drain", "write-back", "write-back-wait", "acquire", "wait")


def adversary(seed):
    """One of the machines of a seed; most starve workgroups from some atomic on, many keep stores on their way for long."""
    made = Adversary.from_seed(seed)
    starving = dataclasses.replace(
        made, starve=(0, 65536, 8192, 65536)[seed % 4], patience=16, starve_after=(8, 16, 24)[seed % 3]
    )
    return dataclasses.replace(starving, defer_store=65536, drain=64) if seed % 2 else starving


@dataclasses.dataclass(frozen=True, eq=False)
class Mutant:
    """A fault. ``harmless``: why nothing can go wrong, empty where something must."""

    kind: str
    name: str
    make: Callable[[], bytes]
    machine: dict = dataclasses.field(default_factory=dict)
    harmless: str = ""


@dataclasses.dataclass(frozen=True)
class Task:
    """Parts on each chiplet, and the tasks it waits for on all chiplets and on its own."""

    replicated: bool  # each chiplet has the whole result
    parts: dict[int, int]
    waits: list[int]
    own: list[int]

    @property
    def all_waits(self):
        """In the order in which a worker waits."""
        return [*self.waits, *self.own]


class Program:
    """A model's kernel, what it computes, and its mutants."""

    def __init__(self, folder):
        self.folder = folder
        torch.manual_seed(1)
        small = tiny("qwen3", torch.bfloat16)
        small.config.num_key_value_heads = 4
        model = type(small)(small.config).to(torch.bfloat16).eval()
        text = import_step(model.config, dtype=torch.bfloat16, **SHAPE)
        phases = compiler.PHASES
        schedule, kernel = phases.index("schedule"), phases.index("kernel")
        text, _ = compiler.run_phases(text, phases[:schedule], f"{CHIP}:{CHIPLETS}x{WORKERS}")
        self.events = text
        self.schedule, _ = compiler.run_phases(self.events, phases[schedule:kernel])
        self.kernel, _ = compiler.run_phases(self.schedule, phases[kernel : kernel + 1])
        code, self.manifest = self.code()
        self.lowered = (folder / "intact" / "target.mlir").read_text()
        self.params = runtime.pack_params(self.manifest, load(model).weights)
        self.expected = self.run(code, 0)
        self.intact = code

    def code(self, options="", name="intact"):
        """The code object made with options of the code generator, and its manifest."""
        (folder := self.folder / name).mkdir(exist_ok=True)
        return code_object(folder, self.kernel, CHIP, options)

    def run(self, code, seed, **machine):
        """Logits and ids of all steps, as bytes."""
        step = Step(CHIP, code, self.manifest, self.params, seed=seed, adversary=adversary(seed), **machine)
        return [tuple(array.tobytes() for array in step(*inputs)) for inputs in STEPS]

    def verdict(self, mutant):
        """Who catches a mutant: "proof", "seed N", or "" for nobody."""
        try:
            code = mutant.make()
        except FleetError:
            return "proof"
        for seed in SEEDS:
            try:
                if self.run(code, seed, **mutant.machine) != self.expected:
                    return f"seed {seed}"
            except (KernelError, AssertionError):
                return f"seed {seed}"
        return ""

    def tasks(self):
        """What is told of each task in the phase events."""
        found = []
        for text in re.split(r"\n    fleet\.task ", self.events)[1:]:
            waits, own = (re.search(rf" {word} \[([\d, ]*)\]", text) for word in ("waits", "chiplet_waits"))
            parts = collections.Counter()
            for part in text.split("fleet.chiplet_task on ")[1:]:
                parts[int(part.split()[0])] += part.count("fleet.cu_task")
            found.append(
                Task(
                    "<replicated" in text,
                    parts,
                    *([int(task) for task in w[1].split(",") if task.strip()] if w else [] for w in (waits, own)),
                )
            )
        return found

    def orderings(self):
        """Each ordering left out everywhere, and for each event alone."""
        tasks = self.tasks()
        for what in (*ORDERINGS, "meeting", "bypass"):
            yield Mutant(what, what, lambda what=what: self.code(f"omit={what}", what)[0])
        for number, task in enumerate(tasks):
            readers = [reader.all_waits for reader in tasks if number in reader.all_waits]
            published = any(number in reader.waits for reader in tasks)
            for what in ORDERINGS if readers else ():
                if what.startswith("write-back") and not published:
                    continue  # there is none
                harmless = ""
                if what == "drain" and published and max(task.parts.values()) == 1:
                    harmless = "the one part on a chiplet writes back itself, which follows its stores"
                if what == "acquire" and all(waits[-1] != number for waits in readers):
                    harmless = "the same task acquires after a later wait"
                name = f"{what}@{number}"
                yield Mutant(what, name, lambda name=name: self.code(f"omit={name}", name)[0], harmless=harmless)
        for index in range(sum(len(task.all_waits) for task in tasks)):
            name = f"wait-{index}"
            yield Mutant("wait", name, lambda index=index, name=name: self.code(f"omit-wait={index}", name)[0])

    def bindings(self):
        """Workgroups that take themselves to be on another chiplet."""
        yield Mutant("binding", "binding", lambda: self.code("omit=binding", "binding")[0], {"cus": UNEVEN})
        for group in range(CHIPLETS * WORKERS):
            name = f"binding@{group}"
            yield Mutant("binding", name, lambda name=name: self.code(f"omit={name}", name)[0])

    def shifts(self):
        """Each LDS buffer at its neighbour's place."""
        buffers = re.findall(
            r"llvm\.mlir\.global internal @(\w+)\(\) \{addr_space = 3 .*!llvm\.array<(\d+) x i8>", self.lowered
        )
        for name, size in buffers:
            by = -(-int(size) // 16) * 16
            yield Mutant("lds", f"lds {name}", lambda name=name, by=by: self.shifted(name, by), {"cus": UNEVEN})

    def shifted(self, name, by):
        """The code with an LDS buffer ``by`` bytes from its place."""

        def shift(match):
            indent, result = match[1], match[2]
            return (
                f"{indent}{result}0000 = llvm.mlir.addressof @{name} : !llvm.ptr<3>\n"
                f"{indent}{result} = llvm.getelementptr {result}0000[{by}] : (!llvm.ptr<3>) -> !llvm.ptr<3>, i8"
            )

        (folder := self.folder / f"lds-{name}{by}").mkdir(exist_ok=True)
        source, linked = folder / "target.mlir", folder / "step.hsaco"
        source.write_text(re.sub(rf"( *)(%\w+) = llvm\.mlir\.addressof @{name} : !llvm\.ptr<3>", shift, self.lowered))
        tools.run("fleet-translate", ["--to-hsaco", str(source), "-o", str(linked)])
        return linked.read_bytes()

    def schedules(self):
        """Schedules with a wait too few, a wait of too small a scope, or a part in a queue of another chiplet."""
        kernel = compiler.PHASES.index("kernel")

        def build(text):
            compiler.run_phases(text, compiler.PHASES[kernel : kernel + 1])
            raise AssertionError("no proof rejects the schedule")

        def with_waits(number, waits, own):
            new = f"waits {waits}" + (f" chiplet_waits {own}" if own else "")
            return re.sub(
                rf"(fleet\.task {number} @.* )waits \[[\d, ]*\]( chiplet_waits \[[\d, ]*\])?",
                rf"\1{new}",
                self.schedule,
            )

        for number, task in enumerate(self.tasks()):
            for other in task.all_waits:
                left = [[wait for wait in waits if wait != other] for waits in (task.waits, task.own)]
                text = with_waits(number, *left)
                yield Mutant("no wait", f"{number} without {other}", lambda text=text: build(text))
                if other in task.waits:
                    text = with_waits(number, left[0], sorted([*task.own, other]))
                    yield Mutant("scope", f"{number} on its chiplet for {other}", lambda text=text: build(text))
            queues = re.findall(r"fleet\.queue chiplet (\d+) worker (\d+) \[([\d, ]*)\]", self.schedule)
            owner = next((c, w, q) for c, w, q in queues if str(number) in q.split(", "))
            taker = next((c, w, q) for c, w, q in queues if c != owner[0])
            text = self.schedule
            for (c, w, q), own in ((owner, True), (taker, False)):
                ids = [int(i) for i in q.split(", ") if i and (not own or int(i) != number)] + ([] if own else [number])
                new = f"fleet.queue chiplet {c} worker {w} {sorted(ids)}"
                text = text.replace(f"fleet.queue chiplet {c} worker {w} [{q}]", new)
            yield Mutant("queue", f"{number} on chiplet {taker[0]}", lambda text=text: build(text))

    def homes(self):
        """Tasks whose parts change chiplets, away from what they read: with the proofs, and without them."""
        tasks = self.tasks()
        for number, task in enumerate(tasks):
            reads = any(not tasks[other].replicated for other in task.own)
            if not reads and (task.replicated or not any(number in reader.own for reader in tasks)):
                continue  # it is at home anywhere
            begin = self.events.index(f"\n    fleet.task {number} @")
            begin = self.events.index(" into {\n", begin) + len(" into {\n")
            end = self.events.index("\n    }\n", begin) + 1
            parts = re.split(r"(?m)^      fleet\.chiplet_task on (\d+)", self.events[begin:end])
            dealt = sorted(
                (CHIPLETS - 1 - int(c), place, rest)
                for place, (c, rest) in enumerate(zip(parts[1::2], parts[2::2], strict=True))
            )
            region = "".join(f"      fleet.chiplet_task on {chiplet}{rest}" for chiplet, _, rest in dealt)
            text = self.events[:begin] + region + self.events[end:]
            name = f"home-{number}"
            yield Mutant("home", name, lambda text=text: self.proved(text))
            yield Mutant("home unproved", name, lambda text=text, name=name: self.unproved(text, name))

    @staticmethod
    def proved(text):
        phases = compiler.PHASES
        compiler.run_phases(text, phases[phases.index("schedule") : phases.index("kernel") + 1])
        raise AssertionError("no proof rejects the binding")

    def unproved(self, text, name):
        """The code of a module of the phase events, whatever the proofs say of it."""
        program = passes.program(text)
        program.run(["fleet-schedule-tasks", "fleet-build-kernel", "fleet-end-phase{phase=kernel}"])
        (folder := self.folder / name).mkdir(exist_ok=True)
        return code_object(folder, program.text(), CHIP)[0]


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    return Program(tmp_path_factory.mktemp("mutants"))


def judge(program, mutants, capsys):
    """Prints who catches each mutant, and checks that enough are caught."""
    with ThreadPoolExecutor(2) as pool:
        verdicts = dict(zip(mutants, pool.map(program.verdict, mutants), strict=True))
    rows = collections.defaultdict(lambda: [0, 0, 0])
    for mutant, verdict in verdicts.items():
        rows[mutant.kind][0] += 1
        rows[mutant.kind][1] += verdict == "proof"
        rows[mutant.kind][2] += verdict.startswith("seed")
    alive = [mutant for mutant, verdict in verdicts.items() if not verdict]
    with capsys.disabled():
        print(f"\n{'fault':16}{'mutants':>8}{'proof':>8}{'executor':>10}{'alive':>7}")
        for kind, (count, proved, shown) in rows.items():
            print(f"{kind:16}{count:8}{proved:8}{shown:10}{count - proved - shown:7}")
        for mutant in alive:
            print(f"  alive: {mutant.name}: {mutant.harmless or 'not seen for any seed'}")
        print(f"{len(mutants) - len(alive)} of {len(mutants)} caught")
    assert len(alive) <= 0.05 * len(mutants)


def test_the_intact_kernel(program):
    """Bit by bit the same on all machines."""
    assert [seed for seed in SEEDS[:20] if program.run(program.intact, seed) != program.expected] == []
    assert program.run(program.intact, 1, cus=UNEVEN) == program.expected


def test_some_mutants(program, capsys):
    """Each kind of fault, and some of each kind."""
    mutants = [
        mutant
        for every, found in (
            (13, program.orderings()),
            (16, program.bindings()),
            (3, program.shifts()),
            (5, program.schedules()),
            (9, program.homes()),
        )
        for place, mutant in enumerate(found)
        if not mutant.harmless and (place % every == 0 or mutant.name in (*ORDERINGS, "meeting", "bypass"))
    ]
    judge(program, mutants, capsys)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_all_mutants(program, capsys):
    found = (program.orderings(), program.bindings(), program.shifts(), program.schedules(), program.homes())
    judge(program, [mutant for mutants in found for mutant in mutants], capsys)
