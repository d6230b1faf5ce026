"""The laws of the one fold, and what each event leaves behind."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evq.core import events, state, wire
from evq.core.events import Cause, Envelope, Outcome
from evq.core.evolve import create, evolve, fold
from evq.core.handle import absorb
from evq.core.ports import Stored
from evq.core.spec import Command, Spec
from evq.core.state import Task
from evq.core.wire import Unknown

SPEC = Spec(entry=Command(("true",)), name="t", queue="q", retries=1)
TASK = create(5, 1_000, "me@here", events.Enqueued("t1", SPEC))


def claimed(attempt: int = 1, instance: str = "i1") -> events.Claimed:
    return events.Claimed(
        attempt=attempt, agent="w1", instance=instance, slot=2, hint=5, lease=10.0
    )


STARTED = events.Started(attempt=1, pid=7, argv=("a", "b"), host="h", folder="/f")
LAUNCH = events.Launch(5, 8, ("c",), "h", "/g")
USAGE = events.Usage(1.5, 0.5, 100)

ATTEMPTS = st.integers(0, 3)
ANY_EVENT: st.SearchStrategy[Any] = st.one_of(
    st.just(events.Enqueued("t1", SPEC)),
    st.builds(claimed, ATTEMPTS),
    st.builds(
        events.Phase,
        attempt=ATTEMPTS,
        name=st.sampled_from(["code", "environment"]),
        seconds=st.none() | st.floats(0, 10),
    ),
    st.builds(events.Environment, attempt=ATTEMPTS, manager=st.just("uv")),
    st.builds(
        events.Started,
        attempt=ATTEMPTS,
        pid=st.just(1),
        argv=st.just(()),
        host=st.just("h"),
        folder=st.just("/"),
    ),
    st.builds(events.Finished, attempt=ATTEMPTS, outcome=st.sampled_from(Outcome)),
    st.builds(events.Retry, attempt=ATTEMPTS, outcome=st.just(Outcome.FAILED), delay=st.just(1.0)),
    st.builds(events.Lost, attempt=ATTEMPTS, cause=st.sampled_from(Cause), why=st.just("w")),
    st.just(events.AbortRequested("r")),
    st.just(events.Aborted("r")),
    st.just(events.Requeued("r")),
    st.builds(
        events.Moved,
        queue=st.sampled_from(("q", "r")),
        priority=st.integers(0, 9),
        rank=st.none() | st.floats(-1e6, 1e6),
        reason=st.just("r"),
    ),
    st.just(events.Dequeued("r")),
    st.builds(
        events.Tagged,
        add=st.lists(st.sampled_from("abc"), max_size=2).map(tuple),
        remove=st.lists(st.sampled_from("abc"), max_size=2).map(tuple),
    ),
    st.just(events.Archived("r")),
    st.just(events.Unarchived("r")),
    st.just(events.Cleaned(what=("logs", "code", "notebooks"), reason="r")),
    st.just(Unknown("i", 1, "b", "paused", 2)),
)
HISTORY = st.lists(ANY_EVENT, max_size=25).map(
    lambda found: [(6 + 2 * n, 2_000 + n, "w1", event) for n, event in enumerate(found)]
)


def after(*history: events.Lifecycle | Unknown, task: Task = TASK) -> Task:
    return fold(
        task, [(task.seq + n, 2_000 + n, "w1", event) for n, event in enumerate(history, 6)]
    )


# --- laws -------------------------------------------------------------------------------------


@given(HISTORY, HISTORY)
def test_a_fold_can_be_cut_anywhere(one: Any, other: Any) -> None:
    assert fold(TASK, one + other) == fold(fold(TASK, one), other)


@given(HISTORY)
def test_every_prefix_is_a_task_and_nothing_raises(history: Any) -> None:
    task = TASK
    for seq, at, by, event in history:
        before, task = task, evolve(task, seq, at, by, event)
        assert task.name_of_state in {"queued", "claimed", "running", *Outcome}
        assert task.past[: len(before.past)] == before.past, "the past does not change"
        assert (task.id, task.spec, task.origin) == (TASK.id, SPEC, 5)
        assert task.seq == (before.seq if isinstance(event, events.Enqueued) else seq)
        assert (task.live is None) == isinstance(task.state, state.Queued | state.Ended)
        assert all(attempt.end for attempt in task.past)
        assert task.archived is None or isinstance(task.state, state.Ended)
        assert len(set(task.tags)) == len(task.tags)


@given(HISTORY)
def test_the_same_history_gives_the_same_task(history: Any) -> None:
    assert fold(TASK, history) == fold(TASK, list(history))


@given(HISTORY)
def test_the_wire_changes_nothing(history: Any) -> None:
    """Folding what was stored is folding what was meant; unknown kinds count as unknown."""
    task = TASK
    for seq, at, by, event in history:
        if isinstance(event, events.Enqueued):
            continue  # it stands on another subject
        if isinstance(event, Unknown):
            data = b'{"id":"i","at":1,"by":"b","v":2,"event":{"kind":"paused"}}'
        else:
            data = wire.encode(Envelope(id=str(seq), at=at, by=by, event=event))
        task = absorb(task, Stored(seq, "evq.t.q.t1", data))
    assert task == fold(TASK, history)


@given(HISTORY, st.lists(st.integers(0, 9), max_size=3))
def test_to_dequeue_undoes_to_requeue(history: Any, priorities: list[int]) -> None:
    """Whatever was moved between: all is as it was, but for the sequence."""
    task = fold(TASK, history)
    if not isinstance(task.state, state.Ended):
        return
    moves = [events.Moved(queue="other", priority=p, rank=0.5, reason="r") for p in priorities]
    back = after(events.Requeued("r"), *moves, events.Dequeued("r"), task=task)
    assert msgspec.structs.replace(back, seq=task.seq, moved=None, former=None) == (
        msgspec.structs.replace(task, moved=None, former=None)
    )
    assert back.place == task.place


# --- strange events ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b'{"id":"i","at":1,"by":"b","event":{"kind":"paused"}}',
        b'{"id":"i","at":1,"by":"b","v":2,"event":{"kind":"aborted","reason":"r"}}',
        b"no json",
        b'{"id":"i","at":1,"by":"b","event":{"kind":"aborted"}}',
    ],
)
def test_what_is_not_understood_is_counted_and_passed(data: bytes) -> None:
    task = absorb(after(claimed()), Stored(99, "evq.t.q.t1", data))
    assert (task.unknown, task.seq, task.name_of_state) == (1, 99, "claimed")


@pytest.mark.parametrize(
    "event",
    [
        events.Again("t1", 5),
        events.AgentDown("w1", "i1", "r"),
        events.AgentLost("w1", "i1", "r"),
        events.Enqueued("t1", SPEC),
    ],
)
def test_a_message_that_does_not_belong_on_the_subject_is_passed(event: Any) -> None:
    """It must move `seq`: whoever expects the one before could never append again."""
    data = wire.encode(Envelope(id="i", at=1, by="b", event=event))
    task = absorb(after(claimed()), Stored(99, "evq.t.q.t1", data))
    assert (task.seq, task.name_of_state, task.unknown) == (99, "claimed", 0)


@pytest.mark.parametrize("attempt", [0, 2])
@pytest.mark.parametrize(
    "event",
    [
        events.Phase(attempt=1, name="code"),
        events.Environment(attempt=1, manager="uv"),
        STARTED,
        events.Finished(attempt=1, outcome=Outcome.COMPLETED),
        events.Retry(attempt=1, outcome=Outcome.FAILED, delay=1.0),
        events.Lost(attempt=1, cause=Cause.LOST_AGENT, why="w"),
    ],
)
def test_the_words_of_a_dead_attempt_change_nothing(event: Any, attempt: int) -> None:
    before = after(claimed())
    task = evolve(before, 99, 1, "w1", msgspec.structs.replace(event, attempt=attempt))
    assert task == msgspec.structs.replace(before, seq=99)


# --- what each event leaves behind ------------------------------------------------------------


def test_enqueued() -> None:
    assert Task("t1", SPEC, "me@here", 1_000, 5, state.Queued(1_000)) == TASK


def test_claimed() -> None:
    task = evolve(TASK, 9, 2_000, "w1", claimed())
    assert task.live == state.Attempt(1, "w1", "i1", 2, 9, 5, 10.0, 2_000)
    assert (task.seq, task.name_of_state, task.attempts) == (9, "claimed", (task.live,))


def test_phases_begin_and_end() -> None:
    task = after(
        claimed(),
        events.Phase(attempt=1, name="code"),
        events.Phase(attempt=1, name="code", seconds=0.5, cached=True, detail="d"),
        events.Phase(attempt=1, name="environment"),
    )
    assert task.live is not None
    assert task.live.phases == (
        state.PhaseRecord("code", 2_007, 0.5, True, "d"),
        state.PhaseRecord("environment", 2_009, None, None, ""),
    )


def test_a_phase_whose_beginning_was_not_told() -> None:
    task = after(claimed(), events.Phase(attempt=1, name="code", seconds=0.001))
    assert task.live is not None
    assert task.live.phases == (state.PhaseRecord("code", 2_007 - 1_000, 0.001, None, ""),)


def test_environment_and_started() -> None:
    packages = (events.Package("numpy", "2.1"),)
    environment = events.Environment(
        attempt=1, manager="uv", python="3.12", key="k", packages=packages
    )
    task = after(claimed(), environment, STARTED)
    assert task.live is not None and task.name_of_state == "running"
    assert task.live.environment == state.EnvironmentRecord("uv", "3.12", "k", packages)
    assert task.live.launch == events.Launch(2_008, 7, ("a", "b"), "h", "/f")


def test_a_phase_after_the_start_leaves_it_running() -> None:
    assert after(claimed(), STARTED, events.Phase(attempt=1, name="x")).name_of_state == "running"


@pytest.mark.parametrize("outcome", Outcome)
def test_finished(outcome: Outcome) -> None:
    event = events.Finished(
        attempt=1, outcome=outcome, exit_code=3, cause=Cause.CODE, evidence="e", usage=USAGE
    )
    task = after(claimed(), STARTED, event)
    assert task.state == state.Ended(2_008, outcome, 1, Cause.CODE, "e", 3)
    (attempt,) = task.past
    assert attempt.end == state.End(2_008, outcome, Cause.CODE, "e", 3, USAGE)
    assert task.name_of_state == outcome.value and task.live is None


def test_retry() -> None:
    event = events.Retry(attempt=1, outcome=Outcome.FAILED, delay=4.0, usage=USAGE)
    task = after(claimed(), STARTED, event)
    assert task.state == state.Queued(2_008, 4.0, task.seq)
    assert (task.failures, task.losses, len(task.past)) == (1, 0, 1)


@pytest.mark.parametrize(
    ("cause", "losses"), [(Cause.LOST_AGENT, 1), (Cause.INFRASTRUCTURE, 1), (Cause.DRAINED, 0)]
)
def test_lost(cause: Cause, losses: int) -> None:
    task = after(claimed(), events.Lost(attempt=1, cause=cause, why="w"))
    assert task.state == state.Queued(2_007)
    assert (task.failures, task.losses) == (0, losses)
    assert task.past[0].end == state.End(2_007, None, cause, "w", None, None)


def test_abort() -> None:
    task = after(claimed(), events.AbortRequested("enough"))
    assert task.abort == state.AbortWish(2_007, "w1", "enough") and task.name_of_state == "claimed"
    task = after(events.Aborted("never mind"))
    assert task.state == state.Ended(2_006, Outcome.ABORTED, 0, Cause.ABORT, "never mind", None)


def test_requeued_starts_with_fresh_budgets_and_keeps_the_past() -> None:
    task = after(
        claimed(),
        events.Retry(attempt=1, outcome=Outcome.FAILED, delay=1.0),
        claimed(2),
        events.Lost(attempt=2, cause=Cause.LOST_AGENT, why="w"),
        claimed(3),
        events.AbortRequested("enough"),
        events.Finished(attempt=3, outcome=Outcome.ABORTED),
        events.Requeued("again"),
    )
    assert (task.failures, task.losses, task.abort) == (0, 0, None)
    assert isinstance(task.state, state.Queued) and task.state.delay == 0
    assert [attempt.number for attempt in task.past] == [1, 2, 3]


def test_a_requeued_task_stands_at_the_end_of_where_it_was() -> None:
    moved = events.Moved(queue="r", priority=8, rank=0.5, reason="r")
    task = after(moved, claimed(), events.Finished(attempt=1, outcome=Outcome.COMPLETED))
    assert task.place == state.Place("r", 8, 0.5, 7)
    task = evolve(task, 20, 1, "me", events.Requeued("again"))
    assert task.place == state.Place("r", 8, 21.0, 21)
    assert (task.spec.queue, task.spec_now.queue, task.spec_now.priority) == ("q", "r", 8)


def test_a_task_that_waits_for_the_first_time_is_aborted_when_it_is_dequeued() -> None:
    task = after(events.Dequeued("not now"))
    assert task.state == state.Ended(2_006, Outcome.ABORTED, 0, Cause.ABORT, "not now", None)


def test_what_an_attempt_ended_is_not_undone() -> None:
    """It ran since it was requeued, so how it had ended before says nothing of it any more."""
    task = after(
        events.Aborted("r"),
        events.Requeued("r"),
        claimed(),
        events.Retry(attempt=1, outcome=Outcome.FAILED, delay=1.0),
        events.Dequeued("not now"),
    )
    assert isinstance(task.state, state.Ended) and task.state.evidence == "not now"


@pytest.mark.parametrize(
    "end",
    [
        events.Finished(attempt=1, outcome=Outcome.COMPLETED, launch=LAUNCH),
        events.Retry(attempt=1, outcome=Outcome.FAILED, delay=1.0, launch=LAUNCH),
        events.Lost(attempt=1, cause=Cause.INFRASTRUCTURE, why="disk", launch=LAUNCH),
    ],
)
def test_an_end_tells_of_a_start_that_was_not_told(end: events.Lifecycle) -> None:
    assert after(claimed(), end).past[-1].launch == LAUNCH
    started = after(claimed(), STARTED, end).past[-1].launch
    assert started is not None and started.pid == 7


def test_a_start_that_was_written_later_began_when_it_says() -> None:
    live = after(claimed(), msgspec.structs.replace(STARTED, began=1_234)).live
    assert live is not None and live.launch is not None and live.launch.at == 1_234
