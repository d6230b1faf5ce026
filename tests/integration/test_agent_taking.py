"""What real agents take: what fits them, in their order, and no more of a queue than may run."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from evq.core import wire
from evq.core.events import Claimed
from evq.core.queueing.queues import QueueRuled
from evq.core.spec import Command, Limits, Spec

TASKS = 60


def spec(queue, *argv, **more):
    return Spec(entry=Command(argv), name="t", queue=queue.name, manager="none", **more)


async def claims(queue):
    """(agent, task) of each claim in the queue, in order."""
    history = await queue.client.bus.log.history(f"evq.t.{queue.name}.*")
    events = [(stored, wire.decode(stored.data).event) for stored in history]
    return [
        (event.agent, stored.subject.rpartition(".")[2])
        for stored, event in sorted(events, key=lambda pair: pair[0].seq)
        if isinstance(event, Claimed)
    ]


@pytest.mark.parametrize("order", ["strict", "round-robin", "weighted"])
async def test_three_agents_share_five_queues(client, start_agent, queue, until, order):
    queues = [type(queue)(client, f"{queue.name}_{letter}") for letter in "abcde"]
    weights = dict(zip((one.name for one in queues), (5, 4, 3, 2, 1), strict=True))
    for one in queues:
        await client.enqueue_many([spec(one, "true")] * TASKS)
    before = await client.bus.log.last_seq()
    words = ",".join(f"{name}={weight}" for name, weight in weights.items())
    word = f"weighted:{words}" if order == "weighted" else order
    agents = [start_agent(queues, "--order", word) for _ in range(3)]
    names = {agent.ready().name for agent in agents}
    by_name = {one.name: one for one in queues}
    first = Counter()
    async with (
        asyncio.timeout(60),
        client.bus.log.follow(before, [f"evq.t.{n}.*" for n in by_name]) as new,
    ):
        async for batch in new:
            for stored in batch:
                event = getattr(wire.decode(stored.data), "event", None)
                if isinstance(event, Claimed) and sum(first.values()) < TASKS:
                    assert event.agent in names
                    first[stored.subject.split(".")[2]] += 1
            if sum(first.values()) == TASKS:
                break
    shares = {
        "strict": [TASKS, 0, 0, 0, 0],
        "round-robin": [TASKS / 5] * 5,
        "weighted": [TASKS * weight / 15 for weight in weights.values()],
    }[order]
    # Each agent keeps its own turns, and is at most one task of a queue away from them.
    for one, share in zip(queues, shares, strict=True):
        assert abs(first[one.name] - share) <= 3, first


async def test_what_does_not_fit_waits_for_an_agent_that_it_fits(queue, start_agent):
    small = start_agent([queue], "--cpus", "1", "--slots", "4").ready()
    wide = await queue.enqueue("true", limits=Limits(cpus=1.5))
    labelled = await queue.enqueue("true", needs={"disk": "ssd"})
    # What comes later is not held up.
    for _ in range(3):
        await queue.run("true", limits=Limits(cpus=0.5))
    assert wide not in {task for _, task in await claims(queue)}
    large = start_agent([queue], "--cpus", "2", "--label", "disk=ssd").ready()
    await queue.ended(wide)
    await queue.ended(labelled)
    holders = {task: agent for agent, task in await claims(queue)}
    assert holders[wide] == holders[labelled] == large.name != small.name


async def test_no_more_runs_than_fits(queue, start_agent, gates):
    start_agent([queue], "--cpus", "2", "--slots", "4").ready()
    places = gates(3)
    tasks = [await queue.enqueue("sh", "-c", place.wait, limits=Limits(cpus=1)) for place in places]
    await places[0].reached()
    await places[1].reached()
    light = await queue.run("true")
    assert light.past[0].end
    assert await queue.envelopes(tasks[2]) == []
    places[0].open()
    await places[2].reached()
    for place in places[1:]:
        place.open()
    await asyncio.gather(*(queue.ended(task) for task in tasks))


async def test_a_limit_is_kept_by_all_agents_together(queue, start_agent, tmp_path):
    await queue.client.limit_queue(queue.name, 2, None, "licences")
    file = tmp_path / "runs"
    code = f"echo + >> {file}; until [ $(grep -c + {file}) -ge 2 ]; do sleep 0.01; done"
    code += f"; sleep 0.02; echo - >> {file}"
    receipts = await queue.client.enqueue_many([spec(queue, "sh", "-c", code)] * 20)
    for _ in range(2):
        start_agent([queue], "--slots", "3").ready()
    await asyncio.gather(*(queue.ended(receipt.task) for receipt in receipts))
    running, most = 0, 0
    for sign in file.read_text().split():
        running += 1 if sign == "+" else -1
        most = max(most, running)
    assert (running, most) == (0, 2)
    assert (await queue.client.tally(queue.name)).permits.held == ()


async def test_a_fair_queue_has_each_user_in_a_lane(queue, start_agent, gate):
    await queue.client.change_queue(QueueRuled(queue.name, "we are many", fair=True))
    start_agent([queue]).ready()
    known = await queue.run("true", user="bob")  # of a new lane the agent hears in its own time
    first = await queue.enqueue("sh", "-c", gate.wait, user="ann")
    await gate.reached()
    ann = [await queue.enqueue("true", user="ann") for _ in range(4)]
    bob = [await queue.enqueue("true", user="bob") for _ in range(2)]
    gate.open()
    await asyncio.gather(*(queue.ended(task) for task in ann + bob))
    order = [task for _, task in await claims(queue)]
    # Whoever was served longest ago is next, though all of ann's are older than bob's.
    assert order == [known.id, first, bob[0], ann[0], bob[1], ann[1], ann[2], ann[3]]


async def test_a_task_that_was_passed_by_gets_its_room(queue, start_agent, gates, until):
    agent = start_agent([queue], "--cpus", "2", "--slots", "4", "--patience", "0.3").ready()
    one = Limits(cpus=1)
    places = gates(3)
    running = [await queue.enqueue("sh", "-c", place.wait, limits=one) for place in places[:2]]
    await places[0].reached()
    await places[1].reached()
    wide = await queue.enqueue("true", limits=Limits(cpus=2))
    running.append(await queue.enqueue("sh", "-c", places[2].wait, limits=one))
    places[0].open()
    # It goes past the wide one, for which there is no room.
    await places[2].reached()

    async def reserved():
        agents = await queue.client.agents()
        return any(wide in one.reserved for one in agents if one.agent == agent.name)

    await until(reserved)
    later = await queue.enqueue("true", limits=one)
    places[1].open()
    await queue.ended(running[1])
    # Half of the room is free now, and kept; who needs nothing of it begins.
    await queue.run("true")
    assert {task for _, task in await claims(queue)}.isdisjoint({wide, later})
    places[2].open()
    await asyncio.gather(*(queue.ended(task) for task in (*running, wide, later)))
    order = [task for _, task in await claims(queue)]
    assert order.index(wide) < order.index(later)
    assert f"keeps room for task {wide} of queue {queue.name}" in agent.said
