"""What people type for a moment."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from evq.core.errors import UsageError
from evq.core.past import ByClock, BySequence, parse_when


@pytest.fixture
def in_berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A reader whose clocks were turned back on the 25th of October 2026."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


THURSDAY = "2026-11-26 08:46:01+01:00"


def meant(text: str, now: str = THURSDAY) -> str:
    when = parse_when(text, datetime.fromisoformat(now))
    assert isinstance(when, ByClock)
    return datetime.fromtimestamp(when.at / 1e6, UTC).isoformat().removesuffix("+00:00")


@pytest.mark.usefixtures("in_berlin")
@pytest.mark.parametrize(
    ("text", "time_in_utc"),
    [
        ("now", "2026-11-26T07:46:01"),
        ("10m ago", "2026-11-26T07:36:01"),
        ("2h30m ago", "2026-11-26T05:16:01"),
        ("2h 30m ago", "2026-11-26T05:16:01"),
        ("1.5h ago", "2026-11-26T06:16:01"),
        ("250ms ago", "2026-11-26T07:46:00.750000"),
        ("3d ago", "2026-11-23T07:46:01"),
        ("03:10", "2026-11-26T02:10:00"),
        ("3:10", "2026-11-26T02:10:00"),
        ("23:10", "2026-11-25T22:10:00"),
        ("08:46:01", "2026-11-26T07:46:01"),
        ("03:10:05.25", "2026-11-26T02:10:05.250000"),
        ("today", "2026-11-25T23:00:00"),
        ("today 03:10", "2026-11-26T02:10:00"),
        ("Yesterday 03:10", "2026-11-25T02:10:00"),
        ("yesterday  at  3:10", "2026-11-25T02:10:00"),
        ("yesterday", "2026-11-24T23:00:00"),
        ("monday 09:00", "2026-11-23T08:00:00"),
        ("wednesday 09:00", "2026-11-25T08:00:00"),
        ("thursday 09:00", "2026-11-19T08:00:00"),
        ("2026-11-26 07:00", "2026-11-26T06:00:00"),
        ("2026-11-26", "2026-11-25T23:00:00"),
        ("2026-10-25 01:30", "2026-10-24T23:30:00"),
        ("2026-10-25 12:00", "2026-10-25T11:00:00"),
        ("2026-11-26T07:00:00Z", "2026-11-26T07:00:00"),
        ("2026-11-26 07:00:00.123456+00:00", "2026-11-26T07:00:00.123456"),
        ("2026-11-26t07:00:00+02:00", "2026-11-26T05:00:00"),
    ],
)
def test_times_and_spans(text: str, time_in_utc: str) -> None:
    assert meant(text) == time_in_utc


def test_a_sequence_of_the_log() -> None:
    assert parse_when(" #12345 ", datetime.fromisoformat(THURSDAY)) == BySequence(12345)


@pytest.mark.usefixtures("in_berlin")
@pytest.mark.parametrize(
    "text",
    ["", " ", "5", "10", "12345", "-1", "#", "#x", "#-3", "soon", "tomorrow", "gestern", "10m",
     "ago", "x ago", "99999999999d ago", "1/2/2026", "2026-13-01", "25:00", "03:99", "3am",
     "monday soon", "in 5 minutes", "yesterday 03:10 UTC"],
)  # fmt: skip
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is no time"):
        parse_when(text, datetime.fromisoformat(THURSDAY))


@pytest.mark.usefixtures("in_berlin")
@pytest.mark.parametrize("text", ["today 23:10", "2026-11-26 08:47", "2026-12-24", "2999-01-01"])
def test_what_is_to_come_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="has not come yet"):
        parse_when(text, datetime.fromisoformat(THURSDAY))
