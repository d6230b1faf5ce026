"""The live fleet on a real server, beside a real projector that may die."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from evq.core.bus.connect import connect
from evq.core.decide import Move
from evq.core.events import Outcome
from evq.core.fleet.presence import AgentPresence, encode_presence
from evq.core.fleet.resources import Offer
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
