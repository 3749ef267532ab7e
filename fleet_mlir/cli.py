"""The command ``fleet``: compile, run, inspect."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

from . import __version__
from .errors import FleetError
from .known import config_of, model_path


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise FleetError(message[:1].lower() + message[1:].rstrip("."))


def _positive(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive whole number")
    return value


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = _Parser(prog="fleet", description="Compile a decoder language model into one persistent kernel and run it.")
    top.add_argument("--version", action="version", version=f"fleet {__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)

    def model_options(sub: argparse.ArgumentParser, context: int) -> None:
        sub.add_argument("--target", help="cpu, gfx950, ... or cpu:CHIPLETSxWORKERS (default: cpu)")
        sub.add_argument("--context", type=_positive, default=context, help="positions a request can have")
        sub.add_argument("--slots", type=_positive, default=1, help="requests whose caches are kept")

    def schedule_option(sub: argparse.ArgumentParser) -> None:
        sub.add_argument("--schedule", action="append", default=[], metavar="NAME=VALUE,...",
                         help="how the compiler schedules: scheduler=static|dynamic, chiplets=aware|unaware, binding=on|off, "
                              "partition=auto|columns|rows, traversal=auto|full_m|m_major|n_major|windowed, "
                              "queues=auto|balanced|even, order=auto|list|program, prefetch=on|off, "
                              "events=hierarchical|flat")  # fmt: skip

    compiling = commands.add_parser("compile", help="compile a model into a .fleet file")
    compiling.add_argument("--model", help="a folder, a .gguf file, or smollm2")
    compiling.add_argument("--config", help="a known name or a config.json instead of a model")
    compiling.add_argument("--layers", type=_positive, help="with --config: that many layers only")
    compiling.add_argument("--compile-from", metavar="FILE", help="go on from a module's text")
    compiling.add_argument("--compile-to", metavar="PHASE", help="stop after a phase and print its module")
    compiling.add_argument("--dump-phases", metavar="DIR", help="write the module after each phase")
    compiling.add_argument("--tokens", type=_positive, default=1, help="rows a step")
    compiling.add_argument("--out-rows", type=_positive, help="rows whose logits come back (default: one a slot)")
    compiling.add_argument("--no-cache", action="store_true", help="compile even if the result is known")
    compiling.add_argument("-o", "--output", metavar="FILE", help="where to write the result")
    schedule_option(compiling)
    model_options(compiling, 1024)

    running = commands.add_parser("run", help="complete a prompt")
    running.add_argument("--model", required=True, help="a folder, a .gguf file, or smollm2")
    running.add_argument("--prompt", required=True, help="the text to complete")
    running.add_argument("--max-new-tokens", type=_positive, default=64)
    running.add_argument("--chat", action="store_true", help="put the prompt into the model's chat template")
    running.add_argument("--prefill", type=_positive, default=32, help="rows of a prefill step")
    running.add_argument("--device", help="cpu, cuda, hip, or exec: AMD code on the host (default: the target's)")
    running.add_argument("--report", action="store_true", help="print times and counts at the end")
    running.add_argument("--no-cache", action="store_true", help="compile even if the result is known")
    model_options(running, 1024)

    seeing = commands.add_parser("inspect", help="show the tasks, events and bytes of a compiled model")
    seeing.add_argument("file", nargs="?", help="a .fleet file or a module's text (.mlir)")
    seeing.add_argument("--model", help="a folder, a .gguf file, or smollm2")
    seeing.add_argument("--config", help="a known name or a config.json: no weights are needed")
    seeing.add_argument("--layers", type=_positive, help="with --config: that many layers only")
    seeing.add_argument("--compile-to", metavar="PHASE", help="the last phase to look at")
    seeing.add_argument("--tokens", type=_positive, default=1)
    seeing.add_argument("--out-rows", type=_positive)
    seeing.add_argument("--compare-paper", action="store_true", help="beside the paper's Qwen3-8B figures")
    schedule_option(seeing)
    model_options(seeing, 1024)

    simulating = commands.add_parser("simulate", help="run a schedule on a model of its chip")
    simulating.add_argument("file", nargs="?", help="a module of phase schedule or kernel (.mlir)")
    simulating.add_argument("--model", help="a folder, a .gguf file, or smollm2")
    simulating.add_argument("--config", help="a known name or a config.json: no weights are needed")
    simulating.add_argument("--layers", type=_positive, help="with --config: that many layers only")
    simulating.add_argument("--tokens", type=_positive, default=1, help="rows a step")
    simulating.add_argument("--out-rows", type=_positive)
    simulating.add_argument("--switch", action="append", default=[], metavar="NAME=VALUE",
                            help="prefetch=on|off, events=hierarchical|flat, scheduler=static|dynamic, "
                                 "chiplets=aware|unaware, traversal=full_m|m_major|n_major")  # fmt: skip
    simulating.add_argument("--row-tile", type=_positive, default=16, help="rows of a tile where the traversal is not full_m")
    simulating.add_argument("--positions", type=_positive, help="positions that the rows attend to (default: the context)")
    simulating.add_argument("--parameter", action="append", default=[], metavar="NAME=VALUE", help="instead of the chip's value")
    simulating.add_argument("--steps", type=_positive, default=1, help="steps to run; the last is reported")
    simulating.add_argument("--ablate", action="store_true", help="turn each switch off alone, then all of them")
    simulating.add_argument("--json", action="store_true", help="print JSON")
    simulating.add_argument("--trace", metavar="FILE", help="write a trace for Perfetto or Chrome")
    simulating.add_argument("--report", metavar="FILE", help="write a page with pictures (.html)")
    simulating.add_argument("--against", metavar="SCHEDULE",
                            help="in the report: another .mlir file, or NAME=VALUE,... switches; or a .json file of stamps "
                                 "that a kernel of this schedule has left, for a table of both, too")  # fmt: skip
    model_options(simulating, 1024)
    return top


def _source(args: argparse.Namespace) -> Any:
    given = [x for x in (args.model, args.config) if x]
    if len(given) != 1:
        raise FleetError("give either --model or --config")
    if args.config:
        return config_of(args.config, args.layers)
    from .models import load

    return load(model_path(args.model))


def _compile(args: argparse.Namespace) -> None:
    from .compiler import check_phase, from_text

    if args.compile_to:
        check_phase(args.compile_to)
    _check_output(args.output)
    if args.compile_from:
        if args.model or args.config:
            raise FleetError("give either --compile-from or a model")
        try:
            text = Path(args.compile_from).read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise FleetError(f"cannot read {args.compile_from}: {getattr(error, 'strerror', None) or 'not text'}") from None
        result = from_text(
            text, args.target, dump_phases=args.dump_phases, compile_to=args.compile_to, schedule=",".join(args.schedule) or None
        )
    else:
        from .compiler import compile as compile_model

        result = compile_model(
            _source(args), args.target or "cpu", tokens=args.tokens, slots=args.slots, context=args.context,
            out_rows=args.out_rows, cache=not args.no_cache, dump_phases=args.dump_phases, compile_to=args.compile_to,
            schedule=",".join(args.schedule) or None,
        )  # fmt: skip
    if isinstance(result, str):
        if args.output:
            try:
                Path(args.output).write_text(result)
            except OSError as error:
                raise FleetError(f"cannot write {args.output}: {error.strerror}") from None
        else:
            sys.stdout.write(result)
        return
    output = args.output or "model.fleet"
    result.save(output)
    print(f"wrote {output}: {len(result.vmfb):,} bytes of code, {len(result.manifest['params'])} parameters")


def _run(args: argparse.Namespace) -> None:
    from .compiler import check_target
    from .llm import LLM, encode
    from .models import load
    from .progress import shown
    from .runtime import check_device, open_device

    args.target = args.target or "cpu"
    path = model_path(args.model)
    check_target(args.target)
    args.device = check_device(args.target, args.device)
    if args.device != "exec":
        open_device(args.device)
    start = time.perf_counter()
    with shown():
        model = load(path)
    loading = time.perf_counter() - start
    encode(model.tokenizer, args.prompt, args.context)  # a mistake in the prompt shows before a long compilation
    llm = LLM(
        model, args.target, context=args.context, slots=args.slots, prefill=args.prefill,
        device=args.device, cache=not args.no_cache,
    )  # fmt: skip
    llm.report.load_seconds += loading
    start = time.perf_counter()

    # The prompt stands before its answer, and is written with it: a bar on the terminal would wipe a line begun before.
    begun = bool(args.chat)

    def emit(text: str) -> None:
        nonlocal begun
        sys.stdout.write(text if begun else args.prompt + text)
        sys.stdout.flush()
        begun = True

    answer = llm.chat if args.chat else llm.generate
    answer(args.prompt, max_new_tokens=args.max_new_tokens, stream=emit)
    emit("\n")
    if args.report:
        print(report_text(llm, time.perf_counter() - start), file=sys.stderr)


def report_text(llm: Any, seconds: float) -> str:
    """The lines that ``--report`` prints."""
    report, manifest = llm.report, llm.decode_step.manifest
    layers = manifest.get("layers") or 0
    steps = {id(step): step for step in (llm.decode_step, llm.prefill_step)}.values()
    known = sum(step.cached for step in steps)
    how = "from the cache" if known == len(steps) else f"{len(steps)} kernels, {known} of them from the cache"
    lines = [
        f"load        {report.load_seconds:.2f} s",
        f"compile     {report.compile_seconds:.2f} s ({how})",
        f"prefill     {report.prompt_tokens} tokens, {_rate(report.prompt_tokens, report.prefill_seconds)}",
        f"decode      {report.new_tokens} tokens, {_rate(report.new_tokens, report.decode_seconds)}",
        f"total       {seconds:.2f} s",
    ]
    stats = report.stats
    if stats and layers:
        per = ", ".join(
            f"{stats[name] / layers:.1f} {name.replace('_', ' ')}"
            for name in ("device_tasks", "chiplet_tasks", "cu_tasks", "signals")
            if isinstance(stats.get(name), int)
        )
        lines.append(f"a layer     {per}")
    if report.new_tokens:
        lines.append(f"launches    {report.launches / report.new_tokens:.2f} a token")
    return "\n".join(lines)


def _rate(count: int, seconds: float) -> str:
    return f"{count / seconds:.1f} tokens/s" if seconds > 0 and count else "not measured"


def _inspect(args: argparse.Namespace) -> None:
    import tempfile

    from . import inspect, package, passes
    from .compiler import PHASES, check_phase, dump_name, manifest_of, phase_of
    from .compiler import compile as compile_model

    if args.compile_to:
        check_phase(args.compile_to)
    if args.file:
        try:
            data = Path(args.file).read_bytes()
        except OSError as error:
            raise FleetError(f"cannot read {args.file}: {error.strerror}") from None
        if args.file.endswith(".mlir"):
            try:
                text = data.decode()
            except UnicodeDecodeError:
                raise FleetError(f"cannot read {args.file}: not text") from None
            passes.program(text)  # what is no module has no counts
            print(inspect.phases_table({phase_of(text) or "raw": text}))
            return
        manifest, vmfb = package.unpack_file(data, args.file)
        print(inspect.manifest_tables(manifest))
        if package.backend(manifest) == "hip":
            print("\n" + inspect.table(["kernel", "value"], list(inspect.kernel_facts(vmfb).items())))
        if args.compare_paper:
            print("\n" + inspect.compare_paper(manifest.get("stats") or {}, manifest.get("layers") or 0))
        return
    source = _source(args)
    last = args.compile_to or "schedule"
    with tempfile.TemporaryDirectory(prefix="fleet-") as folder:
        compile_model(
            source, args.target or "cpu", tokens=args.tokens, slots=args.slots, context=args.context, out_rows=args.out_rows,
            cache=False, dump_phases=folder, compile_to=last, schedule=",".join(args.schedule) or None,
        )  # fmt: skip
        texts = {}
        for phase in PHASES[: PHASES.index(last) + 1]:
            path = Path(folder) / dump_name(phase)
            texts[phase] = path.read_text()
    print(inspect.phases_table(texts))
    manifest: dict[str, Any] = {}
    if PHASES.index(last) >= PHASES.index("memory"):
        try:
            manifest = package.check_manifest(manifest_of(texts[last]))
        except FleetError:
            manifest = {}
        if manifest:
            print("\n" + inspect.manifest_tables(manifest))
    if args.compare_paper:
        stats = dict(manifest.get("stats") or {})
        if not stats and "schedule" in texts:
            stats = inspect.stats_of_text(texts["schedule"])
        config = getattr(source, "config", source)
        print("\n" + inspect.compare_paper(stats, manifest.get("layers") or config.num_hidden_layers))


def _simulate(args: argparse.Namespace) -> None:
    from . import simulate

    for name in (args.trace, args.report):
        _check_output(name)
    is_stamps = bool(args.against and args.against.endswith(".json"))
    if args.against and not args.report and not is_stamps:
        raise FleetError("--against needs --report")
    if args.ablate and (args.trace or args.report):
        raise FleetError("give either --ablate or --trace and --report")
    options = {
        "switches": simulate.parse_switches(",".join(args.switch)) if args.switch else {},
        "parameters": simulate.parse_parameters(args.parameter),
        "row_tile": args.row_tile, "steps": args.steps, "context": args.positions or 0,
    }  # fmt: skip
    if args.ablate and not args.file:
        # What is compiled here can be compiled without each idea.
        text = _schedule(args, "import")
        if args.json:
            print(json.dumps(simulate.ablate_ideas(text, **options), indent=2))
        else:
            print(simulate.ideas_line())
            simulate.ablate_ideas(text, progress=lambda row: print(simulate.ideas_line(row), flush=True), **options)
        return
    text = simulate.schedule_of(args.file) if args.file else _schedule(args)
    if args.ablate:
        rows = simulate.ablate(text, **options)
        print(json.dumps(rows, indent=2) if args.json else simulate.ablation_text(rows))
        return
    other, timeline, other_timeline = None, [], []
    if args.report or is_stamps:
        result, timeline = simulate.with_spans(text, keep=args.trace, **options)
    else:
        result = simulate.simulate(text, trace=args.trace, **options)
    if is_stamps:
        keep = Path(args.trace).with_suffix(f".measured{Path(args.trace).suffix}") if args.trace else None
        other, other_timeline = simulate.with_spans(text, keep=keep, stamps=args.against, **options)
    elif args.against:
        is_file = args.against.endswith(".mlir")
        switches = options["switches"] if is_file else simulate.parse_switches(args.against)
        against = simulate.schedule_of(args.against) if is_file else text
        other, other_timeline = simulate.with_spans(against, **{**options, "switches": switches})
    if args.report:
        batch = result["rows"] if args.config == "qwen3-8b" and result["target"]["name"] == "gfx950" and not args.layers else None
        title = args.config or args.model or args.file
        page = simulate.report(
            result, timeline, title=title, against=other, against_timeline=other_timeline, batch=batch
        )
        try:
            Path(args.report).write_text(page)
        except OSError as error:
            raise FleetError(f"cannot write {args.report}: {error.strerror}") from None
    if is_stamps and not args.json:
        print(simulate.measured_text(result, other))
        return
    if args.json and is_stamps:
        result = {"simulated": result, "measured": other}
    print(json.dumps(result, indent=2) if args.json else simulate.text_of(result))


def _schedule(args: argparse.Namespace, phase: str = "schedule") -> str:
    """The module of a phase that the command line asks for."""
    from .compiler import compile as compile_model

    return compile_model(
        _source(args), args.target or "cpu", tokens=args.tokens, slots=args.slots, context=args.context,
        out_rows=args.out_rows, cache=False, compile_to=phase,
    )  # fmt: skip


def _check_output(name: str | None) -> None:
    """A place that cannot be written shows before a long compilation."""
    if name is None:
        return
    path = Path(name)
    if path.is_dir():
        raise FleetError(f"cannot write {name}: it is a folder")
    if not path.parent.is_dir():
        raise FleetError(f"cannot write {name}: there is no folder {path.parent}")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise FleetError(f"cannot write {name}: permission denied")


def _quiet() -> None:
    """Keep libraries from talking."""
    import warnings

    if "transformers" in sys.modules:  # it reads its variables when it is imported
        sys.modules["transformers"].logging.set_verbosity_error()
    warnings.filterwarnings("ignore", category=FutureWarning)
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TQDM_DISABLE", "" if sys.stderr.isatty() else "1")
    if not os.environ["TQDM_DISABLE"]:
        del os.environ["TQDM_DISABLE"]


def main(argv: list[str] | None = None) -> int:
    """Run the command; 0, or 1 after one sentence on standard error."""
    _quiet()
    try:
        top = parser()
        args = top.parse_args(argv)
        if not args.command:
            top.print_help(sys.stderr)
            return 1
        {"compile": _compile, "run": _run, "inspect": _inspect, "simulate": _simulate}[args.command](args)
        return 0
    except FleetError as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        sys.stderr.write("\n")
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:  # a bug of ours, or a library's own complaint: still one sentence
        if os.environ.get("FLEET_DEBUG"):
            raise
        lines = [line for line in str(error).splitlines() if line.strip()]
        return _fail(f"internal error ({type(error).__name__}): {lines[0].strip() if lines else 'no message'}")


def _fail(message: str) -> int:
    sys.stderr.write(f"fleet: error: {message}\n")
    return 1
