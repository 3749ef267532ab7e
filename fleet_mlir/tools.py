"""Finds and runs Fleet's own compiler tools (``fleet-opt``, ``fleet-translate``)."""

from __future__ import annotations

import functools
import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from .errors import FleetError

PACKAGE = Path(__file__).resolve().parent


def _places() -> list[Path]:
    places = []
    if os.environ.get("FLEET_TOOLS_DIR"):
        places.append(Path(os.environ["FLEET_TOOLS_DIR"]))
    return [*places, PACKAGE / "bin", PACKAGE.parent / "build" / "bin"]


def find(name: str) -> Path:
    """The path of a tool: ``$FLEET_TOOLS_DIR``, the package's ``bin``, ``build/bin``, then ``PATH``."""
    for place in _places():
        path = place / name
        if path.is_file() and os.access(path, os.X_OK):
            return path
    found = shutil.which(name)
    if found:
        return Path(found)
    raise FleetError(f"the tool {name} was not found: build the project or set FLEET_TOOLS_DIR")


_ERROR = re.compile(r"(?:^|: )error: (.*)$")


def sentence(message: str) -> str:
    """The first line of a diagnostic as one of our sentences; advice to users of MLIR's own tools goes."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return lines[0].partition(". If this is intended")[0].rstrip(".") if lines else ""


def first_error(stderr: str) -> str:
    """The first diagnostic of a tool's standard error, without its location."""
    for line in stderr.splitlines():
        match = _ERROR.search(line)
        if match and match.group(1).strip():
            return sentence(match.group(1))
    return sentence(stderr)


def run(name: str, arguments: Sequence[str], text: str | None = None) -> str:
    """Run a tool on ``text`` (its standard input) and return its standard output."""
    path = find(name)
    try:
        done = subprocess.run(
            [str(path), *arguments], input=text, capture_output=True, text=True, check=False
        )
    except OSError as error:
        raise FleetError(f"the tool {path} cannot be run: {error.strerror}") from None
    if done.returncode != 0:
        message = first_error(done.stderr)
        if done.returncode < 0:
            message = f"{name} died of signal {-done.returncode}" + (f": {message}" if message else "")
        raise FleetError(message or f"{name} failed with exit code {done.returncode}")
    return done.stdout


@functools.lru_cache(maxsize=8)
def _hash_file(path: str, size: int, mtime: int) -> str:
    del size, mtime  # part of the key: a rebuilt tool is hashed again
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def hash_files(files: Sequence[Path]) -> str:
    """A hash of some files and of this package's own Python files."""
    digest = hashlib.sha256()
    for path in files:
        stat = path.stat()
        digest.update(_hash_file(str(path), stat.st_size, stat.st_mtime_ns).encode())
    for source in sorted(PACKAGE.rglob("*.py")):
        digest.update(source.relative_to(PACKAGE).as_posix().encode())
        digest.update(source.read_bytes())
    return digest.hexdigest()


def version() -> str:
    """A hash that changes whenever the tools or this package change."""
    return hash_files([find(name).resolve() for name in ("fleet-opt", "fleet-translate")])
