"""The due times of a schedule. Cron expressions are read, and reckoned with, by cronsim alone.

As with Debian's cron, a time that a clock skips in spring is due right after the gap, and one that
comes twice in autumn is due once, unless the expression says every hour.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from itertools import takewhile
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from ...core.errors import UsageError
from .when import Cron, Every, Once, When

MOST = 100_000
"""Due times that are looked at in one go: over two months of a schedule for each minute."""


def check_when(when: When) -> When:
    """`when` if it can be reckoned with, else raise `UsageError`."""
    zone_of(when.zone)
    match when:
        case Cron(expression):
            try:
                CronSim(expression, datetime.now(UTC))
            except CronSimError as error:
                raise UsageError(
                    f"{expression!r} is no cron expression: {str(error).lower()}",
                    why="it has minute, hour, day of the month, month and day of the week",
                    fix='--cron "0 3 * * *" is each day at 03:00',
                ) from error
        case Every(seconds=seconds):
            if seconds < 1:
                raise UsageError("a schedule can be due every second, not more often")
        case Once():
            pass
    return when


@lru_cache
def zone_of(name: str) -> ZoneInfo:
    """A time zone by its name. Raises `UsageError`."""
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError) as error:
        raise UsageError(
            f"there is no time zone {name!r}",
            why="names are those of the IANA database",
            fix="--tz Europe/Berlin, --tz UTC",
        ) from error


def moments(when: When, after: int) -> Iterator[int]:
    """The due times later than `after`, in order, all in microseconds since 1970."""
    match when:
        case Cron(expression, zone):
            start = datetime.fromtimestamp(after / 1e6, UTC).astimezone(zone_of(zone))
            for moment in CronSim(expression, start):
                yield round(moment.timestamp() * 1e6)
        case Every(seconds=seconds, start=start):
            step = round(seconds * 1e6)
            number = max(1, (after - start) // step + 1)
            while True:
                yield start + number * step
                number += 1
        case Once(at=at):
            if at > after:
                yield at


def next_due(when: When, after: int) -> int | None:
    """The first due time later than `after`; null if there is none."""
    return next(moments(when, after), None)


def due_between(when: When, after: int, until: int) -> list[int]:
    """The due times later than `after` and not later than `until`, in order, `MOST` at most."""
    found: list[int] = []
    for at in takewhile(lambda at: at <= until, moments(when, after)):
        found.append(at)
        if len(found) == MOST:
            break
    return found
