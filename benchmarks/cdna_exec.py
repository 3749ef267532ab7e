"""The speed of the executor of AMD code objects on one core: arithmetic, and a bf16 GEMM through LDS.

Wanted: 30 M wave-instructions/s and 2 GMAC/s on coherent memory, and no less than a quarter with the cache model.
Kernels are those of tests/cdna/kernels, compiled with clang; results are checked. Processor time is measured, the least of
some runs: a busy host disturbs it still.
Run: ``python benchmarks/cdna_exec.py [--runs 5]``.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from fleet_mlir.cdna import Machine, Stats
from fleet_mlir.cdna.assembly import llvm_tool

KERNELS = Path(__file__).resolve().parent.parent / "tests" / "cdna" / "kernels"
ALU, MATRIX, SLOWER = 30e6, 2e9, 4


def build(name: str, chip: str) -> bytes:
    """The code object of an OpenCL kernel."""
    language = [
        "-x",
        "cl",
        "-cl-std=CL2.0",
        "-Xclang",
        "-finclude-default-header",
        "-Xclang",
        "-fdeclare-opencl-builtins",
    ]
    target = [
        "-target",
        "amdgcn-amd-amdhsa",
        f"-mcpu={chip}",
        "-DGFX950",
        "-nogpulib",
        "-O2",
        "-w",
        "-munsafe-fp-atomics",
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.hsaco"
        subprocess.run([llvm_tool("clang"), *language, *target, str(KERNELS / name), "-o", str(path)], check=True)
        return path.read_bytes()


def best(runs: int, machine: Machine, kernel: str, grid: Any, args: list[Any]) -> tuple[Stats, float]:
    """The statistics of a launch, and the least processor time of some, in seconds."""
    least = float("inf")
    for _ in range(runs):
        start = time.process_time()
        stats = machine.launch(kernel, grid, 256, args)
        least = min(least, time.process_time() - start)
    return stats, least


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    alu_code, gemm_code = build("speed.cl", "gfx950"), build("gemm.cl", "gfx950")
    n = 256
    bf16_one, bf16_sum = 0x3F80, int(np.float32(n).view(np.uint32) >> 16)
    print(f"{'memory':16}{'M wave-instructions/s':>24}{'GMAC/s':>10}  wanted")
    for caches in (False, True):
        machine = Machine("gfx950", xcds=8, cus=2, seed=1, caches=caches)
        machine.load(alu_code)
        stats, seconds = best(runs, machine, "alu", 16, [np.zeros(16 * 256, np.float32), 1000])
        alu = stats.instructions / seconds
        machine.load(gemm_code)
        a, b, c = (np.full((n, n), value, np.uint16) for value in (bf16_one, bf16_one, 0))
        _, seconds = best(runs, machine, "gemm", (n // 64, n // 64), [a, b, c, n, n, n])
        if not (c == bf16_sum).all():
            raise SystemExit("the GEMM's result is wrong")
        macs = n**3 / seconds
        slack = SLOWER if caches else 1
        met = "met" if alu >= ALU / slack and macs >= MATRIX / slack else "NOT met"
        print(
            f"{'with caches' if caches else 'coherent':16}{alu / 1e6:24.1f}{macs / 1e9:10.2f}  {ALU / slack / 1e6:.1f} and {MATRIX / slack / 1e9:.2f}: {met}"
        )


if __name__ == "__main__":
    main()
