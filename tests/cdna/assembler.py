"""Small assembly kernels around given instructions."""

from __future__ import annotations

import numpy as np

HEADER = '.amdgcn_target "amdgcn-amd-amdhsa--{arch}"\n.amdhsa_code_object_version 6\n'
DESCRIPTOR = """
.rodata
.p2align 6
.amdhsa_kernel {name}
  .amdhsa_group_segment_fixed_size {lds}
  .amdhsa_kernarg_size 16
  .amdhsa_user_sgpr_kernarg_segment_ptr 1
  .amdhsa_next_free_vgpr {vgprs}
  .amdhsa_next_free_sgpr 64
  .amdhsa_accum_offset 64
  .amdhsa_float_denorm_mode_32 {denormals}
  .amdhsa_system_vgpr_workitem_id 0
.end_amdhsa_kernel
"""
ARGUMENTS = """    .args:
      - {.offset: 0, .size: 8, .value_kind: global_buffer, .address_space: global, .name: in}
      - {.offset: 8, .size: 8, .value_kind: global_buffer, .address_space: global, .name: out}
"""


def source(arch: str, kernels: dict[str, str], lds: int = 1024, threads: int = 64, denormals: int = 3) -> str:
    """An assembly file with kernels of two pointers, which arrive in s[2:3] and s[4:5]; v0 is the lane."""
    text, metadata = HEADER.format(arch=arch), ""
    for name, body in kernels.items():
        text += f".text\n.globl {name}\n.p2align 8\n.type {name},@function\n{name}:\n"
        text += "s_load_dwordx2 s[2:3], s[0:1], 0x0\ns_load_dwordx2 s[4:5], s[0:1], 0x8\ns_waitcnt lgkmcnt(0)\n" + body + "\ns_endpgm\n"
        text += f"{name}_end:\n.size {name}, {name}_end-{name}\n"
        text += DESCRIPTOR.format(name=name, lds=lds, vgprs=128, denormals=denormals)
        metadata += f"  - .name: {name}\n    .symbol: {name}.kd\n    .kernarg_segment_size: 16\n    .kernarg_segment_align: 8\n"
        metadata += f"    .group_segment_fixed_size: {lds}\n    .private_segment_fixed_size: 0\n    .wavefront_size: 64\n"
        metadata += f"    .sgpr_count: 64\n    .vgpr_count: 128\n    .max_flat_workgroup_size: {threads}\n" + ARGUMENTS
    return text + f".amdgpu_metadata\namdhsa.version: [1, 2]\namdhsa.kernels:\n{metadata}.end_amdgpu_metadata\n"


def around(instructions: str, inputs: int, outputs: int) -> str:
    """Loads `inputs` rows into v10, v11, ..., runs the instructions, stores `outputs` rows from v40, v41, ..."""
    lines = ["v_lshlrev_b32 v60, 2, v0"]
    lines += [f"global_load_dword v{10 + k}, v60, s[2:3] offset:{256 * k}" for k in range(inputs)]
    lines += ["s_waitcnt vmcnt(0)", instructions]
    lines += [f"global_store_dword v60, v{40 + k}, s[4:5] offset:{256 * k}" for k in range(outputs)]
    return "\n".join(lines)


def rows(*arrays: np.ndarray) -> np.ndarray:
    """Arrays of 64 words as one uint32 [n, 64]."""
    return np.stack([np.ascontiguousarray(a).view(np.uint32) for a in arrays])
