"""The queues in memory: what a JetStream server does for a shared durable consumer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from ..ports import Delivery, Stored
from ..subjects import Level, parse_hint
from .memory_stream import Bell, Link, Messages, matches

ACK_WAIT = 10.0
"""Seconds after which a queue message that nobody mentions is handed out again."""


class _Given:
    """A message that was handed out: when it may be handed out again, and how often it was."""

    __slots__ = ("due", "times")

    def __init__(self, due: float) -> None:
        self.due = due
        self.times = 1


class Consumer:
    """A level's place in the log, and what was handed out but is not done."""

    def __init__(self, level: Level) -> None:
        self.level = level
        self.seen = 0
        self.given: dict[int, _Given] = {}


class Queues:
    """What the server holds of the queues."""

    def __init__(self, log: Messages, clock: Callable[[], float]) -> None:
        self.log = log
        self.clock = clock
        self.ack_wait = ACK_WAIT
        self.consumers: dict[Level, Consumer] = {}
        self.announced = Bell()

    def next(self, level: Level) -> tuple[Stored, bool] | None:
        """A message for whoever asks, and whether somebody had it before: old ones come first."""
        consumer = self.consumers.get(level)
        if consumer is None:
            return None
        now = self.clock()
        overdue = [seq for seq, given in consumer.given.items() if given.due <= now]
        if overdue:
            seq = min(overdue, key=lambda seq: consumer.given[seq].due)
            given = consumer.given[seq]
            given.due = now + self.ack_wait
            given.times += 1
            return self.log.all[seq - 1], True
        fresh = self._fresh(consumer)
        if fresh is None:
            return None
        consumer.seen = fresh.seq
        consumer.given[fresh.seq] = _Given(now + self.ack_wait)
        return fresh, False

    def _fresh(self, consumer: Consumer) -> Stored | None:
        for message in self.log.all[consumer.seen :]:
            if matches(consumer.level.filter, message.subject):
                return message
            consumer.seen = message.seq
        return None

    def until_due(self, levels: Sequence[Level]) -> float | None:
        """Seconds until a message of these levels is handed out again by itself."""
        known = [self.consumers[level] for level in levels if level in self.consumers]
        dues = [given.due for consumer in known for given in consumer.given.values()]
        return max(0.0, min(dues) - self.clock()) if dues else None

    def put_off(self, level: Level, seq: int, seconds: float) -> None:
        """Hand a message out again in `seconds`, not before."""
        given = self.consumers[level].given.get(seq)
        if given:
            given.due = self.clock() + seconds
            self.log.bell.ring()


class MemoryDelivery:
    """A queue message that was handed out; see `ports.Delivery`."""

    def __init__(
        self, link: Link, queues: Queues, level: Level, stored: Stored, redelivered: bool
    ) -> None:
        self._link = link
        self._queues = queues
        hint = parse_hint(stored.subject)
        assert hint is not None, stored.subject
        self.level = level
        self.task = hint.task
        self.seq = stored.seq
        self.data = stored.data
        self.redelivered = redelivered

    @property
    def token(self) -> str:
        return f"{self.seq} {self.level.key}"

    async def done(self) -> None:
        if self._link.standing.is_set():
            self._queues.consumers[self.level].given.pop(self.seq, None)

    async def later(self, delay: float) -> None:
        if self._link.standing.is_set():
            self._queues.put_off(self.level, self.seq, delay)

    async def working(self) -> None:
        if self._link.standing.is_set():
            self._queues.put_off(self.level, self.seq, self._queues.ack_wait)


class MemoryHints:
    """A client's view of the queues; see `ports.Hints`."""

    def __init__(self, link: Link, queues: Queues) -> None:
        self._link = link
        self._queues = queues
        self._awake = False

    async def ensure(self, level: Level) -> None:
        self._link.check()
        if level not in self._queues.consumers:
            self._queues.consumers[level] = Consumer(level)
            self._queues.announced.ring()

    async def levels(self) -> list[Level]:
        self._link.check()
        return sorted(self._queues.consumers)

    @asynccontextmanager
    async def watch(self, queues: Sequence[str]) -> AsyncIterator[AsyncIterator[Level]]:
        yield self._watched(queues)

    async def _watched(self, queues: Sequence[str]) -> AsyncIterator[Level]:
        seen = 0
        while True:
            await self._link.standing.wait()
            # Levels are never removed and a dictionary keeps its order: `seen` is a place in it.
            for level in list(self._queues.consumers)[seen:]:
                seen += 1
                if level.queue in queues:
                    yield level
            if seen == len(self._queues.consumers):
                await self._queues.announced.wait()

    def _next(self, level: Level) -> MemoryDelivery | None:
        found = self._queues.next(level)
        return MemoryDelivery(self._link, self._queues, level, *found) if found else None

    async def take(self, level: Level, limit: int) -> list[MemoryDelivery]:
        self._link.check()
        found: list[MemoryDelivery] = []
        while len(found) < limit and (delivery := self._next(level)):
            found.append(delivery)
        return found

    async def take_first(self, levels: Sequence[Level], seconds: float) -> MemoryDelivery | None:
        self._link.check()
        self._awake = False
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while not self._awake and self._link.standing.is_set():
            for level in levels:
                if delivery := self._next(level):
                    return delivery
            left = end - loop.time()
            if left <= 0:
                return None
            due = self._queues.until_due(levels)
            await self._queues.log.bell.wait(left if due is None else min(left, due))
        return None

    def put_back(self, delivery: Delivery) -> None:
        self._queues.put_off(delivery.level, delivery.seq, 0)

    async def withdraw(self, unless: Callable[[Level], bool]) -> None:
        """Here nothing is asked for while nobody waits."""

    async def hand_back(self, token: str) -> None:
        self._link.check()
        seq, _, key = token.partition(" ")
        self._queues.put_off(Level.from_key(key), int(seq), 0)

    async def wake(self) -> None:
        self._awake = True
        self._queues.log.bell.ring()

    async def waiting(self, level: Level) -> int:
        self._link.check()
        consumer = self._queues.consumers[level]
        return sum(seq > consumer.seen for seq in self._queues.log.find(level.filter))
