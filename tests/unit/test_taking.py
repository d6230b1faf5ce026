"""What agents take, in which order, and for whom they keep room: the real takers, played."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest
from fleet import Fleet, Simulated, later, played
from hypothesis import given, settings
from hypothesis import strategies as st

from evq.core.queueing.queues import QueuePaused

PATIENCE = 5.0


# --- oldest first ---------------------------------------------------------------------------------


def test_the_oldest_goes_first_whatever_class_it_is_of():
    async def story():
        fleet = Fleet()
        tasks = [await fleet.enqueue(1, cpus=cpus) for cpus in (4, None, 2, 1, 4, None, 2, 1)]
        fleet.agent(slots=1)
        runs = await fleet.until_done()
        await fleet.stop()
        assert [run.task for run in runs] == tasks

    played(story())


@given(st.lists(st.sampled_from([None, 1, 2, 4]), min_size=1, max_size=30), st.integers(1, 3))
@settings(max_examples=30)
def test_one_slot_takes_them_by_age_and_several_agents_take_each_once(classes, agents):
    async def story():
        fleet = Fleet()
        tasks = [await fleet.enqueue(1, cpus=cpus) for cpus in classes]
        for _ in range(agents):
            fleet.agent(slots=1)
        runs = await fleet.until_done()
        await fleet.stop()
        began = [run.task for run in runs]
        assert began == tasks if agents == 1 else sorted(began) == sorted(tasks)
        assert max(run.began for run in runs) == (len(tasks) - 1) // agents

    played(story())


def test_what_does_not_fit_is_left_to_others_and_blocks_nobody():
    async def story():
        fleet = Fleet()
        big = await fleet.enqueue(1, cpus=8)
        small = [await fleet.enqueue(1, cpus=1) for _ in range(6)]
        fleet.agent(cpus=2)
        runs = await fleet.until_done(6)
        assert {run.task for run in runs} == set(small)
        fleet.agent(cpus=8)
        runs = await fleet.until_done()
        await fleet.stop()
        assert (runs[-1].task, runs[-1].agent) == (big, "agent-1")

    played(story())


# --- nobody starves -------------------------------------------------------------------------------


async def _flood(fleet: Fleet, seconds: float, rate: float, chance: random.Random) -> None:
    """Small tasks that keep all agents busy, for so many seconds."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while loop.time() < end:
        await fleet.enqueue(chance.uniform(0.5, 1.5), cpus=1, name="small")
        await later(1 / rate)


async def _room_kept(
    fleet: Fleet, seconds: float, seed: int, slots: int = 16
) -> tuple[Simulated, str, asyncio.Future[None]]:
    """An agent that keeps room for a task as big as its machine, the task, and the small ones that
    go on to come for so many seconds."""
    agent = fleet.agent(cpus=8, slots=slots, patience=PATIENCE)
    flood = asyncio.ensure_future(_flood(fleet, seconds, 12, random.Random(seed)))
    await later(5)
    big = await fleet.enqueue(1, cpus=8, name="big")
    while not agent.taker.lookout.reserved:
        await later(0.05)
    return agent, big, flood


def test_without_patience_a_big_task_starves():
    """What the reservation is for: the same story with an agent that never loses its patience."""

    async def story(patience: float) -> float:
        fleet, chance = Fleet(), random.Random(1)
        fleet.agent(cpus=8, slots=16, patience=patience)
        flood = asyncio.ensure_future(_flood(fleet, 100, 12, chance))
        await later(10)
        big = await fleet.enqueue(1, cpus=8, name="big")
        await flood
        await fleet.until_done()
        await fleet.stop()
        (run,) = [run for run in fleet.runs if run.task == big]
        return run.began - run.enqueued

    assert played(story(10_000.0)) > 90
    # It is seen within a look, waits its patience out, and then for the longest small task.
    assert played(story(PATIENCE)) < PATIENCE * 1.2 + 1.5 + 0.1


@pytest.mark.parametrize("seed", range(5))
def test_a_fleet_keeps_room_on_one_agent_and_works_on_the_others(seed):
    async def story():
        fleet, chance = Fleet(), random.Random(seed)
        agents = [fleet.agent(cpus=8, slots=16, patience=PATIENCE) for _ in range(4)]
        flood = asyncio.ensure_future(_flood(fleet, 120, 40, chance))
        await later(10)
        for _ in range(3):
            await fleet.enqueue(2, cpus=8, name="big")
        most, idle = 0, 0.0
        while not flood.done():
            await later(0.1)
            reserving = [agent for agent in agents if agent.taker.lookout.reserved]
            most = max(most, len(reserving))
            if reserving:
                others = [agent for agent in agents if agent not in reserving]
                idle = max(idle, sum(agent.room.free.cpus for agent in others) / len(others))
        runs = await fleet.until_done()
        await fleet.stop()
        waits = [run.began - run.enqueued for run in runs if run.name == "big"]
        assert len(waits) == 3
        # One after the other: each is first in line, is seen, waits its patience, gets its room.
        bound = PATIENCE * 1.2 + 1.5 + 2 + 0.5
        assert max(waits) < 3 * bound
        assert most == 1
        assert idle < 3

    played(story())


