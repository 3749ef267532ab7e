"""What the benchmarks of NVIDIA GPUs are checked against: Qwen3-8B's shapes with weights made from their names, and its step in plain torch."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from typing import ClassVar

import torch

HEADS, KV_HEADS, HEAD = 32, 8, 128
HIDDEN, INNER, LAYERS, VOCABULARY = 4096, 12288, 36, 151936
EPS, THETA = 1e-6, 1e6


class RandomWeights(Mapping):
    """Weights of a name, made from the name when they are asked for: a model of 16 GB needs no file."""

    shapes: ClassVar = {
        "q_proj": (HEADS * HEAD, HIDDEN), "k_proj": (KV_HEADS * HEAD, HIDDEN), "v_proj": (KV_HEADS * HEAD, HIDDEN),
        "o_proj": (HIDDEN, HEADS * HEAD), "gate_proj": (INNER, HIDDEN), "up_proj": (INNER, HIDDEN),
        "down_proj": (HIDDEN, INNER), "embed_tokens": (VOCABULARY, HIDDEN), "lm_head": (VOCABULARY, HIDDEN),
        "q_norm": (HEAD,), "k_norm": (HEAD,),
    }  # fmt: skip

    def __init__(self, device: str = "cuda") -> None:
        self.device = device

    def __getitem__(self, name: str) -> torch.Tensor:
        if name.endswith("inv_freq"):
            exponents = torch.arange(0, HEAD, 2, dtype=torch.int64).float().to(self.device) / HEAD
            return 1.0 / THETA**exponents
        shape = self.shapes.get(name.split(".")[-2], (HIDDEN,))
        generator = torch.Generator(device=self.device).manual_seed(zlib.crc32(name.encode()))
        noise = torch.randn(shape, generator=generator, device=self.device)
        return (1 + 0.1 * noise if len(shape) == 1 else 0.02 * noise).to(torch.bfloat16)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


class Reference:
    """The step in torch, for sequences that all begin at position 0: bf16 weights and f32 sums.

    ``rounded``: values are rounded to bf16 where a model in bf16 does, which says what error the type itself brings.
    """

    def __init__(self, weights: Mapping[str, torch.Tensor], rounded: bool = False) -> None:
        self._weights, self._rounded = weights, rounded

    def _store(self, x: torch.Tensor) -> torch.Tensor:
        return x.to(torch.bfloat16).float() if self._rounded else x

    def _norm(self, x: torch.Tensor, name: str) -> torch.Tensor:
        scaled = self._store(x * torch.rsqrt(x.square().mean(-1, keepdim=True) + EPS))
        return self._store(scaled * self._weights[name].float())

    def _project(self, x: torch.Tensor, name: str) -> torch.Tensor:
        return self._store(x @ self._weights[name].float().t())

    def embed(self, ids: torch.Tensor) -> torch.Tensor:
        """f32 ``[S, n, D]`` of tokens ``[S, n]``."""
        return self._weights["model.embed_tokens.weight"][ids].float()

    def layer(self, number: int, x: torch.Tensor) -> torch.Tensor:
        """A layer's output, the residual stream f32 ``[S, n, D]``, of its input."""
        rows, device, store = x.shape[1], x.device, self._store
        angle = torch.arange(rows, device=device).float()[:, None] * self._weights["rotary_emb.inv_freq"][None].to(
            device
        )
        cos, sin = (store(torch.cat([f(angle)] * 2, -1))[:, None] for f in (torch.cos, torch.sin))
        future = torch.triu(torch.ones(rows, rows, device=device, dtype=torch.bool), 1)

        def rotate(t: torch.Tensor) -> torch.Tensor:
            low, high = t.chunk(2, -1)
            return store(store(t * cos) + store(torch.cat([-high, low], -1) * sin))

        own, mlp = f"model.layers.{number}.self_attn.", f"model.layers.{number}.mlp."
        h = self._norm(x, f"model.layers.{number}.input_layernorm.weight")
        q, k, v = (self._project(h, f"{own}{n}_proj.weight").unflatten(-1, (-1, HEAD)) for n in "qkv")
        q, k = rotate(self._norm(q, own + "q_norm.weight")), rotate(self._norm(k, own + "k_norm.weight"))
        k, v = (t.repeat_interleave(q.shape[2] // t.shape[2], 2) for t in (k, v))
        scores = torch.einsum("bthd,bshd->bhts", q, k) / HEAD**0.5
        attended = torch.einsum("bhts,bshd->bthd", scores.masked_fill(future, -torch.inf).softmax(-1), v)
        x = store(x + self._project(store(attended).flatten(2), own + "o_proj.weight"))
        h = self._norm(x, f"model.layers.{number}.post_attention_layernorm.weight")
        gate = store(torch.nn.functional.silu(self._project(h, mlp + "gate_proj.weight")))
        return store(
            x + self._project(store(gate * self._project(h, mlp + "up_proj.weight")), mlp + "down_proj.weight")
        )

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """f32 ``[S, n, V]`` of the last layer's output."""
        return self._project(self._norm(x, "model.norm.weight"), "lm_head.weight")

    def all_layers(self, ids: torch.Tensor) -> torch.Tensor:
        """Logits f32 ``[S, n, V]`` of tokens ``[S, n]``."""
        x = self.embed(ids)
        for number in range(LAYERS):
            x = self.layer(number, x)
        return self.logits(x)


def relative(got: torch.Tensor, want: torch.Tensor) -> float:
    """Relative error in the L2 norm; infinite where something is not finite."""
    if not (got.isfinite().all() and want.isfinite().all()):
        return float("inf")
    return float((got - want).norm() / want.norm())
