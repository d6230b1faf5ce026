"""When an agent works: windows of the week, as people write them.

    schedule  window { ";" window }          mon-fri 20:00-08:00; sat,sun
    window    days [ times ] | times         without times: the whole day; without days: daily
    days      day { "," day },  a day or a range of days: mon, fri-mon, daily
    times     time { "," time },  a time is HH:MM-HH:MM or HH-HH, up to 24:00

A window belongs to the day on which it begins: `fri 20:00-08:00` ends on Saturday. Days are those
of a time zone. A time that its clock skips is taken to be as much later; of a time that comes
twice, the first opens a window and the last closes it.

Everything here reckons with moments that it is given.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, tzinfo

import msgspec

from ..errors import UsageError

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
WHOLE_DAY = 24 * 60
SPAN = 9
"""Days ahead that are looked at: a schedule repeats after seven."""

_TIMES = re.compile(r"(\d{1,2})(?::(\d\d))?-(\d{1,2})(?::(\d\d))?")


class Window(msgspec.Struct, frozen=True):
    """Some days of the week (0 is Monday), from a minute of the day until another one, which is on
    the next day if it is not later."""

    days: frozenset[int]
    begin: int = 0
    end: int = WHOLE_DAY


class Now(msgspec.Struct, frozen=True):
    """Whether a schedule is open, and until when it stays so; null if for ever."""

    open: bool
    until: datetime | None


class Schedule(msgspec.Struct, frozen=True):
    """Windows of the week in a time zone."""

    text: str
    windows: tuple[Window, ...]

    def at(self, moment: datetime, zone: tzinfo) -> Now:
        """The state at a moment, which must know its own time zone."""
        end = None
        for begins, ends in self._spans(moment.astimezone(zone).date(), zone):
            if end is not None and begins > end:
                break
            if end is None and moment < begins:
                return Now(False, begins.astimezone(zone))
            if ends > moment:
                end = ends if end is None else max(end, ends)
        assert end is not None  # a week without a window cannot be written
        far = moment + timedelta(days=SPAN - 1)
        return Now(True, None if end >= far else end.astimezone(zone))

    def _spans(self, today: date, zone: tzinfo) -> Iterator[tuple[datetime, datetime]]:
        """The windows around a day as moments, in the order in which they begin."""
        found = []
        for offset in range(-2, SPAN + 1):
            day = today + timedelta(days=offset)
            for window in self.windows:
                if day.weekday() not in window.days:
                    continue
                begins = _moment(day, window.begin, zone, last=False)
                days = window.end <= window.begin
                ends = _moment(day + timedelta(days=days), window.end, zone, last=True)
                if begins < ends:
                    found.append((begins, ends))
        return iter(sorted(found))


def _moment(day: date, minute: int, zone: tzinfo, *, last: bool) -> datetime:
    """When the clock of a zone shows a minute of a day: the first or the last time."""
    days, rest = divmod(minute, WHOLE_DAY)
    shown = datetime.combine(day + timedelta(days=days), time(rest // 60, rest % 60), zone)
    once, again = shown.astimezone(UTC), shown.replace(fold=1).astimezone(UTC)
    # Where the clock goes forward, `again` is the earlier one.
    return max(once, again) if last or again < once else once


def parse_schedule(text: str) -> Schedule:
    """The schedule that is written so. Raises `UsageError`."""
    parts = [part.split() for part in text.lower().split(";") if part.strip()]
    windows = tuple(window for words in parts for window in _windows(words, text))
    if not windows:
        raise _wrong(text, "it has no window at all")
    return Schedule(text, windows)


def _windows(words: list[str], text: str) -> Iterator[Window]:
    """The windows of one part: each of its times on each of its days."""
    match words:
        case [only] if only[0].isdigit():
            days, times = "daily", only
        case [only]:
            days, times = only, "00:00-24:00"
        case [days, times]:
            pass
        case _:
            raise _wrong(text, f"{' '.join(words)!r} is more than days and times")
    which = frozenset(day for one in days.split(",") for day in _days(one, text))
    for one in times.split(","):
        yield Window(which, *_times(one, text))


def _days(written: str, text: str) -> Iterator[int]:
    if written == "daily":
        yield from range(7)
        return
    first, _, last = written.partition("-")
    last = last or first
    if first not in DAYS or last not in DAYS:
        raise _wrong(text, f"{written!r} is no day: they are {', '.join(DAYS)}, daily")
    begin = DAYS.index(first)
    for offset in range((DAYS.index(last) - begin) % 7 + 1):
        yield (begin + offset) % 7


def _times(written: str, text: str) -> tuple[int, int]:
    found = _TIMES.fullmatch(written)
    if found is None:
        raise _wrong(text, f"{written!r} is no span of time such as 20:00-08:00")
    hours, minutes = (int(found[1]), int(found[3])), (int(found[2] or 0), int(found[4] or 0))
    begin, end = (hour * 60 + minute for hour, minute in zip(hours, minutes, strict=True))
    if max(minutes) > 59 or begin >= WHOLE_DAY or end > WHOLE_DAY:
        raise _wrong(text, f"{written!r} is not on a clock of 24 hours")
    if begin == end:
        raise _wrong(text, f"{written!r} is empty; the whole day is 00:00-24:00")
    return begin, end


def _wrong(text: str, why: str) -> UsageError:
    return UsageError(
        f"{text!r} is no schedule", why=why, fix='--schedule "mon-fri 20:00-08:00; sat,sun"'
    )
