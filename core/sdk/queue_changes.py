"""The queues that there are, and what somebody does to one."""

from __future__ import annotations

from .. import subjects, wire
from ..bus.connect import Bus
from ..handle import load_queue, load_queues
from ..ids import check_name
from ..ports import BusAway, Entry, WrongSequence
from ..queueing.queues import QueueEvent, QueueState, check_change, evolve_queue
from .author import Author


async def change_queue(
    bus: Bus, author: Author, event: QueueEvent
) -> tuple[QueueState, QueueState]:
    """Append what somebody does to a queue, and return it before and after.

    Raises `Conflict` if it makes no sense there.
    """
    check_name(event.queue, "queue")
    envelope = author.envelope(event)
    while True:
        try:
            queue = await load_queue(bus.log, event.queue)
        except BusAway:
            # A server that evq has not used before has no streams yet, and answers nothing.
            await bus.prepare()
            queue = await load_queue(bus.log, event.queue)
        check_change(queue, event)
        entry = Entry(
            subjects.queue_events(event.queue), wire.encode(envelope), envelope.id, queue.seq
        )
        try:
            seq = await bus.log.append(entry)
        except WrongSequence:
            continue
        return queue, evolve_queue(queue, seq, envelope.at, envelope.by, event)


async def all_queues(bus: Bus) -> dict[str, QueueState]:
    """See `Client.queues`."""
    try:
        return await load_queues(bus.log)
    except BusAway:
        return {}  # a server that evq has not used before


async def queue_names(bus: Bus) -> set[str]:
    """See `Client.queue_names`."""
    try:
        return {level.queue for level in await bus.hints.levels()}
    except BusAway:
        return set()  # a server that evq has not used before
