"""A task's life as it happens, read from the two streams themselves: no projector is needed.

Records of an attempt that lost its claim are dropped: whoever wrote them was a zombie. What a
task said is held back until the events that it follows on are known, because the two streams
are read side by side.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING

import msgspec

from ..events import Log, Telemetry
from ..handle import absorb, from_hint, load
from ..ports import BusAway, Stored
from ..state import Attempt, Ended, Task
from ..subjects import lifecycle
from ..wire import Broken, decode_telemetry

if TYPE_CHECKING:
    from ..bus.connect import Bus
    from ..bus.stream import Stream

    Arrival = tuple[Stream, list[Stored] | Exception]


class Happened(msgspec.Struct, frozen=True):
    """A lifecycle event, and the task before and after it."""

    before: Task
    task: Task
    stored: Stored


class Said(msgspec.Struct, frozen=True):
    """What an attempt said."""

    attempt: Attempt
    record: Telemetry


class Told(msgspec.Struct, frozen=True):
    """The task has ended, and everything it said was told. Only a requeue can follow."""

    task: Task


Item = Happened | Said


def telemetry_of(task: Task) -> str:
    """The pattern of the subjects on which the task's attempts speak."""
    return f"evqtel.{task.spec.queue}.{task.id}.*"


async def newborn(bus: Bus, origin: int) -> Task:
    """The task as it was when it was enqueued."""
    stored = await bus.log.get(origin)
    task = from_hint(stored)[1] if stored else None
    return task or await load(bus.log, origin)


async def follow(bus: Bus, task: Task) -> AsyncGenerator[Item, None]:
    """What happens to `task` from where it is folded to, until it has ended and all it said
    has been read. `newborn` gives the whole story."""
    async with aclosing(follow_on(bus, task)) as items:
        async for item in items:
            if isinstance(item, Told):
                return
            yield item


async def follow_all(bus: Bus, tasks: Sequence[Task]) -> AsyncGenerator[tuple[int, Item], None]:
    """The same for several tasks at once, each thing with its task's place in `tasks`, until all
    have ended: one that ended may run again as long as another has not."""
    arrived: asyncio.Queue[tuple[int, Item | Told | Exception]] = asyncio.Queue(maxsize=8)

    async def read(place: int, task: Task) -> None:
        try:
            async with aclosing(follow_on(bus, task)) as items:
                async for item in items:
                    await arrived.put((place, item))
        except Exception as error:
            await arrived.put((place, error))

    readers = [asyncio.create_task(read(place, task)) for place, task in enumerate(tasks)]
    told: set[int] = set()
    try:
        while len(told) < len(tasks):
            place, item = await arrived.get()
            if isinstance(item, Exception):
                raise item
            if isinstance(item, Told):
                told.add(place)
                continue
            told.discard(place)
            yield place, item
    finally:
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)


async def follow_on(bus: Bus, task: Task, said: int = 0) -> AsyncGenerator[Item | Told, None]:
    """The same for ever: `Told` says that the task has ended and all it said was read, and what
    comes then is another run. `said` is the sequence up to which is known what it said."""
    teller = _Teller(task)
    async with _reading(bus, task, said + 1) as arrived:
        while True:
            stream, batch = await arrived.get()
            if isinstance(batch, Exception):
                raise batch
            if stream is bus.log:
                for stored in batch:
                    yield teller.event(stored)
                if isinstance(teller.task.state, Ended):
                    teller.end_after(await _last(bus, teller.task))
            for item in teller.said(batch if stream is bus.telemetry else []):
                yield item
            if teller.over:
                yield Told(teller.task)


class _Teller:
    """Puts what was said behind the events it follows on."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self._held: deque[Telemetry] = deque()
        self._read = 0
        self._goal: int | None = None

    @property
    def over(self) -> bool:
        """Whether the task has ended and everything it said was told."""
        return self._goal is not None and self._read >= self._goal

    def end_after(self, seq: int) -> None:
        """Nothing will be said behind this sequence."""
        self._goal = seq

    def event(self, stored: Stored) -> Happened:
        before, self.task = self.task, absorb(self.task, stored)
        if not isinstance(self.task.state, Ended):
            self._goal = None  # it was put back into its queue
        return Happened(before, self.task, stored)

    def said(self, batch: list[Stored]) -> list[Said]:
        """What can be told now out of `batch` and what was held back."""
        for stored in batch:
            record = decode_telemetry(stored.data)
            if not isinstance(record, Broken):
                self._held.append(record)
            self._read = stored.seq
        told: list[Said] = []
        while self._held and self._is_due(self._held[0]):
            record = self._held.popleft()
            attempt = speaker(self.task, record)
            if attempt:
                told.append(Said(attempt, record))
        return told

    def _is_due(self, record: Telemetry) -> bool:
        attempt = speaker(self.task, record)
        if attempt is None:
            # Once the log is read past its claim, an unknown one is a zombie's.
            return record.claim <= self.task.seq or isinstance(self.task.state, Ended)
        if isinstance(record, Log) and ("o" in record.stream or "e" in record.stream):
            return attempt.launch is not None or attempt.end is not None
        return True


def speaker(task: Task, record: Telemetry) -> Attempt | None:
    """The attempt that the record's claim belongs to."""
    return next((one for one in task.attempts if one.claim == record.claim), None)


async def _last(bus: Bus, task: Task) -> int:
    while True:
        try:
            stored = await bus.telemetry.last(telemetry_of(task))
            return stored.seq if stored else 0
        except BusAway as away:
            await bus.wait(away)


@asynccontextmanager
async def _reading(bus: Bus, task: Task, start: int) -> AsyncIterator[asyncio.Queue[Arrival]]:
    """What arrives on either stream; a reader that fails says so in the same queue."""
    arrived: asyncio.Queue[Arrival] = asyncio.Queue(maxsize=8)

    async def read(stream: Stream, start: int, subject: str) -> None:
        try:
            async with stream.follow(start, [subject]) as batches:
                async for batch in batches:
                    await arrived.put((stream, batch))
        except Exception as error:
            await arrived.put((stream, error))

    after = max(task.origin, task.seq) + 1
    readers = [
        asyncio.create_task(read(bus.log, after, lifecycle(task.spec.queue, task.id))),
        asyncio.create_task(read(bus.telemetry, start, telemetry_of(task))),
    ]
    try:
        yield arrived
    finally:
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)
