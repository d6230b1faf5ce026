"""Mirrors of remotes, as a cache that can be kept small."""

from __future__ import annotations

from pathlib import Path

from ..environments.locks import held_inodes
from ..sources import keeping
from .base import Entry


class Mirrors:
    """What `agent/sources` fetched, one entry for each address. In use while it is fetched into:
    a work tree has links of its own."""

    kind = "mirrors"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def entries(self) -> list[Entry]:
        held = held_inodes()
        return [
            Entry(
                kind=self.kind,
                name=found.address,
                bytes=found.bytes,
                used=found.used,
                in_use=found.lock_inode in held,
            )
            for found in keeping.kept(self._folder)
        ]

    def remove(self, name: str) -> bool:
        return keeping.drop(self._folder, name)

    def sweep(self) -> None:
        keeping.sweep(self._folder)
