"""Single instructions against numpy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import assembler
import numpy as np
import pytest
from conftest import ARCHS, bf16

from fleet_mlir.cdna import Machine

RNG = np.random.default_rng(7)
F = RNG.standard_normal((3, 64)).astype(np.float32)
F[0, :8] = [0, -0.0, np.inf, -np.inf, np.nan, 1e-40, 3e38, 1]
U = RNG.integers(0, 2**32, (3, 64), dtype=np.uint32)
SHIFT = (U[2] % 32).astype(np.uint32)
LANE = np.arange(64)
H = RNG.standard_normal((2, 64, 2)).astype(np.float16)
D = RNG.integers(-999, 999, (2, 64)) / 64  # products are exact
u64 = np.uint64


def words(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Low and high words of 64-bit lanes."""
    pair = np.ascontiguousarray(x).view(np.uint32).reshape(64, 2)
    return pair[:, 0].copy(), pair[:, 1].copy()


def pair(lo: np.ndarray, hi: np.ndarray) -> np.ndarray:
    return lo.astype(u64) | hi.astype(u64) << u64(32)


Q = pair(U[0], U[1])
HALVES = [h.view(np.uint32).reshape(64) for h in H]


@dataclass
class Case:
    """Inputs in v10, v11, ...; outputs in v40, v41, ...; `ulps` is the tolerance of f32 outputs."""

    text: str
    inputs: list[np.ndarray]
    outputs: list[np.ndarray]
    ulps: int = 0
    only: str = ""


def mask_row(bits: np.ndarray) -> list[np.ndarray]:
    """Both words of a lane mask, in all lanes."""
    value = sum(1 << int(k) for k in np.flatnonzero(bits))
    return [np.full(64, value & 0xFFFFFFFF, np.uint32), np.full(64, value >> 32, np.uint32)]


