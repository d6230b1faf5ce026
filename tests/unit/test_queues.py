"""What happens to a queue, folded; and who is told no."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evq.core import wire
from evq.core.errors import Conflict
from evq.core.events import Envelope
from evq.core.handle import absorb_queue
from evq.core.ports import Stored
from evq.core.queueing.queues import (
    Pause,
    QueueCreated,
    QueueDeleted,
    QueueDescribed,
    QueueEvent,
    QueuePaused,
    QueueResumed,
    QueueRuled,
    QueueState,
    check_change,
    evolve_queue,
)

TEXT = st.text(max_size=5)
EVENTS = st.one_of(
    st.builds(QueueCreated, queue=st.just("q"), description=TEXT, reason=TEXT),
    st.builds(QueueDescribed, queue=st.just("q"), description=TEXT, reason=TEXT),
    st.builds(QueuePaused, queue=st.just("q"), reason=TEXT),
    st.builds(QueueResumed, queue=st.just("q"), reason=TEXT),
    st.builds(QueueDeleted, queue=st.just("q"), reason=TEXT),
    st.builds(
        QueueRuled,
        queue=st.just("q"),
        reason=TEXT,
        fair=st.booleans(),
    ),
)
NEW = QueueState("q")


def after(*events: QueueEvent) -> QueueState:
    queue = NEW
    for number, event in enumerate(events, 1):
        queue = evolve_queue(queue, number, 100 + number, "ann", event)
    return queue


@given(st.lists(EVENTS, max_size=12))
def test_every_history_is_a_queue(history: list[QueueEvent]) -> None:
    queue = after(*history)
    last = {kind: n for n, event in enumerate(history) for kind in (type(event),)}
    stops = max(last.get(QueueResumed, -1), last.get(QueueDeleted, -1))
    assert (queue.pause is not None) == (last.get(QueuePaused, -1) > stops)
    assert (queue.created is not None) == (last.get(QueueCreated, -1) > last.get(QueueDeleted, -1))
    assert queue.name_of_state in {"open", "paused", "deleted"}
    assert not (queue.deleted and (queue.pause or queue.description or queue.created))
    assert not (queue.deleted and queue.fair)
    assert queue.seq == len(history)


@given(st.lists(EVENTS, max_size=8))
def test_the_log_and_the_row_change_nothing(history: list[QueueEvent]) -> None:
    queue = NEW
    for number, event in enumerate(history, 1):
        data = wire.encode(Envelope(id=str(number), at=100 + number, by="ann", event=event))
        queue = absorb_queue(queue, Stored(number, "evq.x.queue.q", data))
    assert queue == after(*history)
    assert msgspec.json.decode(msgspec.json.encode(queue), type=QueueState) == queue


@given(st.lists(EVENTS, max_size=8), EVENTS)
def test_what_is_accepted_changes_something(history: list[QueueEvent], event: QueueEvent) -> None:
    queue = after(*history)
    try:
        check_change(queue, event)
    except Conflict as refusal:
        assert refusal.what
        return
    then = evolve_queue(queue, 99, 99, "bob", event)
    assert then.name_of_state != queue.name_of_state or isinstance(
        event, QueueCreated | QueueDescribed | QueueRuled
    )


def test_a_pause_says_who_and_why_until_it_is_over() -> None:
    paused = after(QueuePaused("q", "maintenance"))
    assert paused.pause == Pause(101, "ann", "maintenance")
    described = after(QueuePaused("q", "maintenance"), QueueDescribed("q", "big cards", "r"))
    assert described.pause == paused.pause and described.description == "big cards"
    assert after(QueuePaused("q", "maintenance"), QueueResumed("q", "over")).pause is None


@pytest.mark.parametrize(
    ("history", "event", "words"),
    [
        ([QueueCreated("q", "cards", "r")], QueueCreated("q", "", "r"), "already"),
        ([QueuePaused("q", "night")], QueuePaused("q", "r"), "paused already"),
        ([], QueueResumed("q", "r"), "not paused"),
        ([QueueDeleted("q", "r")], QueueDeleted("q", "r"), "deleted already"),
        ([QueueRuled("q", "r", fair=True)], QueueRuled("q", "r", fair=True), "among users already"),
        ([], QueueRuled("q", "r"), "by age already"),
    ],
)
def test_what_makes_no_sense(history: list[QueueEvent], event: QueueEvent, words: str) -> None:
    with pytest.raises(Conflict, match=words):
        check_change(after(*history), event)


def test_a_deleted_queue_can_be_made_again() -> None:
    deleted = after(QueueCreated("q", "cards", "r"), QueueDeleted("q", "r"))
    check_change(deleted, QueueCreated("q", "others", "r"))
    again = evolve_queue(deleted, 3, 3, "ann", QueueCreated("q", "others", "r"))
    assert (again.deleted, again.description, again.created) == (False, "others", 3)


@pytest.mark.parametrize(
    "data", [b"?", b'{"id":"i","at":1,"by":"b","event":{"kind":"queue_frozen"}}']
)
def test_nothing_is_decided_over_events_that_are_not_understood(data: bytes) -> None:
    queue = absorb_queue(NEW, Stored(7, "evq.x.queue.q", data))
    assert (queue.unknown, queue.seq) == (1, 7)
    with pytest.raises(Conflict, match="newer"):
        check_change(queue, QueuePaused("q", "r"))
