"""The tables of ``fleet inspect``, and the bars of a model of full size."""

from __future__ import annotations

import re
import resource
import subprocess
import sys

import pytest

from fleet_mlir import FleetError, cli, inspect, passes


@pytest.fixture(scope="module", autouse=True)
def _compiler():
    try:
        passes.version()
    except FleetError as error:
        pytest.skip(str(error))


def rows_of(text: str, first: str) -> dict[str, list[str]]:
    """The table whose heading begins with `first`, by the name of the row."""
    lines = text[text.index(first) :].split("\n\n")[0].splitlines()
    return {cells[0]: cells[1:] for cells in (re.split(r"\s{2,}", line.strip()) for line in lines)}


def inspected(capsys, *arguments: str) -> str:
    assert cli.main(["inspect", *arguments]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    return captured.out


def number(text: str) -> float:
    return float(text.replace(",", ""))


def test_bodies_are_shared_by_the_layers(capsys):
    """More layers are more tasks, never more bodies; nor does the text grow by a body's."""
    tables = [
        inspected(capsys, "--config", "smollm2-135m", "--layers", str(n), "--target", "gfx950", "--compile-to", "kernel")
        for n in (2, 4)
    ]
    two, four = (rows_of(text, "phase ") for text in tables)
    header = two["phase"]
    bodies, devices = header.index("bodies"), header.index("device tasks")
    for phase in ("tasks", "tiles", "memory", "schedule", "kernel"):
        assert two[phase][bodies] == four[phase][bodies] != "0", phase
    layer = [(number(table["kernel"][devices])) for table in (two, four)]
    assert layer[1] - layer[0] == 2 * 7, "device tasks a layer: qkv, attention, its merge, o, gate and up, slices of down, their sum"
    counts = [rows_of(text, "count ") for text in tables]
    assert counts[0]["bodies"] == counts[1]["bodies"]


def test_the_paper_stands_beside_our_counts(capsys):
    text = inspected(
        capsys, "--config", "smollm2-135m", "--layers", "2", "--target", "gfx950", "--compile-to", "kernel", "--compare-paper"
    )
    counts, rows = rows_of(text, "count "), rows_of(text, "a layer ")
    cu, chiplet = (number(counts[name][1]) for name in ("cu tasks", "chiplet tasks"))
    assert rows["tasks, one worker each (here: cu tasks)"] == ["1,407", "-", f"{cu:,.1f}"]
    assert rows["tasks, one chiplet each (here: chiplet tasks)"] == ["-", "543", f"{chiplet:,.1f}"]
    assert rows["signals, if every worker's task told the device"][0] == "25,200"
    signals = number(counts["signals"][1])
    assert rows["signals, on both levels"] == ["-", "1,830", f"{signals:,.1f}"]
    assert cu < signals < cu + chiplet, "who is waited for on its own chiplets alone tells the device nothing"


def test_the_schedule_alone_gives_the_same_counts(capsys):
    options = ["--config", "smollm2-135m", "--layers", "2", "--target", "cpu:2x2", "--compare-paper", "--compile-to"]
    tables = [rows_of(inspected(capsys, *options, phase), "a layer ") for phase in ("schedule", "kernel")]
    assert tables[0] == tables[1]


def test_too_early_a_phase_has_no_counts(capsys):
    text = inspected(capsys, "--config", "smollm2-135m", "--layers", "1", "--compile-to", "tasks", "--compare-paper")
    assert "no counts: compile to the phase schedule or kernel" in text
    assert inspect.compare_paper({}, 2).startswith("no counts")


@pytest.mark.slow
def test_qwen3_8b_fits_in_five_minutes_and_six_gibibytes():
    """A process of its own, so that the memory measured is the command's."""
    command = [sys.executable, "-m", "fleet_mlir", "inspect", "--config", "qwen3-8b", "--target", "gfx950"]
    script = [*command, "--compile-to", "kernel", "--compare-paper"]
    done = subprocess.run(script, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    assert peak < 6 << 30, f"{peak / 2**30:.2f} GiB"
    phases, rows = rows_of(done.stdout, "phase "), rows_of(done.stdout, "a layer ")
    bodies = phases["phase"].index("bodies")
    assert int(phases["kernel"][bodies]) < 20
    assert number(rows["tasks, one chiplet each (here: chiplet tasks)"][2]) < 543
    assert number(rows["- of these to the device, with one write-back of an L2"][2]) < 1830
