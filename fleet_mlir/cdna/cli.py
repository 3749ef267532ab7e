"""The command `cdna-exec`: runs a code object on arrays from files."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .errors import CdnaError, DeadlockError, LaunchError
from .machine import Machine, Program, Stats
from .native import readable


def _sizes(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="cdna-exec", description=__doc__.partition("\n")[0].partition(": ")[2])
    commands = parser.add_subparsers(dest="command", required=True)
    info = commands.add_parser("info", help="kernels of a code object, their resources, and what cannot be executed")
    info.add_argument("file", type=Path)
    run = commands.add_parser("run", help="run a kernel")
    run.add_argument("file", type=Path)
    run.add_argument("--kernel", help="default: the only one")
    run.add_argument("--grid", type=_sizes, required=True, metavar="X[,Y[,Z]]", help="workgroups")
    run.add_argument("--block", type=_sizes, required=True, metavar="X[,Y[,Z]]", help="work-items of a workgroup")
    run.add_argument(
        "--arg",
        action="append",
        default=[],
        metavar="VALUE",
        help="in order: an int, a float (1.5), FILE.npy (an array), or zeros:f32:4x16 (a new array); "
        "=OUT.npy after an array writes it there in the end",
    )
    run.add_argument("--lds", type=int, default=0, help="bytes of dynamic LDS")
    run.add_argument("--xcds", type=int, default=8, help="chiplets")
    run.add_argument("--cus", type=_sizes, default=[4], help="CUs of each chiplet: one number or one a chiplet")
    run.add_argument("--seed", type=int, default=0)
    run.add_argument("--seeds", type=int, default=1, help="run that many seeds and compare the arrays")
    run.add_argument("--coherent", action="store_true", help="one memory without caches: fast, and blind to missing fences")
    run.add_argument("--stats", action="store_true", help="print what the launch did")
    return parser


def _argument(text: str) -> tuple[object, str]:
    """A value and where to write it."""
    value, _, target = text.partition("=")
    if value.endswith(".npy"):
        try:
            return np.ascontiguousarray(np.load(value)), target
        except (OSError, ValueError) as error:
            raise LaunchError(f"{value} cannot be read as an array: {error}") from None
    if value.startswith("zeros:"):
        try:
            _, kind, shape = value.split(":")
            kind = {"f": "float", "i": "int", "u": "uint"}[kind[0]] + kind[1:]
            return np.zeros([int(size) for size in shape.split("x")], kind), target
        except (KeyError, TypeError, ValueError):
            raise LaunchError(f"expected zeros:<type>:<sizes> as in zeros:f32:4x16, found {value}") from None
    for convert in (lambda t: int(t, 0), float):
        try:
            return convert(value), ""
        except ValueError:
            continue
    raise LaunchError(f"expected a number, a .npy file or zeros:..., found {value}")


def _info(path: Path) -> None:
    program = Program(readable(path))
    print(f"{path}: {program.arch}, {len(program.decoder.texts)} instructions")
    for k in program.kernels.values():
        print(
            f"  {k.name}: {k.vgprs} VGPRs, {k.agprs} AGPRs, {k.lds} bytes of LDS, {k.scratch} of scratch, "
            f"{k.kernarg_size} of arguments, {(k.end - k.entry)} of code"
        )
    for pc, reason in program.decoder.unsupported.items():
        print(f"  not supported, at {program.symbol(pc)}: {reason}")


def _run(options: argparse.Namespace) -> None:
    data = readable(options.file)
    kernels = Program(data).kernels
    if options.kernel is None and len(kernels) != 1:
        raise LaunchError(f"expected --kernel, one of {', '.join(kernels)}")
    name = options.kernel or next(iter(kernels))
    first: list[object] = []
    for seed in range(options.seed, options.seed + options.seeds):
        given = [_argument(text) for text in options.arg]
        machine = Machine(
            Program(data).arch,
            xcds=options.xcds,
            cus=options.cus if len(options.cus) > 1 else options.cus[0],
            seed=seed,
            caches=not options.coherent,
        )
        machine.load(data)
        stats = machine.launch(name, options.grid, options.block, [value for value, _ in given], lds=options.lds)
        if options.stats:
            print(_line(seed, stats))
        for number, (value, target) in enumerate(given):
            if seed == options.seed:
                first.append(value)
                if target:
                    np.save(target, value)
            elif isinstance(value, np.ndarray) and value.tobytes() != first[number].tobytes():
                raise LaunchError(f"seed {seed} gives another argument {number} than seed {options.seed}")


def _line(seed: int, stats: Stats) -> str:
    return f"seed {seed}: " + ", ".join(f"{value} {name.replace('_', ' ')}" for name, value in vars(stats).items() if value)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; its exit code."""
    options = _parser().parse_args(arguments)
    try:
        if options.command == "info":
            _info(options.file)
        else:
            _run(options)
    except DeadlockError as error:
        print(f"error: {error}\n{error.report()}", file=sys.stderr)
        return 1
    except CdnaError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0
