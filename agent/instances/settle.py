"""Declares the attempts of dead runs lost at once, by what this machine knows of them.

Another machine can only wait for the lease to run out. Here the kernel says that every process
of a run is dead, and then there is nothing to wait for.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from ...core.bus.connect import Bus
from ...core.decide import DeclareLost, Rejected
from ...core.errors import NotFound
from ...core.handle import Author, from_hint, handle, load
from ...core.ports import BusAway
from ...core.state import Task
from ..claim import presence_key
from ..gpus.ledger import Left
from .diary import Former, former

log = logging.getLogger(__name__)

LOOK_AGAIN = 0.1
"""Seconds between two looks whether the processes of a former run are dead."""


class Settler:
    """Brings the log up to date with what this machine knows."""

    def __init__(self, bus: Bus, author: Author, agent: str, lease: float) -> None:
        self._bus = bus
        self._author = author
        self._agent = agent
        self._lease = lease

    async def former_runs(self, folder: Path, instance: str) -> None:
        """Settle all runs before `instance`, each as soon as its last process is dead."""
        waiting = former(folder, instance)
        while waiting:
            for run in waiting:
                if not run.lives:
                    await self._settle_run(run)
            waiting = [run for run in waiting if run.lives]
            if waiting:
                await asyncio.sleep(LOOK_AGAIN)

    async def _settle_run(self, run: Former) -> None:
        for note in run.notes():
            if await self._end(note.hint, run.instance) and note.token:
                await self._bus.hints.hand_back(note.token)
        await self._bus.presence.remove(presence_key(self._agent, run.instance))
        run.forget()

    async def claim_of_gpus(self, left: Left) -> bool:
        """See to it that a dead attempt holds its GPUs in the log no more; whether it is so.

        An agent may have died between sending its claim and hearing of it. Such a claim may yet
        arrive: one of which the log does not know is waited for during a lease.
        """
        claim = left.claim
        try:
            ended = await self._end(claim.hint, claim.instance)
        except BusAway:
            return False
        except NotFound:
            return True
        return ended or claim.token > 0 or left.age > self._lease

    async def _end(self, hint: int, instance: str) -> bool:
        """Declare the attempt of `instance` lost if it is live; whether it was."""
        task = await self._task(hint)
        live = task.live
        if live is None or live.instance != instance:
            return False
        why = f"agent {live.agent} died, and its machine saw all of its processes dead"
        try:
            await handle(self._bus.log, self._author, task, DeclareLost(live.number, why))
        except Rejected:
            return False
        log.info("attempt %d of task %s is lost: %s", live.number, task.id, why)
        return True

    async def _task(self, hint: int) -> Task:
        """The task of a queue message, as of now. Raises `NotFound` or `BusAway`."""
        stored = await self._bus.log.get(hint)
        if stored is None:
            raise NotFound(f"there is no event {hint} in the log")
        _, _, origin = from_hint(stored)
        return await load(self._bus.log, origin)
