"""Whole kernels, compiled by LLVM, on a machine with and without the cache model."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from conftest import bf16, f32

from fleet_mlir.cdna import Machine

RNG = np.random.default_rng(0)
Build = Callable[..., bytes]


def test_vector_add(machine: Machine, build: Build) -> None:
    n = 5000
    a, b = RNG.standard_normal((2, n)).astype(np.float32)
    c = np.zeros(n, np.float32)
    machine.load(build("vadd.cl", machine.arch))
    stats = machine.launch("vadd", (n + 255) // 256, 256, [a, b, c, n])
    assert np.array_equal(c, a + b)
    assert stats.loads == 2 * 4 * (n // 256) + 2 * 3  # the last workgroup has 136 of 256 lanes


@pytest.mark.parametrize(("name", "size", "only"), [("mfma16", 16, ""), ("mfma32", 32, ""), ("mfma16x32", 16, "gfx950"), ("mfma32x16", 32, "gfx950")])
def test_matrix_instructions(machine: Machine, build: Build, name: str, size: int, only: str) -> None:
    if only not in ("", machine.arch):
        pytest.skip(f"{machine.arch} has no such instruction")
    a, b = bf16(RNG.standard_normal((2, size, 64)))
    c = np.zeros((size, size), np.float32)
    machine.load(build("mfma.cl", machine.arch))
    machine.launch(name, 1, 64, [a, b, c, 64])
    assert np.abs(c - f32(a).astype(np.float64) @ f32(b).astype(np.float64).T).max() < 1e-5


def test_gemm_through_lds(machine: Machine, build: Build) -> None:
    m, n, k = 128, 64, 96
    a, b = bf16(RNG.standard_normal((m, k))), bf16(RNG.standard_normal((n, k)))
    c = np.zeros((m, n), np.uint16)
    machine.load(build("gemm.cl", machine.arch))
    machine.launch("gemm", (n // 64, m // 64), 256, [a, b, c, m, n, k])
    want = f32(a).astype(np.float64) @ f32(b).astype(np.float64).T
    assert (np.abs(f32(c) - want) / (1 + np.abs(want))).max() < 4e-3


def test_lds_reductions(machine: Machine, build: Build) -> None:
    x = RNG.standard_normal((16, 256)).astype(np.float32)
    out = np.zeros(16, np.float32)
    machine.load(build("lds.cl", machine.arch))
    machine.launch("reduce", 16, 256, [x, out])
    total = x.copy()
    for half in (128, 64, 32, 16, 8, 4, 2, 1):
        total[:, :half] += total[:, half : 2 * half]
    assert np.array_equal(out, total[:, 0])
    x = RNG.standard_normal((256, 4)).astype(np.float32)
    back = np.zeros_like(x)
    machine.launch("ldsrev", 1, 256, [x, back])
    assert np.array_equal(back, x[::-1])


def test_softmax_with_dpp_and_swizzles(machine: Machine, build: Build) -> None:
    machine.load(build("softmax.cl", machine.arch))
    x = RNG.standard_normal(64).astype(np.float32)
    out = np.zeros((3, 64), np.float32)
    machine.launch("wred", 1, 64, [x, out])
    assert np.allclose(out[:2], x.sum(), atol=1e-4)
    assert np.array_equal(out[2], np.full(64, x.max()))
    x = RNG.standard_normal((4, 1000)).astype(np.float32) * 3
    half, full = np.zeros((4, 1000), np.uint16), np.zeros((4, 1000), np.float32)
    machine.launch("softmax", 4, 256, [x, half, full, 1000])
    e = np.exp((x - x.max(1, keepdims=True)).astype(np.float64))
    assert np.allclose(full, e / e.sum(1, keepdims=True), rtol=1e-5)
    assert np.array_equal(half, bf16(full))


def test_buffer_descriptors_and_subwords(machine: Machine, build: Build) -> None:
    machine.load(build("buf.cl", machine.arch))
    a, out = np.arange(1, 257, dtype=np.int32), np.zeros(256, np.int32)
    h, tripled = np.arange(100, 164, dtype=np.int16), np.zeros(64, np.uint16)
    bytes_ = 992  # the last lanes are outside
    machine.launch("rawbuf", 1, 64, [a, out, h, tripled, bytes_])
    assert np.array_equal(out, np.where(np.arange(1, 257) * 4 <= bytes_, a + 1, 0))
    assert np.array_equal(tripled, (h * 3).astype(np.uint16))
    h = RNG.integers(-30000, 30000, 64).astype(np.int16)
    b = RNG.integers(0, 255, 64).astype(np.uint8)
    h2, b2 = np.zeros(64, np.int16), np.zeros(64, np.uint8)
    machine.launch("subword", 1, 64, [h, h2, b, b2])
    assert np.array_equal(h2, h[::-1] * np.int16(2) + np.int16(1))
    assert np.array_equal(b2, b[::-1] + np.uint8(1))


def test_divisions(machine: Machine, build: Build) -> None:
    a = RNG.integers(-(2**31), 2**31 - 1, 64).astype(np.int32)
    b = (RNG.integers(1, 2**31 - 1, 64) >> RNG.integers(0, 30, 64)).astype(np.int32) | 1
    x, y = (RNG.standard_normal((2, 64)) * np.exp2(RNG.integers(-30, 30, (2, 64)))).astype(np.float32)
    la, lb = RNG.integers(-(2**63), 2**63 - 1, 64), (RNG.integers(1, 2**62, 64) >> RNG.integers(0, 60, 64)) | 1
    i, f, q = np.zeros(128, np.int32), np.zeros(128, np.float32), np.zeros(128, np.int64)
    machine.load(build("buf.cl", machine.arch))
    machine.launch("idiv", 1, 64, [a, b, i, x, y, f, la, lb, q])
    quotient = np.trunc(a / b.astype(np.float64)).astype(np.int64)
    assert np.array_equal(i[:64], quotient)
    assert np.array_equal(i[64:], a - quotient * b)
    assert np.abs(f[:64].view(np.int32) - (x / y).view(np.int32)).max() <= 1
    assert np.allclose(f[64:], np.abs(x))
    exact = [abs(int(p)) // abs(int(r)) * (1 if (p < 0) == (r < 0) else -1) for p, r in zip(la, lb, strict=True)]
    assert np.array_equal(q[:64], exact)
    assert np.array_equal(q[64:], la * lb)


def test_register_indexing(arch: str, build: Build) -> None:
    machine = Machine(arch, xcds=1, cus=1)
    machine.load(build("buf.cl", arch))
    a, out, steps = RNG.integers(-1000, 1000, (32, 64)).astype(np.int32), np.zeros(64, np.int32), 20
    if machine.load(build("buf.cl", arch)).kernels["spill"].scratch:
        pytest.skip("the compiler chose scratch memory")
    machine.launch("spill", 1, 64, [a, out, steps])
    p = a.astype(np.uint32)
    for t in range(64):
        for i in range(steps):
            j = (int(p[i & 31, t]) ^ t) & 31
            p[j, t] = (int(p[j, t]) + i * 3 + int(p[(j + 7) & 31, t])) % 2**32
    total = np.zeros(64, np.uint32)
    for row in p:
        total = total * np.uint32(31) + row
    assert np.array_equal(out, total.view(np.int32))


def test_kernel_from_ir(machine: Machine, build: Build) -> None:
    u = RNG.standard_normal((2, 4, 16, 16)).astype(np.float32).view(np.uint32) >> 16
    a, b = u.astype(np.uint16)
    c = np.zeros((4, 16, 16), np.float32)
    machine.load(build("ir.ll", machine.arch))
    machine.launch("k", 4, 64, [a.copy(), b.copy(), c])
    values = (u << 16).view(np.float32)
    assert np.allclose(c, np.einsum("gik,gjk->gij", values[0], values[1]), atol=1e-4)


def test_calls_and_constant_tables(machine: Machine, build: Build) -> None:
    out = np.zeros(64, np.int32)
    machine.load(build("misc.cl", machine.arch))
    machine.launch("call", 1, 64, [out])
    table = np.array([3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3, 2, 3, 8, 4, 6, 2, 6, 4, 3, 3, 8, 3, 2, 7, 9, 5] * 2)
    lane = np.arange(64)
    assert np.array_equal(out, table * lane + 7 + table[63 - lane])


def test_last_workgroup_by_ticket(machine: Machine, build: Build) -> None:
    groups = 32
    count, out = np.zeros(2, np.uint32), np.zeros(2, np.float32)
    x, part = RNG.integers(-8, 8, (groups, 256)).astype(np.float32), np.zeros(groups, np.float32)
    machine.load(build("misc.cl", machine.arch))
    machine.launch("ticket", groups, 256, [count, x, part, out, groups])
    assert out[0] == x.sum()


def test_atomics(machine: Machine, build: Build) -> None:
    groups = 16
    one, wide, most, floats = np.zeros(2, np.uint32), np.zeros(2, np.uint64), np.zeros(2, np.uint32), np.zeros(4, np.float32)
    machine.load(build("sync.cl", machine.arch))
    machine.launch("sysatom", groups, 64, [one, wide, most, floats, groups])
    assert one[0] == groups * 64
    assert int(wide[0]) == groups * 64 * 65 // 2 * 0x100000001
    assert most[0] == groups * 64 - 1
    assert floats[0] == groups * 32


def test_more_workgroups_than_fit(arch: str, build: Build) -> None:
    machine = Machine(arch, xcds=2, cus=1, groups_per_cu=1)
    x, out = RNG.standard_normal((16, 256)).astype(np.float32), np.zeros(16, np.float32)
    machine.load(build("lds.cl", arch))
    machine.launch("reduce", 16, 256, [x, out])
    assert np.allclose(out, x.sum(1), atol=1e-4)


def test_the_machine_lives_over_launches(arch: str, build: Build) -> None:
    machine = Machine(arch, xcds=2, cus=2, seed=5)
    program = machine.load(build("vadd.cl", arch))
    a = np.arange(256, dtype=np.float32)
    buffer = machine.buffer(a, "a")
    for _ in range(3):  # a += a: what one launch writes, the next one reads
        machine.launch((program, "vadd"), 1, 256, [buffer, buffer, buffer, 256])
    assert np.array_equal(a, 8 * np.arange(256, dtype=np.float32))
    part = buffer.array[64:128]
    machine.launch("vadd", 1, 256, [part, part, part, 64])  # a view of a registered buffer
    assert np.array_equal(a[64:128], 16 * np.arange(64, 128, dtype=np.float32))
    assert a[63] == 8 * 63
