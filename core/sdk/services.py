"""Services: controllers that run as ordinary tasks, are started again when they crash, and stopped.

A controller is `python -m evq.services.<kind> NAME` in the queue for services. Each start is a task
of its own under a key that follows from the kind, the name and the number of starts before it: so
two who start it at once have started one, and it can be started again once it has ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from .. import subjects, wire
from ..errors import Conflict, NotFound
from ..events import Enqueued, Envelope
from ..fleet.services import QUEUE
from ..ids import check_name, task_id_for_key
from ..spec import Code, Module, Spec
from ..state import Ended, Running, State, Task
from .author import host_name, user_name

if TYPE_CHECKING:
    from .client import Client

TAG = "service:"
"""Before the kind, in a controller's tags."""

MANY = 1_000_000
"""How often a controller that crashed, or whose agent was lost, is started again."""


class Service(msgspec.Struct, frozen=True):
    """A service, and the task of its last start."""

    kind: str
    name: str
    task: Task

    @property
    def runs(self) -> bool:
        """Whether it runs or is about to."""
        return not isinstance(self.task.state, Ended)


async def start_service(
    client: Client,
    kind: str,
    name: str,
    *,
    code: Code | None = None,
    params: Mapping[str, str] | None = None,
    secrets: Sequence[str] = (),
    queue: str = QUEUE,
) -> Service:
    """Let the controller of a service run, unless it does already.

    `code` is what it finds in its folder, if it runs code of its user's; `secrets` are names as in
    `Spec.secrets`. A controller that ends
    with an exit status of its own other than 0 is started again, after 1 s, 2 s, 4 s … up to a
    minute; so is one whose agent was lost. One that ends with 0 has ended.
    """
    check_name(name, "service")
    number, last = await _last(client, kind, name)
    if last and not isinstance(last.state, Ended):
        return Service(kind, name, last)
    spec = Spec(
        entry=Module(f"evq.services.{kind}", (name,)),
        name=f"{kind}/{name}",
        queue=queue,
        tags=(f"{TAG}{kind}",),
        code=code,
        manager="agent",
        params=dict(params or {}),
        secrets=tuple(secrets),
        client=True,
        retries=MANY,
        losses=MANY,
        keep=0.0,
        key=_key(kind, name, number + 1),
        user=user_name(),
        host=host_name(),
    )
    receipt = await client.enqueue(spec)
    return Service(kind, name, await client.get(receipt.task))


async def stop_service(client: Client, kind: str, name: str, reason: str) -> Service:
    """End a service's controller, which is sent SIGTERM; what it decided stays in its journal.

    Raises `NotFound` if there is none, `Conflict` if it has ended.
    """
    found = await service(client, kind, name)
    if not found.runs:
        raise Conflict(
            f"{kind} {name} does not run",
            why=f"its task {found.task.id} is {found.task.name_of_state}",
            fix=f"evq show {found.task.id}",
        )
    return Service(kind, name, await client.abort(found.task.id, reason))


async def service(client: Client, kind: str, name: str) -> Service:
    """A service by its name. Raises `NotFound` if it was never started."""
    _, last = await _last(client, kind, check_name(name, "service"))
    if last is None:
        raise NotFound(f"there is no {kind} {name}", why="it was never started", fix="evq ls")
    return Service(kind, name, last)


async def services(client: Client, kind: str) -> list[Service]:
    """All services of a kind that were ever started, by their names."""
    names = set[str]()
    for stored in await client.bus.log.history(f"evq.q.{QUEUE}.*.*.*"):
        told = wire.decode(stored.data)
        if isinstance(told, Envelope) and isinstance(told.event, Enqueued):
            spec = told.event.spec
            if f"{TAG}{kind}" in spec.tags and spec.key and isinstance(spec.entry, Module):
                names.add(spec.entry.args[0])
    return [await service(client, kind, name) for name in sorted(names)]


def _key(kind: str, name: str, number: int) -> str:
    return f"service-{kind}-{name}-{number}"


async def _last(client: Client, kind: str, name: str) -> tuple[int, Task | None]:
    """How often it was started, and the task of the last time."""
    number, last = 0, None
    while True:
        task = task_id_for_key(_key(kind, name, number + 1))
        if not await client.bus.log.first(subjects.any_hint(task)):
            return number, last
        number, last = number + 1, await client.get(task)


async def begun(client: Client, known: Service, patience: float = 10.0) -> Service:
    """A service when its controller runs, or has ended because its agent cannot run it; as it is
    after `patience` seconds, if neither comes."""
    try:
        async with asyncio.timeout(patience):
            return await _come_to(client, known, (Running, Ended))
    except TimeoutError:
        return Service(known.kind, known.name, await client.get(known.task.id))


async def ended(client: Client, known: Service, reason: str, patience: float = 10.0) -> Service:
    """A service that was told to end, when it has; who does not within `patience` seconds is
    stopped."""
    try:
        async with asyncio.timeout(patience):
            return await _come_to(client, known, (Ended,))
    except TimeoutError:
        await client.abort(known.task.id, reason)
        return await _come_to(client, known, (Ended,))


async def _come_to(client: Client, known: Service, states: tuple[type[State], ...]) -> Service:
    subject = subjects.lifecycle(known.task.spec.queue, known.task.id)
    async with client.bus.log.follow(max(1, known.task.seq), [subject]) as batches:
        async for _ in batches:
            task = await client.get(known.task.id)
            if isinstance(task.state, states):
                return Service(known.kind, known.name, task)
    raise AssertionError("following a stream has no end")
