"""Fleet against Hugging Face on one cpu thread, in one process: greedy decode and prefill of one model.

Correctness comes first: the greedy tokens of both must agree (ties apart) before a time is printed.
Prints one JSON object. Only ratios from one run mean anything.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import platform
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from fleet_mlir import cli
from fleet_mlir.llm import LLM

TEXT = "The history of the steam engine begins long before the railways. "


def bandwidth(size: int = 1 << 28, repeats: int = 7) -> float:
    """Bytes per second of one thread that reads (a sum over f32), the best of some runs."""
    data = torch.ones(size // 4)
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        data.sum()
        best = min(best, time.perf_counter() - start)
    return size / best


@torch.inference_mode()
def reference(model: Any, ids: list[int], count: int) -> tuple[list[int], list[float], float]:
    """Greedy ids, seconds of each decode step, seconds of the prefill."""
    start = time.perf_counter()
    out = model(torch.tensor([ids]), use_cache=True, logits_to_keep=1)
    token = int(out.logits[0, -1].argmax())
    prefill = time.perf_counter() - start
    tokens, seconds = [token], []
    for _ in range(count - 1):
        start = time.perf_counter()
        out = model(torch.tensor([[token]]), past_key_values=out.past_key_values, use_cache=True)
        token = int(out.logits[0, -1].argmax())
        seconds.append(time.perf_counter() - start)
        tokens.append(token)
    return tokens, seconds, prefill


def fleet(llm: LLM, ids: list[int], count: int) -> tuple[list[int], list[float], float]:
    """The same with Fleet."""
    start = time.perf_counter()
    token = llm.prefill(ids)[0]
    prefill = time.perf_counter() - start
    tokens, seconds = [token], []
    for index in range(count - 1):
        start = time.perf_counter()
        token = int(llm.decode_step.step([token], [len(ids) + index], [0]).ids[0])
        seconds.append(time.perf_counter() - start)
        tokens.append(token)
    return tokens, seconds, prefill


def relative(got: torch.Tensor, want: torch.Tensor) -> float:
    """Relative error in the L2 norm."""
    return float((got - want).norm() / want.norm())


@torch.inference_mode()
def verdict(llm: LLM, model: Any, prompt: list[int], new: list[int], tolerance: float = 2e-2) -> dict[str, Any]:
    """Compare every greedy token, and the logits behind it, with the reference on the same sequence.

    The reference reads Fleet's own tokens, so that a tie at one place leaves the later ones comparable. A token that
    is not the reference's best must be a tie: the margin is below the tolerance. Stops at a wrong token.
    The error of the logits is relative, in the L2 norm; ``huggingface`` is the reference in bf16 and
    ``exact`` the same weights in f32, to which Fleet must be within the tolerance.
    """
    ids = torch.tensor([[*prompt, *new]])
    rows = slice(len(prompt) - 1, len(prompt) - 1 + len(new))
    theirs = model(ids).logits[0, rows].float()
    exact = copy.deepcopy(model).float()(ids).logits[0, rows]
    ours = [llm.prefill(prompt)[1].copy()]
    for index, token in enumerate(new[:-1]):
        ours.append(llm.decode_step.step([token], [len(prompt) + index], [0]).logits[0])
    fleet_logits = torch.from_numpy(np.stack(ours))
    for name, logits in (("huggingface", theirs), ("exact", exact), ("fleet", fleet_logits)):
        if not logits.isfinite().all() or float(logits.std(dim=-1).min()) < 1e-3:
            raise SystemExit(f"wrong: the logits of {name} are constant or not finite, so nothing can be compared")
    ties = []
    for index, token in enumerate(new):
        best = int(theirs[index].argmax())
        if token != best:
            margin = float(theirs[index][best] - theirs[index][token])
            if not margin < tolerance * float(theirs[index].abs().max()):
                raise SystemExit(f"wrong: token {index} is {token}, the reference says {best} (margin {margin:.3g})")
            ties.append({"at": index, "margin": round(margin, 4), "exact_agrees": int(exact[index].argmax()) == token})
    error = {
        "fleet_to_huggingface": relative(fleet_logits, theirs),
        "fleet_to_exact": relative(fleet_logits, exact),
        "huggingface_to_exact": relative(theirs, exact),
    }
    if not error["fleet_to_exact"] < tolerance:
        raise SystemExit(f"wrong: the logits differ, {error}")
    return {"tokens": len(new), "equal": len(new) - len(ties), "ties": ties} | {k: round(v, 5) for k, v in error.items()}


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--prompt-tokens", type=int, default=200)
    parser.add_argument("--prefill", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    llm = LLM(cli.model_path(args.model), context=512, prefill=args.prefill)
    model = llm.reference()
    short = llm.encode("The capital of France is")
    long = (llm.encode(TEXT * 40))[: args.prompt_tokens]
    correct = verdict(llm, model, short, fleet(llm, short, args.tokens)[0])
    reference(model, long, 2), fleet(llm, long, 2)  # warm
    hf, fl, hf_prefill, fl_prefill = [], [], [], []
    for _ in range(args.repeats):  # interleaved, so that a slow minute hits both
        hf += reference(model, short, args.tokens)[1]
        fl += fleet(llm, short, args.tokens)[1]
        hf_prefill.append(reference(model, long, 1)[2])
        fl_prefill.append(fleet(llm, long, 1)[2])
    manifest = llm.decode_step.manifest
    rate = bandwidth()
    read = manifest["arenas"]["params"]
    gathered = [p for p in manifest["params"] if not p.get("pack") and len(p["shape"]) == 2]
    for entry in gathered:  # an embedding table: one row a token is read
        size = entry["shape"][0] * entry["shape"][1] * (4 if entry["dtype"] == "f32" else 2)
        read -= size - size // entry["shape"][0]
    hf_ms, fl_ms = statistics.median(hf) * 1e3, statistics.median(fl) * 1e3
    print(
        json.dumps(
            {
                "model": args.model,
                "correct": correct,
                "decode_ms": {"huggingface": round(hf_ms, 2), "fleet": round(fl_ms, 2)},
                "decode_ratio": round(hf_ms / fl_ms, 2),
                "prefill_ms": {
                    "tokens": len(long),
                    "huggingface": round(statistics.median(hf_prefill) * 1e3, 1),
                    "fleet": round(statistics.median(fl_prefill) * 1e3, 1),
                },
                "prefill_ratio": round(statistics.median(hf_prefill) / statistics.median(fl_prefill), 2),
                "bytes_per_token": read,
                "read_gb_s": round(rate / 1e9, 1),
                "floor_ms": round(read / rate * 1e3, 2),
                "of_floor": round(read / rate * 1e3 / fl_ms, 2),
                "launches_per_token": 1,
                "stats": manifest.get("stats"),
                "load_average": [round(x, 1) for x in os.getloadavg()],
                "versions": {"torch": torch.__version__, "python": platform.python_version()},
                "cpu": next(
                    (line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?"
                ),
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
