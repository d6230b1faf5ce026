"""The archive by itself: once in a while what ended long ago is archived, by events of its own."""

from __future__ import annotations

import asyncio

from ...core.bus.connect import Bus
from ...core.bus.requests import ApiError
from ...core.errors import Conflict
from ...core.ports import BusAway
from ...core.sdk.author import Author, now
from ...core.sdk.filing import archive_all
from ...core.units import duration_text
from ..follow import Follower
from ..rows import unfold

EVERY_SECONDS = 3600.0
FIRST_SECONDS = 60.0
_AWAY_SECONDS = 60.0
_AT_ONCE = 2000

_DUE = """
SELECT fold FROM _tasks
WHERE archived IS NULL AND unknown = 0 AND coalesce(gang_rank, 0) = 0
    AND ended < make_timestamp($before::BIGINT)
ORDER BY origin LIMIT $most"""


async def archive_by_age(
    bus: Bus, follower: Follower, age: float | None, first: float = FIRST_SECONDS
) -> None:
    """Archive what ended more than `age` seconds ago; never returns."""
    pause = first
    while True:
        await asyncio.sleep(pause)
        pause = EVERY_SECONDS
        if age is None:
            continue
        try:
            while await _archive_some(bus, follower, age):
                pass
        except (BusAway, ApiError, Conflict):  # the server is away, or the database is
            pause = _AWAY_SECONDS


async def _archive_some(bus: Bus, follower: Follower, age: float) -> bool:
    """Archive some of those that are due; whether there may be more."""
    await follower.catch_up()
    before = now() - round(age * 1e6)
    _, answer = await follower.ask(lambda ask: ask(_DUE, {"before": before, "most": _AT_ONCE}))
    tasks = [unfold(fold) for (fold,) in answer.rows]
    reason = f"archive_after={duration_text(age)}"
    done = await archive_all(bus, Author("projector"), tasks, reason)
    return done > 0 and len(tasks) == _AT_ONCE
