"""The last step of a member's set-up: it waits until all the others are there, too.

Each member's agent reads the lives of all members. Rank 0's agent writes the event that starts
them all; the others wait for it, or give their member back so that its place serves somebody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol, TypeVar

from ...core import subjects
from ...core.decide import (
    Assemble,
    BeginPhase,
    ClaimLost,
    Command,
    GiveBack,
    Holder,
    Rejected,
)
from ...core.events import Cause, Lifecycle
from ...core.fleet.presence import AgentPresence
from ...core.gangs.gather import GATHER, gathering, has_gathered
from ...core.handle import absorb, load_gang
from ...core.ports import BusAway
from ...core.queueing.room import must_give_way, no_room, too_large
from ...core.state import Task
from ..means import Means
from . import patience
from .admission import all_agents, jittered
from .rendezvous import free_port, reachable_address

T = TypeVar("T")

LOOK_EVERY = 1.0
"""Seconds between two looks at whether waiting makes sense."""


TELL_AFTER = 0.5
"""Seconds after which it is worth a line in the log whom the member waits for."""


class Withdrawn(Exception):
    """The member was given back, and the log has it."""


class Member(Protocol):
    """What an attempt offers to its gathering."""

    task: Task
    holder: Holder

    async def write(self, command: Command) -> Lifecycle:
        """Carry a command out on the task."""
        ...

    async def settle(self, event: Lifecycle) -> None:
        """The hint has done its work, or is wanted again."""
        ...

    async def until_told(self, work: Coroutine[Any, Any, T]) -> T:
        """What `work` gives, unless the attempt is told to end."""
        ...


class Gather:
    """One member's waiting for the others."""

    def __init__(self, me: Member, means: Means, say: Callable[[str], None]) -> None:
        """`say` puts a line into the attempt's log."""
        gang = me.task.spec.gang
        assert gang is not None
        self._me = me
        self._means = means
        self._say = say
        self._rank = gang.rank
        self._members: list[Task] = []
        self._news = asyncio.Event()
        self._waits_for = ""

    async def run(self) -> None:
        """Return when all start. Raises `Withdrawn` if the member was given back."""
        await self._me.write(BeginPhase(self._me.holder, GATHER))
        await self._me.until_told(self._gather())

    async def _gather(self) -> None:
        loop = asyncio.get_running_loop()
        log = self._means.bus.log
        self._members = await self._patiently(lambda: load_gang(log, self._me.task))
        listening = asyncio.ensure_future(self._listen())
        look_at = began = loop.time()
        try:
            while not self._assembled():
                if listening.done():
                    listening.result()
                self._news.clear()
                await self._try_to_assemble()
                if loop.time() >= look_at and not self._assembled():
                    await self._look(loop.time() - began)
                    look_at = loop.time() + jittered(LOOK_EVERY)
                await self._until_news(look_at - loop.time())
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    async def _until_news(self, seconds: float) -> None:
        if self._assembled() or seconds <= 0:
            return
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return

    def _assembled(self) -> bool:
        live = self._me.task.live
        return live is not None and live.assembled is not None

    async def _listen(self) -> None:
        """Fold what happens to the members."""
        by_subject = {
            subjects.lifecycle(one.spec.queue, one.id): rank
            for rank, one in enumerate(self._members)
        }
        start = min(max(one.seq, one.origin) for one in self._members) + 1
        async with self._means.bus.log.follow(start, list(by_subject)) as batches:
            async for batch in batches:
                for stored in batch:
                    rank = by_subject[stored.subject]
                    if stored.seq > self._members[rank].seq:
                        self._members[rank] = absorb(self._members[rank], stored)
                mine = self._members[self._rank]
                if mine.seq > self._me.task.seq:
                    self._me.task = mine
                self._news.set()

    # --- all are there ------------------------------------------------------------------------

    async def _try_to_assemble(self) -> None:
        """If this is rank 0 and all wait: let all start."""
        if self._rank or not all(map(has_gathered, self._members)):
            return
        agents = await self._agents()
        hosts = {one.instance: one.host for one in agents}
        holders = [one.live.instance for one in self._members if one.live]
        if not hosts.keys() >= set(holders):
            # One is silent. Whoever takes its task over says so in the log.
            return
        alone = {hosts[one] for one in holders} == {self._means.host}
        chosen, server = self._means.config.address, self._means.bus.server
        address = reachable_address(chosen, server, alone)
        with free_port(address) as port:
            try:
                await self._me.write(Assemble(address, port))
            except ClaimLost:
                raise
            except Rejected:
                return

    # --- some are missing ---------------------------------------------------------------------

    async def _look(self, held: float) -> None:
        """Give the member back if its place had better serve somebody else."""
        missing = [rank for rank, one in enumerate(self._members) if one.live is None]
        if held >= TELL_AFTER:
            self._tell(missing)
        seen = gathering(self._me.task)
        if not missing or seen is None:
            # All have their places: what they still do is set-up, which has no limit.
            return
        task, config = self._me.task, self._means.config
        agents = await self._agents()
        since = patience.waits_since(task)
        waited = await self._patiently(lambda: self._means.bus.log.age(since))
        short = patience.pause_after_withdrawal(task)
        why = "its agent is being stopped" if agents[0].draining else ""
        why = why or too_large(seen, agents) or must_give_way(seen, agents[0], agents)
        if not why and held > patience.SETTLED and not patience.is_old(waited, config.gather):
            why = no_room(seen, agents)
        if why:
            await self._withdraw(why, jittered(short))
            return
        hold = patience.longest_hold(waited - held, config.gather)
        if held > jittered(hold):
            why = f"not all members of its gang came together within {hold:.0f} s"
            await self._withdraw(why, jittered(patience.pause_after_hold(hold)))

    async def _withdraw(self, why: str, delay: float) -> None:
        """Give the member back, unless the gang is there after all."""
        try:
            event = await self._me.write(GiveBack(self._me.holder, why, Cause.GANG, delay))
        except ClaimLost:
            raise
        except Rejected:
            return
        self._say(f"given back: {why}")
        await self._me.settle(event)
        raise Withdrawn

    def _tell(self, missing: list[int]) -> None:
        preparing = [
            rank
            for rank, one in enumerate(self._members)
            if one.live and not has_gathered(one) and rank != self._rank
        ]
        parts = [
            f"{_ranks(missing)} to be taken by an agent" if missing else "",
            f"{_ranks(preparing)} to be set up" if preparing else "",
        ]
        words = " and for ".join(filter(None, parts))
        if words and words != self._waits_for:
            self._waits_for = words
            self._say(f"rank {self._rank} waits for {words}")

    async def _agents(self) -> list[AgentPresence]:
        """Those that are there; the first is this one."""
        presence = self._means.keeper.presence
        assert presence is not None
        return await self._patiently(lambda: all_agents(self._means.bus, lambda: presence(())))

    async def _patiently(self, act: Callable[[], Awaitable[T]]) -> T:
        while True:
            try:
                return await act()
            except BusAway as away:
                await self._means.bus.wait(away)


def _ranks(ranks: list[int]) -> str:
    word = "rank" if len(ranks) == 1 else "ranks"
    return f"{word} {', '.join(map(str, ranks))}"
