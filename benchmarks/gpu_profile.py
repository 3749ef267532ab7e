"""Where the warps of a step on an NVIDIA GPU wait, instruction by instruction, as its profiler samples them.

On the machine with the GPU, of a program for sm_90a::

    ncu --clock-control none -k regex:fleet_step --launch-skip 2 --launch-count 1 --set none --section SourceCounters \
        -o step python benchmarks/gpu_profile.py run PROGRAM.fleet
    ncu --import step.ncu-rep --page source --print-source sass --csv > step.csv

Anywhere: ``python benchmarks/gpu_profile.py read step.csv``. A warp is sampled every so many cycles wherever it stands, so shares of
samples are shares of the warps' time: of 9 warps one is the ring's producer, whose waiting is no loss. What the memory does meanwhile
shows ``--section PmSampling --pm-sampling-interval 1000`` in place of ``SourceCounters``, and ``--page raw --print-metric-instances values``.
"""

from __future__ import annotations

import argparse
import csv
import re
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

SAMPLES, EXECUTED = "# Samples", "Instructions Executed"
COLUMNS = ("Address", "Source", SAMPLES, EXECUTED)
# Instructions behind a load in which its first user is looked for.
REACH = 400


@dataclass
class Instruction:
    """One instruction: bytes from the kernel's begin, text, samples, warps that executed it, samples by reason."""

    at: int
    text: str
    samples: int
    executed: int
    stalls: Counter[str]


def read(path: Path) -> list[Instruction]:
    """The instructions of the last kernel in ncu's source page; ValueError says what it is instead."""
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    begins = [i for i, row in enumerate(rows) if row[:1] == ["Kernel Name"]]
    if not begins or begins[-1] + 2 >= len(rows):
        raise ValueError(f"expected ncu's source page as CSV, found no kernel in {path}")
    header = rows[begins[-1] + 1]
    if missing := [name for name in COLUMNS if name not in header]:
        raise ValueError(f"expected a column '{missing[0]}' in {path}, found {', '.join(header[:4])} and others")
    place = {name: header.index(name) for name in COLUMNS}
    reasons = {name.removeprefix("stall_"): i for i, name in enumerate(header) if re.fullmatch(r"stall_\w+", name)}
    found = []
    for row in rows[begins[-1] + 2 :]:
        if len(row) != len(header):
            break
        try:
            numbers = [int(row[place[SAMPLES]]), int(row[place[EXECUTED]])]
            stalls = Counter({name: int(row[i] or 0) for name, i in reasons.items()})
            at = int(row[place["Address"]], 16)
        except ValueError as error:
            raise ValueError(
                f"expected whole numbers in line {len(found) + begins[-1] + 3} of {path}, found {error}"
            ) from None
        found.append(Instruction(at, row[place["Source"]].strip(), *numbers, stalls))
    for one in reversed(found):
        one.at -= found[0].at
    return found


def spilled(code: Sequence[Instruction]) -> list[tuple[Instruction, Instruction]]:
    """Loads of spilled registers, each with the first instruction behind it that needs what it brings."""
    pairs = []
    for i, load in enumerate(code):
        match = re.search(r"\bLDL(?:\.\w+)*\s+R(\d+)", load.text)
        if not match:
            continue
        words = 4 if ".128" in load.text else 2 if ".64" in load.text else 1
        brought = {f"R{int(match[1]) + k}" for k in range(words)}
        for user in code[i + 1 : i + REACH]:
            if brought & set(re.findall(r"\bR\d+\b", user.text)):
                pairs.append((load, user))
                break
    return pairs


def report(code: Sequence[Instruction], least: float) -> str:
    """Reasons, the instructions with at least ``least`` percent of all samples, and what waits for spilled registers."""
    total = sum(one.samples for one in code)
    if not total:
        raise ValueError("expected samples of instructions, found none")

    def share(samples: int) -> str:
        return f"{100 * samples / total:6.2f} %"

    reasons: Counter[str] = Counter()
    for one in code:
        reasons.update(one.stalls)
    lines = [f"{total:,} samples, {len(code):,} instructions of {16 * len(code) / 1024:.0f} KB"]
    lines += [f"{share(count)} {name}" for name, count in reasons.most_common(8) if count]
    lines.append(f"instructions with {least} % and more, and what stands between them:")
    between = 0
    for one in code:
        if 100 * one.samples < least * total:
            between += one.samples
            continue
        why = ", ".join(
            f"{name} {100 * count / one.samples:.0f} %" for name, count in one.stalls.most_common(2) if count
        )
        lines.append(f"{share(between)} {share(one.samples)} {one.at:#8x} x{one.executed:<9,} {one.text[:60]:60} {why}")
        between = 0
    lines.append(f"{share(between)} behind them")
    pairs = spilled(code)
    waiting = {user.at: user.samples for _, user in pairs}
    lines.append(f"{share(sum(waiting.values()))} at what needs one of {len(pairs)} spilled registers:")
    for load, user in sorted(pairs, key=lambda pair: -pair[1].samples)[:12]:
        lines.append(
            f"{share(user.samples)} {load.at:#8x} x{load.executed:<9,} {load.text[:30]:30} for {user.text[:50]}"
        )
    return "\n".join(lines)


def run(program: Path, context: int, steps: int) -> None:
    """Steps at position ``context`` with random weights, for the profiler to look at."""
    import torch
    from gpu_decode import launches
    from gpu_reference import RandomWeights

    from fleet_mlir import Executable

    with torch.no_grad():
        step = Executable.load(program).bind(RandomWeights(), device="cuda")
    launches(step, context, 1, steps)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    actions = parser.add_subparsers(dest="action", required=True)
    start = actions.add_parser("run", help="steps for the profiler to look at")
    start.add_argument("program", type=Path)
    start.add_argument("--context", type=int, default=1024, help="the position of the steps")
    start.add_argument("--steps", type=int, default=4)
    look = actions.add_parser("read", help="print what the profiler saw")
    look.add_argument("csv", type=Path)
    look.add_argument("--least", type=float, default=0.3, help="percent of all samples")
    args = parser.parse_args()
    if args.action == "run":
        run(args.program, args.context, args.steps)
        return
    try:
        print(report(read(args.csv), args.least))
    except (OSError, ValueError, csv.Error) as error:
        sys.exit(f"gpu_profile: {error}")


if __name__ == "__main__":
    main()
