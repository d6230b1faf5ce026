"""Notices agents that went without a word, and says so in the log.

Each agent looks after the next one by name, so that a look costs one question however many agents
there are, and an agent that is alone asks nothing. A projector looks after the first, and so, when
all are gone, after one after the other.

That is for the views only: whether a task may be taken over is decided by its own claim and its
holder's presence.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from ..author import Author
from ..bus.connect import Bus
from ..bus.waiting import first_of
from ..events import AgentDown, AgentLost, AgentNews, Envelope
from ..fleet.presence import presence_key
from ..ports import BusAway, Entry, Stored, WrongSequence
from ..subjects import agent_events
from ..wire import decode, encode

log = logging.getLogger(__name__)

LOOK_EVERY = 3
"""Leases between two looks at who is there. Nobody waits for the views to be right at once."""


class Neighbours:
    """All agents, as the log has them, and whether the next one lives."""

    def __init__(
        self,
        bus: Bus,
        author: Author,
        name: str,
        lease: float,
        clock: Callable[[], float],
    ) -> None:
        """`name` is the agent's own, or empty for who is none; `lease` is in seconds. `clock` gives
        seconds that never go back; it is also the clock of `bus.since`."""
        self._bus = bus
        self._author = author
        self._name = name
        self._lease = lease
        self._clock = clock
        self._last: dict[str, int] = {}
        """By agent, the sequence of the last event about it."""
        self._instances: dict[str, str] = {}
        """Those whose end the log does not know, by agent."""
        self._missing: str | None = None
        """The instance that was not there at the last look."""

    async def run(self, of_us: Callable[[Stored], Awaitable[None]]) -> None:
        """Listen and look without end; `of_us` hears every event about the agent itself."""
        await first_of(self._listen(of_us), self._look_now_and_then())

    async def _listen(self, of_us: Callable[[Stored], Awaitable[None]]) -> None:
        ours = agent_events(self._name)
        async with self._bus.log.follow(1, [agent_events("*")]) as batches:
            async for batch in batches:
                for stored in batch:
                    self.hear(stored)
                    if stored.subject == ours:
                        await of_us(stored)

    def hear(self, stored: Stored) -> None:
        """Remember what an event says of an agent."""
        name = stored.subject.rpartition(".")[2]
        self._last[name] = stored.seq
        message = decode(stored.data)
        if not isinstance(message, Envelope) or not isinstance(message.event, AgentNews):
            return
        event = message.event
        if not isinstance(event, AgentDown | AgentLost):
            self._instances[name] = event.instance
        elif self._instances.get(name) == event.instance:
            del self._instances[name]

    async def _look_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(self._lease * LOOK_EVERY)
            try:
                await self.look()
            except BusAway as away:
                log.info("nobody looks for lost agents: %s", away)
                await self._bus.wait(away)

    async def look(self) -> None:
        """Say that the next agent is lost, if it was not there at the look before either."""
        if self._clock() - self._bus.since < self._lease * LOOK_EVERY:
            # After a server's restart everybody gets the time to come back.
            self._missing = None
            return
        before, self._missing = self._missing, None
        if (name := self._next()) is None:
            return
        instance = self._instances[name]
        if await self._bus.presence.get(presence_key(name, instance)):
            return
        self._missing = instance
        if instance == before:
            await self._say_lost(name, instance)

    def _next(self) -> str | None:
        """The agent after this one in the order of names; the first comes after the last."""
        others = sorted(self._instances.keys() - {self._name})
        return next((name for name in others if name > self._name), next(iter(others), None))

    async def _say_lost(self, name: str, instance: str) -> None:
        envelope = self._author.envelope(AgentLost(name, instance, "it went without a word"))
        entry = Entry(agent_events(name), encode(envelope), envelope.id, self._last[name])
        try:
            await self._bus.log.append(entry)
        except WrongSequence:
            return  # another agent said so, or it came back
        log.info("agent %s is lost", name)
