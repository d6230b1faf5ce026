"""Overviews and reports over a small history whose figures are known."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from evq.core import events, subjects, wire
from evq.core.events import Envelope, Launch, Outcome
from evq.core.ports import Stored
from evq.core.questions import Named
from evq.core.sdk.author import now
from evq.core.spec import After, Command, Spec
from evq.core.subjects import LIFECYCLE_STREAM, SAMPLES_STREAM, TELEMETRY_STREAM, Level
from evq.projector.answers import parameters_for, queries
from evq.projector.projection import Batch, Projection
from evq.projector.store import Database

DOCS = Path(__file__).parents[2] / "docs" / "views.md"
SPEC = Spec(entry=Command(("train",)), name="train", queue="q", user="ann", project="p", gpus=2)
HOUR = 3600 * 1_000_000


class History:
    """Writes events at given seconds after a moment an hour ago, and asks: reports look back from
    now."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._projection = Projection(database)
        self._messages: list[Stored] = []
        self._start = now() - HOUR

    def say(self, second: float, subject: str, event: events.Event) -> None:
        seq = len(self._messages) + 1
        envelope = Envelope(id=f"e{seq}", at=self._start + round(second * 1e6), by="x", event=event)
        self._messages.append(Stored(seq, subject, wire.encode(envelope)))

    def enqueue(self, second: float, task: str, spec: Spec = SPEC) -> None:
        subject = subjects.hint(Level.of(spec), task)
        self.say(second, subject, events.Enqueued(task, spec))

    def of(self, task: str, *happened: tuple[float, events.Lifecycle], queue: str = "q") -> None:
        for second, event in happened:
            self.say(second, subjects.lifecycle(queue, task), event)

    def project(self) -> None:
        self._projection.apply(Batch(self._messages))

    def ask(self, question: str, **params: Any) -> list[dict[str, Any]]:
        sql, given = parameters_for(Named(question, params))
        answer = self._database.answer(sql, given)
        names = [name for name, _ in answer.columns]
        return [dict(zip(names, row, strict=True)) for row in answer.rows]

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return self._database.rows(sql)


def claimed(attempt: int, *gpus: str) -> events.Claimed:
    return events.Claimed(
        attempt=attempt, agent="w", instance="i", slot=0, hint=1, lease=10.0, gpus=gpus
    )


def started(attempt: int) -> events.Started:
    return events.Started(attempt=attempt, pid=1, argv=("train",), host="h", folder="/")


def finished(attempt: int, outcome: Outcome, launch: Launch | None = None) -> events.Finished:
    return events.Finished(attempt=attempt, outcome=outcome, launch=launch)


@pytest.fixture
def history(tmp_path: Path) -> History:
    """Two tasks on an agent with four GPUs: one waits 10 s, fails in set-up after 100 s, waits
    20 s more behind its delay and runs; the other waits 60 s for GPUs, half of which are idle."""
    opened = Database(tmp_path / "test.duckdb")
    opened.start(LIFECYCLE_STREAM, "then")
    opened.start(TELEMETRY_STREAM, "then")
    opened.start(SAMPLES_STREAM, "then")
    made = History(opened)
    up = events.AgentUp(
        agent="w", instance="i", host="h", pid=1, queues=("q",), order="strict", slots=2,
        version="1", cpus=2, memory=3, platform="linux", python="3.11", gpus=("0", "1", "2", "3"),
    )  # fmt: skip
    made.say(0, subjects.agent_events("w"), up)
    made.enqueue(0, "aaaaaaaaaaaa")
    made.of("aaaaaaaaaaaa", (10, claimed(1, "0", "1")))
    made.enqueue(50, "bbbbbbbbbbbb", replace(SPEC, user="bob", queue="r"))
    made.of("aaaaaaaaaaaa", (110, events.Retry(attempt=1, outcome=Outcome.FAILED, delay=5.0)))
    made.of("bbbbbbbbbbbb", (110, claimed(1, "0", "1")), (110, started(1)), queue="r")
    made.of("aaaaaaaaaaaa", (135, claimed(2, "2", "3")), (145, started(2)))
    made.of("aaaaaaaaaaaa", (235, finished(2, Outcome.COMPLETED)))
    made.of("bbbbbbbbbbbb", (210, finished(1, Outcome.COMPLETED)), queue="r")
    made.say(300, subjects.agent_events("w"), events.AgentPaused("w", "i", "disk"))
    made.say(400, subjects.agent_events("w"), events.AgentResumed("w", "i", "after disk"))
    made.say(500, subjects.agent_events("w"), events.AgentDown("w", "i", "told to stop"))
    made.project()
    yield made
    opened.close()


