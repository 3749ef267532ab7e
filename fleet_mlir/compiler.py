"""From a model to an :class:`~fleet_mlir.runtime.Executable`: the named phases one after the other."""

from __future__ import annotations

import json
import os
import re
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import cache as cache_store
from . import package, tools
from .errors import FleetError
from .runtime import Executable

PHASES = (
    "import", "tasks", "chiplets", "tiles", "memory", "events", "schedule", "kernel", "target", "package",
)  # fmt: skip

_TARGET = re.compile(r"([A-Za-z][\w-]*)(?::(\d+)x(\d+))?")
_PHASE = re.compile(r'fleet\.phase = "(\w+)"')


def target_option(target: str) -> str:
    """The option that sets the target: ``cpu``, or ``cpu:8x4`` for 8 chiplets of 4 workers."""
    match = _TARGET.fullmatch(target)
    if not match:
        raise FleetError(f"unknown target {target}: write a name such as cpu or gfx950, or cpu:8x4")
    name, chiplets, workers = match.groups()
    text = f"--fleet-set-target=target={name}"
    if chiplets:
        if int(chiplets) < 1 or int(workers) < 1:
            raise FleetError(f"the target {target} has no workers")
        text += f" chiplets={int(chiplets)} workers={int(workers)}"
    return text


def dump_name(phase: str) -> str:
    """The file that ``dump_phases`` writes for a phase, ``00_import.mlir`` first."""
    return f"{PHASES.index(phase)}0_{phase}.mlir"


def check_phase(phase: str) -> str:
    """``phase`` if there is such a phase."""
    if phase not in PHASES:
        raise FleetError(f"unknown phase {phase}: the phases are {', '.join(PHASES)}")
    return phase


def phase_of(text: str) -> str | None:
    """The phase that a module's text says it has reached; None for raw text."""
    match = _PHASE.search(text)
    return match.group(1) if match else None


def run_pipeline(text: str, pipelines: Sequence[str]) -> str:
    """Run registered pipelines (``fleet-opt`` options) on a module's text; gives the text after them."""
    return tools.run("fleet-opt", [*pipelines, "-", "-o", "-"], text)


def run_phases(
    text: str, phases: Sequence[str], target: str | None = None, dump: str | Path | None = None
) -> tuple[str, dict[str, float]]:
    """Run ``phases`` on a module's text; gives the text and the seconds of each.

    With ``dump`` every phase runs alone and leaves its result in that folder.
    """
    seconds: dict[str, float] = {}
    first = [target_option(target)] if target else []
    if not phases:
        return text, seconds
    # One process a phase when somebody wants to see them, else one for all.
    groups = [[phase] for phase in phases] if dump is not None else [list(phases)]
    for group in groups:
        start = time.perf_counter()
        text = run_pipeline(text, [*first, *(f"--fleet-phase-{phase}" for phase in group)])
        first = []
        seconds["+".join(group) if len(group) == 1 else f"{group[0]}..{group[-1]}"] = time.perf_counter() - start
        if dump is not None:
            _write(Path(dump) / dump_name(group[-1]), text)
    return text, seconds


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    except OSError as error:
        raise FleetError(f"cannot write {path}: {error.strerror}") from None


_PACKAGE = re.compile(r"^\s*fleet\.package .*$", re.MULTILINE)


def manifest_of(text: str) -> dict[str, Any]:
    """What the compiler says about a placed module (arenas, parameters, counts)."""
    try:
        return json.loads(tools.run("fleet-translate", ["--to-manifest", "-", "-o", "-"], text))
    except ValueError:
        raise FleetError("fleet-translate gave no valid manifest") from None


def object_of(text: str) -> bytes:
    """The cpu object (``@fleet_step``) of a module that has been through the phase target."""
    with tempfile.TemporaryDirectory(prefix="fleet-") as folder:
        source, result = Path(folder) / "module.mlir", Path(folder) / "step.o"
        source.write_text(_PACKAGE.sub("", text))  # says nothing about code
        tools.run("fleet-translate", ["--to-object", str(source), "-o", str(result)])
        try:
            return result.read_bytes()
        except OSError:
            raise FleetError("fleet-translate wrote no object") from None


def check_shape(tokens: int, slots: int, context: int, out_rows: int | None) -> int:
    """Check the sizes of a step; gives the number of output rows (by default one a slot)."""
    for name, value in (("tokens", tokens), ("slots", slots), ("context", context), ("out_rows", out_rows)):
        if value is None and name == "out_rows":
            continue
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise FleetError(f"{name} must be a positive whole number, not {value}")
    rows = min(tokens, slots) if out_rows is None else out_rows
    if rows > tokens:
        raise FleetError(f"{rows} rows of logits are asked of a step of {tokens} tokens")
    return rows


