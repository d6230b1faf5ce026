"""Which of the agent's queues are paused, as far as it has heard.

It hears of a pause within milliseconds. A claim that is on its way then may still happen: whoever
paused the queue sees it in the log, and the task runs as any other.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from ...core.bus.connect import Bus
from ...core.handle import absorb_queue, load_queue
from ...core.ports import BusAway
from ...core.queueing.queues import QueueState
from ...core.subjects import parse_queue_events, queue_events

log = logging.getLogger(__name__)


class Pauses:
    """What was done to our queues."""

    def __init__(self, bus: Bus, queues: Sequence[str]) -> None:
        self._bus = bus
        self._queues = {name: QueueState(name) for name in queues}
        self.known = asyncio.Event()
        """Set when all of them have been looked at: before that, nothing may be taken."""

    def on(self, queue: str) -> bool:
        """Whether nothing may be taken from the queue."""
        known = self._queues.get(queue)
        return known is not None and known.pause is not None

    async def _look(self) -> None:
        for name in self._queues:
            while True:
                try:
                    self._queues[name] = await load_queue(self._bus.log, name)
                    break
                except BusAway as away:
                    await self._bus.wait(away)

    async def run(self, changed: Callable[[], Awaitable[None]]) -> None:
        """Listen without end; `changed` is told of each pause, and of its end."""
        await self._look()
        self.known.set()
        subjects = [queue_events(name) for name in self._queues]
        start = 1 + min(queue.seq for queue in self._queues.values())
        async with self._bus.log.follow(start, subjects) as batches:
            async for batch in batches:
                before = dict(self._queues)
                for stored in batch:
                    name = parse_queue_events(stored.subject)
                    if name in self._queues and stored.seq > self._queues[name].seq:
                        self._queues[name] = absorb_queue(self._queues[name], stored)
                for name, queue in self._queues.items():
                    if queue.pause != before[name].pause:
                        log.info("queue %s is %s", name, queue.name_of_state)
                        await changed()