def test_what_needs_nothing_of_the_reserved_room_goes_on():
    async def story():
        fleet = Fleet()
        agent, _, flood = await _room_kept(fleet, 30, 3, slots=32)
        free = [await fleet.enqueue(0.1, name="light") for _ in range(3)]
        begun = len(fleet.runs)
        await later(0.01)
        assert [run.task for run in fleet.runs[begun:]] == free
        assert agent.taker.lookout.reserved
        await flood
        await fleet.until_done()
        await fleet.stop()

    played(story())


def test_the_reservation_ends_with_its_task():
    async def story():
        fleet = Fleet()
        agent, big, flood = await _room_kept(fleet, 40, 4)
        assert big in agent.taker.lookout.reserved
        (passed,) = agent.taker.lookout.passed
        assert passed.task == big
        assert passed.times > 10
        assert passed.lacks[0].startswith("8 CPUs, has")
        await fleet.client.abort(big, "not wanted any more")
        await later(agent.taker.lookout.pause * 1.1)
        assert not agent.taker.lookout.reserved
        assert not agent.taker.lookout.passed
        assert not [name for name in await fleet.client.bus.presence.all() if "reser" in name]
        await flood
        await fleet.until_done(len(fleet.enqueued) - 1)
        await fleet.stop()

    played(story())


def test_a_reservation_that_ran_out_while_its_agent_was_silent_goes_on():
    async def story():
        fleet = Fleet()
        agent, big, flood = await _room_kept(fleet, 40, 4)
        presence = fleet.client.bus.presence
        (place,) = [name for name in await presence.all() if "reser" in name]
        await presence.remove(place)
        end = asyncio.get_running_loop().time() + agent.taker.lookout.pause * 1.1
        while big not in {run.task for run in fleet.runs}:
            assert agent.taker.lookout.reserved
            assert place in await presence.all() or asyncio.get_running_loop().time() < end
            await later(0.01)
        await flood
        await fleet.until_done()
        await fleet.stop()

    played(story())


@pytest.mark.parametrize("how", ["the agent pauses", "its queue is paused"])
def test_no_room_is_kept_for_what_cannot_be_taken(how):
    async def story():
        fleet = Fleet()
        agent, _, flood = await _room_kept(fleet, 25, 8)
        if how == "the agent pauses":
            agent.taker.paused = True
            await agent.taker.look_again()
        else:
            await fleet.client.change_queue(QueuePaused("a", "for a test"))
        await later(agent.taker.lookout.pause * 1.1)
        assert not agent.taker.lookout.reserved
        flood.cancel()
        await fleet.stop()

    played(story())


def test_a_more_urgent_task_goes_before_the_reservation():
    async def story():
        fleet = Fleet()
        agent, _, flood = await _room_kept(fleet, 30, 5)
        while agent.room.free.cpus < 1:
            await later(0.05)
        urgent = await fleet.enqueue(0.1, cpus=1, name="urgent", priority=9)
        await later(0.001)
        assert fleet.runs[-1].task == urgent
        assert agent.taker.lookout.reserved
        await flood
        await fleet.until_done()
        await fleet.stop()

    played(story())


# --- shares ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("order", "shares"),
    [
        ("strict", {"a": 300}),
        ("round-robin", {"a": 60, "b": 60, "c": 60, "d": 60, "e": 60}),
        ("weighted:a=5,b=4,c=3,d=2,e=1", {"a": 100, "b": 80, "c": 60, "d": 40, "e": 20}),
    ],
)
def test_three_agents_share_five_full_queues(order, shares):
    async def story():
        fleet, chance = Fleet(), random.Random(6)
        for queue in "abcde":
            for _ in range(310):
                await fleet.enqueue(chance.uniform(0.5, 1.5), queue=queue)
        for _ in range(3):
            fleet.agent(*"abcde", slots=2, order=order)
        await fleet.until_done(300)
        await fleet.stop()
        count = Counter(run.queue for run in fleet.runs[:300])
        # Each agent is exact up to one task of each queue.
        assert all(abs(count[queue] - shares.get(queue, 0)) <= 3 for queue in "abcde"), count

    played(story())


def test_a_fair_queue_is_shared_out_evenly_though_one_user_came_first_with_many():
    async def story():
        fleet, chance = Fleet(), random.Random(7)
        for user, count in (("ann", 300), ("bob", 100), ("cyd", 100)):
            for _ in range(count):
                await fleet.enqueue(chance.uniform(0.5, 1.5), user=user, fair=True)
        for _ in range(3):
            fleet.agent(slots=2)
        await fleet.until_done(200)
        await fleet.stop()
        count = Counter(run.user for run in fleet.runs[:200])
        assert max(count.values()) - min(count.values()) <= 12, count

    played(story())


def test_who_has_long_tasks_running_waits_in_a_fair_queue():
    """The share is of what runs: three slots of six for each, whatever the length of tasks."""

    async def story():
        fleet = Fleet()
        for _ in range(60):
            await fleet.enqueue(20, user="ann", fair=True)
            await fleet.enqueue(1, user="bob", fair=True)
        fleet.agent(slots=6)
        await later(15)
        running = Counter(run.user for run in fleet.runs if run.user == "ann" or run.began > 14)
        await fleet.stop()
        assert running["ann"] == 3

    played(story())
