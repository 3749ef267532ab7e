"""The pages of docs/: links lead somewhere, and the IR that docs/Pipelines.md shows is what the phases give."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fleet_mlir import compiler

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
PIPELINES = (ROOT / "docs" / "Pipelines.md").read_text()


def snippets() -> dict[str, str]:
    """The IR shown for each phase."""
    sections = re.findall(r"^## `(\w+)`\n(.*?)(?=^## |\Z)", PIPELINES, re.MULTILINE | re.DOTALL)
    return {phase: "\n".join(re.findall(r"^```mlir\n(.*?)^```", text, re.MULTILINE | re.DOTALL)) for phase, text in sections}


def plain(line: str) -> str:
    """A line of IR without what an unrelated change moves: the names of values, white space."""
    return re.sub(r"\s+", " ", re.sub(r"%[\w#]+", "%", line)).strip()


def missing(shown: str, given: str) -> str | None:
    """The first line shown that does not come in what is given, in the order shown; ``...`` is anything."""
    lines = iter([plain(line) for line in given.splitlines()])
    for line in shown.splitlines():
        if line.strip() in ("", "..."):
            continue
        pattern = re.compile(".*".join(re.escape(part) for part in plain(line).split("...")))
        if not any(pattern.fullmatch(found) for found in lines):
            return line.strip()
    return None


@pytest.fixture(scope="module")
def phases(tmp_path_factory) -> dict[str, str]:
    """The text of tests/docs/step.mlir after each phase, for 2 chiplets of 2 workers."""
    folder = tmp_path_factory.mktemp("phases")
    compiler.run_phases((ROOT / "tests/docs/step.mlir").read_text(), compiler.PHASES, "cpu:2x2", folder)
    return {phase: (folder / compiler.dump_name(phase)).read_text() for phase in compiler.PHASES}


def test_every_phase_has_a_section():
    assert tuple(snippets()) == compiler.PHASES


@pytest.mark.parametrize("phase", compiler.PHASES)
def test_snippet_is_real(phase, phases):
    shown = snippets()[phase]
    assert shown
    line = missing(shown, phases[phase])
    assert line is None, f"docs/Pipelines.md shows what phase {phase} does not give: {line}"


def test_wrong_snippet_is_found(phases):
    queue = "fleet.queue chiplet 0 worker 1 [1, 1, 2, 4, 5]"
    assert missing(queue, phases["schedule"]) is None
    assert missing(queue.replace("2, 4", "4, 2"), phases["schedule"]) is not None
    assert missing(f"{queue}\nfleet.queue chiplet 0 worker 0 [0, 1, 3, 4, 5]", phases["schedule"]) is not None  # the order counts


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page):
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text())
    lost = [t for t in targets if "://" not in t and not (page.parent / t).exists()]
    assert not lost, f"{page.name} links to {', '.join(lost)}"


def named_tests(text):
    """The tests that a page names: (file, function), the function None for a file of FileCheck."""
    found = re.findall(r"`(tests/[\w/.-]+\.(?:py|mlir))(?:::(\w+))?`", text)
    return [(path, name or None) for path, name in found]


def lost_test(path, name):
    """Why there is no such test; None if there is."""
    if not (ROOT / path).is_file():
        return f"there is no file {path}"
    text = (ROOT / path).read_text()
    if name is None:
        return None if "RUN:" in text else f"{path} runs nothing"
    return None if re.search(rf"^def {name}\(", text, re.MULTILINE) else f"{path} has no test {name}"


def test_every_rule_of_the_memory_model_has_its_test():
    section = (ROOT / "docs/ComputeModel.md").read_text().partition("## 6. ")[2]
    mutants = (ROOT / "tests/integration/test_amdgpu_mutants.py").read_text()
    rules = re.findall(r"^\| ([ANC]\d+) \|(.*)\|$", section, re.MULTILINE)
    for letter, least in (("A", 15), ("N", 5), ("C", 3)):
        numbers = [int(rule[1:]) for rule, _ in rules if rule[0] == letter]
        assert numbers == list(range(1, len(numbers) + 1)) and len(numbers) >= least
    for rule, text in rules:
        cells = text.split(" | ")
        named = named_tests(cells[-1])
        # Mutants are all in one file, which the page names above the tables.
        kinds = re.findall(r"`([a-z-]+)`", "".join(re.findall(r"mutants ((?:`[a-z-]+`(?:, )?)+)", cells[-1])))
        assert named or kinds, f"the rule {rule} names no test"
        assert not [kind for kind in kinds if f'"{kind}"' not in mutants], f"the rule {rule} names no kind of mutants"
        lost = [why for path, name in named if (why := lost_test(path, name))]
        assert not lost, f"the rule {rule}: {lost[0]}"


def test_a_lost_test_is_found():
    assert lost_test("tests/python/test_docs.py", "test_a_lost_test_is_found") is None
    assert lost_test("tests/python/test_docs.py", "test_gone") == "tests/python/test_docs.py has no test test_gone"
    assert lost_test("tests/python/gone.py", None) == "there is no file tests/python/gone.py"
    assert named_tests("`tests/a.py::test_b`, `tests/c.mlir`") == [("tests/a.py", "test_b"), ("tests/c.mlir", None)]
