"""Turns in the log: with the end of a member the next one's turn comes, in one batch of events."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from .. import subjects, wire
from ..author import Author
from ..decide import Rejected, Release, decide
from ..entries import event_entry, hint_entry, level_of
from ..errors import Conflict, NotFound
from ..events import Envelope
from ..evolve import evolve
from ..ports import Entry, Log
from ..state import Ended, Queued, Task
from .array import Array, member_id
from .turns import Turns

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Find = Callable[[str], Awaitable[Task]]


class Known(msgspec.Struct, frozen=True):
    """An array's turns, as the event at `seq` has them."""

    turns: Turns
    seq: int


async def load_turns(log: Log, array: str) -> Known:
    """The turns of an array, as of now. Raises `Conflict` if this version cannot read them."""
    stored = await log.last(subjects.array_events(array))
    message = wire.decode(stored.data) if stored else None
    if stored and isinstance(message, Envelope) and isinstance(message.event, Turns):
        return Known(message.event, stored.seq)
    raise Conflict(
        f"whose turn it is in array {array} cannot be read",
        why="its event is from a newer evq, or damaged" if stored else "there is no event of it",
        fix="upgrade evq on this machine",
    )


def turns_entry(author: Author, known: Known, after: Turns) -> Entry:
    """What is to be stored for `after` to be the truth, if `known` is it still."""
    envelope = author.envelope(after)
    subject = subjects.array_events(after.array)
    return Entry(subject, wire.encode(envelope), envelope.id, expect=known.seq)


def takes_turns(task: Task) -> Array | None:
    """The place of a task in an array that lets only some of its members have their turn."""
    array = task.spec.array
    return array if array and array.most is not None else None


async def turn_entries(
    log: Log, author: Author, find: Find, before: Task, after: Task
) -> list[Entry]:
    """What goes with an event by which a member ends: the turns without it, and the release of
    those whose turn comes."""
    array = takes_turns(after)
    if array is None or not isinstance(after.state, Ended) or isinstance(before.state, Ended):
        return []
    if not before.has_turn:
        return []  # it is passed over when its turn comes
    try:
        known = await load_turns(log, array.id)
    except Conflict:
        return []  # the end must stand all the same
    turns, entries = known.turns.without(array.place), list[Entry]()
    while not turns.full and (place := turns.following) is not None:
        turns = turns.passed(place)
        if released := await _release(author, find, member_id(array.id, place)):
            turns = turns.given(place)
            entries += released
    return [*entries, turns_entry(author, known, turns)] if turns != known.turns else []


async def _release(author: Author, find: Find, name: str) -> list[Entry]:
    """The event by which a member's turn comes, and its new queue message; nothing if it was
    aborted while it was held."""
    try:
        task = await find(name)
        event = decide(task, Release())
    except (NotFound, Rejected):
        return []
    envelope = author.envelope(event)
    entry = event_entry(task, envelope)
    after = evolve(task, task.seq + 1, envelope.at, envelope.by, event)
    if not isinstance(after.state, Queued):
        return [entry]
    return [entry, hint_entry(author, task, level_of(task))]


async def healed(find: Find, array: Array, turns: Turns) -> Turns:
    """The turns without those that have ended and did not return theirs: who ends because a task
    that it awaited ended in the wrong way leaves that to whoever wants its turn."""
    for place in turns.have:
        if isinstance((await find(member_id(array.id, place))).state, Ended):
            turns = turns.without(place)
    return turns
