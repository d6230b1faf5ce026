"""A fleet at work on a store that has a history: its agents live, its tasks run, people enqueue.

What it writes are real messages of all kinds, at rates that are given; the tasks that the history
left running go on saying points and lines, and others come, run for a few seconds, and end.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import secrets
import time
from collections.abc import Callable, Iterator

import msgspec
from machines import CONFIG, Held, Machines
from voice import Voice

from evq.core import events, subjects, wire
from evq.core.bus.connect import Bus, Login
from evq.core.fleet.presence import AgentPresence, encode_presence, presence_key
from evq.core.ports import Entry
from evq.core.sdk.author import Author, now
from evq.core.sdk.client import Client
from evq.core.sdk.connect import open_client
from evq.core.spec import Command, Spec
from evq.projector.store import Database

TICK = 0.05
LEASE = 30.0
POINTS_AT_ONCE, LINES_AT_ONCE = 50, 20
TASK_SECONDS = 3.0

_RUNNING = """
SELECT a.task, t.queue, a.agent, a.attempt, a.claim, a.gpus
FROM _attempts a JOIN _tasks t USING (task) WHERE a.ended IS NULL ORDER BY a.claim"""


class Rates(msgspec.Struct, frozen=True):
    """What comes in a second."""

    tasks: float = 5.0
    points: float = 10_000.0
    lines: float = 1000.0


class Running(msgspec.Struct, frozen=True):
    """An attempt that goes on."""

    task: str
    queue: str
    agent: str
    attempt: int
    claim: int
    gpus: tuple[str, ...]


def read_running(database: Database) -> list[Running]:
    """The attempts that a history left running."""
    return [
        Running(task, queue, agent, attempt, claim, tuple(gpus))
        for task, queue, agent, attempt, claim, gpus in database.rows(_RUNNING)
    ]


class Fleet:
    """Says what agents, tasks and users say."""

    def __init__(self, client: Client, running: list[Running], machines: int, gpus: int) -> None:
        self._client = client
        self._bus: Bus = client.bus
        self._running = running
        self._machines = Machines(machines, gpus)
        self._voice = Voice(random.Random(11))
        self._number = 0
        self.sent = 0
        """Messages so far."""

    async def work(self, rates: Rates) -> None:
        """Say all of it, without end."""
        points, lines = itertools.cycle(self._running), itertools.cycle(self._running)
        machines = itertools.cycle(range(len(self._machines.names)))
        async with asyncio.TaskGroup() as group:
            for rate, say in (
                (rates.points / POINTS_AT_ONCE, lambda: self._metric(next(points))),
                (rates.lines / LINES_AT_ONCE, lambda: self._log(next(lines))),
                (len(self._machines.names) / CONFIG.report_every, lambda: self._look(machines)),
            ):
                group.create_task(self._keep_up(rate, say))
            group.create_task(self._be_there())
            await self._enqueue(rates.tasks, group)

    async def _keep_up(self, rate: float, say: Callable[[], tuple[str, bytes]]) -> None:
        """Say something `rate` times a second."""
        began, said = time.monotonic(), 0
        while True:
            while said < (time.monotonic() - began) * rate:
                await self._bus.client.publish(*say())
                said += 1
            self.sent += said
            await asyncio.sleep(TICK)

    def _metric(self, one: Running) -> tuple[str, bytes]:
        self._number += 1
        at = now()
        record = self._voice.points(
            one.attempt, one.claim, at, self._number * POINTS_AT_ONCE, POINTS_AT_ONCE
        )
        return subjects.telemetry(one.queue, one.task, one.agent), record

    def _log(self, one: Running) -> tuple[str, bytes]:
        self._number += 1
        record = self._voice.lines(
            one.attempt, one.claim, now(), self._number * LINES_AT_ONCE, LINES_AT_ONCE
        )
        return subjects.telemetry(one.queue, one.task, one.agent), record

    def _look(self, machines: Iterator[int]) -> tuple[str, bytes]:
        machine = next(machines)
        self._number += 1
        agent = self._machines.names[machine]
        places = {gpu: place for place, gpu in enumerate(self._machines.ids[machine])}
        held: list[Held | None] = [None] * len(places)
        for one in self._running:
            if one.agent == agent:
                for gpu in one.gpus:
                    held[places[gpu]] = Held(one.claim, one.task, one.attempt)
        sample = self._machines.sample(machine, self._number, now(), held)
        return subjects.samples(agent), wire.encode_sample(sample)

    async def _be_there(self) -> None:
        """Renew every agent's presence, one after the other."""
        claims: dict[str, list[int]] = {}
        for one in self._running:
            claims.setdefault(one.agent, []).append(one.claim)
        names = list(zip(self._machines.names, self._machines.instances, strict=True))
        while True:
            for name, instance in names:
                presence = AgentPresence(
                    agent=name,
                    instance=instance,
                    host=name,
                    pid=1,
                    queues=("default", "big"),
                    order="strict",
                    slots=8,
                    claims=tuple(claims.get(name, ())),
                )
                key = presence_key(name, instance)
                await self._bus.presence.put(key, encode_presence(presence), LEASE)
                await asyncio.sleep(LEASE / 3 / len(names))

    async def _enqueue(self, rate: float, group: asyncio.TaskGroup) -> None:
        for number in itertools.count():
            agent = number % len(self._machines.names)
            group.create_task(self._live(self._machines.names[agent], agent))
            await asyncio.sleep(1 / rate)

    async def _live(self, agent: str, machine: int) -> None:
        """One task, from its beginning to its end."""
        spec = Spec(entry=Command(("train",)), name="live", queue="default", user="ada", host="box")
        receipt = await self._client.enqueue(spec)
        author, own = Author(agent), subjects.lifecycle(spec.queue, receipt.task)
        last = 0

        async def tell(event: events.Lifecycle) -> int:
            envelope = author.envelope(event)
            entry = Entry(own, wire.encode(envelope), envelope.id, last)
            self.sent += 1
            return await self._bus.log.append(entry)

        claimed = events.Claimed(
            attempt=1,
            agent=agent,
            instance=self._machines.instances[machine],
            slot=99,
            hint=receipt.seq,
            lease=LEASE,
        )
        claim = last = await tell(claimed)
        last = await tell(events.Phase(attempt=1, name="source", seconds=0.1, cached=True))
        argv = ("train",)
        started = events.Started(attempt=1, pid=1, argv=argv, host=agent, folder="/evq")
        last = await tell(started)
        one = Running(receipt.task, spec.queue, agent, 1, claim, ())
        for say in (self._metric, self._log):
            subject, record = say(one)
            await self._bus.telemetry.publish(subject, record, secrets.token_hex(8))
        await asyncio.sleep(TASK_SECONDS)
        await tell(events.Finished(attempt=1, outcome=events.Outcome.COMPLETED, exit_code=0))


async def play(
    login: Login, running: list[Running], machines: int, gpus: int, rates: Rates
) -> None:
    """Play the fleet until cancelled."""
    async with open_client(login, "evq-bench") as client:
        await Fleet(client, running, machines, gpus).work(rates)
