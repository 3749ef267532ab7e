"""Litmus tests: what the memory model forbids is never seen, what it allows is seen for some seed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from fleet_mlir.cdna import Machine
from fleet_mlir.cdna.machine import Adversary

Build = Callable[..., bytes]
SEEDS = range(20)
GROUPS = 16


def wrong_messages(arch: str, code: bytes, source: int, target: int, seeds: range = SEEDS) -> int:
    """For how many seeds the reader copied anything but the message."""
    wrong = 0
    for seed in seeds:
        machine = Machine(arch, xcds=8, cus=2, seed=seed, l2_lines=256)
        machine.load(code)
        counters, data = np.zeros(2048, np.uint32), np.zeros(64, np.int32)
        out, sink = np.full(66, -1, np.int32), np.zeros(GROUPS * 64, np.int32)
        machine.launch("pass", GROUPS, 64, [counters, data, out, sink, source, target, GROUPS])
        assert (out[64], out[65]) == (target, source)
        assert np.array_equal(data, 1000 + np.arange(64)), "the message never reached memory"
        wrong += not np.array_equal(out[:64], data)
    return wrong


ACROSS = [  # release, acquire, and whether the message is safe
    ("WBL2", "INV_L2", True),
    ("", "INV_L2", False),
    ("DRAIN", "INV_L2", False),  # the line stays dirty in the writer's L2
    ("WBL2_NOWAIT", "INV_L2", False),  # the flag may overtake the write-back
    ("WBL2", "", False),
    ("WBL2", "INV_L1", False),  # the reader's L2 has the old line
]
INSIDE = [
    ("DRAIN", "INV_L1", True),  # the L2 is shared: no write-back
    ("DRAIN", "INV_L2", True),
    ("WBL2", "INV_L2", True),
    ("", "INV_L1", False),  # the store may still be on its way
    ("DRAIN", "", False),  # the reader's L1 has the old line
    ("WBL2", "", False),
]


@pytest.mark.parametrize(("release", "acquire", "safe"), ACROSS)
def test_message_to_another_chiplet(arch: str, build: Build, release: str, acquire: str, safe: bool) -> None:
    code = build("litmus.cl", arch, *([f"RELEASE={release}"] if release else []), *([f"ACQUIRE={acquire}"] if acquire else []))
    wrong = wrong_messages(arch, code, 0, 3)
    assert wrong == 0 if safe else wrong >= 3


@pytest.mark.parametrize(("release", "acquire", "safe"), INSIDE)
def test_message_inside_a_chiplet(arch: str, build: Build, release: str, acquire: str, safe: bool) -> None:
    code = build("litmus.cl", arch, *([f"RELEASE={release}"] if release else []), *([f"ACQUIRE={acquire}"] if acquire else []))
    wrong = wrong_messages(arch, code, 2, 2)
    assert wrong == 0 if safe else wrong >= 3


COLD = [  # source, target, release, acquire, safe
    (0, 3, "WBL2", "INV_L2", True),
    (0, 3, "WBL2", "", False),
    (0, 3, "WBL2", "INV_L1", False),
    (2, 2, "DRAIN", "INV_L1", True),
    (2, 2, "DRAIN", "", False),
]


@pytest.mark.parametrize(("source", "target", "release", "acquire", "safe"), COLD)
def test_lines_that_nobody_read_before(
    arch: str, build: Build, source: int, target: int, release: str, acquire: str, safe: bool
) -> None:
    """Without an acquire a line may be old even if the kernel never touched it: caches may fetch on their own."""
    code = build("litmus.cl", arch, "COLD", f"RELEASE={release}", *([f"ACQUIRE={acquire}"] if acquire else []))
    wrong = wrong_messages(arch, code, source, target)
    assert wrong == 0 if safe else wrong >= 3


def test_fences_of_the_compiler(arch: str, build: Build) -> None:
    """A grid barrier by LLVM's own agent-scope fences, 20 seeds, uneven chiplets."""
    code, groups, phases = build("sync.cl", arch), 15, 4
    chiplets = set()
    for seed in SEEDS:
        machine = Machine(arch, xcds=8, cus=[2, 2, 2, 1, 2, 2, 2, 2], seed=seed, groups_per_cu=1, l2_lines=256)
        machine.load(code)
        count, buffer = np.zeros(4, np.uint32), np.zeros(2 * groups * 64, np.int32)
        out, xcc = np.zeros(groups * 64, np.int32), np.full(groups, 99, np.uint32)
        machine.launch("gridbar", groups, 64, [count, buffer, out, xcc, groups, phases])
        want = np.arange(groups * 64).reshape(groups, 64)
        for _ in range(phases):
            want = np.roll(want, -1, axis=0)[:, ::-1] + 1
        assert np.array_equal(out, want.ravel())
        assert np.array_equal(np.bincount(xcc, minlength=8), [2, 2, 2, 1, 2, 2, 2, 2])
        chiplets.add(int(xcc[0]))
    assert len(chiplets) >= 4  # the first chiplet is not always the same


