"""The one loop that changes a task: fold, decide, append with the expected sequence, or try again.

It knows ports only. Time and ids come in by `Author`, because the heart has neither.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from . import subjects, wire
from .arrays.giving import turn_entries
from .author import Author
from .decide import Command, decide
from .entries import event_entry, hint_entry, level_of, lifecycle_of
from .errors import NotFound
from .events import Again, Enqueued, Envelope, Lifecycle, Moved
from .evolve import create, evolve
from .gangs import gang
from .gangs.dependents import Word, word_of_end
from .ports import BusAway, Calls, Entry, Log, Stored, WrongSequence
from .queueing.granting import permit_entries
from .queueing.queues import QueueEvent, QueueState, evolve_queue
from .state import Ended, Task
from .wire import Broken, Unknown

_T = TypeVar("_T")


class Written(msgspec.Struct, frozen=True):
    """An event that is in the log now, and the task after it; `others` are those members of its
    gang for whom it meant an event, too, after that."""

    task: Task
    event: Lifecycle
    others: tuple[Task, ...] = ()


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
    hint = await log.first(subjects.any_hint(task_id))
    if hint is None:
        raise NotFound(
            f"there is no task {task_id}",
            why="no event in the log names it",
            fix="evq ls shows the tasks there are",
        )
    _, task, origin = from_hint(hint)
    return await (refresh(log, task) if task else load(log, origin))


async def refresh(log: Log, task: Task) -> Task:
    """The task after what happened since it was folded."""
    for stored in await log.history(lifecycle_of(task), task.seq):
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

    What concerns a whole gang is written to all its members or to none.
    """
    while True:
        event = decide(task, command)
        if task.spec.gang and gang.concerns_all(task, event):
            return await _handle_together(log, author, task, command, patience)
        envelope = author.envelope(event)
        after = evolve(task, task.seq + 1, envelope.at, envelope.by, event)
        word = await _patiently(partial(_word_of_end, log, author, after), patience)
        taken = partial(permit_entries, log, author, [(task, after)])
        permits = await _patiently(taken, patience)
        given = partial(turn_entries, log, author, partial(find, log), task, after)
        turns = await _patiently(given, patience)
        entries = [event_entry(task, envelope), *permits, *turns, *word.entries]
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


async def tell_holders(calls: Calls, tasks: Iterable[Task]) -> None:
    """Have the agents that hold these tasks look at the log now. They look anyway, only later."""
    with suppress(BusAway):
        for task in tasks:
            if task.live:
                await calls.tell(subjects.commands(task.live.agent), task.id.encode())


async def load_gang(log: Log, task: Task) -> list[Task]:
    """All members of the task's gang by rank, as of now; the others are read after the task itself.
    A task without a gang is alone.

    Whoever writes a batch leaves out members that have ended. They come back only by a batch that
    is written to all, and so to `task`, whose expectation fails then, if it was read first.
    """
    if task.spec.gang is None:
        return [await refresh(log, task)]
    mine = task.spec.gang.rank
    members = {mine: await load(log, task.origin)}
    for rank in range(task.spec.nodes):
        if rank != mine:
            members[rank] = await load(log, gang.member_origin(task, rank))
    return [members[rank] for rank in range(task.spec.nodes)]


async def _handle_together(
    log: Log,
    author: Author,
    task: Task,
    command: Command,
    patience: Callable[[BusAway], Awaitable[None]] | None,
) -> Written:
    """`handle` for a member of a gang whose others must hear of it in the same moment."""
    assert task.spec.gang is not None
    rank = task.spec.gang.rank
    sent: set[str] = set()
    while True:
        members = await _patiently(partial(load_gang, log, task), patience)
        if sent and (event := await _patiently(partial(_found, log, task, sent), patience)):
            return Written(members[rank], event, _without(members, rank))
        decided = gang.decide_all(members, rank, command)
        envelopes = {one: author.envelope(event) for one, event in decided.items()}
        look = partial(_batch, log, author, members, envelopes)
        entries, ends = await _patiently(look, patience)
        sent.add(envelopes[rank].id)
        try:
            last = await log.append_all(entries)
        except WrongSequence:
            continue
        except BusAway as away:
            # Stored or not: its id will tell. A batch cannot be sent again as a message can.
            if patience is None:
                raise
            await patience(away)
            continue
        seqs = {entry.subject: last - n for n, entry in enumerate(reversed(entries))}
        for one, event in decided.items():
            seq, envelope = seqs[lifecycle_of(members[one])], envelopes[one]
            members[one] = evolve(members[one], seq, envelope.at, envelope.by, event)
        for one in ends:
            await tell_the_rest(log, author, members[one], patience)
        told = tuple(members[one] for one in decided if one != rank)
        return Written(members[rank], decided[rank], told)


async def _batch(
    log: Log, author: Author, members: Sequence[Task], envelopes: Mapping[int, Envelope]
) -> tuple[list[Entry], list[int]]:
    """All that is stored with these events of members, and of whose ends not all could be told
    in one batch."""
    entries: list[Entry] = []
    changes: list[tuple[Task, Task]] = []
    word = Word(author, partial(find, log))
    ends: list[int] = []
    for rank, envelope in envelopes.items():
        task, event = members[rank], envelope.event
        assert isinstance(event, Lifecycle)
        entries += _entries(author, task, envelope)
        after = evolve(task, task.seq + 1, envelope.at, envelope.by, event)
        changes.append((task, after))
        if isinstance(after.state, Ended) and after.awaited_by:
            await word.tell_all(after)
            ends.append(rank)
    permits = await permit_entries(log, author, changes)
    return [*entries, *permits, *word.entries], [] if word.whole else ends


def _entries(author: Author, task: Task, envelope: Envelope) -> list[Entry]:
    """The event and, if it gives the task a new place in a queue, the hint that leads there."""
    event = envelope.event
    assert isinstance(event, Lifecycle)
    entries = [event_entry(task, envelope)]
    # The fold takes the next sequence for the hint's, so that it must follow at once.
    after = evolve(task, task.seq + 1, envelope.at, envelope.by, event)
    if after.place.hint == task.seq + 2:
        rank = event.rank if isinstance(event, Moved) else None
        level = level_of(after, express=rank is not None)
        entries.append(hint_entry(author, task, level, rank))
    return entries


async def _found(log: Log, task: Task, ids: Collection[str]) -> Lifecycle | None:
    """The event with one of these ids, if it is in the task's life."""
    for stored in await log.history(lifecycle_of(task), task.seq):
        message = wire.decode(stored.data)
        if isinstance(message, Envelope) and message.id in ids:
            assert isinstance(message.event, Lifecycle)
            return message.event
    return None


def _without(members: Sequence[Task], rank: int) -> tuple[Task, ...]:
    return tuple(member for other, member in enumerate(members) if other != rank)


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
    for stored in await log.history(lifecycle_of(task), task.seq):
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
