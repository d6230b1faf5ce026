"""Moments of the log that somebody looks back at, and how people write them."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta

import msgspec

from .errors import UsageError
from .units import seconds

WHEN_FORMS = (
    'a time such as 03:10, "yesterday 03:10", "monday 09:00", "2026-11-26 07:00" or '
    "2026-11-26T07:00:00Z, a span such as \"10m ago\", or a sequence of the log such as '#12345'"
)


class Moment(msgspec.Struct, frozen=True):
    """What was so after the event at `seq` and before the next one; `at` is a time by the server's
    clock, in microseconds since 1970, from which spans are counted: how long a task had waited."""

    seq: int
    at: int


class ByClock(msgspec.Struct, frozen=True):
    """The moment at a time by the server's clock, in microseconds since 1970."""

    at: int


class BySequence(msgspec.Struct, frozen=True):
    """The moment after the event at this sequence."""

    seq: int


When = ByClock | BySequence

_SEQUENCE = re.compile(r"#\s*(\d+)\Z")
_AGO = re.compile(r"(.+?)\s+ago\Z")
_DAY_AND_CLOCK = re.compile(
    r"(?:([a-z]+)(?: (?:at )?|\Z))?(\d{1,2}:\d\d(?::\d\d(?:\.\d{1,6})?)?)?\Z"
)
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def parse_when(text: str, now: datetime) -> When:
    """What a person means by `text`, who reads the clock of `now`'s zone, at `now`.

    A time without a day is the last one there was; a day of the week is the last one before
    today; a day without a time is its beginning. Raises `UsageError`, also for what is to come.
    """
    written = " ".join(text.split()).lower()
    if found := _SEQUENCE.match(written):
        return BySequence(int(found[1]))
    moment = _moment(written, now)
    if moment is None:
        raise UsageError(f"{text!r} is no time", why=f"allowed is {WHEN_FORMS}", fix='"10m ago"')
    if moment > now:
        raise UsageError(
            f"{text!r} has not come yet",
            why=f"that is {moment:%Y-%m-%d %H:%M:%S%z}, and it is {now:%Y-%m-%d %H:%M:%S%z} now",
            fix='"10m ago"',
        )
    return ByClock(round(moment.timestamp() * 1e6))


def _moment(written: str, now: datetime) -> datetime | None:
    if written == "now":
        return now
    if ago := _AGO.match(written):
        return _before(now, ago[1])
    if (words := _DAY_AND_CLOCK.match(written)) and written:
        return _by_day(words[1], words[2], now)
    try:
        found = datetime.fromisoformat(written.upper())
    except ValueError:
        return None
    return found if found.tzinfo else found.astimezone()


def _before(now: datetime, span: str) -> datetime | None:
    try:
        return now - timedelta(seconds=seconds(span.replace(" ", "")))
    except (UsageError, OverflowError):
        return None


def _by_day(day: str | None, clock: str | None, now: datetime) -> datetime | None:
    today = now.date()
    which = today if day is None else _day(day, today)
    if which is None:
        return None
    try:
        found = _at(which, clock or "00:00")
    except ValueError:
        return None
    # Without a day it is the last time that a clock showed this.
    return _at(which - timedelta(days=1), clock or "00:00") if not day and found > now else found


def _day(word: str, today: date) -> date | None:
    if word in ("today", "yesterday"):
        return today - timedelta(days=word == "yesterday")
    if word not in _DAYS:
        return None
    return today - timedelta(days=(today.weekday() - _DAYS.index(word) - 1) % 7 + 1)


def _at(day: date, clock: str) -> datetime:
    hours, _, rest = clock.partition(":")
    return datetime.fromisoformat(f"{day} {hours:0>2}:{rest}").astimezone()
