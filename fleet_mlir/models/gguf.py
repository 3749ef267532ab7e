"""GGUF files: a check of our own of the whole header, before any reader trusts it."""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import BinaryIO

from ..errors import FleetError

MAGIC = b"GGUF"
_SCALARS = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_STRING, _ARRAY = 8, 9
_UINT32 = 4


class _Reader:
    """Little-endian reads that never leave the file."""

    def __init__(self, file: BinaryIO, size: int, path: Path):
        self.file, self.size, self.path = file, size, path
        self.at = 0

    def fail(self, why: str) -> FleetError:
        return FleetError(f"{self.path} is not a sound GGUF file: {why}")

    def take(self, count: int, what: str) -> bytes:
        if count > self.size - self.at:
            raise self.fail(f"{what} needs {count} bytes at {self.at}, and the file has {self.size}")
        data = self.file.read(count)
        if len(data) != count:
            raise self.fail(f"{what} is truncated")
        self.at += count
        return data

    def skip(self, count: int, what: str) -> None:
        if count > self.size - self.at:
            raise self.fail(f"{what} needs {count} bytes at {self.at}, and the file has {self.size}")
        self.file.seek(count, 1)
        self.at += count

    def number(self, form: str, what: str) -> int:
        return struct.unpack("<" + form, self.take(struct.calcsize(form), what))[0]

    def text(self, what: str, most: int) -> str:
        length = self.number("Q", what)
        if length > most:
            raise self.fail(f"{what} claims a length of {length}")
        try:
            return self.take(length, what).decode("utf-8")
        except UnicodeDecodeError as error:
            raise self.fail(f"{what} is not UTF-8") from error


def _value(reader: _Reader, kind: int, what: str, depth: int = 0) -> bytes | str | None:
    """Read one value; scalars and strings come back, arrays are skipped."""
    if kind in _SCALARS:
        return reader.take(_SCALARS[kind], what)
    if kind == _STRING:
        length = reader.number("Q", what)
        if length > 4096:
            reader.skip(length, what)
            return None
        return reader.take(length, what).decode("utf-8", "replace")
    if kind != _ARRAY or depth > 3:
        raise reader.fail(f"{what} has the unknown type {kind}")
    kind, count = reader.number("I", what), reader.number("Q", what)
    if kind in _SCALARS:
        reader.skip(count * _SCALARS[kind], what)
    elif count > (reader.size - reader.at) // 8:
        raise reader.fail(f"{what} claims {count} elements")
    elif kind == _STRING:
        for _ in range(count):
            reader.skip(reader.number("Q", what), what)
    else:
        for _ in range(count):
            _value(reader, kind, what, depth + 1)
    return None


def check(path: Path) -> tuple[str, int]:
    """Check magic, version, counts, strings, types, tensor offsets and sizes; return the architecture and the number of tensors."""
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    sizes = {int(GGMLQuantizationType(k)): v for k, v in GGML_QUANT_SIZES.items()}
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            reader = _Reader(file, size, path)
            magic = reader.take(4, "the magic")
            if magic != MAGIC:
                raise reader.fail(f"it begins with {magic!r}")
            version = reader.number("I", "the version")
            if version not in (2, 3):
                raise reader.fail(f"version {version} is not 2 or 3")
            tensors, pairs = reader.number("Q", "the tensor count"), reader.number("Q", "the metadata count")
            if tensors > size // 24 or pairs > size // 13:
                raise reader.fail(f"it claims {tensors} tensors and {pairs} metadata values in {size} bytes")
            metadata: dict[str, tuple[int, bytes | str | None]] = {}
            for _ in range(pairs):
                key = reader.text("a metadata key", 65535)
                if key in metadata:
                    raise reader.fail(f"the key {key!r} stands twice")
                kind = reader.number("I", f"the type of {key!r}")
                metadata[key] = (kind, _value(reader, kind, f"the value of {key!r}"))
            alignment = 32
            if "general.alignment" in metadata:
                kind, value = metadata["general.alignment"]
                alignment = int.from_bytes(value, "little") if kind == _UINT32 and isinstance(value, bytes) else 0
                if alignment < 1 or alignment & (alignment - 1) or alignment > 1 << 20:
                    raise reader.fail("general.alignment is not a power of two")
            infos: dict[str, tuple[int, int]] = {}
            for _ in range(tensors):
                name = reader.text("a tensor name", 1024)
                what = f"tensor {name!r}"
                if name in infos:
                    raise reader.fail(f"{what} stands twice")
                rank = reader.number("I", what)
                if rank > 4:
                    raise reader.fail(f"{what} has {rank} dimensions")
                shape = [reader.number("Q", what) for _ in range(rank)]
                kind, offset = reader.number("I", what), reader.number("Q", what)
                if kind not in sizes:
                    raise reader.fail(f"{what} has the unknown type {kind}")
                block, width = sizes[kind]
                count = math.prod(shape)
                if count == 0 or (shape and shape[0] % block):
                    raise reader.fail(f"{what} has the shape {shape}, which does not divide into blocks of {block}")
                if offset % alignment:
                    raise reader.fail(f"{what} lies at {offset}, which is not a multiple of {alignment}")
                infos[name] = (offset, offset + count // block * width)
            room = size - (reader.at + alignment - 1) // alignment * alignment
    except OSError as error:
        raise FleetError(f"cannot read {path}: {error.strerror}") from error
    before, last = 0, ""
    for name, (begin, end) in sorted(infos.items(), key=lambda item: item[1]):
        if end > room:
            raise reader.fail(
                f"tensor {name!r} lies at bytes {begin} to {end}, outside the {max(room, 0)} bytes of data"
            )
        if begin < before:
            raise reader.fail(f"tensors {last!r} and {name!r} overlap")
        before, last = end, name
    kind, architecture = metadata.get("general.architecture", (0, None))
    if kind != _STRING or not isinstance(architecture, str):
        raise reader.fail("it names no general.architecture")
    return architecture, len(infos)
