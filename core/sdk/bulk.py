"""Many tasks changed by one command. One that is refused does not keep the others from it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

import msgspec

from ..arrays.giving import takes_turns
from ..errors import EvqError
from ..state import Held, Task
from .abreast import abreast
from .requeueing import requeue_all

if TYPE_CHECKING:
    from .client import Client

Change = Callable[[str], Awaitable[Task]]


class Done(msgspec.Struct, frozen=True):
    """A task after its change, or the error that kept it from changing."""

    task: str
    now: Task | None = None
    error: EvqError | None = None


def raise_first(done: Sequence[Done]) -> None:
    """Raise the error of the first that was refused, if one was."""
    for one in done:
        if one.error:
            raise one.error


async def change_each(tasks: Sequence[str], change: Change) -> list[Done]:
    """Change tasks, some at a time; what became of each, in their order."""

    async def one(task: str) -> Done:
        try:
            return Done(task, await change(task))
        except EvqError as error:
            return Done(task, error=error)

    return await abreast(one, tasks)


async def end_each(client: Client, tasks: Sequence[str], end: Change) -> list[Done]:
    """End tasks, in an order in which no end lets another one of them begin.

    First those whose end is nobody else's business, and so all members of arrays whose turn has not
    come; then, one after the other, those whose ends are batches that would refuse each other.
    """
    found = await change_each(tasks, client.get)
    there = [one.now for one in found if one.now]
    done = {one.task: one for one in found if one.error}
    free = [task.id for task in there if _ends_alone(task)]
    done |= {one.task: one for one in await change_each(free, end)}
    bound = [task for task in reversed(there) if not _ends_alone(task)]
    for task in sorted(bound, key=lambda task: not isinstance(task.state, Held)):
        done |= {one.task: one for one in await change_each([task.id], end)}
    return [done[task] for task in tasks]


def _ends_alone(task: Task) -> bool:
    """Whether the end of the task is one event, and no other task has to hear of it."""
    has_turn = takes_turns(task) is not None and task.has_turn
    return not has_turn and not task.awaited_by and task.spec.gang is None


async def retry_each(client: Client, tasks: Sequence[str], reason: str) -> list[Done]:
    """Put tasks that have ended back into their queues, in their order, many in one batch."""
    found = await change_each(tasks, client.get)
    there = [one.now for one in found if one.now]
    done = {one.task: one for one in found if one.error}
    put_back = await requeue_all(client.bus, client.author, there, reason)
    for task, now in zip(there, put_back, strict=True):
        if isinstance(now, EvqError):
            done[task.id] = Done(task.id, error=now)
        else:
            done[task.id] = Done(task.id, now)
    return [done[task] for task in tasks]
