"""The compilation cache: one ``.fleet`` file a key, written atomically."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any


def directory() -> Path:
    """``$XDG_CACHE_HOME/fleet``, else ``~/.cache/fleet``."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "fleet"


def key(parts: dict[str, Any]) -> str:
    """The sha256 of everything that a compiled program depends on."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def path(name: str) -> Path:
    """Where the entry ``name`` (a key) stands."""
    return directory() / f"{name}.fleet"


def write_atomic(target: Path, data: bytes) -> None:
    """Write ``data`` to ``target`` so that a reader sees the old file or the new one, never a part."""
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def store(name: str, data: bytes) -> bool:
    """Store an entry; False when the cache cannot be written, which is no error."""
    try:
        write_atomic(path(name), data)
    except OSError:
        return False
    return True


def load(name: str) -> bytes | None:
    """An entry's bytes, or None."""
    try:
        return path(name).read_bytes()
    except OSError:
        return None


def drop(name: str) -> None:
    """Remove an entry (one that turned out to be damaged)."""
    with contextlib.suppress(OSError):
        path(name).unlink()
