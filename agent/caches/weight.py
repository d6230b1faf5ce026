"""What folders of a cache take on the disk, and when they were used last."""

from __future__ import annotations

import os
from contextlib import suppress

import msgspec


class Weight(msgspec.Struct):
    """What a folder takes: the bytes of files that have no other link, whether any has one, and
    when a file's inode changed last, in seconds since 1970."""

    bytes: int = 0
    linked: bool = False
    used: float = 0.0

    def add(self, other: Weight) -> None:
        """Count another folder in."""
        self.bytes += other.bytes
        self.linked |= other.linked
        self.used = max(self.used, other.used)


def weigh(folder: str) -> Weight:
    """All files below `folder`; nothing if it is not there."""
    found = Weight()
    for place, _, files in os.walk(folder):
        for name in files:
            with suppress(FileNotFoundError):
                status = os.lstat(os.path.join(place, name))
                found.used = max(found.used, status.st_ctime)
                if status.st_nlink > 1:
                    found.linked = True
                else:
                    found.bytes += status.st_blocks * 512
    return found


def folders(folder: str, prefix: str = "") -> list[str]:
    """The folders in `folder` whose names begin so; none if it is not there."""
    try:
        with os.scandir(folder) as entries:
            return [
                entry.path
                for entry in entries
                if entry.name.startswith(prefix) and entry.is_dir(follow_symlinks=False)
            ]
    except OSError:
        return []
