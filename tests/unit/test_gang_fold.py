"""Gangs in the heart: several agents and clients with stale views on one log in memory.

`Cluster` sends them through all orders in which their words can reach the log, and holds after
each event what must be true of all members together.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from evq.core import decide, events, state, subjects, wire
from evq.core.bus.memory import MemoryBus, MemoryServer
from evq.core.decide import ClaimLost, Holder, Rejected
from evq.core.events import Cause, Envelope, Launch, Outcome
from evq.core.evolve import create, evolve
from evq.core.gangs.gang import concerns_all, decide_all, decisive, member_id, named_members
from evq.core.gangs.gather import GATHER, has_gathered
from evq.core.handle import absorb, handle, load, load_gang
from evq.core.ports import BusAway, Entry, WrongSequence
from evq.core.sdk.author import Author
from evq.core.sdk.client import Client
from evq.core.spec import Command, Spec
from evq.core.state import Ended, Queued, Task

NODES = 3


def spec(**more: Any) -> Spec:
    return Spec(**{"entry": Command(("true",)), "name": "t", "queue": "q", "nodes": NODES} | more)


class Shaky:
    """A log whose answers take their time: others may come between any two words. Some answers
    are lost, with or without what they were about."""

    def __init__(self, log: Any, dice: random.Random, losses: float) -> None:
        self._log = log
        self._dice = dice
        self._losses = losses

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    async def _pause(self) -> None:
        for _ in range(self._dice.randrange(4)):
            await asyncio.sleep(0)

    async def history(self, subject: str, after: int = 0) -> Any:
        await self._pause()
        return await self._log.history(subject, after)

    async def append(self, entry: Entry) -> int:
        await self._pause()
        if self._dice.random() < self._losses:
            if self._dice.random() < 0.5:
                await self._log.append(entry)
            raise BusAway("lost")
        return int(await self._log.append(entry))

    async def append_all(self, entries: Sequence[Entry]) -> int:
        await self._pause()
        if self._dice.random() < self._losses:
            if self._dice.random() < 0.5:
                await self._log.append_all(entries)
            raise BusAway("lost")
        return int(await self._log.append_all(entries))


class Cluster:
    """A gang and those who want something of it, all at once."""

    def __init__(self, seed: int, **more: Any) -> None:
        self.dice = random.Random(seed)
        self.bus = MemoryBus(MemoryServer())
        self.real = self.bus.log
        self.log: Any = Shaky(self.real, self.dice, losses=0.1)
        self.more = more
        self.gang: Task

    async def _again(self, away: BusAway) -> None:
        await asyncio.sleep(0)

    async def begin(self) -> None:
        receipt = await Client(self.bus).enqueue(spec(**self.more))  # type: ignore[arg-type]
        self.gang = await load(self.real, receipt.seq)

    async def members(self) -> list[Task]:
        return await load_gang(self.real, self.gang)

    async def do(self, task: Task, command: decide.Command, by: str) -> Any:
        """The task after the command; None if it was refused."""
        try:
            return (await handle(self.log, Author(by), task, command, self._again)).task
        except Rejected:
            return None

    async def agent(self, name: str, rank: int) -> None:
        """An agent that takes one member again and again, until the gang has ended."""
        for life in range(40):
            member = (await self.members())[rank]
            if isinstance(member.state, Ended) and await self.over():
                return
            if not isinstance(member.state, Queued):
                await asyncio.sleep(0)
                continue
            instance = f"{name}.{life}"
            waited, hint = member.state.failure, member.place.hint
            claim = decide.Claim(name, instance, 0, hint, 10.0, waited)
            task = await self.do(member, claim, name)
            if task:
                await self.attempt(task, Holder(instance, task.live.number), rank, name)

    async def attempt(self, task: Task, holder: Holder, rank: int, name: str) -> None:
        end = await self.until_end(task, holder, rank, name)
        if end and self.dice.random() < 0.85:
            await self.do(task, end, name)
            return
        # It was killed, or it is not its own any more; somebody else sees the lease run out.
        await self.do(task, decide.DeclareLost(holder.attempt, "silent"), "other")

    async def until_end(
        self, task: Task, holder: Holder, rank: int, name: str
    ) -> decide.Command | None:
        if self.dice.random() < 0.1:
            return decide.Finish(holder, Outcome.FAILED, None, Cause.ENVIRONMENT)
        await self.do(task, decide.BeginPhase(holder, GATHER), name)
        for _ in range(200):
            member = (await self.members())[rank]
            if member.live is None or member.live.number != holder.attempt:
                return None
            if member.abort or member.live.disband:
                return decide.Finish(holder, Outcome.FAILED, -15, Cause.GANG)
            if member.live.assembled:
                return await self.command(member, holder, name)
            if rank == 0 and all(map(has_gathered, await self.members())):
                await self.do(member, decide.Assemble("10.0.0.1", 29500), name)
            if self.dice.random() < 0.02:
                return decide.GiveBack(holder, "not all are there", Cause.GANG)
            await asyncio.sleep(0)
        return decide.GiveBack(holder, "the agent stops")

    async def command(self, task: Task, holder: Holder, name: str) -> decide.Command:
        await self.do(task, decide.Start(holder, Launch(1, 2, ("true",), name, "/")), name)
        for _ in range(self.dice.randrange(6)):
            await asyncio.sleep(0)
        outcome = self.dice.choice([Outcome.COMPLETED, Outcome.COMPLETED, Outcome.FAILED])
        cause = None if outcome is Outcome.COMPLETED else Cause.CODE
        return decide.Finish(holder, outcome, 0 if cause is None else 1, cause)

    async def over(self) -> bool:
        return all(isinstance(one.state, Ended) for one in await self.members())

    async def user(self) -> None:
        """Somebody who aborts, or wants it once more, when the dice say so."""
        for _ in range(self.dice.randrange(3)):
            for _ in range(self.dice.randrange(60)):
                await asyncio.sleep(0)
            task = self.dice.choice(await self.members())
            wish = self.dice.choice((decide.Abort("enough"), decide.Requeue("once more")))
            await self.do(task, wish, "ada")

    async def run(self) -> list[Task]:
        await self.begin()
        parts = [self.agent(f"w{rank}", rank) for rank in range(NODES)]
        await asyncio.gather(self.user(), *parts)
        return await self.members()


async def states_after_each_event(cluster: Cluster) -> list[list[Task]]:
    """What all members were after each event in the log."""
    tasks: dict[str, Task] = {}
    seen: list[list[Task]] = []
    for seq in range(1, await cluster.real.last_seq() + 1):
        stored = await cluster.real.get(seq)
        assert stored is not None
        message = wire.decode(stored.data)
        assert isinstance(message, Envelope)
        if isinstance(message.event, events.Enqueued):
            tasks[message.event.task] = create(seq, message.at, message.by, message.event)
        elif place := subjects.parse_lifecycle(stored.subject):
            tasks[place[1]] = absorb(tasks[place[1]], stored)
            seen.append([tasks[member_id(cluster.gang.id, rank)] for rank in range(NODES)])
    return seen


@pytest.mark.parametrize("seed", range(150))
async def test_whatever_happens_all_members_agree(seed: int) -> None:
    more = {"retries": seed % 3, "losses": seed % 4}
    cluster = Cluster(seed, **more)
    members = await cluster.run()
    # However it went, their budgets are one, and so is their end.
    assert len({(one.failures, one.losses) for one in members}) == 1
    assert members[0].failures <= more["retries"] and members[0].losses <= more["losses"]
    if all(isinstance(one.state, Ended) for one in members):
        own = [one for one in members if one.state.cause is not Cause.GANG]
        outcomes = {one.state.outcome for one in members} - {Outcome.COMPLETED}
        assert own and len(outcomes) <= 1, [one.state for one in members]
    history = await states_after_each_event(cluster)
    for together in history:
        runs = [one for one in together if one.live and one.live.launch]
        # Nobody runs but in a gang that was complete.
        assert all(one.live and one.live.assembled for one in runs)


async def test_members_start_in_one_batch() -> None:
    cluster = Cluster(0)
    await cluster.begin()
    for rank, member in enumerate(await cluster.members()):
        claim = decide.Claim(f"w{rank}", f"i{rank}", 0, member.place.hint, 10.0)
        task = await cluster.do(member, claim, "w")
        assert await cluster.do(task, decide.Assemble("h", 1), "w") is None, "not all are there"
        await cluster.do(task, decide.BeginPhase(Holder(f"i{rank}", 1), GATHER), "w")
    before = await cluster.real.last_seq()
    first = (await cluster.members())[0]
    assert await cluster.do(first, decide.Assemble("10.0.0.1", 29500), "w0")
    assert await cluster.real.last_seq() == before + NODES
    for member in await cluster.members():
        assert member.live and member.live.assembled
        assert member.live.phases[-1].detail == "10.0.0.1:29500"
        assert (
            await cluster.do(
                member,
                decide.GiveBack(Holder(member.live.instance, 1), "too late", Cause.GANG),
                "w",
            )
            is None
        )


def folded(*kinds: str, **more: Any) -> list[Task]:
    """Members in these states: queued, running, completed."""
    found = []
    for rank, (kind, (name, one)) in enumerate(
        zip(kinds, named_members(spec(**more), "g"), strict=True)
    ):
        task = create(rank + 1, 0, "ada", events.Enqueued(name, one))
        if kind == "queued":
            found.append(task)
            continue
        seen: list[events.Lifecycle] = [
            events.Claimed(attempt=1, agent="w", instance=f"i{rank}", slot=0, hint=1, lease=1.0),
            events.Phase(attempt=1, name=GATHER),
            events.Assembled(attempt=1, address="h", port=1),
            events.Started(attempt=1, pid=1, argv=("a",), host="h", folder="/"),
        ]
        if kind == "completed":
            seen.append(events.Finished(attempt=1, outcome=Outcome.COMPLETED, exit_code=0))
        for number, event in enumerate(seen, 10 * (rank + 1)):
            task = evolve(task, number, 0, "w", event)
        found.append(task)
    return found


def fails(rank: int) -> decide.Finish:
    return decide.Finish(Holder(f"i{rank}", 1), Outcome.FAILED, 3, Cause.CODE, "boom")


def test_a_failure_that_is_the_last_ends_all_but_who_has_completed() -> None:
    found = decide_all(folded("completed", "running", "running"), 1, fails(1))
    assert found.keys() == {1, 2}
    assert isinstance(found[1], events.Finished)
    assert found[2] == events.Disbanded(rank=1, evidence="rank 1 failed with exit status 3: boom")


def test_a_failure_with_a_retry_left_brings_back_who_has_completed() -> None:
    members = folded("completed", "running", "running", retries=1)
    found = decide_all(members, 1, fails(1))
    assert isinstance(found[1], events.Retry)
    for rank in (0, 2):
        told = found[rank]
        assert isinstance(told, events.Disbanded)
        assert (told.again, told.spent, told.delay) == (True, "retries", found[1].delay)


def test_who_completes_concerns_nobody() -> None:
    (member, *_) = members = folded("running", "running", "running")
    end = decide.Finish(Holder("i0", 1), Outcome.COMPLETED, 0)
    assert not concerns_all(member, decide.decide(member, end))
    assert decide_all(members, 0, end).keys() == {0}


def test_what_is_wanted_of_one_is_wanted_of_all_or_refused() -> None:
    with pytest.raises(Rejected):
        decide_all(folded("completed", "running", "completed"), 0, decide.Requeue("again"))
    found = decide_all(folded("completed", "completed", "completed"), 2, decide.Requeue("again"))
    assert found.keys() == {0, 1, 2}
    moved = decide_all(folded("queued", "queued", "queued"), 1, decide.Move("x", 5, None, ""))
    assert moved.keys() == {0, 1, 2}


def test_the_decisive_member() -> None:
    members = folded("completed", "running", "running")
    assert decisive(members) is members[1]
    ended = [
        state.Ended(1, Outcome.COMPLETED, 1, None, "", 0),
        state.Ended(1, Outcome.FAILED, 1, Cause.GANG, "", -15),
        state.Ended(1, Outcome.FAILED, 1, Cause.CODE, "", 3),
    ]
    members = [replace(one, state=end) for one, end in zip(members, ended, strict=True)]
    assert decisive(members) is members[2]


def test_ids_are_made_from_the_gang_s() -> None:
    ids = [member_id("k3f9k3f9k3f9", rank) for rank in range(50)]
    assert ids[0] == "k3f9k3f9k3f9" and len(set(ids)) == 50


async def test_a_zombie_of_a_gang_is_told_so() -> None:
    cluster = Cluster(1)
    await cluster.begin()
    with pytest.raises(ClaimLost):
        await handle(cluster.real, Author("w"), cluster.gang, fails(0))


async def test_a_gang_is_enqueued_once_or_refused() -> None:
    cluster = Cluster(2)
    await cluster.begin()
    stored = await cluster.real.get(cluster.gang.origin)
    assert stored is not None
    again = [Entry(stored.subject, stored.data, "other", expect=0)] * 2
    with pytest.raises(WrongSequence):
        await cluster.real.append_all(again)
