"""What a wrong kernel or a wrong launch is told."""

from __future__ import annotations

import re
from collections.abc import Callable

import assembler
import numpy as np
import pytest

from fleet_mlir.cdna import (
    BudgetError,
    CodeObject,
    CodeObjectError,
    DeadlockError,
    GlobalFault,
    HazardError,
    LaunchError,
    LdsFault,
    Machine,
    TrapError,
    UnsupportedError,
    WaveState,
)

Build = Callable[..., bytes]


@pytest.fixture
def run(arch: str, build: Build) -> Callable[..., np.ndarray]:
    """Runs a body (see assembler.source) on one wave; the output, uint32 [4, 64]."""

    def go(body: str, lds: int = 1024, given: np.ndarray | None = None, caches: bool = True, **options: int) -> np.ndarray:
        machine = Machine(arch, xcds=1, cus=1, caches=caches, **options)
        machine.load(build("fault.s", arch, source=assembler.source(arch, {"fault": body}, lds=lds)))
        out = np.zeros((4, 64), np.uint32)
        given = np.arange(64, dtype=np.uint32) if given is None else given
        machine.launch("fault", 1, 64, [given, out], names=["in", "out"])
        return out

    return go


Run = Callable[..., np.ndarray]
START = "v_lshlrev_b32 v60, 2, v0\n"


def message(error: pytest.ExceptionInfo[BaseException]) -> str:
    text = str(error.value)
    assert "\n" not in text and not text.endswith(".") and text[0].islower()
    return text


@pytest.mark.parametrize("caches", [False, True])
def test_load_used_before_its_wait(run: Run, caches: bool) -> None:
    with pytest.raises(HazardError) as error:
        run(START + "global_load_dword v1, v60, s[2:3]\nv_mov_b32 v2, v1", caches=caches)
    assert re.fullmatch(
        r"kernel fault, workgroup 0 wave 0, at fault\+0x\w+ `v_mov_b32_e32 v2, v1`: v1 is used before the s_waitcnt for "
        r"`global_load_dword v1, v60, s\[2:3\]` at fault\+0x\w+",
        message(error),
    )


HAZARDS = {
    "counter_too_high": START + "global_load_dword v1, v60, s[2:3]\nglobal_load_dword v2, v60, s[2:3]\ns_waitcnt vmcnt(1)\nv_mov_b32 v3, v2",
    "wrong_counter": START + "global_load_dword v1, v60, s[2:3]\ns_waitcnt lgkmcnt(0)\nv_mov_b32 v3, v1",
    "scalar": "s_load_dword s10, s[2:3], 0x0\ns_add_u32 s11, s10, 1",
    "scalar_out_of_order": "s_load_dword s10, s[2:3], 0x0\ns_load_dword s11, s[2:3], 0x4\ns_waitcnt lgkmcnt(1)\ns_mov_b32 s12, s10",
    "lds": "v_lshlrev_b32 v5, 2, v0\nds_read_b32 v6, v5\nv_mov_b32 v7, v6",
    "lds_data": START + "global_load_dword v6, v60, s[2:3]\nds_write_b32 v60, v6",
    "overwritten": START + "global_load_dword v1, v60, s[2:3]\nv_mov_b32 v1, 0",
    "two_counters": START + "global_load_dword v1, v60, s[2:3]\nds_read_b32 v1, v60",
    "address": START + "global_load_dword v5, v60, s[2:3]\nglobal_load_dword v6, v5, s[2:3]",
    "second_word": START + "global_load_dwordx4 v[4:7], v60, s[2:3]\nv_mov_b32 v1, v7",
    "atomic": START + "v_mov_b32 v5, 1\nglobal_atomic_add v6, v60, v5, s[4:5] sc0\nv_mov_b32 v1, v6",
}


@pytest.mark.parametrize("name", HAZARDS)
def test_hazards(run: Run, name: str) -> None:
    given = np.zeros(256, np.uint32)
    with pytest.raises(HazardError, match=r"is used before the s_waitcnt for"):
        run(HAZARDS[name], given=given)


def test_waits_that_suffice(run: Run) -> None:
    run(START + "global_load_dword v1, v60, s[2:3]\nglobal_load_dword v2, v60, s[2:3]\ns_waitcnt vmcnt(1)\nv_mov_b32 v3, v1")
    run("v_lshlrev_b32 v5, 2, v0\nds_read_b32 v6, v5\nds_read_b32 v7, v5\ns_waitcnt lgkmcnt(1)\nv_mov_b32 v8, v6")
    run(START + "global_load_dword v1, v60, s[2:3]\nglobal_load_dword v1, v60, s[2:3]\ns_waitcnt vmcnt(0)\nv_mov_b32 v3, v1")


