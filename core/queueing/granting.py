"""Permits in the log: read, taken with a claim, returned with the end of the attempt."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from .. import subjects, wire
from ..author import Author
from ..decide import NoPermit
from ..errors import Conflict
from ..events import Envelope
from ..ports import Entry, Log, Stored
from ..state import Attempt, Task
from .permits import Permit, Permits


class Tally(msgspec.Struct, frozen=True):
    """A queue's limits and permits, as the event at `seq` has them; 0 if there never was one."""

    permits: Permits
    seq: int = 0


async def load_tally(log: Log, queue: str) -> Tally:
    """The tally of a queue, as of now. Raises `Conflict` if a newer evq wrote it."""
    stored = await log.last(subjects.permits(queue))
    return read_tally(queue, stored) if stored else Tally(Permits(queue=queue, reason=""))


def read_tally(queue: str, stored: Stored) -> Tally:
    """The tally in a stored event. Raises `Conflict` if this version cannot read it."""
    message = wire.decode(stored.data)
    if isinstance(message, Envelope) and isinstance(message.event, Permits):
        return Tally(message.event, stored.seq)
    raise Conflict(
        f"the limit of queue {queue} cannot be read",
        why=f"the event {stored.seq} is from a newer evq, or damaged",
        fix="upgrade evq on this machine",
    )


def tally_entry(author: Author, tally: Tally, after: Permits) -> Entry:
    """What is to be stored for `after` to be the truth, if `tally` is it still."""
    envelope = author.envelope(after)
    data = wire.encode(envelope)
    return Entry(subjects.permits(after.queue), data, envelope.id, expect=tally.seq)


async def permit_entries(
    log: Log, author: Author, changes: Iterable[tuple[Task, Task]]
) -> list[Entry]:
    """What goes with events that make attempts live, or end them, given as each task before and
    after: one entry for each queue that they concern. Raises `NoPermit`."""
    tallies: dict[str, Tally] = {}
    found: dict[str, Permits] = {}
    for before, after in changes:
        queue = _queue_concerned(before, after)
        if not queue:
            continue
        if queue not in tallies:
            try:
                tallies[queue] = await load_tally(log, queue)
            except Conflict:
                if after.live:
                    raise
                continue  # an end must stand; whoever can read the tally returns the permit later
        permits = found.get(queue, tallies[queue].permits)
        if after.live:
            found[queue] = _with_claim(permits, after, after.live)
        elif permits.holds(after.id):
            found[queue] = permits.returned(after.id, f"attempt of task {after.id} ended")
    return [tally_entry(author, tallies[queue], permits) for queue, permits in found.items()]


def _queue_concerned(before: Task, after: Task) -> str:
    """The queue of which a permit is taken or returned; empty if none is."""
    match before.live, after.live:
        case None, Attempt(permit=queue):
            return queue
        case Attempt(permit=queue), None:
            return queue
        case _:
            return ""


def _with_claim(permits: Permits, task: Task, live: Attempt) -> Permits:
    if lack := permits.lacks(task.spec.user):
        raise NoPermit(f"task {task.id} has to wait: {lack}")
    permit = Permit(task.id, task.spec.user, live.agent, live.instance)
    return permits.taken(permit, f"task {task.id} is claimed")


async def returning(log: Log, author: Author, queue: str, task: str) -> list[Entry]:
    """The entry by which a task's attempt returns its permit; none if it holds none."""
    tally = await load_tally(log, queue)
    if not tally.permits.holds(task):
        return []
    after = tally.permits.returned(task, f"attempt of task {task} ended")
    return [tally_entry(author, tally, after)]
