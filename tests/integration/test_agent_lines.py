"""Queues in their users' hands, with real agents: moves, pauses and dequeues while they work."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import msgspec
import pytest

from evq.core.decide import Move, Rejected
from evq.core.events import Claimed, Finished
from evq.core.queueing.queues import QueuePaused, QueueResumed
from evq.core.spec import Command, Spec
from evq.core.state import Ended
from evq.core.subjects import LIFECYCLE_STREAM, Level, lifecycle

TASKS = 120


async def enqueue_many(queue: Any, count: int, **spec: Any) -> list[str]:
    wanted = [
        Spec(entry=Command(("true",)), name="many", queue=queue.name, manager="none", **spec)
        for _ in range(count)
    ]
    return [receipt.task for receipt in await queue.client.enqueue_many(wanted)]


async def rank_of(queue: Any, task: str) -> float:
    return float((await queue.client.get(task)).place.rank)


async def order_of(queue: Any, tasks: list[str]) -> list[str]:
    """The tasks in the order in which they were claimed, when all have ended."""
    await asyncio.gather(*(queue.event(task, Finished) for task in tasks))
    return [task for _, _, task in await queue.claims() if task in tasks]


@pytest.fixture
async def busy(queue: Any, gate: Any, start_agent: Any) -> Any:
    """The queue of an agent whose one slot is taken until the gate is opened.

    It has run tasks that were moved like those of the tests: of new lanes it hears in its own time.
    """
    await queue.client.change_queue(QueuePaused(queue.name, "until they are moved"))
    first, second = await enqueue_many(queue, 2)
    await queue.client.put(first, Move(queue.name, 5, 1.0, "to the front"))
    await queue.client.put(second, Move(queue.name, 8, None, "a higher priority"))
    queue.agent = start_agent([queue]).ready()
    await queue.client.change_queue(QueueResumed(queue.name, "now"))
    await order_of(queue, [first, second])
    await queue.enqueue("sh", "-c", gate.wait)
    await gate.reached()
    return queue


async def test_moved_tasks_run_in_their_order(busy: Any, gate: Any) -> None:
    client = busy.client
    a, b, c, d, e, f = await enqueue_many(busy, 6)
    between = (await rank_of(busy, b) + await rank_of(busy, c)) / 2
    await client.put(e, Move(busy.name, 5, await rank_of(busy, a) - 1, "to the front"))
    await client.put(d, Move(busy.name, 5, between, "before c"))
    await client.put(a, Move(busy.name, 5, None, "to the back"))
    await client.put(f, Move(busy.name, 8, None, "a higher priority"))
    gate.open()
    assert await order_of(busy, [a, b, c, d, e, f]) == [f, e, b, d, c, a]


async def test_a_task_that_is_moved_again_and_again_runs_once(busy: Any, gate: Any) -> None:
    moved, other = await enqueue_many(busy, 2)
    for number in range(30):
        rank = random.choice([None, float(number), -float(number)])
        await busy.client.put(moved, Move(busy.name, number % 10, rank, "undecided"))
    await busy.client.put(moved, Move(busy.name, 5, None, "to the back"))
    gate.open()
    assert await order_of(busy, [moved, other]) == [other, moved]
    assert len((await busy.client.get(moved)).attempts) == 1


async def test_a_task_goes_to_a_queue_that_was_never_used(
    queue: Any, other_queue: Any, start_agent: Any
) -> None:
    start_agent([other_queue]).ready()
    task = await queue.enqueue("sh", "-c", "echo $EVQ_QUEUE")
    await queue.client.put(task, Move(other_queue.name, 5, 1.0, "somebody serves it"))
    found = await queue.ended(task)
    assert found.name_of_state == "completed" and found.place.queue == other_queue.name
    assert await queue.lines(task, "o") == [other_queue.name]


async def test_a_requeued_task_runs_where_it_was_moved_to(
    queue: Any, other_queue: Any, start_agent: Any
) -> None:
    start_agent([other_queue]).ready()
    task = await queue.enqueue("true")
    await queue.client.put(task, Move(other_queue.name, 7, None, "there"))
    await queue.ended(task)
    await queue.client.retry(task, "again")
    assert (await queue.ended(task, 2)).place.priority == 7


async def test_nothing_is_taken_from_a_paused_queue(busy: Any, gate: Any, until: Any) -> None:
    await busy.client.change_queue(QueuePaused(busy.name, "maintenance"))
    await until(lambda: f"queue {busy.name} is paused" in busy.agent.said)
    task = await busy.enqueue("true")
    gate.open()
    # What ran goes on to its end; then the agent has a free slot, and the queue is not its.
    await asyncio.gather(*(busy.ended(claim[2]) for claim in await busy.claims()))
    waits = await busy.client.get(task)
    await busy.client.change_queue(QueueResumed(busy.name, "over"))
    claimed = await busy.event(task, Claimed)
    resumed = (await busy.client.queue(busy.name)).seq
    assert waits.name_of_state == "queued" and claimed
    assert (await busy.client.get(task)).attempts[0].claim > resumed


async def test_a_pause_holds_for_agents_that_come_later(
    queue: Any, other_queue: Any, start_agent: Any
) -> None:
    client = queue.client
    await client.change_queue(QueuePaused(queue.name, "not yet"))
    task = await queue.enqueue("true")
    start_agent([queue, other_queue]).ready()
    # Its other queue comes second: when it runs something there, it has passed the first one by.
    await other_queue.run("true")
    assert await queue.envelopes(task) == []
    await client.change_queue(QueueResumed(queue.name, "now"))
    assert (await queue.ended(task)).name_of_state == "completed"


async def test_an_idle_agent_leaves_a_paused_queue_alone(
    queue: Any, other_queue: Any, start_agent: Any, until: Any
) -> None:
    """Its pulls wait at the server from before the pause; what they are sent is handed back."""
    client = queue.client
    agent = start_agent([queue, other_queue]).ready()
    await queue.run("true")
    await client.change_queue(QueuePaused(queue.name, "enough"))
    await until(lambda: f"queue {queue.name} is paused" in agent.said)
    tasks = await enqueue_many(queue, 5)
    for _ in range(3):
        await other_queue.run("true")  # each time it has passed the paused queue by
    assert all([await queue.envelopes(task) == [] for task in tasks])
    await client.change_queue(QueueResumed(queue.name, "go on"))
    assert await order_of(queue, tasks) == tasks


async def test_moves_and_dequeues_while_several_agents_drain(
    queue: Any, other_queue: Any, start_agent: Any, until: Any
) -> None:
    """Whatever is moved where, and when: each task runs once, or never if it was dequeued."""
    chance, client = random.Random(20), queue.client
    tasks = await enqueue_many(queue, TASKS)
    for one in (queue, other_queue):
        await client.change_queue(QueuePaused(one.name, "until all are there"))
    for _ in range(3):
        start_agent([queue, other_queue], "--slots", "2", "--lease", "5").ready()
    dequeued: set[str] = set()
    refused = 0

    async def play(task: str) -> None:
        nonlocal refused
        for _ in range(3):
            name = chance.choice([queue.name, other_queue.name])
            rank = chance.choice([None, chance.uniform(-10, 10)])
            try:
                if chance.random() < 0.1:
                    await client.dequeue(task, "not this one")
                    dequeued.add(task)
                    return
                await client.put(task, Move(name, chance.randrange(10), rank, "chance"))
            except Rejected:
                refused += 1
                return

    async def play_all(tasks: list[str]) -> None:
        for start in range(0, len(tasks), 6):
            await asyncio.gather(*(play(task) for task in tasks[start : start + 6]))

    async def are_late() -> bool:
        history = await client.bus.log.history(lifecycle(queue.name, "*"))
        return any(stored.subject.endswith(tuple(late)) for stored in history)

    players = chance.sample(tasks, TASKS)
    early, late = players[: TASKS // 2], players[TASKS // 2 :]
    await play_all(early)
    assert dequeued and not refused
    for one in (queue, other_queue):
        await client.change_queue(QueueResumed(one.name, "now"))
    await until(are_late, "an agent has a task before it is moved")
    await play_all(late)
    await asyncio.gather(*(queue.event(task, Finished) for task in tasks if task not in dequeued))
    for task in tasks:
        found = await client.get(task)
        assert isinstance(found.state, Ended)
        assert len(found.attempts) == (0 if task in dequeued else 1), found
    assert refused

    async def used_up() -> bool:
        levels = [one for one in await client.bus.hints.levels() if one.queue in names]
        return all([await left_in(client, level) == 0 for level in levels])

    names = {queue.name, other_queue.name}
    await until(used_up, "no hint left")


async def left_in(client: Any, level: Level) -> int:
    """Hints of the level that nobody has used up."""
    api = client.bus.requests.api
    info = msgspec.json.decode(await api(f"CONSUMER.INFO.{LIFECYCLE_STREAM}.{level.consumer}"))
    return int(info["num_pending"] + info["num_ack_pending"])
