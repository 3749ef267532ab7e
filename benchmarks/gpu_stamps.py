"""Times of every queue entry of a compiled program on an NVIDIA GPU, beside the simulator's.

On a machine with the compiler: ``python benchmarks/gpu_stamps.py build FOLDER`` compiles Qwen3-8B for sm_90a with stamps, into
``FOLDER/step.fleet``, and leaves the schedule that it was made of as ``FOLDER/kernel.mlir``. On one with the GPU: ``run FOLDER`` runs it with
random weights and writes ``FOLDER/stamps.json``. Anywhere: ``fleet simulate FOLDER/kernel.mlir --against FOLDER/stamps.json --report r.html``.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

sys.path.insert(0, str(Path(__file__).resolve().parent))

from gpu_build import TARGET, finish

from fleet_mlir import Executable, simulate


def build(folder: Path, config: str, tokens: int, context: int) -> None:
    """The program with stamps, and the module of phase kernel before it."""
    from fleet_mlir.compiler import compile as compile_model
    from fleet_mlir.known import config_of

    text = str(
        compile_model(
            config_of(config), TARGET, tokens=tokens, slots=tokens, context=context, out_rows=tokens, cache=False, compile_to="kernel"
        )
    )  # fmt: skip
    (folder / "kernel.mlir").write_text(text)
    program = finish(text, "stamps=true")
    program.save(folder / "step.fleet")
    manifest = program.manifest
    print(f"wrote {folder / 'step.fleet'}; stamps at {manifest['stamps']:,} of the work arena")


def run(folder: Path, context: int) -> None:
    """The stamps of a step at position ``context``, after others that warm the chip up."""
    import torch
    from gpu_decode import launches
    from gpu_reference import RandomWeights

    with torch.no_grad():
        step = Executable.load(folder / "step.fleet").bind(RandomWeights(), device="cuda")
    launches(step, context, 1, 20)
    clock = subprocess.run(
        ["nvidia-smi", "--query-gpu=clocks.sm", "--format=csv,noheader,nounits"], capture_output=True, text=True, check=True
    ).stdout.split()[0]  # fmt: skip
    entries = int(step.manifest["stats"]["cu_tasks"])
    work = step._work.cpu().numpy()
    stamps = simulate.stamps_of(work, step.manifest["stamps"], entries, tick_ns=1000 / int(clock))
    (folder / "stamps.json").write_text(json.dumps(stamps, separators=(",", ":")))
    print(f"wrote {folder / 'stamps.json'}: {entries:,} entries at {clock} MHz on {torch.cuda.get_device_name()}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["build", "run"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--config", default="qwen3-8b")
    parser.add_argument("--tokens", type=int, default=1)
    parser.add_argument("--context", type=int, default=1024)
    args = parser.parse_args()
    if args.what == "build":
        args.folder.mkdir(parents=True, exist_ok=True)
        build(args.folder, args.config, args.tokens, args.context + 8)
    else:
        run(args.folder, args.context)


if __name__ == "__main__":
    main()
