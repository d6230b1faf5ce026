"""The agent: sends each task that is taken through its pipe, from its birth to its goodbye."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Collection, Coroutine
from functools import partial
from typing import Any

from ..core.events import (
    AgentDown,
    AgentDraining,
    AgentEvent,
    AgentPaused,
    AgentPruned,
    AgentResumed,
    AgentUp,
    PruneRequested,
)
from ..core.fleet.presence import AgentPresence, RunningTask
from ..core.fleet.quiet import quiet_since
from ..core.fleet.resources import Offer, request_of
from ..core.ports import BusAway, Delivery, Entry
from ..core.sdk.author import now
from ..core.sdk.neighbours import Neighbours
from ..core.sdk.ready import tell_ready
from ..core.subjects import agent_events, commands
from ..core.wire import encode
from .attempts.attempt import Attempt
from .attempts.claim import Claimer
from .duty.duty import Duty
from .duty.hours import Hours
from .duty.identity import Identity
from .duty.leaving import Leaving
from .gang.admission import Admission
from .instances.diary import RUNS, Note
from .instances.settle import Settler
from .means import Means
from .reporting.channel import Channel
from .taking.room import Holding, Room
from .taking.taker import Taker
from .tunnels.tunnels import Tunnels

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
                cpus=means.config.cpus or up.cpus,
                memory=means.config.memory or up.memory,
                labels=means.config.labels,
            ),
            means.pool,
        )
        self._attempts: dict[str, Attempt] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._duty = Duty(means.config.name, means.instance)
        self._duty.on_stop = self._stop
        self._duty.on_lost = self._tell_again
        self._taker = Taker(means, self._room, self._duty.stopping, self._begin)
        self._hours = Hours(means.config)
        self._duty.on_drained_gpus = self._drain_gpus
        self._told = ""
        """Why we pause, as the log was told."""
        self._untold = False
        """Whether an attempt's end could not be told before we had to go."""
        self._since = now()
        loop = asyncio.get_running_loop()
        self._identity = Identity(means.bus, means.config, means.instance, means.host, loop.time)
        self._claimer = Claimer(means.bus, means.author, means.config, means.instance, loop.time)
        self._claimer.limits = self._taker.limits
        self._gangs = Admission(means.bus, means.config, lambda: self._presence(()))
        self._claimer.gangs = self._gangs
        self._taker.limits.running = lambda: [one.task for one in self._attempts.values()]
        self._settler = Settler(means.bus, means.author, means.config.name, means.config.lease)
        config = means.config
        self._neighbours = Neighbours(means.bus, means.author, config.name, config.lease, loop.time)
        self._tunnels = Tunnels(means.bus, means.login, config.name, self._attempts.get)
        means.keeper.presence = self._presence

    def _presence(self, claims: tuple[int, ...]) -> AgentPresence:
        return self._means.presence(
            claims,
            draining=self._duty.stopping.is_set(),
            since=self._since,
            paused=self._paused,
            drains=self._duty.drains,
            offer=self._room.offer,
            free=self._room.free,
            reserved=self._taker.lookout.reserved,
            passed=self._taker.lookout.passed,
            queue_gpus=self._means.config.queue_gpus,
            running=tuple(
                RunningTask(
                    task=live.task.id,
                    attempt=live.holder.attempt,
                    name=live.task.spec.name,
                    user=live.task.spec.user,
                    slot=live.slot,
                    since=live.since,
                    queue=live.task.place.queue,
                    size=request_of(live.task.spec).size,
                    gpus=live.gpus,
                    quiet=self._quiet_since(live),
                )
                for live in self._attempts.values()
            ),
            gathering=self._gangs.considered(live.task for live in self._attempts.values()),
        )

    def _quiet_since(self, attempt: Attempt) -> int | None:
        if self._means.config.services:
            return None  # they wait for a living
        idle = self._means.watch.idle_since(attempt.claim)
        return quiet_since(attempt.said, idle, now(), self._means.config.quiet_after)

    # --- life ---------------------------------------------------------------------------------

    async def run(self) -> None:
        """Work until `drain`, then end what runs and say goodbye.

        Raises `Conflict` if another agent has the name.
        """
        means = self._means
        await self._introduce()
        tell_ready()
        background = [
            asyncio.ensure_future(part)
            for part in (
                means.keeper.run(),
                self._identity.run(),
                means.outbox.run(),
                means.kept.run(),
                means.watch.run(),
                means.pool.run(self._look_at_gpus, self._settler.claim_of_gpus),
                self._settle_former_runs(),
                self._taker.watch_levels(),
                self._taker.lookout.run(),
                self._taker.watch_queues(),
                self._hear_commands(),
                self._tunnels.run(),
                means.caretaker.run(partial(self.pause, "disk")),
                self._hours.run(partial(self.pause, "schedule"), self._end_attempts),
                self._neighbours.run(self._duty.hear),
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

    async def _introduce(self) -> None:
        """Take the name, hear what was ordered, say that we are here. Each may be done twice."""
        means = self._means
        while True:
            try:
                await self._identity.take()
                await self._duty.read(means.bus.log)
                await means.keeper.renew()
                await means.results.hand_in(means.bus, means.author)
                break
            except BusAway as away:
                await means.bus.wait(away)
        log.info("agent %s serves %s", means.config.name, ", ".join(means.config.queues))
        self._duty.on_change = self._changed_duty
        # What was ordered while nobody was here is done by whoever orders it again.
        self._duty.on_prune = lambda order: self._spawn(self._prune(order))
        await self._tell_again()

    async def _end_in_order(self, taking: asyncio.Task[None]) -> None:
        why = self._duty.why_stopping
        await self._tell(AgentDraining(self._up.agent, self._up.instance, why))
        self._means.keeper.nudge()
        await self._taker.lookout.give_up()
        await self._means.bus.hints.wake()
        await asyncio.gather(taking, return_exceptions=True)
        await Leaving(self._means, self._tasks, self._attempts.values, self.give_back).run()
        if not self._untold:
            self._means.diary.over()
        await self._tell(AgentDown(self._up.agent, self._up.instance, why))
        await self._means.keeper.vanish()
        await self._identity.release()

    def _stop(self, now: bool) -> None:
        """Somebody ordered us to end."""
        if now:
            self.give_back()
        else:
            self.drain()

    def drain(self) -> None:
        """Claim nothing more; `run` returns when the running attempts have ended."""
        self._taker.stop()

    async def _until_draining(self) -> None:
        await self._duty.stopping.wait()

    def give_back(self) -> None:
        """End the running attempts, too, so that other agents can run their tasks."""
        self.drain()
        self._end_attempts()

    def _end_attempts(self) -> None:
        for attempt in self._attempts.values():
            attempt.give_back()

    @property
    def _paused(self) -> str:
        """Why nothing is claimed, though we go on; empty if nothing keeps us from that."""
        return self._duty.paused

    async def pause(self, source: str, reason: str) -> None:
        """Claim nothing for this reason, until `source` gives an empty one: all is well again."""
        self._duty.pause(source, reason)
        await self._changed_duty()

    async def _changed_duty(self) -> None:
        """Tasks may be claimed again, or none any more."""
        self._taker.paused = bool(self._paused)
        await self._taker.look_again()
        self._means.keeper.nudge()
        before, self._told = self._told, self._paused
        if self._paused and self._paused != before:
            log.warning("paused: %s", self._paused)
            await self._tell(AgentPaused(self._up.agent, self._up.instance, self._paused))
        elif before and not self._paused:
            log.info("goes on after: %s", before)
            await self._tell(AgentResumed(self._up.agent, self._up.instance, f"after {before}"))

    async def _prune(self, order: PruneRequested) -> None:
        """Remove from the caches what somebody wants to go, and tell what that was."""
        gone = await self._means.caretaker.prune_unused(order.older, order.kinds)
        if gone is None:
            return
        pruned = AgentPruned(
            agent=self._up.agent,
            instance=self._up.instance,
            entries=len(gone),
            size=sum(entry.bytes for entry in gone),
            kinds=dict(Counter(entry.kind for entry in gone)),
            reason=order.reason,
        )
        await self._tell(pruned)

    async def _tell_again(self) -> None:
        """Say that we are here: at the start, and when somebody took us for lost."""
        await self._tell(self._up)
        self._told = ""
        await self._changed_duty()

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
        end, gpus, told = None, holding.assignment.gpus, False
        try:
            self._means.diary.begin(holding.slot, Note(delivery.seq, delivery.token))
            claimed = await self._claimer.claim(delivery, holding.slot, holding.assignment)
            if claimed is None:
                told = True
                return
            channel = self._channels[holding.slot]
            attempt = Attempt(self._means, claimed, delivery, channel, holding.assignment)
            self._attempts[claimed.id] = attempt
            self._gangs.settled(claimed.id)
            end = await attempt.run()
        except Exception:
            log.exception("task %s: the agent failed", delivery.task)
            if attempt:
                end = attempt.failed_here()
        finally:
            self._gangs.settled(delivery.task)
            # The last process is dead: the slot is free before the log has been told. But whoever
            # reads the log must find no GPU in two attempts.
            if attempt is None or not gpus:
                await self._release(holding, told)
        if attempt:
            try:
                await attempt.record(end)
                told = True
            finally:
                self._untold |= not told
                if gpus:
                    await self._release(holding, told)
                self._tunnels.ended(attempt)
                if self._attempts.get(attempt.task.id) is attempt:
                    del self._attempts[attempt.task.id]
            await self._taker.limits.ended(attempt.task)

    async def _release(self, holding: Holding, told: bool) -> None:
        """Give back what an attempt had; `told` says that the log knows of its end, if it began."""
        self._room.release(holding, told)
        await self._taker.freed(holding)

    def _drain_gpus(self, _: Collection[str]) -> None:
        """Somebody took GPUs out of use, or gave them back."""
        drains = self._duty.drains
        self._means.pool.drain({gpu: str(drain) for drain in drains for gpu in drain.gpus})
        self._room.look()

    async def _look_at_gpus(self) -> None:
        """The GPUs are not as they were."""
        self._room.look()
        self._means.keeper.nudge()
        await self._taker.look_again()

    async def _settle_former_runs(self) -> None:
        """Declare lost what the run before this one had, then do nothing without end."""
        means = self._means
        await self._settler.former_runs(means.config.state / RUNS, means.instance)
        await asyncio.Event().wait()

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
