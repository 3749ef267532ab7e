"""Compilations side by side, and a second start from the cache."""

import torch
from tiny_models import tiny

from fleet_mlir import LLM, cli, compiler
from fleet_mlir.models import load


def jobs(model, cache):
    sizes = {"slots": 1, "context": 40, "cache": cache}
    return [
        compiler.Job.of(model, "cpu", tokens=4, out_rows=1, **sizes),
        compiler.Job.of(model, "cpu:2x2", tokens=1, out_rows=1, **sizes),
    ]


def test_compiled_side_by_side_is_compiled_alone():
    model = tiny("llama", torch.float32)
    both = compiler.compile_all(jobs(model, False))
    alone = [job.finish(job.text()) for job in jobs(model, False)]
    for one, other in zip(both, alone, strict=True):
        assert (one.tokens, one.cached) == (other.tokens, False)
        assert one.manifest["params"] == other.manifest["params"]
        assert one.manifest["stats"] == other.manifest["stats"]
        assert set(one.manifest["seconds"]) >= {"torch", "object", "vmfb"}


def test_what_is_known_is_not_compiled(monkeypatch):
    model = tiny("neox", torch.float32)
    first = compiler.compile_all(jobs(model, True))
    assert [step.cached for step in first] == [False, False]
    monkeypatch.setattr(compiler.Job, "text", None)
    again = compiler.compile_all(jobs(model, True))
    assert [step.cached for step in again] == [True, True]
    assert [step.vmfb for step in again] == [step.vmfb for step in first]


def test_the_report_says_what_came_from_the_cache():
    model = load(tiny("qwen3", torch.float32))
    lines = []
    for _ in range(2):
        llm = LLM(model, context=24, prefill=4)
        llm.generate_ids([[1, 2, 3]], max_new_tokens=4, stop=())
        lines.append(cli.report_text(llm, 1.0).splitlines())
    assert lines[0][1].endswith("s (2 kernels, 0 of them from the cache)")
    assert lines[1][1].endswith("s (from the cache)")
    for name in ("load", "compile", "prefill", "decode", "total", "a layer", "launches"):
        assert sum(line.startswith(name) for line in lines[1]) == 1, name
    assert "device tasks" in lines[1][5] and lines[1][6].split()[1:] == ["1.00", "a", "token"]


def test_bars_are_for_terminals_alone(capsys, monkeypatch):
    import sys

    from fleet_mlir import progress

    with progress.shown(), progress.stage("working", 2) as advance:
        advance()
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    with progress.stage("hidden", 1) as advance:
        advance()
    with progress.shown(), progress.stage("working", 2) as advance:
        advance(note="tiles")
        advance()
    text = capsys.readouterr().err
    assert "working" in text and "hidden" not in text
