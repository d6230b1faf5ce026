"""The lines that attempts wrote, read from the stream itself: no projector is needed."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import TYPE_CHECKING

import msgspec

from ..cleaning.cleaned import removal_of
from ..events import Log
from ..state import Attempt, Ended, Task
from ..wire import decode_telemetry
from .following import Said, follow, newborn, speaker, telemetry_of

if TYPE_CHECKING:
    from .client import Client

STREAMS = {"o": "stdout", "e": "stderr", "s": "setup", "a": "agent"}


class Line(msgspec.Struct, frozen=True):
    """One line of an attempt's log. `at` is in microseconds since 1970; `stream` is `o` for
    stdout, `e` for stderr, `s` for what set-up wrote, `a` for what the agent says."""

    attempt: int
    number: int
    at: int
    stream: str
    text: str


async def lines(
    client: Client, task: Task, attempt: int | None, *, setup: bool, follow: bool
) -> AsyncGenerator[Line, None]:
    """See `Client.logs`."""
    wanted = attempt or last_number(task)
    going_on = follow and not isinstance(task.state, Ended)
    source = followed_lines(client, task) if going_on else stored_lines(client, task)
    async with aclosing(source) as found:
        async for _, line in found:
            right = line.attempt == wanted or (going_on and not attempt and line.attempt > wanted)
            if right and (setup or line.stream in "oe"):
                yield line


def last_number(task: Task) -> int:
    """The number of the task's last attempt; 1 before there is one."""
    return task.attempts[-1].number if task.attempts else 1


async def stored_lines(
    client: Client, task: Task, lately: int | None = None
) -> AsyncGenerator[tuple[Attempt, Line], None]:
    """The lines that are there now, in order, with their attempts; with `lately` those of the last
    so many records that the stream had when the task wrote its last one."""
    pattern = telemetry_of(task)
    newest = await client.bus.telemetry.last(pattern)
    if newest is None:
        return
    start = 1 if lately is None else max(1, newest.seq - lately)
    async with client.bus.telemetry.follow(start, [pattern]) as batches:
        async for batch in batches:
            for stored in batch:
                record = decode_telemetry(stored.data)
                if not isinstance(record, Log):
                    continue
                attempt = speaker(task, record)
                if attempt and not removal_of(task, "logs", attempt.number):
                    for line in lines_of(record):
                        yield attempt, line
            if batch[-1].seq >= newest.seq:
                return


async def followed_lines(client: Client, task: Task) -> AsyncGenerator[tuple[Attempt, Line], None]:
    """All lines from the first on, as they come, until the task has ended."""
    story = follow(client.bus, await newborn(client.bus, task.origin))
    async with aclosing(story) as items:
        async for item in items:
            if isinstance(item, Said) and isinstance(item.record, Log):
                for line in lines_of(item.record):
                    yield item.attempt, line


def lines_of(record: Log) -> Iterator[Line]:
    """The lines of a record, one by one."""
    columns = zip(record.at, record.stream, record.text, strict=True)
    for number, (at, stream, text) in enumerate(columns, record.first):
        yield Line(record.attempt, number, at, stream, text)
