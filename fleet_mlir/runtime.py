"""Runs a compiled step: arenas, packed weights, and one call a step.

On a CPU all five arenas are plain host memory (64-byte aligned ``uint8`` arrays) that IREE uses in place; on a GPU they
are torch's, shared with IREE, and inputs and outputs have a copy on the host.
"""

from __future__ import annotations

import functools
import itertools
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import cache, gpu, package, vm
from .errors import FleetError
from .progress import stage

if TYPE_CHECKING:
    import torch

# The devices on which a program of a backend can run; `exec` is the executor of AMD code objects on the host.
DEVICES = {"cpu": ("cpu",), "cuda": ("cuda",), "hip": ("hip", "exec")}
# Counters in the work arena are monotone i32: they are cleared long before they could overflow.
EPOCH_LIMIT = 1 << 18
# Of the order "wgmma-256": elements of the depth whose columns stand together.
ORDERED_DEPTH = 256
# The id that a kernel gives a row whose logits are all NaN.
NO_TOKEN = 2**31 - 1


@dataclass(frozen=True)
class StepResult:
    """What one step gives for each of the rows asked for.

    ids: int32 ``[rows]``, the greedy token of each; logits: float32 ``[rows, vocabulary]``.
    """

    ids: np.ndarray
    logits: np.ndarray


def aligned_zeros(size: int) -> np.ndarray:
    """``size`` zero bytes (uint8) that start at a multiple of 64."""
    try:
        raw = np.zeros(size + 64, np.uint8)
    except (MemoryError, ValueError):
        raise FleetError(f"there is no memory for an arena of {size:,} bytes") from None
    start = -raw.ctypes.data % 64
    return raw[start : start + size]


