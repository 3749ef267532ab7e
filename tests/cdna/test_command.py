"""The command cdna-exec."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fleet_mlir.cdna.cli import main

COMMAND = Path(__file__).parents[2] / "tools" / "cdna-exec" / "cdna-exec"
Build = Callable[..., bytes]


@pytest.fixture
def vadd(build: Build, tmp_path: Path) -> Path:
    path = tmp_path / "vadd.hsaco"
    path.write_bytes(build("vadd.cl", "gfx950"))
    return path


def test_info(vadd: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(vadd)]) == 0
    text = capsys.readouterr().out
    assert "gfx950" in text and "vadd:" in text and "VGPRs" in text and "not supported" not in text


def test_run(vadd: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = np.random.default_rng(0).standard_normal((2, 300)).astype(np.float32)
    np.save(tmp_path / "a.npy", a)
    np.save(tmp_path / "b.npy", b)
    arguments = [f"{tmp_path}/a.npy", f"{tmp_path}/b.npy", f"zeros:f32:300={tmp_path}/c.npy", "300"]
    done = subprocess.run(
        [sys.executable, str(COMMAND), "run", str(vadd), "--grid", "2", "--block", "256", "--seeds", "2", "--stats"]
        + [part for argument in arguments for part in ("--arg", argument)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert np.array_equal(np.load(tmp_path / "c.npy"), a + b)
    assert done.stdout.startswith("seed 0: ") and "\nseed 1: " in done.stdout and " instructions, " in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--arg", "x"], "expected a number, a .npy file or zeros:..., found x"),
        (["--arg", "zeros:q:3"], "expected zeros:<type>:<sizes> as in zeros:f32:4x16, found zeros:q:3"),
        (["--arg", "none.npy"], "none.npy cannot be read as an array"),
        (["--kernel", "other"], "expected one of the kernels vadd, found other"),
        ([], "expected 4 arguments for vadd, found 0"),
    ],
)
def test_bad_commands(vadd: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    assert main(["run", str(vadd), "--grid", "1", "--block", "256", *arguments]) == 1
    assert capsys.readouterr().err.startswith(f"error: {message}")


def test_missing_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "/nowhere.hsaco"]) == 1
    assert capsys.readouterr().err == "error: /nowhere.hsaco cannot be read: No such file or directory\n"


def test_deadlock_report(build: Build, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "misc.hsaco"
    path.write_bytes(build("misc.cl", "gfx942"))
    assert main(["run", str(path), "--kernel", "hang", "--grid", "3", "--block", "64", "--arg", "zeros:u32:4"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 4 and lines[0].startswith("error: kernel hang: no progress, 3 of 3 resident waves wait")
    assert lines[3].startswith("workgroup 2 wave 0 (xcd ")
