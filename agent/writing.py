"""How an attempt's commands come into the log, and what becomes of the queue message after."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from ..core import events
from ..core.decide import Command
from ..core.errors import ServerFull
from ..core.handle import Written, handle, tell_holders
from ..core.ports import BusAway, Delivery
from ..core.state import Task
from .means import Means

log = logging.getLogger(__name__)

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


async def settle(delivery: Delivery, event: events.Lifecycle) -> None:
    """After an attempt's end its hint has done its work, or is wanted again."""
    match event:
        case events.Retry(delay=delay):
            await delivery.later(delay)
        case events.Lost(delay=delay):
            await delivery.later(max(0.1, delay))
        case _:
            await delivery.done()
