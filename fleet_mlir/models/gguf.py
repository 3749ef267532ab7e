"""GGUF files, read once: the whole header is checked before anything in it is believed, and transformers gets what it asks for from here.

transformers knows how each architecture spells its configuration, its tensor names and its tokenizer; what it is slow at (reading the
header once for each of them, and expanding quantised blocks a few rows at a time) is done here, see `reading`.
"""

from __future__ import annotations

import contextlib
import functools
import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from ..errors import FleetError
from ..progress import stage

MAGIC = b"GGUF"
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_UINT32 = 4
_MOST_NAME = 65535
# Blocks expanded at a time: few enough that the intermediate arrays stay in the cache.
_BLOCKS = 4096


@dataclass(frozen=True)
class Field:
    """One metadata value the way `gguf.GGUFReader` shows it: `parts[i] for i in data` are the value, or the elements of an array."""

    types: list[int]
    parts: list[Any]

    @property
    def data(self) -> range:
        """Where in `parts` the value stands."""
        return range(len(self.parts))


@dataclass(frozen=True)
class Tensor:
    """One tensor as it is stored: `shape` in the order of torch, `data` as `gguf.GGUFReader` gives it (bytes where quantised)."""

    name: str
    shape: tuple[int, ...]
    tensor_type: Any
    data: np.ndarray


@dataclass(frozen=True)
class File:
    """A GGUF file whose header has been checked; `data` of its tensors is mapped from the file and read when touched."""

    path: Path
    architecture: str
    fields: dict[str, Field]
    tensors: list[Tensor]


class _Reader:
    """Little-endian reads that never leave the file."""

    def __init__(self, data: np.ndarray, path: Path):
        self.data, self.size, self.path = memoryview(data), data.size, path
        self.at = 0

    def fail(self, why: str) -> FleetError:
        return FleetError(f"{self.path} is not a sound GGUF file: {why}")

    def room(self, count: int, what: str) -> int:
        """Go `count` bytes on; gives where they begin."""
        if count > self.size - self.at:
            raise self.fail(f"{what} needs {count} bytes at {self.at}, and the file has {self.size}")
        self.at += count
        return self.at - count

    def number(self, form: str, what: str) -> Any:
        return struct.unpack_from("<" + form, self.data, self.room(struct.calcsize("<" + form), what))[0]

    def text(self, what: str, most: int | None = None) -> str:
        length = self.number("Q", what)
        if most is not None and length > most:
            raise self.fail(f"{what} claims a length of {length}")
        begin = self.room(length, what)
        try:
            return str(self.data[begin : begin + length], "utf-8")
        except UnicodeDecodeError as error:
            raise self.fail(f"{what} is not UTF-8") from error

    def value(self, kind: int, what: str, depth: int = 0) -> Any:
        """One value; an array is a list."""
        if kind in _SCALARS:
            return self.number(_SCALARS[kind], what)
        if kind == _STRING:
            return self.text(what)
        if kind != _ARRAY or depth > 3:
            raise self.fail(f"{what} has the unknown type {kind}")
        kind, count = self.number("I", what), self.number("Q", what)
        if kind in _SCALARS:
            form = np.dtype(_SCALARS[kind]).newbyteorder("<")
            begin = self.room(count * form.itemsize, what)
            return np.frombuffer(self.data, form, count, begin).tolist()
        if count > (self.size - self.at) // 8:
            raise self.fail(f"{what} claims {count} elements")
        return [self.value(kind, what, depth + 1) for _ in range(count)]

    def field(self, what: str) -> Field:
        """A value with its type before it."""
        kind = self.number("I", f"the type of {what}")
        element = struct.unpack_from("<I", self.data, self.at) if kind == _ARRAY and self.size - self.at >= 4 else ()
        value = self.value(kind, f"the value of {what}")
        return Field([kind, *element], value if kind == _ARRAY else [value])


