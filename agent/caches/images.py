"""Images that were prepared by set-up scripts and system packages, as a cache kept small.

The folder `images` of the cache has a file for each, whose time is that of its last use: an
engine does not know it. Where that folder is not, no container engine is asked.
"""

from __future__ import annotations

from pathlib import Path

from ...core.errors import ContainerFailed
from ..containers.engine import engine
from .base import Entry

FOLDER = "images"


class PreparedImages:
    """What agents of this cache have kept with the engine of this machine."""

    kind = "images"

    def __init__(self, folder: Path) -> None:
        self._folder = folder / FOLDER

    def entries(self) -> list[Entry]:
        marks = {mark.stem: mark.stat().st_mtime for mark in self._folder.glob("*.lock")}
        if not marks:
            return []
        try:
            found = engine().prepared_images()
        except ContainerFailed:
            return []
        return [
            Entry(kind=self.kind, name=one.key, bytes=one.bytes, used=marks[one.key])
            for one in found
            if one.key in marks
        ]

    def remove(self, name: str) -> bool:
        try:
            if not engine().remove_prepared(name):
                return False
        except ContainerFailed:
            return False
        (self._folder / f"{name}.lock").unlink(missing_ok=True)
        return True

    def sweep(self) -> None:
        """An image that is there is whole."""
