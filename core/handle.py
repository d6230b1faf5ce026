"""The one loop that changes a task: fold, decide, append with the expected sequence, or try again.

It knows ports only. Time and ids come in by `Author`, because the heart has neither.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Protocol, TypeVar

import msgspec
from msgspec.structs import replace

from . import subjects, wire
from .decide import Command, decide
from .dependents import Word, word_of_end
from .errors import NotFound
from .events import Again, Enqueued, Envelope, Event, Lifecycle
from .evolve import create, evolve
from .granting import permit_entries
from .ports import BusAway, Entry, Log, Stored, WrongSequence
from .queues import QueueEvent, QueueState, evolve_queue
from .state import Ended, Task
from .wire import Broken, Unknown

_T = TypeVar("_T")


class Author(Protocol):
    """Who writes events: gives them an id, a time and a name."""

    def envelope(self, event: Event) -> Envelope: ...


class Written(msgspec.Struct, frozen=True):
    """An event that is in the log now, and the task after it."""

    task: Task
    event: Lifecycle


def from_hint(stored: Stored) -> tuple[str, Task | None, int]:
    """What a queue message says: the task's id, the task if its spec is inside, its origin."""
    message = wire.decode(stored.data)
    if isinstance(message, Envelope):
        event = message.event
        if isinstance(event, Enqueued):
            task = create(stored.seq, message.at, message.by, event)
            return task.id, task, stored.seq
        if isinstance(event, Again):
            return event.task, None, event.origin
    raise NotFound(
        f"the queue message {stored.seq} names no task",
        why="it was written by a newer evq" if isinstance(message, Unknown) else "it is damaged",
        fix="upgrade evq on this machine",
    )


async def load(log: Log, origin: int) -> Task:
    """The task that was enqueued at `origin`, as of now. Raises `NotFound`."""
    stored = await log.get(origin)
    if stored is None:
        raise NotFound(f"there is no event {origin} in the log")
    _, task, _ = from_hint(stored)
    if task is None:
        raise NotFound(f"event {origin} enqueued no task")
    return await refresh(log, task)


async def find(log: Log, task_id: str) -> Task:
    """The task with this whole id, as of now. Raises `NotFound`."""
    hints = await log.history(subjects.any_hint(task_id))
    if not hints:
        raise NotFound(
            f"there is no task {task_id}",
            why="no event in the log names it",
            fix="evq ls shows the tasks there are",
        )
    _, task, origin = from_hint(hints[0])
    return await (refresh(log, task) if task else load(log, origin))


async def refresh(log: Log, task: Task) -> Task:
    """The task after what happened since it was folded."""
    subject = subjects.lifecycle(task.spec.queue, task.id)
    for stored in await log.history(subject, task.seq):
        task = absorb(task, stored)
    return task


def absorb(task: Task, stored: Stored) -> Task:
    """The task after one stored lifecycle event; bytes that are no event count as unknown."""
    message = wire.decode(stored.data)
    match message:
        case Envelope(event=event, at=at, by=by):
            if not isinstance(event, Lifecycle) or isinstance(event, Enqueued):
                # It does not belong here; but who skips its sequence can never append again.
                return replace(task, seq=stored.seq)
            return evolve(task, stored.seq, at, by, event)
        case Unknown(at=at, by=by):
            return evolve(task, stored.seq, at, by, message)
        case Broken():
            return evolve(task, stored.seq, 0, "", Unknown("", 0, "", "broken", 0))


async def load_queue(log: Log, name: str) -> QueueState:
    """What was done to the queue `name`, as of now."""
    queue = QueueState(name)
    for stored in await log.history(subjects.queue_events(name)):
        queue = absorb_queue(queue, stored)
    return queue


async def load_queues(log: Log, last: int | None = None) -> dict[str, QueueState]:
    """Every queue that somebody did something to, as of now or of the sequence `last`."""
    queues: dict[str, QueueState] = {}
    for stored in await log.history(subjects.queue_events("*")):
        name = subjects.parse_queue_events(stored.subject)
        if name and (last is None or stored.seq <= last):
            queues[name] = absorb_queue(queues.get(name, QueueState(name)), stored)
    return queues


def absorb_queue(queue: QueueState, stored: Stored) -> QueueState:
    """The queue after one stored event; bytes that are no event of a queue count as unknown."""
    message = wire.decode(stored.data)
    if isinstance(message, Envelope) and isinstance(message.event, QueueEvent):
        return evolve_queue(queue, stored.seq, message.at, message.by, message.event)
    return evolve_queue(queue, stored.seq, 0, "", None)


async def handle(
    log: Log,
    author: Author,
    task: Task,
    command: Command,
    patience: Callable[[BusAway], Awaitable[None]] | None = None,
) -> Written:
    """Carry `command` out on `task`.

    If somebody was faster, the task is folded anew and the decision made again, until it stands
    in the log or is `Rejected`. When the server is away, `patience` waits for it, or raises to
    give up; without it `BusAway` is raised, and whether the event was stored is unknown.
    """
    while True:
        event = decide(task, command)
        envelope = author.envelope(event)
        entry = Entry(
            subjects.lifecycle(task.spec.queue, task.id),
            wire.encode(envelope),
            envelope.id,
            expect=task.seq,
        )
        after = evolve(task, task.seq + 1, envelope.at, envelope.by, event)
        word = await _patiently(partial(_word_of_end, log, author, after), patience)
        permits = await _patiently(partial(permit_entries, log, author, task, after), patience)
        entries = [entry, *permits, *word.entries]
        try:
            # Repeated until its outcome is known: an id or an expectation makes that harmless.
            last = await _patiently(partial(log.append_all, entries), patience)
        except WrongSequence:
            look = partial(_catch_up, log, task, envelope.id)
            task, stored = await _patiently(look, patience)
            if not stored:
                continue
            return Written(task, event)
        seq = last - len(entries) + 1
        if not word.whole:
            await tell_the_rest(log, author, after, patience)
        return Written(evolve(task, seq, envelope.at, envelope.by, event), event)


async def tell_the_rest(
    log: Log,
    author: Author,
    ended: Task,
    patience: Callable[[BusAway], Awaitable[None]] | None = None,
) -> None:
    """Tell those that await a task of its end, as far as they have not heard of it."""
    while True:
        word = await _patiently(partial(_word_of_end, log, author, ended), patience)
        if not word.entries:
            return
        try:
            await _patiently(partial(log.append_all, word.entries), patience)
        except WrongSequence:
            continue


async def _word_of_end(log: Log, author: Author, task: Task) -> Word:
    """Nothing, unless the task has ended and others await it."""
    if not task.awaited_by or not isinstance(task.state, Ended):
        return Word(author, partial(find, log))
    return await word_of_end(author, partial(find, log), task)


async def _catch_up(log: Log, task: Task, id: str) -> tuple[Task, bool]:
    """The task after what was stored meanwhile, up to the event with this id if that is there."""
    subject = subjects.lifecycle(task.spec.queue, task.id)
    for stored in await log.history(subject, task.seq):
        task = absorb(task, stored)
        message = wire.decode(stored.data)
        if isinstance(message, Envelope) and message.id == id:
            return task, True
    return task, False


async def _patiently(
    act: Callable[[], Awaitable[_T]], patience: Callable[[BusAway], Awaitable[None]] | None
) -> _T:
    while True:
        try:
            return await act()
        except BusAway as away:
            if patience is None:
                raise
            await patience(away)
