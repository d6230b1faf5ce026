"""Takes hints from the queues while there is room for what they ask."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from msgspec.structs import replace

from ...core.bus.waiting import first_of
from ...core.ports import BusAway, Delivery
from ...core.resources import Request
from ...core.subjects import Level
from ..means import Means
from .line import take_in_order
from .order import make_order
from .pauses import Pauses
from .room import Holding, Room

log = logging.getLogger(__name__)

LINGER_SECONDS = 20.0


class Taker:
    """Hands each hint to `begin`, with what its task will hold of the machine."""

    def __init__(
        self, means: Means, room: Room, begin: Callable[[Delivery, Holding], None]
    ) -> None:
        self.over = asyncio.Event()
        """Set for good when nothing more is to be taken."""
        self.paused = False
        """Whether nothing is taken for the moment."""
        self._means = means
        self._hints = means.bus.hints
        self._room = room
        self._begin = begin
        self._order = make_order(means.config.order, means.config.queues)
        self._pauses = Pauses(means.bus, means.config.queues)
        self._levels: set[Level] = set()
        self._freed = asyncio.Event()
        self._changed = False
        """Whether there are levels or resources that the last look did not see."""

    async def run(self) -> None:
        """Take hints until it is over."""
        await first_of(self._pauses.known.wait(), self.over.wait())
        while not self.over.is_set():
            if not self._room.slots or self.paused:
                self._freed.clear()
                await self._freed.wait()
                continue
            await first_of(self._means.bus.standing.wait(), self.over.wait())
            if not self._means.keeper.fresh:
                # Whoever could not renew its lease lately must not begin anything.
                self._means.keeper.nudge()
                await asyncio.sleep(0.05)
                continue
            try:
                for delivery in await self._next():
                    await self._take(delivery)
            except BusAway as away:
                log.info("no hints: %s", away)
                await first_of(self._means.bus.wait(away), self.over.wait())

    async def watch_levels(self) -> None:
        """Learn of the levels of our queues without end."""
        async with self._hints.watch(self._means.config.queues) as levels:
            async for level in levels:
                if level not in self._levels:
                    self._levels.add(level)
                    await self.look_again()

    async def watch_queues(self) -> None:
        """Learn of what is done to our queues without end."""
        await self._pauses.run(self.look_again)

    async def look_again(self) -> None:
        """The world has changed: what waits in the queues may be taken now, or no longer."""
        self._changed = True
        self._freed.set()
        await self._hints.wake()

    async def freed(self, holding: Holding) -> None:
        """What an attempt held is free again."""
        self._freed.set()
        if holding.request != Request():
            await self.look_again()

    def stop(self) -> None:
        """Take nothing more."""
        self.over.set()
        self._freed.set()

    @property
    def _closed(self) -> bool:
        return self.over.is_set() or self.paused

    async def _next(self) -> list[Delivery]:
        """What waits in the queues now, else the first thing to come."""
        self._changed = False
        fitting = [
            level
            for level in self._levels
            if self._room.fits(level.request) and not self._pauses.on(level.queue)
        ]
        levels = self._order.arrange(fitting)
        for level in levels:
            if level.express:
                continue  # its tasks stand in line with those of the ordinary lane
            alone = self._order.one_at_a_time or level.request != Request()
            lanes = [lane for lane in levels if replace(lane, express=False) == level]
            if found := await take_in_order(self._hints, lanes, 1 if alone else self._room.slots):
                return found
        if self._closed or self._changed:
            # That came while the queues were looked at: its `wake` found nobody asleep.
            return []
        first = await self._hints.take_first(levels, LINGER_SECONDS)
        return [first] if first else []

    async def _take(self, delivery: Delivery) -> None:
        closed = self._closed or self._pauses.on(delivery.level.queue)
        holding = None if closed else self._room.hold(delivery.level.request)
        if holding is None:
            await delivery.later(0)
            return
        self._order.took(delivery.level.queue)
        self._begin(delivery, holding)
