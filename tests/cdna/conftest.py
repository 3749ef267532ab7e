"""Compiles the kernels of tests/cdna/kernels for the executor's tests."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fleet_mlir.cdna import Machine
from fleet_mlir.cdna.assembly import llvm_tool

KERNELS = Path(__file__).parent / "kernels"
ARCHS = ["gfx942", "gfx950"]
OPENCL = [
    *["-x", "cl", "-cl-std=CL2.0", "-Xclang", "-finclude-default-header", "-Xclang", "-fdeclare-opencl-builtins"],
    *["-target", "amdgcn-amd-amdhsa", "-nogpulib", "-O2", "-munsafe-fp-atomics"],
]


def run(arguments: list[str]) -> None:
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[:4000]


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., bytes]:
    """`build(name, arch, *defines)`: the code object of kernels/name, or of `name.s` text with `source=`."""
    folder = tmp_path_factory.mktemp("cdna")
    built: dict[str, bytes] = {}

    def make(name: str, arch: str, *defines: str, source: str | None = None) -> bytes:
        path = KERNELS / name
        key = hashlib.sha256(repr((name, arch, defines, source)).encode()).hexdigest()[:16]
        if key in built:
            return built[key]
        if source is not None:
            path = folder / f"{key}-{name}"
            path.write_text(source)
        target, middle = folder / f"{key}.hsaco", folder / f"{key}.o"
        if path.suffix == ".cl":
            flags = [f"-mcpu={arch}", *(["-DGFX950"] if arch == "gfx950" else []), *[f"-D{d}" for d in defines]]
            run([llvm_tool("clang"), *OPENCL, *flags, str(path), "-o", str(target)])
        else:
            if path.suffix == ".ll":
                run([llvm_tool("llc"), f"-mcpu={arch}", "-O3", "-filetype=obj", str(path), "-o", str(middle)])
            else:
                assembler = [llvm_tool("llvm-mc"), "-triple=amdgcn-amd-amdhsa", f"-mcpu={arch}", "-filetype=obj"]
                run([*assembler, str(path), "-o", str(middle)])
            run([llvm_tool("ld.lld"), "-shared", str(middle), "-o", str(target)])
        built[key] = target.read_bytes()
        return built[key]

    return make


@pytest.fixture(params=ARCHS)
def arch(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=["coherent", "cached"])
def machine(request: pytest.FixtureRequest, arch: str) -> Machine:
    """A small machine with and without the cache model."""
    return Machine(arch, xcds=8, cus=2, seed=1, caches=request.param == "cached")


def bf16(x: np.ndarray) -> np.ndarray:
    """f32 to bf16 bits (uint16), to nearest even."""
    u = np.ascontiguousarray(x, np.float32).view(np.uint32)
    return ((u + 0x7FFF + ((u >> 16) & 1)) >> 16).astype(np.uint16)


def f32(h: np.ndarray) -> np.ndarray:
    """bf16 bits to f32."""
    return (h.astype(np.uint32) << 16).view(np.float32)
