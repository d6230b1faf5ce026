"""Schedules: due times on clocks that are put forward and back, and what is decided about them."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from evq.core.errors import UsageError
from evq.core.journal import Noted
from evq.core.spec import After, Command, Spec
from evq.services.schedule import facts
from evq.services.schedule.decide import LATE, clock, decide, key_of, task_for
from evq.services.schedule.due import check_when, due_between, moments, next_due
from evq.services.schedule.facts import Defined, Due, Ran, Skipped, State, evolve
from evq.services.schedule.when import Cron, Every, Once, When, when_text

SECOND = 1_000_000
HOUR = 3600 * SECOND
SPEC = Spec(entry=Command(("true",)), name="nightly", queue="q")


def at(text: str, zone: str = "UTC") -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * SECOND)


def utc(moment: int) -> str:
    return datetime.fromtimestamp(moment / 1e6, UTC).isoformat(timespec="minutes")[:16]


# --- due times ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "start", "wanted"),
    [
        # Clocks go forward at 02:00: what was due in the gap is due right after it.
        (
            "30 2 * * *",
            "2026-03-28T12:00",
            ["2026-03-29T01:00", "2026-03-30T00:30", "2026-03-31T00:30"],
        ),
        # They go back at 03:00: what is due at 02:30 is due once.
        (
            "30 2 * * *",
            "2026-10-24T12:00",
            ["2026-10-25T00:30", "2026-10-26T01:30", "2026-10-27T01:30"],
        ),
        # What is due every hour is due in each of the two hours.
        (
            "0 * * * *",
            "2026-10-25T01:30",
            ["2026-10-25T00:00", "2026-10-25T01:00", "2026-10-25T02:00"],
        ),
        (
            "0 9 * * mon-fri",
            "2026-11-27T12:00",
            ["2026-11-30T08:00", "2026-12-01T08:00", "2026-12-02T08:00"],
        ),
    ],
)
def test_cron_on_the_clock_of_a_zone(expression: str, start: str, wanted: list[str]) -> None:
    when = Cron(expression, "Europe/Berlin")
    found = islice(moments(when, at(start, "Europe/Berlin")), 3)
    assert [utc(one) for one in found] == wanted


def test_every_and_once() -> None:
    every = Every(seconds=7200, start=at("2026-01-01T00:30"), zone="UTC")
    assert utc(next_due(every, every.start) or 0) == "2026-01-01T02:30"
    assert utc(next_due(every, at("2026-01-01T06:30")) or 0) == "2026-01-01T08:30"
    assert next_due(every, every.start - HOUR) == every.start + 2 * HOUR
    once = Once(at=at("2026-01-01T12:00"), zone="UTC")
    assert next_due(once, once.at - 1) == once.at and next_due(once, once.at) is None
    assert len(due_between(every, every.start, every.start + 10 * HOUR)) == 5
    assert [when_text(one) for one in (every, once)] == ["every 2h", "once"]


@pytest.mark.parametrize(
    ("when", "words"),
    [
        (Cron("61 * * * *", "UTC"), "is no cron expression: bad minute"),
        (Cron("every day", "UTC"), "is no cron expression"),
        (Cron("0 0 30 2 *", "UTC"), "is no cron expression"),
        (Cron("0 3 * * *", "Europe/Atlantis"), "no time zone"),
        (Cron("0 3 * * *", "../../etc/passwd"), "no time zone"),
        (Every(seconds=0.5, start=0, zone="UTC"), "not more often"),
    ],
)
def test_what_cannot_be_reckoned_with_is_refused(when: When, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        check_when(when)


# --- decisions ------------------------------------------------------------------------------------


class Schedule:
    """A schedule whose decisions are written down as soon as they are made."""

    def __init__(self, **more: Any) -> None:
        self.state = State()
        self._seq = 0
        self.start = at("2026-01-01T00:00")
        when = Every(seconds=3600, start=self.start, zone="UTC")
        self.write(Defined(when=when, spec=SPEC, **more), self.start)

    def write(self, fact: facts.Fact, moment: int = 0) -> None:
        self._seq += 1
        noted = Noted(self._seq, moment or self.start, "tester", "words", fact)
        self.state = evolve(self.state, noted)

    def look(self, hours: float, *, last_runs: bool = False) -> list[str]:
        """What is decided at a moment, each run done at once."""
        moment, found = self.start + round(hours * HOUR), []
        while self.state.definition:
            due = partial(due_between, self.state.definition.when)
            decided = decide(self.state, moment, due, last_runs=last_runs)
            if decided is None:
                break
            fact, words = decided
            found.append(words)
            self.write(fact, moment)
            if isinstance(fact, Due):
                self.write(Ran(fact.at, f"task-{self._seq}"), moment)
        return found

    @property
    def runs(self) -> int:
        return self.state.runs


def test_each_due_time_runs_once() -> None:
    schedule = Schedule()
    assert schedule.look(0.99) == []
    assert schedule.look(1.001) == ["runs for 2026-01-01 01:00 UTC"]
    assert schedule.look(1.5) == []
    assert schedule.look(2.001) == ["runs for 2026-01-01 02:00 UTC"]
    assert schedule.runs == 2


@pytest.mark.parametrize(
    ("catch_up", "hours", "runs", "words"),
    [
        ("none", 5.5, 0, "5 due times from 2026-01-01 01:00 UTC to 2026-01-01 05:00 UTC"),
        ("none", 5.001, 1, "4 due times from 2026-01-01 01:00 UTC to 2026-01-01 04:00 UTC"),
        ("last", 5.5, 1, "4 due times from 2026-01-01 01:00 UTC to 2026-01-01 04:00 UTC"),
        ("all", 5.5, 3, "2 due times from 2026-01-01 01:00 UTC to 2026-01-01 02:00 UTC"),
        ("all", 2.5, 2, ""),
    ],
)
def test_missed_due_times_by_policy(catch_up: Any, hours: float, runs: int, words: str) -> None:
    schedule = Schedule(catch_up=catch_up, most=3)
    found = schedule.look(hours)
    assert schedule.runs == runs
    assert words in found[0] and schedule.state.runs + schedule.state.skipped == int(hours)
    assert schedule.look(hours) == []
    assert schedule.look(int(hours) + 1.001)[0].startswith("runs for")


def test_while_the_last_one_runs() -> None:
    skips, others = Schedule(overlap="skip"), Schedule(overlap="queue")
    for schedule in (skips, others):
        schedule.look(1.001)
    assert "has not ended" in skips.look(2.001, last_runs=True)[0] and skips.runs == 1
    assert others.look(2.001, last_runs=True)[0].startswith("runs for")
    waits = task_for("n", others.state, Due(others.start), unended=["a", "b"])
    assert waits.after == (After("a", "any"), After("b", "any"))
    assert task_for("n", others.state, Due(others.start), unended=[]).after == ()
    assert task_for("n", skips.state, Due(others.start), unended=["a"]).after == ()


def test_a_pause_is_no_outage() -> None:
    schedule = Schedule(catch_up="all")
    schedule.write(facts.Paused("holidays"))
    assert schedule.look(3.5) == []
    schedule.write(facts.Resumed("back"), schedule.start + round(3.6 * HOUR))
    assert schedule.look(3.7) == []
    assert schedule.look(4.001) == ["runs for 2026-01-01 04:00 UTC"]


def test_asked_for_it_runs_even_if_paused_and_moves_no_due_time() -> None:
    schedule = Schedule()
    schedule.write(facts.Paused("holidays"))
    schedule.write(facts.Asked("now"))
    assert schedule.look(0.5) == ["runs now, as somebody asked"]
    assert schedule.look(0.6) == [] and schedule.state.until == schedule.start


def test_nothing_is_decided_before_what_was_begun_is_done() -> None:
    schedule = Schedule()
    schedule.write(Due(schedule.start + HOUR))
    assert schedule.look(9) == []
    schedule.write(facts.Refused(schedule.start + HOUR, "the queue is closed"))
    assert schedule.look(2.001) == ["runs for 2026-01-01 02:00 UTC"]


def test_a_removed_one_does_nothing() -> None:
    schedule = Schedule()
    schedule.write(facts.Removed("enough"))
    assert schedule.state.definition is None and schedule.look(9) == []


def test_the_task_of_a_due_time_has_a_name_that_follows_from_it() -> None:
    schedule = Schedule()
    due = Due(at("2026-01-01T03:00"))
    spec = task_for("nightly", schedule.state, due, unended=[])
    assert spec.key == key_of("nightly", due) == "schedule-nightly-20260101T030000Z"
    assert spec.tags == ("schedule:nightly",)
    assert spec.variables == {"EVQ_DUE": "2026-01-01T03:00:00+00:00"}
    assert key_of("nightly", Due(due.at, 17)) == "schedule-nightly-asked-17"
    assert clock(due.at + 5 * SECOND, "Europe/Berlin") == "2026-01-01 04:00:05 CET"


def test_skipping_says_how_many() -> None:
    schedule = Schedule()
    schedule.write(Skipped(schedule.start + HOUR, schedule.start + 3 * HOUR, 3))
    assert schedule.state.skipped == 3
    assert schedule.look(4.001) == ["runs for 2026-01-01 04:00 UTC"]
    assert LATE < HOUR
