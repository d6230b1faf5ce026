"""System packages that containers have downloaded, as a cache kept small."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from .base import Entry

FOLDER = "apt"


class Downloads:
    """What apt keeps between containers. Never in use for longer than an installation, which
    fetches again what it misses."""

    kind = "apt"

    def __init__(self, folder: Path) -> None:
        self._folder = folder / FOLDER

    def entries(self) -> list[Entry]:
        found = []
        for file in self._folder.glob("*/*/*"):
            with suppress(FileNotFoundError):
                status = file.stat()
                name = str(file.relative_to(self._folder))
                if file.is_file() and file.name != "lock":
                    size = status.st_blocks * 512
                    found.append(Entry(kind=self.kind, name=name, bytes=size, used=status.st_mtime))
        return found

    def remove(self, name: str) -> bool:
        (self._folder / name).unlink(missing_ok=True)
        return True

    def sweep(self) -> None:
        """apt resumes what it has in part."""
