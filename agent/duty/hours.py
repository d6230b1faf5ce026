"""An agent's hours: outside of its schedule it pauses, and what runs goes on, or is given back."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

from ...core.errors import UsageError
from ...core.fleet.schedule import parse_schedule
from ..config import Config

LOOK_EVERY = 30.0
"""Seconds between two looks at the clock, which may be turned, or stand still in a sleep."""


class Hours:
    """The schedule of one agent, which may be none."""

    def __init__(self, config: Config, clock: Callable[[], datetime] | None = None) -> None:
        """`clock` gives the present moment. Raises `UsageError`."""
        self._schedule = parse_schedule(config.schedule) if config.schedule else None
        self._zone = find_zone(config.time_zone)
        self._ends_tasks = config.outside == "give-back"
        self._clock = clock or (lambda: datetime.now(UTC))

    async def run(
        self, pause: Callable[[str], Awaitable[None]], give_back: Callable[[], None]
    ) -> None:
        """Pause and go on by the clock, without end."""
        if self._schedule is None:
            await asyncio.Event().wait()
            return
        was_open = True
        while True:
            moment = self._clock()
            now = self._schedule.at(moment, self._zone)
            if now.open != was_open:
                await pause("" if now.open else f"outside its schedule until {told(now.until)}")
                if self._ends_tasks and not now.open:
                    give_back()
            was_open = now.open
            rest = (now.until - moment).total_seconds() if now.until else LOOK_EVERY
            await asyncio.sleep(min(LOOK_EVERY, rest))


def told(until: datetime | None) -> str:
    """The end of a pause, in its own time zone."""
    return f"{until:%a %Y-%m-%d %H:%M %Z}" if until else "further notice"


def find_zone(name: str) -> tzinfo:
    """The time zone called `name`, by default this machine's. Raises `UsageError`."""
    written = name or os.environ.get("TZ", "").lstrip(":")
    try:
        if written:
            return ZoneInfo(written)
        with Path("/etc/localtime").open("rb") as file:
            return ZoneInfo.from_file(file)
    except FileNotFoundError:
        return UTC
    except (KeyError, ValueError, OSError) as error:
        raise UsageError(
            f"there is no time zone {written!r} here",
            why=f"{error}; names are those of the tz database, which this machine may lack",
            fix="--time-zone Europe/Berlin, or install the package tzdata",
        ) from error
