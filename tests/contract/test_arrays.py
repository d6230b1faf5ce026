"""Arrays: enqueued whole, told apart by an index, and no more at once than may be."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from evq.core.arrays.array import (
    Array,
    index_text,
    member_id,
    parse_array,
    parse_indexes,
    with_index,
)
from evq.core.arrays.giving import load_turns
from evq.core.arrays.members import member_spec
from evq.core.decide import Claim, Finish, Holder, Rejected
from evq.core.errors import NotFound, UsageError
from evq.core.events import Outcome
from evq.core.handle import handle
from evq.core.sdk import enqueueing
from evq.core.sdk.author import Author
from evq.core.sdk.client import Client
from evq.core.spec import After, Command, Script, Spec
from evq.core.state import Queued, Task

AUTHOR = Author("agent")
SPEC = Spec(entry=Command(("train", "--seed", "{index}")), name="t{index:03}", queue="q")


class Stage:
    """A client, and agents that are played by their events."""

    def __init__(self, bus: Any) -> None:
        self.bus = bus
        self.client = Client(bus)

    async def array(self, size: int, most: int | None = None, spec: Spec = SPEC) -> tuple[str, ...]:
        return (await self.client.enqueue_array(spec, range(size), most)).tasks

    async def states(self, tasks: tuple[str, ...]) -> list[str]:
        return [(await self.client.get(task)).name_of_state for task in tasks]

    async def claim(self, task: str) -> Task:
        known = await self.client.get(task)
        waited = known.state.failure if isinstance(known.state, Queued) else 0
        claim = Claim("a", "i", 0, known.place.hint, 10.0, waited)
        return (await handle(self.bus.log, AUTHOR, known, claim)).task

    async def ends(self, task: str, outcome: Outcome = Outcome.COMPLETED) -> Task:
        known = await self.claim(task)
        assert known.live
        finish = Finish(Holder("i", known.live.number), outcome)
        return (await handle(self.bus.log, AUTHOR, known, finish)).task

    async def at_large(self, tasks: tuple[str, ...]) -> int:
        """How many stand in the queue, or run."""
        states = await self.states(tasks)
        return sum(state in ("queued", "claimed", "running") for state in states)


@pytest.fixture
async def stage(bus: Any) -> Stage:
    return Stage(bus)


async def test_each_member_has_its_index(stage: Stage) -> None:
    receipt = await stage.client.enqueue_array(SPEC, range(5, 8))
    members = await stage.client.members(receipt.array)
    assert [one.id for one in members] == list(receipt.tasks)
    assert [one.spec.name for one in members] == ["t005", "t006", "t007"]
    assert [one.spec.entry for one in members] == [
        Command(("train", "--seed", str(index))) for index in (5, 6, 7)
    ]
    assert [one.name_of_state for one in members] == ["queued"] * 3
    assert [one.id for one in await stage.client.members(receipt.array, [6])] == [members[1].id]
    with pytest.raises(NotFound, match="no member 8"):
        await stage.client.members(receipt.array, [8])
    with pytest.raises(NotFound, match="no array"):
        await stage.client.members(members[0].id)


async def test_so_many_at_once_and_the_next_comes_with_an_end(stage: Stage) -> None:
    tasks = await stage.array(5, most=2)
    assert await stage.states(tasks) == ["queued", "queued", "held", "held", "held"]
    with pytest.raises(Rejected, match="waits"):
        await stage.claim(tasks[2])
    ended = await stage.ends(tasks[0])
    released = await stage.client.get(tasks[2])
    assert released.seq == ended.seq + 1, "in one batch with the end"
    assert await stage.states(tasks) == ["completed", "queued", "queued", "held", "held"]
    hints = await stage.bus.log.history(f"evq.q.q.5.c0.{tasks[2]}")
    assert released.place.rank == float(hints[-1].seq) and len(hints) == 2
    await stage.ends(tasks[2], Outcome.FAILED)
    await stage.client.abort(tasks[1], "enough")
    assert await stage.states(tasks) == ["completed", "aborted", "failed", "queued", "queued"]
    await stage.ends(tasks[3])
    await stage.ends(tasks[4])
    array = (await stage.client.get(tasks[0])).spec.array
    assert array and (await load_turns(stage.bus.log, array.id)).turns.have == ()


async def test_who_is_put_back_waits_for_a_turn(stage: Stage) -> None:
    tasks = await stage.array(4, most=2)
    await stage.ends(tasks[0], Outcome.FAILED)
    assert (await stage.client.retry(tasks[0], "again")).name_of_state == "held"
    with pytest.raises(Rejected):
        await stage.client.retry(tasks[0], "twice")
    await stage.ends(tasks[1], Outcome.FAILED)
    assert await stage.states(tasks) == ["queued", "failed", "queued", "held"]
    await stage.ends(tasks[0])
    await stage.ends(tasks[2])
    await stage.ends(tasks[3])
    again = await stage.client.retry(tasks[1], "there is room")
    assert again.name_of_state == "queued"
    await stage.ends(tasks[1])


async def test_who_was_aborted_while_it_was_held_is_passed_over(stage: Stage) -> None:
    tasks = await stage.array(5, most=1)
    for task in (tasks[1], tasks[3]):
        await stage.client.abort(task, "not this one")
    await stage.ends(tasks[0])
    assert await stage.states(tasks) == ["completed", "aborted", "queued", "aborted", "held"]
    assert (await stage.client.retry(tasks[1], "after all")).name_of_state == "held"
    await stage.ends(tasks[2])
    assert await stage.states(tasks) == ["completed", "queued", "completed", "aborted", "held"]


async def test_other_tasks_are_awaited_first(stage: Stage) -> None:
    first = (await stage.client.enqueue(SPEC)).task
    spec = Spec(entry=Command(("true",)), name="t", queue="q", after=(After(first),))
    tasks = await stage.array(3, 1, spec)
    assert await stage.states(tasks) == ["held"] * 3
    await stage.ends(first)
    assert await stage.states(tasks) == ["queued", "held", "held"]
    await stage.ends(tasks[0])
    assert await stage.states(tasks) == ["completed", "queued", "held"]


async def test_whose_dependency_failed_can_be_put_back(stage: Stage) -> None:
    first = (await stage.client.enqueue(SPEC)).task
    spec = Spec(entry=Command(("true",)), name="t", queue="q", after=(After(first),))
    tasks = await stage.array(3, 1, spec)
    await stage.ends(first, Outcome.FAILED)
    assert await stage.states(tasks) == ["aborted"] * 3
    for task in reversed(tasks):
        await stage.client.retry(task, "all the same")
    assert await stage.states(tasks) == ["held", "held", "queued"]
    await stage.ends(tasks[2])
    assert await stage.at_large(tasks) == 1


async def test_a_key_makes_one_array_and_completes_one_that_was_cut_off(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(enqueueing, "BATCH", 2)
    spec = Spec(entry=Command(("true",)), name="t", queue="q", key="nightly")
    real, left = enqueueing.Enqueuer.store, 2

    async def store(self: Any, *args: Any) -> int:
        nonlocal left
        left -= 1
        if left < 0:
            raise ConnectionError("killed")
        return await real(self, *args)

    monkeypatch.setattr(enqueueing.Enqueuer, "store", store)
    with pytest.raises(ConnectionError):
        await stage.array(7, 2, spec)
    left = 100
    receipt = await stage.client.enqueue_array(spec, range(7), 2)
    assert receipt.new
    assert await stage.states(receipt.tasks) == ["queued"] * 2 + ["held"] * 5
    again = await stage.client.enqueue_array(spec, range(7), 2)
    assert again == type(again)(receipt.array, receipt.tasks, False)


async def test_whatever_happens_no_more_have_their_turn_and_all_come(stage: Stage) -> None:
    chance = random.Random(5)
    tasks = await stage.array(12, most=3)
    retried = 0

    async def step(task: str) -> None:
        nonlocal retried
        known = await stage.client.get(task)
        try:
            match known.name_of_state:
                case "queued":
                    outcome = chance.choice([Outcome.COMPLETED, Outcome.FAILED])
                    await stage.ends(task, outcome)
                case "failed" | "aborted" if retried < 12:
                    retried += 1
                    await stage.client.retry(task, "again")
                case "held" if chance.random() < 0.1:
                    await stage.client.abort(task, "no")
        except Rejected:
            pass  # somebody was faster

    while await stage.at_large(tasks):
        assert await stage.at_large(tasks) <= 3
        await asyncio.gather(*(step(chance.choice(tasks)) for _ in range(3)))
    assert "held" not in await stage.states(tasks)


@pytest.mark.parametrize("text", ["", "5", "9-3", "0-9%0", "0-x", "0-100000", "0-9%", "-1-3"])
def test_what_is_no_array_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="no array"):
        parse_array(text)


def test_arrays_and_indexes_are_read_as_they_are_written() -> None:
    assert parse_array("3-7") == (range(3, 8), None)
    assert parse_array("0-99%8") == (range(100), 8)
    assert parse_indexes("3-5,9,4") == [3, 4, 5, 9]
    assert index_text([9, 3, 5, 4]) == "3-5,9"
    for text in ("", "a", "5-3", "1,,2"):
        with pytest.raises(UsageError):
            parse_indexes(text)


def test_only_the_index_stands_in_braces() -> None:
    assert (
        with_index("a{index}b{index:03} {x} {indexes} {{index}}", 7) == "a7b007 {x} {indexes} {7}"
    )
    spec = Spec(entry=Script("{index}.py", ("{index}",)), name="n", queue="q")
    assert member_spec(spec, Array("a", 4, 9)).entry == Script("{index}.py", ("4",))
    assert member_id("a" * 12, 0) != member_id("a" * 12, 1)


async def test_what_makes_no_array_is_refused(stage: Stage) -> None:
    for indexes, most in (
        (range(0), None),
        (range(0, 9, 2), None),
        (range(-1, 3), None),
        (range(3), 0),
    ):
        with pytest.raises(UsageError):
            await stage.client.enqueue_array(SPEC, indexes, most)
