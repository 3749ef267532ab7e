"""Progress bars on standard error, where that is a terminal and somebody has asked for them."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Advance = Callable[..., None]

_shown: ContextVar[bool] = ContextVar("fleet_progress", default=False)


@contextmanager
def shown() -> Iterator[None]:
    """While the context lasts, stages show a bar if standard error is a terminal."""
    token = _shown.set(sys.stderr.isatty())
    try:
        yield
    finally:
        _shown.reset(token)


@contextmanager
def stage(what: str, total: int) -> Iterator[Advance]:
    """A bar of ``total`` steps; yields ``advance(count=1, note="")``, which any thread may call."""
    if not _shown.get():
        yield lambda count=1, note="": None
        return
    from tqdm import tqdm

    # tqdm shows nothing on a terminal that does not say how large it is: 80 by 24 then.
    size = shutil.get_terminal_size()
    with tqdm(
        total=total, desc=what, leave=False, file=sys.stderr, ncols=min(size.columns, 100), nrows=size.lines
    ) as bar:

        def advance(count: int = 1, note: str = "") -> None:
            if note:
                bar.set_postfix_str(note, refresh=False)
            bar.update(count)

        yield advance
