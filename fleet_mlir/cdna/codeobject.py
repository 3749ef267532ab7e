"""Reads an AMDGPU code object: the ELF image, its kernels and their arguments."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .errors import CodeObjectError, UnsupportedError

EM_AMDGPU = 224
MACHINES = {0x04C: "gfx942", 0x04F: "gfx950"}
R_AMDGPU_ABS64, R_AMDGPU_RELATIVE64 = 3, 13


def _unpack(data: bytes, at: int) -> tuple[Any, int]:
    """Decode one msgpack value; the value and where the next one begins."""
    tag = data[at]
    at += 1

    def number(size: int, signed: bool = False) -> int:
        return int.from_bytes(data[at : at + size], "big", signed=signed)

    def mapping(count: int, at: int) -> tuple[dict[Any, Any], int]:
        result = {}
        for _ in range(count):
            name, at = _unpack(data, at)
            result[name], at = _unpack(data, at)
        return result, at

    def sequence(count: int, at: int) -> tuple[list[Any], int]:
        result = []
        for _ in range(count):
            value, at = _unpack(data, at)
            result.append(value)
        return result, at

    if tag < 0x80:
        return tag, at
    if tag < 0x90:
        return mapping(tag & 15, at)
    if tag < 0xA0:
        return sequence(tag & 15, at)
    if tag < 0xC0:
        return data[at : at + (tag & 31)].decode(), at + (tag & 31)
    if tag == 0xC0:
        return None, at
    if tag in (0xC2, 0xC3):
        return tag == 0xC3, at
    if 0xCC <= tag <= 0xCF:
        return number(1 << (tag - 0xCC)), at + (1 << (tag - 0xCC))
    if 0xD0 <= tag <= 0xD3:
        return number(1 << (tag - 0xD0), True), at + (1 << (tag - 0xD0))
    if 0xD9 <= tag <= 0xDB:
        width = 1 << (tag - 0xD9)
        length, at = number(width), at + width
        return data[at : at + length].decode(), at + length
    if tag in (0xDC, 0xDD):
        width = 2 << (tag - 0xDC)
        return sequence(number(width), at + width)
    if tag in (0xDE, 0xDF):
        width = 2 << (tag - 0xDE)
        return mapping(number(width), at + width)
    if tag >= 0xE0:
        return tag - 256, at
    raise CodeObjectError(f"the kernel metadata holds an unknown msgpack tag {tag:#x}")


@dataclass
class Kernel:
    """A kernel as its descriptor and its metadata state it."""

    name: str
    entry: int  # offset in the image
    end: int  # of the kernel's symbol
    lds: int  # bytes, without what a launch adds
    scratch: int  # bytes a lane
    kernarg_size: int
    vgprs: int  # architectural VGPRs
    agprs: int
    total_vgprs: int
    mode: int  # HW_REG_MODE at the start
    user_sgprs: int
    workgroup_ids: int  # bits 0, 1, 2: x, y, z arrive in SGPRs
    workgroup_info: bool
    properties: int
    preload: int  # kernarg words that arrive in SGPRs
    preload_offset: int  # first of them
    arguments: list[dict[str, Any]] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)


class CodeObject:
    """An ELF code object laid out in memory.

    `image` holds the loaded segments from address 0 (uint8); `text` is the address range of the
    instructions; `symbols` maps a name to (address, size).
    """

    def __init__(self, data: bytes) -> None:
        if data[:4] != b"\x7fELF" or len(data) < 64:
            raise CodeObjectError("expected an ELF code object, found other bytes")
        machine = struct.unpack_from("<H", data, 18)[0]
        if machine != EM_AMDGPU:
            raise CodeObjectError(f"expected an ELF file for machine {EM_AMDGPU} (AMDGPU), found machine {machine}")
        self.data = data
        flags = struct.unpack_from("<I", data, 48)[0]
        if flags & 0xFF not in MACHINES:
            raise CodeObjectError(
                f"expected a code object for {' or '.join(MACHINES.values())}, found machine flags {flags & 0xFF:#x}"
            )
        self.arch = MACHINES[flags & 0xFF]
        segments_at, sections_at = struct.unpack_from("<QQ", data, 32)
        segment_size, segments, section_size, sections = struct.unpack_from("<HHHH", data, 54)
        self._segments = [
            struct.unpack_from("<IIQQQQQQ", data, segments_at + k * segment_size) for k in range(segments)
        ]
        self._sections = [
            struct.unpack_from("<IIQQQQIIQQ", data, sections_at + k * section_size) for k in range(sections)
        ]
        loads = [s for s in self._segments if s[0] == 1]
        if not loads:
            raise CodeObjectError("the code object has no loadable segment: link it with ld.lld -shared")
        self.image = np.zeros((max(s[3] + s[6] for s in loads) + 4095) // 4096 * 4096, np.uint8)
        for _, _, offset, address, _, size, _, _ in loads:
            self.image[address : address + size] = np.frombuffer(data, np.uint8, size, offset)
        self.symbols = self._read_symbols()
        text = [s for s in self._sections if s[1] == 1 and s[2] & 4]
        if not text:
            raise CodeObjectError("the code object has no section of instructions")
        self.text = (text[0][3], text[0][3] + text[0][5])
        self.kernels = {k.name: k for k in map(self._read_kernel, self._read_metadata().get("amdhsa.kernels", []))}

    def _read_symbols(self) -> dict[str, tuple[int, int]]:
        symbols = {}
        for section in self._sections:
            if section[1] not in (2, 11):
                continue
            strings = self._sections[section[6]][4]
            for k in range(section[5] // 24):
                name, _, _, index, value, size = struct.unpack_from("<IBBHQQ", self.data, section[4] + 24 * k)
                text = self.data[strings + name : self.data.index(b"\0", strings + name)].decode()
                if text and index:
                    symbols[text] = (value, size)
        return symbols

    def _read_metadata(self) -> dict[str, Any]:
        for kind, _, offset, _, _, size, _, _ in self._segments:
            at = offset
            while kind == 4 and at < offset + size:
                name_size, note_size, note = struct.unpack_from("<III", self.data, at)
                payload = at + 12 + (name_size + 3 & ~3)
                if note == 32:
                    return _unpack(self.data, payload)[0]
                at = payload + (note_size + 3 & ~3)
        return {}

    def _read_kernel(self, metadata: dict[str, Any]) -> Kernel:
        name = metadata[".name"]
        at = self.symbols[metadata[".symbol"]][0]
        read = lambda form, offset: struct.unpack_from(form, self.image, at + offset)  # noqa: E731
        lds, scratch, kernarg = read("<III", 0)
        entry = at + read("<q", 16)[0]
        rsrc3, rsrc1, rsrc2 = read("<III", 44)
        properties, preload = read("<HH", 56)
        total = ((rsrc1 & 63) + 1) * 8
        vgprs = ((rsrc3 & 63) + 1) * 4
        size = self.symbols.get(name, (0, 0))[1]
        return Kernel(
            name=name,
            entry=entry,
            end=entry + size,
            lds=lds,
            scratch=scratch,
            kernarg_size=kernarg,
            vgprs=min(vgprs, total),
            agprs=max(total - vgprs, 0),
            total_vgprs=total,
            mode=rsrc1 >> 12 & 0xFF,
            user_sgprs=rsrc2 >> 1 & 31,
            workgroup_ids=rsrc2 >> 7 & 7,
            workgroup_info=bool(rsrc2 >> 10 & 1),
            properties=properties,
            preload=preload & 127,
            preload_offset=preload >> 7,
            arguments=metadata.get(".args", []),
            metadata=metadata,
        )

    def relocate(self, base: int) -> None:
        """Apply the dynamic relocations for an image that the kernel sees at address `base`."""
        for section in self._sections:
            if section[1] != 4 or not section[2] & 2:
                continue
            for k in range(section[5] // 24):
                offset, info, addend = struct.unpack_from("<QQq", self.data, section[4] + 24 * k)
                if info & 0xFFFFFFFF != R_AMDGPU_RELATIVE64:
                    raise UnsupportedError(
                        f"expected only relocations of type {R_AMDGPU_RELATIVE64} (relative), found type {info & 0xFFFFFFFF}"
                    )
                struct.pack_into("<Q", self.image, offset, base + addend)
