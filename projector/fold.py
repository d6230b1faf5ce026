"""A batch of messages, folded: which tasks and agents changed, and what else is to be written.

Pure: the tasks and claims that a batch speaks of are looked up before and come in as mappings.
The policy for strange messages is that of `core.handle.absorb`, so that every reader of the log
ends with the same task; what cannot be attributed to anything becomes a dead letter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from ..core import wire
from ..core.arrays.turns import Turns
from ..core.events import (
    Again,
    AgentEvent,
    Cleaned,
    Decided,
    Enqueued,
    Envelope,
    Lifecycle,
    Log,
    Metric,
    Progress,
    Remarks,
    Telemetry,
)
from ..core.evolve import create, evolve
from ..core.fleet.agent_record import AgentRecord, evolve_agent
from ..core.handle import absorb_queue
from ..core.moments import writable as time
from ..core.ports import Stored
from ..core.queries import Query
from ..core.queueing.permits import Permits
from ..core.queueing.queues import QueueEvent, QueueState
from ..core.retention import Trimmed
from ..core.saved_queries import QueryDeleted, QuerySaved, saved_query
from ..core.state import Attempt, Task
from ..core.subjects import (
    HISTORY_EVENTS,
    LIFECYCLE_STREAM,
    TELEMETRY_STREAM,
    parse_array_events,
    parse_hint,
    parse_lifecycle,
    parse_permits,
    parse_query_events,
    parse_queue_events,
    parse_service_events,
    parse_telemetry,
)
from ..core.wire import Broken, Unknown
from .history.cleaned import CleanedRow, cleaned_rows
from .rows import DeadLetter, EventRow, PermitsRow, permits_row

_AGENT_SUBJECT = "evq.x.agent."


class _Body(msgspec.Struct):
    event: msgspec.Raw


_body = msgspec.json.Decoder(_Body)


class Strange(Exception):
    """A message that tells nothing; the text says why."""


class Folded(msgspec.Struct):
    """What a batch of the lifecycle stream makes of what was known before."""

    tasks: dict[str, Task] = {}
    agents: dict[str, AgentRecord] = {}
    queues: dict[str, QueueState] = {}
    permits: dict[str, PermitsRow] = {}
    trimmed: list[tuple[int, Trimmed]] = []
    cleaned: list[CleanedRow] = []
    queries: dict[str, Query | None] = {}
    events: list[EventRow] = []
    dead: list[DeadLetter] = []


def task_of(subject: str) -> str | None:
    """The task that a message of the lifecycle stream speaks of, if any."""
    parts = subject.split(".")
    return parts[-1] if parts[1:2] in (["t"], ["q"]) else None


def fold_lifecycle(
    messages: Iterable[Stored],
    tasks: Mapping[str, Task],
    agents: Mapping[str, AgentRecord],
    queues: Mapping[str, QueueState],
    seen: int,
) -> Folded:
    """Fold the messages; `seen` (microseconds) is the time that dead letters get."""
    folded = Folded()
    for stored in messages:
        message = wire.decode(stored.data)
        try:
            if not isinstance(message, Broken):
                _fold_one(folded, stored, message, tasks, agents, queues)
                continue
            _fold_broken(folded, stored, tasks, queues)
            raise Strange(message.error)
        except Strange as strange:
            folded.dead.append(dead_letter(LIFECYCLE_STREAM, stored, str(strange), seen))
    return folded


def _fold_one(
    folded: Folded,
    stored: Stored,
    message: Envelope | Unknown,
    tasks: Mapping[str, Task],
    agents: Mapping[str, AgentRecord],
    queues: Mapping[str, QueueState],
) -> None:
    subject = stored.subject
    if place := parse_lifecycle(subject):
        task = _known(folded, tasks, *place)
        folded.tasks[task.id] = after = _absorb(task, stored.seq, message)
        if isinstance(message, Envelope) and isinstance(message.event, Cleaned):
            claims = [attempt.claim for attempt in after.attempts]
            folded.cleaned += cleaned_rows(stored.seq, message.event, claims)
        folded.events.append(event_row(stored, message))
    elif hint := parse_hint(subject):
        if isinstance(message, Envelope) and isinstance(message.event, Again):
            return
        if isinstance(message, Envelope):
            _enqueue(folded, stored.seq, message, hint.task, tasks)
        folded.events.append(event_row(stored, message))
    elif subject.startswith(_AGENT_SUBJECT):
        if isinstance(message, Envelope):
            _fold_agent(folded, message, agents)
        folded.events.append(event_row(stored, message))
    elif queue := parse_queue_events(subject):
        _fold_queue(folded, stored, queue, queues)
        if isinstance(message, Envelope) and not isinstance(message.event, QueueEvent):
            raise Strange(f"{_kind(message)} is no event of a queue")
        folded.events.append(event_row(stored, message))
    elif queue := parse_permits(subject):
        _fold_permits(folded, message, queue)
        folded.events.append(event_row(stored, message))
    elif array := parse_array_events(subject):
        _check_turns(message, array)
        folded.events.append(event_row(stored, message))
    elif subject == HISTORY_EVENTS:
        _fold_trimmed(folded, stored.seq, message)
        folded.events.append(event_row(stored, message))
    elif name := parse_query_events(subject):
        _fold_query(folded, message, name)
        folded.events.append(event_row(stored, message))
    elif service := parse_service_events(subject):
        _check_decided(message, *service)
        folded.events.append(event_row(stored, message))
    else:
        raise Strange("no such subject is known")


def _known(folded: Folded, tasks: Mapping[str, Task], queue: str, name: str) -> Task:
    task = folded.tasks.get(name) or tasks.get(name)
    if task is None:
        raise Strange(f"task {name} was never enqueued")
    if task.spec.queue != queue:
        # Whoever folds the task from the log reads the subject of its own queue only.
        raise Strange(f"task {name} is in queue {task.spec.queue}, not in {queue}")
    return task


def _absorb(task: Task, seq: int, message: Envelope | Unknown) -> Task:
    if isinstance(message, Unknown):
        return evolve(task, seq, message.at, message.by, message)
    if not isinstance(message.event, Lifecycle):
        raise Strange(f"{_kind(message)} is no event of a task's life")
    return evolve(task, seq, message.at, message.by, message.event)


def _fold_broken(
    folded: Folded,
    stored: Stored,
    tasks: Mapping[str, Task],
    queues: Mapping[str, QueueState],
) -> None:
    """Bytes that are no event still count in the fold: as one that nobody understands."""
    if place := parse_lifecycle(stored.subject):
        task = _known(folded, tasks, *place)
        nothing = Unknown("", 0, "", "broken", 0)
        folded.tasks[task.id] = evolve(task, stored.seq, 0, "", nothing)
    elif queue := parse_queue_events(stored.subject):
        _fold_queue(folded, stored, queue, queues)


def _fold_queue(
    folded: Folded, stored: Stored, name: str, queues: Mapping[str, QueueState]
) -> None:
    before = folded.queues.get(name) or queues.get(name) or QueueState(name)
    folded.queues[name] = absorb_queue(before, stored)


def _enqueue(
    folded: Folded, seq: int, envelope: Envelope, name: str, tasks: Mapping[str, Task]
) -> None:
    event = envelope.event
    if not isinstance(event, Enqueued):
        raise Strange(f"{_kind(envelope)} is no queue message")
    if event.task != name:
        raise Strange(f"it enqueues {event.task} under the name of {name}")
    if name in folded.tasks or name in tasks:
        return  # the same idempotency key, used in two queues at once: the first one counts
    folded.tasks[name] = create(seq, envelope.at, envelope.by, event)


def _fold_agent(folded: Folded, envelope: Envelope, agents: Mapping[str, AgentRecord]) -> None:
    event = envelope.event
    if not isinstance(event, AgentEvent):
        raise Strange(f"{_kind(envelope)} is no event of an agent's life")
    before = folded.agents.get(event.agent) or agents.get(event.agent)
    row = evolve_agent(before, envelope.at, envelope.by, event)
    if row:
        folded.agents[event.agent] = row


def _fold_permits(folded: Folded, message: Envelope | Unknown, queue: str) -> None:
    """Each such event says all there is to say, so that nothing before it needs to be known."""
    if isinstance(message, Unknown):
        return
    if not isinstance(message.event, Permits):
        raise Strange(f"{_kind(message)} is no event of permits")
    folded.permits[queue] = permits_row(message.at, message.by, message.event)


def _check_turns(message: Envelope | Unknown, array: str) -> None:
    """Whose turn it is follows from the tasks' own events: nothing but the event is kept."""
    if isinstance(message, Envelope) and not (
        isinstance(message.event, Turns) and message.event.array == array
    ):
        raise Strange(f"{_kind(message)} is no event of turns")


