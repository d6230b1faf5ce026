"""From a hint to a claim, where a delay stands between; with clocks that the test turns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from evq.agent.attempts.claim import Claimer
from evq.agent.config import Config
from evq.core import state
from evq.core.bus.memory import MemoryBus, MemoryServer
from evq.core.decide import Finish, Holder
from evq.core.events import Cause, Outcome
from evq.core.handle import handle, load
from evq.core.ports import Entry
from evq.core.sdk.author import Author
from evq.core.sdk.client import Client
from evq.core.spec import Command, Spec
from evq.core.state import Task
from evq.core.subjects import Level

LEVEL = Level("q", 5)
FAILED = Finish(Holder("i", 1), Outcome.FAILED, 1, Cause.CODE)


class World:
    """A queue with one task, an agent, and the two clocks: the server's and the agent's own."""

    def __init__(self, folder: Path) -> None:
        self.server_seconds = 1000.0
        self.own_seconds = 0.0
        self.bus: Any = MemoryBus(MemoryServer(lambda: self.server_seconds))
        config = Config(name="a", queues=("q",), state=folder, cache=folder)
        self.claimer = Claimer(self.bus, Author("a"), config, "i", lambda: self.own_seconds)

    async def fail_once(self) -> Task:
        """A task whose first attempt failed, and whose hint was not put off for the delay."""
        spec = Spec(entry=Command(("false",)), name="t", queue="q", retries=1)
        receipt = await Client(self.bus).enqueue(spec)
        (delivery,) = await self.bus.hints.take(LEVEL, 1)
        task = await self.claimer.claim(delivery, 0)
        assert task
        waiting = (await handle(self.bus.log, Author("a"), task, FAILED)).task
        assert waiting.state == state.Queued(waiting.state.since, 1.0, waiting.seq)
        await delivery.later(0)
        assert waiting.origin == receipt.seq
        return waiting

    async def hint(self) -> Task | None:
        """What the agent makes of the hint that waits now."""
        (delivery,) = await self.bus.hints.take(LEVEL, 1)
        return await self.claimer.claim(delivery, 0)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def test_a_hint_that_comes_too_soon_is_put_off_for_the_rest(world: World) -> None:
    await world.fail_once()
    world.server_seconds += 0.4
    assert await world.hint() is None
    world.server_seconds += 0.59
    assert await world.bus.hints.take(LEVEL, 1) == []
    world.server_seconds += 0.02
    again = await world.hint()
    assert again and again.live and again.live.number == 2


async def test_a_hint_that_comes_in_time_is_claimed_at_once(world: World) -> None:
    await world.fail_once()
    world.server_seconds += 1.0
    assert await world.hint()


async def test_another_hint_that_knows_nothing_of_the_failure(world: World) -> None:
    """It was never delivered before, so its own spec is enough to try a claim; it is refused."""
    task = await world.fail_once()
    stored = await world.bus.log.get(task.origin)
    again = Entry(stored.subject, stored.data, "once-more")
    await world.bus.log.append(again)
    await (await world.bus.hints.take(LEVEL, 1))[0].done()
    (delivery,) = await world.bus.hints.take(LEVEL, 1)
    assert not delivery.redelivered and await world.claimer.claim(delivery, 0) is None
    assert await load(world.bus.log, task.origin) == task


async def test_a_servers_clock_that_was_turned_back_delays_no_longer_than_the_delay(
    world: World,
) -> None:
    task = await world.fail_once()
    assert await world.hint() is None
    world.server_seconds += 1.0
    (delivery,) = await world.bus.hints.take(LEVEL, 1)
    world.server_seconds -= 500.0
    world.own_seconds += 1.01
    again = await world.claimer.claim(delivery, 0)
    assert again and again.live and again.live.number == 2
    assert (await load(world.bus.log, task.origin)).live
