"""Compiles what the benchmarks of NVIDIA GPUs run, on a machine with the compiler: ``python benchmarks/gpu_build.py FOLDER``.

FOLDER gets a ``.fleet`` file for each batch, one for a long context, with ``--ablate`` those that lack one idea each, and
``programs.json``, which says of each what it is, what the simulator predicts and where the residual stream of each
layer lies. ``gpu_decode.py FOLDER`` and ``gpu_layers.py FOLDER`` read it on the machine with the GPU, where no compiler is needed.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from fleet_mlir import Executable, FleetError, gpu, package, passes, simulate

TARGET, AHEAD = "sm_90a", 64
# Programs whose residual stream can be read layer by layer: each layer's has bytes of its own, and is a contraction's result.
READ_LAYERS, LAYERS_SCHEDULE = "layers", "arena=whole,partition=columns"
# What is compiled without an idea, and with what: a target and switches of the scheduler.
ABLATED: dict[str, tuple[str, str | None]] = {
    "no prefetch": (TARGET, "prefetch=off"),
    "two levels of events": (TARGET + ":2x66", "binding=off"),
    "two levels, flat": (TARGET + ":2x66", "binding=off,events=flat"),
}
# What no kernel of this target can do, and so is simulated alone.
SIMULATED: dict[str, str] = {"dynamic scheduler": "scheduler=dynamic"}

_LAYERS = re.compile(r"fleet\.layers = (\d+)")
_BUFFER = re.compile(
    r'fleet\.buffer "work" offset (\d+)(?: chiplet_stride \d+)? : memref<(\d+)x(\d+)x(\w+), #fleet\.mem<\w+>>'
)


@dataclass(frozen=True)
class Case:
    """A program and the positions, one after the other, at which it is measured."""

    file: str
    batch: int
    contexts: tuple[int, ...]
    variant: str = ""
    target: str = TARGET
    schedule: str | None = None

    @property
    def capacity(self) -> int:
        """Positions that a slot needs: a launch of many steps begins at the last context."""
        return -(-(max(self.contexts) + AHEAD) // 128) * 128


def cases(batches: list[int], long: int, ablated: list[int], layers: list[int]) -> list[Case]:
    """What there is to compile; ``long``: one more context at batch 1, 0 for none; ``ablated``: batches of the variants;
    ``layers``: batches of the programs for `gpu_layers.py`.
    """
    result = [Case(f"b{batch}.fleet", batch, (128, 1024) if batch == 1 else (1024,)) for batch in batches]
    if long:
        result.append(Case(f"b1-{long}.fleet", 1, (long,)))
    for batch in layers:
        result.append(Case(f"b{batch}-{READ_LAYERS}.fleet", batch, (128,), READ_LAYERS, TARGET, LAYERS_SCHEDULE))
    for batch in ablated:
        for name, (target, schedule) in ABLATED.items():
            file = f"b{batch}-{name.replace(',', '').replace(' ', '-')}.fleet"
            result.append(Case(file, batch, (1024,), name, target, schedule))
    return result


def residual(text: str, rows: int, hidden: int) -> list[int]:
    """Where in the work arena the residual stream after each layer lies, f32 ``[rows, hidden]`` (bytes), of a module of phase
    schedule.

    It is the last of what the work arena has of this shape in f32 for each layer: one where attention and the MLP add to
    it at once, two where they do one after the other, and up to two norms in f32. Raises FleetError where it is none of that.
    """
    found = _LAYERS.search(text)
    layers = int(found.group(1)) if found else 0
    offsets = [int(m[1]) for m in _BUFFER.finditer(text) if (int(m[2]), int(m[3]), m[4]) == (rows, hidden, "f32")]
    if not layers or len(offsets) not in [count * layers for count in range(1, 5)]:
        raise FleetError(
            f"expected one to four f32 buffers of {rows} x {hidden} a layer, found {len(offsets)} in {layers} layers"
        )
    if len(set(offsets)) != len(offsets):
        raise FleetError(
            "expected a place of its own for the residual stream of each layer, found one that is used again"
        )
    return offsets[len(offsets) // layers - 1 :: len(offsets) // layers]


def predict(text: str, context: int, **options: Any) -> float:
    """Milliseconds of a step at ``context``, by the simulator."""
    return round(simulate.simulate(text, context=context, **options)["step_us"] / 1000, 4)


def finish(kernel: str, options: str) -> Executable:
    """The program of a module of phase kernel, with options of `fleet-nvgpu-to-llvm`."""
    program = passes.program(kernel)
    program.run(
        [
            "fleet-begin-phase{expect=kernel}",
            f"fleet-nvgpu-to-llvm{{{options}}}",
            "fleet-end-phase{phase=target}",
            "fleet-phase-package",
        ]
    )
    manifest = json.loads(program.manifest())
    code = gpu.translate("cuda", program.text())
    package.check_manifest(manifest)
    manifest["target_option"] = TARGET
    return Executable(manifest, gpu.vmfb("cuda", manifest["target"], code, manifest))


class Builder:
    """Compiles cases of one model; torch traces each size once."""

    def __init__(self, config: Any) -> None:
        self._config = config
        self._raw: dict[tuple[int, int], str] = {}

    def schedule(self, case: Case) -> str:
        """The module of a case after the phase schedule."""
        from fleet_mlir.compiler import Source, from_text

        key = (case.batch, case.capacity)
        if key not in self._raw:
            sizes = {"tokens": case.batch, "slots": case.batch, "context": case.capacity, "out_rows": case.batch}
            self._raw[key] = Source.of(self._config).text(**sizes)
        return str(from_text(self._raw[key], case.target, compile_to="schedule", schedule=case.schedule))

    def build(self, folder: Path, case: Case, schedules: Path | None = None) -> dict[str, Any]:
        """Compile a case into ``folder``, and leave its schedule in ``schedules``; gives what ``programs.json`` says of it."""
        from fleet_mlir.compiler import from_text

        text = self.schedule(case)
        from_text(text).save(folder / case.file)
        if schedules is not None:
            (schedules / case.file).with_suffix(".mlir").write_text(text)
        return {
            "file": case.file,
            "batch": case.batch,
            "contexts": list(case.contexts),
            "variant": case.variant,
            "switches": case.schedule or "",
            "target": case.target,
            "predicted_ms": {str(context): predict(text, context) for context in case.contexts},
            "residual": residual(text, case.batch, self._config.hidden_size) if case.variant == READ_LAYERS else [],
        }

    def simulated(self, batch: int, name: str, schedule: str) -> dict[str, Any]:
        """What ``programs.json`` says of a schedule that no kernel can have."""
        ms = predict(self.schedule(Case("", batch, (1024,), name, TARGET, schedule)), 1024)
        return {"batch": batch, "variant": name, "switches": schedule, "predicted_ms": ms}


def numbers(text: str) -> list[int]:
    """``1,8,32`` as numbers; the empty text as none."""
    try:
        result = [int(part) for part in text.split(",") if part]
    except ValueError:
        result = [0]
    if any(value < 1 for value in result):
        raise argparse.ArgumentTypeError(f"{text} is not a list of positive whole numbers")
    return result


def main(arguments: list[str] | None = None) -> None:
    """Compile everything, print a line for each program."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--config", default="qwen3-8b")
    parser.add_argument("--layers", type=int, help="that many layers only, to try")
    parser.add_argument("--batches", type=numbers, default=[1, 2, 4, 8, 16, 32], metavar="N,...")
    parser.add_argument("--long", type=int, default=8192, help="one more context at batch 1; 0 for none")
    parser.add_argument(
        "--ablate", type=numbers, default=[], metavar="N,...", help="batches that lack one idea each, too"
    )
    parser.add_argument(
        "--read-layers", type=numbers, default=[], metavar="N,...", help="batches of programs for gpu_layers.py, too"
    )
    parser.add_argument(
        "--schedules", type=Path, metavar="DIR", help="leave the modules there that `fleet simulate` takes"
    )
    args = parser.parse_args(arguments)
    from fleet_mlir.known import config_of

    builder = Builder(config_of(args.config, args.layers))
    for path in filter(None, (args.folder, args.schedules)):
        path.mkdir(parents=True, exist_ok=True)
    result: dict[str, Any] = {"programs": [], "simulated": []}
    for case in cases(args.batches, args.long, args.ablate, args.read_layers):
        try:
            entry = builder.build(args.folder, case, args.schedules)
        except FleetError as error:
            print(f"{case.file:<32} not built: {error}", flush=True)
            continue
        result["programs"].append(entry)
        print(f"{case.file:<32} predicted ms {entry['predicted_ms']}", flush=True)
    for batch in args.ablate:
        for name, schedule in SIMULATED.items():
            entry = builder.simulated(batch, name, schedule)
            result["simulated"].append(entry)
            print(f"b{batch} {name:<28} predicted ms {entry['predicted_ms']}: simulated only", flush=True)
    (args.folder / "programs.json").write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