def test_every_wait_has_its_length_and_its_reason(history: History) -> None:
    found = history.rows(
        "SELECT task[1], attempt, after, ended_by, seconds FROM waits ORDER BY since"
    )
    assert found == [
        ("a", 1, "enqueued", "claimed", 10.0),
        ("b", 1, "enqueued", "claimed", 60.0),
        ("a", 2, "retry", "claimed", 20.0),
    ]


def test_percentiles_of_waiting(history: History) -> None:
    assert [(one["name"], one["waits"], one["p50"]) for one in history.ask("wait_percentiles")] == [
        ("q", 2, 15.0),
        ("r", 1, 60.0),
    ]
    by_user = history.ask("wait_percentiles", by="user")
    assert [(one["name"], one["longest"]) for one in by_user] == [("ann", 20.0), ("bob", 60.0)]
    assert history.ask("wait_percentiles", by="project")[0]["waits"] == 3


def test_hours_of_gpus_used_and_wasted(history: History) -> None:
    ann, bob = history.ask("gpu_hours", by="user")
    hour = 3600
    assert ann["reserved"] == pytest.approx((2 * 100 + 2 * 100) / hour, abs=1e-3)
    assert ann["wasted"] == ann["wasted_in_set_up"] == pytest.approx(2 * 100 / hour, abs=1e-3)
    assert ann["used"] == pytest.approx(2 * 90 / hour, abs=1e-3)
    assert (bob["reserved"], bob["wasted"]) == (pytest.approx(200 / hour, abs=1e-3), None)


def test_every_gpu_of_every_attempt(history: History) -> None:
    found = history.rows(
        "SELECT gpu, task[1], attempt, seconds, taken_back > given FROM gpu_claims"
        " ORDER BY given, gpu"
    )
    assert found == [
        ("0", "a", 1, 100.0, True),
        ("1", "a", 1, 100.0, True),
        ("0", "b", 1, 100.0, True),
        ("1", "b", 1, 100.0, True),
        ("2", "a", 2, 100.0, True),
        ("3", "a", 2, 100.0, True),
    ]
    assert history.ask("gpu_overlaps", days=100_000) == []


def test_a_gpu_in_two_attempts_at_once_would_be_found(history: History) -> None:
    history.enqueue(600, "cccccccccccc")
    history.enqueue(600, "dddddddddddd")
    history.of("cccccccccccc", (601, claimed(1, "0", "1")))
    history.of("dddddddddddd", (602, claimed(1, "1", "2")))
    history.project()
    (found,) = history.ask("gpu_overlaps", days=100_000)
    assert (found["gpu"], found["task"][0], found["other"][0]) == ("1", "c", "d")


def test_gpus_that_were_idle_while_somebody_waited(history: History) -> None:
    [found] = history.ask("idle_while_waiting")
    hour = 3600
    assert found["offered"] == pytest.approx(4 * (300 + 100) / hour, abs=2e-3)
    assert found["taken"] == pytest.approx((200 + 200 + 200) / hour, abs=2e-3)
    # 0 to 10 s all four, 50 to 110 two, 115 to 135 two.
    assert found["idle_while_waiting"] == pytest.approx((40 + 120 + 40) / hour, abs=2e-3)


