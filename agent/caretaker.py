"""Keeps an agent's disk and caches in bounds while it works.

Every few seconds it looks at the free space: below the floor it prunes the caches; if that is not
enough the folders of failed attempts go, and then the agent pauses until there is room again. From
time to time, and after something new was built, it brings the caches back into their bounds.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from ..core.units import size_text
from .attempts.kept import Kept
from .caches.base import Entry
from .caches.report import Report
from .config import Config
from .disk import Room, tightest
from .limits.memory import MemoryWatch

log = logging.getLogger(__name__)

LOOK_EVERY = 2.0
FIRST_PRUNE = 20.0
"""Seconds after the start of an agent, which has better things to do first."""

PRUNE_EVERY = 1800.0
LEAST_PAUSE = 60.0
"""Seconds between two prunings for the same reason: bounds, or a full disk."""

Pause = Callable[[str], Awaitable[None]]
"""Claim nothing more for a reason; an empty one says that all is well again."""


class Caretaker:
    """One per agent."""

    def __init__(self, config: Config, memory: MemoryWatch, kept: Kept) -> None:
        self._config = config
        self._kept = kept
        self._memory = memory
        self._paused = False
        self._now = asyncio.get_running_loop().time
        self._prune_at = self._now() + FIRST_PRUNE
        self._pruned_at = self._freed_at = -LEAST_PAUSE

    def built(self) -> None:
        """Something new is in a cache: look soon whether it is in bounds."""
        soon = max(self._now(), self._pruned_at + LEAST_PAUSE)
        self._prune_at = min(self._prune_at, soon)

    async def run(self, pause: Pause) -> None:
        """Take care without end."""
        while True:
            self._memory.look()
            await self._mind_the_disk(pause)
            if (now := self._now()) >= self._prune_at:
                self._pruned_at, self._prune_at = now, now + PRUNE_EVERY
                await self._prune("--to", str(self._config.cache_bytes))
            await asyncio.sleep(LOOK_EVERY)

    async def prune_unused(self, seconds: float, kinds: Sequence[str]) -> list[Entry] | None:
        """Remove what was not used for so long, of all caches or of these kinds; what is gone, or
        null if that could not be done."""
        words = [word for kind in kinds for word in ("--kind", kind)]
        return await self._prune("--unused", str(seconds), *words)

    async def _mind_the_disk(self, pause: Pause) -> None:
        room = self._room()
        if room.low and (now := self._now()) >= self._freed_at + LEAST_PAUSE:
            self._freed_at = now
            await self._prune("--free", str(room.missing))
            room = self._room()
        if room.low:
            await asyncio.to_thread(self._kept.sweep, most_bytes=0)
            room = self._room()
        if room.low and not self._paused:
            self._paused = True
            await pause(str(room))
        elif self._paused and room.enough:
            self._paused = False
            await pause("")

    def _room(self) -> Room:
        return tightest((self._config.state, self._config.cache), self._config.disk_floor)

    async def _prune(self, *bound: str) -> list[Entry] | None:
        """Prune in a process of its own: looking through large caches takes seconds."""
        kinds = ",".join(f"{kind}={size}" for kind, size in self._config.cache_kinds.items())
        argv = [sys.executable, "-P", "-m", "evq.agent.caches", "prune", *bound]
        argv += ["--cache-dir", str(self._config.cache), "--kinds", kinds]
        try:
            process = await asyncio.create_subprocess_exec(
                *argv, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE
            )
        except OSError as error:
            log.warning("the caches could not be pruned: %s", error)
            return None
        try:
            said, _ = await process.communicate()
        except asyncio.CancelledError:
            process.kill()
            await process.wait()
            raise
        if process.returncode != 0:
            log.warning("the caches could not be pruned: exit status %s", process.returncode)
            return None
        report = msgspec.json.decode(said, type=Report)
        if report.entries:
            freed = size_text(sum(entry.bytes for entry in report.entries))
            log.info("pruned %d entries of the caches, %s", len(report.entries), freed)
        return report.entries
