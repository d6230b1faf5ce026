"""A task that is there, given a new message in a queue."""

from __future__ import annotations

from .. import subjects, wire
from ..arrays.giving import takes_turns
from ..bus.connect import Bus
from ..cleaning.cleaned import removal_of
from ..decide import Move, Requeue, decide
from ..events import Again
from ..fleet.resources import request_of
from ..handle import handle, refresh
from ..ports import Entry, WrongSequence
from ..state import Task
from ..subjects import Level
from .arrays import requeue_member
from .author import Author
from .code import CodeOnServer
from .levels import ensure


async def put_in_line(bus: Bus, author: Author, known: Task, command: Requeue | Move) -> Task:
    """Append what the command leads to and, in one batch with it, the new queue message.

    Raises `NotFound` if the code of a task that is to run again was removed.
    """
    if isinstance(command, Requeue) and removal_of(known, "code"):
        await CodeOnServer(bus).check(known.spec.code)
    if isinstance(command, Requeue) and (array := takes_turns(known)):
        return await requeue_member(bus, author, known, array, command.reason)
    while True:
        event = author.envelope(decide(known, command))
        place = command if isinstance(command, Move) else known.place
        rank = command.rank if isinstance(command, Move) else None
        size = request_of(known.spec).size
        await ensure(bus, Level(place.queue, place.priority, size))
        level = Level(place.queue, place.priority, size, express=rank is not None)
        await ensure(bus, level)
        if known.spec.gang:
            return (await handle(bus.log, author, known, command)).task
        again = author.envelope(Again(known.id, known.origin, rank))
        subject = subjects.lifecycle(known.spec.queue, known.id)
        entries = [
            Entry(subject, wire.encode(event), event.id, expect=known.seq),
            Entry(subjects.hint(level, known.id), wire.encode(again), again.id),
        ]
        try:
            await bus.log.append_all(entries)
        except WrongSequence:
            known = await refresh(bus.log, known)
            continue
        return await refresh(bus.log, known)
