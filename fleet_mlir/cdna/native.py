"""Builds and loads the executor's C part (executor/*.c).

It is compiled once a host and version of its sources, into the cache directory of Fleet.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .. import cache
from .assembly import llvm_tool
from .errors import CdnaError

SOURCES = Path(__file__).resolve().parent / "executor"
# Contraction is off because the kernels say themselves where they fuse.
FLAGS = [
    "-O2",
    "-march=native",
    "-mprefer-vector-width=512",
    "-std=gnu17",
    "-fPIC",
    "-fvisibility=hidden",
    "-fno-math-errno",
    "-ffp-contract=off",
    "-fwrapv",
    "-fno-strict-aliasing",
    "-Wall",
    "-Wextra",
    "-Wno-unused-parameter",
]

u8, u32, i32, u64 = ctypes.c_uint8, ctypes.c_uint32, ctypes.c_int32, ctypes.c_uint64


class Config(ctypes.Structure):
    """Config of core.h."""

    _fields_ = [
        ("seed", u64),
        *[(name, u32) for name in "xcds cus caches first_xcd l1_lines l2_lines lds_per_cu waves_per_cu groups_per_cu".split()],
        ("max_instructions", u64),
        ("stall_instructions", u64),
        ("stall_rounds", u32),
        *[
            (name, u32)
            for name in (
                "defer_store defer_load defer_ds yield_atomic drain evict_l1 evict_l2 slow_wave slow_pace straggle stale"
                " starve patience starve_after quantum"
            ).split()
        ],
    ]


class Dispatch(ctypes.Structure):
    """Dispatch of core.h."""

    _fields_ = [
        ("entry", u32),
        ("grid", u32 * 3),
        ("block", u32 * 3),
        *[(name, u32) for name in "user_sgprs workgroup_ids workgroup_info vgprs agprs lds mode".split()],
        ("user", u32 * 32),
    ]


class Range(ctypes.Structure):
    """Range of core.h."""

    _fields_ = [("lo", u64), ("hi", u64), ("host", ctypes.c_void_p), ("readonly", u32), ("reserved", u32)]


class Error(ctypes.Structure):
    """Error of core.h."""

    _fields_ = [
        *[(name, i32) for name in "code group wave lane".split()],
        ("pc", u32),
        ("size", u32),
        ("address", u64),
        ("detail", u32),
        ("detail2", u32),
    ]


class Stats(ctypes.Structure):
    """Stats of core.h."""

    _fields_ = [
        (name, u64)
        for name in (
            "instructions mfma loads stores atomics l1_hits l1_misses l2_hits l2_misses writebacks lines_written_back "
            "invalidates_l1 invalidates_l2 evictions deferred rounds turns"
        ).split()
    ]


class WaveView(ctypes.Structure):
    """WaveView of machine.c."""

    _fields_ = [
        ("group", i32),
        ("id", i32 * 3),
        *[(name, i32) for name in "wave xcd cu state stop".split()],
        *[(name, u32) for name in "pc vm lgkm".split()],
        *[(name, u64) for name in "count exec last_address".split()],
    ]


def _host() -> str:
    """What -march=native depends on."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line for line in lines if line.startswith(("flags", "Features")))
    except (OSError, StopIteration):
        return platform.processor()


def _build(target: Path) -> None:
    clang = llvm_tool("clang")
    sources = sorted(SOURCES.glob("*.c"))

    def run(arguments: list[str]) -> None:
        done = subprocess.run([clang, *arguments], capture_output=True, text=True, check=False)
        if done.returncode:
            raise CdnaError(f"the executor does not build: {(done.stderr.strip().splitlines() or ['no message'])[0]}")

    with tempfile.TemporaryDirectory() as folder:
        objects = [str(Path(folder) / f"{source.stem}.o") for source in sources]
        with ThreadPoolExecutor(max_workers=2) as pool:
            list(pool.map(run, [[*FLAGS, "-c", str(s), "-o", o] for s, o in zip(sources, objects, strict=True)]))
        library = Path(folder) / "executor.so"
        run(["-shared", *objects, "-lm", "-o", str(library)])
        cache.write_atomic(target, library.read_bytes())


@functools.lru_cache(maxsize=1)
def library() -> ctypes.CDLL:
    """The executor's C part, built if need be."""
    digest = hashlib.sha256(" ".join([*FLAGS, _host()]).encode())
    for source in sorted(SOURCES.iterdir()):
        if source.suffix in (".c", ".h", ".def"):
            digest.update(source.name.encode() + source.read_bytes())
    path = cache.directory() / "cdna" / f"executor-{digest.hexdigest()[:24]}.so"
    try:
        if not path.exists():
            _build(path)
        loaded = ctypes.CDLL(str(path))
    except OSError as error:
        raise CdnaError(f"the executor cannot be built in {path.parent}: {error.strerror or error}") from None
    loaded.cdna_opcode_name.restype = ctypes.c_char_p
    loaded.cdna_opcode_types.restype = ctypes.c_char_p
    loaded.cdna_create.restype = ctypes.c_void_p
    loaded.cdna_error.restype = ctypes.POINTER(Error)
    loaded.cdna_stats.restype = ctypes.POINTER(Stats)
    pointer = ctypes.c_void_p
    loaded.cdna_create.argtypes = [ctypes.POINTER(Config), pointer]
    loaded.cdna_destroy.argtypes = [pointer]
    loaded.cdna_set_ranges.argtypes = [pointer, pointer, u32]
    loaded.cdna_set_code.argtypes = [pointer, ctypes.c_char_p, u32, pointer, u32, u64, pointer]
    loaded.cdna_launch.argtypes = [pointer, ctypes.POINTER(Dispatch)]
    loaded.cdna_error.argtypes = loaded.cdna_stats.argtypes = loaded.cdna_wave_count.argtypes = [pointer]
    loaded.cdna_wave.argtypes = [pointer, u32, ctypes.POINTER(WaveView), pointer]
    loaded.cdna_wave_vgpr.argtypes = [pointer, u32, u32, pointer]
    assert loaded.cdna_config_size() == ctypes.sizeof(Config)
    return loaded


@functools.lru_cache(maxsize=1)
def opcodes() -> dict[str, tuple[int, str]]:
    """The executor's opcode table: name to (index, types)."""
    lib, table = library(), {}
    while name := lib.cdna_opcode_name(len(table)):
        table[name.decode()] = (len(table), lib.cdna_opcode_types(len(table)).decode())
    return table


def readable(path: str | os.PathLike[str]) -> bytes:
    """A file's bytes, or a CdnaError."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise CdnaError(f"{path} cannot be read: {error.strerror}") from None
