"""Runs gfx942 and gfx950 code objects on the CPU, more strictly than the chip does.

    machine = Machine("gfx950", xcds=8, cus=4, seed=3)
    machine.load(Path("kernel.hsaco").read_bytes())
    machine.launch("step", grid=32, block=256, args=[params, state, work, input, output])

See tools/cdna-exec/README.md for what is modelled and what is not.
"""

from __future__ import annotations

from .codeobject import CodeObject, Kernel
from .errors import (
    BudgetError,
    CdnaError,
    CodeObjectError,
    DeadlockError,
    GlobalFault,
    HazardError,
    KernelError,
    LaunchError,
    LdsFault,
    TrapError,
    UnsupportedError,
    WaveState,
)
from .machine import Adversary, Buffer, Machine, Program, Stats

__all__ = [
    "Adversary",
    "BudgetError",
    "Buffer",
    "CdnaError",
    "CodeObject",
    "CodeObjectError",
    "DeadlockError",
    "GlobalFault",
    "HazardError",
    "Kernel",
    "KernelError",
    "LaunchError",
    "LdsFault",
    "Machine",
    "Program",
    "Stats",
    "TrapError",
    "UnsupportedError",
    "WaveState",
]