def read(path: Path) -> File:
    """Read a file's header; magic, version, counts, strings, types, tensor offsets and sizes are all checked."""
    try:
        data = np.memmap(path, np.uint8, "r") if path.stat().st_size else np.empty(0, np.uint8)
    except OSError as error:
        raise FleetError(f"cannot read {path}: {error.strerror}") from error
    reader = _Reader(data, path)
    magic = bytes(data[:4])
    if magic != MAGIC:
        raise reader.fail(f"it begins with {magic!r}")
    reader.room(4, "the magic")
    version = reader.number("I", "the version")
    if version not in (2, 3):
        raise reader.fail(f"version {version} is not 2 or 3")
    count, pairs = reader.number("Q", "the tensor count"), reader.number("Q", "the metadata count")
    if count > reader.size // 24 or pairs > reader.size // 13:
        raise reader.fail(f"it claims {count} tensors and {pairs} metadata values in {reader.size} bytes")
    fields: dict[str, Field] = {}
    for _ in range(pairs):
        key = reader.text("a metadata key", _MOST_NAME)
        if key in fields:
            raise reader.fail(f"the key {key!r} stands twice")
        fields[key] = reader.field(repr(key))
    alignment = 32
    if "general.alignment" in fields:
        field = fields["general.alignment"]
        alignment = field.parts[0] if field.types == [_UINT32] else 0
        if alignment < 1 or alignment & (alignment - 1) or alignment > 1 << 20:
            raise reader.fail("general.alignment is not a power of two")
    tensors = _tensors(reader, count, alignment)
    field = fields.get("general.architecture")
    if field is None or field.types != [_STRING]:
        raise reader.fail("it names no general.architecture")
    return File(path, field.parts[0], fields, tensors)


