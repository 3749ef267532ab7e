"""What the AMD kernels of a model take: its size, its registers, and the bytes of a step. No weights and no GPU are needed.

Registers, LDS and spills are those of the linked code object. Bytes and write-backs are the simulator's, a model of the
chip; compulsory are weights, one row of the embedding a token, and the caches, each once.
Run: ``python benchmarks/amd_kernel.py [--config qwen3-8b] [--target gfx950] [--target gfx942] [--tokens 1] [--context 1024]``.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from fleet_mlir import inspect, package, simulate

GIB = 1 << 30


def compiled(options: list[str], *, to: str | None, output: Path) -> float:
    """Run ``fleet compile`` in a process of its own; gives its seconds."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "fleet_mlir", "compile", *options, "--no-cache", "-o", str(output)]
    subprocess.run([*command, *(["--compile-to", to] if to else [])], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def column(options: list[str], folder: Path) -> dict[str, Any]:
    """The facts of one target's kernel."""
    program, schedule = folder / "step.fleet", folder / "schedule.mlir"
    seconds = compiled(options, to=None, output=program)
    # Of the largest child so far: this one is the largest of its target.
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / GIB
    manifest, vmfb = package.unpack_file(program.read_bytes())
    compiled(options, to="schedule", output=schedule)
    model = simulate.simulate(schedule.read_text())
    stats, layers, moved = manifest["stats"], manifest["layers"], model["bytes"]
    return {
        "compiling, s": f"{seconds:.1f}",
        "compiling, GiB at most": f"{peak:.2f}",
        "vmfb, bytes": len(vmfb),
        **inspect.kernel_facts(vmfb),
        "device tasks": stats["device_tasks"],
        "cu tasks": stats["cu_tasks"],
        "events, one a device task": stats["device_tasks"],
        "signals a layer": stats["signals"] / layers,
        "- to the device, with a write-back": (stats["signals"] - stats["cu_tasks"]) / layers,
        "- if every task told the device": stats["cu_tasks"] / layers,
        "bytes a step (model)": int(moved["hbm_read"]),
        "compulsory bytes": int(moved["compulsory"]),
        "bytes / compulsory (model)": f"{moved['hbm_read'] / moved['compulsory']:.4f}",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default="qwen3-8b")
    parser.add_argument("--layers", type=int)
    parser.add_argument("--target", action="append", default=[])
    parser.add_argument("--tokens", type=int, default=1)
    parser.add_argument("--slots", type=int, default=1)
    parser.add_argument("--context", type=int, default=1024)
    args = parser.parse_args()
    targets = args.target or ["gfx950", "gfx942"]
    common = ["--config", args.config, "--tokens", str(args.tokens), "--slots", str(args.slots), "--context", str(args.context)]
    common += ["--layers", str(args.layers)] if args.layers else []
    columns = []
    for target in targets:
        with tempfile.TemporaryDirectory(prefix="fleet-") as folder:
            columns.append(column([*common, "--target", target], Path(folder)))
    print(f"{args.config}, {args.tokens} rows a step, {args.slots} slots of {args.context} positions; {os.cpu_count()} cpus")
    print(inspect.table(["", *targets], [[name, *(c[name] for c in columns)] for name in columns[0]]))


if __name__ == "__main__":
    main()
