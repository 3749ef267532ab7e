"""What can go wrong in a kernel that runs on the executor."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..errors import FleetError


class CdnaError(FleetError):
    """Any failure of the executor: one sentence, lower case, without a full stop."""


class CodeObjectError(CdnaError):
    """The bytes are no code object that the executor can load."""


class UnsupportedError(CdnaError):
    """The kernel needs something that the executor does not implement."""


class LaunchError(CdnaError):
    """The launch does not fit the kernel or the machine."""


class KernelError(CdnaError):
    """The kernel did something wrong; `pc` is its byte offset in the text section."""

    pc: int | None = None


class GlobalFault(KernelError, MemoryError):
    """An access outside the registered buffers, to a read-only one, or a misaligned atomic."""


class LdsFault(KernelError, MemoryError):
    """An access outside the workgroup's LDS."""


class HazardError(KernelError):
    """A register was used before the s_waitcnt that completes its load."""


class TrapError(KernelError):
    """The kernel executed s_trap, or jumped to where no instruction stands."""


class BudgetError(KernelError):
    """The launch used more instructions than it was allowed."""


@dataclass
class WaveState:
    """A wave at the moment of a failure."""

    index: int  # in the machine's list of resident waves
    group: int
    group_id: tuple[int, int, int]
    wave: int
    xcd: int
    cu: int
    state: str  # "ready", "sleeping", "barrier" or "ended"
    pc: int  # byte offset of the next instruction in the text section
    symbol: str  # the same as symbol+offset
    instruction: str
    instructions: int
    exec: int
    vmcnt: int
    lgkmcnt: int
    last_address: int  # device address of the last global load or atomic
    last_place: str  # the same as buffer+offset
    sgprs: list[int] = field(repr=False)
    note: str = ""  # what the caller's `describe` said

    def __str__(self) -> str:
        text = (
            f"workgroup {self.group} wave {self.wave} (xcd {self.xcd}, cu {self.cu}): {self.state} at "
            f"{self.symbol} `{self.instruction}`, last global access {self.last_place}"
        )
        return text + (f": {self.note}" if self.note else "")


class DeadlockError(KernelError):
    """No wave makes progress. `waves` holds the state of each; `report()` is a line a wave."""

    waves: list[WaveState]

    def report(self) -> str:
        """All waves, one a line."""
        return "\n".join(map(str, self.waves))
