"""What a user sees of evq as it was at a moment: a client that looks back, and changes nothing."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import NoReturn, cast

import msgspec
from msgspec.structs import replace

from ..bus.connect import Bus
from ..errors import Conflict, NotFound
from ..fleet.presence import AgentPresence, RunningTask
from ..fleet.resources import Device, Offer, parse_size
from ..past import ByClock, BySequence, Moment, When
from ..ports import Entry, Log, Stored
from ..questions import Named, Sql
from ..queueing.orders import Drains
from ..state import Task
from .client import Client


async def find_moment(log: Log, when: When) -> Moment:
    """The moment that is meant. Raises `NotFound` if the log has no such event."""
    match when:
        case ByClock(at):
            return Moment(await log.seq_at(at), at)
        case BySequence(seq):
            last = await log.last_seq()
            if not 0 < seq <= last:
                raise NotFound(
                    f"there is no event {seq} in the log",
                    why=f"its last event is {last}",
                    fix="evq events shows what happened, with the sequence of each event",
                )
            return Moment(seq, await log.stored_at(seq))


class Past(Client):
    """Reads as `Client` does, and finds what there was at the moment.

    Who was there is taken from the log, so that of agents only that is known which they have
    written there: neither labels nor what was free.
    """

    def __init__(self, client: Client, moment: Moment) -> None:
        super().__init__(cast(Bus, _PastBus(client.bus, moment)), client.author)
        self.moment = moment

    def parts(self, question: Named | Sql) -> AsyncGenerator[bytes, None]:
        """A projector's answer as it would have been."""
        return super().parts(replace(question, moment=self.moment))

    async def queue_names(self) -> set[str]:
        """None but those that the log knows of."""
        return set()

    async def get(self, task: str) -> Task:
        """The task with this whole id, as its events up to the moment made it."""
        try:
            return await super().get(task)
        except NotFound as error:
            raise NotFound(
                f"there was no task {task} then", why=f"the moment is event {self.moment.seq}"
            ) from error

    async def agents(self) -> list[AgentPresence]:
        """The agents that were there, as far as the log tells."""
        live: dict[str, list[_Live]] = {}
        async for row in self.rows(Named("live_attempts")):
            live.setdefault(row["agent"], []).append(msgspec.convert(row, _Live))
        return [
            _presence(msgspec.convert(row, _Recorded), live.get(row["agent"], []))
            async for row in self.rows(Named("recorded_agents"))
            if row["state"] not in ("down", "lost")
        ]


class _Live(msgspec.Struct, frozen=True):
    """An attempt that an agent had."""

    claim: int
    gpu_memory: int | None
    running: RunningTask


class _Recorded(msgspec.Struct, frozen=True):
    """An agent as it told of itself when it started, and what was asked of it since."""

    agent: str
    instance: str
    host: str
    pid: int
    queues: tuple[str, ...]
    queue_order: str
    slots: int
    state: str
    since: int
    cpus: int
    memory: int
    services: bool
    reason: str
    drains: str
    devices: tuple[Device, ...]


def _presence(agent: _Recorded, live: Sequence[_Live]) -> AgentPresence:
    devices = tuple(_device(device, live) for device in agent.devices)
    offer = Offer(agent.slots, agent.cpus, agent.memory, devices)
    free = offer
    for one in live:
        free = free.without(parse_size(one.running.size))
    return AgentPresence(
        agent=agent.agent,
        instance=agent.instance,
        host=agent.host,
        pid=agent.pid,
        queues=agent.queues,
        order=agent.queue_order,
        slots=agent.slots,
        claims=tuple(one.claim for one in live),
        draining=agent.state == "draining",
        since=agent.since,
        paused=agent.reason if agent.state == "paused" else "",
        offer=offer,
        free=free,
        running=tuple(one.running for one in live),
        drains=msgspec.json.decode(agent.drains, type=Drains),
        services=agent.services,
    )


def _device(device: Device, live: Sequence[_Live]) -> Device:
    users = [one for one in live if device.id in one.running.gpus]
    taken = sum(one.gpu_memory or device.memory for one in users)
    alone = any(one.gpu_memory is None for one in users)
    return replace(device, held=alone, free_memory=max(0, device.memory - taken))


class _PastBus:
    """The ports that are read from, with the log as it was."""

    def __init__(self, bus: Bus, moment: Moment) -> None:
        self.log: Log = _PastLog(bus.log, moment.seq)
        self.calls = bus.calls
        self.objects = bus.objects


class _PastLog:
    """A log up to a sequence; see `ports.Log`."""

    def __init__(self, log: Log, seq: int) -> None:
        self._log = log
        self._seq = seq

    async def append(self, entry: Entry) -> NoReturn:
        _refuse()

    async def append_all(self, entries: Sequence[Entry]) -> NoReturn:
        _refuse()

    async def get(self, seq: int) -> Stored | None:
        return await self._log.get(seq) if seq <= self._seq else None

    async def age(self, seq: int) -> float:
        return await self._log.age(seq)

    async def stored_at(self, seq: int) -> int:
        return await self._log.stored_at(seq)

    async def seq_at(self, at: int) -> int:
        return min(self._seq, await self._log.seq_at(at))

    async def first(self, subject: str) -> Stored | None:
        found = await self._log.first(subject)
        return found if found and found.seq <= self._seq else None

    async def last(self, subject: str, until: int | None = None) -> Stored | None:
        until = self._seq if until is None else min(until, self._seq)
        return await self._log.last(subject, until)

    async def history(self, subject: str, after: int = 0) -> list[Stored]:
        found = await self._log.history(subject, after)
        return [stored for stored in found if stored.seq <= self._seq]

    async def last_seq(self) -> int:
        return self._seq

    def follow(
        self, start: int, subjects: Sequence[str] = ()
    ) -> AbstractAsyncContextManager[AsyncIterator[list[Stored]]]:
        _refuse()


def _refuse() -> NoReturn:
    raise Conflict("the past cannot be changed or followed", fix="leave out --as-of")
