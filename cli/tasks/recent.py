"""The tasks that this user enqueued last from this machine: what `@` and `@~2` mean."""

from __future__ import annotations

import hashlib
import os
import tempfile
from contextlib import suppress
from pathlib import Path

import platformdirs

KEPT = 500
_LINE = 13  # a task id and its line's end


def _path(server: str) -> Path:
    place = server.rpartition("@")[2]
    name = hashlib.sha256(place.encode()).hexdigest()[:16]
    return platformdirs.user_state_path("evq") / "recent" / name


def remember(server: str, tasks: list[str]) -> None:
    """Add `tasks`, the last one being `@`. A full disk or a read-only home is no error."""
    path = _path(server)
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        # Appended in one write, so that two commands at a time do not lose each other's lines.
        with path.open("ab", buffering=0) as file:
            file.write("".join(f"{task}\n" for task in tasks).encode())
            if file.tell() > 4 * KEPT * _LINE:
                _shorten(path)


def _shorten(path: Path) -> None:
    kept = path.read_bytes()[-KEPT * _LINE :]
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(kept)
    os.replace(file.name, path)


def recent(server: str) -> list[str]:
    """Those tasks, the newest first."""
    try:
        lines = _path(server).read_text(encoding="ascii", errors="replace").split()
    except OSError:
        return []
    return lines[::-1]
