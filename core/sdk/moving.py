"""Tasks that wait, moved to another place: which place that is, and the way back.

Where a task stands among the others is asked of a projector; the rank that follows is what the
log gets. Somebody who moves others at the same moment changes who stands around it, no more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from ..decide import Move
from ..errors import EvqError, NotFound, ProjectorAway, UsageError
from ..questions import Named
from ..queueing.line import Standing, spots_between
from ..state import Task

if TYPE_CHECKING:
    from .client import Client

ROOM = 16
"""Tasks ahead that are moved, too, where no number is left between two ranks."""


class Front(msgspec.Struct, frozen=True):
    """Before all others."""


class Back(msgspec.Struct, frozen=True):
    """Behind all others."""


class Step(msgspec.Struct, frozen=True):
    """So many places on towards the back; towards the front if it is negative."""

    by: int


class Before(msgspec.Struct, frozen=True):
    """Right before another task, in its queue."""

    task: str


class End(msgspec.Struct, frozen=True):
    """At the end of its priority."""


Where = Front | Back | Step | Before | End


class Position(msgspec.Struct, frozen=True):
    """Where a task stands: its number in the whole line of `total`, and among its priority."""

    task: str
    queue: str
    priority: int
    rank: float
    position: int
    place: int
    total: int


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one task: where it stood and stands, or the error that kept it there.

    The positions are null if no projector told them. `follower` stood behind it in its priority,
    and was not moved with it.
    """

    task: str
    now: Task | None = None
    before: Position | None = None
    after: Position | None = None
    follower: str | None = None
    error: EvqError | None = None


async def move(
    client: Client,
    task: str,
    where: Where | None,
    queue: str | None,
    priority: int | None,
    reason: str,
) -> Outcome:
    """See `Client.move`."""
    (outcome,) = await Mover(client, reason, queue, priority).move([task], where or End())
    if outcome.error:
        raise outcome.error
    return outcome


class Mover:
    """Moves tasks for one reason; with `queue` or `priority` also to there."""

    def __init__(
        self, client: Client, reason: str, queue: str | None = None, priority: int | None = None
    ) -> None:
        self._client = client
        self._reason = reason
        self._queue = queue
        self._priority = priority

    async def move(self, tasks: Sequence[str], where: Where) -> list[Outcome]:
        """Move them, each as far as it still waits; several are put in the order given."""
        try:
            before = await positions(self._client, tasks)
            followers = await _followers(self._client, list(before.values()))
        except ProjectorAway:
            if not isinstance(where, End):
                raise
            before, followers = {}, {}
        match where:
            case End():
                done = [await self._to(task, None) for task in tasks]
            case Step(by):
                # Whoever goes first must not be passed by those who follow.
                tasks = sorted(tasks, key=lambda task: _number(before, task), reverse=by > 0)
                done = [await self._step(task, by) for task in tasks]
            case Front() | Back() | Before():
                done = await self._block(tasks, where, before)
        after = await self._after(tasks)
        return [
            msgspec.structs.replace(
                one,
                before=before.get(one.task),
                after=after.get(one.task),
                follower=followers.get(one.task),
            )
            for one in done
        ]

    async def _after(self, tasks: Sequence[str]) -> Mapping[str, Position]:
        try:
            return await positions(self._client, tasks)
        except ProjectorAway:
            return {}

    # --- where --------------------------------------------------------------------------------

    async def _step(self, task: str, by: int) -> Outcome:
        found = (await positions(self._client, [task])).get(task)
        if found is None:
            return await self._to(task, None)  # it waits no more, and is refused
        index = min(max(0, found.position - 1 + by), found.total - 1)
        line = _Line(self._client, found.queue, None, [task])
        (done,) = await self._put(line, index, [task], found.priority)
        return done

    async def _block(
        self, tasks: Sequence[str], where: Front | Back | Before, before: Mapping[str, Position]
    ) -> list[Outcome]:
        """The tasks of each queue together, or all in the one queue where they are to go."""
        target = await self._target(where.task, tasks) if isinstance(where, Before) else None
        goal = target.queue if target else self._queue
        done = [await self._to(task, None) for task in tasks if task not in before]
        waiting = [before[task] for task in tasks if task in before]
        for queue in dict.fromkeys(goal or one.queue for one in waiting):
            block = [one for one in waiting if (goal or one.queue) == queue]
            names = [one.task for one in block]
            line = _Line(self._client, queue, self._priority, names)
            own = max(one.priority for one in block) if self._priority is None else self._priority
            match where:
                case Front():
                    index = 0
                case Back():
                    index = await line.length()
                case Before():
                    assert target
                    index = _ahead_of(target, block, self._priority)
            done += await self._put(line, index, names, own)
        return done

    async def _target(self, task: str, moved: Sequence[str]) -> Position:
        if task in moved:
            raise UsageError(f"task {task} cannot stand before itself", fix="--before ANOTHER")
        found = (await positions(self._client, [task])).get(task)
        if found is None:
            raise NotFound(
                f"task {task} waits in no queue",
                why="nothing can be put before it",
                fix=f"evq why {task}",
            )
        if self._queue not in (None, found.queue) or self._priority not in (None, found.priority):
            raise UsageError(
                f"task {task} does not stand there",
                why=f"it waits in queue {found.queue} with priority {found.priority}",
                fix=f"evq move TASK --before {task}",
            )
        return found

    async def _put(self, line: _Line, index: int, tasks: Sequence[str], own: int) -> list[Outcome]:
        """Put the tasks behind the first `index` of the line."""
        everybody = list(tasks)
        while True:
            ahead, behind = await line.around(index)
            spots = spots_between(ahead, behind, own, len(everybody))
            if spots is not None:
                break
            # The two stand so close that their ranks are neighbours: those ahead step forward.
            assert behind
            nearest = await line.leave_out(index, ROOM, behind.priority)
            everybody = [*nearest, *everybody]
            index -= len(nearest)
        done = [
            await self._to(task, Move(line.queue, spot.priority, spot.rank, self._reason))
            for task, spot in zip(everybody, spots, strict=True)
        ]
        return done[len(everybody) - len(tasks) :]

    async def _to(self, task: str, move: Move | None) -> Outcome:
        """Carry it out; without a `move`, to the end of its priority."""
        try:
            if move is None:
                place = (await self._client.get(task)).place
                priority = place.priority if self._priority is None else self._priority
                move = Move(self._queue or place.queue, priority, None, self._reason)
            return Outcome(task=task, now=await self._client.put(task, move))
        except EvqError as error:
            return Outcome(task=task, error=error)