def test_lds_from_memory_is_poison_before_its_wait(run: Run) -> None:
    read = "ds_read_b32 v5, v60\ns_waitcnt lgkmcnt(0)\nglobal_store_dword v60, v5, s[4:5]"
    out = run(START + "s_movk_i32 m0, 0\nglobal_load_lds_dword v60, s[2:3]\n" + read)
    assert (out[0] == 0xFFD1FFD1).all()
    out = run(START + "s_movk_i32 m0, 0\nglobal_load_lds_dword v60, s[2:3]\ns_waitcnt vmcnt(0)\n" + read)
    assert np.array_equal(out[0], np.arange(64))


def test_registers_and_lds_begin_as_poison(run: Run) -> None:
    out = run(START + "ds_read_b32 v6, v60\ns_waitcnt lgkmcnt(0)\nglobal_store_dword v60, v50, s[4:5]\nglobal_store_dword v60, v6, s[4:5] offset:256")
    assert np.isnan(out[:2].view(np.float32)).all()


@pytest.mark.parametrize("caches", [False, True])
def test_accesses_outside_the_buffers(run: Run, caches: bool) -> None:
    with pytest.raises(GlobalFault) as error:
        run(START + "global_load_dword v1, v60, s[2:3] offset:4", caches=caches)
    assert "lane 63" in message(error) and "load from" in message(error)
    assert message(error).endswith("which ends 4 bytes past the buffer in of 256 bytes")
    with pytest.raises(GlobalFault, match=r"store to 0x\w+ \(16 bytes\), which ends 4 bytes past the buffer out"):
        run("v_mov_b32 v5, 0x3f4\nglobal_store_dwordx4 v5, v[8:11], s[4:5]", caches=caches)
    with pytest.raises(GlobalFault, match=r"which is far from every buffer"):
        run("v_mov_b32 v4, 0\nv_mov_b32 v5, 0\nglobal_load_dword v6, v[4:5], off", caches=caches)
    with pytest.raises(GlobalFault, match=r"s_load_dword s10, s\[2:3\], 0x100`: load from"):
        run("s_load_dword s10, s[2:3], 0x100", caches=caches)
    with pytest.raises(GlobalFault, match=r"read-only buffer kernel arguments\+0x8"):
        run("v_mov_b32 v5, 8\nglobal_store_dword v5, v5, s[0:1]", caches=caches)
    with pytest.raises(GlobalFault, match=r"atomic at 0x\w+, expected a multiple of 4"):
        run("v_mov_b32 v5, 2\nglobal_atomic_add v5, v5, s[4:5]", caches=caches)


def test_writing_a_readonly_array(run: Run) -> None:
    given = np.arange(64, dtype=np.uint32)
    given.flags.writeable = False
    with pytest.raises(GlobalFault, match=r"in the read-only buffer in\+0x0"):
        run(START + "global_store_dword v60, v60, s[2:3]", given=given)


def test_accesses_outside_the_lds(run: Run) -> None:
    with pytest.raises(LdsFault) as error:
        run("v_lshlrev_b32 v5, 4, v0\nds_write_b64 v5, v[6:7] offset:512", lds=1024)
    assert message(error).endswith("LDS address 0x400 (8 bytes) is outside the 1024 bytes of the workgroup")
    with pytest.raises(LdsFault, match=r"lane 63.*LDS address 0x100 \(4 bytes\)"):
        run(START + "s_movk_i32 m0, 4\nglobal_load_lds_dword v60, s[2:3]", lds=256)


def test_late_operations_fault_too(run: Run) -> None:
    for seed in range(12):
        with pytest.raises(LdsFault, match=r"LDS address 0x400"):
            run("v_mov_b32 v5, 0x400\nds_read_b32 v6, v5\ns_waitcnt lgkmcnt(0)", seed=seed)


def test_unknown_instruction(run: Run) -> None:
    with pytest.raises(UnsupportedError) as error:
        run("v_mov_b32 v5, 0\nv_sad_u8 v1, v2, v3, v4")
    assert re.fullmatch(
        r"the kernel fault at fault\+0x18 has an unsupported instruction: v_sad_u8 v1, v2, v3, v4: unknown instruction", message(error)
    )


def test_scratch_memory(arch: str, build: Build) -> None:
    text = assembler.source(arch, {"fault": "s_nop 0"}).replace(
        "  .amdhsa_kernarg_size", "  .amdhsa_private_segment_fixed_size 32\n  .amdhsa_kernarg_size"
    )
    machine = Machine(arch, xcds=1, cus=1)
    machine.load(build("scratch.s", arch, source=text))
    with pytest.raises(UnsupportedError, match=r"needs 32 bytes of scratch memory a lane, which is not supported: compile it without"):
        machine.launch("fault", 1, 64, [np.zeros(1, np.uint32)] * 2)


def test_traps_and_wild_jumps(run: Run) -> None:
    with pytest.raises(TrapError, match=r"`s_trap 2`: trap 2"):
        run("s_trap 2")
    with pytest.raises(TrapError, match=r"jump to 0x7, where no instruction begins"):
        run("s_mov_b64 s[10:11], 7\ns_setpc_b64 s[10:11]")
    with pytest.raises(TrapError, match=r"only rounding to nearest even"):
        run("s_setreg_imm32_b32 hwreg(HW_REG_MODE, 0, 2), 1")


