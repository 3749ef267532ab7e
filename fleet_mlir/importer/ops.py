"""Fleet's named operations as torch custom operators.

Each has a fake implementation (shapes alone, for `torch.export`) and a real one for the CPU, with the numbers that the compiler
promises: arithmetic in f32, one rounding to the storage type at the end (RMSNorm rounds once more, before the weight).
No operator knows a batch axis: rows are a flat axis T. The letters: T rows, H heads (or the width of a table), G key/value heads,
D head dimension, R rotated part of D, O rows of logits, V vocabulary.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field

import torch

NAMESPACE = "fleet"

_library = torch.library.Library(NAMESPACE, "DEF")


@dataclass
class Cache:
    """The key/value cache of the real attention operator: per layer two f32 tensors `[slots, context, G, D]`."""

    slots: int
    context: int
    layers: dict[int, tuple[torch.Tensor, torch.Tensor]] = field(default_factory=dict)

    def layer(self, index: int, heads: int, dim: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The keys and the values of one layer, made on first use."""
        if index not in self.layers:
            shape = (self.slots, self.context, heads, dim)
            self.layers[index] = (torch.zeros(shape), torch.zeros(shape))
        return self.layers[index]


_cache: ContextVar[Cache | None] = ContextVar("fleet_cache", default=None)


@contextlib.contextmanager
def use_cache(cache: Cache) -> Iterator[Cache]:
    """Run the real attention operator against `cache`."""
    token = _cache.set(cache)
    try:
        yield cache
    finally:
        _cache.reset(token)


def _define(schema: str):
    """Register a function as both the CPU implementation and, through its attribute `fake`, the fake one."""
    name = schema.split("(")[0]
    _library.define(schema)

    def register(real):
        _library.impl(name, real, "CPU")
        return real

    return register


def _fake(name: str):
    return torch.library.register_fake(f"{NAMESPACE}::{name}", lib=_library)


@_define("gather(Tensor table, Tensor indices) -> Tensor")
def _gather(table: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
    """Table `NxH`, indices `Mxi32` -> `MxH`."""
    return table[indices.long()]


@_fake("gather")
def _(table, indices):
    return table.new_empty(indices.shape[0], table.shape[1])


@_define("rms_norm(Tensor x, Tensor weight, float eps) -> Tensor")
def _rms_norm(x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
    """x `...xD`, weight `D` -> as x; normalised in f32, rounded, times the weight, rounded."""
    wide = x.float()
    normal = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + eps)
    return (normal.to(x.dtype).float() * weight.float()).to(x.dtype)


@_fake("rms_norm")
def _(x, weight, eps):
    return torch.empty_like(x)


@_define("layer_norm(Tensor x, Tensor weight, Tensor bias, float eps) -> Tensor")
def _layer_norm(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, eps: float) -> torch.Tensor:
    """x `...xD`, weight `D`, bias `D` -> as x; everything in f32, rounded once."""
    wide = x.float()
    centred = wide - wide.mean(-1, keepdim=True)
    normal = centred * torch.rsqrt(centred.square().mean(-1, keepdim=True) + eps)
    return (normal * weight.float() + bias.float()).to(x.dtype)


@_fake("layer_norm")
def _(x, weight, bias, eps):
    return torch.empty_like(x)


@_define("rope(Tensor x, Tensor cos, Tensor sin) -> Tensor")
def _rope(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """x `TxHxD`, cos and sin `TxR` -> as x; the first R of D are rotated by halves, the others pass."""
    width = cos.shape[-1]
    turned, passed = x[..., :width].float(), x[..., width:]
    low, high = turned.chunk(2, -1)
    half = torch.cat((-high, low), -1)
    turned = turned * cos.float().unsqueeze(1) + half * sin.float().unsqueeze(1)
    return torch.cat((turned.to(x.dtype), passed), -1)


@_fake("rope")
def _(x, cos, sin):
    return torch.empty_like(x)


@_define("attention(Tensor q, Tensor k, Tensor v, Tensor slots, Tensor positions, int layer, float scale) -> Tensor")
def _attention(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    slots: torch.Tensor,
    positions: torch.Tensor,
    layer: int,
    scale: float,
) -> torch.Tensor:
    """q `TxHxD`, k and v `TxGxD`, slots and positions `Txi32` -> `TxHxD`.

    Every row first writes its key and value at (slot, position); then row t attends to positions 0..positions[t] of its slot.
    A row with slot -1 writes nothing and its output is zero.
    """
    cache = _cache.get()
    if cache is None:
        raise RuntimeError("attention needs a cache: run it inside `use_cache`")
    rows, heads, dim = q.shape
    keys, values = cache.layer(layer, k.shape[1], dim)
    places = list(zip(slots.tolist(), positions.tolist(), strict=True))
    for row, (slot, position) in enumerate(places):
        if slot >= 0:
            keys[slot, position] = k[row].float()
            values[slot, position] = v[row].float()
    out = torch.zeros(rows, heads, dim)
    group = heads // k.shape[1]
    for row, (slot, position) in enumerate(places):
        if slot >= 0:
            key = keys[slot, : position + 1].repeat_interleave(group, 1)
            value = values[slot, : position + 1].repeat_interleave(group, 1)
            weights = torch.softmax(torch.einsum("hd,shd->hs", q[row].float(), key) * scale, -1)
            out[row] = torch.einsum("hs,shd->hd", weights, value)
    return out.to(q.dtype)


@_fake("attention")
def _(q, k, v, slots, positions, layer, scale):
    return q.new_empty(q.shape)


@_define("argmax(Tensor logits) -> Tensor")
def _argmax(logits: torch.Tensor) -> torch.Tensor:
    """Logits `OxV` f32 -> `Oxi32`, the first of the largest."""
    return logits.argmax(-1).to(torch.int32)


@_fake("argmax")
def _(logits):
    return logits.new_empty(logits.shape[0], dtype=torch.int32)
