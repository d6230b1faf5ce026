"""Declares the attempts of dead runs lost at once, by what this machine knows of them.

Another machine can only wait for the lease to run out. Here the kernel says that every process
of a run is dead, and then there is nothing to wait for.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from ...core.author import Author
from ...core.bus.connect import Bus
from ...core.decide import DeclareLost, Rejected
from ...core.errors import NotFound
from ...core.fleet.presence import presence_key
from ...core.handle import from_hint, handle, load, refresh
from ...core.ports import BusAway
from ...core.state import Queued, Task
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
            dead = [run for run in waiting if not run.lives]
            try:
                for run in dead:
                    await self._settle_run(run)
            except BusAway as away:
                await self._bus.wait(away)
                continue
            waiting = [run for run in waiting if run not in dead]
            if waiting:
                await asyncio.sleep(LOOK_AGAIN)

    async def _settle_run(self, run: Former) -> None:
        for note in run.notes():
            try:
                task = await self._without(note.hint, run.instance)
            except NotFound as error:
                log.warning("a task of a former run cannot be found: %s", error)
                continue
            if note.token and isinstance(task.state, Queued) and _ended(task, run.instance):
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
            task = await self._without(claim.hint, claim.instance)
        except BusAway:
            return False
        except NotFound:
            return True
        return claim.token > 0 or _ended(task, claim.instance) or left.age > self._lease

    async def _without(self, hint: int, instance: str) -> Task:
        """The task of a queue message, once no attempt of `instance` is live in it.

        Raises `NotFound` or `BusAway`.
        """
        stored = await self._bus.log.get(hint)
        if stored is None:
            raise NotFound(f"there is no event {hint} in the log")
        _, _, origin = from_hint(stored)
        task = await load(self._bus.log, origin)
        while (live := task.live) and live.instance == instance:
            why = f"agent {live.agent} died, and its machine saw all of its processes dead"
            lost = DeclareLost(live.number, why)
            try:
                task = (await handle(self._bus.log, self._author, task, lost)).task
                log.info("attempt %d of task %s is lost: %s", live.number, task.id, why)
            except Rejected:
                task = await refresh(self._bus.log, task)
        return task


def _ended(task: Task, instance: str) -> bool:
    """Whether the last attempt was this dead run's, and is known to be lost with it."""
    last = task.past[-1] if task.past else None
    return bool(last and last.instance == instance and last.end and not last.end.outcome)
