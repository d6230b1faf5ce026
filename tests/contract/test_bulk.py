"""Many tasks changed by one command: some at a time, and none in the way of another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from evq.core import subjects, wire
from evq.core.arrays.giving import load_turns
from evq.core.arrays.turns import Released
from evq.core.decide import Claim, Finish, Holder, Rejected
from evq.core.errors import NotFound
from evq.core.events import Envelope, Outcome, Requeued
from evq.core.handle import handle
from evq.core.ports import Entry, Stored
from evq.core.sdk import requeueing
from evq.core.sdk.author import Author
from evq.core.sdk.bulk import Done, change_each, end_each, retry_each
from evq.core.sdk.client import Client
from evq.core.spec import After, Command, Spec
from evq.core.state import Task

AUTHOR = Author("agent")
SPEC = Spec(entry=Command(("train",)), name="t", queue="q")


@pytest.fixture
def client(bus: Any) -> Client:
    return Client(bus)


async def abort_all(client: Client, tasks: Sequence[str]) -> list[Done]:
    return await end_each(client, tasks, lambda task: client.abort(task, "no more"))


async def states(client: Client, tasks: Sequence[str]) -> list[str]:
    return [(await client.get(task)).name_of_state for task in tasks]


async def ends(client: Client, task: str, outcome: Outcome = Outcome.COMPLETED) -> None:
    known = await client.get(task)
    claim = Claim("a", "i", 0, known.place.hint, 10.0, 0)
    known = (await handle(client.bus.log, AUTHOR, known, claim)).task
    assert known.live
    finish = Finish(Holder("i", known.live.number), outcome)
    await handle(client.bus.log, AUTHOR, known, finish)


async def released(client: Client) -> int:
    """How often somebody's turn came."""
    return _count(await client.bus.log.history("evq.t.>"), Released)


def _count(stored: Sequence[Stored], kind: type) -> int:
    """How many of these are events of a kind."""
    messages = [wire.decode(one.data) for one in stored]
    return sum(isinstance(one, Envelope) and isinstance(one.event, kind) for one in messages)


async def have_turns(client: Client, task: Task) -> tuple[int, ...]:
    assert task.spec.array
    return (await load_turns(client.bus.log, task.spec.array.id)).turns.have


async def test_no_end_lets_another_begin(client: Client) -> None:
    tasks = (await client.enqueue_array(SPEC, range(40), 3)).tasks
    for task in tasks[:3]:
        await ends(client, task, Outcome.FAILED)
    for task in tasks[:3]:
        await client.retry(task, "these wait again, before those that never ran")
    before = await released(client)
    done = await abort_all(client, tasks)
    assert [one.task for one in done] == list(tasks) and not any(one.error for one in done)
    assert await states(client, tasks) == ["aborted"] * 40
    assert await released(client) == before
    assert await have_turns(client, await client.get(tasks[0])) == ()


async def test_each_that_cannot_end_says_why_and_the_others_end(client: Client) -> None:
    tasks = [one.task for one in await client.enqueue_many([SPEC] * 4)]
    await client.abort(tasks[1], "before")
    done = await abort_all(client, [*tasks, "nosuchtask00"])
    assert [one.now is not None for one in done] == [True, False, True, True, False]
    assert isinstance(done[1].error, Rejected) and isinstance(done[4].error, NotFound)
    assert await states(client, tasks) == ["aborted"] * 4


async def test_ends_that_others_hear_of_and_gangs_are_among_them(client: Client) -> None:
    first = (await client.enqueue(SPEC)).task
    waits = Spec(entry=Command(("eval",)), name="e", queue="q", after=(After(first),))
    last = [(await client.enqueue(waits)).task for _ in range(3)]
    gang = (await client.enqueue(Spec(entry=Command(("g",)), name="g", queue="q", nodes=2))).task
    done = await abort_all(client, [first, gang, *last])
    assert [one.now.name_of_state if one.now else None for one in done] == ["aborted"] * 5
    again = await retry_each(client, [gang, last[0]], "after all")
    assert [one.now.name_of_state if one.now else None for one in again] == ["queued"] * 2


async def test_all_that_failed_is_put_back_in_its_order_and_within_its_limit(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requeueing, "BATCH", 4)
    alone = [one.task for one in await client.enqueue_many([SPEC] * 6)]
    array = (await client.enqueue_array(SPEC, range(6), 2)).tasks
    for task in (*alone, *array):
        await ends(client, task, Outcome.FAILED)
    done = await retry_each(client, [*alone, *array], "once more")
    assert not any(one.error for one in done)
    assert await states(client, alone) == ["queued"] * 6
    ranks = [(await client.get(task)).place.rank for task in alone]
    assert ranks == sorted(set(ranks))
    assert await states(client, array) == ["queued"] * 2 + ["held"] * 4
    for n, task in enumerate(array):
        assert await have_turns(client, await client.get(task)) == tuple(range(n, min(n + 2, 6)))
        await ends(client, task)


async def test_what_changed_meanwhile_is_looked_at_again_alone(client: Client) -> None:
    tasks = [one.task for one in await client.enqueue_many([SPEC] * 5)]
    for task in tasks:
        await client.abort(task, "no")
    known = [await client.get(task) for task in tasks]
    await client.tag(tasks[1], add=["later"])
    await client.retry(tasks[3], "somebody was faster")
    log, author = client.bus.log, client.author
    done = await requeueing.requeue_all(client.bus, author, known, "all of them")
    assert [isinstance(one, Task) for one in done] == [True, True, True, False, True]
    assert isinstance(done[3], Rejected) and "has not ended" in done[3].what
    for task in known:
        events = await log.history(subjects.lifecycle("q", task.id), task.seq)
        assert _count(events, Requeued) == 1


async def test_turns_that_cannot_be_read_keep_no_other_task_back(client: Client) -> None:
    alone = (await client.enqueue(SPEC)).task
    array = (await client.enqueue_array(SPEC, range(3), 1)).tasks
    await abort_all(client, [alone, *array])
    place = (await client.get(array[0])).spec.array
    assert place
    await client.bus.log.append(
        Entry(subjects.array_events(place.id), b"from a newer evq", "newer")
    )
    done = await retry_each(client, [array[0], alone, array[1]], "again")
    assert ["cannot be read" in str(one.error) for one in done] == [True, False, True]
    assert await states(client, [alone, array[0]]) == ["queued", "aborted"]


async def test_each_is_changed_though_one_is_refused(client: Client) -> None:
    tasks = [one.task for one in await client.enqueue_many([SPEC] * 3)]
    await client.abort(tasks[1], "no")
    done = await change_each(tasks, lambda task: client.archive(task, "old"))
    assert [one.now is not None for one in done] == [False, True, False]