def _fold_trimmed(folded: Folded, seq: int, message: Envelope | Unknown) -> None:
    if isinstance(message, Unknown):
        return
    if not isinstance(message.event, Trimmed):
        raise Strange(f"{_kind(message)} is no event of the history")
    folded.trimmed.append((seq, message.event))


def _fold_query(folded: Folded, message: Envelope | Unknown, name: str) -> None:
    """Each such event says all there is to say, too; null is a query that is no more."""
    if isinstance(message, Unknown):
        return
    match message.event:
        case QuerySaved() as event:
            folded.queries[name] = saved_query(event, message.by, message.at)
        case QueryDeleted():
            folded.queries[name] = None
        case _:
            raise Strange(f"{_kind(message)} is no event of a saved query")


def _check_decided(message: Envelope | Unknown, service: str, name: str) -> None:
    """A service's state is its own affair: here its decisions are kept as they are."""
    if isinstance(message, Unknown):
        return
    event = message.event
    if not isinstance(event, Decided):
        raise Strange(f"{_kind(message)} is no decision of a service")
    if (event.service, event.name) != (service, name):
        raise Strange(f"it speaks for {event.service} {event.name} in the name of {service} {name}")


def _kind(message: Envelope | Unknown) -> str:
    if isinstance(message, Unknown):
        return message.kind
    return str(message.event.__struct_config__.tag)


