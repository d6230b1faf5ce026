"""Triggers: what they wait for, and what follows from what they decided."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from evq.core import events
from evq.core.errors import UsageError
from evq.core.events import Metric, Outcome
from evq.core.fleet.agents import AgentLost, AgentPaused
from evq.core.journal import Noted
from evq.core.queueing.queues import QueuePaused
from evq.core.spec import Command, Spec
from evq.services.trigger.actions import action_text, check_webhook, key_of, task_for
from evq.services.trigger.conditions import (
    KINDS,
    Crossing,
    Events,
    Filter,
    LongQueue,
    check_kinds,
    condition_text,
    kinds_of,
    read_crossing,
)
from evq.services.trigger.facts import (
    Defined,
    Do,
    Done,
    Enqueue,
    GaveUp,
    Matched,
    Paused,
    Read,
    Removed,
    Resumed,
    Shorter,
    State,
    Tell,
    Webhook,
    evolve,
)

SPEC = Spec(
    entry=Command(("true",)), name="train a", queue="gpu", project="vision", tags=("big",), user="u"
)


@pytest.mark.parametrize(
    ("which", "taken"),
    [
        (Filter(), True),
        (Filter(project="vision", queue="gpu", tag="big", name="train*", user="u"), True),
        (Filter(project="speech"), False),
        (Filter(queue="cpu"), False),
        (Filter(tag="small"), False),
        (Filter(name="eval*"), False),
        (Filter(user="v"), False),
    ],
)
def test_which_tasks_are_meant(which: Filter, taken: bool) -> None:
    assert which.takes(SPEC) is taken


def test_controllers_are_meant_by_nobody_who_does_not_name_them() -> None:
    controller = Spec(entry=Command(("true",)), name="n", queue="q", tags=("service:sweep",))
    assert not Filter().takes(controller)
    assert Filter(tag="service:sweep").takes(controller)


@pytest.mark.parametrize(
    ("event", "kinds"),
    [
        (events.Finished(attempt=1, outcome=Outcome.FAILED), {"ended", "failed"}),
        (events.Finished(attempt=1, outcome=Outcome.TIMED_OUT), {"ended", "timed-out"}),
        (events.Aborted("why"), {"ended", "aborted"}),
        (events.Retry(attempt=1, outcome=Outcome.FAILED, delay=1.0), {"retry"}),
        (events.Requeued("why"), set()),
        (AgentLost("a", "i", "silent"), {"agent-lost"}),
        (AgentPaused("a", "i", "the disk is full"), {"agent-paused"}),
        (QueuePaused("q", "why"), {"queue-paused"}),
    ],
)
def test_what_events_are_called(event: Any, kinds: set[str]) -> None:
    assert kinds_of(event) == kinds <= set(KINDS)


def test_the_kinds_are_documented() -> None:
    page = (Path(__file__).parents[2] / "docs/triggers.md").read_text()
    assert dict(re.findall(r"^\| `([a-z][\w-]*)` \| (.+) \|$", page, re.M)) == KINDS


def test_a_kind_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match="nothing is called 'fails'"):
        check_kinds(("failed", "fails"))


def record(*values: float | str) -> Metric:
    return Metric(
        attempt=1,
        claim=1,
        at=tuple(range(len(values))),
        name=tuple("loss" for _ in values),
        step=tuple(range(len(values))),
        value=values,  # type: ignore[arg-type]
    )


def test_a_metric_crosses_a_line() -> None:
    above = read_crossing("loss > 10", Filter())
    assert above == Crossing(metric="loss", op=">", value=10.0)
    assert above.point(record(1.0, 10.0, 11.0)) == 2
    assert above.point(record(1.0, "nan")) is None
    assert above.point(record("inf")) == 0
    assert read_crossing("acc<=0.5", Filter()).point(record(0.1)) is None
    assert read_crossing("loss<=0.5", Filter()).point(record(0.6, 0.5)) == 1


@pytest.mark.parametrize("written", ["loss", "loss > high", "> 10", "loss = 3", "loss > nan"])
def test_a_line_that_is_none_is_refused(written: str) -> None:
    with pytest.raises(UsageError, match="no line that a metric could cross"):
        read_crossing(written, Filter())


def test_conditions_and_actions_in_short() -> None:
    assert condition_text(Events(("failed", "lost"), Filter(project="v"))) == (
        "failed or lost, project v"
    )
    assert condition_text(Crossing(metric="loss", op=">", value=10.0)) == "loss > 10"
    long = LongQueue(queue="gpu", more_than=20, seconds=600.0)
    assert condition_text(long) == "queue gpu longer than 20 for 10m"
    actions: list[Do] = [Enqueue(SPEC), Webhook("https://host/x"), Tell(("a", "b"))]
    assert [action_text(one) for one in actions] == [
        "enqueue true",
        "call https://host/x",
        "alert a, b",
    ]


@pytest.mark.parametrize(
    "url", ["host/x", "ftp://host/x", "https://user:secret@host/", "http://a b"]
)
def test_an_address_that_is_no_webhook_is_refused(url: str) -> None:
    with pytest.raises(UsageError):
        check_webhook(url)


# --- what was decided -----------------------------------------------------------------------------


class Trigger:
    def __init__(self, on: Any, telemetry: int = 0) -> None:
        self.state = State()
        self.write(10, Defined(on=on, do=Tell(("a",)), telemetry=telemetry))

    def write(self, seq: int, fact: Any) -> State:
        self.state = evolve(self.state, Noted(seq, seq, "tester", "words", fact))
        return self.state


def matched(seq: int, task: str = "") -> Matched:
    return Matched(id=str(seq), seq=seq, at=seq, words="it happened", task=task)


def test_it_reads_on_from_where_it_was_defined() -> None:
    trigger = Trigger(Events(("failed",)))
    assert trigger.state.cursor == 10
    assert trigger.write(30, matched(20)).cursor == 20
    assert trigger.write(40, Read(35)).cursor == 35
    assert [one.id for one in trigger.state.pending] == ["20"]
    assert trigger.write(41, Done("20")).pending == () and trigger.state.done == 1
    trigger.write(42, matched(38))
    assert trigger.write(43, GaveUp("38", "no such host")).gave_up == 1
    assert trigger.state.matches == 2 and not trigger.state.pending


def test_one_that_waits_for_metrics_counts_by_telemetry() -> None:
    trigger = Trigger(read_crossing("loss > 1", Filter()))
    assert trigger.state.cursor == 0
    trigger.write(30, matched(3, "task"))
    assert trigger.state.cursor == 3 and trigger.state.crossed == ("task",)
    trigger.write(40, Resumed("back", 7))
    assert trigger.state.cursor == 7


def test_what_happens_in_a_pause_does_not_match() -> None:
    trigger = Trigger(Events(("failed",)))
    assert trigger.write(20, Paused("holidays")).paused
    state = trigger.write(50, Resumed("back"))
    assert state.cursor == 50 and state.paused is None


def test_a_long_queue_matches_once_until_it_is_shorter() -> None:
    trigger = Trigger(LongQueue(queue="gpu", more_than=3))
    assert trigger.write(20, matched(0)).long and trigger.state.cursor == 10
    assert not trigger.write(30, Shorter()).long
    assert trigger.write(40, Removed("enough")).definition is None


def test_the_task_of_a_match_has_a_name_that_follows_from_it() -> None:
    spec = task_for("eval", SPEC, matched(20, "k3f9"))
    assert spec.key == key_of("eval", matched(20)) == "trigger-eval-20"
    assert spec.tags == ("big", "trigger:eval")
    assert spec.variables == {
        "EVQ_TRIGGER": "eval",
        "EVQ_TRIGGER_TASK": "k3f9",
        "EVQ_TRIGGER_WORDS": "it happened",
    }
