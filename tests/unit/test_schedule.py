"""Schedules: what is written is what is open, over midnight and when the clocks are changed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evq.core.errors import UsageError
from evq.core.fleet.schedule import DAYS, Schedule, parse_schedule

BERLIN = ZoneInfo("Europe/Berlin")
ZONES = st.sampled_from(
    [BERLIN, UTC, *map(ZoneInfo, ("America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"))]
)


def at(text: str, moment: str, zone: ZoneInfo = BERLIN) -> tuple[bool, str]:
    """Whether it is open at a moment of the zone's clock, and until when."""
    now = parse_schedule(text).at(datetime.fromisoformat(moment).replace(tzinfo=zone), zone)
    return now.open, f"{now.until:%a %d %H:%M %z}" if now.until else "for ever"


@pytest.mark.parametrize(
    ("text", "moment", "is_open", "until"),
    [
        # 2026-03-02 is a Monday.
        ("mon-fri 20:00-08:00; sat,sun", "2026-03-02 19:59", False, "Mon 02 20:00 +0100"),
        ("mon-fri 20:00-08:00; sat,sun", "2026-03-02 20:00", True, "Tue 03 08:00 +0100"),
        ("mon-fri 20:00-08:00; sat,sun", "2026-03-03 08:00", False, "Tue 03 20:00 +0100"),
        # Friday's window ends on Saturday morning, and Saturday and Sunday are open anyway.
        ("mon-fri 20:00-08:00; sat,sun", "2026-03-06 21:00", True, "Mon 09 00:00 +0100"),
        ("mon-fri 20:00-08:00; sat,sun", "2026-03-09 00:00", False, "Mon 09 20:00 +0100"),
        ("fri-mon", "2026-03-05 12:00", False, "Fri 06 00:00 +0100"),
        ("fri-mon", "2026-03-06 12:00", True, "Tue 10 00:00 +0100"),
        ("22-6", "2026-03-02 23:00", True, "Tue 03 06:00 +0100"),
        ("daily 08:00-12:00,14-18", "2026-03-02 13:00", False, "Mon 02 14:00 +0100"),
        ("mon 10:00-11:00", "2026-03-02 11:00", False, "Mon 09 10:00 +0100"),
        ("sun 23:00-01:00", "2026-03-02 00:30", True, "Mon 02 01:00 +0100"),
        ("daily", "2026-03-02 13:00", True, "for ever"),
        ("00:00-24:00", "2026-03-02 13:00", True, "for ever"),
        ("mon-sun 12:00-00:00; 00-12", "2026-03-02 13:00", True, "for ever"),
    ],
)
def test_windows(text: str, moment: str, is_open: bool, until: str) -> None:
    assert at(text, moment) == (is_open, until)


@pytest.mark.parametrize(
    ("text", "moment", "is_open", "until"),
    [
        # On 29 March the clock goes from 02:00 to 03:00.
        ("sun 02:30-05:00", "2026-03-29 01:59", False, "Sun 29 03:30 +0200"),
        ("sun 01:00-02:30", "2026-03-29 01:30", True, "Sun 29 03:30 +0200"),
        ("sat 20:00-08:00", "2026-03-28 21:00", True, "Sun 29 08:00 +0200"),
        # On 25 October it goes from 03:00 back to 02:00.
        ("sun 01:00-02:30", "2026-10-25 01:30", True, "Sun 25 02:30 +0100"),
        ("sun 02:30-05:00", "2026-10-25 01:30", False, "Sun 25 02:30 +0200"),
        ("sun 00:00-24:00", "2026-10-25 12:00", True, "Mon 26 00:00 +0100"),
    ],
)
def test_the_days_on_which_clocks_are_changed(
    text: str, moment: str, is_open: bool, until: str
) -> None:
    assert at(text, moment) == (is_open, until)


def clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    """Schedules in all the forms that can be written."""
    parts = []
    for _ in range(draw(st.integers(1, 3))):
        day = st.sampled_from(DAYS)
        days = draw(st.lists(st.one_of(day, st.builds("{}-{}".format, day, day)), max_size=3))
        begin = draw(st.integers(0, 1439))
        end = (begin + draw(st.integers(1, 1439))) % 1440 or 1440
        times = draw(st.sampled_from(["", f"{clock(begin)}-{clock(end)}"]))
        parts.append(" ".join(filter(None, (",".join(days), times))) or "daily")
    return parse_schedule("; ".join(parts))


MOMENTS = st.datetimes(datetime(2025, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC))


@given(schedules(), ZONES, MOMENTS)
def test_until_is_when_it_changes_and_not_before(
    schedule: Schedule, zone: ZoneInfo, moment: datetime
) -> None:
    now = schedule.at(moment, zone)
    if now.until is None:
        assert now.open
        return
    assert moment < now.until <= moment + timedelta(days=8)
    after = schedule.at(now.until, zone)
    assert after.open is not now.open
    for part in (0.01, 0.5, 0.99):
        between = schedule.at(moment + part * (now.until - moment), zone)
        assert between.open is now.open and between.until == now.until


@given(schedules(), MOMENTS)
def test_where_no_clock_is_changed_a_week_later_is_the_same(
    schedule: Schedule, moment: datetime
) -> None:
    week = timedelta(days=7)
    now, later = schedule.at(moment, UTC), schedule.at(moment + week, UTC)
    assert now.open is later.open
    assert (now.until is None) == (later.until is None)
    if now.until and later.until:
        assert later.until - now.until == week


@given(schedules(), MOMENTS)
def test_it_is_open_exactly_in_what_is_written(schedule: Schedule, moment: datetime) -> None:
    """The same told a second time, minute by minute of the week."""
    minute = moment.weekday() * 1440 + moment.hour * 60 + moment.minute
    inside = any(
        (minute - day * 1440 - window.begin) % 10080
        < (
            window.end - window.begin
            if window.end > window.begin
            else window.end - window.begin + 1440
        )
        for window in schedule.windows
        for day in window.days
    )
    assert schedule.at(moment, UTC).open is inside


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it has no window at all"),
        (" ; ", "it has no window at all"),
        ("monday", "'monday' is no day"),
        ("mon-fry 8-9", "'mon-fry' is no day"),
        ("mon 8-9 10-11", "is more than days and times"),
        ("mon 8to9", "'8to9' is no span of time"),
        ("8:00-24:30", "is not on a clock of 24 hours"),
        ("8:60-9:00", "is not on a clock of 24 hours"),
        ("24:00-08:00", "is not on a clock of 24 hours"),
        ("mon 08:00-08:00", "is empty; the whole day is 00:00-24:00"),
    ],
)
def test_what_is_no_schedule_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_schedule(text)
    assert why in caught.value.why