def _tensors(reader: _Reader, count: int, alignment: int) -> list[Tensor]:
    """The tensor table and the data behind it."""
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    kinds = {int(kind): kind for kind in GGMLQuantizationType}
    infos: dict[str, tuple[int, int, tuple[int, ...], Any]] = {}
    for _ in range(count):
        name = reader.text("a tensor name", 1024)
        what = f"tensor {name!r}"
        if name in infos:
            raise reader.fail(f"{what} stands twice")
        rank = reader.number("I", what)
        if rank > 4:
            raise reader.fail(f"{what} has {rank} dimensions")
        shape = [reader.number("Q", what) for _ in range(rank)]
        number, offset = reader.number("I", what), reader.number("Q", what)
        if number not in kinds:
            raise reader.fail(f"{what} has the unknown type {number}")
        block, width = GGML_QUANT_SIZES[kinds[number]]
        elements = math.prod(shape)
        if elements == 0 or (shape and shape[0] % block):
            raise reader.fail(f"{what} has the shape {shape}, which does not divide into blocks of {block}")
        if offset % alignment:
            raise reader.fail(f"{what} lies at {offset}, which is not a multiple of {alignment}")
        infos[name] = (offset, offset + elements // block * width, tuple(reversed(shape)), kinds[number])
    start = (reader.at + alignment - 1) // alignment * alignment
    room = max(reader.size - start, 0)
    before, last = 0, ""
    for name, (begin, end, _, _) in sorted(infos.items(), key=lambda item: item[1][:2]):
        if end > room:
            raise reader.fail(f"tensor {name!r} lies at bytes {begin} to {end}, outside the {room} bytes of data")
        if begin < before:
            raise reader.fail(f"tensors {last!r} and {name!r} overlap")
        before, last = end, name
    whole = np.frombuffer(reader.data, np.uint8)
    return [
        Tensor(name, shape, kind, _view(whole[start + begin : start + end], shape, kind))
        for name, (begin, end, shape, kind) in infos.items()
    ]


def _view(data: np.ndarray, shape: tuple[int, ...], kind: Any) -> np.ndarray:
    """Bytes as numbers where numpy has the type, else as rows of blocks."""
    dtype = {"F16": "<f2", "F32": "<f4", "F64": "<f8", "I8": "i1", "I16": "<i2", "I32": "<i4", "I64": "<i8"}.get(kind.name)
    return data.view(dtype).reshape(shape) if dtype else data.reshape(*shape[:-1], -1)


def dequantize(data: np.ndarray, kind: Any) -> np.ndarray:
    """The float32 values of stored blocks, bit for bit those of `gguf.dequantize`, with more blocks at a time."""
    from gguf import GGML_QUANT_SIZES, quants

    traits = quants._type_traits.get(kind)
    if kind.name in ("F16", "F32") or traits is None:
        return quants.dequantize(data, kind)
    traits.init_grid()
    block, width = GGML_QUANT_SIZES[kind]
    blocks = data.reshape(-1, width)
    out = np.empty((len(blocks), block), np.float32)
    for begin in range(0, len(blocks), _BLOCKS):
        part = blocks[begin : begin + _BLOCKS]
        out[begin : begin + _BLOCKS] = _QUICK.get(kind.name, traits.dequantize_blocks)(part)
    return out.reshape(*data.shape[:-1], -1)


def _halves(blocks: np.ndarray, at: int) -> np.ndarray:
    """The f16 number at byte `at` of each block as float32 `[blocks, 1]`."""
    return np.ascontiguousarray(blocks[:, at : at + 2]).view("<f2").astype(np.float32)


def _nibbles(blocks: np.ndarray, at: int) -> np.ndarray:
    """16 bytes from `at` of each block as float32 `[blocks, 32]`: the low halves, then the high ones."""
    packed = blocks[:, at : at + 16]
    values = np.empty((len(blocks), 32), np.float32)
    values[:, :16] = packed & np.uint8(15)
    values[:, 16:] = packed >> np.uint8(4)
    return values


def _q4_0(blocks: np.ndarray) -> np.ndarray:
    values = _nibbles(blocks, 2)
    values -= np.float32(8)
    values *= _halves(blocks, 0)
    return values


def _q4_1(blocks: np.ndarray) -> np.ndarray:
    values = _nibbles(blocks, 4)
    values *= _halves(blocks, 0)
    values += _halves(blocks, 2)
    return values


def _q8_0(blocks: np.ndarray) -> np.ndarray:
    return blocks[:, 2:34].view(np.int8).astype(np.float32) * _halves(blocks, 0)


_QUICK = {"Q4_0": _q4_0, "Q4_1": _q4_1, "Q8_0": _q8_0}


def _each(values: list[Any], **_: Any) -> Iterator[Any]:
    """The loader's progress bar, which has no switch, as one of ours."""
    with stage("reading weights", len(values)) as advance:
        for value in values:
            yield value
            advance()


@contextlib.contextmanager
def reading(file: File) -> Iterator[None]:
    """While the context lasts, transformers and gguf read `file` from memory, whatever path they are given."""
    import gguf
    from transformers import modeling_gguf_pytorch_utils as loading
    from transformers.integrations import gguf as integration
    from transformers.integrations.gguf import reader

    names = tuple(tensor.name for tensor in file.tensors)

    def metadata(path: str, string_arrays: Any = ()) -> tuple[dict[str, Any], tuple[str, ...]]:
        """As `read_gguf_metadata`: arrays of strings come as their length, but for those asked for."""
        made = {}
        for key, field in file.fields.items():
            value = field.parts if field.types[0] == _ARRAY else field.parts[0]
            short = field.types == [_ARRAY, _STRING] and key not in string_arrays
            made[key] = len(field.parts) if short else value
        return made, names

    with contextlib.ExitStack() as stack:
        for owner, name, value in (
            (gguf, "GGUFReader", lambda path: file),
            (gguf, "get_tensor_name_map", functools.cache(gguf.get_tensor_name_map)),
            (gguf, "dequantize", dequantize),
            (loading, "_gguf_parse_value", lambda value, types: value),
            (loading, "tqdm", _each),
            # The package first: it keeps what it finds in the module when it is asked for it.
            (integration, "read_gguf_metadata", metadata),
            (reader, "read_gguf_metadata", metadata),
        ):
            stack.enter_context(mock.patch.object(owner, name, value))
        yield
