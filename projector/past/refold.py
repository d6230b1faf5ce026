"""Events as the database has them, folded again with the folds that everybody uses. Pure."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from ...core import wire
from ...core.events import AgentEvent, Enqueued, Event, Lifecycle
from ...core.evolve import create, evolve
from ...core.fleet.agent_record import AgentRecord, evolve_agent
from ...core.queries import Query
from ...core.queueing.permits import Permits
from ...core.queueing.queues import QueueEvent, QueueState, evolve_queue
from ...core.saved_queries import QueryDeleted, QuerySaved, saved_query
from ...core.state import Task
from ...core.subjects import lifecycle, parse_lifecycle, parse_queue_events
from ...core.wire import Broken, Unknown
from ..rows import PermitsRow, permits_row


class Recorded(msgspec.Struct, frozen=True):
    """An event as a row of `_events` has it; `at` is in microseconds. One that could not be read
    has in `unread` the subject that it stood under."""

    seq: int
    at: int
    by: str
    kind: str
    task: str | None
    data: str
    unread: str | None


class Surroundings(msgspec.Struct):
    """What there was besides tasks."""

    agents: dict[str, AgentRecord] = {}
    queues: dict[str, QueueState] = {}
    permits: dict[str, PermitsRow] = {}
    queries: dict[str, Query] = {}


_event: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)


def refold_tasks(recorded: Iterable[Recorded]) -> dict[str, Task]:
    """The tasks after these events of theirs, given in the order of the log."""
    tasks: dict[str, Task] = {}
    for one in recorded:
        assert one.task is not None
        known = tasks.get(one.task)
        if one.unread is not None:
            # A task's life is on the subject of its own queue, and nowhere else.
            if known and one.unread == lifecycle(known.spec.queue, known.id):
                unknown = Unknown("", one.at, one.by, one.kind, 0)
                tasks[known.id] = evolve(known, one.seq, one.at, one.by, unknown)
            continue
        event = _event.decode(one.data)
        if known and isinstance(event, Lifecycle):
            tasks[known.id] = evolve(known, one.seq, one.at, one.by, event)
        elif isinstance(event, Enqueued):
            tasks[one.task] = create(one.seq, one.at, one.by, event)
    return tasks


def refold_surroundings(recorded: Iterable[Recorded]) -> Surroundings:
    """What there was besides tasks, after these events, given in the order of the log."""
    found = Surroundings()
    for one in recorded:
        if one.unread:
            if name := parse_queue_events(one.unread):
                before = found.queues.get(name, QueueState(name))
                found.queues[name] = evolve_queue(before, one.seq, 0, "", None)
            continue
        event = _event.decode(one.data)
        if isinstance(event, AgentEvent):
            row = evolve_agent(found.agents.get(event.agent), one.at, one.by, event)
            if row:
                found.agents[event.agent] = row
        elif isinstance(event, QueueEvent):
            before = found.queues.get(event.queue, QueueState(event.queue))
            found.queues[event.queue] = evolve_queue(before, one.seq, one.at, one.by, event)
        elif isinstance(event, Permits):
            found.permits[event.queue] = permits_row(one.at, one.by, event)
        elif isinstance(event, QuerySaved):
            found.queries[event.query] = saved_query(event, one.by, one.at)
        elif isinstance(event, QueryDeleted):
            found.queries.pop(event.query, None)
    return found


def damaged(seq: int, subject: str, payload: bytes) -> Recorded | None:
    """A dead letter of the log as an event that nobody understands, if a fold counts it as one."""
    place = parse_lifecycle(subject)
    if not isinstance(wire.decode(payload), Broken) and not parse_queue_events(subject):
        return None
    return Recorded(seq, 0, "", "broken", place[1] if place else None, "", subject)
