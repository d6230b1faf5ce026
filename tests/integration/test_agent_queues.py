"""What an agent takes next, and how much of it."""

import asyncio

import pytest

from evq.core.spec import Command, Spec

SLOTS = 3


async def enqueue_many(queue, count: int, **spec) -> list[str]:
    wanted = [
        Spec(entry=Command(("true",)), name="many", queue=queue.name, manager="none", **spec)
        for _ in range(count)
    ]
    return [receipt.task for receipt in await queue.client.enqueue_many(wanted)]


async def claims_after_one(queues, gate, start_agent, *options, priorities=(5,), enqueue):
    """The claims of an agent with one slot, of all that `enqueue` did while it was busy.

    It has run a task of each priority in each queue before: of new ones it hears in its own time.
    """
    start_agent(queues, *options).ready()
    known = [await queue.run("true", priority=p) for queue in queues for p in priorities]
    first = await queues[0].enqueue("sh", "-c", gate.wait)
    await gate.reached()
    tasks = await enqueue()
    gate.open()
    for queue in queues:
        await asyncio.gather(*(queue.ended(task) for name, task in tasks if name == queue.name))
    claims = sorted([claim for queue in queues for claim in await queue.claims()])
    assert [task for _, _, task in claims[: len(known) + 1]] == [*(one.id for one in known), first]
    return [(name, task) for _, name, task in claims[len(known) + 1 :]]


@pytest.mark.parametrize("order", ["strict", "round-robin"])
async def test_two_queues(queue, other_queue, gate, start_agent, order):
    wanted = []

    async def enqueue():
        # The second queue's come first: age must not decide.
        b = [(other_queue.name, task) for task in await enqueue_many(other_queue, 10)]
        a = [(queue.name, task) for task in await enqueue_many(queue, 10)]
        # The task that keeps the agent busy is the first queue's, so the turn is the second's.
        in_turn = [task for pair in zip(b, a, strict=True) for task in pair]
        wanted.extend(a + b if order == "strict" else in_turn)
        return wanted

    queues = [queue, other_queue]
    claims = await claims_after_one(queues, gate, start_agent, "--order", order, enqueue=enqueue)
    assert claims == wanted


async def test_an_empty_queue_gives_its_turn_away(queue, other_queue, gate, start_agent):
    async def enqueue():
        return [(queue.name, task) for task in await enqueue_many(queue, 5)]

    claims = await claims_after_one(
        [queue, other_queue], gate, start_agent, "--order", "round-robin", enqueue=enqueue
    )
    assert len(claims) == 5


async def test_priorities_inside_a_queue(queue, gate, start_agent):
    wanted = []

    async def enqueue():
        tasks = {p: await enqueue_many(queue, 2, priority=p) for p in (1, 9, 5, 0)}
        wanted.extend((queue.name, task) for p in (9, 5, 1, 0) for task in tasks[p])
        return wanted

    priorities = (0, 1, 5, 9)
    claims = await claims_after_one(
        [queue], gate, start_agent, priorities=priorities, enqueue=enqueue
    )
    assert claims == wanted


async def test_what_waits_at_the_start_comes_by_priority_too(queue, start_agent):
    # The first of all says that there is a higher priority: the agent may hear of them one by one.
    high = await enqueue_many(queue, 1, priority=8)
    low = await enqueue_many(queue, 2, priority=1)
    high += await enqueue_many(queue, 1, priority=8)
    start_agent([queue]).ready()
    await asyncio.gather(*(queue.ended(task) for task in low + high))
    assert [task for _, _, task in await queue.claims()] == high + low


async def test_a_queue_that_comes_into_being_later_is_seen_at_once(queue, other_queue, start_agent):
    # An idle agent looks around by itself only every 20 seconds.
    start_agent([queue, other_queue]).ready()
    async with asyncio.timeout(15):
        await queue.run("true")
        await other_queue.run("true", priority=3)
        await other_queue.run("true", priority=7)


async def test_no_more_runs_than_there_are_slots(queue, start_agent, tmp_path):
    file = tmp_path / "runs"
    code = f"echo + >> {file}; until [ $(grep -c + {file}) -ge {SLOTS} ]; do sleep 0.01; done"
    code += f"; sleep 0.02; echo - >> {file}"
    wanted = [
        Spec(entry=Command(("sh", "-c", code)), name="run", queue=queue.name, manager="none")
        for _ in range(24)
    ]
    receipts = await queue.client.enqueue_many(wanted)
    start_agent([queue], "--slots", str(SLOTS)).ready()
    await asyncio.gather(*(queue.ended(receipt.task) for receipt in receipts))
    running, most = 0, 0
    for sign in file.read_text().split():
        running += 1 if sign == "+" else -1
        most = max(most, running)
    assert (running, most) == (0, SLOTS)
    slots = {(await queue.client.get(receipt.task)).attempts[0].slot for receipt in receipts}
    assert slots == set(range(SLOTS))


async def test_all_slots_work_at_the_same_time(queue, start_agent, gates):
    start_agent([queue], "--slots", str(SLOTS)).ready()
    places = gates(SLOTS)
    tasks = [await queue.enqueue("sh", "-c", place.wait) for place in places]
    waits = await queue.enqueue("true")
    for place in places:
        await place.reached()
    assert await queue.envelopes(waits) == []
    places[1].open()
    await queue.ended(waits)
    for place in places[::2]:
        place.open()
    await asyncio.gather(*(queue.ended(task) for task in tasks))


async def test_an_idempotency_key(served, tmp_path):
    file = tmp_path / "runs"
    spec = Spec(
        entry=Command(("sh", "-c", f"echo x >> {file}")),
        name="once",
        queue=served.name,
        manager="none",
        key=f"key of {served.name}",
    )
    receipts = await asyncio.gather(*(served.client.enqueue(spec) for _ in range(4)))
    assert len({receipt.task for receipt in receipts}) == 1
    assert len({receipt.seq for receipt in receipts}) == 1
    assert any(receipt.new for receipt in receipts)
    await served.ended(receipts[0].task)
    assert not (await served.client.enqueue(spec)).new
    # Whatever else was in the queue has been taken when a task after it has ended.
    await served.run("true")
    assert file.read_text() == "x\n"
    hints = await served.client.bus.log.history(f"evq.q.*.*.*.{receipts[0].task}")
    assert len(hints) == 1


async def test_a_batch_is_taken_in_its_order(queue, start_agent):
    tasks = await enqueue_many(queue, 20)
    start_agent([queue]).ready()
    await asyncio.gather(*(queue.ended(task) for task in tasks))
    assert [task for _, _, task in await queue.claims()] == tasks
