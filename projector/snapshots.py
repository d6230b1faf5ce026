"""Copies of the database for queries that must not touch it.

A copy is made beside the writing, but it takes the disk for as long as it takes, so the next one
waits for twenty times that (and for half a second at least): queries by themselves never take more
than a twentieth of the disk's time, and what they see is at most so much old.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

LEAST_SECONDS = 0.5
PAUSE_PER_COPY = 20


class Snapshot(msgspec.Struct):
    """A copy of the database at a position of the lifecycle stream; `users` read it now."""

    path: Path
    position: tuple[int, int, int]
    users: int = 0

    @property
    def seq(self) -> int:
        """The last lifecycle event that the copy knows of."""
        return self.position[0]


Copy = Callable[[Path], Awaitable[tuple[int, int, int]]]
"""Copies the database to a path and says at which positions it was."""


class Snapshots:
    """The copies in a folder of their own: the newest, and older ones as long as they are read."""

    def __init__(self, folder: Path, copy: Copy) -> None:
        self._folder = folder
        self._copy = copy
        self._newest: Snapshot | None = None
        self._not_before = 0.0
        self._count = 0
        self._lock = asyncio.Lock()
        shutil.rmtree(folder, ignore_errors=True)

    def close(self) -> None:
        """Delete all copies."""
        shutil.rmtree(self._folder, ignore_errors=True)

    @asynccontextmanager
    async def use(self, position: tuple[int, int, int], least: int = 0) -> AsyncIterator[Snapshot]:
        """A copy that stays as long as the block runs: of `position`, unless that is too soon; in
        any case one that knows the lifecycle event `least`."""
        async with self._lock:
            if self._newest and self._newest.seq < least:
                await asyncio.sleep(self._not_before - time.monotonic())
            snapshot = await self._fresh(position)
        snapshot.users += 1
        try:
            yield snapshot
        finally:
            snapshot.users -= 1
            if snapshot is not self._newest:
                self._drop(snapshot)

    def has(self, least: int) -> bool:
        """Whether the newest copy, which knows the lifecycle event `least`, is used in any case:
        for another one it is too soon."""
        newest = self._newest
        return bool(newest and newest.seq >= least and time.monotonic() < self._not_before)

    def pause(self, position: tuple[int, int, int]) -> float:
        """For how many seconds there will be no copy that knows of all up to `position`."""
        newest = self._newest
        if newest and any(has < want for has, want in zip(newest.position, position, strict=True)):
            return max(0.0, self._not_before - time.monotonic())
        return 0.0

    async def _fresh(self, position: tuple[int, int, int]) -> Snapshot:
        newest = self._newest
        if newest and (newest.position == position or time.monotonic() < self._not_before):
            return newest
        self._newest = await self._make()
        if newest:
            self._drop(newest)
        return self._newest

    async def _make(self) -> Snapshot:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self._count += 1
        path = self._folder / f"{self._count}.duckdb"
        began = time.monotonic()
        position = await self._copy(path)
        ended = time.monotonic()
        self._not_before = ended + max(LEAST_SECONDS, PAUSE_PER_COPY * (ended - began))
        return Snapshot(path, position)

    def _drop(self, snapshot: Snapshot) -> None:
        if not snapshot.users:
            snapshot.path.unlink(missing_ok=True)