@dataclass(frozen=True)
class Source:
    """What is compiled: a config with a storage type, or a transformers model (which has its own)."""

    model: Any
    dtype: Any = None

    @classmethod
    def of(cls, model: Any) -> Source:
        """The source behind a path, a loaded model, a transformers model or a config."""
        if isinstance(model, Source):
            return model
        if isinstance(model, str | os.PathLike):
            from .models import load

            model = load(model)
        if isinstance(getattr(model, "weights", None), Mapping):
            return cls(model.config, model.dtype)
        if hasattr(model, "named_parameters") and hasattr(model, "config"):
            # By its config: a model cast as a whole has its rotary frequencies cast too,
            # which the loader does not follow.
            from .importer import model_dtype

            return cls(model.config, model_dtype(model))
        return cls(model)

    def text(self, *, tokens: int, slots: int, context: int, out_rows: int) -> str:
        """The raw module of a step as the importer gives it."""
        from .importer import import_step

        options = {} if self.dtype is None else {"dtype": self.dtype}
        return import_step(self.model, tokens=tokens, slots=slots, context=context, out_rows=out_rows, **options)

    def describe(self) -> dict[str, Any]:
        """What the step depends on."""
        config = getattr(self.model, "config", self.model)
        if not hasattr(config, "to_dict"):
            raise FleetError(f"a path or a transformers model or config is needed, not {type(self.model).__name__}")
        dtype = self.dtype if self.dtype is not None else getattr(self.model, "dtype", None)
        return {"config": config.to_dict(), "dtype": str(dtype), "class": type(self.model).__name__}


def _key(source: Source, target: str, sizes: dict[str, int]) -> str:
    import importlib.metadata as metadata

    versions = {}
    for name in ("torch", "torch-mlir", "transformers", "iree-base-compiler"):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = None
    return cache_store.key(
        {
            **source.describe(),
            "target": target,
            "sizes": sizes,
            "tools": tools.version(),
            "versions": versions,
            "host": [package.host_arch(), package.host_features()],
            "format": package.VERSION,
        }
    )


def from_text(
    text: str,
    target: str,
    *,
    dump_phases: str | Path | None = None,
    compile_to: str | None = None,
    seconds: dict[str, float] | None = None,
) -> Executable | str:
    """Compile a module's text from the phase it has reached; ``compile_to`` gives that phase's text instead."""
    seconds = {} if seconds is None else seconds
    reached = phase_of(text)
    if reached is not None:
        check_phase(reached)
    done = PHASES.index(reached) + 1 if reached else 0
    last = PHASES.index(check_phase(compile_to)) + 1 if compile_to else len(PHASES)
    if last < done:
        raise FleetError(f"the module has already been through the phase {reached}")
    todo = PHASES[done:last]
    final, spent = run_phases(text, todo, None if reached else target, dump_phases)
    seconds.update(spent)
    if compile_to is not None:
        return final
    start = time.perf_counter()
    manifest = manifest_of(final)
    if not str(manifest.get("target", target)).startswith("cpu"):
        raise FleetError(f"the target {target} cannot be packaged yet: compile to the phase target to see its code")
    code = object_of(final)
    seconds["object"] = time.perf_counter() - start
    start = time.perf_counter()
    package.check_manifest(manifest)
    vmfb = package.cpu_vmfb(code, manifest["arenas"])
    seconds["vmfb"] = time.perf_counter() - start
    manifest["target_option"] = target
    manifest["host"] = {"arch": package.host_arch(), "features": package.host_features()}
    manifest["seconds"] = {name: round(value, 3) for name, value in seconds.items()}
    return Executable(manifest, vmfb)


def compile(
    model: Any,
    target: str = "cpu",
    *,
    tokens: int = 1,
    slots: int = 1,
    context: int = 1024,
    out_rows: int | None = None,
    cache: bool = True,
    dump_phases: str | Path | None = None,
    compile_to: str | None = None,
) -> Executable | str:
    """Compile one step of a decoder.

    model: a path, a loaded model, a transformers model or its config. tokens: rows a step; slots: requests;
    context: positions a request; out_rows: rows whose logits come back (by default one a slot).
    dump_phases: a folder for the module after each phase. compile_to: stop after that phase and give its text.
    """
    out_rows = check_shape(tokens, slots, context, out_rows)
    target_option(target)
    if compile_to is not None:
        check_phase(compile_to)
    source = Source.of(model)
    source.describe()
    sizes = {"tokens": tokens, "slots": slots, "context": context, "out_rows": out_rows}
    use_cache = cache and dump_phases is None and compile_to is None
    key = _key(source, target, sizes) if use_cache else ""
    if use_cache and (data := cache_store.load(key)) is not None:
        try:
            return Executable(*package.unpack_file(data))
        except FleetError:
            cache_store.drop(key)
    seconds: dict[str, float] = {}
    start = time.perf_counter()
    raw = source.text(**sizes)
    seconds["torch"] = time.perf_counter() - start
    result = from_text(raw, target, dump_phases=dump_phases, compile_to=compile_to, seconds=seconds)
    if use_cache and isinstance(result, Executable):
        cache_store.store(key, result.to_bytes())
    return result
