"""Small models of several architectures on one NVIDIA GPU, against the same weights in f32.

``python benchmarks/gpu_models.py FOLDER --build`` compiles them, on a machine with the compiler; ``python benchmarks/gpu_models.py
FOLDER`` runs them on the one with the GPU. Random models of a few layers need no file; with ``--gguf FILE`` also SmolLM2-135M with
its own weights, fed with real text. Judged as `gpu_decode.py` does, and nothing may be off by more than 2e-2 (L2). Nothing is timed.
"""

from __future__ import annotations

import argparse
import copy
import gc
import itertools
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from gpu_build import TARGET, finish, numbers
from gpu_decode import TOLERANCE, Wrong, judge

from fleet_mlir import Executable, FleetError

CONTEXT = 256
_SIZES = {
    "hidden_size": 512, "intermediate_size": 1024, "num_hidden_layers": 4, "num_attention_heads": 8, "vocab_size": 2048,
    "max_position_embeddings": CONTEXT, "initializer_range": 0.08,
}  # fmt: skip
RANDOM: dict[str, dict[str, Any]] = {
    "qwen3": {**_SIZES, "num_key_value_heads": 2, "head_dim": 128},
    "llama": {**_SIZES, "num_key_value_heads": 2},
    "gpt_neox": {**_SIZES, "rotary_pct": 0.25},
}
# Slots are freed in a way that the tool knows, and waits are as patient as it is slow.
RACECHECK = "lanes-free=true poll-budget=2147483647"
PROMPTS = ([11, 7, 1300, 42], [9, 1500, 5, 77], [310, 2, 8, 640], [100, 999, 3, 12])
REAL, TEXT_TOKENS = "smollm2", 16
TEXTS = (
    "The history of the steam engine begins long before the railways. In the first century Hero of Alexandria described",
    "Water boils at a lower temperature in the mountains, since the pressure of the air is less there than at the sea.",
    "def fibonacci(n):\n    if n < 2:\n        return n\n    return fibonacci(n - 1) + fibonacci(n - 2)\n",
    "Once upon a time there was a miller who had three sons, a mill, a donkey and a cat; and when he died, the eldest",
)


def random_config(kind: str) -> Any:
    """The transformers config of a small random model."""
    from transformers import AutoConfig

    return AutoConfig.for_model(kind, **RANDOM[kind], tie_word_embeddings=False, dtype="bfloat16")


def random_model(kind: str) -> Any:
    """It with weights, bf16 on the host."""
    from transformers import AutoModelForCausalLM

    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_config(random_config(kind)).eval()
    with torch.no_grad():
        for value in model.parameters():
            if value.dim() == 1:  # weights of norms are 1 in a new model, biases 0
                value.add_(0.1 * torch.randn_like(value))
    return model.to(torch.bfloat16)


def build(folder: Path, batches: list[int], models: list[str], options: str) -> list[dict[str, Any]]:
    """Compile models for all batches, with ``options`` of `fleet-nvgpu-to-llvm`; gives what ``models.json`` says of each."""
    from fleet_mlir.compiler import compile as compile_model
    from fleet_mlir.known import model_path
    from fleet_mlir.models import load

    sources: list[tuple[str, Any, Any]] = [(kind, random_config(kind), PROMPTS) for kind in RANDOM if kind in models]
    if REAL in models:
        loaded = load(model_path(REAL))
        sources.append((REAL, loaded, [loaded.tokenizer.encode(text)[:TEXT_TOKENS] for text in TEXTS]))
    entries = []
    for name, source, prompts in sources:
        for batch in batches:
            file = f"{name}-b{batch}.fleet"
            sizes = {"tokens": batch, "slots": batch, "context": CONTEXT, "out_rows": batch}
            if options:
                program = finish(str(compile_model(source, TARGET, **sizes, cache=False, compile_to="kernel")), options)
            else:
                program = compile_model(source, TARGET, **sizes, cache=False)
            program.save(folder / file)
            entries.append({"model": name, "batch": batch, "file": file, "prompts": [list(own) for own in prompts]})
            print(file, flush=True)
    (folder / "models.json").write_text(json.dumps(entries))
    return entries


