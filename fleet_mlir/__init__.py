"""Fleet: compiles a decoder language model into one persistent kernel for multi-die chips.

The heavy parts (torch, transformers, IREE) are imported when they are first needed, so that
``import fleet_mlir`` stays cheap.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .errors import FleetError

if TYPE_CHECKING:
    from .compiler import compile
    from .llm import LLM
    from .runtime import Executable, StepResult

__version__ = "0.1.0"
__all__ = ["LLM", "Executable", "FleetError", "StepResult", "__version__", "compile"]

_LAZY = {"Executable": "runtime", "StepResult": "runtime", "LLM": "llm"}


def compile(*args: Any, **kwargs: Any) -> Any:
    """Compile a model; see :func:`fleet_mlir.compiler.compile`."""
    return importlib.import_module(".compiler", __name__).compile(*args, **kwargs)


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module("." + _LAZY[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
