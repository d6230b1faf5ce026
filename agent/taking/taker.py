"""Takes hints from the queues while there is room for what they ask."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

from ...core.bus.waiting import first_of
from ...core.fleet.resources import Request
from ...core.ports import BusAway, Delivery
from ...core.subjects import Level
from ..means import Means
from .fairness import Shares
from .limits import Limits
from .line import rank, take_in_order
from .lookout import Lookout
from .order import make_order
from .pauses import Pauses
from .room import Holding, Room

log = logging.getLogger(__name__)

LINGER_SECONDS = 20.0

BRIEF = 0.005
"""Seconds that a level must not fit before others get what comes for it. An agent that is back
sooner, as with very short tasks, would only have handed it back and forth."""


class Taker:
    """Hands each hint to `begin`, with what its task will hold of the machine."""

    def __init__(
        self,
        means: Means,
        room: Room,
        over: asyncio.Event,
        begin: Callable[[Delivery, Holding], None],
    ) -> None:
        """`over` is set for good when nothing more is to be taken."""
        self._over = over
        self.paused = False
        """Whether nothing is taken for the moment."""
        self._means = means
        self._hints = means.bus.hints
        self._room = room
        self._begin = begin
        self._order = make_order(means.config.order, means.config.queues)
        self._pauses = Pauses(means.bus, means.config.queues)
        clock = asyncio.get_running_loop().time
        self.limits = Limits(
            means.bus, means.author, means.config.queues, means.config.lease, clock
        )
        self._shares = Shares(means.bus, means.instance, room, clock)
        self.lookout = Lookout(means, room, self._order, clock, self._is_open, self.look_again)
        self._levels: set[Level] = set()
        self._demanding: set[Level] = set()
        """The levels whose tasks want more than a slot."""
        self._freed = asyncio.Event()
        self._changed = False
        """Whether there are levels or resources that the last look did not see."""
        self._withdrawing: asyncio.TimerHandle | None = None
        self._withdrawals: set[asyncio.Future[None]] = set()

    # --- life -----------------------------------------------------------------------------------

    async def run(self) -> None:
        """Take hints until it is over."""
        await first_of(self._pauses.known.wait(), self._over.wait())
        await first_of(self.limits.known.wait(), self._over.wait())
        while not self._over.is_set():
            if not self._room.slots or self.paused:
                self._freed.clear()
                await self._freed.wait()
                continue
            await first_of(self._means.bus.standing.wait(), self._over.wait())
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
                await first_of(self._means.bus.wait(away), self._over.wait())

    async def watch_levels(self) -> None:
        """Learn of the levels of our queues without end."""
        async with self._hints.watch(self._means.config.queues) as levels:
            async for level in levels:
                if level not in self._levels:
                    self._levels.add(level)
                    if self._room.request(level) != Request():
                        self._demanding.add(level)
                    await self.look_again()

    async def watch_queues(self) -> None:
        """Learn of what is done to our queues without end."""
        await asyncio.gather(self._pauses.run(self.look_again), self.limits.run(self.look_again))

    async def look_again(self) -> None:
        """The world has changed: what waits in the queues may be taken now, or no longer."""
        self._changed = True
        self._freed.set()
        self._withdraw_soon()
        await self._hints.wake()

    async def freed(self, holding: Holding) -> None:
        """What an attempt held is free again."""
        self._freed.set()
        if holding.request != Request():
            await self.look_again()

    def stop(self) -> None:
        """Take nothing more."""
        self._over.set()
        self._freed.set()
        self._withdraw_soon()

    @property
    def _closed(self) -> bool:
        return self._over.is_set() or self.paused

    # --- taking ---------------------------------------------------------------------------------

    def _is_open(self, level: Level) -> bool:
        """Whether tasks of a level may be taken, if they fit."""
        return not (self._closed or self._pauses.on(level.queue)) and self.limits.open(level)

    def _may_take(self, level: Level) -> bool:
        return self._room.fits(level) and self._is_open(level)

    def _may_begin(self, level: Level) -> bool:
        return self._may_take(level) and not self.lookout.blocks(level)

    def _may_look(self, level: Level) -> bool:
        return self._may_take(level) and (
            self.lookout.may_spare(level) or not self.lookout.blocks(level)
        )

    async def _next(self) -> Sequence[Delivery]:
        """What waits in the queues now, else the first thing to come."""
        self._changed = False
        levels = self._order.arrange(filter(self._may_look, self._levels))
        for _, lanes in groupby(levels, key=lambda level: (level.queue, level.priority)):
            if found := await self._first_in(list(lanes)):
                return found
        if self._closed or self._changed:
            # That came while the queues were looked at: its `wake` found nobody asleep.
            return ()
        open_levels = [level for level in levels if not self.lookout.blocks(level)]
        first = await self._hints.take_first(open_levels, LINGER_SECONDS)
        return (first,) if first else ()

    async def _first_in(self, lanes: Sequence[Level]) -> Sequence[Delivery]:
        """What stands first in the lanes of one queue and priority, and may be taken now."""
        first = lanes[0]
        if len(lanes) == 1 and not first.express and not self.lookout.blocks(first):
            return await self._hints.take(first, self._limit(first))
        if any(level.request.user for level in lanes):
            await self._shares.look()
        return await take_in_order(self._hints, lanes, self._limit, self._place)

    def _limit(self, level: Level) -> int:
        """How many tasks of a level may be taken together."""
        alone = self._order.one_at_a_time or level in self._demanding
        alone = alone or self.limits.limited(level.queue)
        return 1 if alone else self._room.slots

    def _place(self, delivery: Delivery) -> Any:
        """Where a delivery stands in line; None if it has to wait for another that does not fit."""
        if self._waits(delivery):
            return None
        return (*self._shares.place(delivery.level), rank(delivery))

    def _waits(self, delivery: Delivery) -> bool:
        return self.lookout.blocks(delivery.level) and not self.lookout.spares(delivery)

    async def _take(self, delivery: Delivery) -> None:
        level = delivery.level
        may_begin = self._is_open(level) and not self._waits(delivery)
        holding = self._room.hold(level, delivery.task, delivery.seq) if may_begin else None
        if holding is None:
            await delivery.later(0)
            return
        self._order.took(level.queue)
        self._shares.took(level)
        self._begin(delivery, holding)
        self._withdraw_soon()
        if self._demanding:
            await self.lookout.began(level, self._demanding)

    # --- giving others what we cannot take ------------------------------------------------------

    def _withdraw_soon(self) -> None:
        """What comes from now on for a level that does not fit goes to others."""
        if self._withdrawing is None:
            loop = asyncio.get_running_loop()
            self._withdrawing = loop.call_later(BRIEF, self._withdraw)

    def _withdraw(self) -> None:
        self._withdrawing = None
        withdrawal = asyncio.ensure_future(self._hints.withdraw(self._is_wanted))
        self._withdrawals.add(withdrawal)
        withdrawal.add_done_callback(self._withdrawals.discard)

    def _is_wanted(self, level: Level) -> bool:
        return self._may_begin(level)
