"""Qwen3-8B's shapes in bf16 with seeded random weights on one NVIDIA GPU: right first, then the time of a decode step.

Builds nothing: it takes programs that `fleet compile --config qwen3-8b --target sm_90a` wrote, or the folder of
`gpu_build.py`. Of each program the logits of a few steps are compared with the same weights in f32 (plain torch), the tokens by
the tie rule, and a step that is run again must give the same bits; then several steps go in one launch, whose tokens must
equal those of single steps, and are timed by the wall clock around the launch. What is wrong is not timed. Prints a
table and, last, one line of JSON.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from gpu_build import READ_LAYERS, numbers
from gpu_reference import HEAD, KV_HEADS, LAYERS, RandomWeights, Reference, relative

from fleet_mlir import Executable, FleetError

TOLERANCE = 2e-2
Prompts = Sequence[Sequence[int]]
# Rows of a step take these in turn, so that a row that reads another one's is seen.
PROMPTS: Prompts = ([11, 7, 1300, 42], [9, 150000, 5, 77], [31000, 2, 8, 640], [100, 99999, 3, 12])


class Wrong(Exception):
    """What a program does is not what the model does."""


def run_steps(step: Executable, count: int, prompts: Prompts | None = None) -> tuple[list[list[int]], torch.Tensor]:
    """``count`` single steps, every row with a prompt of its kind; the tokens of each kind (one more than steps), and logits
    f32 ``[kinds, count, V]``.
    """
    prompts = prompts or PROMPTS
    rows, kinds = step.tokens, min(step.tokens, len(prompts))
    ids, logits = [list(prompts[kind]) for kind in range(kinds)], []
    for position in range(count):
        result = step.step(
            [ids[row % kinds][position] for row in range(rows)], [position] * rows, range(rows), range(rows)
        )
        for row in range(kinds, rows):
            if not np.array_equal(result.logits[row], result.logits[row % kinds]):
                raise Wrong(f"rows {row % kinds} and {row} do the same and give different logits at {position}")
        logits.append(torch.from_numpy(result.logits[:kinds].copy()))
        for kind in range(kinds):
            if position + 1 >= len(ids[kind]):
                ids[kind].append(int(result.ids[kind]))
    return ids, torch.stack(logits, 1)


def ties(want: torch.Tensor, ids: Sequence[Sequence[int]], first: int) -> list[dict[str, float]]:
    """Where tokens, from the one that the step ``first`` gives, differ from the reference's, within the tolerance. want: f32
    ``[kinds, count, V]``.

    Raises Wrong where the reference's margin over the token is more than the tolerance times its largest logit.
    """
    found = []
    for kind in range(want.shape[0]):
        for position in range(first, want.shape[1]):
            row, token = want[kind, position], ids[kind][position + 1]
            best = int(row.argmax())
            margin = float(row[best] - row[token])
            if margin > TOLERANCE * float(row.abs().max()):
                raise Wrong(
                    f"token {token} at {position} of prompt {kind}, the reference says {best} (margin {margin:.3g})"
                )
            if token != best:
                found.append({"prompt": kind, "at": position, "margin": round(margin, 4)})
    return found


def verdict(step: Executable, weights: RandomWeights, count: int, repeats: int) -> dict[str, Any]:
    """What `judge` says of a program of Qwen3-8B's shapes."""

    def reference(ids: torch.Tensor, rounded: bool) -> torch.Tensor:
        return Reference(weights, rounded).all_layers(ids.to(weights.device)).cpu()

    return judge(step, reference, PROMPTS, count, repeats)


def judge(
    step: Executable,
    reference: Callable[[torch.Tensor, bool], torch.Tensor],
    prompts: Prompts,
    count: int,
    repeats: int,
) -> dict[str, Any]:
    """Single steps against the reference, several steps in one launch against single steps; ``wrong`` says what is.

    ``reference``: logits f32 ``[kinds, count, V]`` of tokens ``[kinds, count]``, in f32 or as a model in bf16 rounds.
    ``prompts``: tokens of each kind, all equally many.
    """
    rows, slots = step.tokens, list(range(step.tokens))
    ids, logits = run_steps(step, count, prompts)
    kinds = len(ids)
    fed = torch.tensor([own[:count] for own in ids])
    want = reference(fed, False)
    error, rounded = relative(logits, want), relative(reference(fed, True), want)
    last = [ids[row % kinds][count - 1] for row in range(rows)]
    again = [step.step(last, [count - 1] * rows, slots, slots).logits for _ in range(repeats)]
    same = sum(np.array_equal(again[0], other) for other in again)
    result = {
        "steps": count,
        "prompts": kinds,
        "relative_error": round(error, 4),
        "of_plain_bf16": round(rounded, 4),
        "tolerance": TOLERANCE,
        "identical": [same, repeats],
        "ties": [],
        "wrong": "",
    }
    try:
        if not error < rounded:
            raise Wrong(f"relative error {error:.4f}, that of plain bf16 is {rounded:.4f}")
        first = len(prompts[0]) - 1
        result["ties"] = ties(want, ids, first)
        if same != repeats:
            raise Wrong(f"the same step gave other bits {repeats - same} times of {repeats}")
        ahead = min(count - first, step.most_steps)
        begin = [ids[row % kinds][first] for row in range(rows)]
        many = step.steps_ahead(begin, [first] * rows, slots, ahead) if ahead > 1 else np.empty((0, rows))
        if any(many[:, row].tolist() != ids[row % kinds][first + 1 : first + 1 + len(many)] for row in range(rows)):
            raise Wrong("several steps in one launch give other tokens than single steps")
    except Wrong as reason:
        result["wrong"] = str(reason)
    return result


