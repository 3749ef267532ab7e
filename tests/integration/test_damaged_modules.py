"""A module that a hand has damaged is refused with words, or compiled: no phase ends the process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fleet_mlir import passes

HERE = Path(__file__).parent
DECODER = HERE.parent / "pipelines" / "Pipelines" / "Inputs" / "decoder.mlir"
TARGET = '"study", backend = llvm, chiplets = 8, workers = 4'
# The backend of a small chip, whose kernel is damaged; what is run on it.
CHIPS = {"study": ("llvm", 2), "gfx950": ("rocdl", 2), "sm_90a": ("nvvm", 1)}
TO_SCHEDULE = [
    f"fleet-phase-{name}" for name in ("import", "tasks", "chiplets", "tiles", "memory", "events", "schedule")
]
STEPS = "fleet-gpu-driver{stamps=true most-steps=4}"


def damage(tmp_path: Path, chip: str, built: list[str], kinds: str, run: list[str]) -> tuple[int, int]:
    """How many damages there were, and how many were refused."""
    backend, chiplets = CHIPS[chip]
    text = DECODER.read_text()
    assert TARGET in text
    text = text.replace(TARGET, f'"{chip}", backend = {backend}, chiplets = {chiplets}, workers = 2')
    program = passes.program(text)
    program.run(built)
    file = tmp_path / "module.mlir"
    file.write_text(program.text())
    command = [sys.executable, str(HERE / "damage.py"), str(file), kinds, *run]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500)
    last = done.stdout.splitlines()[-1:]
    assert done.returncode == 0, f"{last}: {done.returncode} {done.stderr[-500:]}"
    count, refused = map(int, last[0].split())
    return count, refused


needs_bindings = pytest.mark.skipif(not passes.bindings(), reason="the bindings are not built")


@needs_bindings
def test_a_damaged_schedule(tmp_path: Path) -> None:
    count, refused = damage(tmp_path, "study", TO_SCHEDULE, "gone,operand", ["fleet-phase-kernel"])
    assert 100 < count and 50 < refused


@needs_bindings
@pytest.mark.parametrize(
    ("chip", "kinds", "run"), [("study", "table", "fleet-cpu-driver"), ("sm_90a", "gone,table", STEPS)]
)
def test_a_damaged_kernel(chip: str, kinds: str, run: str, tmp_path: Path) -> None:
    count, refused = damage(tmp_path, chip, [*TO_SCHEDULE, "fleet-phase-kernel"], kinds, [run])
    assert count >= 10 and refused >= 8


@needs_bindings
@pytest.mark.slow
@pytest.mark.parametrize("chip", CHIPS)
def test_everything_damaged(chip: str, tmp_path: Path) -> None:
    kinds = "gone,other,operand,erased,table"
    kernel = [*TO_SCHEDULE, "fleet-phase-kernel"]
    damage(tmp_path, chip, TO_SCHEDULE, kinds, ["fleet-phase-kernel"])
    damage(tmp_path, chip, kernel, kinds, ["fleet-phase-target", "fleet-phase-package"])
    if chip != "study":
        damage(tmp_path, chip, kernel, kinds, [STEPS])