def test_the_life_of_an_agent(history: History) -> None:
    states = [(one["state"], one["seconds"]) for one in history.ask("agent_history", agent="w")]
    assert [state for state, _ in states] == ["down", "up", "paused", "up"]
    assert [seconds for _, seconds in states[1:]] == [100.0, 100.0, 300.0]
    [share] = history.ask("availability")
    assert share["held_back"] == pytest.approx(100 / 3600, abs=1e-3)
    assert share["losses"] == 0


def test_how_much_of_an_agent_was_used(history: History) -> None:
    [found] = history.ask("worker_use")
    assert (found["agent"], found["attempts"]) == ("w", 3)
    assert found["busy_share"] == pytest.approx((100 + 100 + 100) / (2 * 400), abs=1e-4)


def test_depth_over_time(history: History) -> None:
    found = history.ask("queue_depth", hours=2, points=720)
    by_queue: dict[str, list[int]] = {}
    for row in found:
        by_queue.setdefault(row["queue"], []).append(row["depth"])
    # Ten seconds a point: one task waits in `q` for 10 s and then 20, in `r` for 60.
    assert 2 <= sum(by_queue["q"]) <= 4
    assert 5 <= sum(by_queue["r"]) <= 7
    assert by_queue["q"][-1] == 0


def test_who_held_most_and_where_set_up_took_long(history: History) -> None:
    first, *_ = history.ask("longest_holders")
    assert (first["gpus"], first["gpu_hours"]) == (2, pytest.approx(200 / 3600, abs=1e-3))
    [q, r] = history.ask("setup_share")
    assert (q["name"], q["failed_in_set_up"]) == ("q", 1)
    assert (r["name"], r["share"]) == ("r", 0.0)


@pytest.mark.parametrize("days", ["7", 0.01])
def test_every_report_answers_with_text_and_numbers(history: History, days: Any) -> None:
    for name in ("wait_percentiles", "gpu_hours", "worker_use", "availability", "setup_share"):
        history.ask(name, days=days)
    history.ask("queue_depth", hours="1", points="10", queue="q")
    history.ask("longest_holders", limit="5")


def test_what_awaits_others_waits_in_its_queue_from_their_end_on(history: History) -> None:
    first, held, never = "cccccccccccc", "dddddddddddd", "eeeeeeeeeeee"
    history.enqueue(300, first)
    for task, on in ((held, "ok"), (never, "failed")):
        history.enqueue(310, task, replace(SPEC, after=(After(first, on),)))  # type: ignore[arg-type]
    history.of(first, (311, events.Awaited((held, never))), (320, claimed(1)))
    history.of(first, (330, finished(1, Outcome.COMPLETED)))
    for task in (held, never):
        end = events.DependencyEnd(first, Outcome.COMPLETED)
        history.of(task, (330, events.DependenciesEnded((end,))))
    history.of(held, (342, claimed(1)))
    history.project()
    assert history.rows(
        "SELECT after, ended_by, seconds FROM waits WHERE task IN "
        f"('{held}', '{never}') ORDER BY task"
    ) == [("dependencies_ended", "claimed", 12.0)]
    assert history.rows("FROM dependencies ORDER BY task") == [
        (held, first, "ok", "completed", True),
        (never, first, "failed", "completed", False),
    ]
    assert history.rows(f"SELECT state, cause FROM tasks WHERE task = '{never}'") == [
        ("aborted", "dependency")
    ]


def test_what_is_held_does_not_wait_in_its_queue(history: History) -> None:
    history.enqueue(300, "dddddddddddd", replace(SPEC, after=(After("cccccccccccc"),)))
    history.project()
    assert history.rows("SELECT task FROM waits WHERE task = 'dddddddddddd'") == []
    assert history.rows("SELECT outcome, met FROM dependencies") == [(None, None)]
    assert history.rows("SELECT task FROM tasks WHERE state = 'held'") == [("dddddddddddd",)]


def test_the_document_has_every_question() -> None:
    text = DOCS.read_text("utf-8")
    found = re.findall(r"^\| `(\w+)\(([^)]*)\)` \|", text, re.MULTILINE)
    assert {name: arguments for name, arguments in found} == {
        name: ", ".join((*query.required, *query.optional)) for name, query in queries().items()
    }
