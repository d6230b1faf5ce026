"""Queues of which only so many tasks may run at once: one permit for each that does.

A permit is a word among the presences. It is only put where none stands, so there are never more
than the limit however many agents want one, and it vanishes when its agent is silent for a lease,
which is when others may take over the task that it was for.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import msgspec

from ...core.bus.connect import Bus
from ...core.ports import BusAway, WrongSequence

log = logging.getLogger(__name__)

FULL_SECONDS = 0.5
"""After so long we look again whether somebody gave a permit back."""


class Permit(msgspec.Struct):
    """Our word at a permit's place; `seq` is where the log of presences has it."""

    place: str
    seq: int


class Permits:
    """The permits of one agent."""

    def __init__(
        self,
        bus: Bus,
        me: str,
        lease: float,
        limit: Callable[[str], int | None],
        changed: Callable[[], Awaitable[None]],
    ) -> None:
        """`limit` is that of a queue, `me` is for people who look; `changed` is called when a
        queue may have room again."""
        self._presence = bus.presence
        self._me = me.encode()
        self._lease = lease
        self._limit = limit
        self._changed = changed
        self._held: dict[int, Permit] = {}
        """By slot."""
        self._full: dict[str, asyncio.Task[None]] = {}

    def full(self, queue: str) -> bool:
        """Whether as many tasks of the queue run as may, as far as we know."""
        return queue in self._full

    async def take(self, queue: str, slot: int) -> bool:
        """Whether a task of the queue may run in the slot. Raises `BusAway`."""
        limit = self._limit(queue)
        if limit is None:
            return True
        begin = f"permit.{queue}."
        there = {name for name in await self._presence.all() if name.startswith(begin)}
        free = [place for n in range(limit) if (place := f"{begin}{n}") not in there]
        for place in free[: max(0, limit - len(there))]:
            last = await self._presence.last(place)
            try:
                seq = await self._presence.put(
                    place, self._me, self._lease, last.seq if last else 0
                )
            except WrongSequence:
                continue
            self._held[slot] = Permit(place, seq)
            return True
        self._full[queue] = asyncio.ensure_future(self._reopen(queue))
        return False

    async def _reopen(self, queue: str) -> None:
        await asyncio.sleep(FULL_SECONDS)
        del self._full[queue]
        await self._changed()

    async def give_back(self, slot: int) -> None:
        """What ran in the slot is over."""
        permit = self._held.pop(slot, None)
        if permit:
            try:
                await self._presence.remove(permit.place, permit.seq)
            except (BusAway, WrongSequence):
                return  # it vanishes by itself

    async def run(self) -> None:
        """Renew them without end."""
        while True:
            await asyncio.sleep(self._lease / 4)
            for permit in list(self._held.values()):
                await self._renew(permit)

    async def _renew(self, permit: Permit) -> None:
        try:
            permit.seq = await self._presence.put(permit.place, self._me, self._lease, permit.seq)
        except WrongSequence:
            # We were away for a lease. The task goes on; the queue has one more for that long.
            log.warning("%s is another agent's now", permit.place)
        except BusAway as away:
            log.info("%s could not be renewed: %s", permit.place, away)
