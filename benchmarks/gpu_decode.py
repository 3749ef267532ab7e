"""Qwen3-8B's shapes in bf16 with seeded random weights on one NVIDIA GPU: right first, then the time of a decode step.

Builds nothing: it takes a program that `fleet compile --config qwen3-8b --target sm_90a` wrote. The logits of a few
steps are compared with the same weights in f32 (plain torch), the tokens by the tie rule; then several steps go in one
launch, whose tokens must equal those of single steps, and are timed by the wall clock around the launch.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from fleet_mlir import Executable

HEADS, KV_HEADS, HEAD = 32, 8, 128
HIDDEN, INNER, LAYERS, VOCABULARY = 4096, 12288, 36, 151936
EPS, THETA, TOLERANCE = 1e-6, 1e6, 2e-2


class RandomWeights(Mapping):
    """Weights of a name, made from the name when they are asked for: a model of 16 GB needs no file."""

    shapes: ClassVar = {
        "q_proj": (HEADS * HEAD, HIDDEN), "k_proj": (KV_HEADS * HEAD, HIDDEN), "v_proj": (KV_HEADS * HEAD, HIDDEN),
        "o_proj": (HIDDEN, HEADS * HEAD), "gate_proj": (INNER, HIDDEN), "up_proj": (INNER, HIDDEN),
        "down_proj": (HIDDEN, INNER), "embed_tokens": (VOCABULARY, HIDDEN), "lm_head": (VOCABULARY, HIDDEN),
        "q_norm": (HEAD,), "k_norm": (HEAD,),
    }  # fmt: skip

    def __getitem__(self, name: str) -> torch.Tensor:
        if name.endswith("inv_freq"):
            return 1.0 / THETA ** (torch.arange(0, HEAD, 2, dtype=torch.int64).float().cuda() / HEAD)
        shape = self.shapes.get(name.split(".")[-2], (HIDDEN,))
        generator = torch.Generator(device="cuda").manual_seed(zlib.crc32(name.encode()))
        noise = torch.randn(shape, generator=generator, device="cuda")
        return (1 + 0.1 * noise if len(shape) == 1 else 0.02 * noise).to(torch.bfloat16)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def reference(weights: RandomWeights, ids: list[int], rounded: bool = False) -> torch.Tensor:
    """Logits float32 ``[len(ids), V]``: bf16 weights and f32 sums; ``rounded``: values rounded to bf16 where a model
    in bf16 does, which says what error the type itself brings.
    """
    rows = len(ids)
    angle = torch.arange(rows, device="cuda").float()[:, None] * weights["rotary_emb.inv_freq"][None]

    def store(x: torch.Tensor) -> torch.Tensor:
        return x.to(torch.bfloat16).float() if rounded else x

    cos, sin = (store(torch.cat([f(angle)] * 2, -1))[:, None] for f in (torch.cos, torch.sin))
    future = torch.triu(torch.ones(rows, rows, device="cuda", dtype=torch.bool), 1)

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        return store(store(x * torch.rsqrt(x.square().mean(-1, keepdim=True) + EPS)) * weights[name].float())

    def rotate(x: torch.Tensor) -> torch.Tensor:
        low, high = x.chunk(2, -1)
        return store(store(x * cos) + store(torch.cat([-high, low], -1) * sin))

    def project(x: torch.Tensor, name: str) -> torch.Tensor:
        return store(x @ weights[name].float().t())

    x = weights["model.embed_tokens.weight"][torch.tensor(ids, device="cuda")].float()
    for layer in range(LAYERS):
        own, mlp = f"model.layers.{layer}.self_attn.", f"model.layers.{layer}.mlp."
        h = norm(x, f"model.layers.{layer}.input_layernorm.weight")
        q, k, v = (project(h, f"{own}{n}_proj.weight").view(rows, -1, HEAD) for n in "qkv")
        q, k = rotate(norm(q, own + "q_norm.weight")), rotate(norm(k, own + "k_norm.weight"))
        k, v = (t.repeat_interleave(HEADS // KV_HEADS, 1) for t in (k, v))
        scores = torch.einsum("thd,shd->hts", q, k) / HEAD**0.5
        attended = torch.einsum("hts,shd->thd", scores.masked_fill(future, -torch.inf).softmax(-1), v)
        x = store(x + project(store(attended).reshape(rows, -1), own + "o_proj.weight"))
        h = norm(x, f"model.layers.{layer}.post_attention_layernorm.weight")
        gate = store(torch.nn.functional.silu(project(h, mlp + "gate_proj.weight")))
        x = store(x + project(store(gate * project(h, mlp + "up_proj.weight")), mlp + "down_proj.weight"))
    return project(norm(x, "model.norm.weight"), "lm_head.weight")


def relative(got: torch.Tensor, want: torch.Tensor) -> float:
    """Relative error in the L2 norm; infinite where something is not finite."""
    if not (got.isfinite().all() and want.isfinite().all()):
        return float("inf")
    return float((got - want).norm() / want.norm())


def verdict(step: Executable, weights: RandomWeights, count: int) -> dict[str, Any]:
    """Single steps against the reference, several steps in one launch against single steps."""
    rows = step.tokens
    slots, ids, logits = list(range(rows)), [11, 7, 1300, 42], []
    for position in range(count):
        result = step.step([ids[position]] * rows, [position] * rows, slots, range(rows))
        if not all(np.array_equal(result.logits[0], row) for row in result.logits[1:]):
            raise SystemExit("wrong: equal rows give different logits")
        logits.append(torch.from_numpy(result.logits[0]))
        if position + 1 >= len(ids):
            ids.append(int(result.ids[0]))
    want = reference(weights, ids[:count]).cpu()
    error, ties = relative(torch.stack(logits), want), []
    rounded = relative(reference(weights, ids[:count], rounded=True).cpu(), want)
    if not error < rounded:
        raise SystemExit(f"wrong: relative error {error:.4f}, that of plain bf16 is {rounded:.4f}")
    for position in range(3, count):
        best, token = int(want[position].argmax()), ids[position + 1]
        margin = float(want[position][best] - want[position][token])
        if margin > TOLERANCE * float(want[position].abs().max()):
            raise SystemExit(f"wrong: token {token} at {position}, the reference says {best} (margin {margin:.3g})")
        if token != best:
            ties.append({"at": position, "margin": round(margin, 4)})
    again = [step.step([ids[count - 1]] * rows, [count - 1] * rows, slots, range(rows)).logits for _ in range(100)]
    if differing := sum(not np.array_equal(again[0], other) for other in again[1:]):
        raise SystemExit(f"wrong: the same step gave other bits {differing} times of {len(again) - 1}")
    many = step.steps_ahead([ids[3]] * rows, [3] * rows, slots, count - 3)
    if many[:, 0].tolist() != ids[4 : count + 1] or (many != many[:, :1]).any():
        raise SystemExit("wrong: several steps in one launch give other tokens than single steps")
    return {"steps": count, "ties": ties, "relative_error": round(error, 4), "of_plain_bf16": round(rounded, 4), "tolerance": TOLERANCE}


def main() -> None:
    """Check, time, print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program", help="what `fleet compile --target sm_90a` wrote")
    parser.add_argument("--context", type=int, default=1024)
    parser.add_argument("--launches", type=int, default=10)
    args = parser.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = False
    weights = RandomWeights()
    with torch.no_grad():
        step = Executable.load(args.program).bind(weights, device="cuda")
        correct = verdict(step, weights, 24)
        rows, ahead = step.tokens, step.most_steps
        step.state.filled[:] = [args.context] * step.slots  # what the cache holds does not change the time
        begin, milliseconds = [5] * rows, []
        for _ in range(args.launches):
            start = time.perf_counter()
            step.steps_ahead(begin, [args.context] * rows, range(rows), ahead)
            milliseconds.append((time.perf_counter() - start) * 1e3 / ahead)
            step.state.filled[:] = [args.context] * step.slots
    single = []
    for _ in range(50):
        start = time.perf_counter()
        step.step(begin, [args.context] * rows, range(rows), range(rows))
        single.append((time.perf_counter() - start) * 1e3)
    cache = 2 * LAYERS * KV_HEADS * HEAD * 2 * rows * (args.context + ahead // 2)
    table = next(p for p in step.manifest["params"] if p["names"] == ["model.embed_tokens.weight"])
    moved = step.manifest["arenas"]["params"] - 2 * table["shape"][0] * table["shape"][1] + cache
    median = statistics.median(milliseconds)
    print(
        json.dumps(
            {
                "correct": correct,
                "batch": rows,
                "context": args.context,
                "ms_a_step": round(median, 4),
                "spread": [round(min(milliseconds), 4), round(max(milliseconds), 4)],
                "steps_a_launch": ahead,
                "ms_of_a_launch_of_one_step": round(statistics.median(single), 4),
                "gb_a_step": round(moved / 1e9, 3),
                "tb_a_second": round(moved / median / 1e9, 3),
                "gpu": torch.cuda.get_device_name(),
                "torch": torch.__version__,
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