def check(step: Executable, model: Any, exact: Any, prompts: list[list[int]], steps: int, repeats: int) -> dict[str, Any]:  # fmt: skip
    """A bound program against its model and ``exact``, the same in f32, both on the host; ``wrong`` where it is off by more
    than the tolerance, too.
    """

    def reference(ids: torch.Tensor, rounded: bool) -> torch.Tensor:
        return (model if rounded else exact)(ids).logits.float()

    found = judge(step, reference, prompts, min(steps, step.context), repeats)
    if not found["wrong"] and found["relative_error"] > TOLERANCE:
        found["wrong"] = f"relative error {found['relative_error']:.4f}, at most {TOLERANCE} is right"
    return found


def checked(folder: Path, batches: list[int] | None, models: list[str] | None, gguf: Path | None, steps: int, repeats: int) -> Iterator[dict[str, Any]]:  # fmt: skip
    """What ``models.json`` lists and is asked for, one after the other, with what `check` says."""
    from fleet_mlir.models import load

    try:
        entries = json.loads((folder / "models.json").read_text())
    except (OSError, ValueError):
        raise FleetError(f"{folder} has no models.json that can be read: build it with --build") from None
    entries = [
        entry
        for entry in entries
        if (batches is None or entry["batch"] in batches)
        and (entry["model"] in models if models else gguf is not None or entry["model"] != REAL)
    ]
    if not entries:
        raise FleetError("no program is left to run: expected one of the models and batches that were built")
    if gguf is None and any(entry["model"] == REAL for entry in entries):
        raise FleetError(f"the model {REAL} needs its weights: say where with --gguf")
    for name, programs in itertools.groupby(entries, lambda entry: entry["model"]):
        model = load(gguf).reference() if name == REAL and gguf else random_model(name)
        exact = copy.deepcopy(model).float()
        for entry in programs:
            step = Executable.load(folder / entry["file"]).bind(model, device="cuda")
            try:
                found = check(step, model, exact, entry["prompts"], steps, repeats)
            except (Wrong, FleetError) as reason:
                found = {"relative_error": None, "of_plain_bf16": None, "identical": [0, 0], "ties": [], "wrong": str(reason)}
            yield {"model": name, "batch": entry["batch"], **found}
            del step
            gc.collect()


def main(arguments: list[str] | None = None) -> None:
    """Build, or check and print a line for each program and one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--build", action="store_true", help="compile into the folder, run nothing")
    parser.add_argument("--racecheck", action="store_true", help="build what compute-sanitizer's racecheck can follow")
    parser.add_argument("--batches", type=numbers, metavar="N,...", help="only these (built: 1,8,32)")
    parser.add_argument("--models", type=lambda text: text.split(","), metavar="NAME,...", help="only these")
    parser.add_argument("--gguf", type=Path, metavar="FILE", help="SmolLM2's weights")
    parser.add_argument("--steps", type=int, default=48, help="positions that are compared")
    parser.add_argument("--repeats", type=int, default=10, help="times that a step is run again for its bits")
    args = parser.parse_args(arguments)
    if args.build:
        models = args.models or [*RANDOM, REAL]
        if unknown := [name for name in models if name not in (*RANDOM, REAL)]:
            raise SystemExit(f"gpu_models: unknown model {unknown[0]}: expected some of {', '.join([*RANDOM, REAL])}")
        args.folder.mkdir(parents=True, exist_ok=True)
        build(args.folder, args.batches or [1, 8, 32], models, RACECHECK if args.racecheck else "")
        return
    torch.backends.cuda.matmul.allow_tf32 = False
    rows = []
    try:
        with torch.no_grad():
            for row in checked(args.folder, args.batches, args.models, args.gguf, args.steps, args.repeats):
                rows.append(row)
                same = "{} of {}".format(*row["identical"])
                print(f"{row['model']:<10}{row['batch']:>4}  error {row['relative_error']} (plain bf16 {row['of_plain_bf16']})"
                      f"  same bits {same}  ties {row['ties']}  {row['wrong'] or 'right'}", flush=True)  # fmt: skip
    except FleetError as error:
        raise SystemExit(f"gpu_models: {error}") from None
    print(json.dumps(rows))
    if any(row["wrong"] for row in rows):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