def pack_matrix(
    matrix: torch.Tensor, nb: int, out: torch.Tensor, group: int = 1, order: str | None = None
) -> None:
    """Store ``matrix [N, K]`` as ``[ceil(N / nb), K, nb]`` in ``out`` (flat, same dtype); the rest is zero.

    With a ``group`` g, which divides K, as ``[ceil(N / nb), K / g, nb, g]``. In the ``order`` ``"wgmma-256"``, where 16
    divides K, 2 divides nb, and an element has 2 bytes, each 256 of K, or what is left at the end, stand as
    ``[ceil(N / nb), 2, 16, 2, nb / 2, 4, 2]``, with ``[h, s, c, m, t, e]`` the element 16 s + 4 t + 2 c + e of row
    h nb / 2 + m.
    """
    rows, columns = matrix.shape
    whole = rows // nb
    if order is not None:
        import torch

        # Two elements stay together: one word.
        words = torch.int32
        tiles, chunk = out.view(words).view(-1, nb * columns // 2), ORDERED_DEPTH // 16
        if rows % nb:
            last = torch.zeros(nb, columns, dtype=matrix.dtype, device=matrix.device)
            last[: rows % nb] = matrix[whole * nb :]
            pack_matrix(last, nb, tiles[whole].view(matrix.dtype), order=order)
        ordered = matrix[: whole * nb].view(words).view(whole, 2, nb // 2, columns // 16, 4, 2)  # [h, m, s, t, c]
        for first in range(0, columns // 16, chunk):
            steps = min(chunk, columns // 16 - first)
            piece = ordered[:, :, :, first : first + steps].permute(0, 1, 3, 5, 2, 4)  # [h, s, c, m, t]
            begin, size = 8 * nb * first, 8 * nb * steps
            tiles[:whole, begin : begin + size].unflatten(1, piece.shape[1:]).copy_(piece)
        return
    if group > 1:
        blocks = out.view(-1, columns // group, nb, group)
        if whole:
            blocks[:whole].copy_(matrix[: whole * nb].view(whole, nb, columns // group, group).transpose(1, 2))
        if rows % nb:
            blocks[whole].zero_()
            blocks[whole, :, : rows % nb].copy_(matrix[whole * nb :].view(-1, columns // group, group).transpose(0, 1))
        return
    blocks = out.view(-1, columns, nb)
    if whole:
        blocks[:whole].copy_(matrix[: whole * nb].view(whole, nb, columns).transpose(1, 2))
    if rows % nb:
        blocks[whole].zero_()
        blocks[whole, :, : rows % nb].copy_(matrix[whole * nb :].t())


def pack_params(
    manifest: Mapping[str, Any], weights: Mapping[str, torch.Tensor], arena: torch.Tensor | None = None
) -> np.ndarray | torch.Tensor:
    """The params arena (uint8) of a manifest, filled from ``weights``.

    arena: zeros (8 bits an element) on the device that shall hold it; by default memory of the host.
    """
    import torch

    dtypes = {
        "bf16": torch.bfloat16, "f16": torch.float16, "f32": torch.float32,
        "i32": torch.int32, "i64": torch.int64, "i8": torch.int8, "i1": torch.bool,
    }  # fmt: skip
    filled = aligned_zeros(manifest["arenas"]["params"]) if arena is None else arena
    whole = torch.from_numpy(filled) if arena is None else arena.view(torch.uint8)
    with stage("packing weights", len(manifest["params"])) as advance:
        for entry in manifest["params"]:
            _pack_param(entry, weights, whole, dtypes[entry["dtype"]])
            advance()
    return filled


def _pack_param(
    entry: Mapping[str, Any], weights: Mapping[str, torch.Tensor], whole: torch.Tensor, dtype: torch.dtype
) -> None:
    """Put one parameter of the manifest in its place in the arena ``whole`` (uint8)."""
    import torch

    pieces = []
    for name in entry["names"]:
        if name not in weights:
            raise FleetError(f"the model has no weight named {name}, which the program needs")
        piece = weights[name].detach()
        if (piece.dtype, dtype) == (torch.bfloat16, torch.float32):
            piece = piece.float()  # exact: the rotary frequencies of a model that was cast as a whole
        if piece.dtype != dtype:
            have = str(piece.dtype).removeprefix("torch.")
            raise FleetError(f"the weight {name} is {have}, the program was compiled for {entry['dtype']}")
        if piece.is_meta:
            raise FleetError(f"the weight {name} has no data: a model made from its config alone cannot run")
        pieces.append(piece.to(whole.device))
    axis = entry.get("concat", 0)
    names = ", ".join(entry["names"])
    try:
        value = pieces[0] if len(pieces) == 1 else torch.cat(pieces, axis)
    except RuntimeError:
        raise FleetError(f"the weights {names} cannot be joined: their shapes differ") from None
    shape = list(entry["shape"])
    splits = entry.get("splits") or 1
    if splits > 1 and value.dim() == 2 and value.shape[1] % splits == 0:
        # Slices of columns, one above the other.
        value = value.view(value.shape[0], splits, -1).transpose(0, 1).reshape(splits * value.shape[0], -1)
    nb = entry.get("pack") or 0
    padded = nb and len(shape) == 2 and value.dim() == 2
    if padded and 0 <= shape[0] - value.shape[0] < nb:
        shape[0] = value.shape[0]  # the last block is filled up with zeros
    if list(value.shape) != shape:
        raise FleetError(f"the weight {names} has the shape {list(value.shape)}, the program wants {shape}")
    begin = entry["offset"]
    target = whole[begin : begin + package.size_of(entry)].view(dtype)
    if nb:
        pack_matrix(value.contiguous(), nb, target, entry.get("group") or 1, entry.get("order"))
    else:
        target.copy_(value.reshape(-1))


def check_device(target: str, device: str | None) -> str:
    """The device for a program of ``target``: the one asked for, if it can run it, else the target's own."""
    able = DEVICES[package.backend({"target": target})]
    if device is None:
        return able[0]
    name = device.partition("://")[0]
    if name not in {known for names in DEVICES.values() for known in names}:
        raise FleetError(f"unknown device {device}: use cpu, cuda, hip or exec")
    if name not in able:
        raise FleetError(f"the device {device} cannot run the target {target}: choose {' or '.join(able)}")
    return device


@functools.cache
def open_device(name: str) -> Any:
    """An IREE device: ``cpu`` or a driver's name with an optional ``://path``."""
    import iree.runtime as rt

    uri = {"cpu": "local-sync"}.get(name, name)
    driver = uri.partition("://")[0]
    if driver not in rt.query_available_drivers():
        raise FleetError(f"unknown device {name}: use cpu, hip or cuda")
    try:
        return rt.get_device(uri)
    except Exception as error:
        reason = str(error).splitlines()[0].split("; ")
        text = "; ".join(part for part in reason if ".c:" not in part) or reason[0]
        raise FleetError(f"the driver of the device {name} is not available: {text.rstrip(': ')}") from None


@dataclass
class State:
    """Caches of all slots (uint8 arena) and how many positions of each slot are filled."""

    arena: np.ndarray | torch.Tensor
    filled: list[int]
    lock: threading.Lock = field(default_factory=threading.Lock)


class _Call:
    """The compiled function with its five buffers (of the host) bound."""

    def __init__(self, vmfb: bytes, arenas: Sequence[np.ndarray], hal_device: Any) -> None:
        import iree.runtime as rt

        self._function = vm.Function(vmfb, hal_device)
        self._keep = []
        memory = int(rt.MemoryType.HOST_LOCAL | rt.MemoryType.DEVICE_VISIBLE)
        usage = int(rt.BufferUsage.DEFAULT | rt.BufferUsage.MAPPING)
        for arena in arenas:
            buffer = hal_device.allocator.import_host_allocation(arena, memory_type=memory, allowed_usage=usage)
            self._keep.append(rt.HalBufferView(buffer, (arena.size,), int(rt.HalElementType.INT_8)))

    def __call__(self, epoch: int) -> None:
        self._function(self._keep, epoch)


class Executable:
    """A compiled step. ``bind`` gives it weights, ``step`` runs it."""

    def __init__(self, manifest: Mapping[str, Any], vmfb: bytes) -> None:
        self.manifest = package.check_manifest(dict(manifest))
        self.vmfb = vmfb
        self.tokens: int = manifest["tokens"]
        self.slots: int = manifest["slots"]
        self.context: int = manifest["context"]
        self.out_rows: int = manifest["out_rows"]
        self.state: State | None = None
        self.params: np.ndarray | None = None
        self.steps = 0
        self.launches = 0
        self.cached = False
        """Whether it came from the compilation cache."""
        self._call: _Call | None = None
        self._epoch = 0

    def __repr__(self) -> str:
        return (
            f"Executable(target={self.manifest.get('target')!r}, tokens={self.tokens}, slots={self.slots},"
            f" context={self.context}, out_rows={self.out_rows})"
        )

    @property
    def vocabulary(self) -> int:
        """How many tokens there are."""
        return self.manifest["outputs"]["logits"]["shape"][-1]

    # -- files ---------------------------------------------------------------------------------------
    def to_bytes(self) -> bytes:
        """The contents of a ``.fleet`` file."""
        return package.pack_file(self.manifest, self.vmfb)

    def save(self, path: str | Path) -> None:
        """Write one ``.fleet`` file (code and manifest, no weights), atomically."""
        try:
            cache.write_atomic(Path(path), self.to_bytes())
        except OSError as error:
            raise FleetError(f"cannot write {path}: {error.strerror}") from None

    @classmethod
    def load(cls, path: str | Path) -> Executable:
        """Read a ``.fleet`` file."""
        try:
            data = Path(path).read_bytes()
        except OSError as error:
            raise FleetError(f"cannot read {path}: {error.strerror}") from None
        return cls(*package.unpack_file(data, str(path)))

    # -- weights -------------------------------------------------------------------------------------
    def shares_params(self, other: Executable) -> bool:
        """Whether both read the same layout of weights."""
        mine, theirs = self.manifest, other.manifest
        return mine["params"] == theirs["params"] and mine["arenas"]["params"] == theirs["arenas"]["params"]

    def shares_state(self, other: Executable) -> bool:
        """Whether both use the same layout of caches."""
        keys = ("slots", "context", "layers", "state", "target")
        mine, theirs = self.manifest, other.manifest
        return mine["arenas"]["state"] == theirs["arenas"]["state"] and all(
            mine.get(key) == theirs.get(key) for key in keys
        )

    def bind(
        self,
        weights: Any,
        *,
        share: Executable | None = None,
        packed: Executable | None = None,
        device: str | None = None,
    ) -> Executable:
        """Load weights (name -> tensor, a loaded model or a transformers model) and get ready to run.

        device: cpu, cuda, hip or exec (AMD code on the host); by default what the program was compiled for.
        ``share``: a bound executable of the same model whose caches, and weights if stored alike, are used too;
        ``packed``: one on the same device of which only the weights are used, if stored alike.
        """
        if share is not None and (share.params is None or share.state is None):
            raise FleetError("the executable to share with is not bound")
        if share is not None and not self.shares_state(share):
            raise FleetError("these executables cannot share their caches: slots, context or layout differ")
        if packed is not None and packed.params is None:
            raise FleetError("the executable whose weights are to be used is not bound")
        packed = share or packed
        device = check_device(str(self.manifest.get("target")), device)
        on_gpu = device.partition("://")[0] in ("cuda", "hip")
        hal = open_device(device) if device != "exec" else None
        sizes = self.manifest["arenas"]
        zeros = gpu.zeros if on_gpu else aligned_zeros
        if packed is not None and self.shares_params(packed):
            self.params = packed.params
        else:
            if hasattr(weights, "named_parameters"):
                from .models import load

                weights = load(weights)
            mapping = getattr(weights, "weights", weights)
            if not isinstance(mapping, Mapping):
                raise FleetError("weights must be a mapping from names to tensors")
            self.params = pack_params(self.manifest, mapping, gpu.zeros(sizes["params"]) if on_gpu else None)
        if share is not None:
            self.state = share.state
        else:
            self.state = State(zeros(sizes["state"]), [0] * self.slots)
        self._work = zeros(sizes["work"])
        self._input, self._output = aligned_zeros(sizes["input"]), aligned_zeros(sizes["output"])
        self._inputs = {
            name: self._view(self._input, offset, [self.out_rows if name == "out_rows" else self.tokens], np.int32)
            for name, offset in package.input_offsets(self.manifest).items()
        }
        outputs = self.manifest["outputs"]
        self._logits = self._view(self._output, outputs["logits"]["offset"], outputs["logits"]["shape"], np.float32)
        self._ids = self._view(self._output, outputs["ids"]["offset"], outputs["ids"]["shape"], np.int32)
        self._status = self._view(self._output, outputs["status"]["offset"], outputs["status"]["shape"], np.int32)
        if self.most_steps > 1:
            self._history = self._view(
                self._output, self.manifest["history"], (self.most_steps, self.out_rows), np.int32
            )
        self._epoch = 0
        first = [self.params, self.state.arena, self._work]
        host = (self._input, self._output)
        if on_gpu:
            on_device = [*first, gpu.zeros(sizes["input"]), gpu.zeros(sizes["output"])]
            self._call = gpu.Call(self.vmfb, hal, on_device, host)
        elif device == "exec":
            self._call = gpu.ExecutorCall(self.vmfb, self.manifest, [*first, *host])
        else:
            self._call = _Call(self.vmfb, (*first, *host), hal)
        return self

    @staticmethod
    def _view(arena: np.ndarray, offset: int, shape: Iterable[int], dtype: Any) -> np.ndarray:
        shape = tuple(shape)
        count = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
        return arena[offset : offset + count].view(dtype).reshape(shape)

    # -- running -------------------------------------------------------------------------------------
    def _row_array(self, values: Any, name: str) -> np.ndarray:
        if hasattr(values, "detach"):
            values = values.detach().cpu().numpy()
        try:
            array = np.asarray(values)
        except ValueError:
            raise FleetError(f"{name} must be a list of whole numbers") from None
        if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
            raise FleetError(f"{name} must be a list of whole numbers")
        return array.astype(np.int64)

    def _check(self, tokens: np.ndarray, positions: np.ndarray, slots: np.ndarray, rows: np.ndarray) -> list[int]:
        """Check one step's inputs; returns the filled lengths of the slots after it."""
        count = tokens.size
        if count == 0:
            raise FleetError("a step needs at least one row")
        if count > self.tokens:
            raise FleetError(f"{count} rows were given, the program takes {self.tokens} a step")
        for name, array in (("positions", positions), ("slots", slots)):
            if array.size != count:
                raise FleetError(f"{array.size} {name} were given for {count} tokens")
        if rows.size > self.out_rows:
            raise FleetError(f"{rows.size} output rows were asked for, the program gives {self.out_rows}")
        filled = list(self.state.filled) if self.state else [0] * self.slots
        for row in rows.tolist():
            if not 0 <= row < count:
                raise FleetError(f"output row {row} is not one of the {count} rows")
        vocabulary = self.vocabulary
        by_slot: dict[int, list[int]] = {}
        for token, position, slot in zip(tokens.tolist(), positions.tolist(), slots.tolist(), strict=True):
            if not 0 <= token < vocabulary:
                raise FleetError(f"token {token} is not in the vocabulary of {vocabulary}")
            if slot == -1:
                continue
            if not 0 <= slot < self.slots:
                raise FleetError(f"slot {slot} does not exist: the program has {self.slots}")
            if not 0 <= position < self.context:
                raise FleetError(f"position {position} does not fit the context of {self.context}")
            by_slot.setdefault(slot, []).append(position)
        for slot, where in by_slot.items():
            where.sort()
            for before, after in itertools.pairwise(where):
                if before == after:
                    raise FleetError(f"position {after} of slot {slot} is given twice")
                if after != before + 1:
                    raise FleetError(f"position {after} of slot {slot} does not follow {before}")
            if where[0] > filled[slot]:
                raise FleetError(f"position {where[0]} of slot {slot} leaves a gap: {filled[slot]} positions are filled")
            filled[slot] = where[-1] + 1
        return filled

    def step(self, tokens: Any, positions: Any, slots: Any, out_rows: Any = None) -> StepResult:
        """Advance up to ``self.tokens`` rows.

        tokens, positions, slots: whole numbers, one a row; slot -1 marks an idle row. Missing rows are idle.
        out_rows: the rows whose logits are wanted; by default all rows where the program gives that many,
        else the last ones. Returns ids int32 ``[O]`` and logits float32 ``[O, V]``. Raises FleetError where all
        logits of a row are NaN.
        """
        if self._call is None or self.state is None:
            raise FleetError("the program has no weights yet: call bind first")
        rows_of = {name: self._row_array(v, name) for name, v in
                   (("tokens", tokens), ("positions", positions), ("slots", slots))}  # fmt: skip
        count = rows_of["tokens"].size
        if out_rows is None:
            rows = np.arange(max(0, count - self.out_rows), count)
        else:
            rows = self._row_array(out_rows, "out_rows")
        with self.state.lock:
            filled = self._check(rows_of["tokens"], rows_of["positions"], rows_of["slots"], rows)
            self._fill(rows_of, rows)
            self._launch()
            self.state.filled[:] = filled
            self._check_ids(self._ids[None, : rows.size], rows_of["slots"][rows])
            return StepResult(self._ids[: rows.size].copy(), self._logits[: rows.size].copy())

    @property
    def most_steps(self) -> int:
        """How many greedy steps one launch can take (`steps_ahead`); 1 where each step is a launch."""
        return self.manifest.get("most_steps", 1)

    def steps_ahead(self, tokens: Any, positions: Any, slots: Any, steps: int) -> np.ndarray:
        """``steps`` greedy steps in one launch, each row fed with its own token; gives ids int32 ``[steps, rows]``.

        Raises FleetError where all logits of a row are NaN.
        """
        if self._call is None or self.state is None:
            raise FleetError("the program has no weights yet: call bind first")
        if not 1 <= steps <= self.most_steps:
            raise FleetError(f"{steps} steps were asked of a program that takes 1 to {self.most_steps} a launch")
        rows_of = {name: self._row_array(v, name) for name, v in
                   (("tokens", tokens), ("positions", positions), ("slots", slots))}  # fmt: skip
        count = rows_of["tokens"].size
        with self.state.lock:
            filled = self._check(rows_of["tokens"], rows_of["positions"], rows_of["slots"], np.arange(count))
            ends = [filled[slot] + steps - 1 for slot in set(rows_of["slots"].tolist()) if slot >= 0]
            if len(ends) != int((rows_of["slots"] >= 0).sum()):
                raise FleetError("each row needs a slot of its own to be fed with its own token")
            if max(ends, default=0) > self.context:
                raise FleetError(f"position {max(ends) - 1} does not fit the context of {self.context}")
            self._fill(rows_of, np.arange(count))
            self._launch(steps)
            for slot in set(rows_of["slots"].tolist()):
                if slot >= 0:
                    filled[slot] += steps - 1
            self.state.filled[:] = filled
            self._check_ids(self._history[:steps, :count], rows_of["slots"])
            return self._history[:steps, :count].copy()

    @staticmethod
    def _check_ids(ids: np.ndarray, slots: np.ndarray) -> None:
        """Raise where a row of a slot has no greatest logit: ids int32 ``[steps, rows]``, slots ``[rows]``."""
        none = np.argwhere((ids == NO_TOKEN) & (slots >= 0))
        if none.size:
            step, row = none[0]
            raise FleetError(f"step {step} gives row {row} no token: all its logits are NaN, so look at the weights")

    def _fill(self, rows_of: Mapping[str, np.ndarray], rows: np.ndarray) -> None:
        """Write a step's inputs; rows that are not given are idle."""
        count = rows_of["tokens"].size
        for name, array in rows_of.items():
            self._inputs[name][:count] = array
            self._inputs[name][count:] = -1 if name == "slots" else 0
        self._inputs["positions"][:count][rows_of["slots"] < 0] = 0
        self._inputs["out_rows"][: rows.size] = rows
        self._inputs["out_rows"][rows.size :] = 0

    def _launch(self, steps: int = 1) -> None:
        assert self._call is not None
        if self._epoch + steps >= EPOCH_LIMIT:
            self._work[:] = 0
            self._epoch = 0
        self._epoch += 1
        self._status[...] = 0
        try:
            self._call(self._epoch, steps) if steps > 1 else self._call(self._epoch)
            self._epoch += steps - 1
            self._check_status()
        except FleetError:
            self._work[:] = 0  # counters of a step that did not end would mislead the next
            self._epoch = 0
            raise
        self.steps += steps
        self.launches += 1

    def _check_status(self) -> None:
        status = self._status.reshape(-1)
        if status[0] == 0:
            return
        if status.size >= 3:
            worker, task = int(status[1]), int(status[2])
            raise FleetError(f"worker {worker} waits for device task {task} which never completes")
        raise FleetError(f"a worker waits for device task {int(status[0]) - 1} which never completes")
