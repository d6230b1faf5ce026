"""Limits on how many attempts of a queue are live: exact in the log, whoever claims and ends."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from evq.agent.attempts.claim import presence_key
from evq.agent.taking.limits import Limits
from evq.core import subjects, wire
from evq.core.decide import Abort, Claim, DeclareLost, Finish, GiveBack, Holder, NoPermit
from evq.core.errors import Conflict
from evq.core.events import Claimed, Envelope, Finished, Lost, Outcome, Retry
from evq.core.fleet.presence import AgentPresence, RunningTask, encode_presence
from evq.core.fleet.resources import Request, user_token
from evq.core.handle import handle, load_gang
from evq.core.ports import BusAway, Entry
from evq.core.sdk.author import Author
from evq.core.sdk.client import Client
from evq.core.spec import Command, Spec
from evq.core.state import Task
from evq.core.subjects import Level

AUTHOR = Author("a")
LEASE = 10.0


class Stage:
    """A client, and agents that are played by their events."""

    def __init__(self, bus: Any) -> None:
        self.bus = bus
        self.client = Client(bus)

    async def limit(self, most: int | None, per_user: int | None = None) -> None:
        await self.client.limit_queue("q", most, per_user, "a test")

    async def enqueue(self, count: int = 1, **more: Any) -> list[str]:
        spec = Spec(entry=Command(("true",)), name="t", queue="q", **more)
        return [one.task for one in await self.client.enqueue_many([spec] * count)]

    async def claim(self, task: str, instance: str = "i", permit: str = "q") -> Task:
        known = await self.client.get(task)
        claim = Claim("a", instance, 0, known.place.hint, LEASE, permit=permit)
        return (await handle(self.bus.log, AUTHOR, known, claim)).task

    async def does(self, task: str, command: Any) -> Task:
        known = await self.client.get(task)
        return (await handle(self.bus.log, AUTHOR, known, command)).task

    async def ends(self, task: str, outcome: Outcome = Outcome.COMPLETED) -> Task:
        live = (await self.client.get(task)).live
        assert live
        return await self.does(task, Finish(Holder(live.instance, live.number), outcome))

    async def held(self) -> list[str]:
        return [one.task for one in (await self.client.tally("q")).permits.held]

    async def most_live(self) -> int:
        """How many attempts were live at once, by the log alone."""
        live, most = 0, 0
        for stored in await self.bus.log.history("evq.t.>"):
            message = wire.decode(stored.data)
            assert isinstance(message, Envelope)
            live += isinstance(message.event, Claimed)
            live -= isinstance(message.event, Finished | Retry | Lost)
            most = max(most, live)
        return most


@pytest.fixture
async def stage(bus: Any) -> Stage:
    return Stage(bus)


async def test_no_more_are_live_than_there_are_permits(stage: Stage) -> None:
    await stage.limit(2)
    tasks = await stage.enqueue(4)
    await stage.claim(tasks[0])
    await stage.claim(tasks[1])
    with pytest.raises(NoPermit, match="2 of 2 of queue q run"):
        await stage.claim(tasks[2])
    await stage.ends(tasks[0])
    await stage.claim(tasks[2])
    assert await stage.held() == [tasks[1], tasks[2]]


@pytest.mark.parametrize(
    "end",
    [
        Finish(Holder("i", 1), Outcome.FAILED),
        GiveBack(Holder("i", 1), "it drains"),
        DeclareLost(1, "silent"),
    ],
)
async def test_every_end_of_an_attempt_returns_its_permit_in_the_same_batch(
    stage: Stage, end: Any
) -> None:
    await stage.limit(1)
    (task,) = await stage.enqueue(retries=1)
    claimed = await stage.claim(task)
    tally = await stage.client.tally("q")
    assert tally.seq == claimed.seq + 1
    ended = await stage.does(task, end)
    assert (await stage.client.tally("q")).seq == ended.seq + 1
    assert (ended.name_of_state, await stage.held()) == ("queued", [])


async def test_an_abort_of_what_runs_returns_it_with_the_end(stage: Stage) -> None:
    await stage.limit(1)
    (task,) = await stage.enqueue()
    await stage.claim(task)
    await stage.does(task, Abort("enough"))
    assert await stage.held() == [task]
    await stage.ends(task, Outcome.FAILED)
    assert await stage.held() == []


async def test_each_user_has_a_limit_of_their_own(stage: Stage) -> None:
    await stage.limit(3, per_user=1)
    anns, bobs = await stage.enqueue(2, user="ann"), await stage.enqueue(2, user="bob")
    await stage.claim(anns[0])
    with pytest.raises(NoPermit, match="1 of 1 of user ann in queue q run"):
        await stage.claim(anns[1])
    await stage.claim(bobs[0])
    assert (await stage.client.tally("q")).permits.full_users == {"ann", "bob"}


async def test_many_claims_at_once_get_as_many_as_there_are(stage: Stage, peer: Any) -> None:
    await stage.limit(3)
    tasks = await stage.enqueue(16)
    stages = [stage, Stage(peer)]
    answers = await asyncio.gather(
        *(stages[n % 2].claim(task) for n, task in enumerate(tasks)), return_exceptions=True
    )
    assert sum(isinstance(one, Task) for one in answers) == 3
    assert sum(isinstance(one, NoPermit) for one in answers) == 13
    assert await stage.most_live() == 3


async def test_a_lower_limit_lets_what_runs_go_on(stage: Stage) -> None:
    await stage.limit(3)
    tasks = await stage.enqueue(4)
    for task in tasks[:3]:
        await stage.claim(task)
    await stage.limit(1)
    for task in tasks[:2]:
        await stage.ends(task)
        with pytest.raises(NoPermit):
            await stage.claim(tasks[3])
    await stage.ends(tasks[2])
    await stage.claim(tasks[3])


async def test_nothing_runs_under_a_limit_of_none_at_all(stage: Stage) -> None:
    await stage.limit(0)
    (task,) = await stage.enqueue()
    with pytest.raises(NoPermit):
        await stage.claim(task)


async def test_a_limit_that_is_lifted_is_none(stage: Stage) -> None:
    await stage.limit(1)
    tasks = await stage.enqueue(2)
    await stage.claim(tasks[0])
    before, after = await stage.client.limit_queue("q", None, None, "no more")
    assert (before.most, after.limited) == (1, False)
    await stage.claim(tasks[1])
    await stage.ends(tasks[0])
    await stage.ends(tasks[1])
    assert await stage.held() == []


def presence(instance: str, *tasks: Task) -> bytes:
    """The word of an agent that runs these tasks."""
    return encode_presence(
        AgentPresence(
            agent="a",
            instance=instance,
            host="h",
            pid=1,
            queues=("q",),
            order="strict",
            slots=2,
            claims=tuple(task.live.claim for task in tasks if task.live),
            running=tuple(
                RunningTask(task=task.id, attempt=1, name="t", user="", slot=0, since=0, queue="q")
                for task in tasks
            ),
        )
    )


async def test_what_runs_when_the_limit_is_set_counts(stage: Stage) -> None:
    tasks = await stage.enqueue(3)
    running = [await stage.claim(task, permit="") for task in tasks[:2]]
    over = await stage.claim(tasks[2], permit="")
    await stage.ends(tasks[2])
    word = presence("i", *running, over)
    await stage.bus.presence.put(presence_key("a", "i"), word, 60)
    await stage.limit(2)
    assert await stage.held() == tasks[:2]
    (late,) = await stage.enqueue()
    with pytest.raises(NoPermit):
        await stage.claim(late)
    limits = Limits(stage.bus, AUTHOR, ["q"], LEASE, lambda: 0.0)
    await limits.look("q", "")
    await limits.ended(await stage.ends(tasks[0]))
    await stage.claim(late)
    assert await stage.held() == [tasks[1], late]


async def test_permits_of_a_silent_agent_are_returned_after_a_lease(stage: Stage) -> None:
    now = 1000.0
    await stage.limit(2)
    alive, dead = await stage.enqueue(2)
    living = await stage.claim(alive, "living")
    await stage.claim(dead, "dead")
    await stage.bus.presence.put(presence_key("a", "living"), presence("living", living), 60)
    stage.bus.since = 0.0
    limits = Limits(stage.bus, AUTHOR, ["q"], LEASE, lambda: now)
    await limits.look("q", "")
    for seconds in (0, LEASE / 2):
        now = 1000.0 + seconds
        await limits.look_after_holders()
        assert await stage.held() == [alive, dead]
    now = 1000.0 + LEASE
    await limits.look_after_holders()
    assert await stage.held() == [alive]
    assert (await stage.client.get(dead)).name_of_state == "queued"
    assert (await stage.client.get(alive)).name_of_state == "claimed"


async def test_after_a_restart_of_the_server_everybody_gets_a_lease(stage: Stage) -> None:
    now = 1000.0
    await stage.limit(1)
    (task,) = await stage.enqueue()
    await stage.claim(task, "dead")
    limits = Limits(stage.bus, AUTHOR, ["q"], LEASE, lambda: now)
    await limits.look("q", "")
    for seconds in (0, LEASE / 2, LEASE - 1):
        stage.bus.since = 1000.0
        now = 1000.0 + seconds
        await limits.look_after_holders()
    assert await stage.held() == [task]


async def test_one_who_names_the_claim_though_not_the_task_holds_it(stage: Stage) -> None:
    """As `evq exec` does."""
    now = 1000.0
    await stage.limit(1)
    (task,) = await stage.enqueue()
    claimed = await stage.claim(task, "exec")
    stage.bus.since = 0.0
    word = presence("exec", claimed)
    assert claimed.live
    plain = AgentPresence(
        agent="a", instance="exec", host="h", pid=1, queues=(), order="strict", slots=1,
        claims=(claimed.live.claim,),
    )  # fmt: skip
    assert word
    await stage.bus.presence.put(presence_key("a", "exec"), encode_presence(plain), 60)
    limits = Limits(stage.bus, AUTHOR, ["q"], LEASE, lambda: now)
    await limits.look("q", "")
    for seconds in (0, 2 * LEASE):
        now = 1000.0 + seconds
        await limits.look_after_holders()
    assert await stage.held() == [task]


async def test_a_level_is_open_as_long_as_there_is_a_permit_for_it(stage: Stage) -> None:
    limits = Limits(stage.bus, AUTHOR, ["q"], LEASE, lambda: 0.0)
    plain, anns = Level("q", 5), Level("q", 5, Request(user=user_token("ann")).size)
    assert limits.open(plain) and not limits.limited("q")
    await stage.limit(2, per_user=1)
    (task,) = await stage.enqueue(user="ann")
    await stage.claim(task)
    assert await limits.look("q", "ann")
    assert not await limits.look("q", "bob")
    assert limits.open(plain) and not limits.open(anns) and limits.limited("q")
    await stage.limit(1)
    assert not await limits.look("q", "ann")
    assert not limits.open(plain)
    assert limits.open(Level("another", 5))


async def test_whoever_waits_hears_of_a_permit(stage: Stage, peer: Any, until: Any) -> None:
    await stage.limit(1)
    (task,) = await stage.enqueue()
    await stage.claim(task)
    heard: list[bool] = []
    limits = Limits(peer, AUTHOR, ["q"], LEASE, lambda: 0.0)

    async def changed() -> None:
        heard.append(limits.open(Level("q", 5)))

    listening = asyncio.ensure_future(limits.run(changed))
    try:
        await limits.known.wait()
        assert not limits.open(Level("q", 5))
        await stage.ends(task)
        await until(lambda: heard == [True])
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


async def test_a_lost_answer_to_a_claim_takes_one_permit(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, append_all = stage.bus.log, stage.bus.log.append_all
    lost: list[int] = []

    async def losing(entries: list[Entry]) -> int:
        seq = await append_all(entries)
        if not lost:
            lost.append(seq)
            raise BusAway("the answer was lost")
        return int(seq)

    async def patience(_: BusAway) -> None:
        return

    await stage.limit(2)
    (task,) = await stage.enqueue()
    monkeypatch.setattr(log, "append_all", losing)
    known = await stage.client.get(task)
    claim = Claim("a", "i", 0, known.place.hint, LEASE, permit="q")
    written = await handle(log, AUTHOR, known, claim, patience)
    assert written.task.live and written.task.live.permit == "q"
    assert (len(lost), await stage.held()) == (1, [task])


async def test_what_cannot_be_read_lets_nobody_in(stage: Stage) -> None:
    (task,) = await stage.enqueue()
    data = b'{"id":"x","at":1,"by":"b","v":9,"event":{"kind":"permits","queue":"q"}}'
    await stage.bus.log.append(Entry(subjects.permits("q"), data, "x"))
    with pytest.raises(Conflict, match="cannot be read"):
        await stage.claim(task)
    limits = Limits(stage.bus, AUTHOR, ["q"], LEASE, lambda: 0.0)
    await limits.look("q", "")
    assert not limits.open(Level("q", 5))


async def test_an_end_stands_though_the_limit_cannot_be_read(stage: Stage) -> None:
    await stage.limit(1)
    (task,) = await stage.enqueue()
    await stage.claim(task)
    data = b'{"id":"x","at":1,"by":"b","v":9,"event":{"kind":"permits","queue":"q"}}'
    await stage.bus.log.append(Entry(subjects.permits("q"), data, "x"))
    assert (await stage.ends(task)).name_of_state == "completed"


async def test_each_member_of_a_gang_holds_a_permit(stage: Stage) -> None:
    await stage.limit(3)
    receipt = await stage.client.enqueue(
        Spec(entry=Command(("true",)), name="t", queue="q", nodes=3)
    )
    members = await load_gang(stage.bus.log, await stage.client.get(receipt.task))
    for number, member in enumerate(members):
        await stage.claim(member.id, f"i{number}")
    assert await stage.held() == [member.id for member in members]
    (late,) = await stage.enqueue()
    with pytest.raises(NoPermit):
        await stage.claim(late)
    for member in members:
        await stage.ends(member.id, Outcome.FAILED)
    assert await stage.held() == []
