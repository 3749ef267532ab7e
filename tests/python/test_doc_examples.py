"""The dialect and pass reference: as TableGen generates it, and every example in it is taken by ``fleet-opt``."""

from __future__ import annotations

import difflib
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from fleet_mlir import tools

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference"
NAMES = sorted(path.name for path in REFERENCE.glob("*.md"))


@dataclass(frozen=True)
class Entry:
    """An operation or attribute of the reference.

    name: ``fleet.task``, or ``TargetAttr``. mnemonic: how an example mentions it. example: its text, or None.
    """

    name: str
    mnemonic: str
    example: str | None

    def module(self) -> str:
        """The example as a module: an attribute or a type by itself gets something that carries it."""
        text = self.example or ""
        if text.startswith("#"):
            several = [part.strip() for part in re.split(r"^(?=#)", text, flags=re.MULTILINE) if part.strip()]
            return f"module attributes {{fleet.example = [{', '.join(several)}]}} {{}}"
        if text.startswith("memref<"):
            return f"func.func private @example({text})"
        if re.search(r"^(func\.func|module)\b", text, re.MULTILINE):
            return text
        return f"func.func @example() {{\n{text}\nreturn\n}}"


def entries() -> list[Entry]:
    """Every operation and attribute that the dialect reference has, in its order."""
    text = (REFERENCE / "FleetDialect.md").read_text()
    found = []
    for section in re.split(r"^### ", text, flags=re.MULTILINE)[1:]:
        heading = section.splitlines()[0]
        operation = re.match(r"`(fleet\.\w+)` ", heading)
        attribute = re.match(r"(\w+Attr)$", heading)
        if operation:
            name = mnemonic = operation.group(1)
        elif attribute:
            name = attribute.group(1)
            mnemonic = "#" + re.search(r"^#(fleet\.\w+)<", section, re.MULTILINE).group(1)
        else:
            continue  # enumerations
        example = re.search(r"^Example:\n+```mlir\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
        found.append(Entry(name, mnemonic, example.group(1).strip() if example else None))
    return found


ENTRIES = entries()


def generated_folder() -> Path:
    """Where the build tree has the reference."""
    return tools.find("fleet-opt").resolve().parents[1] / "docs"


def test_reference_has_every_page():
    pages = {path.name for path in generated_folder().glob("*.md")}
    assert pages >= {"FleetDialect.md", "FleetPasses.md", "FleetConversionPasses.md"}, "build the target fleet-docs"
    lost = sorted(pages - set(NAMES))
    assert not lost, f"docs/reference lacks {', '.join(lost)}: run `make docs`"


@pytest.mark.parametrize("name", NAMES)
def test_reference_is_generated(name):
    generated = generated_folder() / name
    assert generated.is_file(), f"docs/reference/{name} is generated no more: delete it, or build the target fleet-docs"
    versioned = (REFERENCE / name).read_text().splitlines()
    diff = "\n".join(difflib.unified_diff(versioned, generated.read_text().splitlines(), "versioned", "generated", lineterm=""))
    assert not diff, f"docs/reference/{name} is not what TableGen generates: run `make docs`\n{diff}"


def test_reference_is_whole():
    """The parser of this test finds what is there: 18 operations and 5 attributes at least."""
    assert sum(e.name.startswith("fleet.") for e in ENTRIES) >= 18
    assert {e.name for e in ENTRIES} >= {
        "TaskScopeAttr", "MemoryScopeAttr", "PartitionAttr", "TraversalAttr", "TargetAttr", "fleet.task", "fleet.wait",
    }  # fmt: skip


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda e: e.name)
def test_example(entry):
    assert entry.example, f"{entry.name} has no example: add `Example:` and a ```mlir block to its description"
    assert entry.mnemonic in entry.example, f"the example of {entry.name} does not show it"
    first = _parse(entry.module())
    assert first.returncode == 0, f"the example of {entry.name} is refused:\n{first.stderr}"
    assert entry.mnemonic.removeprefix("#fleet.") in first.stdout
    again = _parse(first.stdout)
    assert again.stdout == first.stdout


def test_wrong_example_is_refused():
    entry = Entry("fleet.buffer", "fleet.buffer", '%b = fleet.buffer "work" offset 1 : memref<4xf32, #fleet.mem<hbm>>')
    result = _parse(entry.module())
    assert result.returncode != 0
    assert "expected an offset that is a multiple of 64, found 1" in result.stderr


def _parse(text: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(tools.find("fleet-opt"))], input=text, capture_output=True, text=True, timeout=60)
