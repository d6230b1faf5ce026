"""Contents of artifacts that tasks of this machine have loaded, as a cache that can be kept small.

It is a depot in a folder: what is in it has been checked, and is checked again when it is used.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from msgspec.structs import replace

from ...core.artifacts import Artifact
from ...core.bus.connect import Bus
from ...core.sdk.artifacts import Patience, download
from .base import Entry

FOLDER = "artifacts"

LARGEST_SHARE = 0.25
"""An artifact that takes more of what all caches may take together is not kept."""


def _place(cache: Path, digest: str) -> Path:
    """Where `core.bus.depots.folder` looks for it."""
    return cache / FOLDER / digest[:2] / digest


async def nearest(
    bus: Bus, one: Artifact, cache: Path, cache_bytes: int, patience: Patience
) -> tuple[Artifact, bool]:
    """The artifact as it lies in this machine's cache, and whether it was there already.

    One in a shared folder stays there, and so does one that is too large to be kept.
    """
    if one.depot.startswith("/") or one.size > cache_bytes * LARGEST_SHARE:
        return one, False
    path = _place(cache, one.digest)
    cached = path.exists()
    if not cached:
        await download(bus, replace(one, folder=False), path, patience)
    os.utime(path)
    return replace(one, depot=str(cache / FOLDER)), cached


def forget(cache: Path, one: Artifact) -> None:
    """Drop a content that turned out to be damaged."""
    _place(cache, one.digest).unlink(missing_ok=True)


class Artifacts:
    """The contents, one entry for each. Whoever reads one has it open: it may go meanwhile."""

    kind = "artifacts"

    def __init__(self, folder: Path) -> None:
        self._cache = folder

    def entries(self) -> list[Entry]:
        found = []
        for path in (self._cache / FOLDER).glob("??/[!.]*"):
            with suppress(FileNotFoundError):
                status = path.stat()
                found.append(
                    Entry(
                        kind=self.kind,
                        name=path.name,
                        bytes=status.st_blocks * 512,
                        used=status.st_mtime,
                    )
                )
        return found

    def remove(self, name: str) -> bool:
        _place(self._cache, name).unlink(missing_ok=True)
        return True

    def sweep(self) -> None:
        """Partial files stay: whoever wants the same goes on behind what is there."""
