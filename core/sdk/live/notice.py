"""Tells readers that something has changed: each asks what is new since the version it has."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection, Coroutine

from .rows import Changes

REMEMBERED = 2_000
"""Changes that are told one by one; a reader that missed more is told that all has changed."""


class Notice:
    """Versions, and what has changed with each."""

    def __init__(self) -> None:
        self._version = 1
        self._forgotten = 1
        """The version up to which it is no longer known what has changed."""
        self._steps: deque[Changes] = deque()
        self._bell = asyncio.Event()
        self._failed: BaseException | None = None

    def tell(
        self, tasks: Collection[str], queues: Collection[str], agents: Collection[str]
    ) -> None:
        """These have changed; with none at all, how the fleet itself is."""
        self._version += 1
        self._steps.append(
            Changes(
                version=self._version,
                tasks=frozenset(tasks),
                queues=frozenset(queues),
                agents=frozenset(agents),
            )
        )
        if len(self._steps) > REMEMBERED:
            self._forgotten = self._steps.popleft().version
        self._ring()

    def tell_all(self) -> None:
        """Everything has changed."""
        self._version += 1
        self._forgotten = self._version
        self._steps.clear()
        self._ring()

    def _ring(self) -> None:
        self._bell.set()
        self._bell = asyncio.Event()

    async def guard(self, work: Coroutine[object, object, None]) -> None:
        """Do the work, and tell those who wait if it fails."""
        try:
            await work
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self._failed = error
            self._ring()

    async def after(self, version: int, rest: float) -> Changes:
        """What has changed since `version`, once something has; see `LiveFleet.changed`."""
        while self._version <= version and not self._failed:
            await self._bell.wait()
        if self._failed:
            raise self._failed
        if rest:
            await asyncio.sleep(rest)
        return self._since(version)

    def _since(self, version: int) -> Changes:
        if version < self._forgotten:
            return Changes(version=self._version, everything=True)
        new = [step for step in self._steps if step.version > version]
        return Changes(
            version=self._version,
            tasks=frozenset().union(*(step.tasks for step in new)),
            queues=frozenset().union(*(step.queues for step in new)),
            agents=frozenset().union(*(step.agents for step in new)),
        )
