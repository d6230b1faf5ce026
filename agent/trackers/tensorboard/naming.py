"""What stands before the names of a metric: the folder of its run, where there are several."""

from __future__ import annotations

import re
from pathlib import Path

_SPLITS = frozenset({"train", "training", "valid", "val", "validation", "eval", "test"})
"""Folders that are never a task's only one, though one of them is there first."""

_MOMENT = re.compile(r"\d{10}(?:\.\d+)?")
"""A folder that a writer made for one call, named by the clock."""


class Prefixes:
    """Gives each folder its prefix.

    The first folder of a task has none, for most have but one, and its name holds the time: with
    it, curves of no two tasks would have the same name. In a folder that the user named all have.
    """

    def __init__(self, root: Path, *, named: bool) -> None:
        self._root = root
        self._base: Path | None = root if named else None

    def of(self, folder: Path) -> str:
        """What stands before the names of metrics in a folder."""
        if self._base is None:
            self._base = folder.parent if folder.name in _SPLITS else folder
        for base in (self._base, self._base.parent, self._root):
            if folder.is_relative_to(base) and base.is_relative_to(self._root):
                parts = [
                    one for one in folder.relative_to(base).parts if not _MOMENT.fullmatch(one)
                ]
                return "".join(f"{part}/" for part in parts)
        return ""
