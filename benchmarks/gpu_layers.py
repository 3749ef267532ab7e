"""The residual stream after each layer on one NVIDIA GPU, against the same weights in f32: ``python benchmarks/gpu_layers.py FOLDER``.

FOLDER is one of `gpu_build.py`, which says where in the work arena each layer leaves it. After each of some single steps it is
read; then two comparisons are printed, a number for each layer: ``alone``, the layer's output against what the f32 reference
makes of what the kernel's layer before left (keys and values of all positions included), and ``in all``, against the
reference from the embedding on. Last, the logits in both ways. Fails where a layer alone, or the logits alone, are off by
more than 2e-2 (L2).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from gpu_build import READ_LAYERS, numbers
from gpu_decode import PROMPTS, TOLERANCE, programs
from gpu_reference import HIDDEN, RandomWeights, Reference, relative

from fleet_mlir import Executable, FleetError


def residuals(step: Executable, offsets: Sequence[int]) -> torch.Tensor:
    """f32 ``[layers, rows, hidden]`` of the step that has run last."""
    work, size = step._work, 4 * step.tokens * HIDDEN
    work = work if isinstance(work, torch.Tensor) else torch.from_numpy(work)
    flagged = dict(step.manifest.get("flagged", []))

    def values(offset: int) -> torch.Tensor:
        if offset not in flagged:
            return work[offset : offset + size].view(torch.float32)
        # Words of a value and the number of the step.
        words = work[flagged[offset] : flagged[offset] + 2 * size].view(torch.int32)
        return words[::2].contiguous().view(torch.float32)

    return torch.stack([values(offset).view(step.tokens, HIDDEN) for offset in offsets]).clone()


def run_steps(step: Executable, offsets: Sequence[int], count: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """``count`` steps in which each row has a sequence of its own, prompts in turn, the row's number first.

    Gives tokens int64 ``[rows, count]``, residual streams f32 ``[layers, rows, count, hidden]`` and logits f32
    ``[rows, count, V]``.
    """
    rows = step.tokens
    ids = [[row, *PROMPTS[row % len(PROMPTS)]] for row in range(rows)]
    streams, logits = [], []
    for position in range(count):
        result = step.step([own[position] for own in ids], [position] * rows, range(rows), range(rows))
        streams.append(residuals(step, offsets))
        logits.append(torch.from_numpy(result.logits.copy()))
        for row, own in enumerate(ids):
            if position + 1 >= len(own):
                own.append(int(result.ids[row]))
    return torch.tensor([own[:count] for own in ids]), torch.stack(streams, 2), torch.stack(logits, 1)


def compare(weights: RandomWeights, ids: torch.Tensor, streams: torch.Tensor, logits: torch.Tensor) -> dict[str, Any]:
    """Relative errors, a number for each layer and one of the logits, ``alone`` and ``in_all``."""
    reference, device = Reference(weights), weights.device
    own = whole = reference.embed(ids.to(device))
    alone, in_all = [], []
    for number, got in enumerate(streams.to(device)):
        alone.append(relative(got, reference.layer(number, own)))
        whole = reference.layer(number, whole)
        in_all.append(relative(got, whole))
        own = got
    logits = logits.to(device)
    return {
        "alone": alone,
        "in_all": in_all,
        "logits_alone": relative(logits, reference.logits(own)),
        "logits_in_all": relative(logits, reference.logits(whole)),
        "wrong": [number for number, error in enumerate(alone) if not error <= TOLERANCE],
    }


def text_of(batch: int, result: dict[str, Any]) -> str:
    """The comparison as lines, errors in thousandths."""
    lines = []
    for name in ("alone", "in_all"):
        errors = " ".join(f"{1000 * error:.1f}" for error in result[name])
        lines.append(f"batch {batch:>2}  {name:<7} x 1000: {errors} | logits {1000 * result[f'logits_{name}']:.1f}")
    if result["wrong"]:
        lines.append(
            f"wrong: batch {batch}: layers {', '.join(map(str, result['wrong']))} are off by more than {TOLERANCE}"
        )
    if not result["logits_alone"] <= TOLERANCE:
        lines.append(f"wrong: batch {batch}: the logits of the last layer's output are off by more than {TOLERANCE}")
    return "\n".join(lines)


def main() -> None:
    """Run, compare, print lines for each batch and one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--batches", type=numbers, default=[1, 8, 32], metavar="N,...")
    parser.add_argument("--steps", type=int, default=24)
    args = parser.parse_args()
    if not args.folder.is_dir():
        raise SystemExit(f"gpu_layers: expected a folder of gpu_build.py, found {args.folder}")
    try:
        entries = programs([args.folder], 0)
    except FleetError as error:
        raise SystemExit(f"gpu_layers: {error}") from None
    torch.backends.cuda.matmul.allow_tf32 = False
    weights, packed, results, failed = RandomWeights(), None, {}, False
    for entry in entries:
        if entry.get("simulated") or entry["variant"] != READ_LAYERS or entry["batch"] not in args.batches:
            continue
        with torch.no_grad():
            step = Executable.load(entry["path"]).bind(weights, packed=packed, device="cuda")
            result = compare(weights, *run_steps(step, entry["residual"], args.steps))
        packed = packed or step
        del step
        torch.cuda.empty_cache()
        print(text_of(entry["batch"], result), flush=True)
        results[entry["batch"]] = result
        failed |= bool(result["wrong"]) or not result["logits_alone"] <= TOLERANCE
    if not results:
        raise SystemExit(
            f"gpu_layers: expected programs for it in {args.folder}, found none of these batches: build them with "
            "gpu_build.py --read-layers"
        )
    rounded = {b: {k: [round(x, 5) for x in v] if isinstance(v, list) else round(v, 5) for k, v in r.items()} for b, r in results.items()}  # fmt: skip
    print(json.dumps({"steps": args.steps, "batches": rounded}))
    if failed:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
