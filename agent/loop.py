"""The agent: sends each task that is taken through its pipe, from its birth to its goodbye."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from ..core.events import (
    AgentDown,
    AgentDraining,
    AgentEvent,
    AgentPaused,
    AgentResumed,
    AgentUp,
)
from ..core.ports import BusAway, Delivery, Entry
from ..core.presence import AgentPresence, RunningTask
from ..core.resources import Offer
from ..core.sdk.author import now
from ..core.sdk.ready import tell_ready
from ..core.subjects import agent_events, commands
from ..core.wire import encode
from .attempt import Attempt
from .claim import Claimer
from .gang.admission import Admission
from .means import Means
from .neighbours import Neighbours
from .reporting.channel import Channel
from .taking.room import Holding, Room
from .taking.taker import Taker

log = logging.getLogger(__name__)


class Agent:
    """One worker. `run` returns when it was told to stop and has nothing left to do."""

    def __init__(self, means: Means, up: AgentUp, channels: list[Channel]) -> None:
        self._means = means
        self._up = up
        self._channels = channels
        self._room = Room(
            Offer(
                slots=means.config.slots,
                cpus=up.cpus,
                memory=up.memory,
                labels=means.config.labels,
            )
        )
        self._taker = Taker(means, self._room, self._begin)
        self._attempts: dict[str, Attempt] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._paused = ""
        self._since = now()
        loop = asyncio.get_running_loop()
        self._gangs = Admission(means.bus, means.config, lambda: self._presence(()))
        self._claimer = Claimer(
            means.bus, means.author, means.config, means.instance, loop.time, self._gangs
        )
        self._neighbours = Neighbours(
            means.bus, means.author, means.config, means.instance, loop.time
        )
        means.keeper.presence = self._presence

    def _presence(self, claims: tuple[int, ...]) -> AgentPresence:
        config = self._means.config
        return AgentPresence(
            agent=config.name,
            instance=self._means.instance,
            host=self._means.host,
            pid=self._up.pid,
            queues=config.queues,
            order=config.order,
            slots=config.slots,
            claims=claims,
            draining=self._taker.over.is_set(),
            since=self._since,
            paused=self._paused,
            offer=self._room.offer,
            free=self._room.free,
            running=tuple(
                RunningTask(
                    task=live.task.id,
                    attempt=live.holder.attempt,
                    name=live.task.spec.name,
                    user=live.task.spec.user,
                    slot=live.slot,
                    since=live.since,
                    gpus=live.gpus,
                )
                for live in self._attempts.values()
            ),
            gathering=self._gangs.considered(live.task for live in self._attempts.values()),
        )

    # --- life ---------------------------------------------------------------------------------

    async def run(self) -> None:
        """Work until `drain`, then end what runs and say goodbye."""
        means = self._means
        await means.keeper.renew()
        await means.results.hand_in(means.bus, means.author)
        await self._tell(self._up)
        tell_ready()
        background = [
            asyncio.ensure_future(part)
            for part in (
                means.keeper.run(),
                means.outbox.run(),
                means.kept.run(),
                self._taker.watch_levels(),
                self._taker.watch_queues(),
                self._hear_commands(),
                means.caretaker.run(self.pause),
                self._neighbours.run(self._tell_again),
            )
        ]
        taking = asyncio.ensure_future(self._taker.run())
        draining = asyncio.ensure_future(self._until_draining())
        try:
            # A background part never ends by itself: if one does, the error is ours to show.
            await asyncio.wait((taking, draining, *background), return_when=asyncio.FIRST_COMPLETED)
            for part in (taking, *background):
                if part.done():
                    part.result()
            await self._end_in_order(taking)
        finally:
            for part in (taking, draining, *background):
                part.cancel()
            await asyncio.gather(taking, draining, *background, return_exceptions=True)

    async def _end_in_order(self, taking: asyncio.Task[None]) -> None:
        await self._tell(AgentDraining(self._up.agent, self._up.instance, "told to stop"))
        self._means.keeper.nudge()
        await self._means.bus.hints.wake()
        await asyncio.gather(taking, return_exceptions=True)
        while self._tasks:
            await asyncio.wait(self._tasks)
        await self._tell(AgentDown(self._up.agent, self._up.instance, "told to stop"))
        await self._means.keeper.vanish()

    def drain(self) -> None:
        """Claim nothing more; `run` returns when the running attempts have ended."""
        self._taker.stop()

    async def _until_draining(self) -> None:
        await self._taker.over.wait()

    def give_back(self) -> None:
        """End the running attempts, too, so that other agents can run their tasks."""
        self.drain()
        for attempt in self._attempts.values():
            attempt.give_back()

    async def pause(self, reason: str) -> None:
        """Claim nothing for this reason, until an empty one says that all is well again."""
        before, self._paused = self._paused, reason
        self._taker.paused = bool(reason)
        await self._taker.look_again()
        self._means.keeper.nudge()
        if reason:
            log.warning("paused: %s", reason)
            await self._tell(AgentPaused(self._up.agent, self._up.instance, reason))
        else:
            log.info("goes on after: %s", before)
            await self._tell(AgentResumed(self._up.agent, self._up.instance, f"after {before}"))

    async def _tell_again(self) -> None:
        """Somebody took us for lost."""
        await self._tell(self._up)
        if self._paused:
            await self._tell(AgentPaused(self._up.agent, self._up.instance, self._paused))

    async def _tell(self, event: AgentEvent) -> None:
        envelope = self._means.author.envelope(event)
        entry = Entry(agent_events(self._up.agent), encode(envelope), envelope.id)
        try:
            await self._means.bus.log.append(entry)
        except BusAway as away:
            log.warning("could not be told: %s: %s", type(event).__name__, away)

    # --- attempts -----------------------------------------------------------------------------

    def _begin(self, delivery: Delivery, holding: Holding) -> None:
        self._spawn(self._work(delivery, holding))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _work(self, delivery: Delivery, holding: Holding) -> None:
        attempt: Attempt | None = None
        end = None
        try:
            claimed = await self._claimer.claim(delivery, holding.slot)
            if claimed is None:
                return
            attempt = Attempt(self._means, claimed, delivery, self._channels[holding.slot])
            self._attempts[claimed.id] = attempt
            self._gangs.settled(claimed.id)
            end = await attempt.run()
        except Exception:
            log.exception("task %s: the agent failed", delivery.task)
            if attempt:
                end = attempt.failed_here()
        finally:
            # The last process is dead: the slot is free before the log has been told.
            self._gangs.settled(delivery.task)
            self._room.release(holding)
            await self._taker.freed(holding)
        if attempt:
            try:
                await attempt.record(end)
            finally:
                if self._attempts.get(attempt.task.id) is attempt:
                    del self._attempts[attempt.task.id]

    async def _hear_commands(self) -> None:
        async with self._means.bus.calls.listen(commands(self._means.config.name)) as words:
            async for word in words:
                attempt = self._attempts.get(word.decode(errors="replace"))
                if attempt:
                    self._spawn(self._look(attempt))

    async def _look(self, attempt: Attempt) -> None:
        try:
            await attempt.check()
        except BusAway:
            return  # the next renewal looks again
