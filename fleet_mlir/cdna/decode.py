"""Encodes instructions as the records that the executor runs (struct Inst in executor/core.h)."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field

import numpy as np

from .assembly import Instruction, Operand, float_bits, int_list, parse, parse_operand
from .errors import UnsupportedError

RECORD = struct.Struct("<Q4Q" + "BBBBHHQ" * 4 + "2Q" + "iIiI" + "HHHH" + "BB" + "16H" + "6x")

# Flags, modifiers and operand kinds of core.h.
RETURNS, SC0, SC1, NT, TO_LDS, OFFEN, IDXEN, MICRO, D16_HI, D16, SIGNED, FLAT = (1 << k for k in range(12))
NEG, ABS, F16, F64, SEXT = 1, 2, 4, 8, 16
KINDS = {"row": 1, "sgpr": 2, "int": 3, "float": 3, "aperture": 3, "scc": 4}
VCC, M0, EXEC = 106, 124, 126
ROW_SCRATCH, ROW_DPP, ROW_BASE = 512, 514, 128
LANES = 64

WIDE = set("DQJZ")
ATOMICS = {
    name: code
    for code, name in enumerate(
        "swap cmpswap add sub smin umin smax umax and or xor inc dec add_float min_float max_float pk_add_f16 pk_add_bf16 "
        "rsub".split()
    )
}
HARDWARE_REGISTERS = {
    "HW_REG_MODE": 1,
    "HW_REG_STATUS": 2,
    "HW_REG_TRAPSTS": 3,
    "HW_REG_HW_ID": 4,
    "HW_REG_GPR_ALLOC": 5,
    "HW_REG_LDS_ALLOC": 6,
    "HW_REG_IB_STS": 7,
    "HW_REG_XCC_ID": 20,
}
# What changes nothing that the executor models.
IGNORED = {
    "s_nop",
    "s_setprio",
    "s_icache_inv",
    "s_dcache_wb",
    "s_dcache_wb_vol",
    "s_inst_prefetch",
    "s_ttracedata",
    "s_incperflevel",
    "s_decperflevel",
    "s_code_end",
    "s_wakeup",
    "v_nop",
}
TIED = re.compile(r"v_(fmac|mac|dot2c|dot4c)_|s_(cmov|bitset)")
DESTINATION_IS_SOURCE = {"s_addk_i32", "s_mulk_i32"}
DPP = {
    "quad_perm",
    "row_shr",
    "row_shl",
    "row_ror",
    "row_mirror",
    "row_half_mirror",
    "row_bcast",
    "row_newbcast",
    "wave_shr",
    "wave_shl",
    "wave_ror",
    "wave_rol",
}
SUBWORD = {  # size in bytes, extends the sign
    "ubyte": (1, False),
    "sbyte": (1, True),
    "ushort": (2, False),
    "sshort": (2, True),
    "short": (2, False),
    "byte": (1, False),
    "u8": (1, False),
    "i8": (1, True),
    "u16": (2, False),
    "i16": (2, True),
}


@dataclass
class Record:
    """One step of the executor; `pack` gives its bytes."""

    name: str
    src: list[Operand | None] = field(default_factory=lambda: [None] * 4)
    types: str = "UUUU"  # of the sources
    select: list[int] = field(default_factory=lambda: [0] * 4)
    mask: tuple[int, int] = (0, 0)
    offset: int = 0
    imm: int = 0
    target: int = 0
    dst: int = 0
    sdst: int = 0
    flags: int = 0
    size: int = 0
    use: list[tuple[int, int]] = field(default_factory=list)

    def uses(self, operand: Operand | None, words: int | None = None) -> None:
        """The instruction reads or writes this register: it must not be in flight."""
        if operand is not None and operand.kind in ("row", "sgpr"):
            entry = (operand.register, words or operand.words)
            if operand.register < ROW_BASE + ROW_SCRATCH and entry not in self.use:
                self.use.append(entry)


def _constant(operand: Operand, kind: str) -> int:
    """The bits of a constant source of the given type."""
    if operand.kind == "aperture":
        return int(operand.value) << 32 if kind in WIDE else int(operand.value)
    if operand.kind == "float":
        if kind in "HP":
            return float_bits(float(operand.value), "<e")
        if kind == "B":
            return float_bits(float(operand.value), "<f") >> 16
        return float_bits(float(operand.value), "<d" if kind == "D" else "<f")
    value = int(operand.value)
    if kind == "D" and not -16 <= value <= 64:
        return (value & 0xFFFFFFFF) << 32
    if kind == "K":
        return value & 0xFFFF if -16 <= value <= 64 else value & 0xFFFFFFFF
    return value & 0xFFFFFFFFFFFFFFFF if kind in WIDE - {"Z"} or kind == "M" else value & 0xFFFFFFFF


def _pack_operand(operand: Operand | None, kind: str, select: int) -> tuple[int, ...]:
    if operand is None or operand.kind == "off":
        return (0, 0, 0, 0, 0, 0, 0)
    mods = 0
    if operand.neg or operand.abs:
        if kind not in "FHDBP":
            raise UnsupportedError(f"a sign modifier on an integer operand {operand.text}")
        mods = NEG * operand.neg | ABS * operand.abs | (F16 if kind in "HBP" else F64 if kind == "D" else 0)
    if operand.sext:
        mods |= SEXT
    value = _constant(operand, kind) if operand.kind in ("int", "float", "aperture") else 0
    return (KINDS[operand.kind], mods, select, 2 if kind in WIDE or kind == "M" else 1, operand.reg, 0, value)


class Decoder:
    """Decodes the text section of a code object.

    `opcodes` maps a name to (index, types) of the executor's table, `symbols` a name to (address, size),
    because a branch to a label is printed with its name. After `decode`:
    `records` (bytes), `index_of` (int32: text offset / 4 to record, -1 where no instruction begins),
    `perms` (uint8 [n, 64]: DPP and swizzle tables), `texts` (offset to assembly) and `unsupported`
    (offset to the reason).
    """

    def __init__(self, opcodes: dict[str, tuple[int, str]], symbols: dict[str, tuple[int, int]]) -> None:
        self.opcodes = opcodes
        self.symbols = symbols
        self.tables: dict[bytes, int] = {}
        self.cache: dict[str, list[Record]] = {}
        self.unsupported: dict[int, str] = {}
        self.texts: dict[int, str] = {}
        self.indexed = 0  # between s_set_gpr_idx_on and _off: which operands of v_mov_b32 are indexed

    def decode(self, lines: list[tuple[int, str]], begin: int, end: int) -> None:
        """Decode the instructions at [begin, end)."""
        self.begin = begin
        lines = [(address, text) for address, text in lines if begin <= address < end]
        records: list[tuple[Record, int]] = []
        index_of = np.full((end - begin) // 4 + 1, -1, np.int32)
        for number, (address, text) in enumerate(lines):
            offset = address - begin
            following = lines[number + 1][0] - begin if number + 1 < len(lines) else end - begin
            self.texts[offset] = text
            index_of[offset // 4] = len(records)
            records += [(record, offset) for record in self._decode_line(text, offset, following)]
        packed = bytearray()
        for record, offset in records:
            packed += self._pack(record, offset, index_of)
        # Running off the end is an error, too.
        packed += self._pack(Record("x_unknown"), end - begin, index_of)
        self.records = bytes(packed)
        self.count = len(records) + 1
        self.index_of = index_of
        tables = b"".join(self.tables) or bytes(LANES)
        self.perms = np.frombuffer(tables, np.uint8).reshape(-1, LANES).copy()

    def _decode_line(self, text: str, offset: int, following: int) -> list[Record]:
        name = text.split(None, 1)[0]
        positional = name.startswith(("s_branch", "s_cbranch", "s_call", "s_getpc", "s_swappc", "s_set_gpr")) or self.indexed
        if not positional and text in self.cache:
            return self.cache[text]
        try:
            steps = self._decode(parse(text), offset, following)
        except UnsupportedError as error:
            self.unsupported[offset] = f"{text}: {error}"
            return [Record("x_unknown")]
        except (IndexError, KeyError, ValueError, AttributeError):
            self.unsupported[offset] = text
            return [Record("x_unknown")]
        if not positional:
            self.cache[text] = steps
        return steps

    def _pack(self, r: Record, offset: int, index_of: np.ndarray) -> bytes:
        index, types = self.opcodes[r.name]
        target = r.target
        if types == "branch":
            target = int(index_of[r.target // 4]) if 0 <= r.target // 4 < len(index_of) else -1
            if target < 0:
                raise UnsupportedError(f"a branch at {offset:#x} to {r.target:#x}, where no instruction begins")
        sources = [
            field for k in range(4) for field in _pack_operand(r.src[k], (r.types + "UUUU")[k], r.select[k])
        ]
        use = [number for entry in (r.use + [(0, 0)] * 8)[:8] for number in entry]
        if len(r.use) > 8:
            raise UnsupportedError(f"too many operands at {offset:#x}")
        return RECORD.pack(
            0, 0, 0, 0, 0, *sources, *r.mask, r.offset, r.imm, target, offset, index, r.dst, r.sdst, r.flags, r.size,
            len(r.use), *use,
        )  # fmt: skip

    # ---- one instruction ----
    def _decode(self, i: Instruction, offset: int, following: int) -> list[Record]:
        name = i.name
        if name in IGNORED:
            return [Record("s_nop")]
        if name == "s_set_gpr_idx_off":
            self.indexed = 0
            return [Record("s_nop")]
        if name == "s_set_gpr_idx_on":
            self.indexed = sum(bit for word, bit in (("SRC0", 1), ("DST", 8)) if word in i.operands[-1])
            if "SRC1" in i.operands[-1] or "SRC2" in i.operands[-1]:
                raise UnsupportedError("indexing of a second source")
            i.operands = i.operands[:1]
        if self.indexed and name.startswith("v_"):
            if name != "v_mov_b32" or i.modifiers:
                raise UnsupportedError("register indexing of anything but v_mov_b32")
            step = self._vector(i, "x_mov_indexed")[0]
            step.imm = self.indexed
            return [step]
        if name == "s_waitcnt":
            return [self._waitcnt(i)]
        if name.startswith(("scratch_",)):
            raise UnsupportedError("scratch memory is not supported: compile the kernel without spills and stack objects")
        if name.startswith("ds_"):
            return [self._lds(i)]
        if name.startswith(("global_", "flat_")):
            return [self._global(i)]
        if name.startswith("buffer_"):
            return [self._buffer(i)]
        if name.startswith(("s_load_dword", "s_buffer_load_dword")):
            return [self._scalar_load(i)]
        if name.startswith("v_cmpx_"):
            steps = self._vector(i, name.replace("v_cmpx_", "v_cmp_"))
            steps[-1].imm |= 1
            return steps
        if name not in self.opcodes:
            raise UnsupportedError("unknown instruction")
        types = self.opcodes[name][1]
        if types == "branch":
            return [self._branch(i, following)]
        if types == "hwreg":
            return [self._hardware_register(i)]
        if types == "none":
            return [Record(name, imm=int(i.operands[0], 0) if i.operands and name == "s_trap" else 0)]
        if types.startswith("matrix"):
            return [self._matrix(i, types)]
        if name.startswith("s_"):
            return self._scalar(i, offset, following)
        return self._vector(i, name)

    def _branch(self, i: Instruction, following: int) -> Record:
        label = i.operands[-1].split()[0]
        if label in self.symbols:
            target = self.symbols[label][0] - self.begin
        else:
            jump = int(label, 0)
            target = following + 4 * (jump - 65536 if jump > 32767 else jump)
        record = Record(i.name, target=target)
        if "vcc" in i.name:
            record.use.append((VCC, 2))
        if i.name == "s_call_b64":
            destination = parse_operand(i.operands[0])
            record.dst, record.imm = destination.reg, 4
            record.uses(destination)
        return record

    def _waitcnt(self, i: Instruction) -> Record:
        text = " ".join(i.operands) if i.operands else i.text.partition(" ")[2]
        if re.fullmatch(r"(0x)?[0-9a-f]+", text):
            bits = int(text, 0)
            vm, lgkm = bits & 15 | bits >> 10 & 48, bits >> 8 & 15
        else:
            counts = {name: int(value) for name, value in re.findall(r"(\w+)\((\d+)\)", text)}
            if not counts or not counts.keys() <= {"vmcnt", "lgkmcnt", "expcnt"}:
                raise UnsupportedError("unknown counter")
            vm, lgkm = counts.get("vmcnt", 255), counts.get("lgkmcnt", 255)
        return Record("s_waitcnt", imm=vm | lgkm << 8)

    def _hardware_register(self, i: Instruction) -> Record:
        match = re.search(r"hwreg\((\w+)(?:,\s*(\d+),\s*(\d+))?\)", i.text)
        if not match:
            raise UnsupportedError("unknown hardware register")
        number = HARDWARE_REGISTERS.get(match[1])
        if number is None:
            number = int(match[1]) if match[1].isdigit() else None
        if number not in HARDWARE_REGISTERS.values():
            raise UnsupportedError(f"unknown hardware register {match[1]}")
        record = Record(i.name, imm=number, offset=int(match[2] or 0) | int(match[3] or 32) << 8)
        other = next(parse_operand(o) for o in i.operands if "hwreg" not in o)
        record.uses(other)
        if i.name == "s_getreg_b32":
            record.dst = other.reg
        else:
            record.src[0] = other
        return record

    def _scalar(self, i: Instruction, offset: int, following: int) -> list[Record]:
        results, types = self.opcodes[i.name][1].split("=")
        operands = [parse_operand(o) for o in i.operands]
        record = Record(i.name, types=types)
        if results:
            record.dst = operands[0].reg
            record.uses(operands[0])
        sources = operands[len(results) :]
        if i.name in DESTINATION_IS_SOURCE:
            sources = [operands[0], *sources]
        elif TIED.match(i.name):
            sources = [*sources, operands[0]]
        if len(sources) != len(types):
            raise UnsupportedError("unexpected number of operands")
        record.src[: len(sources)] = sources
        for source in sources:
            record.uses(source)
        if i.name in ("s_getpc_b64", "s_swappc_b64"):
            record.imm = following - offset
        steps = [record]
        if results and operands[0].kind == "sgpr" and operands[0].reg in (EXEC, EXEC + 1):
            steps.append(Record("x_sync_exec", flags=MICRO))
        return steps

    def _scalar_load(self, i: Instruction) -> Record:
        words = int(i.name.partition("dword")[2].lstrip("x") or 1)
        record = Record("x_scalar_load", size=4 * words, imm=int(i.name.startswith("s_buffer")), offset=i.number("offset"))
        operands = [parse_operand(o) for o in i.operands]
        if operands[0].reg in (EXEC, EXEC + 1):
            raise UnsupportedError("a scalar load into exec")
        record.dst = operands[0].reg
        record.src[0] = operands[1]
        record.uses(operands[1])
        for operand in operands[2:]:
            if operand.kind == "int":
                record.offset += int(operand.value)
            else:
                record.src[1] = operand
                record.uses(operand)
        return record

    # ---- vector arithmetic ----
    def _vector(self, i: Instruction, name: str) -> list[Record]:
        modifiers = i.modifiers
        if "clamp" in modifiers and f"{name}_clamp" in self.opcodes:
            name += "_clamp"
            modifiers.pop("clamp")
        if name not in self.opcodes:
            raise UnsupportedError("unknown instruction")
        results, types = self.opcodes[name][1].split("=")
        operands = [parse_operand(o) for o in i.operands]
        record = Record(name, types=types)
        record.dst = operands[0].reg
        record.uses(operands[0])
        if len(results) > 1:
            record.sdst = operands[1].reg
            record.uses(operands[1])
        sources = operands[len(results) :]
        if TIED.match(name):
            sources = [*sources, operands[0]]
        if name.startswith("v_cndmask") and len(sources) == 2:
            sources.append(parse_operand("vcc"))
        if name == "v_div_fmas_f32":
            record.use.append((VCC, 2))
        if name.startswith("v_permlane"):
            record.imm = 16 if "16" in name else 32
        if "bitop3" in modifiers:
            record.imm = i.number("bitop3")
        carry_less = name.startswith(("v_add_co", "v_sub_co", "v_subrev_co"))
        if len(sources) != len(types) and not (carry_less and len(sources) == 2):
            raise UnsupportedError("unexpected number of operands")
        for source in sources:
            record.uses(source)
        record.src[: len(sources)] = sources
        before: list[Record] = []
        after: list[Record] = []
        if name.startswith("v_fma_mix"):
            self._mixed_modifiers(i, record, sources)
        elif types[:1] in ("P", "K", "Z"):
            self._packed_modifiers(i, record, len(sources), types[0])
        elif "op_sel" in modifiers:
            self._op_sel(int_list(str(modifiers["op_sel"])), record, types, results, after)
        for k in range(len(sources)):
            chosen = str(modifiers.get(f"src{k}_sel", "DWORD"))
            if chosen != "DWORD":
                record.select[k] = (1 if "BYTE" in chosen else 5) + int(chosen[-1])
        chosen = str(modifiers.get("dst_sel", "DWORD"))
        if chosen != "DWORD":
            self._merge(record, 8 if "BYTE" in chosen else 16, int(chosen[-1]), str(modifiers.get("dst_unused")), after)
        if DPP & modifiers.keys():
            before, restore = self._dpp(i, record, types)
            after += restore
        if "clamp" in modifiers or "mul" in modifiers or "div" in modifiers:
            if results != "F":
                raise UnsupportedError("an output modifier on a result that is not f32")
            bits = int("clamp" in modifiers) | i.number("mul") & 6 | (8 if "div" in modifiers else 0)
            after.insert(0, Record("x_output_f32", dst=record.dst, imm=bits, flags=MICRO))
        if operands[0].kind == "sgpr" and operands[0].reg in (EXEC, EXEC + 1) and not i.name.startswith("v_cmpx"):
            after.append(Record("x_sync_exec", flags=MICRO))
        return [*before, record, *after]

    def _packed_modifiers(self, i: Instruction, record: Record, count: int, kind: str) -> None:
        def bits(name: str, default: int) -> int:
            values = int_list(str(i.modifiers[name])) if name in i.modifiers else [default] * count
            return sum(bit << k for k, bit in enumerate(values[:count]))

        record.imm = bits("op_sel", 0) | bits("op_sel_hi", 1) << 4 | bits("neg_lo", 0) << 8 | bits("neg_hi", 0) << 12
        if record.name == "v_pk_mov_b32" and record.imm >> 8:
            raise UnsupportedError("a sign modifier on v_pk_mov_b32")

    def _mixed_modifiers(self, i: Instruction, record: Record, sources: list[Operand]) -> None:
        high, half = (int_list(str(i.modifiers.get(name, "[0,0,0]"))) for name in ("op_sel", "op_sel_hi"))
        for k, source in enumerate(sources):
            record.imm |= high[k] << k | half[k] << 4 + k | source.neg << 8 + k | source.abs << 12 + k
            source.neg = source.abs = False
        record.types = "".join("H" if bit else "F" for bit in half)

    def _op_sel(self, choice: list[int], record: Record, types: str, results: str, after: list[Record]) -> None:
        for k, high in enumerate(choice[: len(types)]):
            if high:
                record.select[k] = 6
        if len(choice) > len(types) and choice[-1]:
            self._merge(record, 16, 1, "UNUSED_PRESERVE", after)

    def _merge(self, record: Record, bits: int, part: int, unused: str, after: list[Record]) -> None:
        if unused == "UNUSED_SEXT":
            raise UnsupportedError("dst_unused:UNUSED_SEXT")
        keep = 1 << 16 if unused == "UNUSED_PRESERVE" else 0
        after.append(Record("x_merge", dst=record.dst, imm=bits | part * bits << 8 | keep, flags=MICRO))
        record.dst = ROW_SCRATCH

    def _dpp(self, i: Instruction, record: Record, types: str) -> tuple[list[Record], list[Record]]:
        source = record.src[0]
        assert source is not None
        if types[0] in WIDE:
            raise UnsupportedError("DPP on a 64-bit operand")
        lane = np.arange(LANES)
        row, place = lane & ~15, lane & 15
        valid = np.ones(LANES, bool)
        m = i.modifiers
        if "quad_perm" in m:
            table = (lane & ~3) + np.array(int_list(str(m["quad_perm"])))[lane & 3]
        elif "row_shr" in m:
            table, valid = lane - i.number("row_shr"), place >= i.number("row_shr")
        elif "row_shl" in m:
            table, valid = lane + i.number("row_shl"), place + i.number("row_shl") < 16
        elif "row_ror" in m:
            table = row + (place - i.number("row_ror") & 15)
        elif "row_mirror" in m:
            table = lane ^ 15
        elif "row_half_mirror" in m:
            table = lane ^ 7
        elif "row_bcast" in m:
            table, valid = (row - 1, lane >= 16) if i.number("row_bcast") == 15 else (np.full(LANES, 31), lane >= 32)
        elif "row_newbcast" in m:
            table = row + i.number("row_newbcast")
        elif "wave_shr" in m:
            table, valid = lane - 1, lane >= 1
        elif "wave_shl" in m:
            table, valid = lane + 1, lane < 63
        elif "wave_ror" in m:
            table = lane - 1
        else:
            table = lane + 1
        enabled = (i.number("row_mask", 15) >> (lane >> 4) & 1) & (i.number("bank_mask", 15) >> (lane >> 2 & 3) & 1)
        to_mask = lambda bits: int(sum(1 << int(k) for k in np.flatnonzero(bits)))  # noqa: E731
        first = Record(
            "x_dpp",
            imm=self._table(table & 63) | (1 << 31 if "bound_ctrl" in m else 0),
            mask=(to_mask(valid), to_mask(enabled)),
            flags=MICRO,
        )
        first.src[0] = Operand(source.kind, source.text, source.reg)
        first.uses(first.src[0])
        record.src[0] = Operand("row", source.text, ROW_DPP, 1, 0, source.neg, source.abs, source.sext)
        return [first], [Record("x_restore_exec", flags=MICRO)]

    def _table(self, lanes: np.ndarray) -> int:
        return self.tables.setdefault(lanes.astype(np.uint8).tobytes(), len(self.tables))

    def _matrix(self, i: Instruction, types: str) -> Record:
        n, k, bits = (int(part) for part in types.split()[1:])
        if any(i.number(name) for name in ("cbsz", "abid", "blgp")) or "neg" in i.modifiers:
            raise UnsupportedError("a matrix instruction with broadcast, rotation or sign modifiers")
        operands = [parse_operand(o) for o in i.operands]
        expected = [n * n // LANES, n * k * bits // 32 // LANES, n * k * bits // 32 // LANES]
        for operand, words in zip(operands, expected, strict=False):
            if operand.kind != "row" or operand.words != words:
                raise UnsupportedError("unexpected operands")
        record = Record(i.name, types="UU" + ("F" if bits != 8 or "i32" not in i.name else "U"))
        record.dst = operands[0].reg
        record.src[:3] = operands[1:4]
        record.imm = int(operands[3].kind != "row")
        if record.imm and operands[3].kind not in ("int", "float"):
            raise UnsupportedError("a scalar register as the accumulator")
        for operand in operands:
            record.uses(operand)
        return record

    # ---- memory ----
    def _flags(self, i: Instruction) -> int:
        m = i.modifiers
        return SC0 * ("sc0" in m) | SC1 * ("sc1" in m) | NT * ("nt" in m)

    def _width(self, record: Record, what: str) -> None:
        """Size and extension of "dwordx4", "ubyte_d16_hi", "short" ..."""
        match = re.fullmatch(r"dword(?:x(\d))?", what)
        if match:
            record.size = 4 * int(match[1] or 1)
            return
        if what.endswith("_d16_hi"):
            record.flags |= D16_HI
            what = what[:-7]
        elif what.endswith("_d16"):
            record.flags |= D16
            what = what[:-4]
        record.size, signed = SUBWORD[what]
        record.flags |= SIGNED * signed

    def _atomic(self, record: Record, what: str) -> None:
        wide = what.endswith("_x2") or what.endswith("_f64")
        what = what.removesuffix("_x2")
        what = re.sub(r"^(add|min|max)_f(32|64)$", r"\1_float", what)
        record.size, record.imm = 8 if wide else 4, ATOMICS[what]

    def _global(self, i: Instruction) -> Record:
        space, _, kind = i.name.partition("_")
        record = Record("", offset=i.number("offset"), flags=self._flags(i) | FLAT * (space == "flat"))
        operands = [parse_operand(o) for o in i.operands]
        result: Operand | None = None
        data: Operand | None = None
        if kind.startswith("load_lds_"):
            record.name = "x_load"
            record.flags |= TO_LDS
            record.use.append((M0, 1))
            self._width(record, kind[9:])
        elif kind.startswith("load_"):
            record.name = "x_load"
            self._width(record, kind[5:])
            result, *operands = operands
        elif kind.startswith("store_"):
            record.name = "x_store"
            self._width(record, kind[6:])
            data = operands.pop(1)
        elif kind.startswith("atomic_"):
            record.name = "x_atomic"
            self._atomic(record, kind[7:])
            if record.flags & SC0:
                record.flags |= RETURNS
                result, *operands = operands
            data = operands.pop(1)
        else:
            raise UnsupportedError("unknown instruction")
        self._address(record, operands[0], operands[1] if len(operands) > 1 else None)
        return self._finish_access(record, result, data)

    def _address(self, record: Record, vector: Operand, scalar: Operand | None) -> None:
        record.src[0] = vector if vector.kind == "row" else None
        record.src[1] = scalar if scalar is not None and scalar.kind == "sgpr" else None
        record.types = "UQUU"
        record.uses(record.src[0])
        record.uses(record.src[1])
        if record.src[0] is None and record.src[1] is None:
            raise UnsupportedError("an access without an address register")

    def _finish_access(self, record: Record, result: Operand | None, data: Operand | None) -> Record:
        if result is not None:
            record.dst = result.reg
            if record.flags & (D16 | D16_HI):
                pass  # the other half may be in flight as well: loads of one wave stay in order
        if data is not None:
            record.src[2] = data
            record.uses(data)
        return record

    def _buffer(self, i: Instruction) -> Record:
        if i.name in ("buffer_wbl2", "buffer_inv"):
            return Record(i.name, flags=self._flags(i))
        kind = i.name[7:]
        record = Record("", offset=i.number("offset"), flags=self._flags(i))
        record.flags |= OFFEN * ("offen" in i.modifiers) | IDXEN * ("idxen" in i.modifiers)
        operands = [parse_operand(o) for o in i.operands]
        result: Operand | None = None
        data: Operand | None = None
        if kind.startswith("load_"):
            record.name = "x_buffer_load"
            self._width(record, kind[5:])
            if "lds" in i.modifiers:
                record.flags |= TO_LDS
                record.use.append((M0, 1))
            else:
                result, *operands = operands
        elif kind.startswith("store_"):
            record.name = "x_buffer_store"
            self._width(record, kind[6:])
            data, *operands = operands
        elif kind.startswith("atomic_"):
            record.name = "x_buffer_atomic"
            self._atomic(record, kind[7:])
            data, *operands = operands
            if record.flags & SC0:
                record.flags |= RETURNS
                result = data
        else:
            raise UnsupportedError("unknown instruction")
        if operands[0].kind in ("row", "off"):
            vector, *operands = operands
            record.src[0] = vector if vector.kind == "row" else None
        record.src[1], record.src[3] = operands[0], operands[1]
        record.types = "UUUU"
        for source in (record.src[0], record.src[1], record.src[3]):
            record.uses(source)
        return self._finish_access(record, result, data)

    def _lds(self, i: Instruction) -> Record:
        kind = i.name[3:]
        operands = [parse_operand(o) for o in i.operands]
        swizzle = kind == "swizzle_b32"
        record = Record("", offset=0 if swizzle else i.number("offset"))
        if kind in ("bpermute_b32", "permute_b32"):
            record.name, record.dst = i.name, operands[0].reg
            record.src[:2] = operands[1:3]
        elif swizzle:
            record.name, record.dst = i.name, operands[0].reg
            record.src[0] = operands[1]
            record.imm = self._table(_swizzle(str(i.modifiers.get("offset") or i.modifiers.get("swizzle"))))
        elif match := re.fullmatch(r"read_b(32|64|96|128)", kind):
            record.name, record.size, record.dst = "x_ds_read", int(match[1]) // 8, operands[0].reg
            record.src[0] = operands[1]
        elif match := re.fullmatch(r"read_([ui]8|[ui]16)(_d16)?(_hi)?", kind):
            record.name, record.dst = "x_ds_read", operands[0].reg
            record.size, signed = SUBWORD[match[1]]
            record.flags = SIGNED * signed | (D16_HI if match[3] else D16 if match[2] else 0)
            record.src[0] = operands[1]
        elif match := re.fullmatch(r"(read|write)2(st64)?_b(32|64)", kind):
            record.size = int(match[3]) // 8
            scale = record.size * (64 if match[2] else 1)
            record.offset, record.imm = i.number("offset0") * scale, i.number("offset1") * scale
            if match[1] == "read":
                record.name, record.dst = "x_ds_read2", operands[0].reg
                record.src[0] = operands[1]
            else:
                record.name = "x_ds_write2"
                record.src[:3] = operands
        elif match := re.fullmatch(r"write_b(8|16|32|64|96|128)(_d16_hi)?", kind):
            record.name, record.size = "x_ds_write", int(match[1]) // 8
            record.flags = D16_HI if match[2] else 0
            record.src[:2] = operands
        elif match := re.fullmatch(r"read_b64_tr_b(8|16)", kind):
            record.name, record.size, record.dst = f"x_ds_read_tr{match[1]}", 8, operands[0].reg
            record.src[0] = operands[1]
        else:
            self._lds_atomic(record, kind, operands)
        for source in record.src:
            record.uses(source)
        return record

    def _lds_atomic(self, record: Record, kind: str, operands: list[Operand]) -> None:
        match = re.fullmatch(r"(\w+?)(_rtn)?_([uibf]\d+|f16|bf16)", kind)
        if not match:
            raise UnsupportedError("unknown instruction")
        what, returns, form = match.groups()
        signless = {"max": "umax", "min": "umin"} if form[0] == "u" else {"max": "smax", "min": "smin"}
        what = {"wrxchg": "swap", "cmpst": "cmpswap"}.get(what, signless.get(what, what))
        if form in ("f32", "f64"):
            what = {"smax": "max_float", "smin": "min_float", "add": "add_float"}[what]
        if what == "pk_add":
            what = f"pk_add_{form}"
        record.name, record.size, record.imm = "x_ds_atomic", 8 if form.endswith("64") else 4, ATOMICS[what]
        if returns:
            record.flags |= RETURNS
            record.dst = operands[0].reg
            operands = operands[1:]
        record.src[: len(operands)] = operands


def _swizzle(text: str) -> np.ndarray:
    """The source lane of each lane for a ds_swizzle pattern."""
    lane = np.arange(LANES)
    match = re.fullmatch(r"swizzle\((\w+),?\s*(.*)\)", text)
    if not match:
        bits = int(text, 0)
        if bits >> 15:
            quad = np.array([bits >> (2 * k) & 3 for k in range(4)])
            return (lane & ~3) + quad[lane & 3]
        return lane & 32 | ((lane & bits & 31 | bits >> 5 & 31) ^ bits >> 10 & 31) & 31
    mode, rest = match.groups()
    if mode == "BITMASK_PERM":
        pattern = rest.strip('"')
        keep = sum((c in "pi") << (4 - k) for k, c in enumerate(pattern))
        ones = sum((c == "1") << (4 - k) for k, c in enumerate(pattern))
        flip = sum((c == "i") << (4 - k) for k, c in enumerate(pattern))
        return lane & 32 | ((lane & keep | ones) ^ flip) & 31
    numbers = [int(part) for part in rest.split(",")]
    if mode == "QUAD_PERM":
        return (lane & ~3) + np.array(numbers)[lane & 3]
    if mode == "SWAP":
        return lane ^ numbers[0]
    if mode == "REVERSE":
        return lane ^ (numbers[0] - 1)
    if mode == "BROADCAST":
        return lane & ~(numbers[0] - 1) | numbers[1]
    raise UnsupportedError(f"unknown swizzle {text}")
