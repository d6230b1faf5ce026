"""Tasks that are there, given a new message in a queue."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from functools import partial

from ..bus.connect import Bus
from ..cleaning.cleaned import removal_of
from ..decide import Move, Requeue, decide
from ..entries import event_entry, hint_entry, level_of
from ..errors import Conflict, EvqError
from ..fleet.resources import request_of
from ..handle import handle, refresh
from ..ports import Entry, WrongSequence
from ..state import Task
from ..subjects import Level
from .abreast import abreast
from .arrays import open_turns
from .author import Author
from .code import CodeOnServer
from .levels import ensure

BATCH = 250
"""Tasks put back at once: each is an event, a queue message and perhaps its array's turns, of
which the server takes 1000 together."""


async def put_in_line(bus: Bus, author: Author, known: Task, move: Move) -> Task:
    """Append the move of a task that waits and, in one batch with it, its new queue message."""
    while True:
        event = author.envelope(decide(known, move))
        size = request_of(known.spec).size
        await ensure(bus, Level(move.queue, move.priority, size))
        level = Level(move.queue, move.priority, size, express=move.rank is not None)
        await ensure(bus, level)
        if known.spec.gang:
            return (await handle(bus.log, author, known, move)).task
        entries = [event_entry(known, event), hint_entry(author, known, level, move.rank)]
        try:
            await bus.log.append_all(entries)
        except WrongSequence:
            known = await refresh(bus.log, known)
            continue
        return await refresh(bus.log, known)


async def requeue(bus: Bus, author: Author, known: Task, reason: str) -> Task:
    """Put a task that has ended back into its queue; a gang whole, and a member of an array when
    its turn comes.

    Raises `Rejected` if it has not ended, `NotFound` if its code was removed.
    """
    (put_back,) = await requeue_all(bus, author, [known], reason)
    if isinstance(put_back, EvqError):
        raise put_back
    return put_back


async def requeue_all(
    bus: Bus, author: Author, tasks: Sequence[Task], reason: str
) -> list[Task | EvqError]:
    """`requeue` many, in their order and in a few batches: each as it is then, or its error.

    Where somebody changes one of them, or whose turn it is, its batch is tried again in halves.
    """
    done: dict[str, Task | EvqError] = {}
    single = [task for task in tasks if not task.spec.gang]
    parts = deque(single[start : start + BATCH] for start in range(0, len(single), BATCH))
    while parts:
        part = parts.popleft()
        try:
            done |= await _requeue_together(bus, author, part, reason)
        except WrongSequence:
            fresh = await abreast(partial(refresh, bus.log), part)
            parts.extendleft(reversed(_halves(fresh)))
        except Conflict as unreadable:  # the turns of an array: those of others may be in order
            if len(part) == 1:
                done[part[0].id] = unreadable
            else:
                parts.extendleft(reversed(_halves(part)))
    for gang in (task for task in tasks if task.spec.gang):
        try:
            done[gang.id] = await _requeue_gang(bus, author, gang, reason)
        except EvqError as error:
            done[gang.id] = error
    return [done[task.id] for task in tasks]


def _halves(tasks: list[Task]) -> list[list[Task]]:
    middle = len(tasks) // 2
    return [half for half in (tasks[:middle], tasks[middle:]) if half]


async def _requeue_together(
    bus: Bus, author: Author, tasks: Sequence[Task], reason: str
) -> dict[str, Task | EvqError]:
    """All of the tasks that can be put back, or none. Raises `WrongSequence`."""
    refused: dict[str, Task | EvqError] = {}
    able: list[Task] = []
    for task in tasks:
        try:
            await _check(bus, task, reason)
            able.append(task)
        except EvqError as error:
            refused[task.id] = error
    if not able:
        return refused
    turns = await open_turns(bus.log, able)
    entries: list[Entry] = []
    for task in able:
        held = not turns.put_back(task)
        event = author.envelope(decide(task, Requeue(reason, held)))
        entries.append(event_entry(task, event))
        if not held:
            # The fold takes the sequence behind its event for the message's.
            entries.append(hint_entry(author, task, level_of(task)))
    for level in {level_of(task) for task in able}:
        await ensure(bus, level)
    await bus.log.append_all([*entries, *turns.entries(author)])
    now = await abreast(partial(refresh, bus.log), able)
    return refused | {task.id: task for task in now}


async def _requeue_gang(bus: Bus, author: Author, known: Task, reason: str) -> Task:
    await _check(bus, known, reason)
    await ensure(bus, level_of(known))
    return (await handle(bus.log, author, known, Requeue(reason))).task


async def _check(bus: Bus, task: Task, reason: str) -> None:
    """Raise `NotFound` if the task's code was removed, `Rejected` if it has not ended."""
    if removal_of(task, "code"):
        await CodeOnServer(bus).check(task.spec.code)
    decide(task, Requeue(reason))