def test_deadlock_names_every_wave(arch: str, build: Build) -> None:
    """Two workgroups wait for each other; a task table puts names to them."""
    machine = Machine(arch, xcds=2, cus=1, seed=1)
    machine.load(build("misc.cl", arch))
    flags = np.zeros(4, np.uint32)

    def describe(wave: WaveState) -> str:
        return f"task {wave.group}, event at {wave.last_place}"

    with pytest.raises(DeadlockError) as error:
        machine.launch("hang", 2, 64, [flags], describe=describe, names=["flags"])
    text = message(error)
    assert text.startswith("kernel hang: no progress, 2 of 2 resident waves wait: workgroup 0 wave 0 (xcd ")
    waves = error.value.waves
    assert [w.group for w in waves] == [0, 1] and waves[0].xcd != waves[1].xcd
    for wave in waves:
        assert wave.state == "sleeping" and wave.symbol.startswith("hang+0x")
        assert wave.note == f"task {wave.group}, event at flags+0x0"
        assert f"workgroup {wave.group} wave 0" in error.value.report()
        assert machine.vgpr(wave, 0).shape == (64,)


def test_deadlock_without_sleeping(run: Run) -> None:
    with pytest.raises(DeadlockError, match=r"no progress, 1 of 1 resident waves wait"):
        run("spin:\ns_branch spin", stall_instructions=100_000)


def test_instruction_budget(run: Run) -> None:
    body = START + "spin:\nv_add_u32 v5, 1, v5\nglobal_store_dword v60, v5, s[4:5]\ns_branch spin"
    with pytest.raises(BudgetError, match=r"kernel fault: more than 50000 instructions"):
        run(body, max_instructions=50_000)


def test_bad_code_objects(arch: str, build: Build) -> None:
    with pytest.raises(CodeObjectError, match=r"expected an ELF code object, found other bytes"):
        CodeObject(b"hello")
    good = build("vadd.cl", arch)
    with pytest.raises(CodeObjectError, match=r"expected an ELF file for machine 224 \(AMDGPU\), found machine 62"):
        CodeObject(good[:18] + b"\x3e\x00" + good[20:])
    with pytest.raises(CodeObjectError, match=r"expected a code object for gfx942 or gfx950, found machine flags 0x3f"):
        CodeObject(good[:48] + b"\x3f" + good[49:])
    other = "gfx950" if arch == "gfx942" else "gfx942"
    with pytest.raises(LaunchError, match=f"expected a code object for {other}, found one for {arch}"):
        Machine(other, xcds=1, cus=1).load(good)


def test_bad_launches(arch: str, build: Build) -> None:
    with pytest.raises(LaunchError, match=r"expected the architecture to be one of gfx942, gfx950, found gfx1100"):
        Machine("gfx1100")
    with pytest.raises(LaunchError, match=r"expected a number of CUs for each of 8 chiplets, found \[1, 2\]"):
        Machine(arch, cus=[1, 2])
    machine = Machine(arch, xcds=1, cus=1)
    a = np.zeros(256, np.float32)
    with pytest.raises(LaunchError, match=r"expected a program that this machine has loaded"):
        machine.launch("vadd", 1, 256, [])
    machine.load(build("vadd.cl", arch))
    with pytest.raises(LaunchError, match=r"expected one of the kernels vadd, found vsub"):
        machine.launch("vsub", 1, 256, [])
    with pytest.raises(LaunchError, match=r"expected 4 arguments for vadd, found 3"):
        machine.launch("vadd", 1, 256, [a, a, a])
    with pytest.raises(LaunchError, match=r"the argument #3 of vadd does not fit 4 bytes"):
        machine.launch("vadd", 1, 256, [a, a, a, 1 << 40])
    with pytest.raises(LaunchError, match=r"the kernel vadd requires workgroups of \[256, 1, 1\], found \[64, 1, 1\]"):
        machine.launch("vadd", 1, 64, [a, a, a, 1])
    with pytest.raises(LaunchError, match=r"expected 1 to 3 positive sizes for the grid, found 0"):
        machine.launch("vadd", 0, 256, [a, a, a, 1])
    with pytest.raises(LaunchError, match=r"expected a contiguous array for the buffer b"):
        machine.launch("vadd", 1, 256, [a, a[::2], a, 1], names=["a", "b", "c"])
    with pytest.raises(LaunchError, match=r"the buffer c overlaps the buffer a in part"):
        machine.launch("vadd", 1, 256, [a[:200], a, a, 1], names=["a", "c"])
    with pytest.raises(LaunchError, match=r"needs 1000000 bytes of LDS, a CU of"):
        machine.launch("vadd", 1, 256, [a, a, a, 1], lds=1_000_000)
