"""Copies of the database for queries that must not touch it.

A copy is made beside the writing, but it takes the disk for as long as it takes, so the next one
waits for twenty times that (and for half a second at least): queries by themselves never take more
than a twentieth of the disk's time, and what they see is at most so much old. Where a copy takes
long, nobody who has just asked waits for the next: it is made while the one before it is read.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

LEAST_SECONDS = 0.5
PAUSE_PER_COPY = 20
LONG_SECONDS = 0.25
"""A copy that takes longer is waited for only by the first who asks after a while."""

log = logging.getLogger(__name__)


class Snapshot(msgspec.Struct):
    """A copy of the database at a position of the lifecycle stream; `users` read it now."""

    path: Path
    position: tuple[int, int, int]
    seconds: float
    """How long it took."""
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
        self._outdated = False
        self._lock = asyncio.Lock()
        self._renewal: asyncio.Task[None] | None = None
        shutil.rmtree(folder, ignore_errors=True)

    def close(self) -> None:
        """Delete all copies."""
        if self._renewal:
            self._renewal.cancel()
        shutil.rmtree(self._folder, ignore_errors=True)

    def outdate(self) -> None:
        """Rows went, which no position tells: the next copy is another one."""
        self._outdated = True

    @asynccontextmanager
    async def use(
        self, position: tuple[int, int, int], least: int = 0, *, newest: bool = True
    ) -> AsyncIterator[Snapshot]:
        """A copy that stays as long as the block runs: of `position`, unless that is too soon or
        need not be the `newest`; in any case one that knows the lifecycle event `least`."""
        snapshot = self._newest if not newest and self.has(least) else None
        if snapshot is None:
            async with self._lock:
                if self._newest and self._newest.seq < least:
                    await asyncio.sleep(self._not_before - time.monotonic())
                snapshot = await self._fresh(position)
        elif self._due(position) and (self._renewal is None or self._renewal.done()):
            self._renewal = asyncio.create_task(self._renew(position))
        snapshot.users += 1
        try:
            yield snapshot
        finally:
            snapshot.users -= 1
            if snapshot is not self._newest:
                self._drop(snapshot)

    def has(self, least: int) -> bool:
        """Whether there is a copy to be read at once that knows the lifecycle event `least`: for
        another one it is too soon, or it would be long waited for by somebody who goes on asking.
        """
        newest = self._newest
        if newest is None or newest.seq < least:
            return False
        patience = PAUSE_PER_COPY * newest.seconds if newest.seconds > LONG_SECONDS else 0.0
        return time.monotonic() < self._not_before + patience

    def pause(self, position: tuple[int, int, int]) -> float:
        """For how many seconds there will be no copy that knows of all up to `position`."""
        newest = self._newest
        if newest and any(has < want for has, want in zip(newest.position, position, strict=True)):
            return max(0.0, self._not_before - time.monotonic())
        return 0.0

    async def _fresh(self, position: tuple[int, int, int]) -> Snapshot:
        newest = self._newest
        if newest and not self._due(position):
            return newest
        self._outdated = False
        self._newest = await self._make()
        if newest:
            self._drop(newest)
        return self._newest

    def _due(self, position: tuple[int, int, int]) -> bool:
        """Whether there is more to be copied, and it is not too soon."""
        newest = self._newest
        another = newest is None or newest.position != position or self._outdated
        return another and time.monotonic() >= self._not_before

    async def _renew(self, position: tuple[int, int, int]) -> None:
        try:
            async with self._lock:
                await self._fresh(position)
        except Exception as error:
            # Whoever has to wait for a copy is told; until then the one before it is read.
            log.warning("no newer copy of the database: %s", error)

    async def _make(self) -> Snapshot:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self._count += 1
        path = self._folder / f"{self._count}.duckdb"
        began = time.monotonic()
        position = await self._copy(path)
        ended = time.monotonic()
        self._not_before = ended + max(LEAST_SECONDS, PAUSE_PER_COPY * (ended - began))
        return Snapshot(path, position, ended - began)

    def _drop(self, snapshot: Snapshot) -> None:
        if not snapshot.users:
            snapshot.path.unlink(missing_ok=True)
