"""Arrays: enqueued at once, found by their id, put back member by member."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

import msgspec

from .. import subjects, wire
from ..arrays.array import MOST_MEMBERS, Array, member_id
from ..arrays.giving import Known, healed, load_turns, turns_entry
from ..arrays.members import member_spec
from ..arrays.turns import Turns, first_turns
from ..bus.connect import Bus
from ..decide import Requeue, decide
from ..errors import NotFound, UsageError
from ..events import Again
from ..fleet.resources import request_of
from ..handle import find, refresh
from ..ids import task_id_for_key
from ..ports import Entry, WrongSequence
from ..spec import Spec
from ..state import Task
from ..subjects import Level
from .author import Author, new_task_id
from .awaiting import whole_gangs
from .enqueueing import Enqueuer, in_parts
from .levels import ensure

AT_ONCE = 32
"""Members that are looked for at a time."""


class ArrayReceipt(msgspec.Struct, frozen=True):
    """An enqueued array: its id, and those of its members by place. `new` is false when its
    idempotency key had been used before."""

    array: str
    tasks: tuple[str, ...]
    new: bool


async def enqueue_array(
    enqueuer: Enqueuer, spec: Spec, indexes: range, most: int | None
) -> ArrayReceipt:
    """Enqueue a task for each index, in a few atomic batches.

    Those whose turn comes later are stored first: when the first one can end, all are there.
    """
    check_array(spec, indexes, most)
    id = task_id_for_key(spec.key) if spec.key else new_task_id()
    most = None if most is None or most >= len(indexes) else most
    spec = await whole_gangs(enqueuer.bus.log, await enqueuer.prepared(spec))
    await ensure(enqueuer.bus, Level.of(spec))
    size, first = len(indexes), indexes[0]
    specs = [member_spec(spec, Array(id, index, size, first, most)) for index in indexes]
    begin = first_turns(id, size, most) if most else None
    count = most or size
    tasks = tuple(member_id(id, place) for place in range(size))
    if spec.key and await _is_there(enqueuer.bus, tasks[count - 1]):
        return ArrayReceipt(id, tasks, False)
    for later in in_parts(specs[count:]):
        await _store(enqueuer, later)
    for part in in_parts(specs[:count]):
        await _store(enqueuer, part, begin)
        begin = None
    return ArrayReceipt(id, tasks, True)


async def _is_there(bus: Bus, task: str) -> bool:
    return bool(await bus.log.history(subjects.any_hint(task)))


async def _store(enqueuer: Enqueuer, specs: Sequence[Spec], begin: Turns | None = None) -> None:
    """Store members, and whose turn it is, unless they are there already: somebody with the same
    key, who was cut off, may have stored them."""
    named = [(member_id(one.array.id, one.array.place), one) for one in specs if one.array]
    more = [turns_entry(enqueuer.author, Known(begin, 0), begin)] if begin else []
    try:
        await enqueuer.store(named, more)
    except WrongSequence:
        if not await _is_there(enqueuer.bus, named[0][0]):
            raise


def check_array(spec: Spec, indexes: range, most: int | None) -> None:
    """Raise `UsageError` unless there can be such an array of the task."""
    if indexes.step != 1 or not 0 < len(indexes) <= MOST_MEMBERS or indexes[0] < 0:
        raise UsageError(
            f"{indexes} are no indexes of an array",
            why=f"they follow one another, from 0 at least, and are {MOST_MEMBERS:,} at most",
            fix="range(100)",
        )
    if most is not None and most < 1:
        raise UsageError("an array of which none may run at once never ends", fix="--array 0-99%8")
    if spec.nodes > 1:
        raise UsageError(
            "a member of an array cannot run on several nodes", fix="leave out --nodes or --array"
        )


async def find_array(bus: Bus, id: str) -> Array | None:
    """The place of the first member of the array of this id; None if there is no such array."""
    try:
        return (await find(bus.log, member_id(id, 0))).spec.array
    except NotFound:
        return None


async def load_members(bus: Bus, array: Array, indexes: Iterable[int] | None = None) -> list[Task]:
    """Members of an array, by index, as of now: all, or those of some indexes.

    Raises `NotFound` for an index that it has not.
    """
    wanted = list(array.indexes if indexes is None else indexes)
    if strange := [index for index in wanted if index not in array.indexes]:
        raise NotFound(
            f"array {array.id} has no member {strange[0]}", why=f"its members are {array.text}"
        )
    gate = asyncio.Semaphore(AT_ONCE)

    async def load(index: int) -> Task:
        async with gate:
            return await find(bus.log, member_id(array.id, index - array.first))

    return list(await asyncio.gather(*map(load, wanted)))


async def requeue_member(bus: Bus, author: Author, known: Task, array: Array, reason: str) -> Task:
    """Put a member that has ended back: into its queue if there is a turn for it, else it is held
    until its turn comes."""
    while True:
        turns = await load_turns(bus.log, array.id)
        after = turns.turns.without(array.place)
        if after.full:
            after = await healed(lambda name: find(bus.log, name), array, after)
        event = author.envelope(decide(known, Requeue(reason, held=after.full)))
        subject = subjects.lifecycle(known.spec.queue, known.id)
        entries = [Entry(subject, wire.encode(event), event.id, expect=known.seq)]
        if after.full:
            after = after.put_back(array.place)
        else:
            after = after.given(array.place)
            entries.append(await _hint(bus, author, known))
        try:
            await bus.log.append_all([*entries, turns_entry(author, turns, after)])
        except WrongSequence:
            known = await refresh(bus.log, known)
            continue
        return await refresh(bus.log, known)


async def _hint(bus: Bus, author: Author, known: Task) -> Entry:
    place = known.place
    level = Level(place.queue, place.priority, request_of(known.spec).size)
    await ensure(bus, level)
    again = author.envelope(Again(known.id, known.origin))
    return Entry(subjects.hint(level, known.id), wire.encode(again), again.id)
