"""Appends that hold on a server that evq has not used before, or whose answer is lost."""

from __future__ import annotations

from ..bus.connect import Bus
from ..ports import BusAway, Entry
from ..subjects import Level


async def ensure(bus: Bus, level: Level) -> None:
    """See to it that a level has its consumer."""
    try:
        await bus.hints.ensure(level)
    except BusAway:
        # A server that evq has not used before has no streams yet, and answers nothing.
        await bus.prepare()
        await bus.hints.ensure(level)


async def append(bus: Bus, entry: Entry) -> int:
    """Append an entry that has an id, and return its sequence."""
    try:
        return await bus.log.append(entry)
    except BusAway:
        # The id and the expectation make the repetition harmless.
        return await bus.log.append(entry)
