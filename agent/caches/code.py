"""Commits of tasks' code, as a cache that can be kept small."""

from __future__ import annotations

from pathlib import Path

from ..sources import workdir
from .base import Entry


class Commits:
    """What `agent/workdir` keeps of git. Never in use: a work tree has links of its own."""

    kind = "code"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def entries(self) -> list[Entry]:
        return [
            Entry(kind=self.kind, name=commit, bytes=size, used=used)
            for commit, size, used in workdir.commits(self._folder)
        ]

    def remove(self, name: str) -> bool:
        workdir.drop(self._folder, name)
        return True

    def sweep(self) -> None:
        workdir.sweep(self._folder)
