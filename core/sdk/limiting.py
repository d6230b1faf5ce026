"""A limit on how many tasks of a queue run at once, as somebody sets it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from ..ids import check_name
from ..ports import BusAway, WrongSequence
from ..queueing.granting import tally_entry
from ..queueing.permits import Permit, Permits

if TYPE_CHECKING:
    from .client import Client


async def limit_queue(client: Client, wanted: Permits) -> tuple[Permits, Permits]:
    """Set the limits that `wanted` has; the permits before and after. What runs counts."""
    queue = check_name(wanted.queue, "queue")
    while True:
        try:
            before = await client.tally(queue)
        except BusAway:
            # A server that evq has not used before has no streams yet, and answers nothing.
            await client.bus.prepare()
            before = await client.tally(queue)
        known = before.permits
        untold = [one for one in await _running(client, queue) if not known.holds(one.task)]
        after = replace(wanted, held=(*known.held, *untold))
        try:
            await client.bus.log.append(tally_entry(client.author, before, after))
        except WrongSequence:
            continue
        return known, after


async def _running(client: Client, queue: str) -> list[Permit]:
    """What is live in the queue now, as permits."""
    listed = [
        task.task
        for agent in await client.agents()
        for task in agent.running
        if task.queue == queue
    ]
    tasks = [await client.get(task) for task in dict.fromkeys(listed)]
    return [
        Permit(task.id, task.spec.user, task.live.agent, task.live.instance)
        for task in tasks
        if task.live
    ]
