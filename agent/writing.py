"""Carries a command out on a task, however long the server is away or has no room."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from ..core.bus.connect import Bus
from ..core.decide import Command
from ..core.errors import ServerFull
from ..core.handle import Author, Written, handle
from ..core.ports import BusAway
from ..core.state import Task

log = logging.getLogger(__name__)

FULL_PAUSE = 1.0
"""Seconds between two tries to write into a log that has no room."""


async def write(
    bus: Bus, author: Author, task: Task, command: Command, keep: Callable[[], None]
) -> Written:
    """What `command` made of the task. Whenever that has to wait, `keep` is called before.

    Raises `Rejected` or `ClaimLost`.
    """

    async def patience(away: BusAway) -> None:
        keep()
        await bus.wait(away)

    while True:
        try:
            return await handle(bus.log, author, task, command, patience)
        except ServerFull as full:
            # What a task took hours for must not be lost for want of room in the log.
            log.warning("task %s waits for room in the log: %s", task.id, full)
            keep()
            await asyncio.sleep(FULL_PAUSE)
