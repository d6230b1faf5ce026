"""Compares the events in the database, from which moments are folded again, with the log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from ...core import wire
from ...core.events import Again, Envelope
from ...core.ports import Stored
from ...core.subjects import LIFECYCLE_STREAM
from ...core.wire import Broken
from ..fold import event_row
from ..rows import EventRow
from ..store import Database

AT_ONCE = 50_000


async def compare_events(database: Database, messages: AsyncIterator[Stored]) -> list[str]:
    """A line for each event that is not as the log has it; `messages` is the log, in order."""
    letters = database.rows("SELECT seq FROM _dead_letters WHERE stream = $1", [LIFECYCLE_STREAM])
    dead = {seq for (seq,) in letters}
    found: list[str] = []
    some: list[Stored] = []
    async for stored in messages:
        some.append(stored)
        if len(some) == AT_ONCE:
            found += await asyncio.to_thread(_compare, database, some, dead)
            some = []
    return found + (await asyncio.to_thread(_compare, database, some, dead) if some else [])


def _compare(database: Database, messages: Sequence[Stored], dead: set[int]) -> list[str]:
    expected = [row for stored in messages if stored.seq not in dead for row in _rows(stored)]
    database.execute("CREATE OR REPLACE TEMP TABLE expected AS FROM _events LIMIT 0")
    database.append("_events", expected, into="expected")
    # Before this part's first event may be what the log no longer holds.
    actual = f"FROM _events WHERE seq BETWEEN {messages[0].seq} AND {messages[-1].seq}"
    wrong = database.rows(
        f"SELECT DISTINCT seq FROM (({actual} EXCEPT ALL FROM expected)"
        f" UNION ALL (FROM expected EXCEPT ALL {actual})) ORDER BY seq"
    )
    return [f"_events: event {seq}: it is not what the log says" for (seq,) in wrong]


def _rows(stored: Stored) -> Sequence[EventRow]:
    message = wire.decode(stored.data)
    again = isinstance(message, Envelope) and isinstance(message.event, Again)
    return () if isinstance(message, Broken) or again else (event_row(stored, message),)
