"""The small pure parts: spans, ages, widths, what is told of an event."""

from __future__ import annotations

import pytest

from evq.cli import output
from evq.cli.tasks.render import age, code_text, end_text, iso, now, span, timestamp
from evq.core import events
from evq.core.events import Cause, Envelope, Outcome
from evq.core.spec import Code
from evq.core.wire import Broken, Unknown
from evq.core.words.narrate import narrate


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, ""),
        (0, "0.0s"),
        (0.01, "<0.1s"),
        (0.4, "0.4s"),
        (0.97, "1.0s"),
        (9.96, "10.0s"),
        (12, "12s"),
        (59.7, "1m00s"),
        (185, "3m05s"),
        (7800, "2h10m"),
        (273600, "3d4h"),
    ],
)
def test_span(seconds: float | None, text: str) -> None:
    assert span(seconds) == text


def test_age_has_one_unit() -> None:
    ages = [(0, "0s"), (61, "1m"), (7300, "2h"), (90000, "1d")]
    assert [age(now() - seconds * 1_000_000) for seconds, _ in ages] == [text for _, text in ages]
    assert age(None) == ""


def test_times_are_utc() -> None:
    assert iso(1_767_225_600_123_456) == "2026-01-01T00:00:00.123Z"
    assert timestamp("2026-01-01T00:00:00.5") == 1_767_225_600_500_000
    assert timestamp("2026-01-01 00:00:00+00:00") == 1_767_225_600_000_000
    assert timestamp(None) is None


def test_how_a_command_ended() -> None:
    assert end_text(3, "code") == "exit status 3"
    assert end_text(-9, "signal") == "SIGKILL"
    assert end_text(None, "lost_agent") == "lost agent"
    assert end_text(0, None) == ""


def test_code_in_words() -> None:
    code = Code(
        snapshot="s",
        blobs=(),
        commit="a1b2c3d4",
        branch="main",
        changes={"modified": 2, "untracked": 1},
        unpushed=3,
    )
    text = "a1b2c3d main + 2 modified, 1 untracked, 3 unpushed"
    assert code_text(code) == text
    assert code_text(code, 2048) == f"{text} → 2KiB sent"
    assert code_text(code, 0) == f"{text} (on the server already)"
    assert code_text(Code(snapshot="s", blobs=())) == "no commit"


def test_wide_characters_take_two_columns() -> None:
    assert output.width("数据") == 4
    assert output.width("e\u0301") == 1
    assert output.cut("数据数据", 5) == "数据…"
    assert output.cut("short", 5) == "short"


def test_the_widest_soft_column_gives_way_first() -> None:
    assert output.fit([10, 40, 20], [False, True, True], 60) == [10, 26, 20]
    assert output.fit([10, 40], [False, False], 20) == [10, 40]


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (events.Phase(attempt=1, name="code"), "code …"),
        (
            events.Phase(attempt=1, name="code", seconds=0.5, cached=True, detail="abc"),
            "code 0.5s (cached) abc",
        ),
        (
            events.Finished(
                attempt=1,
                outcome=Outcome.FAILED,
                exit_code=-9,
                cause=Cause.OOM_HOST,
                evidence="peak 3 GiB",
            ),
            "failed (SIGKILL): peak 3 GiB",
        ),
        (
            events.Retry(attempt=1, outcome=Outcome.FAILED, delay=2.0, exit_code=1),
            "failed (exit status 1); runs again in 2.0s",
        ),
        (
            events.Lost(attempt=2, cause=Cause.LOST_AGENT, why="silent"),
            "attempt 2 lost: silent; waits again",
        ),
        (events.AgentDown("a", "i", "stopped"), "agent a is down: stopped"),
        (events.AgentLost("a", "i", "silent"), "agent a is lost: silent"),
    ],
)
def test_events_in_words(event: events.Event, text: str) -> None:
    assert narrate(Envelope(id="1", at=0, by="me", event=event)) == text


def test_strange_events_are_told_too() -> None:
    assert narrate(Unknown("1", 0, "me", "teleported", 9)) == "teleported (from a newer evq)"
    assert narrate(Broken("no JSON")) == "damaged: no JSON"
