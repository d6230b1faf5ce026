"""The environments, as a cache that can be kept small."""

from __future__ import annotations

from pathlib import Path

from ..environments import Cache
from ..environments.locks import held_inodes
from .base import Entry


class Environments:
    """What `agent/environments` made. A file that two of them share counts in both."""

    kind = "environments"

    def __init__(self, folder: Path) -> None:
        self._cache = Cache(folder)

    def entries(self) -> list[Entry]:
        held = held_inodes()
        return [
            Entry(
                kind=self.kind,
                name=found.key,
                bytes=found.made.bytes,
                used=found.used,
                in_use=found.inode in held,
            )
            for found in self._cache.complete()
        ]

    def remove(self, name: str) -> bool:
        return self._cache.remove(name)

    def sweep(self) -> None:
        self._cache.sweep()
