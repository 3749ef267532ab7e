"""The executor's speed. The bars hold on an idle core; a busy host gets a quarter of them as its limit."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest

from fleet_mlir.cdna import Machine, Stats

ALU_BAR, MATRIX_BAR = 30e6, 2e9  # wave-instructions and multiply-adds a second, one core, coherent memory
BUSY = 4


def best(machine: Machine, kernel: str, grid: int, block: int, args: list[object], runs: int = 3) -> tuple[Stats, float]:
    """The statistics of a launch and the least processor time of some runs, in seconds."""
    least = float("inf")
    for _ in range(runs):
        start = time.process_time()
        stats = machine.launch(kernel, grid, block, args)
        least = min(least, time.process_time() - start)
    return stats, least


@pytest.mark.parametrize("caches", [False, True])
def test_speed(build: Callable[..., bytes], caches: bool) -> None:
    machine = Machine("gfx950", xcds=8, cus=2, seed=1, caches=caches)
    machine.load(build("speed.cl", "gfx950"))
    out = np.zeros(16 * 256, np.float32)
    stats, seconds = best(machine, "alu", 16, 256, [out, 1000])
    alu = stats.instructions / seconds
    machine.load(build("gemm.cl", "gfx950"))
    n = 256
    a, b, c = np.ones((n, n), np.uint16), np.ones((n, n), np.uint16), np.zeros((n, n), np.uint16)
    _, seconds = best(machine, "gemm", (n // 64, n // 64), 256, [a, b, c, n, n, n])
    macs = n**3 / seconds
    print(f"caches={caches}: {alu / 1e6:.0f} M wave-instructions/s, {macs / 1e9:.2f} GMAC/s in a GEMM through LDS")
    slack = BUSY * (4 if caches else 1)
    assert alu >= ALU_BAR / slack
    assert macs >= MATRIX_BAR / slack
