"""What is stored in one batch with tasks that await others, so that no end can be missed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from msgspec.structs import replace

from ..decide import Await, EndDependencies, decide
from ..entries import event_entry
from ..events import Enqueued
from ..evolve import create, evolve
from ..gangs.dependencies import ends_of, wrong_end
from ..gangs.gang import member_id
from ..handle import find
from ..ports import Entry, Log
from ..spec import After, Spec
from ..state import Ended, Task
from .author import Author


async def whole_gangs(log: Log, spec: Spec) -> Spec:
    """The spec, awaiting all members of a gang where one is named. A failure is awaited of that one
    alone: the others may have completed before. Raises `NotFound`."""
    after: list[After] = []
    for one in spec.after:
        awaited = (await find(log, one.task)).spec
        if awaited.gang is None or one.on == "failed":
            after.append(one)
        else:
            ids = (member_id(awaited.gang.id, rank) for rank in range(awaited.nodes))
            after += [After(name, one.on) for name in ids]
    return replace(spec, after=tuple(dict.fromkeys(after)))


async def words_for(log: Log, author: Author, tasks: Sequence[tuple[str, Spec]]) -> list[Entry]:
    """What goes with the `enqueued` events of these tasks: to those that they await, that their
    end is awaited; to the tasks themselves, which of those have ended already.

    Raises `NotFound` if one that is awaited does not exist.
    """
    names = {one.task for _, spec in tasks for one in spec.after}
    awaited = {task.id: task for task in await asyncio.gather(*(find(log, one) for one in names))}
    entries: list[Entry] = []
    waiting: dict[str, list[str]] = {}
    for name, spec in tasks:
        ended = [awaited[one.task] for one in spec.after if _has_ended(awaited[one.task])]
        task = create(0, 0, author.by, Enqueued(name, spec))
        if ended:
            event = decide(task, EndDependencies(ends_of(ended)))
            entries.append(event_entry(task, author.envelope(event)))
            task = evolve(task, 1, 0, author.by, event)
        if not wrong_end(task):
            for one in spec.after:
                if not _has_ended(awaited[one.task]):
                    waiting.setdefault(one.task, []).append(name)
    for name, by in waiting.items():
        known = awaited[name]
        event = decide(known, Await(tuple(by)))
        entries.append(event_entry(known, author.envelope(event)))
    return entries


def _has_ended(task: Task) -> bool:
    return isinstance(task.state, Ended)
