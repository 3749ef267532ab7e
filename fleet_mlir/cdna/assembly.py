"""Turns the disassembler's text into instructions with operands and modifiers."""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
import tempfile
from dataclasses import dataclass, field

from .errors import CdnaError, UnsupportedError

ROW_BASE = 128  # register numbers: SGPRs from 0, then VGPRs and AGPRs
ROW_AGPR = 256

_SPECIAL = {
    "flat_scratch_lo": (102, 1),
    "flat_scratch_hi": (103, 1),
    "flat_scratch": (102, 2),
    "xnack_mask_lo": (104, 1),
    "xnack_mask_hi": (105, 1),
    "xnack_mask": (104, 2),
    "vcc_lo": (106, 1),
    "vcc_hi": (107, 1),
    "vcc": (106, 2),
    "m0": (124, 1),
    "exec_lo": (126, 1),
    "exec_hi": (127, 1),
    "exec": (126, 2),
}
_REGISTER = re.compile(r"(v|a|s|ttmp)(?:(\d+)|\[(\d+)(?::(\d+))?\])")
_FLOATS = {"0.5", "-0.5", "1.0", "-1.0", "2.0", "-2.0", "4.0", "-4.0", "0.15915494", "0.15915494309189532"}
_VALUED = (
    "offset0 offset1 offset row_mask bank_mask bound_ctrl row_shr row_shl row_ror wave_shr wave_shl wave_ror wave_rol "
    "row_bcast row_newbcast mul div cbsz blgp abid bitop3 quad_perm op_sel_hi op_sel neg_lo neg_hi neg dst_sel dst_unused "
    "src0_sel src1_sel swizzle"
).split()
_FLAGS = "row_mirror row_half_mirror clamp sc0 sc1 nt glc slc offen idxen lds gds".split()
_VALUED_RE = re.compile(r"(?:^|(?<=[\s,]))(" + "|".join(_VALUED) + r"):(swizzle\([^)]*\)|\[[^\]]*\]|[-\w]+)")
_FLAG_RE = re.compile(r"(?:^|(?<=[\s,]))(" + "|".join(_FLAGS) + r")(?=\s|,|$)")


def llvm_tool(name: str) -> str:
    """The path of an LLVM 22 tool: `$FLEET_LLVM_DIR/bin`, else `name-22`, else `name` on PATH."""
    home = os.environ.get("FLEET_LLVM_DIR")
    if home and os.access(os.path.join(home, "bin", name), os.X_OK):
        return os.path.join(home, "bin", name)
    found = shutil.which(f"{name}-22") or shutil.which(name)
    if not found:
        raise CdnaError(f"the tool {name} was not found: put LLVM 22 on PATH or set FLEET_LLVM_DIR")
    return found


