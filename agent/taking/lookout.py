"""Looks after the tasks that this agent passes by because they do not fit, so that none starves.

Only the head of a level's line is looked at: whoever stands behind it waits for it. A look takes
the head and hands it back, which finds exactly what is there to be taken; it is rare, and only at
levels that were passed by. See docs/decisions/0022.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable

from msgspec.structs import replace

from ...core import state
from ...core.errors import NotFound
from ...core.fleet.presence import AgentPresence, PassedBy, decode_presence, presence_key
from ...core.fleet.resources import delays, lacks
from ...core.handle import from_hint, load
from ...core.ports import BusAway, Delivery, Stored, WrongSequence
from ...core.sdk.author import now
from ...core.subjects import Level
from ..means import Means
from .line import rank
from .order import Order
from .reservation import LAST_RESORT, Passed, nearest, only_waits_for_slot
from .room import Room

log = logging.getLogger(__name__)

LOOKS = 10
"""Looks within a patience."""

LEAST_PAUSE, MOST_PAUSE = 0.1, 10.0
"""Seconds between two looks."""

KEPT_LOOKS = 3
"""A reservation that its agent has not renewed for so many pauses is over."""


class Lookout:
    """Whom the agent passes by, and for whom it keeps room."""

    def __init__(
        self,
        means: Means,
        room: Room,
        order: Order,
        clock: Callable[[], float],
        is_open: Callable[[Level], bool],
        changed: Callable[[], Awaitable[None]],
    ) -> None:
        """`is_open` tells whether a level's tasks may be taken at all now; `changed` is called when
        a reservation begins or ends."""
        self._bus = means.bus
        self._me = presence_key(means.config.name, means.instance)
        self._patience = means.config.patience
        self._room = room
        self._order = order
        self._clock = clock
        self._is_open = is_open
        self._changed = changed
        self._passed_levels: set[Level] = set()
        """Those that something was begun past since the last look."""
        self._passed: dict[Level, Passed] = {}
        self._reserved: Level | None = None
        self._word = 0
        """The sequence of our last word in the reservation's place."""

    @property
    def pause(self) -> float:
        """Seconds between two looks."""
        return min(MOST_PAUSE, max(LEAST_PAUSE, self._patience / LOOKS))

    # --- what the taker asks and tells ----------------------------------------------------------

    def blocks(self, level: Level) -> bool:
        """Whether room is kept free that a task of this level would take."""
        wanted = self._reserved
        if wanted is None or self._order.before(level, wanted):
            return False
        if replace(level, express=False) == replace(wanted, express=False):
            return False
        room = self._room
        return delays(room.request(level), room.request(wanted), room.free)

    def may_spare(self, level: Level) -> bool:
        """Whether some tasks of the level may go first although it is blocked."""
        wanted = self._reserved
        if wanted is None or wanted not in self._passed:
            return False
        return (level.queue, level.priority) == (wanted.queue, wanted.priority)

    def spares(self, delivery: Delivery) -> bool:
        """Whether this task may go first although its level is blocked: it stands before."""
        wanted = self._reserved
        if wanted is None or not self.may_spare(delivery.level):
            return False
        return rank(delivery) < self._passed[wanted].rank

    async def began(self, level: Level, others: Iterable[Level]) -> None:
        """A task of `level` begins, maybe past some of `others`."""
        if level == self._reserved:
            self._passed.pop(level, None)
            await self.give_up()
        room = self._room
        for other in others:
            if other == level or self._order.before(level, other):
                continue
            request = room.request(other)
            if only_waits_for_slot(request, room.free) or lacks(request, room.offer):
                continue
            self._passed_levels.add(other)
            if known := self._passed.get(other):
                known.times += 1

    # --- what others are told -------------------------------------------------------------------

    @property
    def passed(self) -> tuple[PassedBy, ...]:
        """Who waits and was passed by."""
        return tuple(
            PassedBy(
                task=one.task,
                queue=one.level.queue,
                priority=one.level.priority,
                size=one.level.size,
                since=now() - round((self._clock() - one.since) * 1e6),
                times=one.times,
                lacks=tuple(lacks(self._room.request(one.level), self._room.free)),
                reserved=one.level == self._reserved,
            )
            for one in self._passed.values()
        )

    @property
    def reserved(self) -> str:
        """For whom room is kept, in words; empty if for nobody."""
        if self._reserved is None or self._reserved not in self._passed:
            return ""
        return f"task {self._passed[self._reserved].task} of queue {self._reserved.queue}"

    # --- the looks ------------------------------------------------------------------------------

    async def run(self) -> None:
        """Look again and again without end."""
        while True:
            await asyncio.sleep(self.pause)
            try:
                await self.look()
            except BusAway as away:
                log.info("nobody looks after who is passed by: %s", away)
                await self._bus.wait(away)

    async def look(self) -> None:
        """See who still waits, and keep room for the one who has waited longest, and too long."""
        fresh, self._passed_levels = self._passed_levels, set()
        for level in fresh | self._passed.keys():
            await self._look_at(level, int(level in fresh))
        if self._reserved:
            await self._keep_reservation(self._reserved)
        else:
            await self._reserve()

    async def _look_at(self, level: Level, times: int) -> None:
        head = await self._head(level) if self._might_run(level) else None
        known = self._passed.get(level)
        if head and known and known.task == head.task:
            return
        if level == self._reserved:
            await self.give_up()
        self._passed.pop(level, None)
        if head:
            self._passed[level] = Passed(level, head.task, rank(head), self._clock(), times)

    def _might_run(self, level: Level) -> bool:
        """Whether only room is missing for the level's tasks."""
        return self._is_open(level) and not lacks(self._room.request(level), self._room.offer)

    async def _head(self, level: Level) -> Delivery | None:
        """The first task that waits in the level; it is handed back at once.

        A message that is of no use any more is put aside: nobody else would do so while none fits.
        """
        while found := await self._bus.hints.take(level, 1):
            delivery = found[0]
            try:
                _, task, origin = from_hint(Stored(delivery.seq, "", delivery.data))
                task = await load(self._bus.log, origin)
            except NotFound:
                await delivery.later(self.pause)
                continue
            except BusAway:
                await delivery.later(0)
                raise
            if isinstance(task.state, state.Ended) or delivery.seq < task.place.hint:
                await delivery.done()
                continue
            await delivery.later(0)
            return delivery
        return None

    # --- the reservation ------------------------------------------------------------------------

    async def _reserve(self) -> None:
        waiting = sorted(self._passed.values(), key=lambda one: one.since)
        starving = [one for one in waiting if self._clock() - one.since >= self._patience]
        if not starving:
            return
        agents = await self._agents()
        for one in starving:
            first = nearest(one.level, agents)
            late = self._clock() - one.since >= LAST_RESORT * self._patience
            if (late or first in (None, self._me)) and await self._begin(one.level):
                return

    async def _agents(self) -> dict[str, AgentPresence]:
        values = await self._bus.presence.all()
        found = {key: decode_presence(value) for key, value in values.items()}
        return {key: agent for key, agent in found.items() if agent}

    async def _begin(self, level: Level) -> bool:
        place = await self._bus.presence.last(_place(level))
        if place and place.data:
            return False  # another agent keeps room for it
        if not await self._say(level, place.seq if place else 0):
            return False
        self._reserved = level
        log.info("keeps room for %s", self.reserved)
        await self._changed()
        return True

    async def _keep_reservation(self, level: Level) -> None:
        # After a silence of ours it may have run out, and nobody else have taken it.
        if not (await self._say(level, self._word) or await self._begin(level)):
            self._reserved = None
            await self._changed()

    async def _say(self, level: Level, expect: int) -> bool:
        """Say for a while that we keep room for the level; false if another agent does."""
        presence, seconds = self._bus.presence, KEPT_LOOKS * self.pause
        try:
            self._word = await presence.put(_place(level), self._me.encode(), seconds, expect)
        except WrongSequence:
            return False
        return True

    async def give_up(self) -> None:
        """Keep no room any more, and let others do so."""
        level, self._reserved = self._reserved, None
        if level is None:
            return
        await self._changed()
        try:
            await self._bus.presence.remove(_place(level), self._word)
        except (BusAway, WrongSequence):
            return  # it vanishes by itself


def _place(level: Level) -> str:
    """Where a level's reservation stands among the presences: there is one for all agents."""
    return f"reservation.{level.consumer}"
