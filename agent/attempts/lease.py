"""Keeps an agent's claims alive, and notices when they are not.

Every quarter of a lease the agent says that it lives and which claims it holds. As long as the
server confirms that, nobody takes a task over. A renewal carries every attempt's supervisor to a
later deadline; without one the supervisors freeze their children by themselves, each in time,
even when this process is stopped or dead.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Protocol

from ...core.bus.connect import Bus
from ...core.fleet.presence import AgentPresence, encode_presence, presence_key
from ...core.ports import BusAway
from ..config import Config

log = logging.getLogger(__name__)

LIST_SOON = 0.3
"""Seconds after a claim by which it is named in the agent's presence."""


def boot_seconds() -> float:
    """Seconds since boot, counting those spent suspended: what supervisors' deadlines are in."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Held(Protocol):
    """An attempt, as far as its lease is concerned."""

    @property
    def claim(self) -> int: ...

    def renew(self, deadline: float) -> None:
        """Run until `deadline` (see `boot_seconds`) at least."""
        ...

    async def check(self) -> None:
        """Look at the log: end what is not ours any more, go on with what is."""
        ...


class LeaseKeeper:
    """Renews the lease of all attempts of an agent together."""

    def __init__(self, bus: Bus, config: Config, instance: str) -> None:
        self._bus = bus
        self._config = config
        self._key = presence_key(config.name, instance)
        self._held: dict[int, Held] = {}
        self._nudge = asyncio.Event()
        self._contact = 0.0
        self.presence: Callable[[tuple[int, ...]], AgentPresence] | None = None
        """Makes the agent's presence out of its claims."""

    @property
    def deadline(self) -> float:
        """Until when a task may surely run, by what the server last confirmed."""
        return self._contact + self._config.safe_for

    @property
    def fresh(self) -> bool:
        """Whether the server confirmed us lately enough to begin something new."""
        return boot_seconds() - self._contact < self._config.lease / 2

    @property
    def silence(self) -> float:
        """Seconds since the server last confirmed us."""
        return boot_seconds() - self._contact

    def hold(self, attempt: Held) -> None:
        """Keep the attempt's lease from now on."""
        self._held[attempt.claim] = attempt
        asyncio.get_running_loop().call_later(LIST_SOON, self._list, attempt.claim)

    def _list(self, claim: int) -> None:
        # Attempts that are over by now never needed to be named.
        if claim in self._held:
            self.nudge()

    def let_go(self, attempt: Held) -> None:
        """Keep it no longer."""
        self._held.pop(attempt.claim, None)

    def nudge(self) -> None:
        """Renew now."""
        self._nudge.set()

    async def run(self) -> None:
        """Renew without end."""
        while True:
            await self._bus.standing.wait()
            self._nudge.clear()
            try:
                await self.renew()
            except BusAway as away:
                log.warning("the lease could not be renewed: %s", away)
                await self._bus.wait(away)
                continue
            try:
                async with asyncio.timeout(self._config.renew_every):
                    await self._nudge.wait()
            except TimeoutError:
                continue

    async def renew(self) -> None:
        """Say that we live, and pass the good news on. Raises `BusAway`."""
        assert self.presence is not None
        began = boot_seconds()
        value = encode_presence(self.presence(tuple(self._held)))
        await self._bus.presence.put(self._key, value, self._config.lease)
        self._contact = began
        held = list(self._held.values())
        for attempt in held:
            attempt.renew(self.deadline)
        await asyncio.gather(*(attempt.check() for attempt in held))

    async def vanish(self) -> None:
        """Say that we are gone. What cannot be said now is said by silence."""
        try:
            await self._bus.presence.remove(self._key)
        except BusAway:
            return
