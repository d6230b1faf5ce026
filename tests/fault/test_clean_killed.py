"""A cleaning whose controller is killed at named points: nothing is forgotten or gone too much."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from lab import ALL, EVERYTHING, NOTHING, Lab
from mortal_clean import POINTS
from projecting import Projector
from waiting import PATIENCE, until

from evq.core import wire
from evq.core.bus.connect import connect
from evq.core.events import Cleaned, Envelope
from evq.core.sdk.client import Client
from evq.services.clean.controller import open_journal
from evq.services.clean.facts import Defined, Fact, State

MORTAL = Path(__file__).with_name("mortal_clean.py")
TASKS = 5


async def run(login: Any, point: str, over: Callable[[], Any] | None = None) -> int:
    """Let a controller run until it dies at `point`, or without one until it is `over`."""
    environment = {**os.environ, "EVQ_LOGIN": msgspec.json.encode(login).decode()}
    environment |= {"EVQ_SERVER": login.server, "EVQ_TOKEN": login.token or ""}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(MORTAL), "nightly", point),
        env=environment,
        stdout=subprocess.DEVNULL,
    )
    try:
        if over:
            await until(over)
            process.send_signal(signal.SIGKILL)
        async with asyncio.timeout(PATIENCE):
            return await process.wait()
    finally:
        if process.returncode is None:
            process.kill()


@pytest.fixture
async def projector(own_nats_server: Any, tmp_path: Path) -> AsyncIterator[Projector]:
    """A projector that answers, and that does not outlive the test."""
    started = Projector(own_nats_server.login, tmp_path / "store", until)
    await started.start()
    yield started
    if started.process:
        started.end(signal.SIGKILL)


@pytest.mark.timeout(600)
async def test_killed_at_each_point_it_ends_as_if_undisturbed(
    own_nats_server: Any, projector: Projector, tmp_path: Path
) -> None:
    async with connect(own_nats_server.login, "test", patience=30) as bus:
        await bus.prepare()
        lab = Lab(Client(bus), tmp_path)
        journal = open_journal(lab.client, "nightly")
        definition: Fact = Defined(EVERYTHING, 1e6)
        await journal.decide(lambda _: (definition, "is defined"))
        living = [
            await lab.task(await lab.code("other"), b"other", project="other"),
            await lab.claim(await lab.enqueue(await lab.code("runs"))),
        ]

        async def over() -> State | None:
            await journal.catch_up()
            state = journal.state
            return state if state.runs and not state.running else None

        for number, point in enumerate(POINTS):
            tasks = [
                await lab.task(await lab.code(f"{number}-{n}"), f"{number}-{n}".encode())
                for n in range(TASKS)
            ]
            await until(lambda: is_known(lab, tasks[-1].id))  # noqa: B023
            await journal.decide(lambda _: (definition, "is defined again"))
            runs = journal.state.runs
            assert await run(own_nats_server.login, point) == -signal.SIGKILL, point

            async def next_over(runs: int = runs) -> State | None:
                state = await over()
                return state if state and state.runs == runs + 1 else None

            await run(own_nats_server.login, "", next_over)
            state = await next_over()
            assert state and state.last and state.last.tasks == TASKS, point
            for task in tasks:
                assert await lab.ends_with(task, NOTHING), (point, task.id)
                assert await removals(lab, task.id) == Counter(
                    logs=1, metrics=1, artifacts=1, code=1, notebooks=1
                )
        assert await lab.has(living[0]) == ALL
        assert (await lab.has(living[1]))["code"]
    assert projector.end(signal.SIGTERM) == 0
    assert await projector.run("--verify") == 0, projector.said


async def is_known(lab: Lab, task: str) -> bool:
    """Whether the projector has read what a task said; who asks it waits for events alone."""
    tables = ("logs", "metrics")
    return all([await lab.client.sql(f"FROM {table} WHERE task = '{task}'") for table in tables])


async def removals(lab: Lab, task: str) -> Counter[str]:
    """How often something went of a task, by the log."""
    stored = [wire.decode(one.data) for one in await lab.client.bus.log.history(f"evq.t.q.{task}")]
    events = [one.event for one in stored if isinstance(one, Envelope)]
    return Counter(what for event in events if isinstance(event, Cleaned) for what in event.what)
