"""Agents that went without a word are noticed; nobody else is."""

from __future__ import annotations

from typing import Any

import pytest

from evq.core.bus.memory import MemoryBus, MemoryServer
from evq.core.events import AgentDown, AgentDraining, AgentLost, AgentUp, Envelope
from evq.core.fleet.presence import presence_key
from evq.core.ports import Entry
from evq.core.sdk.author import Author
from evq.core.sdk.neighbours import Neighbours
from evq.core.subjects import agent_events
from evq.core.wire import decode, encode
from evq.projector.fold import fold_lifecycle

LEASE = 10.0


class World:
    """A log of agents, those present, and two who look."""

    def __init__(self) -> None:
        self.seconds = 1000.0
        self.bus: Any = MemoryBus(MemoryServer(self.clock))
        # Both are called as one, so that each looks after the same next agent.
        self.lookers = [
            Neighbours(self.bus, Author(by), "me", LEASE, self.clock) for by in ("me", "us")
        ]

    def clock(self) -> float:
        return self.seconds

    async def tell(self, event: Any) -> None:
        envelope = Author(event.agent).envelope(event)
        entry = Entry(agent_events(event.agent), encode(envelope), envelope.id)
        await self.bus.log.append(entry)

    async def up(self, name: str, instance: str) -> None:
        await self.tell(
            AgentUp(
                agent=name, instance=instance, host="h", pid=1, queues=("q",), order="strict",
                slots=1, version="1", cpus=1, memory=1, platform="p", python="3",
            )
        )  # fmt: skip

    async def lives(self, name: str, instance: str) -> None:
        await self.bus.presence.put(presence_key(name, instance), b"{}", 1000.0)

    async def look(self, times: int = 2) -> list[str]:
        """The instances that are lost, after so many looks of everybody."""
        for _ in range(times):
            self.seconds += 3 * LEASE
            for looker in self.lookers:
                for stored in await self.bus.log.history(agent_events("*")):
                    looker.hear(stored)
            for looker in self.lookers:
                await looker.look()
        messages = [decode(one.data) for one in await self.bus.log.history(agent_events("*"))]
        events = [message.event for message in messages if isinstance(message, Envelope)]
        return [event.instance for event in events if isinstance(event, AgentLost)]


@pytest.fixture
def world() -> World:
    return World()


async def test_one_who_is_silent_for_two_looks_is_lost_and_that_is_said_once(world: World) -> None:
    await world.up("a", "a1")
    await world.up("b", "b1")
    await world.lives("b", "b1")
    assert await world.look(1) == []
    assert await world.look(1) == ["a1"]
    assert await world.look(3) == ["a1"]
    folded = fold_lifecycle(await world.bus.log.history(agent_events("*")), {}, {}, {}, 0)
    assert {name: row.state for name, row in folded.agents.items()} == {"a": "lost", "b": "up"}


async def test_of_several_one_after_the_other_is_lost(world: World) -> None:
    for name in ("a", "n", "z"):
        await world.up(name, f"{name}1")
    assert await world.look(2) == ["n1"]
    assert await world.look(2) == ["n1", "z1"]
    assert await world.look(2) == ["n1", "z1", "a1"]


async def test_a_projector_finds_them_all_when_nobody_is_left(world: World) -> None:
    world.lookers = [Neighbours(world.bus, Author("projector"), "", LEASE, world.clock)]
    for name in ("a", "n"):
        await world.up(name, f"{name}1")
    assert await world.look(4) == ["a1", "n1"]


async def test_one_who_ended_in_order_is_not_lost(world: World) -> None:
    await world.up("a", "a1")
    await world.tell(AgentDown("a", "a1", "told to stop"))
    assert await world.look(3) == []


async def test_one_who_was_killed_while_it_drained_is_lost(world: World) -> None:
    await world.up("a", "a1")
    await world.tell(AgentDraining("a", "a1", "told to stop"))
    assert await world.look() == ["a1"]


async def test_one_who_was_started_again_is_there(world: World) -> None:
    await world.up("a", "a1")
    assert await world.look(1) == []
    await world.up("a", "a2")
    await world.lives("a", "a2")
    assert await world.look(3) == []


async def test_one_who_speaks_at_the_last_moment_is_not_lost(world: World) -> None:
    await world.up("a", "a1")
    assert await world.look(1) == []
    world.lookers.pop()
    world.seconds += 3 * LEASE
    await world.up("a", "a2")  # the one who looks has not read this yet
    await world.lookers[0].look()
    assert await world.look(0) == []


async def test_after_an_outage_everybody_gets_time_to_come_back(world: World) -> None:
    await world.up("a", "a1")
    assert await world.look(1) == []
    await world.bus.cut()
    await world.bus.mend()
    world.seconds -= 2 * LEASE
    assert await world.look(1) == []
    assert await world.look(1) == []
    assert await world.look(1) == ["a1"]
