"""Until tasks have ended, folded from the log as it grows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ..gangs.gang import decisive
from ..handle import absorb, load_gang
from ..state import Ended, Task
from ..subjects import lifecycle

MANY = 100
"""Tasks above which it is cheaper to hear of all tasks of their queues."""

if TYPE_CHECKING:
    from .client import Client

    Gangs = list[list[Task]]
    """Tasks, each with the others of its gang."""


async def wait(
    client: Client, tasks: Sequence[str], timeout: float | None, first: bool
) -> list[Task]:
    """See `Client.wait`."""
    gangs = await load_gangs(client, tasks)
    async with asyncio.timeout(timeout):
        await until_ended(client, gangs, first=first)
    found = [decisive(members) for members in gangs]
    return [task for task in found if task.ended] if first else found


async def load_gangs(client: Client, tasks: Sequence[str]) -> Gangs:
    """The tasks with these whole ids, each once, with the others of its gang. Raises `NotFound`."""
    named = [await client.get(task) for task in dict.fromkeys(tasks)]
    found = [await load_gang(client.bus.log, one) for one in named]
    return list({members[0].id: members for members in found}.values())


async def until_ended(
    client: Client,
    gangs: Gangs,
    *,
    first: bool = False,
    tell: Callable[[Task], None] = lambda task: None,
) -> None:
    """Fold what happens to the tasks, in place, until all have ended, or the `first` has.

    A member of a gang that has ended may run again as long as another has not. `tell` is called
    with each task that has ended, once, for a gang with the member whose end is that of all.
    """
    waiting = {members[0].id: members for members in gangs}
    for members in gangs:
        if _over(members):
            del waiting[members[0].id]
            tell(decisive(members))
    if not waiting or (first and len(waiting) < len(gangs)):
        return
    tasks = [one for members in waiting.values() for one in members]
    places = {
        one.id: (name, rank)
        for name, members in waiting.items()
        for rank, one in enumerate(members)
    }
    start = min(max(one.seq, one.origin) for one in tasks) + 1
    filters = [lifecycle(one.spec.queue, one.id) for one in tasks]
    if len(filters) > MANY:
        filters = sorted({lifecycle(one.spec.queue, "*") for one in tasks})
    async with client.bus.log.follow(start, filters) as batches:
        async for batch in batches:
            for stored in batch:
                name, rank = places.get(stored.subject.rpartition(".")[2], ("", 0))
                members = waiting.get(name, [])
                if members and stored.seq > members[rank].seq:
                    members[rank] = absorb(members[rank], stored)
                    if _over(members):
                        del waiting[name]
                        tell(decisive(members))
            if not waiting or (first and len(waiting) < len(gangs)):
                return


def _over(members: list[Task]) -> bool:
    return all(isinstance(one.state, Ended) for one in members)
