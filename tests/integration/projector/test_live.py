"""The live fleet on a real server, beside a real projector that may die."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from evq.core.bus.connect import connect
from evq.core.decide import Finish, Holder, Move
from evq.core.events import Outcome
from evq.core.fleet.presence import AgentPresence, encode_presence
from evq.core.fleet.resources import Offer
from evq.core.handle import handle
from evq.core.queueing.queues import QueuePaused, QueueResumed
from evq.core.sdk.client import Client
from evq.core.sdk.live import LiveFleet, live_fleet, live_task
from evq.core.sdk.live.loading import load_state
from evq.core.sdk.live.model import Model

PATIENCE = 30.0


async def caught_up(fleet: LiveFleet, client: Client) -> None:
    """Return when the fleet is where the log is now."""
    end, seen = await client.bus.log.last_seq(), 0
    async with asyncio.timeout(PATIENCE):
        while fleet.seq < end:
            seen = (await fleet.changed(seen, rest=0)).version


async def until_it_says(fleet: LiveFleet, condition: Callable[[], bool]) -> None:
    """Return when the condition holds, which is looked at with each change."""
    seen = 0
    async with asyncio.timeout(PATIENCE):
        while not condition():
            seen = (await fleet.changed(seen, rest=0)).version


async def shows_the_truth(fleet: LiveFleet, client: Client) -> None:
    """Each task that is shown is what the log makes of it, and the queues count them all."""
    for name, row in fleet.tasks.items():
        assert row == live_task(await client.get(name))
    for name, queue in fleet.queues.items():
        rows = [row for row in fleet.tasks.values() if row.queue == name]
        for state in ("held", "queued", "claimed", "running"):
            assert getattr(queue, state) == sum(row.state == state for row in rows), (name, state)
        line = sorted((row for row in rows if row.state == "queued"), key=lambda row: row.line_key)
        assert fleet.line(name, count=1000) == line
        assert queue.next_task == (line[0].id if line else None)
        assert queue.oldest == min((row.since for row in line), default=None)


async def test_the_state_comes_from_the_projector_and_goes_on_with_the_log(
    user: Any, projector: Any
) -> None:
    await projector.start()
    done = await user.live((await user.add()).task)
    waiting = (await user.add()).task
    async with live_fleet(user) as fleet:
        assert fleet.tasks[done.id].state == "completed"
        assert fleet.tasks[waiting].state == "queued"
        queue = fleet.queues["q"]
        assert (queue.queued, queue.completed, queue.next_task) == (1, 1, waiting)
        assert fleet.connected and fleet.projected == fleet.seq
        kinds = [event.kind for event in fleet.recent_events]
        assert kinds == ["enqueued", "finished", "started", "claimed", "enqueued"]
        seen = (await fleet.changed()).version

        await user.claim(waiting)
        await caught_up(fleet, user)
        changes = await fleet.changed(seen)
        assert changes.tasks == {waiting} and changes.queues == {"q"}
        assert fleet.tasks[waiting].state == "claimed"
        assert fleet.queues["q"].claimed == 1
        assert fleet.recent_events[0].text == "claimed by a, attempt 1"
        await shows_the_truth(fleet, user)


async def test_without_a_projector_the_log_is_enough(user: Any) -> None:
    done = await user.live((await user.add()).task)
    async with live_fleet(user) as fleet:
        await caught_up(fleet, user)
        assert fleet.projected is None
        assert fleet.tasks[done.id].state == "completed"
        assert fleet.queues["q"].completed == 1
        await shows_the_truth(fleet, user)


async def test_what_is_done_to_a_queue_shows(user: Any, projector: Any) -> None:
    await projector.start()
    tasks = [(await user.add()).task for _ in range(4)]
    async with live_fleet(user) as fleet:
        await user.put(tasks[3], Move("q", 5, rank=0.5, reason="first"))
        await user.change_queue(QueuePaused("q", "maintenance"))
        await user.limit_queue("q", 2, None, "two at once")
        await user.put(tasks[1], Move("other", 3, None, "there"))
        await caught_up(fleet, user)
        assert [task.id for task in fleet.line("q")] == [tasks[3], tasks[0], tasks[2]]
        assert [fleet.position(fleet.tasks[task]) for task in tasks] == [2, 1, 3, 1]
        queue = fleet.queues["q"]
        assert (queue.state, queue.reason, queue.queued) == ("paused", "maintenance", 3)
        assert queue.permits.most == 2
        assert fleet.queues["other"].queued == 1
        await user.change_queue(QueueResumed("q", "done"))
        await user.abort(tasks[0], "no longer wanted")
        await user.retry(tasks[0], "after all")
        await caught_up(fleet, user)
        assert fleet.queues["q"].state == "open"
        assert [task.id for task in fleet.line("q")] == [tasks[3], tasks[2], tasks[0]]
        await shows_the_truth(fleet, user)


async def test_agents_come_say_something_and_go(user: Any) -> None:
    me = AgentPresence(
        agent="a1",
        instance="i1",
        host="h",
        pid=7,
        queues=("q",),
        order="strict",
        slots=2,
        since=1,
        offer=Offer(slots=2),
        free=Offer(slots=2),
    )
    async with live_fleet(user) as fleet:
        await user.bus.presence.put("a1.i1", encode_presence(me), 60)
        await until_it_says(fleet, lambda: "a1" in fleet.agents)
        agent = fleet.agents["a1"]
        assert (agent.state, agent.slots, agent.there) == ("idle", 2, True)
        assert (fleet.queues["q"].agents, fleet.queues["q"].slots) == (("a1",), 2)
        await user.bus.presence.put("a1.i1", encode_presence(me), 1)
        await until_it_says(fleet, lambda: not fleet.agents["a1"].there)
        assert fleet.agents["a1"].state == "silent"
        assert fleet.queues["q"].agents == ()


async def test_only_as_many_ended_tasks_are_kept_as_wanted(user: Any, projector: Any) -> None:
    await projector.start()
    done = [(await user.live((await user.add()).task)).id for _ in range(5)]
    async with live_fleet(user, ended=3) as fleet:
        assert [task.id for task in fleet.ended] == done[:1:-1]
        again = await user.retry(done[0], "once more")
        assert fleet.seq < again.seq or again.id in fleet.tasks
        await caught_up(fleet, user)
        assert fleet.tasks[done[0]].state == "queued"
        assert (fleet.queues["q"].completed, fleet.queues["q"].queued) == (4, 1)
        await user.live(done[0])
        await caught_up(fleet, user)
        assert [task.id for task in fleet.ended] == [done[0], done[4], done[3]]
        assert fleet.queues["q"].completed == 5


async def meddle(user: Any, chance: random.Random, rounds: int) -> None:
    """Do to tasks all that users and agents do, in no order."""
    known: list[str] = []
    for _ in range(rounds):
        task = chance.choice(known) if known and chance.random() < 0.7 else None
        if task is None:
            known.append((await user.add()).task)
            continue
        was = await user.get(task)
        outcomes = (Outcome.COMPLETED, Outcome.FAILED, Outcome.TIMED_OUT)
        match was.name_of_state:
            case "queued" if chance.random() < 0.5:
                await user.live(task, chance.choice(outcomes))
            case "queued" if chance.random() < 0.3:
                await user.claim(task)
            case "queued" if chance.random() < 0.5:
                rank = chance.choice([None, chance.random()])
                queue = chance.choice(["q", "r"])
                await user.put(task, Move(queue, chance.randrange(3), rank, "chaos"))
            case "queued":
                await user.dequeue(task, "chaos")
            case "claimed" if was.abort:
                end = Finish(Holder("i", len(was.attempts)), Outcome.ABORTED)
                await handle(user.bus.log, user.author, was, end)
            case "claimed":
                await user.abort(task, "chaos")
            case _:
                await user.retry(task, "chaos")


@asynccontextmanager
async def other_client(login: Any) -> AsyncIterator[Client]:
    async with connect(login, "live", patience=PATIENCE) as bus:
        yield Client(bus)


async def test_a_killed_projector_is_told_of_and_not_missed(user: Any, projector: Any) -> None:
    await projector.start()
    chance = random.Random(1)
    await meddle(user, chance, 30)
    async with live_fleet(user) as fleet:
        projector.end(signal.SIGKILL)
        await until_it_says(fleet, lambda: fleet.projected is None)
        await meddle(user, chance, 30)
        await caught_up(fleet, user)
        assert fleet.connected and fleet.projected is None
        await shows_the_truth(fleet, user)
        await projector.start()
        await until_it_says(fleet, lambda: fleet.projected == fleet.seq)
        await shows_the_truth(fleet, user)


async def test_after_chaos_and_a_restarted_server_it_is_what_a_fresh_fold_is(
    own_nats_server: Any, own_user: Any, own_projector: Any
) -> None:
    """The fleet is on a connection of its own, loaded in the midst of it, and loses the server."""
    await own_projector.start()
    chance = random.Random(2)
    await meddle(own_user, chance, 60)
    async with other_client(own_nats_server.login) as client:
        meddling = asyncio.create_task(meddle(own_user, chance, 120))
        async with live_fleet(client) as fleet:
            begun = fleet.seq
            await meddling
            await caught_up(fleet, client)
            assert fleet.seq > begun
            own_nats_server.kill()
            await until_it_says(fleet, lambda: not fleet.connected)
            own_nats_server.start()
            await until_it_says(fleet, lambda: fleet.connected)
            async with other_client(own_nats_server.login) as writer:
                await meddle(type(own_user)(writer.bus), chance, 60)
                await caught_up(fleet, client)
            await shows_the_truth(fleet, client)

            await until_it_says(fleet, lambda: fleet.projected == fleet.seq)
            fresh = Model(await load_state(client, 1000, 500), 1000, 500)
            fresh_ended = list(reversed(fresh.ended))
            assert dict(fleet.tasks) == fresh.tasks
            assert [task.id for task in fleet.ended] == fresh_ended
            for name, queue in fleet.queues.items():
                other = fresh.queue(name, queue.agents, queue.slots)
                assert (queue.completed, queue.failed, queue.aborted, queue.timed_out) == (
                    (other.completed, other.failed, other.aborted, other.timed_out)
                ), name
            assert fleet.recent_events == list(reversed(fresh.events))[: len(fleet.recent_events)]
