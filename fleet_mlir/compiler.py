"""From a model to an :class:`~fleet_mlir.runtime.Executable`: the named phases one after the other."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import cache as cache_store
from . import gpu, package, passes
from .errors import FleetError
from .progress import Advance, stage
from .runtime import Executable

PHASES = (
    "import", "tasks", "chiplets", "tiles", "memory", "events", "schedule", "kernel", "target", "package",
)  # fmt: skip
# What a compilation goes through, for who shows it: the export from torch, the phases, code, packaging.
STAGES = ("torch", *PHASES, "object", "vmfb")

# More than any chip has; the tables of a kernel are as long as this.
MOST_WORKERS = 65536

_TARGET = re.compile(r"([A-Za-z][\w-]*)(?::(\d+)x(\d+))?")
_SCHEDULE = re.compile(r"\w+=\w+(?:,\w+=\w+)*")
_MODULE_TARGET = re.compile(r'#fleet\.target<"([\w-]+)"[^>]*?chiplets = (\d+), workers = (\d+)')
_PHASE = re.compile(r'fleet\.phase = "(\w+)"')


def target_pass(target: str) -> str:
    """The pass that sets the target: ``cpu``, or ``cpu:8x4`` for 8 chiplets of 4 workers."""
    match = _TARGET.fullmatch(target)
    if not match:
        raise FleetError(f"unknown target {target!r}: write a name such as cpu or gfx950, or cpu:8x4")
    name, chiplets, workers = match.groups()
    options = f"target={name}"
    if chiplets:
        if int(chiplets) < 1 or int(workers) < 1:
            raise FleetError(f"the target {target} has no workers")
        if int(chiplets) * int(workers) > MOST_WORKERS:
            raise FleetError(f"the target {target} has more than {MOST_WORKERS} workers")
        options += f" chiplets={int(chiplets)} workers={int(workers)}"
    return f"fleet-set-target{{{options}}}"


def schedule_pass(schedule: str) -> str:
    """The pass that sets switches of the scheduler, ``NAME=VALUE,...``."""
    if not _SCHEDULE.fullmatch(schedule):
        raise FleetError(f"the schedule {schedule!r} is not NAME=VALUE,...: for example partition=columns,queues=even")
    return f"fleet-set-schedule{{switches={schedule}}}"


def check_schedule(schedule: str | None) -> str | None:
    """``schedule`` if the compiler knows its switches, which is asked on an empty module."""
    if schedule:
        passes.program("module {}").run([schedule_pass(schedule)])
    return schedule or None


def check_target(target: str) -> str:
    """``target`` if the compiler knows it, which is asked on an empty module."""
    passes.program("module {}").run([target_pass(target)])
    return target


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


def _check_target(text: str, target: str) -> None:
    """Raise if a module, whose target is set already, is asked to be for another one."""
    found, asked = _MODULE_TARGET.search(text), _TARGET.fullmatch(target)
    if found and asked and any(b is not None and a != b for a, b in zip(found.groups(), asked.groups(), strict=True)):
        name, chiplets, workers = found.groups()
        raise FleetError(f"the module is for the target {name}:{chiplets}x{workers} already, so it cannot be for {target}")


def run_phases(
    text: str,
    phases: Sequence[str],
    target: str | None = None,
    dump: str | Path | None = None,
    schedule: str | None = None,
) -> tuple[str, dict[str, float]]:
    """Run ``phases`` on a module's text; gives the text and the seconds of each.

    With ``dump`` every phase leaves its result in that folder.
    """
    if not phases:
        return text, {}
    program = passes.program(text)
    seconds = _advance(program, phases, target, dump, _silent, schedule)
    return program.text(), seconds


def _silent(count: int = 1, note: str = "") -> None:
    """No progress is shown."""


def _advance(
    program: passes.Bound | passes.Piped,
    phases: Sequence[str],
    target: str | None,
    dump: str | Path | None,
    advance: Advance,
    schedule: str | None = None,
) -> dict[str, float]:
    seconds: dict[str, float] = {}
    first = [target_pass(target)] if target else []
    if schedule:
        first.append(schedule_pass(schedule))
    # One process for all phases where the tools run them, unless somebody wants to see each.
    alone = dump is not None or isinstance(program, passes.Bound)
    for group in [[phase] for phase in phases] if alone else [list(phases)]:
        start = time.perf_counter()
        program.run([*first, *(f"fleet-phase-{phase}" for phase in group)])
        first = []
        seconds["..".join(dict.fromkeys((group[0], group[-1])))] = time.perf_counter() - start
        if dump is not None:
            _write(Path(dump) / dump_name(group[-1]), program.text())
        advance(len(group), note=group[-1])
    return seconds


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    except OSError as error:
        raise FleetError(f"cannot write {path}: {error.strerror}") from None


def _manifest(program: passes.Bound | passes.Piped) -> dict[str, Any]:
    try:
        return json.loads(program.manifest())
    except ValueError:
        raise FleetError("the compiler gave no valid manifest") from None


def manifest_of(text: str) -> dict[str, Any]:
    """What the compiler says about a placed module (arenas, parameters, counts)."""
    return _manifest(passes.program(text))


def check_shape(tokens: int, slots: int, context: int, out_rows: int | None) -> int:
    """Check the sizes of a step; gives the number of output rows (by default one a slot)."""
    for name, value in (("tokens", tokens), ("slots", slots), ("context", context), ("out_rows", out_rows)):
        if value is None and name == "out_rows":
            continue
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise FleetError(f"{name} must be a positive whole number, not {value}")
        if value >= 1 << 31:
            raise FleetError(f"{name} must be less than {1 << 31}, not {value}")
    if tokens > slots * context:
        raise FleetError(f"a step of {tokens} tokens is more than {slots} slots of {context} positions hold")
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
        # A config takes the type of the first model that is made of it, which is no other model for that.
        values = {name: value for name, value in config.to_dict().items() if name != "dtype"}
        return {"config": values, "dtype": str(dtype), "class": type(self.model).__name__}


def _key(source: Source, target: str, sizes: dict[str, int], schedule: str | None = None) -> str:
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
            "schedule": schedule,
            "sizes": sizes,
            "compiler": passes.version(),
            "versions": versions,
            "host": [package.host_arch(), package.host_features()],
            "format": package.VERSION,
        }
    )


def from_text(
    text: str,
    target: str | None = None,
    *,
    dump_phases: str | Path | None = None,
    compile_to: str | None = None,
    schedule: str | None = None,
    seconds: dict[str, float] | None = None,
    advance: Advance = _silent,
) -> Executable | str:
    """Compile a module's text from the phase it has reached; ``compile_to`` gives that phase's text instead.

    target: of raw text, by default cpu; later its own, and another one is an error. schedule: switches of the
    scheduler, ``NAME=VALUE,...``, for a module that is not cut yet. seconds: gets the time of each stage; advance:
    called after each.
    """
    seconds = {} if seconds is None else seconds
    reached = phase_of(text)
    if reached is not None:
        check_phase(reached)
    done = PHASES.index(reached) + 1 if reached else 0
    last = PHASES.index(check_phase(compile_to)) + 1 if compile_to else len(PHASES)
    if last < done:
        raise FleetError(f"the module has already been through the phase {reached}")
    if reached and target:
        _check_target(text, target)
    if schedule and done > PHASES.index("tasks") + 1:
        raise FleetError(f"the module has been cut already, in the phase {reached}: a schedule is chosen before")
    target = target or "cpu"
    program = passes.program(text)
    seconds.update(_advance(program, PHASES[done:last], None if reached else target, dump_phases, advance, schedule))
    if compile_to is not None:
        return program.text()
    start = time.perf_counter()
    manifest = _manifest(program)
    backend = package.backend(manifest)
    code = program.object() if backend == "cpu" else gpu.translate(backend, program.text())
    seconds["object"] = time.perf_counter() - start
    advance(note="object")
    start = time.perf_counter()
    package.check_manifest(manifest)
    if backend == "cpu":
        vmfb = package.cpu_vmfb(code, manifest["arenas"])
    else:
        vmfb = gpu.vmfb(backend, manifest["target"], code, manifest)
    seconds["vmfb"] = time.perf_counter() - start
    advance(note="vmfb")
    manifest["target_option"] = manifest.get("target", target) if reached else target
    if backend == "cpu":
        manifest["host"] = {"arch": package.host_arch(), "features": package.host_features()}
    manifest["seconds"] = {name: round(value, 3) for name, value in seconds.items()}
    return Executable(manifest, vmfb)


@dataclass
class Job:
    """One compilation, in the two halves that can run beside those of another: `text` (torch) and `finish` (the compiler)."""

    source: Source
    target: str
    sizes: dict[str, int]
    key: str = ""
    dump_phases: str | Path | None = None
    compile_to: str | None = None
    schedule: str | None = None
    seconds: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        model: Any,
        target: str,
        *,
        tokens: int,
        slots: int,
        context: int,
        out_rows: int | None,
        cache: bool,
        dump_phases: str | Path | None = None,
        compile_to: str | None = None,
        schedule: str | None = None,
    ) -> Job:
        """A compilation whose options have been checked; for the rest see `compile`."""
        rows = check_shape(tokens, slots, context, out_rows)
        check_target(target)
        check_schedule(schedule)
        if compile_to is not None:
            check_phase(compile_to)
        source = Source.of(model)
        source.describe()
        sizes = {"tokens": tokens, "slots": slots, "context": context, "out_rows": rows}
        use_cache = cache and dump_phases is None and compile_to is None
        key = _key(source, target, sizes, schedule) if use_cache else ""
        return cls(source, target, sizes, key, dump_phases, compile_to, schedule)

    def cached(self) -> Executable | None:
        """The result of the same compilation before, if the cache has it."""
        if self.key and (data := cache_store.load(self.key)) is not None:
            try:
                executable = Executable(*package.unpack_file(data))
            except FleetError:
                cache_store.drop(self.key)
            else:
                executable.cached = True
                return executable
        return None

    def text(self, advance: Advance = _silent) -> str:
        """The raw module of the step."""
        start = time.perf_counter()
        raw = self.source.text(**self.sizes)
        self.seconds["torch"] = time.perf_counter() - start
        advance(note="torch")
        return raw

    def finish(self, raw: str, advance: Advance = _silent) -> Executable | str:
        """Compile the raw module, and remember the result."""
        result = from_text(
            raw,
            self.target,
            dump_phases=self.dump_phases,
            compile_to=self.compile_to,
            schedule=self.schedule,
            seconds=self.seconds,
            advance=advance,
        )
        if self.key and isinstance(result, Executable):
            cache_store.store(self.key, result.to_bytes())
        return result


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
    schedule: str | None = None,
) -> Executable | str:
    """Compile one step of a decoder.

    model: a path, a loaded model, a transformers model or its config. tokens: rows a step; slots: requests;
    context: positions a request; out_rows: rows whose logits come back (by default one a slot).
    dump_phases: a folder for the module after each phase. compile_to: stop after that phase and give its text.
    schedule: switches of the scheduler, ``NAME=VALUE,...``, such as ``partition=columns``.
    """
    job = Job.of(
        model, target, tokens=tokens, slots=slots, context=context, out_rows=out_rows, cache=cache,
        dump_phases=dump_phases, compile_to=compile_to, schedule=schedule,
    )  # fmt: skip
    executable = job.cached()
    if executable is not None:
        return executable
    with stage("compiling", len(STAGES)) as advance:
        return job.finish(job.text(advance), advance)


def compile_all(jobs: Sequence[Job]) -> list[Executable]:
    """The executables of several jobs; while one is in the compiler, torch traces the next."""
    found = [job.cached() for job in jobs]
    todo = [index for index, executable in enumerate(found) if executable is None]
    with stage("compiling", len(STAGES) * len(todo)) as advance, ThreadPoolExecutor(1) as pool:
        made = {index: pool.submit(jobs[index].finish, jobs[index].text(advance), advance) for index in todo}
        return [made[index].result() if index in made else executable for index, executable in enumerate(found)]
