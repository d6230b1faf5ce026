"""Whether an agent claims tasks now; if not, why not, in words for everybody.

Three things keep it from that, each by itself: an administrator drains it, it pauses for a reason
of its own such as a full disk, or it was told to stop.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection

from ...core.events import (
    AgentLost,
    DrainRequested,
    Envelope,
    PruneRequested,
    ResumeRequested,
    StopRequested,
)
from ...core.ports import Log, Stored
from ...core.queueing.orders import Drains, drained_gpus, obey, whole
from ...core.subjects import agent_events
from ...core.wire import decode

log = logging.getLogger(__name__)

TOLD = "told to stop"


class Duty:
    """One per agent. It knows; `Agent` acts."""

    def __init__(self, agent: str, instance: str) -> None:
        self._agent = agent
        self._instance = instance
        self._seq = 0
        self._pauses: dict[str, str] = {}
        self.drains: Drains = ()
        self.stopping = asyncio.Event()
        self.why_stopping = TOLD
        self.on_change: Callable[[], Awaitable[None]] | None = None
        """Called when it may claim tasks again, or no more."""
        self.on_drained_gpus: Callable[[Collection[str]], None] | None = None
        """Called with the ids of all GPUs on which nothing new may start."""
        self.on_stop: Callable[[bool], None] | None = None
        """Called when somebody ordered the agent to stop, `True` to give its tasks back."""
        self.on_prune: Callable[[PruneRequested], None] | None = None
        """Called when somebody ordered the agent to prune its caches."""
        self.on_lost: Callable[[], Awaitable[None]] | None = None
        """Called when others took the agent for lost."""

    @property
    def paused(self) -> str:
        """Why nothing is claimed, though the agent goes on; empty if nothing keeps it from that."""
        drain = whole(self.drains)
        return "; ".join([*([str(drain)] if drain else []), *self._pauses.values()])

    def pause(self, source: str, reason: str) -> None:
        """Claim nothing for a reason, until `source` gives an empty one."""
        self._pauses.pop(source, None)
        if reason:
            self._pauses[source] = reason

    # --- orders -------------------------------------------------------------------------------

    async def read(self, log: Log) -> None:
        """Hear all that was ordered before this agent started. Raises `BusAway`."""
        subject = agent_events(self._agent)
        if (last := await log.last(subject)) is None:
            return
        async with log.follow(self._seq + 1, [subject]) as batches:
            async for batch in batches:
                for stored in batch:
                    await self.hear(stored)
                if batch[-1].seq >= last.seq:
                    return

    async def hear(self, stored: Stored) -> None:
        """Do what an event about this agent says. One that was heard before says nothing new."""
        message = decode(stored.data)
        if stored.seq <= self._seq:
            return
        self._seq = stored.seq
        if not isinstance(message, Envelope):
            return
        match message.event:
            case DrainRequested() | ResumeRequested() as order:
                await self._drain(obey(self.drains, message.at, message.by, order))
            case StopRequested(instance=self._instance) as order:
                self.why_stopping = f"stopped by {message.by}" + _because(order.reason)
                log.info("%s", self.why_stopping)
                if self.on_stop:
                    self.on_stop(order.now)
            case PruneRequested() as order:
                if self.on_prune:
                    self.on_prune(order)
            case AgentLost(instance=self._instance):
                if self.on_lost:
                    await self.on_lost()

    async def _drain(self, drains: Drains) -> None:
        before, self.drains = self.drains, drains
        if self.on_drained_gpus and drained_gpus(before) != drained_gpus(drains):
            self.on_drained_gpus(drained_gpus(drains))
        if self.on_change:
            await self.on_change()


def _because(reason: str) -> str:
    return f": {reason}" if reason else ""
