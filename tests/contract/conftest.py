"""Every case of the contract runs in memory and on JetStream: `bus` is one, then the other."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from evq.core.bus import hints
from evq.core.bus.connect import Bus, connect
from evq.core.bus.memory import MemoryBus, MemoryServer

ACK_WAIT = 3.0
"""Seconds: long enough that nobody here is silent for so long who only was kept waiting."""

AnyBus = Bus | MemoryBus


class MemoryWorld:
    """A server in memory whose clock can be turned."""

    def __init__(self, ack_wait: float) -> None:
        self._ahead = 0.0
        self.server = MemoryServer(lambda: time.monotonic() + self._ahead)
        self.server.queues.ack_wait = ack_wait

    async def client(self) -> AnyBus:
        return MemoryBus(self.server)

    def pass_time(self, seconds: float) -> None:
        self._ahead += seconds
        self.server.look()


class JetStreamWorld:
    """A real server: its time passes by itself, and whoever waits for that uses `until`."""

    def __init__(self, login: Any, stack: AsyncExitStack) -> None:
        self._login = login
        self._stack = stack

    async def client(self) -> AnyBus:
        return await self._stack.enter_async_context(connect(self._login, "peer", patience=30))

    def pass_time(self, seconds: float) -> None:
        """Nothing can hurry it."""


World = MemoryWorld | JetStreamWorld


@pytest.fixture
async def jetstream_world(
    nats_server: Any, jetstream_bus: Bus, monkeypatch: pytest.MonkeyPatch, ack_wait: float
) -> AsyncIterator[JetStreamWorld]:
    monkeypatch.setattr(hints, "ACK_WAIT", ack_wait)
    async with AsyncExitStack() as stack:
        yield JetStreamWorld(nats_server.login, stack)


@pytest.fixture(params=["memory", "jetstream"])
def world(request: pytest.FixtureRequest, ack_wait: float) -> World:
    """A clean server of either kind. `client()` connects to it, `pass_time` hurries its leases."""
    if request.param == "memory":
        return MemoryWorld(ack_wait)
    return request.getfixturevalue("jetstream_world")


@pytest.fixture
def ack_wait() -> float:
    """Seconds of silence after which these worlds hand a queue message to others."""
    return ACK_WAIT


@pytest.fixture
async def bus(world: World) -> AnyBus:
    """A client."""
    return await world.client()


@pytest.fixture
async def peer(world: World) -> AnyBus:
    """Another client of the same server."""
    return await world.client()