def disassemble(data: bytes) -> list[tuple[int, str]]:
    """The instructions of a code object as (address, text), in order."""
    with tempfile.NamedTemporaryFile(suffix=".hsaco") as file:
        file.write(data)
        file.flush()
        done = subprocess.run(
            [llvm_tool("llvm-objdump"), "-d", "--no-show-raw-insn", file.name],
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise CdnaError(f"the disassembler failed: {done.stderr.strip().splitlines()[-1]}")
    result = []
    for line in done.stdout.splitlines():
        match = re.match(r"\s+(\S.*?)\s*// ([0-9A-F]{12}):", line)
        if match:
            result.append((int(match[2], 16), match[1]))
    return result


@dataclass(slots=True)
class Operand:
    """A source or a destination.

    `kind` is "row" (VGPR, or AGPR from 256), "sgpr", "int", "float" (an inline constant), "scc",
    "aperture" or "off"; `reg` and `words` are the first register and their number.
    """

    kind: str
    text: str
    reg: int = 0
    words: int = 1
    value: int | float = 0
    neg: bool = False
    abs: bool = False
    sext: bool = False

    @property
    def register(self) -> int:
        """The number of the first register in the space of SGPRs and rows."""
        return self.reg + ROW_BASE if self.kind == "row" else self.reg


def parse_operand(text: str) -> Operand:
    """Parse one operand; raises UnsupportedError for what is not known."""
    body, neg, absolute, sext = text, False, False, False
    if body.startswith("lit("):
        body = body[4:-1]
    if body.startswith("sext("):
        sext, body = True, body[5:-1]
    if body.startswith("neg("):
        neg, body = True, body[4:-1]
    if body.startswith("-") and body[1:2] in "vas|":
        neg, body = True, body[1:]
    if body.startswith("|"):
        absolute, body = True, body[1:-1]
    if body.startswith("abs("):
        absolute, body = True, body[4:-1]
    operand = Operand("int", text, neg=neg, abs=absolute, sext=sext)
    match = _REGISTER.fullmatch(body)
    if match:
        first = int(match[2] or match[3])
        operand.words = int(match[4]) - first + 1 if match[4] else 1
        operand.kind = "row" if match[1] in "va" else "sgpr"
        operand.reg = first + {"v": 0, "a": ROW_AGPR, "s": 0, "ttmp": 108}[match[1]]
    elif body in _SPECIAL:
        operand.kind = "sgpr"
        operand.reg, operand.words = _SPECIAL[body]
    elif body in ("scc", "src_scc"):
        operand.kind = "scc"
    elif body in ("src_shared_base", "src_private_base"):
        operand.kind, operand.value = "aperture", 0x10000 if "shared" in body else 0x20000
    elif body == "off":
        operand.kind = "off"
    elif body in _FLOATS:
        operand.kind, operand.value = "float", float(body)
    elif re.fullmatch(r"-?(0x[0-9a-fA-F]+|\d+)", body):
        operand.value = int(body, 0)
    else:
        raise UnsupportedError(f"unknown operand {text}")
    return operand


def float_bits(value: float, form: str) -> int:
    """The bits of a float as "<e" (f16), "<f" (f32) or "<d" (f64)."""
    return int.from_bytes(struct.pack(form, value), "little")


def split_operands(text: str) -> list[str]:
    """Split at the commas outside brackets."""
    parts, depth, current = [], 0, ""
    for char in text:
        depth += char in "[("
        depth -= char in "])"
        if char == "," and not depth:
            parts.append(current.strip())
            current = ""
        else:
            current += char
    if current.strip():
        parts.append(current.strip())
    return parts


def int_list(text: str) -> list[int]:
    """Parse "[1,0,1]"."""
    return [int(part, 0) for part in text.strip("[]").split(",")]


@dataclass(slots=True)
class Instruction:
    """One line of assembly, parsed."""

    text: str
    name: str  # without the encoding suffix
    operands: list[str]
    modifiers: dict[str, str | bool] = field(default_factory=dict)

    def number(self, modifier: str, default: int = 0) -> int:
        """An integer modifier."""
        value = self.modifiers.get(modifier)
        return default if value is None else int(str(value), 0)


_SUFFIX = re.compile(r"(_e64_dpp|_e32|_e64|_dpp|_sdwa)$")


def parse(text: str) -> Instruction:
    """Parse one line of disassembly."""
    name, _, rest = text.partition(" ")
    modifiers: dict[str, str | bool] = {}

    def valued(match: re.Match[str]) -> str:
        modifiers[match[1]] = match[2]
        return " "

    def flagged(match: re.Match[str]) -> str:
        modifiers[match[1]] = True
        return " "

    if not name.startswith(("s_waitcnt", "s_getreg", "s_setreg")):
        rest = _FLAG_RE.sub(flagged, _VALUED_RE.sub(valued, rest))
    operands = [o for part in split_operands(rest.strip().rstrip(",")) for o in [part.strip()] if o]
    return Instruction(text, _SUFFIX.sub("", name), operands, modifiers)
