"""Permits in the log: read, taken with a claim, returned with the end of the attempt."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from . import subjects, wire
from .decide import NoPermit
from .errors import Conflict
from .events import Envelope
from .permits import Permit, Permits
from .ports import Entry, Log, Stored
from .state import Task

if TYPE_CHECKING:
    from .handle import Author


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


async def permit_entries(log: Log, author: Author, before: Task, after: Task) -> list[Entry]:
    """What goes with an event that makes an attempt live, or ends one. Raises `NoPermit`."""
    began = after.live if before.live is None else None
    ended = before.live if after.live is None else None
    if began and began.permit:
        tally = await load_tally(log, began.permit)
        if lack := tally.permits.lacks(after.spec.user):
            raise NoPermit(f"task {after.id} has to wait: {lack}")
        permit = Permit(after.id, after.spec.user, began.agent, began.instance)
        taken = tally.permits.taken(permit, f"task {after.id} is claimed")
        return [tally_entry(author, tally, taken)]
    if ended and ended.permit:
        # An end must stand; a permit that only a newer evq can return is found by one later.
        with suppress(Conflict):
            return await returning(log, author, ended.permit, after.id)
    return []


async def returning(log: Log, author: Author, queue: str, task: str) -> list[Entry]:
    """The entry by which a task's attempt returns its permit; none if it holds none."""
    tally = await load_tally(log, queue)
    if not tally.permits.holds(task):
        return []
    after = tally.permits.returned(task, f"attempt of task {task} ended")
    return [tally_entry(author, tally, after)]
