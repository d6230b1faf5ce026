"""Tasks filed otherwise: their tags, and the archive."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from ..bus.connect import Bus
from ..decide import Archive, Rejected, Tag, Unarchive, decide
from ..entries import event_entry
from ..filing.filed import check_tags, retagged
from ..handle import find, handle
from ..ports import Entry, WrongSequence
from ..state import Task
from .author import Author

AT_ONCE = 500
"""Events in a batch; the server takes 1000."""


async def tag(bus: Bus, author: Author, task: str, command: Tag) -> Task:
    """Give a task tags and take others away; one that has just these stays as it is."""
    check_tags(command.add, command.remove)
    known = await find(bus.log, task)
    if retagged(known.tags, command.add, command.remove) == known.tags:
        return known
    return (await handle(bus.log, author, known, command)).task


async def file(bus: Bus, author: Author, task: str, command: Archive | Unarchive) -> Task:
    """Put a task into the archive, or take it out."""
    return (await handle(bus.log, author, await find(bus.log, task), command)).task


async def archive_all(bus: Bus, author: Author, tasks: Sequence[Task], reason: str) -> int:
    """Archive tasks that were folded a while ago, in a few batches, and return how many.

    One that something happened to since is left as it is. A gang is named by its rank 0.
    """
    done = 0
    for gang in (task for task in tasks if task.spec.gang):
        with suppress(Rejected):
            await handle(bus.log, author, gang, Archive(reason))
            done += 1
    alone = [task for task in tasks if not task.spec.gang]
    for start in range(0, len(alone), AT_ONCE):
        part = alone[start : start + AT_ONCE]
        entries = [entry for task in part if (entry := _entry(author, task, reason))]
        if not entries:
            continue
        try:
            await bus.log.append_all(entries)
            done += len(entries)
        except WrongSequence:
            done += sum([await _alone(bus, entry) for entry in entries])
    return done


def _entry(author: Author, task: Task, reason: str) -> Entry | None:
    try:
        envelope = author.envelope(decide(task, Archive(reason)))
    except Rejected:
        return None
    return event_entry(task, envelope)


async def _alone(bus: Bus, entry: Entry) -> bool:
    try:
        await bus.log.append(entry)
    except WrongSequence:
        return False
    return True
