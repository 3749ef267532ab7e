"""Many decode steps on one NVIDIA GPU with requests that stop and begin at random: no hang, no drift, the tokens of each alone.

Takes a program of Qwen3-8B's shapes with several slots (`fleet compile --config qwen3-8b --target sm_90a --tokens 8
--slots 8`) and gives it seeded random weights. Every slot always has a request; one that is done makes room for the
next, in the same slot. Then some requests are run again, alone in the first slot: their tokens must be the same.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from gpu_reference import RandomWeights

from fleet_mlir import Executable


@dataclass
class Request:
    """The prompt's tokens, how many tokens it shall have in all, and those it has."""

    prompt: list[int]
    length: int
    tokens: list[int] = field(default_factory=list)

    def next_token(self) -> int:
        """What the step at the next position is fed with."""
        at = len(self.tokens)
        return self.prompt[at] if at < len(self.prompt) else self.tokens[at - 1]


def new_request(source: random.Random, vocabulary: int, longest: int) -> Request:
    """A prompt of 1 to 8 tokens, 8 to ``longest`` steps."""
    prompt = [source.randrange(vocabulary) for _ in range(source.randint(1, 8))]
    return Request(prompt, source.randint(8, longest))


def advance(step: Executable, requests: list[Request | None]) -> None:
    """One step: row r is slot r; a row without a request is idle."""
    tokens = [r.next_token() if r else 0 for r in requests]
    positions = [len(r.tokens) if r else 0 for r in requests]
    slots = [slot if r else -1 for slot, r in enumerate(requests)]
    result = step.step(tokens, positions, slots, range(len(requests)))
    for row, request in enumerate(requests):
        if request:
            if not np.isfinite(result.logits[row]).all():
                raise SystemExit(f"wrong: row {row} has logits that are not finite")
            request.tokens.append(int(result.ids[row]))


def main() -> None:
    """Run, run some again alone, print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--again", type=int, default=12, help="requests that are run again alone")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    source = random.Random(args.seed)
    step = Executable.load(args.program).bind(RandomWeights(), device="cuda")
    rows, longest = step.tokens, min(200, step.manifest["context"])
    requests: list[Request | None] = [new_request(source, step.vocabulary, longest) for _ in range(rows)]
    done: list[Request] = []
    start = time.perf_counter()
    for _ in range(args.steps):
        advance(step, requests)
        for slot, request in enumerate(requests):
            if request and len(request.tokens) == request.length:
                done.append(request)
                requests[slot] = new_request(source, step.vocabulary, longest)
    seconds = time.perf_counter() - start
    for request in source.sample(done, min(args.again, len(done))):
        alone = Request(request.prompt, request.length)
        while len(alone.tokens) < alone.length:
            advance(step, [alone] + [None] * (rows - 1))
        if alone.tokens != request.tokens:
            at = next(i for i, (x, y) in enumerate(zip(alone.tokens, request.tokens, strict=True)) if x != y)
            raise SystemExit(f"wrong: a request of {request.length} tokens differs from its run alone at token {at}")
    print(json.dumps({"steps": args.steps, "requests": len(done), "again": args.again, "all equal": True,
                      "ms_a_step_with_copies": round(seconds * 1e3 / args.steps, 2)}))  # fmt: skip


if __name__ == "__main__":
    main()
