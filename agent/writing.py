"""How an attempt's commands and words reach the server, and what becomes of its queue message."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from ..core import events
from ..core.decide import Command
from ..core.errors import EvqError, ServerFull
from ..core.handle import Written, handle, tell_holders
from ..core.ports import BusAway, Delivery
from ..core.state import Task
from .means import Means
from .reporting.outbox import Outbox
from .reporting.telemetry import Recorder

log = logging.getLogger(__name__)

KEEP_AFTER = 0.5
"""Seconds after which an end that cannot be told yet is put on disk."""

FULL_PAUSE = 1.0
"""Seconds between two tries to write into a log that has no room."""


async def write(
    means: Means, task: Task, command: Command, keep: Callable[[], None] = lambda: None
) -> Written:
    """Carry a command out on the task; waits for the server as long as it takes.

    Before it waits, it calls `keep`.
    """

    async def patience(away: BusAway) -> None:
        keep()
        await means.bus.wait(away)

    while True:
        try:
            written = await handle(means.bus.log, means.author, task, command, patience)
            break
        except ServerFull as full:
            # What a task took hours for must not be lost for want of room in the log.
            log.warning("task %s waits for room in the log: %s", task.id, full)
            keep()
            await asyncio.sleep(FULL_PAUSE)
    await tell_holders(means.bus.calls, written.others)
    return written


async def all_said(outbox: Outbox, recorder: Recorder, keep: Callable[[], None]) -> None:
    """Return when the stream has all that an attempt said, and what was left out of it.

    If that takes long, it calls `keep`.
    """
    try:
        async with asyncio.timeout(KEEP_AFTER):
            await outbox.arrived(recorder.subject)
    except TimeoutError:
        keep()
        await outbox.arrived(recorder.subject)
    recorder.account()
    await outbox.arrived(recorder.subject)


def say_error(recorder: Recorder, error: EvqError) -> None:
    """Put an error into the attempt's log as it would be printed."""
    recorder.say(f"error[{error.code}]: {error.what}")
    for line in (error.why, error.fix and f"fix: {error.fix}"):
        for part in line.splitlines():
            recorder.say(f"  {part}")


async def settle(delivery: Delivery, event: events.Lifecycle) -> None:
    """After an attempt's end its hint has done its work, or is wanted again."""
    match event:
        case events.Retry(delay=delay):
            await delivery.later(delay)
        case events.Lost(delay=delay):
            await delivery.later(max(0.1, delay))
        case _:
            await delivery.done()
