"""Runs passes and translations on a module: in this process through MLIR's Python bindings, or, where those are not built, through the
tools ``fleet-opt`` and ``fleet-translate``. Both give the same text, the same code and the same errors.
"""

from __future__ import annotations

import functools
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import tools
from .errors import FleetError

_PACKAGE = "fleet.package"  # says nothing about code
_PACKAGE_LINE = re.compile(rf"^\s*{re.escape(_PACKAGE)} .*$", re.MULTILINE)


def without_package(text: str) -> str:
    """A module's text without what says nothing about code."""
    return _PACKAGE_LINE.sub("", text)


@functools.cache
def bindings() -> Any | None:
    """The modules ``ir``, ``passmanager`` and ``_fleet`` of the built package, None in a source tree without them."""
    try:
        from . import ir, passmanager
        from ._mlir_libs import _fleet
    except ImportError:
        return None
    return ir, passmanager, _fleet


def program(text: str) -> Bound | Piped:
    """A module on its way through the compiler."""
    return Bound(text, *bindings()) if bindings() else Piped(text)


def version() -> str:
    """A hash that changes whenever the compiler or this package changes."""
    found = bindings()
    if not found:
        return tools.version()
    library = Path(found[2].__file__)
    return tools.hash_files([library, *sorted(library.parent.glob("libFleetPythonCAPI.*"))])


def _sentence(messages: Sequence[str], otherwise: str) -> FleetError:
    """The first message that says something."""
    return FleetError(next(filter(None, map(tools.sentence, messages)), otherwise))


class Bound:
    """A module that lives in a context of this process."""

    def __init__(self, text: str, ir: Any, passmanager: Any, fleet: Any) -> None:
        self._passmanager, self._fleet = passmanager, fleet
        self._context = ir.Context()
        try:
            self._module = ir.Module.parse(text, self._context)
        except ir.MLIRError as failure:
            raise _sentence([d.message for d in failure.error_diagnostics], "the module cannot be parsed") from None

    def _checked(self, result: tuple[Any, list[str]], what: str) -> Any:
        done, messages = result
        if done is None or done is False:
            raise _sentence(messages, f"{what} failed")
        return done

    def run(self, passes: Sequence[str]) -> None:
        """Run passes, each as it stands in a textual pipeline of ``builtin.module``."""
        try:
            manager = self._passmanager.PassManager.parse(f"builtin.module({','.join(passes)})", self._context)
        except ValueError as failure:
            raise FleetError(tools.first_error(str(failure))) from None
        self._checked(self._fleet.run(manager, self._module.operation), passes[-1])

    def text(self) -> str:
        """The module's text, byte for byte what ``fleet-opt`` prints."""
        return self._module.operation.get_asm(assume_verified=True) + "\n"

    def manifest(self) -> str:
        """The manifest of a placed module as JSON."""
        return self._checked(self._fleet.translate_to_manifest(self._module), "the manifest")

    def object(self) -> bytes:
        """The cpu object of a module that has been through the phase target, which the module then loses its package for."""
        for op in [op for op in self._module.body.operations if op.operation.name == _PACKAGE]:
            op.operation.erase()
        return self._checked(self._fleet.translate_to_object(self._module), "the translation to an object")


class Piped:
    """A module that is passed from tool to tool as text."""

    def __init__(self, text: str) -> None:
        self._text = text

    def run(self, passes: Sequence[str]) -> None:
        """As `Bound.run`."""
        pipeline = f"--pass-pipeline=builtin.module({','.join(passes)})"
        self._text = tools.run("fleet-opt", [pipeline, "-", "-o", "-"], self._text)

    def text(self) -> str:
        """As `Bound.text`."""
        return self._text

    def manifest(self) -> str:
        """As `Bound.manifest`."""
        return tools.run("fleet-translate", ["--to-manifest", "-", "-o", "-"], self._text)

    def object(self) -> bytes:
        """As `Bound.object`."""
        with tempfile.TemporaryDirectory(prefix="fleet-") as folder:
            result = Path(folder) / "step.o"
            code = without_package(self._text)
            tools.run("fleet-translate", ["--to-object", "-", "-o", str(result)], code)
            try:
                return result.read_bytes()
            except OSError:
                raise FleetError("fleet-translate wrote no object") from None