def launches(step: Executable, context: int, ahead: int, count: int) -> list[float]:
    """Milliseconds a step, by the wall clock around each of ``count`` launches of ``ahead`` steps from ``context``."""
    rows, result = step.tokens, []
    for _ in range(count):
        step.state.filled[:] = [context] * step.slots  # what the cache holds does not change the time
        start = time.perf_counter()
        if ahead > 1:
            step.steps_ahead([5] * rows, [context] * rows, range(rows), ahead)
        else:
            step.step([5] * rows, [context] * rows, range(rows), range(rows))
        result.append((time.perf_counter() - start) * 1e3 / ahead)
    return result


def bytes_of(manifest: Mapping[str, Any], context: float) -> int:
    """Bytes that a step has to read: all weights but the embedding table, of which it reads a row, and the caches."""
    table = next(p for p in manifest["params"] if p["names"] == ["model.embed_tokens.weight"])
    cache = 2 * LAYERS * KV_HEADS * HEAD * 2 * manifest["tokens"] * context
    return int(manifest["arenas"]["params"] - 2 * table["shape"][0] * table["shape"][1] + cache)


def timing(step: Executable, context: int, count: int) -> dict[str, Any]:
    """Times of many steps in a launch and of one; ``inner``: without what a launch costs, by launches of two lengths."""
    ahead = min(step.most_steps, step.context - context)
    if ahead < 1:
        raise FleetError(f"the program has {step.context} positions, {context} are to be filled")
    launches(step, context, ahead, 2)
    many = launches(step, context, ahead, count)
    half = launches(step, context, ahead // 2, min(count, 10)) if ahead > 1 else many
    single = launches(step, context, 1, 50)
    median = statistics.median(many)
    inner = (median * ahead - statistics.median(half) * (ahead // 2)) / (ahead - ahead // 2) if ahead > 1 else median
    moved = bytes_of(step.manifest, context + ahead / 2)
    return {
        "ms_a_step": round(median, 4),
        "spread": [round(min(many), 4), round(max(many), 4)],
        "steps_a_launch": ahead,
        "inner_ms": round(inner, 4),
        "ms_of_a_launch_of_one_step": round(statistics.median(single), 4),
        "gb_a_step": round(moved / 1e9, 3),
        "tb_a_second": round(moved / median / 1e9, 3),
    }


HEADER = ("batch", "context", "", "ms", "inner", "1 a launch", "GB", "TB/s", "torch", "ratio", "model", "error", "rel. error", "same bits")  # fmt: skip


def line_of(row: Mapping[str, Any]) -> tuple[str, ...]:
    """A row of the table as its cells."""
    correct, torch_ms, model = row.get("correct"), row.get("torch_ms"), row.get("predicted_ms")
    ms = row.get("ms_a_step")

    def number(value: float | None, digits: int = 3) -> str:
        return "-" if value is None else f"{value:.{digits}f}"

    return (
        str(row["batch"]),
        str(row["context"]),
        row.get("variant") or "",
        number(ms),
        number(row.get("inner_ms")),
        number(row.get("ms_of_a_launch_of_one_step")),
        number(row.get("gb_a_step"), 2),
        number(row.get("tb_a_second"), 2),
        number(torch_ms, 2),
        number(ms / torch_ms if ms and torch_ms else None, 2),
        number(model),
        f"{100 * (model / ms - 1):+.1f} %" if model and ms else "-",
        number(correct["relative_error"], 4) if correct else "-",
        "{} of {}".format(*correct["identical"]) if correct else "-",
    )


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """All rows as a table, and below it what is wrong."""
    cells = [HEADER, *map(line_of, rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(HEADER))]
    lines = [
        "  ".join(
            cell.ljust(w) if i == 2 else cell.rjust(w) for i, (cell, w) in enumerate(zip(line, widths, strict=True))
        )
        for line in cells
    ]
    lines += [
        f"wrong: batch {row['batch']} {row.get('variant') or ''}".rstrip() + f": {row['correct']['wrong']}"
        for row in rows
        if row.get("correct") and row["correct"]["wrong"]
    ]
    return "\n".join(lines)


def programs(paths: Sequence[Path], context: int) -> list[dict[str, Any]]:
    """What to run: the programs of folders as `gpu_build.py` lists them, a file at ``context``."""
    result = []
    for path in paths:
        if path.is_dir():
            try:
                listed = json.loads((path / "programs.json").read_text())
            except (OSError, ValueError):
                raise FleetError(
                    f"{path} has no programs.json that can be read: expected a folder of gpu_build.py"
                ) from None
            result += [{**entry, "path": path / entry["file"]} for entry in listed["programs"]]
            result += [{**entry, "contexts": [1024], "simulated": True} for entry in listed["simulated"]]
        else:
            result.append({"path": path, "contexts": [context], "variant": ""})
    return result


def measure(entry: Mapping[str, Any], weights: RandomWeights, packed: Executable | None, args: argparse.Namespace) -> tuple[list[dict[str, Any]], Executable]:  # fmt: skip
    """The rows of one program, a row for each context, and the program with its weights."""
    step = Executable.load(entry["path"]).bind(weights, packed=packed, device="cuda")
    try:
        correct = verdict(step, weights, min(args.steps, step.context), args.repeats)
    except (Wrong, FleetError) as reason:
        correct = {"relative_error": None, "identical": [0, 0], "wrong": str(reason)}
    rows = []
    for context in entry["contexts"]:
        row = {"batch": step.tokens, "context": context, "variant": entry["variant"], "correct": correct}
        row["predicted_ms"] = entry.get("predicted_ms", {}).get(str(context))
        if not correct["wrong"] or args.anyway:
            row |= timing(step, context, args.launches)
        rows.append(row)
    return rows, step


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("programs", nargs="+", type=Path, help=".fleet files for sm_90a, or folders of gpu_build.py")
    parser.add_argument("--context", type=int, default=1024, help="of files; a folder says it itself")
    parser.add_argument("--batches", type=numbers, metavar="N,...", help="only these")
    parser.add_argument("--launches", type=int, default=50, help="launches of many steps that are timed")
    parser.add_argument("--steps", type=int, default=64, help="positions that are compared with the reference")
    parser.add_argument("--repeats", type=int, default=100, help="times that a step is run again for its bits")
    parser.add_argument("--ablate", action="store_true", help="the programs that lack an idea, too")
    parser.add_argument("--baseline", type=numbers, default=[], metavar="N,...",
                        help="batches for torch.compile, which takes about a minute for each")  # fmt: skip
    parser.add_argument("--mode", default="max-autotune", help="of torch.compile")
    parser.add_argument("--anyway", action="store_true", help="time what is wrong, too: the table says so")
    return parser.parse_args(arguments)


def choose(entries: Sequence[dict[str, Any]], args: argparse.Namespace) -> list[dict[str, Any]]:
    """What of the programs is asked for. Raises FleetError if nothing is."""
    chosen = [
        entry
        for entry in entries
        if entry["variant"] != READ_LAYERS and (args.ablate or not entry["variant"])
        and (args.batches is None or "batch" not in entry or entry["batch"] in args.batches)
    ]
    if not chosen:
        raise FleetError("no program is left to run: expected one of the batches that were built")
    return chosen


def main() -> None:
    """Check, time, print the table and one JSON object."""
    args = parse()
    try:
        entries = choose(programs(args.programs, args.context), args)
    except FleetError as error:
        raise SystemExit(f"gpu_decode: {error}") from None
    torch.backends.cuda.matmul.allow_tf32 = False
    weights, packed, rows, baselines = RandomWeights(), None, [], {}
    for entry in entries:
        if entry.get("simulated"):
            rows.append({**entry, "context": entry["contexts"][0], "variant": entry["variant"] + " (simulated)"})
            continue
        start = time.perf_counter()
        with torch.no_grad():
            found, step = measure(entry, weights, packed, args)
        packed = packed or step
        del step
        gc.collect()
        torch.cuda.empty_cache()
        for row in found:
            key = (row["batch"], row["context"])
            if row["batch"] in args.baseline and not row["variant"]:
                from torch_decode import decode

                baselines[key] = decode(*key, mode=args.mode)
            if key in baselines:
                row["torch_ms"], row["torch"] = baselines[key]["ms"], baselines[key]
            print("  ".join(line_of(row)), f"({time.perf_counter() - start:.0f} s)", flush=True)
        rows += found
    print(table(rows))
    print(json.dumps({"gpu": torch.cuda.get_device_name(), "torch": torch.__version__, "rows": rows}, default=str))
    if any(row.get("correct") and row["correct"]["wrong"] for row in rows):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
