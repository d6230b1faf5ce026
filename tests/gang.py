"""A gang that tests enqueue, and what the log says of its members."""

from __future__ import annotations

import asyncio
from typing import Any

from starting import PATIENCE

from evq.core.events import Phase
from evq.core.gangs.gang import member_id
from evq.core.handle import load_gang
from evq.core.state import Ended
from evq.core.subjects import lifecycle
from evq.core.wire import decode


class Gang:
    """A gang on a queue, and what the log says of its members."""

    def __init__(self, queue, id: str, nodes: int) -> None:
        self.queue = queue
        self.id = id
        self.ids = [member_id(id, rank) for rank in range(nodes)]

    async def tasks(self):
        return await load_gang(self.queue.client.bus.log, await self.queue.client.get(self.id))

    async def events(self, kind, number: int = 1):
        """The `number`-th event of this kind of each member, when all have it."""
        return await asyncio.gather(*(self.queue.event(one, kind, number) for one in self.ids))

    async def ended(self):
        """All members, when none waits or runs. One that nobody had taken ends by the word of
        another's end, so that no event of its own is waited for."""
        subjects = [lifecycle(self.queue.name, one) for one in self.ids]
        log = self.queue.client.bus.log
        async with asyncio.timeout(PATIENCE), log.follow(1, subjects) as batches:
            async for _ in batches:
                tasks = await self.tasks()
                if all(isinstance(task.state, Ended) for task in tasks):
                    return tasks

    async def history(self):
        """(rank, sequence, event) of all members, in the log's order."""
        found = []
        for rank, task in enumerate(self.ids):
            subject = lifecycle(self.queue.name, task)
            for stored in await self.queue.client.bus.log.history(subject):
                found.append((rank, stored.seq, decode(stored.data).event))
        return sorted(found, key=lambda one: one[1])


async def enqueue(queue, *argv: str, nodes: int, **spec) -> Gang:
    return Gang(queue, await queue.enqueue(*argv, nodes=nodes, **spec), nodes)


SCRIPT = """
    mkdir {folder}/first 2>/dev/null && exit
    mkdir {folder}/second 2>/dev/null && exit
    while ! test -e {folder}/open; do sleep 0.02; done
"""
"""A set-up script that two of three get through at once, the third when `open` is there."""


async def gathering(gang: Gang, until: Any) -> list[int]:
    """The ranks that wait for the third, when two of them do."""
    found: list[int] = []

    async def look() -> bool:
        found[:] = [
            rank
            for rank, _, event in await gang.history()
            if isinstance(event, Phase) and event.name == "gather"
        ]
        return len(found) == 2

    await until(look)
    return found
