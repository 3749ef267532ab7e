"""Safetensors files, read by their header alone; every claim of the header is checked before it is used."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import torch

from ..errors import FleetError

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
INDEX = "model.safetensors.index.json"
_MOST_HEADER = 100 << 20
_MOST_JSON = 64 << 20


@dataclass(frozen=True)
class Entry:
    """One stored tensor: where it is, its type and shape."""

    file: Path
    begin: int
    dtype: torch.dtype
    shape: tuple[int, ...]

    def read(self) -> torch.Tensor:
        """The tensor, mapped from the file (copy on write), read when touched."""
        count = math.prod(self.shape)
        if count == 0:
            return torch.empty(self.shape, dtype=self.dtype)
        size = count * self.dtype.itemsize
        raw = numpy.memmap(self.file, dtype=numpy.uint8, mode="c", offset=self.begin, shape=(size,))
        tensor = torch.from_numpy(raw)
        if self.begin % self.dtype.itemsize:
            tensor = tensor.clone()
        return tensor.view(self.dtype).reshape(self.shape)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a key stands twice")
    return made


def parse_json(data: bytes, what: str) -> dict[str, Any]:
    """A JSON object, or an error that names `what`."""
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise FleetError(f"{what} is not valid JSON: {str(error)[:120]}") from error
    if not isinstance(value, dict):
        raise FleetError(f"{what} is not a JSON object")
    return value


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file."""
    try:
        if path.stat().st_size > _MOST_JSON:
            raise FleetError(f"{path} is too large for a JSON file of a model")
        return parse_json(path.read_bytes(), str(path))
    except OSError as error:
        raise FleetError(f"cannot read {path}: {error.strerror}") from error


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def read_header(path: Path) -> dict[str, Entry]:
    """The tensors of one file. Sizes, types, offsets and overlaps are all checked against the file itself."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            first = file.read(8)
            if first[:2] in (b"PK", b"\x80\x02", b"\x80\x04"):
                raise FleetError(
                    f"{path} is a pickle or zip file under the name of safetensors, and fleet does not load code"
                )
            if len(first) < 8:
                raise FleetError(f"{path} is truncated: {size} bytes hold no safetensors header")
            length = int.from_bytes(first, "little")
            if length > min(size - 8, _MOST_HEADER):
                raise FleetError(
                    f"{path} is corrupt or truncated: its header claims {length} bytes, and the file has {size}"
                )
            header = parse_json(file.read(length), f"the header of {path}")
    except OSError as error:
        raise FleetError(f"cannot read {path}: {error.strerror}") from error
    header.pop("__metadata__", None)
    room = size - 8 - length
    entries: dict[str, Entry] = {}
    spans: list[tuple[int, int, str]] = []
    for name, record in header.items():
        where = f"tensor {name!r} of {path}"
        if not isinstance(record, dict) or not {"dtype", "shape", "data_offsets"} <= record.keys():
            raise FleetError(f"{where} lacks dtype, shape or data_offsets")
        kind, shape, offsets = record["dtype"], record["shape"], record["data_offsets"]
        if not isinstance(kind, str) or kind not in DTYPES:
            raise FleetError(f"{where} has the type {str(kind)[:40]!r}, and fleet reads {', '.join(DTYPES)}")
        if not isinstance(shape, list) or not all(map(_whole, shape)) or len(shape) > 8:
            raise FleetError(f"{where} has a malformed shape")
        if not isinstance(offsets, list) or len(offsets) != 2 or not all(map(_whole, offsets)):
            raise FleetError(f"{where} has malformed data_offsets")
        begin, end = offsets
        if end > room or begin > end:
            raise FleetError(
                f"{where} lies at bytes {begin} to {end}, outside the {room} bytes of data, so the file is corrupt or truncated"
            )
        need = math.prod(shape) * DTYPES[kind].itemsize
        if end - begin != need:
            raise FleetError(f"{where} has {end - begin} bytes where its shape {shape} of {kind} needs {need}")
        entries[name] = Entry(path, 8 + length + begin, DTYPES[kind], tuple(shape))
        spans.append((begin, end, name))
    spans.sort()
    for (_, end, one), (begin, _, other) in itertools.pairwise(spans):
        if begin < end:
            raise FleetError(f"tensors {one!r} and {other!r} of {path} overlap")
    return entries


def _plain(name: Any, folder: Path) -> Path:
    """A shard's path; its name must be that of a file in the folder and nothing else."""
    if (
        not isinstance(name, str)
        or not name.endswith(".safetensors")
        or name != Path(name).name
        or "\\" in name
        or "\0" in name
    ):
        raise FleetError(
            f"the index of {folder} names the shard {str(name)[:80]!r}, which is not a plain .safetensors file name"
        )
    path = folder / name
    if not path.is_file():
        raise FleetError(f"the index of {folder} names the shard {name!r}, which is not there")
    return path


def read_folder(folder: Path) -> dict[str, Entry]:
    """The tensors of a checkpoint folder, of one file or of shards with their index."""
    index = folder / INDEX
    if not index.exists():
        files = (
            [folder / "model.safetensors"]
            if (folder / "model.safetensors").is_file()
            else sorted(folder.glob("*.safetensors"))
        )
        if not files:
            pickled = sorted(p.name for p in folder.iterdir() if p.suffix in (".bin", ".pt", ".pth", ".ckpt", ".pkl"))
            if pickled:
                raise FleetError(
                    f"{folder} holds its weights as pickles ({pickled[0]}), which can run code, so convert them to safetensors"
                )
            raise FleetError(f"{folder} holds no .safetensors file")
        entries: dict[str, Entry] = {}
        for file in files:
            for name, entry in read_header(file).items():
                if name in entries:
                    raise FleetError(
                        f"tensor {name!r} stands in both {entries[name].file.name} and {file.name} of {folder}"
                    )
                entries[name] = entry
        return entries
    places = read_json(index).get("weight_map")
    if not isinstance(places, dict) or not places:
        raise FleetError(f"{index} has no weight_map")
    headers: dict[str, dict[str, Entry]] = {}
    entries = {}
    for name, shard in places.items():
        if not isinstance(shard, str) or shard not in headers:
            headers[shard if isinstance(shard, str) else ""] = read_header(_plain(shard, folder))
        if name not in headers[shard]:
            raise FleetError(f"{index} places tensor {name!r} in {shard}, which lacks it")
        entries[name] = headers[shard][name]
    return entries