def event_row(stored: Stored, message: Envelope | Unknown) -> EventRow:
    """The row of an event; `message` is what stands in `stored`."""
    event = None if isinstance(message, Unknown) else message.event
    return EventRow(
        stored.seq,
        time(message.at),
        task_of(stored.subject),
        _kind(message),
        message.by,
        getattr(event, "attempt", None),
        bytes(_body.decode(stored.data).event).decode(errors="replace"),
        None if event else stored.subject,
    )


def dead_letter(stream: str, stored: Stored, error: str, seen: int) -> DeadLetter:
    """A message that could not be understood, as it is kept."""
    return DeadLetter(stream, stored.seq, stored.subject, error, stored.data, seen)


# --- attempts that changed --------------------------------------------------------------------


def changed_attempts(before: Task | None, after: Task) -> tuple[list[Attempt], list[int]]:
    """The attempts of `after` that `before` had not or had otherwise, and the claims it lost.

    The fold keeps what it does not change, so that identity tells.
    """
    known = {attempt.claim: attempt for attempt in before.attempts} if before else {}
    changed = [
        attempt for attempt in after.attempts if known.pop(attempt.claim, None) is not attempt
    ]
    return changed, list(known)


# --- telemetry --------------------------------------------------------------------------------

Heard = tuple[Stored, Telemetry | Broken]
Claims = Mapping[int, tuple[str, int]]


class Said(msgspec.Struct):
    """What a batch of telemetry says: rows of (seq, claim, task, attempt, JSON of the record).

    `progress` has the last row of each claim, in the columns of `_progress`.
    """

    metrics: list[tuple[object, ...]] = []
    logs: list[tuple[object, ...]] = []
    remarks: list[tuple[object, ...]] = []
    progress: dict[int, tuple[object, ...]] = {}
    dead: list[DeadLetter] = []


def hear(messages: Sequence[Stored], known: int, horizon: int) -> Iterator[Heard]:
    """The records whose attempt can be judged, in order, up to the first that cannot yet.

    An attempt's claim is in the lifecycle stream before its telemetry is sent, but the two are
    read apart. `known` is the sequence up to which the lifecycle stream is folded, `horizon` how
    far it reached after these messages were read: what lies between is about to come.
    """
    for stored in messages:
        record = wire.decode_telemetry(stored.data)
        if not isinstance(record, Broken) and known < record.claim <= horizon:
            return
        yield stored, record


def sort_telemetry(heard: Iterable[Heard], claims: Claims, seen: int) -> Said:
    """The records as rows. One that speaks for no attempt of its task becomes a dead letter."""
    said = Said()
    for stored, record in heard:
        try:
            _sort_one(said, stored, record, claims)
        except Strange as strange:
            said.dead.append(dead_letter(TELEMETRY_STREAM, stored, str(strange), seen))
    return said


def _sort_one(said: Said, stored: Stored, record: Telemetry | Broken, claims: Claims) -> None:
    place = parse_telemetry(stored.subject)
    if isinstance(record, Broken):
        raise Strange(record.error)
    if place is None:
        raise Strange("no such subject is known")
    task = place[1]
    if claims.get(record.claim) != (task, record.attempt):
        raise Strange(f"no attempt {record.attempt} of task {task} has the claim {record.claim}")
    text = stored.data.decode(errors="replace")
    row = (stored.seq, record.claim, task, record.attempt, text)
    match record:
        case Metric():
            _same_length(record.at, record.name, record.step, record.value)
            said.metrics.append(row)
        case Log():
            _same_length(record.at, record.stream, record.text)
            said.logs.append(row)
        case Remarks():
            said.remarks.append(row)
        case Progress(at=when, done=done, total=total, text=words):
            said.progress[record.claim] = (record.claim, stored.seq, time(when), done, total, words)


def _same_length(*columns: Sequence[object]) -> None:
    if len(set(map(len, columns))) != 1:
        raise Strange("its columns are not of equal length")
