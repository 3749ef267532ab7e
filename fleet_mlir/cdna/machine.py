"""The machine: chiplets, CUs and caches, and the launch of kernels on them."""

from __future__ import annotations

import bisect
import ctypes
import dataclasses
import functools
import random
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import native
from .assembly import disassemble
from .codeobject import CodeObject, Kernel
from .decode import RECORD, Decoder
from .errors import (
    BudgetError,
    CdnaError,
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

FIRST_ADDRESS = 0x1000_0000_0000
ALIGNMENT = 4096  # of a buffer; between two buffers lies as much again that belongs to none
MAX_BLOCK = 1024
WAVE = 64
SIMDS, MAX_WAVES_PER_SIMD, VGPR_FILE = 4, 8, 512


@dataclass(frozen=True)
class Chip:
    """What the executor must know of a chip beyond its instructions."""

    lds: int  # bytes of LDS a CU


CHIPS = {"gfx942": Chip(lds=64 << 10), "gfx950": Chip(lds=160 << 10)}


@dataclass(frozen=True)
class Buffer:
    """A host array that kernels may address.

    `address` is its device address; `readonly` arrays refuse stores.
    """

    array: np.ndarray
    address: int
    name: str
    readonly: bool

    @property
    def end(self) -> int:
        return self.address + self.array.nbytes


@dataclass(frozen=True)
class Stats:
    """What a launch did; all are counts over all waves."""

    instructions: int
    mfma: int
    loads: int
    stores: int
    atomics: int
    l1_hits: int
    l1_misses: int
    l2_hits: int
    l2_misses: int
    writebacks: int  # buffer_wbl2 sc1 that took effect
    lines_written_back: int
    invalidates_l1: int
    invalidates_l2: int
    evictions: int
    deferred: int  # operations made later than their issue
    rounds: int
    turns: int


@dataclass(frozen=True)
class Adversary:
    """How unkind the machine is. Chances are out of 65536 for each operation."""

    defer_store: int = 0  # a store stays in its CU's queue until it is waited for
    defer_load: int = 0  # a load reads memory only when it is waited for
    defer_ds: int = 0  # the same for LDS operations
    yield_atomic: int = 0  # another wave runs after an atomic
    drain: int = 4096  # each round, a channel's queue is emptied
    evict_l1: int = 0
    evict_l2: int = 0
    slow_wave: int = 0  # a wave gets only one turn out of `slow_pace`
    slow_pace: int = 1
    straggle: int = 0  # a wave stays behind when it leaves a barrier
    stale: int = 0  # a cache miss finds what memory held at any time since the cache was last invalidated
    starve: int = 0  # a workgroup runs only when all others have slept or waited for `patience` rounds, or up to four times as many
    patience: int = 16
    starve_after: int = 0  # most atomics with which a workgroup changes memory before it starves
    quantum: int = 1000  # mean instructions of a turn

    @staticmethod
    def from_seed(seed: int) -> Adversary:
        """One of the many machines that the programming model allows."""
        r = random.Random(f"adversary {seed}")
        one = 65536
        return Adversary(
            defer_store=r.choice([0, one // 2, one * 15 // 16, one]),
            defer_load=r.choice([0, one // 4, one * 3 // 4]),
            defer_ds=r.choice([0, one // 8, one // 2]),
            yield_atomic=r.choice([one // 4, one]),
            drain=r.choice([64, 1024, 16384]),
            evict_l1=r.choice([0, 16, 1024]),
            evict_l2=r.choice([0, 16, 1024]),
            slow_wave=r.choice([0, one // 8, one // 2]),
            slow_pace=r.choice([4, 32]),
            straggle=r.choice([one // 16, one // 4]),
            stale=r.choice([0, one // 4, one]),
            quantum=r.choice([8, 64, 256, 1024]),
            starve=r.choice([0, 0, one // 8, one // 2]),
            patience=r.choice([16, 64]),
            starve_after=r.choice([0, 8, 32]),
        )


@functools.lru_cache(maxsize=32)
def _decode(data: bytes) -> Decoder:
    code = CodeObject(data)
    decoder = Decoder(native.opcodes(), code.symbols)
    decoder.decode(disassemble(data), *code.text)
    return decoder


class Program:
    """A code object on a machine; `kernels` names what can be launched."""

    def __init__(self, data: bytes) -> None:
        self.object = CodeObject(data)
        self.decoder = _decode(bytes(data))

    @property
    def arch(self) -> str:
        return self.object.arch

    @property
    def kernels(self) -> dict[str, Kernel]:
        return self.object.kernels

    def instruction(self, pc: int) -> str:
        """The assembly at a byte offset of the text section."""
        return self.decoder.texts.get(pc, "?")

    def symbol(self, pc: int) -> str:
        """`function+0x10` for a byte offset of the text section."""
        address = pc + self.object.text[0]
        inside = [
            (start, name)
            for name, (start, size) in self.object.symbols.items()
            if start <= address < start + max(size, 1) and not name.endswith(".kd")
        ]
        if not inside:
            return f"{pc:#x}"
        start, name = max(inside)
        return f"{name}+{address - start:#x}"


class Machine:
    """A multi-die GPU on the host.

    Args:
        arch: "gfx942" or "gfx950".
        xcds: number of chiplets.
        cus: CUs of each chiplet: one number, or a list of one number a chiplet.
        seed: decides wave order, evictions, how late operations are made, and where workgroups run.
        caches: False gives one coherent memory and no late operation: for speed, not for judging a kernel.
        first_xcd: the chiplet of workgroup 0; by default the seed's choice.
        groups_per_cu: most workgroups on a CU at once, however small they are.
        adversary: in place of the one that the seed gives.
        l1_lines, l2_lines: cache sizes in lines of 128 bytes.
        max_instructions: of one launch, over all waves.
        stall_instructions: instructions without any write before the launch counts as a deadlock.

    Addresses that kernels see are the same in every run, so a seed always gives the same result.
    """

    def __init__(
        self,
        arch: str,
        xcds: int = 8,
        cus: int | Sequence[int] = 4,
        seed: int = 0,
        caches: bool = True,
        *,
        first_xcd: int | None = None,
        groups_per_cu: int = 16,
        adversary: Adversary | None = None,
        l1_lines: int = 256,
        l2_lines: int = 32768,
        max_instructions: int = 10**12,
        stall_instructions: int = 300_000_000,
        stall_rounds: int = 3000,
    ) -> None:
        self._handle: int | None = None
        if arch not in CHIPS:
            raise LaunchError(f"expected the architecture to be one of {', '.join(CHIPS)}, found {arch}")
        counts = [cus] * xcds if isinstance(cus, int) else list(cus)
        if len(counts) != xcds or min(counts, default=0) < 0 or sum(counts) == 0:
            raise LaunchError(f"expected a number of CUs for each of {xcds} chiplets, found {cus}")
        self.arch = arch
        self.xcds = xcds
        self.cus = counts
        self.seed = seed
        if adversary is None:
            adversary = Adversary.from_seed(seed) if caches else Adversary()
        if first_xcd is None:
            first_xcd = random.Random(f"placement {seed}").randrange(xcds)
        self.adversary = adversary
        self._config = native.Config(
            seed=seed & (2**64 - 1),
            xcds=xcds,
            cus=sum(counts),
            caches=int(caches),
            first_xcd=first_xcd,
            l1_lines=max(4, l1_lines // 4 * 4),
            l2_lines=max(16, l2_lines // 16 * 16),
            lds_per_cu=CHIPS[arch].lds,
            waves_per_cu=SIMDS * MAX_WAVES_PER_SIMD,
            groups_per_cu=groups_per_cu,
            max_instructions=max_instructions,
            stall_instructions=stall_instructions,
            stall_rounds=stall_rounds,
            **dataclasses.asdict(adversary),
        )
        self._lib = native.library()
        self._xcd_of_cu = np.repeat(np.arange(xcds, dtype=np.uint32), counts)
        self._handle = self._lib.cdna_create(ctypes.byref(self._config), self._xcd_of_cu.ctypes.data)
        self._next_address = FIRST_ADDRESS
        self._buffers: list[Buffer] = []  # sorted by address
        self._program: Program | None = None
        self._program_buffers: dict[int, Buffer] = {}
        self._current: Program | None = None

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Free the machine; it cannot be used afterwards."""
        if self._handle:
            self._lib.cdna_destroy(self._handle)
            self._handle = None

    # ---- memory ----
    def buffer(self, array: np.ndarray, name: str = "", readonly: bool = False) -> Buffer:
        """Register a contiguous array for the life of the machine; kernels address it in place."""
        if not isinstance(array, np.ndarray) or not array.flags.c_contiguous:
            raise LaunchError(f"expected a contiguous array for the buffer {name or len(self._buffers)}")
        start = array.ctypes.data
        for known in self._buffers:
            first = known.array.ctypes.data
            if first <= start and start + array.nbytes <= first + known.array.nbytes and array.nbytes:
                return Buffer(array, known.address + start - first, known.name, known.readonly)
            if start < first + known.array.nbytes and first < start + array.nbytes:
                raise LaunchError(f"the buffer {name or len(self._buffers)} overlaps the buffer {known.name} in part")
        made = Buffer(array, self._next_address, name or f"#{len(self._buffers)}", readonly or not array.flags.writeable)
        self._next_address += (max(array.nbytes, 1) + 2 * ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT
        self._buffers.append(made)
        return made

    def place(self, address: int) -> str:
        """`buffer+0x10` for a device address."""
        at = bisect.bisect_right([b.address for b in self._buffers], address) - 1
        if at < 0:
            return f"{address:#x}"
        return f"{self._buffers[at].name}+{address - self._buffers[at].address:#x}"

    # ---- programs ----
    def load(self, data: bytes) -> Program:
        """Load a code object (the bytes of an hsaco file)."""
        program = Program(data)
        if program.arch != self.arch:
            raise LaunchError(f"expected a code object for {self.arch}, found one for {program.arch}")
        buffer = self.buffer(program.object.image, "code", readonly=True)
        program.object.relocate(buffer.address)
        self._program_buffers[id(program)] = buffer
        self._program = program
        return program

    # ---- launches ----
    def launch(
        self,
        kernel: str | tuple[Program, str],
        grid: int | Sequence[int],
        block: int | Sequence[int],
        args: Sequence[Any] | bytes,
        lds: int = 0,
        describe: Callable[[WaveState], str] | None = None,
        names: Sequence[str] | None = None,
    ) -> Stats:
        """Run a kernel to its end.

        Args:
            kernel: its name in the program loaded last, or (program, name).
            grid: workgroups in x, y, z.
            block: work-items of a workgroup in x, y, z.
            args: one value for each explicit argument: an array or a Buffer for a pointer, an int, or a
                float (f32). Or the bytes of the whole kernel argument segment.
            lds: bytes of dynamic LDS.
            describe: called for each wave when the launch fails, to name its task and event.
            names: names of the arrays among `args`, for messages.

        Raises a KernelError for what the kernel did wrong; its `waves` attribute holds the waves then
        resident. Arrays are changed in place.
        """
        program, name = (self._program, kernel) if isinstance(kernel, str) else kernel
        if program is None or id(program) not in self._program_buffers:
            raise LaunchError("expected a program that this machine has loaded")
        if name not in program.kernels:
            raise LaunchError(f"expected one of the kernels {', '.join(program.kernels)}, found {name}")
        k = program.kernels[name]
        grid3, block3 = _three(grid, "grid"), _three(block, "block")
        self._check(program, k, block3, lds)
        kept, address = len(self._buffers), self._next_address
        try:
            segment = self._arguments(k, grid3, block3, args, lds, names or [])
            arguments = self.buffer(segment, "kernel arguments", readonly=True)
            dispatch = self._dispatch(program, k, grid3, block3, lds, arguments)
            self._set_code(program)
            self._set_ranges()
            limit = min(MAX_WAVES_PER_SIMD, VGPR_FILE // k.total_vgprs) * SIMDS
            if (block3[0] * block3[1] * block3[2] + WAVE - 1) // WAVE > limit:
                raise LaunchError(f"the kernel {name} needs {k.total_vgprs} VGPRs a wave, which leaves room for {limit} waves a CU, found {block3}")
            self._set_waves_per_cu(limit)
            code = self._lib.cdna_launch(self._handle, ctypes.byref(dispatch))
            if code:
                raise self._failure(program, k, describe)
            raw = self._lib.cdna_stats(self._handle).contents
            return Stats(**{field: getattr(raw, field) for field, _ in raw._fields_})
        finally:
            del self._buffers[kept:]
            self._next_address = address

    def _check(self, program: Program, k: Kernel, block: tuple[int, int, int], lds: int) -> None:
        threads = block[0] * block[1] * block[2]
        required = k.metadata.get(".reqd_workgroup_size")
        if required and list(block) != list(required):
            raise LaunchError(f"the kernel {k.name} requires workgroups of {required}, found {list(block)}")
        most = min(MAX_BLOCK, k.metadata.get(".max_flat_workgroup_size", MAX_BLOCK))
        if not 0 < threads <= most:
            raise LaunchError(f"expected 1 to {most} work-items in a workgroup of {k.name}, found {threads}")
        if k.scratch:
            raise UnsupportedError(
                f"the kernel {k.name} needs {k.scratch} bytes of scratch memory a lane, which is not supported: "
                "compile it without spills and stack objects"
            )
        if k.lds + lds > CHIPS[self.arch].lds:
            raise LaunchError(f"the kernel {k.name} needs {k.lds + lds} bytes of LDS, a CU of {self.arch} has {CHIPS[self.arch].lds}")
        if k.mode & 15:
            raise UnsupportedError(f"the kernel {k.name} does not round to nearest even, which is not supported")
        first = program.object.text[0]
        for pc, reason in program.decoder.unsupported.items():
            if k.entry <= pc + first < k.end:
                raise UnsupportedError(f"the kernel {k.name} at {program.symbol(pc)} has an unsupported instruction: {reason}")

    def _arguments(
        self,
        k: Kernel,
        grid: tuple[int, int, int],
        block: tuple[int, int, int],
        args: Sequence[Any] | bytes,
        lds: int,
        names: Sequence[str],
    ) -> np.ndarray:
        # The segment is aligned: the compiler may load the words after the last argument with it.
        segment = np.zeros((k.kernarg_size + 4 * k.preload + 64) // 64 * 64, np.uint8)
        if isinstance(args, (bytes, bytearray, memoryview)):
            if len(args) > k.kernarg_size:
                raise LaunchError(f"expected at most {k.kernarg_size} bytes of arguments for {k.name}, found {len(args)}")
            segment[: len(args)] = np.frombuffer(args, np.uint8)
            return segment
        hidden = {
            **{f"hidden_block_count_{a}": grid[n] for n, a in enumerate("xyz")},
            **{f"hidden_group_size_{a}": block[n] for n, a in enumerate("xyz")},
            "hidden_grid_dims": 3 if grid[2] * block[2] > 1 else 2 if grid[1] * block[1] > 1 else 1,
            "hidden_dynamic_lds_size": lds,
            "hidden_shared_base": 0x10000 << 32,
        }
        explicit = [a for a in k.arguments if not a[".value_kind"].startswith("hidden_")]
        if len(explicit) != len(args):
            raise LaunchError(f"expected {len(explicit)} arguments for {k.name}, found {len(args)}")
        values = iter(zip(args, [*names, *[""] * len(args)], strict=False))
        for number, argument in enumerate(k.arguments):
            offset, size, kind = argument[".offset"], argument[".size"], argument[".value_kind"]
            if kind.startswith("hidden_"):
                data = int(hidden.get(kind, 0)).to_bytes(8, "little")[:size]
            else:
                value, name = next(values)
                data = self._value(value, size, name or argument.get(".name", f"#{number}"), k)
            segment[offset : offset + len(data)] = np.frombuffer(data, np.uint8)
        return segment

    def _value(self, value: Any, size: int, name: str, k: Kernel) -> bytes:
        if isinstance(value, np.ndarray) and value.ndim:
            value = self.buffer(value, name)
        if isinstance(value, Buffer):
            return struct.pack("<Q", value.address)
        if isinstance(value, (np.generic, np.ndarray)):
            data = value.tobytes()
        elif isinstance(value, float):
            data = struct.pack("<f" if size == 4 else "<d", value)
        elif isinstance(value, bytes):
            data = value
        else:
            try:
                data = int(value).to_bytes(size, "little", signed=value < 0)
            except (OverflowError, TypeError, ValueError):
                raise LaunchError(f"the argument {name} of {k.name} does not fit {size} bytes: {value}") from None
        if len(data) != size:
            raise LaunchError(f"expected {size} bytes for the argument {name} of {k.name}, found {len(data)}")
        return data

    def _dispatch(
        self,
        program: Program,
        k: Kernel,
        grid: tuple[int, int, int],
        block: tuple[int, int, int],
        lds: int,
        arguments: Buffer,
    ) -> native.Dispatch:
        user: list[int] = []
        for bit, value in (
            (0, [0] * 4),  # private segment buffer
            (1, [0, 0]),  # dispatch packet
            (2, [0, 0]),  # queue
            (3, [arguments.address & 0xFFFFFFFF, arguments.address >> 32]),
            (4, [0, 0]),  # dispatch id
            (5, [0, 0]),  # flat scratch
            (6, [0]),  # private segment size
        ):
            if k.properties >> bit & 1:
                user += value
        entry = k.entry
        if k.preload:
            words = arguments.array.view(np.uint8)[4 * k.preload_offset : 4 * (k.preload_offset + k.preload)]
            user += [int(x) for x in words.view(np.uint32)]
            entry += 256  # past the code for firmware that does not preload
        if len(user) > k.user_sgprs:
            raise UnsupportedError(f"the kernel {k.name} asks for user registers that are not known")
        user += [0] * (k.user_sgprs - len(user))
        dispatch = native.Dispatch(
            entry=int(program.decoder.index_of[(entry - program.object.text[0]) // 4]),
            user_sgprs=len(user),
            workgroup_ids=k.workgroup_ids,
            workgroup_info=int(k.workgroup_info),
            vgprs=k.vgprs,
            agprs=k.agprs,
            lds=k.lds + lds,
            mode=k.mode,
        )
        dispatch.grid[:] = grid
        dispatch.block[:] = block
        dispatch.user[: len(user)] = user
        return dispatch

    def _set_code(self, program: Program) -> None:
        if self._current is program:
            return
        d = program.decoder
        text = self._program_buffers[id(program)].address + program.object.text[0]
        assert self._lib.cdna_record_size() == RECORD.size
        self._lib.cdna_set_code(
            self._handle, d.records, d.count, d.index_of.ctypes.data, len(d.index_of) - 1, text, d.perms.ctypes.data
        )
        self._current = program

    def _set_ranges(self) -> None:
        self._ranges = (native.Range * len(self._buffers))(
            *[native.Range(b.address, b.end, b.array.ctypes.data, b.readonly, 0) for b in self._buffers]
        )
        self._lib.cdna_set_ranges(self._handle, ctypes.addressof(self._ranges), len(self._buffers))

    def _set_waves_per_cu(self, waves: int) -> None:
        self._lib.cdna_set_waves_per_cu(ctypes.c_void_p(self._handle), waves)

    # ---- failures ----
    def _waves(self, program: Program, describe: Callable[[WaveState], str] | None) -> list[WaveState]:
        waves = []
        sgprs = np.zeros(128, np.uint32)
        for index in range(self._lib.cdna_wave_count(self._handle)):
            view = native.WaveView()
            self._lib.cdna_wave(self._handle, index, ctypes.byref(view), sgprs.ctypes.data)
            state = ("ready", "barrier", "ended")[view.state]
            wave = WaveState(
                index=index,
                group=view.group,
                group_id=tuple(view.id),
                wave=view.wave,
                xcd=view.xcd,
                cu=view.cu,
                state="sleeping" if state == "ready" and view.stop == 2 else state,
                pc=view.pc,
                symbol=program.symbol(view.pc),
                instruction=program.instruction(view.pc),
                instructions=view.count,
                exec=view.exec,
                vmcnt=view.vm,
                lgkmcnt=view.lgkm,
                last_address=view.last_address,
                last_place=self.place(view.last_address) if view.last_address else "none",
                sgprs=[int(x) for x in sgprs],
            )
            if describe:
                wave.note = describe(wave)
            waves.append(wave)
        return sorted(waves, key=lambda w: (w.group, w.wave))

    def vgpr(self, wave: WaveState, register: int) -> np.ndarray:
        """The lanes (uint32 [64]) of a VGPR of a wave that a failed launch left; AGPRs from 256."""
        lanes = np.zeros(WAVE, np.uint32)
        self._lib.cdna_wave_vgpr(self._handle, wave.index, register, lanes.ctypes.data)
        return lanes

    def _failure(self, program: Program, k: Kernel, describe: Callable[[WaveState], str] | None) -> CdnaError:
        e = native.Error.from_buffer_copy(self._lib.cdna_error(self._handle).contents)
        waves = self._waves(program, describe)
        where = f"kernel {k.name}, workgroup {e.group} wave {e.wave}" + (f" lane {e.lane}" if e.lane >= 0 else "")
        where += f", at {program.symbol(e.pc)} `{program.instruction(e.pc)}`"
        error: KernelError
        name = _ERRORS.get(e.code, "unknown")
        if name == "memory":
            what = "store to" if e.detail else "load from"
            error = GlobalFault(f"{where}: {what} {e.address:#x} ({e.size} bytes), {self._nearest(e.address, e.size)}")
        elif name == "readonly":
            error = GlobalFault(f"{where}: store to {e.address:#x} ({e.size} bytes) in the read-only buffer {self.place(e.address)}")
        elif name == "align":
            error = GlobalFault(f"{where}: atomic at {e.address:#x}, expected a multiple of {e.size}")
        elif name == "lds":
            have = k.lds
            error = LdsFault(f"{where}: LDS address {e.address:#x} ({e.size} bytes) is outside the {have} bytes of the workgroup")
        elif name == "hazard":
            register = _register_name(e.detail)
            error = HazardError(
                f"{where}: {register} is used before the s_waitcnt for `{program.instruction(e.detail2)}` at {program.symbol(e.detail2)}"
            )
        elif name == "unknown":
            reason = program.decoder.unsupported.get(e.pc, program.instruction(e.pc))
            error = TrapError(f"{where}: unsupported instruction: {reason}")
        elif name == "trap":
            error = TrapError(f"{where}: trap {e.address}")
        elif name == "pc":
            error = TrapError(f"{where}: jump to {e.address:#x}, where no instruction begins")
        elif name == "mode":
            error = TrapError(f"{where}: floating-point mode {e.address:#x} is not supported: only rounding to nearest even")
        elif name == "placement":
            error = KernelError(f"kernel {k.name}: a workgroup fits no CU of the machine")
        elif name == "budget":
            error = BudgetError(f"kernel {k.name}: more than {self._config.max_instructions} instructions")
        else:
            live = [w for w in waves if w.state != "ended"]
            first = f": {live[0]}" if live else ""
            error = DeadlockError(f"kernel {k.name}: no progress, {len(live)} of {len(waves)} resident waves wait{first}")
        error.pc = e.pc
        error.waves = waves  # type: ignore[attr-defined]
        return error

    def _nearest(self, address: int, size: int) -> str:
        at = bisect.bisect_right([b.address for b in self._buffers], address) - 1
        if at < 0 or address - self._buffers[at].end > 1 << 32:
            return "which is far from every buffer"
        b = self._buffers[at]
        return f"which ends {address + size - b.end} bytes past the buffer {b.name} of {b.array.nbytes} bytes"


_ERRORS = dict(
    enumerate(
        "none memory readonly lds hazard unknown trap pc deadlock budget align placement mode".split()
    )
)


def _register_name(number: int) -> str:
    if number < 128:
        return {106: "vcc_lo", 107: "vcc_hi", 124: "m0"}.get(number, f"s{number}")
    return f"v{number - 128}" if number < 384 else f"a{number - 384}"


def _three(value: int | Sequence[int], what: str) -> tuple[int, int, int]:
    sizes = (value,) if isinstance(value, int) else tuple(int(v) for v in value)
    if not 1 <= len(sizes) <= 3 or min(sizes) < 1:
        raise LaunchError(f"expected 1 to 3 positive sizes for the {what}, found {value}")
    x, y, z = (*sizes, 1, 1)[:3]
    return x, y, z
