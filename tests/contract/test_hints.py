"""The port `Hints`: levels, what waits on them, and who is handed what, when and how often."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from waiting import until

from evq.core.ports import Entry
from evq.core.subjects import Level, hint

LOW, HIGH = Level("a", 1), Level("a", 9)
OTHER = Level("b", 5)
LONG = 30.0
"""Seconds that no case waits for."""


@pytest.fixture
async def queues(bus: Any) -> Any:
    for level in (LOW, HIGH, OTHER):
        await bus.hints.ensure(level)
    return bus.hints


async def put(bus: Any, level: Level, *tasks: str) -> None:
    for task in tasks:
        await bus.log.append(Entry(hint(level, task), task.encode(), f"{level.key}-{task}"))


async def lay(bus: Any, level: Level, *tasks: str) -> None:
    """Put them where nobody waits. The server counts what it has stored a moment later, and until
    then it says that there is nothing."""
    before = await bus.hints.waiting(level)
    await put(bus, level, *tasks)

    async def counted() -> bool:
        return bool(await bus.hints.waiting(level) == before + len(tasks))

    await until(counted)


def names(deliveries: Any) -> list[str]:
    return [delivery.task for delivery in deliveries]


# --- levels -----------------------------------------------------------------------------------


async def test_levels_are_made_once(bus: Any, peer: Any) -> None:
    assert await bus.hints.levels() == []
    await asyncio.gather(*(client.hints.ensure(LOW) for client in (bus, peer, bus)))
    await peer.hints.ensure(OTHER)
    assert await bus.hints.levels() == [LOW, OTHER]


async def test_ensuring_a_level_again_hands_nothing_out_twice(bus: Any, queues: Any) -> None:
    await lay(bus, LOW, "t1")
    (first,) = await queues.take(LOW, 5)
    await first.done()
    await queues.ensure(LOW)
    assert await queues.take(LOW, 5) == []


async def test_watchers_learn_the_levels_of_their_queues(bus: Any, peer: Any) -> None:
    await bus.hints.ensure(LOW)
    await bus.hints.ensure(OTHER)
    async with peer.hints.watch(["a", "c"]) as levels:
        assert await anext(levels) == LOW
        coming = asyncio.ensure_future(anext(levels))
        await bus.hints.ensure(HIGH)
        assert await coming == HIGH
        await bus.hints.ensure(Level("c", 0, "gpu1"))
        assert await anext(levels) == Level("c", 0, "gpu1")


# --- take -------------------------------------------------------------------------------------


async def test_take_returns_what_waits_in_order_and_no_more(bus: Any, queues: Any) -> None:
    await lay(bus, LOW, "t1", "t2", "t3")
    await lay(bus, HIGH, "t4")
    assert await queues.take(OTHER, 5) == []
    first = await queues.take(LOW, 2)
    assert names(first) == ["t1", "t2"]
    assert [(d.level, d.seq, d.data, d.redelivered) for d in first] == [
        (LOW, 1, b"t1", False),
        (LOW, 2, b"t2", False),
    ]
    assert names(await queues.take(LOW, 5)) == ["t3"]
    assert names(await queues.take(HIGH, 5)) == ["t4"]


async def test_what_was_there_before_the_level_is_handed_out(bus: Any) -> None:
    await put(bus, LOW, "t1")
    await bus.hints.ensure(LOW)
    assert names(await bus.hints.take(LOW, 5)) == ["t1"]


async def test_agents_share_a_level(bus: Any, peer: Any, queues: Any) -> None:
    await lay(bus, LOW, *(f"t{number}" for number in range(20)))
    ours, theirs = await asyncio.gather(queues.take(LOW, 10), peer.hints.take(LOW, 10))
    assert sorted(names(ours) + names(theirs)) == sorted(f"t{number}" for number in range(20))


async def test_waiting_counts_what_nobody_was_given(bus: Any, queues: Any) -> None:
    async def counted(count: int) -> bool:
        return await queues.waiting(LOW) == count

    assert await queues.waiting(LOW) == 0
    await put(bus, LOW, "t1", "t2", "t3")
    # The server counts what it has stored a moment later.
    await until(lambda: counted(3))
    await queues.take(LOW, 2)
    await until(lambda: counted(1))


# --- done, later, working ---------------------------------------------------------------------


async def test_done_is_for_ever(
    world: Any, bus: Any, queues: Any, peer: Any, ack_wait: float
) -> None:
    await lay(bus, LOW, "t1", "t2")
    done, silent = await queues.take(LOW, 2)
    await done.done()
    world.pass_time(ack_wait * 3)
    again = await until(lambda: peer.hints.take(LOW, 5))
    assert [(d.task, d.redelivered) for d in again] == [("t2", True)]
    await silent.done()


async def test_silence_hands_it_to_others(
    world: Any, bus: Any, queues: Any, peer: Any, ack_wait: float
) -> None:
    await lay(bus, LOW, "t1")
    await queues.take(LOW, 1)
    assert await peer.hints.take(LOW, 1) == []
    coming = asyncio.ensure_future(peer.hints.take_first([LOW], LONG))
    world.pass_time(ack_wait * 1.5)
    again = await coming
    assert (again.task, again.seq, again.redelivered) == ("t1", 1, True)


async def test_later_hands_it_out_again(bus: Any, queues: Any, peer: Any) -> None:
    await lay(bus, LOW, "t1")
    (first,) = await queues.take(LOW, 1)
    began = time.monotonic()
    await first.later(0.1)
    again = await peer.hints.take_first([LOW], LONG)
    assert (again.task, again.redelivered) == ("t1", True)
    assert time.monotonic() - began >= 0.1


async def test_later_without_delay_is_now(bus: Any, queues: Any) -> None:
    await lay(bus, LOW, "t1")
    (first,) = await queues.take(LOW, 1)
    await first.later(0)
    assert names(await until(lambda: queues.take(LOW, 1))) == ["t1"]


async def test_working_keeps_it(
    world: Any, bus: Any, queues: Any, peer: Any, ack_wait: float
) -> None:
    """Of two that were taken together, the silent one goes to others and ours does not."""
    await lay(bus, LOW, "ours", "silent")
    ours, _ = await queues.take(LOW, 2)
    world.pass_time(ack_wait * 0.7)

    async def work_and_look() -> Any:
        await ours.working()
        return await peer.hints.take(LOW, 5)

    await ours.working()
    world.pass_time(ack_wait * 0.7)
    assert names(await until(work_and_look)) == ["silent"]


# --- take_first -------------------------------------------------------------------------------


async def test_take_first_wakes_for_what_comes(bus: Any, queues: Any, peer: Any) -> None:
    coming = asyncio.ensure_future(queues.take_first([LOW, HIGH, OTHER], LONG))
    await put(peer, HIGH, "t1")
    found = await coming
    assert (found.task, found.level, found.redelivered) == ("t1", HIGH, False)


async def test_take_first_finds_what_waits_already(bus: Any, queues: Any) -> None:
    await put(bus, OTHER, "t1")
    assert (await queues.take_first([LOW, OTHER], LONG)).task == "t1"


async def test_take_first_ends_with_its_time(queues: Any) -> None:
    assert await queues.take_first([LOW], 0.05) is None


async def test_take_first_on_no_level_waits_for_its_wake(queues: Any) -> None:
    assert await queues.take_first([], 0.05) is None


async def test_the_surplus_of_the_other_levels_is_not_lost(
    world: Any, bus: Any, queues: Any, peer: Any, ack_wait: float
) -> None:
    """One wins; what the server sent from other levels at the same time goes back to them."""
    await put(bus, LOW, "t1", "t2")
    await put(bus, HIGH, "t3")
    await put(bus, OTHER, "t4")
    found = []
    while len(found) < 4:
        delivery = await queues.take_first([LOW, HIGH, OTHER], LONG)
        assert delivery is not None
        await delivery.done()
        found.append(delivery.task)
    assert sorted(found) == ["t1", "t2", "t3", "t4"]
    world.pass_time(ack_wait * 2)
    for level in (LOW, HIGH, OTHER):
        assert await peer.hints.take(level, 5) == []


async def test_what_comes_after_take_first_gave_up_is_not_lost(
    bus: Any, queues: Any, peer: Any
) -> None:
    for number in range(20):
        coming = asyncio.ensure_future(queues.take_first([LOW], LONG))
        putting = asyncio.ensure_future(put(bus, LOW, f"t{number}"))
        await asyncio.sleep(0)
        await queues.wake()
        delivery = await coming or await peer.hints.take_first([LOW], LONG)
        assert delivery.task == f"t{number}"
        await delivery.done()
        await putting


async def test_wake_ends_a_take_first_that_waits(bus: Any, queues: Any) -> None:
    coming = asyncio.ensure_future(queues.take_first([LOW], LONG))
    await asyncio.sleep(0)
    await queues.wake()
    assert await coming is None


async def test_a_wake_is_not_kept_for_the_next(bus: Any, queues: Any) -> None:
    await queues.wake()
    coming = asyncio.ensure_future(queues.take_first([LOW], LONG))
    await put(bus, LOW, "t1")
    assert (await coming).task == "t1"


async def test_a_take_first_that_was_cancelled_loses_nothing(
    bus: Any, queues: Any, peer: Any
) -> None:
    coming = asyncio.ensure_future(queues.take_first([LOW], LONG))
    await asyncio.sleep(0)
    coming.cancel()
    await put(bus, LOW, "t1")
    assert (await peer.hints.take_first([LOW], LONG)).task == "t1"


# --- put back and withdraw --------------------------------------------------------------------


async def test_what_is_put_back_is_there_for_the_next_take(bus: Any, queues: Any) -> None:
    await lay(bus, LOW, "t1", "t2")
    (first,) = await queues.take(LOW, 1)
    queues.put_back(first)
    assert names(await queues.take(LOW, 1)) == ["t1"]
    assert names(await queues.take(LOW, 1)) == ["t2"]


async def test_what_is_put_back_is_there_for_others(bus: Any, queues: Any, peer: Any) -> None:
    await lay(bus, LOW, "t1")
    (first,) = await queues.take(LOW, 1)
    queues.put_back(first)
    assert (await peer.hints.take_first([LOW], LONG)).task == "t1"


async def test_what_was_asked_for_and_withdrawn_goes_to_others_at_once(
    bus: Any, queues: Any, peer: Any
) -> None:
    for number in range(5):
        idle = asyncio.ensure_future(queues.take_first([LOW, HIGH], LONG))
        await asyncio.sleep(0)
        await queues.wake()
        assert await idle is None
        await queues.withdraw(lambda level: level == HIGH)
        await put(bus, LOW, f"t{number}")
        found = await peer.hints.take_first([LOW], LONG)
        # Nobody had it in hand before.
        assert (found.task, found.redelivered) == (f"t{number}", False)
        await found.done()


async def test_what_is_wanted_still_is_not_withdrawn(bus: Any, queues: Any) -> None:
    idle = asyncio.ensure_future(queues.take_first([LOW, HIGH], LONG))
    await asyncio.sleep(0)
    await queues.withdraw(lambda level: level == HIGH)
    await put(bus, HIGH, "t1")
    assert (await idle).task == "t1"


async def _turns(count: int) -> None:
    """Let everybody else go on a little."""
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.mark.parametrize("ack_wait", [LONG])
async def test_nothing_is_lost_between_a_task_and_a_withdrawal(
    bus: Any, queues: Any, peer: Any, ack_wait: float
) -> None:
    """Whoever is sent it, somebody has it long before the server would hand it out again."""
    for number in range(60):
        idle = asyncio.ensure_future(queues.take_first([LOW], LONG))
        await _turns(1 + number % 3)
        await queues.wake()
        putting = asyncio.ensure_future(put(peer, LOW, f"t{number}"))
        await _turns(number % 7)
        await queues.withdraw(lambda _: False)
        delivery = await idle
        if delivery is None:
            async with asyncio.timeout(ack_wait * 0.8):
                delivery = await peer.hints.take_first([LOW], LONG)
        assert delivery.task == f"t{number}"
        await delivery.done()
        await putting


async def test_what_a_dead_agent_had_is_handed_out_again_at_once(
    bus: Any, peer: Any, queues: Any
) -> None:
    await lay(bus, LOW, "t1")
    (first,) = await queues.take(LOW, 1)
    assert await peer.hints.take(LOW, 1) == []
    await peer.hints.hand_back(first.token)
    again = await peer.hints.take_first([LOW], LONG)
    assert again.seq == first.seq and again.redelivered
