"""A projector process, and a user who writes what agents and tasks would write, and asks."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from projecting import Projector, caught_up

from evq.core import events, subjects, wire
from evq.core.bus.connect import Bus, connect
from evq.core.decide import Claim, Finish, Holder, Start
from evq.core.events import Launch, Outcome
from evq.core.handle import handle
from evq.core.questions import Named, Sql
from evq.core.sdk.author import now
from evq.core.sdk.client import Client
from evq.core.sdk.enqueueing import Receipt
from evq.core.spec import Command, Spec
from evq.core.state import Queued, Task

SPEC = Spec(entry=Command(("train",)), name="train", queue="q", user="ada", host="box")


@pytest.fixture
def projector(nats_server: Any, tmp_path: Path, until: Callable[..., Any]) -> Iterator[Projector]:
    made = Projector(nats_server.login, tmp_path / "store", until)
    yield made
    if made.process:
        assert made.end(signal.SIGTERM) == 0, made.said


class User(Client):
    """Enqueues, plays the agent, says what a task would say, and asks the projector."""

    async def add(self) -> Receipt:
        return await self.enqueue(SPEC)

    async def ask(self, question: str, /, **params: Any) -> list[dict[str, Any]]:
        """The rows of an answer that knows of all that was written before, on any machine."""
        await caught_up(self)
        return [row async for row in self.rows(Named(question, params))]

    async def sql(self, text: str, **limits: Any) -> list[list[Any]]:
        """Of a copy: all that was written before is in the first one, and in later ones soon."""
        await caught_up(self)
        return [list(row.values()) async for row in self.rows(Sql(text, **limits))]

    async def claim(self, task: str) -> Task:
        known = await self.get(task)
        waited = known.state.failure if isinstance(known.state, Queued) else 0
        claim = Claim("a", "i", slot=0, hint=known.place.hint, lease=30.0, waited=waited)
        return (await handle(self.bus.log, self.author, known, claim)).task

    async def live(self, task: str, outcome: Outcome = Outcome.COMPLETED) -> Task:
        """Bring a task to its end, as an agent does."""
        known = await self.claim(task)
        holder = Holder("i", len(known.attempts))
        start = Start(holder, Launch(now(), 1, ("train",), "h", "/f"))
        known = (await handle(self.bus.log, self.author, known, start)).task
        finish = Finish(holder, outcome, exit_code=0)
        return (await handle(self.bus.log, self.author, known, finish)).task

    async def points(self, task: Task, *values: float | str) -> None:
        """Say points of the metric `loss`, at the steps 0, 1, 2 and so on."""
        count = len(values)
        record = events.Metric(
            attempt=1,
            claim=task.attempts[0].claim,
            at=tuple(range(count)),
            name=("loss",) * count,
            step=tuple(range(count)),
            value=values,
        )
        await self.say(task, record)

    async def lines(self, task: Task, *text: str) -> None:
        """Say the first lines of the log."""
        count = len(text)
        claim = task.attempts[0].claim
        at, stream = (5,) * count, "o" * count
        record = events.Log(attempt=1, claim=claim, first=0, at=at, stream=stream, text=text)
        await self.say(task, record)

    async def say(self, task: Task, record: events.Telemetry) -> None:
        subject = subjects.telemetry("q", task.id, "a")
        data = wire.encode_telemetry(record)
        await self.bus.telemetry.publish(subject, data, os.urandom(8).hex())


@pytest.fixture
def user(bus: Bus) -> User:
    return User(bus)


@pytest.fixture
async def own_user(own_nats_server: Any) -> AsyncIterator[User]:
    """A user of the server that the test may kill."""
    async with connect(own_nats_server.login, "test", patience=30) as bus:
        await bus.prepare()
        yield User(bus)


@pytest.fixture
def own_projector(
    own_nats_server: Any, tmp_path: Path, until: Callable[..., Any]
) -> Iterator[Projector]:
    """A projector on the server that the test may kill."""
    made = Projector(own_nats_server.login, tmp_path / "store", until)
    yield made
    if made.process:
        assert made.end(signal.SIGTERM) == 0, made.said
