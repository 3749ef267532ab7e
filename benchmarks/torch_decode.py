"""What a compiled PyTorch needs for the same decode step: Qwen3-8B's shapes in bf16, static caches, CUDA graphs."""

from __future__ import annotations

import statistics
import time
from typing import Any

import torch
from gpu_reference import EPS, HEAD, HEADS, HIDDEN, INNER, KV_HEADS, LAYERS, VOCABULARY
from torch.nn import functional


def _parameter(*shape: int) -> torch.nn.Parameter:
    value = torch.empty(*shape, dtype=torch.bfloat16, device="cuda").normal_(0, 0.02)
    return torch.nn.Parameter(value, requires_grad=False)


class _Layer(torch.nn.Module):
    def __init__(self, batch: int, context: int) -> None:
        super().__init__()
        self.norm, self.norm_2, self.q_norm, self.k_norm = map(_parameter, (HIDDEN, HIDDEN, HEAD, HEAD))
        self.qkv, self.o = _parameter((HEADS + 2 * KV_HEADS) * HEAD, HIDDEN), _parameter(HIDDEN, HEADS * HEAD)
        self.gate_up, self.down = _parameter(2 * INNER, HIDDEN), _parameter(HIDDEN, INNER)
        for name in ("k", "v"):
            shape = (batch, KV_HEADS, context, HEAD)
            self.register_buffer(name, torch.empty(shape, dtype=torch.bfloat16, device="cuda").normal_())

    def forward(self, x, at, cos, sin, mask):
        def rotate(t):
            return t * cos + torch.cat((-t[..., HEAD // 2 :], t[..., : HEAD // 2]), -1) * sin

        rows = x.shape[0]
        h = functional.rms_norm(x, (HIDDEN,), self.norm, EPS)
        q, k, v = functional.linear(h, self.qkv).split([HEADS * HEAD, KV_HEADS * HEAD, KV_HEADS * HEAD], -1)
        q = rotate(functional.rms_norm(q.view(rows, 1, HEADS, HEAD), (HEAD,), self.q_norm, EPS).transpose(1, 2))
        k = rotate(functional.rms_norm(k.view(rows, 1, KV_HEADS, HEAD), (HEAD,), self.k_norm, EPS).transpose(1, 2))
        self.k.index_copy_(2, at, k)
        self.v.index_copy_(2, at, v.view(rows, 1, KV_HEADS, HEAD).transpose(1, 2))
        a = functional.scaled_dot_product_attention(q, self.k, self.v, attn_mask=mask, enable_gqa=True)
        x = x + functional.linear(a.transpose(1, 2).reshape(rows, 1, HEADS * HEAD), self.o)
        gate, up = functional.linear(functional.rms_norm(x, (HIDDEN,), self.norm_2, EPS), self.gate_up).chunk(2, -1)
        return x + functional.linear(functional.silu(gate) * up, self.down)


class _Net(torch.nn.Module):
    def __init__(self, batch: int, context: int) -> None:
        super().__init__()
        self.table, self.head = _parameter(VOCABULARY, HIDDEN), _parameter(VOCABULARY, HIDDEN)
        self.norm = _parameter(HIDDEN)
        self.layers = torch.nn.ModuleList(_Layer(batch, context) for _ in range(LAYERS))

    def forward(self, ids, at, cos, sin, mask):
        x = self.table[ids]
        for layer in self.layers:
            x = layer(x, at, cos, sin, mask)
        return functional.linear(functional.rms_norm(x, (HIDDEN,), self.norm, EPS), self.head)


def decode(batch: int, context: int, mode: str = "max-autotune", times: int = 50) -> dict[str, Any]:
    """Median milliseconds of a step that attends to ``context`` positions, by events around it, and seconds to compile."""
    net = _Net(batch, context)
    at, angle = torch.tensor([context - 2], device="cuda"), torch.randn(HEAD, device="cuda")
    cos, sin = angle.cos().bfloat16(), angle.sin().bfloat16()
    mask = torch.zeros(1, 1, 1, context, dtype=torch.bfloat16, device="cuda")
    ids = torch.zeros(batch, 1, dtype=torch.long, device="cuda")
    compiled = torch.compile(net, mode=mode, fullgraph=True)
    start, milliseconds = time.perf_counter(), []
    with torch.no_grad():
        for _ in range(5):
            compiled(ids, at, cos, sin, mask)
        torch.cuda.synchronize()
        seconds = time.perf_counter() - start
        for _ in range(times):
            begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            begin.record()
            compiled(ids, at, cos, sin, mask)
            end.record()
            torch.cuda.synchronize()
            milliseconds.append(begin.elapsed_time(end))
    del net, compiled
    torch._dynamo.reset()
    torch.cuda.empty_cache()
    return {"ms": round(statistics.median(milliseconds), 4), "compile_s": round(seconds, 1), "mode": mode}
