"""Arrays: enqueued at once, found by their id, put back member by member."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

import msgspec

from .. import subjects
from ..arrays.array import MOST_MEMBERS, Array, member_id
from ..arrays.giving import Known, healed, load_turns, takes_turns, turns_entry
from ..arrays.members import member_spec
from ..arrays.turns import Turns, first_turns
from ..bus.connect import Bus
from ..errors import NotFound, UsageError
from ..handle import find
from ..ids import task_id_for_key
from ..ports import Entry, Log, WrongSequence
from ..spec import Spec
from ..state import Task
from ..subjects import Level
from .abreast import abreast
from .author import Author, new_task_id
from .awaiting import whole_gangs
from .enqueueing import Enqueuer, in_parts
from .levels import ensure


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

    async def load(index: int) -> Task:
        return await find(bus.log, member_id(array.id, index - array.first))

    return await abreast(load, wanted)


class OpenTurns:
    """The turns of arrays while some of their members, which had ended, are put back."""

    def __init__(self, known: Sequence[Known]) -> None:
        self._known = {one.turns.array: one for one in known}
        self._now = {one.turns.array: one.turns for one in known}

    def put_back(self, task: Task) -> bool:
        """Whether the task may stand in its queue at once; else its turn comes later."""
        if (array := takes_turns(task)) is None:
            return True
        turns = self._now[array.id]
        room = not turns.full
        self._now[array.id] = turns.given(array.place) if room else turns.put_back(array.place)
        return room

    def entries(self, author: Author) -> list[Entry]:
        """What is to be stored for these turns to be the truth."""
        return [turns_entry(author, known, self._now[id]) for id, known in self._known.items()]


async def open_turns(log: Log, tasks: Sequence[Task]) -> OpenTurns:
    """The turns of the arrays of these tasks, which have all ended and have none any more.

    Raises `Conflict` if this version cannot read them.
    """
    places: dict[str, list[Array]] = {}
    for task in tasks:
        if array := takes_turns(task):
            places.setdefault(array.id, []).append(array)
    return OpenTurns([await _open(log, members) for members in places.values()])


async def _open(log: Log, members: Sequence[Array]) -> Known:
    """The turns of one array, without these members; if there is not room for all of them, without
    all that have ended."""
    known = await load_turns(log, members[0].id)
    turns = known.turns
    for array in members:
        turns = turns.without(array.place)
    if len(turns.have) + len(members) > turns.most:
        turns = await healed(partial(find, log), members[0], turns)
    return Known(turns, known.seq)