class _Line:
    """A queue's line as the projector knows it, or that of one priority, without some tasks."""

    def __init__(
        self, client: Client, queue: str, priority: int | None, without: Sequence[str]
    ) -> None:
        self.queue = queue
        self._client = client
        self._priority = priority
        self._without = list(without)

    async def length(self) -> int:
        """How many stand in it."""
        rows = await self._rows(0, 1)
        return int(rows[0]["total"]) if rows else 0

    async def around(self, index: int) -> tuple[Standing | None, Standing | None]:
        """Whoever stands ahead of and behind a place, with `index` tasks before it."""
        rows = await self._rows(max(0, index - 1), 2)
        found = [Standing(row["task"], row["priority"], row["rank"]) for row in rows]
        ahead = found.pop(0) if index and found else None
        return ahead, found[0] if found else None

    async def leave_out(self, index: int, count: int, priority: int) -> list[str]:
        """Leave up to `count` tasks of a priority out that stand right before a place, and
        return them."""
        start = max(0, index - count)
        rows = await self._rows(start, index - start)
        tasks = [str(row["task"]) for row in rows if row["priority"] == priority]
        self._without += tasks
        return tasks

    async def _rows(self, offset: int, limit: int) -> list[dict[str, Any]]:
        params = {
            "queue": self.queue,
            "priority": self._priority,
            "without": self._without,
            "offset": offset,
            "limit": limit,
        }
        return [row async for row in self._client.rows(Named("line", params))]


def _number(before: Mapping[str, Position], task: str) -> int:
    return before[task].position if task in before else 0


def _ahead_of(target: Position, block: Sequence[Position], priority: int | None) -> int:
    """How many stand before the target, in its whole line or in that of its priority, if the
    block is taken out."""
    beside = [one for one in block if one.queue == target.queue]
    if priority is None:
        return target.position - 1 - sum(one.position < target.position for one in beside)
    beside = [one for one in beside if one.priority == priority]
    return target.place - 1 - sum(one.place < target.place for one in beside)


async def positions(client: Client, tasks: Sequence[str]) -> dict[str, Position]:
    """Where those of the tasks stand that wait."""
    rows = client.rows(Named("positions", {"tasks": list(tasks)}))
    found = [msgspec.convert(row, Position) async for row in rows]
    return {one.task: one for one in found}


async def _followers(client: Client, block: Sequence[Position]) -> dict[str, str | None]:
    """For each of the tasks, who stands behind it in its priority and is none of them."""
    names = [one.task for one in block]
    found: dict[str, str | None] = {}
    for one in block:
        line = _Line(client, one.queue, one.priority, names)
        _, follower = await line.around(_ahead_of(one, block, one.priority))
        found[one.task] = follower.task if follower else None
    return found
