"""How much room is left where an agent writes, and how much is too little."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from ..core.units import size_text

LEAST_BYTES = 2 * 2**30
LEAST_SHARE = 0.05
"""The floor when none is set: whichever of the two is less. A small disk must not stop an agent
for good, and of a large one 5 % are a lot."""

ROOM = 1.1
"""Who was below the floor goes on when there is a tenth more: an agent on the edge would pause and
go on all the time."""


class Room(msgspec.Struct, frozen=True):
    """The free space of the disk that holds `folder`, and its floor; bytes."""

    folder: str
    free: int
    floor: int

    @property
    def low(self) -> bool:
        """Whether nothing more should begin here."""
        return self.free < self.floor

    @property
    def enough(self) -> bool:
        """Whether what was paused may go on."""
        return self.free >= self.floor * ROOM

    @property
    def missing(self) -> int:
        """The bytes to be freed until it is enough."""
        return max(0, int(self.floor * ROOM) - self.free)

    def __str__(self) -> str:
        return f"disk: {size_text(self.free)} free at {self.folder}, floor {size_text(self.floor)}"


def floor_bytes(floor: str, total: int) -> int:
    """The bytes that `floor` means on a disk of `total`: `auto`, a part such as `5%`, or bytes."""
    if floor == "auto":
        return min(LEAST_BYTES, int(total * LEAST_SHARE))
    if floor.endswith("%"):
        return int(total * float(floor[:-1]) / 100)
    return int(floor)


def room(folder: Path, floor: str) -> Room:
    """The room at `folder`, which need not exist yet. Raises `OSError`."""
    there = next(place for place in (folder, *folder.parents) if place.exists())
    disk = os.statvfs(there)
    free, total = disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize
    return Room(str(folder), free, floor_bytes(floor, total))


def tightest(folders: Iterable[Path], floor: str) -> Room:
    """The room that is nearest to its floor, or farthest below it."""
    return min((room(folder, floor) for folder in folders), key=lambda one: one.free - one.floor)