SHOW = "\nv_mov_b32 v40, vcc_lo\nv_mov_b32 v41, vcc_hi"
with np.errstate(all="ignore"):
    P = np.abs(F[0]) + np.float32(1e-3)
    CASES = {
        "add": Case("v_add_f32 v40, v10, v11", [F[0], F[1]], [F[0] + F[1]]),
        "modifiers": Case("v_add_f32_e64 v40, -v10, |v11|", [F[0], F[1]], [np.abs(F[1]) - F[0]]),
        "scalar_source": Case("s_mov_b32 s10, 0x40400000\nv_mul_f32 v40, s10, v10", [F[0]], [F[0] * np.float32(3)]),
        "literal": Case("v_add_f32 v40, 0x3fc00000, v10", [F[0]], [F[0] + np.float32(1.5)]),
        "inline": Case("v_mul_f32 v40, 0.5, v10", [F[0]], [F[0] * np.float32(0.5)]),
        "clamp": Case("v_add_f32_e64 v40, v10, v11 clamp", [F[1], F[2]], [np.clip(F[1] + F[2], 0, 1)]),
        "output_modifier": Case("v_add_f32_e64 v40, v10, v11 mul:2", [F[1], F[2]], [(F[1] + F[2]) * np.float32(2)]),
        "fma": Case("v_fma_f32 v40, v10, v11, v12", [*F], [(F[0].astype(np.float64) * F[1] + F[2]).astype(np.float32)], 1),
        "fmac": Case(
            "v_mov_b32 v40, v12\nv_fmac_f32 v40, v10, v11", [*F], [(F[0].astype(np.float64) * F[1] + F[2]).astype(np.float32)], 1
        ),
        "max": Case("v_max_f32 v40, v10, v11", [F[0], F[1]], [np.fmax(F[0], F[1])]),
        "min3": Case("v_min3_f32 v40, v10, v11, v12", [*F], [np.fmin(np.fmin(F[0], F[1]), F[2])]),
        "exp": Case("v_exp_f32 v40, v10", [F[0] * 8], [np.exp2(F[0].astype(np.float64) * 8).astype(np.float32)], 1),
        "log": Case("v_log_f32 v40, v10", [P], [np.log2(P.astype(np.float64)).astype(np.float32)], 1),
        "rcp": Case("v_rcp_f32 v40, v10", [F[0]], [np.float32(1) / F[0]]),
        "rsq": Case("v_rsq_f32 v40, v10", [P], [(1 / np.sqrt(P.astype(np.float64))).astype(np.float32)], 1),
        "sqrt": Case("v_sqrt_f32 v40, v10", [P], [np.sqrt(P)]),
        "sin": Case("v_sin_f32 v40, v10", [F[1]], [np.sin(2 * np.pi * F[1].astype(np.float64)).astype(np.float32)], 4),
        "cos": Case("v_cos_f32 v40, v10", [F[1]], [np.cos(2 * np.pi * F[1].astype(np.float64)).astype(np.float32)], 4),
        "rndne": Case("v_rndne_f32 v40, v10", [F[1] * 9], [np.rint(F[1] * 9)]),
        "floor": Case("v_floor_f32 v40, v10", [F[1] * 9], [np.floor(F[1] * 9)]),
        "ldexp": Case("v_ldexp_f32 v40, v10, v11", [F[1], (U[0] % 9).astype(np.uint32)], [np.ldexp(F[1], (U[0] % 9).astype(np.int32))]),
        "cvt_i32": Case("v_cvt_i32_f32 v40, v10", [F[1] * 1000], [(F[1] * 1000).astype(np.int32)]),
        "cvt_u32_limits": Case(
            "v_cvt_u32_f32 v40, v10",
            [np.resize(np.array([-1, 0, 1.9, 5e9, np.nan, np.inf, 4e9, 7], np.float32), 64)],
            [np.resize(np.array([0, 0, 1, 2**32 - 1, 0, 2**32 - 1, 4000000000, 7], np.uint32), 64)],
        ),
        "cvt_f32_i32": Case("v_cvt_f32_i32 v40, v10", [U[0]], [U[0].view(np.int32).astype(np.float32)]),
        "cvt_f32_ubyte2": Case("v_cvt_f32_ubyte2 v40, v10", [U[0]], [(U[0] >> 16 & 255).astype(np.float32)]),
        "cvt_f16": Case(
            "v_cvt_f16_f32 v40, v10", [F[1]], [F[1].astype(np.float16).view(np.uint16).astype(np.uint32)]
        ),
        "cvt_f32_f16": Case("v_cvt_f32_f16 v40, v10", [HALVES[0]], [H[0][:, 0].astype(np.float32)]),
        "sdwa_select": Case("v_cvt_f32_f16_sdwa v40, v10 dst_sel:DWORD dst_unused:UNUSED_PAD src0_sel:WORD_1", [HALVES[0]], [H[0][:, 1].astype(np.float32)]),
        "sdwa_merge": Case(
            "v_mov_b32 v40, v11\nv_add_u32_sdwa v40, v10, v12 dst_sel:BYTE_1 dst_unused:UNUSED_PRESERVE src0_sel:BYTE_2 src1_sel:DWORD",
            [*U],
            [U[1] & 0xFFFF00FF | ((U[0] >> 16 & 255) + U[2] & 255) << 8],
        ),
        "cvt_pk_bf16": Case(
            "v_cvt_pk_bf16_f32 v40, v10, v11",
            [F[1], F[2]],
            [bf16(F[1]).astype(np.uint32) | bf16(F[2]).astype(np.uint32) << 16],
            only="gfx950",
        ),
        "bitop3": Case("v_bitop3_b32 v40, v10, v11, v12 bitop3:0xca", [*U], [(U[0] & U[1]) | (~U[0] & U[2])], only="gfx950"),
        "add_f64": Case("v_add_f64 v[40:41], v[10:11], v[12:13]", [*words(D[0]), *words(D[1])], [*words(D[0] + D[1])]),
        "fma_f64_neg": Case("v_fma_f64 v[40:41], -v[10:11], v[12:13], 1.0", [*words(D[0]), *words(D[1])], [*words(-D[0] * D[1] + 1)], 2),
        "pk_fma_f32": Case(
            "v_pk_fma_f32 v[40:41], v[10:11], v[12:13], v[10:11] op_sel_hi:[0,1,1] neg_lo:[0,1,0]",
            [F[1], F[2], F[2], F[1]],
            [(-F[1] * F[2] + F[1]), (F[1] * F[1] + F[2])],
            64,
        ),
        "pk_mul_constant": Case("v_pk_mul_f32 v[40:41], v[10:11], 2.0 op_sel_hi:[1,0]", [F[1], F[2]], [F[1] * 2, F[2] * 2]),
        "pk_mul_scalar": Case(
            "s_mov_b32 s10, 2.0\ns_mov_b32 s11, 4.0\nv_pk_mul_f32 v[40:41], v[10:11], s[10:11]", [F[1], F[2]], [F[1] * 2, F[2] * 4]
        ),
        "pk_add_f16": Case("v_pk_add_f16 v40, v10, v11", HALVES, [(H[0] + H[1]).view(np.uint32).reshape(64)]),
        "pk_add_f16_swapped": Case(
            "v_pk_add_f16 v40, v10, v11 op_sel:[1,0] op_sel_hi:[0,1]", HALVES, [(H[0][:, ::-1] + H[1]).copy().view(np.uint32).reshape(64)]
        ),
        "fma_mix": Case(
            "v_fma_mix_f32 v40, v10, -v11, |v12| op_sel:[1,0,0] op_sel_hi:[1,0,0]",
            [HALVES[0], F[1], F[2]],
            [(np.abs(F[2]).astype(np.float64) - H[0][:, 1].astype(np.float64) * F[1]).astype(np.float32)],
            1,
        ),
        "fma_mixlo": Case(
            "v_mov_b32 v40, v11\nv_fma_mixlo_f16 v40, v10, 1.0, 0 op_sel_hi:[1,0,0]",
            [HALVES[0], U[0]],
            [U[0] & 0xFFFF0000 | HALVES[0] & 0xFFFF],
        ),
        "mul_lo": Case("v_mul_lo_u32 v40, v10, v11", [U[0], U[1]], [U[0] * U[1]]),
        "mul_hi": Case("v_mul_hi_u32 v40, v10, v11", [U[0], U[1]], [(U[0].astype(u64) * U[1] >> u64(32)).astype(np.uint32)]),
        "mad_u64": Case(
            "v_mad_u64_u32 v[40:41], s[10:11], v10, v11, v[12:13]",
            [U[0], U[1], U[0], U[1]],
            [*words(U[0].astype(u64) * U[1] + Q)],
        ),
        "shift": Case("v_lshlrev_b32 v40, v11, v10", [U[0], SHIFT], [U[0] << SHIFT]),
        "ashr": Case("v_ashrrev_i32 v40, v11, v10", [U[0], SHIFT], [U[0].view(np.int32) >> SHIFT.astype(np.int32)]),
        "shift64": Case("v_lshlrev_b64 v[40:41], v12, v[10:11]", [U[0], U[1], SHIFT], [*words(Q << SHIFT.astype(u64))]),
        "lshl_add_u64": Case("v_lshl_add_u64 v[40:41], v[10:11], 3, v[12:13]", [*U, U[0]], [*words((Q << u64(3)) + pair(U[2], U[0]))]),
        "bfe": Case("v_bfe_u32 v40, v10, 5, 9", [U[0]], [U[0] >> 5 & 511]),
        "bfe_i32": Case("v_bfe_i32 v40, v10, 5, 9", [U[0]], [(U[0] << np.uint32(18)).view(np.int32) >> 23]),
        "bfi": Case("v_bfi_b32 v40, v10, v11, v12", [*U], [(U[0] & U[1]) | (~U[0] & U[2])]),
        "perm": Case("s_mov_b32 s10, 0x0c010604\nv_perm_b32 v40, v10, v11, s10", [U[0], U[1]], [(U[0] & 255) | (U[0] >> 16 & 255) << 8 | (U[1] >> 8 & 255) << 16]),
        "alignbit": Case("v_alignbit_b32 v40, v10, v11, 7", [U[0], U[1]], [(pair(U[1], U[0]) >> u64(7)).astype(np.uint32)]),
        "mbcnt": Case("v_mbcnt_lo_u32_b32 v40, -1, 0\nv_mbcnt_hi_u32_b32 v40, -1, v40", [], [LANE.astype(np.uint32)]),
        "add_co": Case(
            "v_add_co_u32 v40, vcc, v10, v12\nv_addc_co_u32 v41, vcc, v11, v13, vcc", [U[0], U[1], U[1], U[2]], [*words(Q + pair(U[1], U[2]))]
        ),
        "sub_co": Case(
            "v_sub_co_u32 v40, vcc, v10, v12\nv_subb_co_u32 v41, vcc, v11, v13, vcc", [U[0], U[1], U[1], U[2]], [*words(Q - pair(U[1], U[2]))]
        ),
        "compare": Case("v_cmp_lt_f32 vcc, v10, v11" + SHOW, [F[0], F[1]], mask_row(F[0] < F[1])),
        "compare_unordered": Case("v_cmp_nge_f32 vcc, v10, v11" + SHOW, [F[0], F[1]], mask_row(~(F[0] >= F[1]))),
        "compare_i64": Case("v_cmp_gt_i64 vcc, v[10:11], v[12:13]" + SHOW, [*U, U[0]], mask_row(Q.view(np.int64) > pair(U[2], U[0]).view(np.int64))),
        "class": Case("v_mov_b32 v11, 3\nv_cmp_class_f32 vcc, v10, v11" + SHOW, [F[0]], mask_row(np.isnan(F[0]))),
        "cndmask": Case("v_cmp_gt_u32 vcc, v10, v11\nv_cndmask_b32 v40, v10, v11, vcc", [U[0], U[1]], [np.minimum(U[0], U[1])]),
        "exec_masks_writes": Case(
            "v_mov_b32 v40, v10\nv_cmp_gt_u32 vcc, v10, v11\ns_and_saveexec_b64 s[10:11], vcc\nv_mov_b32 v40, v11\ns_mov_b64 exec, s[10:11]",
            [U[0], U[1]],
            [np.minimum(U[0], U[1])],
        ),
        "readlane": Case("v_readlane_b32 s10, v10, 37\nv_mov_b32 v40, s10", [U[0]], [np.full(64, U[0][37])]),
        "readfirstlane": Case(
            "s_mov_b64 s[10:11], exec\ns_lshl_b64 exec, exec, 9\nv_readfirstlane_b32 s12, v10\ns_mov_b64 exec, s[10:11]\nv_mov_b32 v40, s12",
            [U[0]],
            [np.full(64, U[0][9])],
        ),
        "writelane": Case("v_mov_b32 v40, v10\nv_writelane_b32 v40, 33, 5", [U[0]], [np.where(LANE == 5, 33, U[0]).astype(np.uint32)]),
        "bpermute": Case(
            "v_xor_b32 v5, 63, v0\nv_lshlrev_b32 v5, 2, v5\nds_bpermute_b32 v40, v5, v10\ns_waitcnt lgkmcnt(0)", [U[0]], [U[0][::-1].copy()]
        ),
        "permute": Case(
            "v_xor_b32 v5, 63, v0\nv_lshlrev_b32 v5, 2, v5\nds_permute_b32 v40, v5, v10\ns_waitcnt lgkmcnt(0)", [U[0]], [U[0][::-1].copy()]
        ),
        "swizzle": Case('ds_swizzle_b32 v40, v10 offset:swizzle(BITMASK_PERM,"00p1i")\ns_waitcnt lgkmcnt(0)', [U[0]], [U[0][LANE & 32 | (LANE & 4) | 2 | ~LANE & 1]]),
        "dpp_quad": Case("v_mov_b32_dpp v40, v10 quad_perm:[3,2,1,0] row_mask:0xf bank_mask:0xf", [U[0]], [U[0][LANE ^ 3]]),
        "dpp_row_shr": Case(
            "v_mov_b32 v40, v11\nv_add_u32_dpp v40, v10, v11 row_shr:3 row_mask:0xf bank_mask:0xf",
            [U[0], U[1]],
            [np.where(LANE % 16 >= 3, U[0][(LANE - 3) % 64] + U[1], U[1])],
        ),
        "dpp_bound": Case(
            "v_add_u32_dpp v40, v10, v11 row_shl:1 row_mask:0xf bank_mask:0xf bound_ctrl:0",
            [U[0], U[1]],
            [np.where(LANE % 16 < 15, U[0][(LANE + 1) % 64], 0) + U[1]],
        ),
        "dpp_bcast": Case(
            "v_mov_b32 v40, 0\nv_mov_b32_dpp v40, v10 row_bcast:15 row_mask:0xa bank_mask:0xf",
            [U[0]],
            [np.where(LANE // 16 % 2 == 1, U[0][np.maximum(LANE // 16 * 16 - 1, 0)], 0).astype(np.uint32)],
        ),
        "dpp_newbcast": Case("v_mov_b32_dpp v40, v10 row_newbcast:5 row_mask:0xf bank_mask:0xf", [U[0]], [U[0][LANE // 16 * 16 + 5]]),
        "permlane32_swap": Case(
            "v_mov_b32 v40, v10\nv_mov_b32 v41, v11\nv_permlane32_swap_b32 v40, v41",
            [U[0], U[1]],
            [np.concatenate([U[0][:32], U[1][:32]]), np.concatenate([U[0][32:], U[1][32:]])],
            only="gfx950",
        ),
        "lds_b128": Case(
            "v_lshlrev_b32 v5, 4, v0\nds_write_b128 v5, v[10:13]\ns_waitcnt lgkmcnt(0)\nv_lshlrev_b32 v5, 4, v0\nv_xor_b32 v5, 0x3f0, v5\n"
            "ds_read_b128 v[40:43], v5\ns_waitcnt lgkmcnt(0)",
            [U[0], U[1], U[2], U[0]],
            [U[0][::-1].copy(), U[1][::-1].copy(), U[2][::-1].copy(), U[0][::-1].copy()],
        ),
        "lds_two": Case(
            "v_lshlrev_b32 v5, 2, v0\nds_write2st64_b32 v5, v10, v11 offset0:1 offset1:3\ns_waitcnt lgkmcnt(0)\n"
            "ds_read2_b32 v[40:41], v5 offset0:64 offset1:192\ns_waitcnt lgkmcnt(0)",
            [U[0], U[1]],
            [U[0], U[1]],
        ),
        "lds_subword": Case(
            "v_lshlrev_b32 v5, 1, v0\nds_write_b16 v5, v10\ns_waitcnt lgkmcnt(0)\nds_read_i16 v40, v5\nds_read_u8 v41, v5 offset:1\n"
            "v_mov_b32 v42, v11\nds_read_u16_d16_hi v42, v5\ns_waitcnt lgkmcnt(0)",
            [U[0], U[1]],
            [U[0].astype(np.uint16).view(np.int16).astype(np.int32), U[0] >> 8 & 255, U[1] & 0xFFFF | U[0] << 16],
        ),
        "lds_transposed": Case(  # 4 rows of 16 halves: lane c of 16 gets column c
            "v_lshlrev_b32 v5, 2, v0\nds_write2st64_b32 v5, v10, v11 offset0:0 offset1:1\ns_waitcnt lgkmcnt(0)\n"
            "v_lshlrev_b32 v5, 3, v0\nds_read_b64_tr_b16 v[40:41], v5\nds_read_b64_tr_b8 v[42:43], v5\ns_waitcnt lgkmcnt(0)",
            [U[0], U[1]],
            [
                *words(U[:2].copy().view(np.uint16).reshape(4, 4, 16).transpose(0, 2, 1).copy().view(np.uint64).reshape(64)),
                *words(U[:2].copy().view(np.uint8).reshape(4, 8, 16).transpose(0, 2, 1).copy().view(np.uint64).reshape(64)),
            ],
            only="gfx950",
        ),
        "lds_atomic": Case(
            "v_mov_b32 v5, 16\nv_mov_b32 v6, 0\nds_write_b32 v5, v6\nv_mov_b32 v6, 1\nds_add_rtn_u32 v40, v5, v6\nds_read_b32 v41, v5\n"
            "s_waitcnt lgkmcnt(0)",
            [],
            [LANE.astype(np.uint32), np.full(64, 64, np.uint32)],
        ),
        "agpr": Case("v_accvgpr_write_b32 a7, v10\ns_nop 1\nv_accvgpr_read_b32 v40, a7", [U[0]], [U[0]]),
        "scalar_carry": Case(
            "s_mov_b32 s10, -1\ns_mov_b32 s11, 5\ns_add_u32 s10, s10, 2\ns_addc_u32 s11, s11, 0\nv_mov_b32 v40, s10\nv_mov_b32 v41, s11",
            [],
            [np.full(64, 1, np.uint32), np.full(64, 6, np.uint32)],
        ),
        "scalar_bits": Case(
            "s_mov_b32 s10, 0x00f0ff00\ns_bfe_u32 s11, s10, 0x80014\ns_ff1_i32_b32 s12, s10\ns_bcnt1_i32_b32 s13, s10\n"
            "v_mov_b32 v40, s11\nv_mov_b32 v41, s12\nv_mov_b32 v42, s13",
            [],
            [np.full(64, 15, np.uint32), np.full(64, 8, np.uint32), np.full(64, 12, np.uint32)],
        ),
        "scalar_select": Case(
            "s_movk_i32 s10, 0xfff0\ns_cmp_lt_i32 s10, 0\ns_cselect_b32 s11, 11, 22\ns_cmpk_eq_u32 s10, 0x10\ns_cselect_b32 s12, 11, 22\n"
            "v_mov_b32 v40, s11\nv_mov_b32 v41, s12",
            [],
            [np.full(64, 11, np.uint32), np.full(64, 22, np.uint32)],
        ),
        "loop": Case(
            "s_mov_b32 s10, 10\nv_mov_b32 v40, 0\nloop:\nv_add_u32 v40, v40, v10\ns_sub_u32 s10, s10, 1\ns_cmp_lg_u32 s10, 0\ns_cbranch_scc1 loop",
            [U[0]],
            [U[0] * np.uint32(10)],
        ),
        "xcc_id": Case("s_getreg_b32 s10, hwreg(HW_REG_XCC_ID, 0, 4)\nv_mov_b32 v40, s10", [], [np.full(64, 3, np.uint32)]),
        "flat_lds": Case(
            "s_mov_b64 s[10:11], src_shared_base\nv_lshlrev_b32 v6, 2, v0\nv_mov_b32 v7, s11\nflat_store_dword v[6:7], v10\n"
            "s_waitcnt vmcnt(0) lgkmcnt(0)\nflat_load_dword v40, v[6:7]\ns_waitcnt vmcnt(0) lgkmcnt(0)",
            [U[0]],
            [U[0]],
        ),
        "load_to_lds": Case(
            "s_movk_i32 m0, 0x40\nglobal_load_lds_dword v60, s[2:3] offset:4\ns_waitcnt vmcnt(0)\nds_read_b32 v40, v60 offset:68\ns_waitcnt lgkmcnt(0)",
            [U[0], U[1]],
            [np.concatenate([U[0][1:], U[1][:1]])],
        ),
        "wide_load_to_lds": Case(
            "s_movk_i32 m0, 0\nv_lshlrev_b32 v5, 4, v0\nv_xor_b32 v6, 0x3f0, v5\nglobal_load_lds_dwordx4 v6, s[2:3]\ns_waitcnt vmcnt(0)\n"
            "ds_read_b128 v[40:43], v5\ns_waitcnt lgkmcnt(0)",
            [U[0], U[1], U[2], U[0]],
            [np.concatenate([U[0], U[1], U[2], U[0]]).reshape(64, 4)[::-1, k].copy() for k in range(4)],
            only="gfx950",
        ),
        "buffer_to_lds": Case(
            "s_mov_b32 s8, s2\ns_mov_b32 s9, s3\ns_movk_i32 s10, 200\ns_mov_b32 s11, 0x27000\ns_movk_i32 m0, 0\n"
            "buffer_load_dword v60, s[8:11], 0 offen lds\ns_waitcnt vmcnt(0)\nds_read_b32 v40, v60\ns_waitcnt lgkmcnt(0)",
            [U[0]],
            [np.where(LANE < 50, U[0], 0).astype(np.uint32)],
        ),
        "atomic_return": Case(
            "v_mov_b32 v5, 0\nv_mov_b32 v6, 2\nglobal_atomic_add v7, v5, v6, s[4:5] sc0\ns_waitcnt vmcnt(0)\nv_mov_b32 v40, v7",
            [],
            [2 * LANE.astype(np.uint32)],
        ),
        "wait_in_order": Case(
            "global_load_dword v5, v60, s[2:3]\nglobal_load_dword v6, v60, s[2:3] offset:256\ns_waitcnt vmcnt(1)\nv_mov_b32 v40, v5\n"
            "s_waitcnt vmcnt(0)\nv_mov_b32 v41, v6",
            [U[0], U[1]],
            [U[0], U[1]],
        ),
    }


@pytest.fixture(scope="module")
def machines(build: Callable[..., bytes]) -> dict[str, Machine]:
    made = {}
    for arch in ARCHS:
        kernels = {
            name: assembler.around(case.text.replace("loop", f"{name}_loop"), len(case.inputs), len(case.outputs))
            for name, case in CASES.items()
            if case.only in ("", arch)
        }
        made[arch] = Machine(arch, xcds=8, cus=1, seed=2, first_xcd=3)
        made[arch].load(build("cases.s", arch, source=assembler.source(arch, kernels)))
    return made


@pytest.mark.parametrize("name", CASES)
def test_instruction(machines: dict[str, Machine], arch: str, name: str) -> None:
    case = CASES[name]
    if case.only not in ("", arch):
        pytest.skip(f"{arch} has no such instruction")
    given = assembler.rows(*case.inputs) if case.inputs else np.zeros((1, 64), np.uint32)
    out = np.zeros((len(case.outputs), 64), np.uint32)
    machines[arch].launch(name, 1, 64, [given, out])
    for found, want in zip(out, case.outputs, strict=True):
        if want.dtype == np.float32:
            same = (np.isnan(found.view(np.float32)) & np.isnan(want)) | (found == want.view(np.uint32))
            if case.ulps:
                same |= np.isclose(found.view(np.float32), want, rtol=case.ulps * 2.0**-23, atol=case.ulps * 2.0**-24)
            assert same.all(), (found.view(np.float32)[~same], want[~same])
        else:
            assert np.array_equal(found, want.view(np.uint32)), (found[:8], want.view(np.uint32)[:8])


def test_denormals_are_flushed_when_the_mode_says_so(arch: str, build: Callable[..., bytes]) -> None:
    text = assembler.around("v_add_f32 v40, v10, v11", 2, 1)
    toggled = assembler.around("s_setreg_imm32_b32 hwreg(HW_REG_MODE, 4, 2), 3\nv_add_f32 v40, v10, v11", 2, 1)
    machine = Machine(arch, xcds=1, cus=1)
    machine.load(build("flush.s", arch, source=assembler.source(arch, {"flush": text, "keep": toggled}, denormals=0)))
    given, out = np.full((2, 64), 1e-40, np.float32), np.ones(64, np.float32)
    machine.launch("flush", 1, 64, [given, out])
    assert not out.any()
    machine.launch("keep", 1, 64, [given, out])
    assert np.array_equal(out, given[0] + given[1])
