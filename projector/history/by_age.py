"""Retention by itself: once a day what the settings call too old goes, by an event of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec

from ...core.bus.connect import Bus
from ...core.bus.requests import ApiError
from ...core.errors import Conflict
from ...core.ports import BusAway
from ...core.questions import Named
from ...core.sdk.author import Author, now
from ...core.sdk.trim import Ages, trim
from ...core.units import duration_text
from ..answers import parameters_for
from ..follow import Follower

EVERY_SECONDS = 86_400.0
FIRST_SECONDS = 60.0
_AWAY_SECONDS = 60.0


async def trim_by_age(
    bus: Bus,
    follower: Follower,
    ages: Ages | None,
    clock: Callable[[], int] = now,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Append the event when there is something to go; never returns. `clock` tells microseconds
    since 1970, `sleep` lets seconds pass."""
    pause = FIRST_SECONDS
    while True:
        await sleep(pause)
        pause = EVERY_SECONDS
        try:
            await follower.catch_up()
            at = clock()
            if ages and await _is_something(follower, ages, at):
                await trim(bus, Author("projector"), ages, _reason(ages), at)
        except (BusAway, ApiError, Conflict):  # the server is away, or the database is
            pause = _AWAY_SECONDS


async def _is_something(follower: Follower, ages: Ages, at: int) -> bool:
    sql, parameters = parameters_for(Named("trim_preview", ages.moments(at)))
    _, answer = await follower.ask(lambda ask: ask(sql, parameters))
    row = dict(zip([name for name, _ in answer.columns], answer.rows[0], strict=True))
    return bool(row["points"] or row["lines"] or row["minutes"])


def _reason(ages: Ages) -> str:
    said = msgspec.structs.asdict(ages).items()
    return ", ".join(f"trim_{name}={duration_text(age)}" for name, age in said if age is not None)
