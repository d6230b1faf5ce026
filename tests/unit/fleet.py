"""Agents that take real queue messages and run nothing, in a time that passes by itself.

The takers, their lookouts, the queues and the log are the real ones (in memory); only what a
task does is a wait, and the loop's clock jumps to the next moment at which anything happens.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import msgspec

from evq.agent.config import Config
from evq.agent.gpus.ledger import Ledger
from evq.agent.gpus.pool import Pool
from evq.agent.gpus.port import NoGpus
from evq.agent.taking.room import Holding, Room
from evq.agent.taking.taker import Taker
from evq.core.bus.memory import MemoryBus, MemoryServer
from evq.core.fleet.presence import AgentPresence, RunningTask, encode_presence, presence_key
from evq.core.fleet.resources import Offer
from evq.core.handle import from_hint, load
from evq.core.ports import Delivery, Stored
from evq.core.sdk.author import Author
from evq.core.sdk.client import Client
from evq.core.spec import Command, Limits, Spec

T = TypeVar("T")

SPEAKS_EVERY = 0.25
"""Seconds between two words of an agent, and so the age of what others know of it."""


class JumpingLoop(asyncio.SelectorEventLoop):
    """A loop whose clock stands still while there is something to do, then jumps."""

    def __init__(self) -> None:
        super().__init__()
        self._moment = 0.0

    def time(self) -> float:
        return self._moment

    def _run_once(self) -> None:
        if not self._ready and self._scheduled:
            self._moment = max(self._moment, self._scheduled[0]._when)
        super()._run_once()  # type: ignore[misc]


def played(story: Coroutine[Any, Any, T]) -> T:
    """What the story gives, in no time."""
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        return runner.run(story)


async def later(seconds: float) -> None:
    """Let so much of a story's time pass."""
    await asyncio.sleep(seconds)


class Run(msgspec.Struct, frozen=True):
    """A task that began."""

    task: str
    name: str
    user: str
    queue: str
    agent: str
    cpus: float
    enqueued: float
    began: float


class Fleet:
    """A server in memory, its agents, and what they began in which order."""

    def __init__(self) -> None:
        self.server = MemoryServer(asyncio.get_running_loop().time)
        self.server.queues.ack_wait = float("inf")
        self.client = Client(MemoryBus(self.server))
        self.agents: list[Simulated] = []
        self.runs: list[Run] = []
        self.enqueued: dict[str, float] = {}
        self._ended = asyncio.Event()
        self._done = 0

    async def enqueue(
        self, seconds: float, queue: str = "a", cpus: float | None = None, **spec: Any
    ) -> str:
        """A task that runs so long, in the queue."""
        limits = Limits(cpus=cpus) if cpus else None
        wanted = {"entry": Command(("true",)), "name": "test", **spec}
        receipt = await self.client.enqueue(
            Spec(queue=queue, limits=limits, params={"seconds": str(seconds)}, **wanted)
        )
        self.enqueued[receipt.task] = asyncio.get_running_loop().time()
        return receipt.task

    def agent(self, *queues: str, cpus: float = 8, slots: int = 8, **config: Any) -> Simulated:
        """An agent that serves the queues."""
        name = f"agent-{len(self.agents)}"
        agent = Simulated(self, name, queues or ("a",), Offer(slots=slots, cpus=cpus), config)
        self.agents.append(agent)
        return agent

    async def until_done(self, count: int | None = None) -> list[Run]:
        """All runs, once so many tasks (by default all) have ended."""
        while self._done < (len(self.enqueued) if count is None else count):
            self._ended.clear()
            await self._ended.wait()
        return self.runs

    def ended(self) -> None:
        """A task has ended."""
        self._done += 1
        self._ended.set()

    async def stop(self) -> None:
        """End all agents."""
        await asyncio.gather(*(agent.stop() for agent in self.agents))


class Simulated:
    """An agent whose tasks only take time."""

    def __init__(
        self, fleet: Fleet, name: str, queues: tuple[str, ...], offer: Offer, config: dict[str, Any]
    ) -> None:
        self.name = name
        self._fleet = fleet
        self._queues = queues
        self._bus = MemoryBus(fleet.server)
        place = Path("/nowhere")
        self._config = Config(
            **{"name": name, "queues": queues, "state": place, "cache": place, **config}
        )
        pool = Pool(
            NoGpus(), (), Ledger(place), agent=name, instance=f"i-{name}", counts={}, foreign=0
        )
        self.room = Room(offer, pool)
        means: Any = SimpleNamespace(
            author=Author(name),
            bus=self._bus,
            config=self._config,
            instance=f"i-{name}",
            keeper=SimpleNamespace(fresh=True),
        )
        self.taker = Taker(means, self.room, asyncio.Event(), self._begin)
        self._running: dict[str, tuple[asyncio.Future[None], RunningTask]] = {}
        parts = (
            self.taker.run(),
            self.taker.watch_levels(),
            self.taker.watch_queues(),
            self.taker.lookout.run(),
            self._speak(),
        )
        self._parts = [asyncio.ensure_future(part) for part in parts]

    @property
    def presence(self) -> AgentPresence:
        return AgentPresence(
            agent=self.name,
            instance=f"i-{self.name}",
            host="host",
            pid=1,
            queues=self._queues,
            order="",
            slots=self.room.offer.slots,
            offer=self.room.offer,
            free=self.room.free,
            reserved=self.taker.lookout.reserved,
            passed=self.taker.lookout.passed,
            running=tuple(running for _, running in self._running.values()),
        )

    async def speak(self) -> None:
        """Say what is so now."""
        key = presence_key(self.name, f"i-{self.name}")
        await self._bus.presence.put(key, encode_presence(self.presence), 10)

    async def _speak(self) -> None:
        while True:
            await self.speak()
            await asyncio.sleep(SPEAKS_EVERY)

    def _begin(self, delivery: Delivery, holding: Holding) -> None:
        work = asyncio.ensure_future(self._work(delivery, holding))
        self._running[delivery.task] = (work, _running(delivery, holding))

    async def _work(self, delivery: Delivery, holding: Holding) -> None:
        loop, fleet = asyncio.get_running_loop(), self._fleet
        _, _, origin = from_hint(Stored(delivery.seq, "", delivery.data))
        task = await load(self._bus.log, origin)
        spec = task.spec
        self._running[task.id] = (
            self._running[task.id][0],
            msgspec.structs.replace(self._running[task.id][1], name=spec.name, user=spec.user),
        )
        fleet.runs.append(
            Run(
                task=task.id,
                name=spec.name,
                user=spec.user,
                queue=holding.level.queue,
                agent=self.name,
                cpus=holding.request.cpus or 0,
                enqueued=fleet.enqueued[task.id],
                began=loop.time(),
            )
        )
        await asyncio.sleep(float(spec.params["seconds"]))
        await delivery.done()
        del self._running[task.id]
        self.room.release(holding)
        await self.taker.freed(holding)
        fleet.ended()

    async def stop(self) -> None:
        self.taker.stop()
        works = [work for work, _ in self._running.values()]
        for part in (*self._parts, *works):
            part.cancel()
        await asyncio.gather(*self._parts, *works, return_exceptions=True)


def _running(delivery: Delivery, holding: Holding) -> RunningTask:
    return RunningTask(
        task=delivery.task,
        attempt=1,
        name="",
        user="",
        slot=holding.slot,
        since=0,
        queue=holding.level.queue,
    )
