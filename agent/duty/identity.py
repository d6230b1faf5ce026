"""An agent's name, which no other agent has, on whatever machine.

The name is a key where presence is: whoever writes it first has it, by compare-and-swap, and keeps
it by writing it again before it runs out. On one machine a lock in the agent's folder says the
same sooner, so that an agent that is started again takes the name over at once.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from ...core.bus.connect import Bus
from ...core.errors import Conflict
from ...core.fleet.presence import NameHolder, decode_holder, encode_holder
from ...core.ports import BusAway, Stored, WrongSequence
from ...core.sdk.author import now
from ..config import Config

log = logging.getLogger(__name__)

LOOK_EVERY = 0.25
"""Seconds between two looks at whether a holder renews its name."""

SPARE = 2.0
"""Seconds that a name may outlive its lease: the server counts whole ones."""


def home_mark(folder: Path) -> str:
    """What tells an agent's folder from another of the same path on another machine."""
    path = folder / "home"
    if not path.exists():
        path.write_text(secrets.token_hex(8))
    return path.read_text()


class Identity:
    """The hold of one agent's instance on its name."""

    def __init__(
        self, bus: Bus, config: Config, instance: str, host: str, clock: Callable[[], float]
    ) -> None:
        """`clock` gives seconds that never go back."""
        self._bus = bus
        self._config = config
        self._clock = clock
        self._us = NameHolder(
            agent=config.name,
            instance=instance,
            host=host,
            pid=os.getpid(),
            since=now(),
            lease=config.lease,
            home=home_mark(config.state),
        )
        self._seq = 0

    async def take(self) -> None:
        """Have the name from now on. Raises `BusAway`, or `Conflict` if another agent has it.

        A holder that does not renew it in its lease is gone; one that does is told of at once.
        """
        first: Stored | None = None
        since = self._clock()
        while True:
            last = await self._bus.presence.last(self._config.name)
            holder = decode_holder(last.data) if last else None
            silent = holder is not None and self._clock() - since > holder.lease + SPARE
            if holder is None or silent or self._was_us(holder):
                if await self._write(last.seq if last else 0):
                    return
                continue
            if first is None:
                first = last
                log.info("%s had the name %s; does it live?", _who(holder), holder.agent)
            if last != first:
                raise taken(holder)
            await asyncio.sleep(LOOK_EVERY)

    def _was_us(self, holder: NameHolder) -> bool:
        """Whether it was an agent in this very folder: its lock says that it has ended."""
        return (holder.host, holder.home) == (self._us.host, self._us.home)

    async def _write(self, expect: int) -> bool:
        try:
            self._seq = await self._bus.presence.put(
                self._config.name, encode_holder(self._us), self._config.lease, expect
            )
        except WrongSequence:
            return False
        return True

    async def run(self) -> None:
        """Keep the name, without end. Raises `Conflict` if another agent has it."""
        while True:
            await self._bus.standing.wait()
            try:
                await self.renew()
            except BusAway as away:
                await self._bus.wait(away)
                continue
            await asyncio.sleep(self._config.renew_every)

    async def renew(self) -> None:
        """Say again that the name is ours. Raises `BusAway` or `Conflict`."""
        while not await self._write(self._seq):
            # It ran out while we were away, or our last word was stored and its answer lost.
            last = await self._bus.presence.last(self._config.name)
            holder = decode_holder(last.data) if last else None
            if holder and holder.instance != self._us.instance:
                raise taken(holder)
            self._seq = last.seq if last else 0

    async def release(self) -> None:
        """Let others have the name. What cannot be said now is said by silence."""
        try:
            await self._bus.presence.remove(self._config.name, self._seq)
        except (BusAway, WrongSequence):
            return


def taken(holder: NameHolder) -> Conflict:
    """The error of whoever wants a name that another agent has."""
    return Conflict(
        f"an agent named {holder.agent} is running on host {holder.host}",
        why=f"{_who(holder)} renewed its hold on the name just now",
        fix="choose another name: evq agent --name NAME",
    )


def _who(holder: NameHolder) -> str:
    since = datetime.fromtimestamp(holder.since / 1e6, UTC)
    return f"process {holder.pid} there, up since {since:%Y-%m-%d %H:%M:%S} UTC,"