def test_fences_of_the_compiler_in_large_workgroups(arch: str, build: Build) -> None:
    """One wave releases for its workgroup, whose other waves only met it at a barrier."""
    code, groups, phases = build("misc.cl", arch), 8, 3
    for seed in SEEDS:
        machine = Machine(arch, xcds=4, cus=2, seed=seed, l2_lines=256)
        machine.load(code)
        count, buffer, out = np.zeros(2, np.uint32), np.zeros(2 * groups * 256, np.int32), np.zeros(groups * 256, np.int32)
        machine.launch("gridbar4", groups, 256, [count, buffer, out, groups, phases])
        want = np.arange(groups * 256).reshape(groups, 256)
        for _ in range(phases):
            want = np.roll(want, -1, axis=0)[:, ::-1] + 1
        assert np.array_equal(out, want.ravel())


@pytest.mark.parametrize("wait", [True, False])
def test_lds_message_between_waves(arch: str, build: Build, wait: bool) -> None:
    code, wrong = build("litmus.cl", arch, *([] if wait else ["NO_WAIT"])), 0
    for seed in SEEDS:
        machine = Machine(arch, xcds=1, cus=1, seed=seed, l2_lines=256)
        machine.load(code)
        out = np.zeros(128, np.int32)
        machine.launch("local_pass", 1, 128, [out])
        wrong += not np.array_equal(out, np.arange(128)[::-1])
    assert wrong == 0 if wait else wrong >= 3


def test_waves_of_one_workgroup_share_an_l1(arch: str, build: Build) -> None:
    code = build("litmus.cl", arch)
    for seed in SEEDS:
        machine = Machine(arch, xcds=1, cus=1, seed=seed, l2_lines=256)
        machine.load(code)
        data, out = np.arange(128, dtype=np.int32), np.zeros(128, np.int32)
        machine.launch("group_pass", 1, 128, [data, out])
        assert np.array_equal(out, 5 + np.arange(128)[::-1])


def test_stores_arrive_in_the_end(arch: str, build: Build) -> None:
    code = build("litmus.cl", arch)
    for seed in SEEDS:
        machine = Machine(arch, xcds=2, cus=1, seed=seed, l2_lines=256)
        machine.load(code)
        out = np.zeros(64, np.int32)
        machine.launch("eventually", 2, 64, [np.zeros(128, np.uint32), out])
        assert out.all()


def test_counts_of_fences(arch: str, build: Build) -> None:
    machine = Machine(arch, xcds=8, cus=2, seed=3)
    machine.load(build("litmus.cl", arch, "RELEASE=WBL2", "ACQUIRE=INV_L2"))
    counters, out = np.zeros(2048, np.uint32), np.zeros(66, np.int32)
    args = [counters, np.zeros(64, np.int32), out, np.zeros(GROUPS * 64, np.int32), 0, 3, GROUPS]
    stats = machine.launch("pass", GROUPS, 64, args)
    assert (stats.writebacks, stats.invalidates_l2) == (1, 1)
    assert stats.lines_written_back >= 2


def test_a_seed_is_reproducible(arch: str, build: Build) -> None:
    def run(seed: int) -> tuple[object, bytes]:
        machine = Machine(arch, xcds=8, cus=2, seed=seed)
        machine.load(build("litmus.cl", arch))
        out = np.full(66, -1, np.int32)
        args = [np.zeros(2048, np.uint32), np.zeros(64, np.int32), out, np.zeros(GROUPS * 64, np.int32), 0, 0, GROUPS]
        return machine.launch("pass", GROUPS, 64, args), out.tobytes()

    assert run(7) == run(7)
    assert len({run(seed)[0].rounds for seed in range(5)}) > 1


def test_starving(arch: str, build: Build) -> None:
    """A flag that is raised at once is always seen after long work, but where its workgroup may starve."""
    code = build("litmus.cl", arch)

    def flags(**changes: int) -> set[tuple[int, int]]:
        seen = set()
        for seed in range(60):
            adversary = dataclasses.replace(Adversary.from_seed(seed), **{"starve": 0, "starve_after": 0, **changes})
            machine = Machine(arch, xcds=2, cus=1, seed=seed, adversary=adversary)
            machine.load(code)
            counters, out = np.zeros(1024, np.uint32), np.full(2, 9, np.int32)
            machine.launch("hurry", 2, 64, [counters, out, 2000])
            assert counters[[0, 32, 64]].tolist() == [1, 1, 2000]  # in the end everybody has run
            seen.add((int(out[0]), int(out[1])))
        return seen

    assert flags() == {(1, 1)}
    assert (0, 0) in flags(starve=32768)
    # From its first atomic on: between the two.
    assert (1, 0) in flags(starve=32768, starve_after=2)
