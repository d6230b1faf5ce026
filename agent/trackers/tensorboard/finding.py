"""Finds event files below a folder, cheaply enough to look every second.

A folder is listed again only if something was made in it or taken from it: that alone moves its
time of change. No link is followed, and folders in which nobody logs are passed over.
"""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Iterator
from contextlib import suppress
from pathlib import Path

MARK = ".tfevents."
"""Stands in the name of every event file."""

MOST_FOLDERS = 5000
MOST_FILES = 1000
PASSED_OVER = frozenset({"__pycache__", "node_modules", "site-packages", "mlartifacts", "mlruns"})

_COARSE = 5
"""CLOCK_REALTIME_COARSE, which Python has no name for."""

FRESH_NS = 2 * 10**9
"""What changed so recently may change once more without a later time of change."""


def file_time(folder: Path) -> int:
    """Now, by the clock of the kernel that files get their times from, in nanoseconds since 1970.

    It is some milliseconds behind the one that is asked usually, unless somebody looks at a file:
    newer kernels then give the next change a finer time, and none an earlier one after that. So
    `folder` is touched and asked: what was written beside it until now is not younger.
    """
    try:
        os.utime(folder)
        return os.stat(folder).st_mtime_ns
    except OSError:
        return time.clock_gettime_ns(_COARSE)


class Finder:
    """The event files below `root` that were written since a moment."""

    def __init__(self, root: Path, since: int) -> None:
        """`since` is a `file_time`: files that came with the code are not younger."""
        self.root = root
        self.overfull = False
        """Whether there is more than is looked through."""
        self._since = since
        self._folders: dict[str, tuple[int, list[str]]] = {}
        self._old: set[str] = set()
        self._found: set[str] = set()

    def look(self) -> list[Path]:
        """Those that were not found before, the outer ones first."""
        for path in self._listed():
            if path not in self._found:
                self._old.add(path)
        new = [path for path in sorted(self._old, key=_depth) if self._is_new(path)]
        self._old.difference_update(new)
        room = MOST_FILES - len(self._found)
        self.overfull |= len(new) > room
        self._found.update(new[:room])
        return [Path(path) for path in new[:room]]

    def _is_new(self, path: str) -> bool:
        with suppress(OSError):
            return os.lstat(path).st_mtime_ns > self._since
        return False

    def _listed(self) -> Iterator[str]:
        """The event files in folders that changed."""
        todo, seen = [str(self.root)], 0
        while todo:
            folder = todo.pop()
            if (seen := seen + 1) > MOST_FOLDERS:
                self.overfull = True
                return
            try:
                changed = os.stat(folder, follow_symlinks=False).st_mtime_ns
                known = self._folders.get(folder)
                if known is None or known[0] != changed:
                    known = yield from self._list(folder, changed)
            except OSError:
                self._folders.pop(folder, None)
                continue
            todo += known[1]

    def _list(self, folder: str, changed: int) -> Generator[str, None, tuple[int, list[str]]]:
        inner: list[str] = []
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    if not entry.name.startswith(".") and entry.name not in PASSED_OVER:
                        inner.append(entry.path)
                elif MARK in entry.name and entry.is_file(follow_symlinks=False):
                    yield entry.path
        stable = time.time_ns() - changed > FRESH_NS
        known = (changed if stable else -1, inner)
        self._folders[folder] = known
        return known


def _depth(path: str) -> tuple[int, str]:
    return path.count(os.sep), path
