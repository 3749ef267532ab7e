"""The compiler in this process and as tools: the same text, the same code, the same errors, and nothing on standard error."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from transformers import LlamaConfig

from fleet_mlir import FleetError, compiler, passes
from fleet_mlir.importer import import_step

SMALL = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": 64, "max_position_embeddings": 64,
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _both():
    if passes.bindings() is None:
        pytest.skip("the bindings are not built")
    try:
        passes.tools.version()
    except FleetError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def raw() -> str:
    return import_step(LlamaConfig(**SMALL), tokens=3, slots=2, context=32, out_rows=2)


@pytest.fixture(params=["bindings", "tools"])
def route(request, monkeypatch) -> str:
    if request.param == "tools":
        monkeypatch.setattr(passes, "bindings", lambda: None)
    return request.param


def both(monkeypatch, work):
    """What `work` gives (or the error it raises) through the bindings and through the tools."""
    made = []
    for found in (passes.bindings, lambda: None):
        with monkeypatch.context() as patch:
            patch.setattr(passes, "bindings", found)
            try:
                made.append(work())
            except FleetError as error:
                made.append(str(error))
    return made


@pytest.mark.parametrize("target", ["cpu", "cpu:3x2"])
def test_every_phase_is_the_same_text(monkeypatch, tmp_path, raw, target):
    folders = iter((tmp_path / "a", tmp_path / "b"))
    (one, _), (other, _) = both(
        monkeypatch, lambda: compiler.run_phases(raw, compiler.PHASES, target, next(folders))
    )
    assert one == other
    for phase in compiler.PHASES:
        name = compiler.dump_name(phase)
        assert (tmp_path / "a" / name).read_text() == (tmp_path / "b" / name).read_text(), phase


def test_the_code_and_the_manifest_are_the_same(monkeypatch, raw):
    def work():
        program = passes.program(raw)
        program.run([compiler.target_pass("cpu"), *(f"fleet-phase-{phase}" for phase in compiler.PHASES)])
        return program.manifest(), program.object()

    one, other = both(monkeypatch, work)
    assert one == other
    assert one[1][:4] == b"\x7fELF"


@pytest.mark.parametrize(
    ("text", "run", "message"),
    [
        ("garbage", [], "custom op 'garbage' is unknown (tried 'builtin.garbage' as well)"),
        ("module {", [], "expected operation name in quotes"),
        ('module { "other.op"() : () -> () }', [], "operation being parsed with an unregistered dialect"),
        ("module {}", ["fleet-phase-import"], "expected a function @step and the attributes fleet.slots and fleet.context"),
        ("module {}", ["fleet-phase-tasks"], "expected a module in phase import, found raw"),
        ("module {}", ["fleet-set-target{target=abacus}"], "unknown target 'abacus'"),
        ("func.func @f() -> i32 { return }", [], "'func.return' op has 0 operands"),
    ],
)  # fmt: skip
def test_errors_are_the_same_sentence(monkeypatch, capfd, text, run, message):
    def work():
        program = passes.program(text)
        if run or passes.bindings() is None:
            program.run(run or ["any(canonicalize)"])
        return "nothing wrong"

    one, other = both(monkeypatch, work)
    assert message in one and one == other
    assert "\n" not in one and not one.endswith(".")
    assert capfd.readouterr() == ("", "")


def test_what_cannot_be_translated_says_so(route, capfd):
    program = passes.program("module {}")
    with pytest.raises(FleetError, match="expected a module with a manifest"):
        program.manifest()
    program = passes.program("func.func @f() { return }")
    with pytest.raises(FleetError, match="cannot be converted to LLVM IR"):
        program.object()
    assert capfd.readouterr() == ("", "")


def test_a_program_still_works_after_an_error(raw):
    program = passes.program(raw)
    with pytest.raises(FleetError, match="phase import, found raw"):
        program.run(["fleet-phase-tasks"])
    program.run([compiler.target_pass("cpu"), "fleet-phase-import"])
    assert compiler.phase_of(program.text()) == "import"


def test_two_compilations_at_the_same_time_give_what_each_gives_alone(raw):
    def work(target):
        return compiler.run_phases(raw, compiler.PHASES, target)[0]

    alone = [work("cpu"), work("cpu:3x2")]
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(work, ["cpu", "cpu:3x2"])) == alone


def test_the_key_follows_the_compiler_in_use(monkeypatch):
    one, other = both(monkeypatch, passes.version)
    assert len(one) == len(other) == 64 and one != other


def test_a_source_tree_without_bindings_uses_the_tools():
    """The package's own folder, not the build tree: no bindings there."""
    source = passes.tools.PACKAGE.parent
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]);"
        "from fleet_mlir import passes; print(type(passes.program('module {}')).__name__)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(source)], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == ("Piped" if not (source / "fleet_mlir" / "_mlir_libs").exists() else "Bound")
