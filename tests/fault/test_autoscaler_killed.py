"""From no machine to several and back under a burst, with a controller that dies ten times."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest
from cloud import Cloud
from engine import WITH_PYTHON, missing
from engine import client as docker_client
from mortal_autoscaler import POINTS
from msgspec.structs import replace
from waiting import PATIENCE, until

from evq.core.bus.connect import connect
from evq.core.events import Outcome
from evq.core.sdk.client import Client
from evq.core.sdk.journal import Journal
from evq.core.spec import Command, Spec
from evq.core.state import Ended, Running
from evq.services.autoscaler.definition import Definition, Kind
from evq.services.autoscaler.drivers.local import MACHINE
from evq.services.autoscaler.facts import Defined, Fact, Stage, State, Stopped, Wanted
from evq.services.autoscaler.journal import autoscaler_journal

ROOT = Path(__file__).parents[2]
MORTAL = Path(__file__).with_name("mortal_autoscaler.py")
MOST = 5
LOOK_SECONDS = 0.1


class Place:
    """Where machines come from, and what a test can see there."""

    def __init__(self, kind: Kind, variables: dict[str, str]) -> None:
        self.kind = kind
        self.variables = variables

    def machines(self) -> set[str]:
        """The names of the machines that are there."""
        raise NotImplementedError


class Processes(Place):
    """Agents as processes."""

    def machines(self) -> set[str]:
        found = set()
        for process in psutil.process_iter():
            try:
                environment = process.environ()
                if process.status() != psutil.STATUS_ZOMBIE and MACHINE in environment:
                    found.add(environment[MACHINE])
            except psutil.Error:
                continue
        return found


class Containers(Place):
    """Agents in containers."""

    def machines(self) -> set[str]:
        found = docker_client().containers.list(
            all=True, filters={"label": "evq.autoscaler=burst"}, ignore_removed=True
        )
        return {str(one.name) for one in found}


class Instances(Place):
    """Agents on instances of EC2, in moto's books."""

    cloud: Cloud

    def machines(self) -> set[str]:
        return set(self.cloud.running().values())


@pytest.fixture(params=["local", "docker", "aws"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Each place that machines come from."""
    common: dict[str, Any] = {"queues": ("burst",), "most": MOST, "cost": 1.0}
    match request.param:
        case "local":
            yield Processes(
                Kind(driver="local", place={"folder": str(tmp_path / "m")}, **common), {}
            )
        case "docker":
            if reason := missing():
                pytest.skip(reason)
            house = {str(Path(one).resolve()) for one in (sys.prefix, sys.base_prefix, ROOT)}
            words = {
                "image": WITH_PYTHON,
                "evq": [sys.executable, "-m", "evq.cli.main"],
                "volumes": [f"{one}:{one}:ro" for one in sorted(house)],
                "environment": {"EVQ_STATE_DIR": "/tmp/state", "HOME": "/tmp"},
            }
            yield Containers(Kind(driver="docker", place=words, **common), {})
        case "aws":
            cloud = Cloud(tmp_path / "cloud")
            words = {"region": "us-east-1", "image": cloud.image, "type": "g5.xlarge"}
            made = Instances(Kind(driver="aws", place=words, **common), cloud.variables)
            made.cloud = cloud
            yield made
            cloud.close()


class Play:
    """The autoscaler `burst` on a server of its own, whose controller is a process."""

    def __init__(self, client: Client, place: Place, variables: dict[str, str]) -> None:
        self.client = client
        self.place = place
        self._variables = variables
        self.words: list[str] = []
        self.most = 0

    async def journal(self) -> Journal[State, Fact]:
        journal = autoscaler_journal(self.client, "burst")
        await journal.load()
        return journal

    async def control(self, point: str = "") -> int:
        """Let a controller run until it ends or dies; its exit status."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(MORTAL), "burst", point,
            env=self._variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        talk = asyncio.create_task(process.communicate())
        try:
            while not talk.done():
                self.most = max(self.most, len(await asyncio.to_thread(self.place.machines)))
                await asyncio.wait([talk], timeout=LOOK_SECONDS)
        finally:
            if process.returncode is None:
                process.kill()
            out, _ = await talk
        self.words += out.decode().splitlines()
        return process.returncode or 0

    async def enqueue(self, count: int, *command: str) -> list[str]:
        entry = Command(command or ("sleep", "1"))
        spec = Spec(entry=entry, name="t", queue="burst", manager="none")
        return [one.task for one in await self.client.enqueue_many([spec] * count)]


@pytest.fixture
async def play(own_nats_server: Any, place: Place, tmp_path: Path) -> AsyncIterator[Play]:
    variables = {
        **os.environ,
        **place.variables,
        "EVQ_SERVER": own_nats_server.url,
        "EVQ_TOKEN": "test",
        "EVQ_STATE_DIR": str(tmp_path / "state"),
    }
    async with AsyncExitStack() as stack:
        bus = await stack.enter_async_context(connect(own_nats_server.login, "test", PATIENCE))
        await bus.prepare()
        yield Play(Client(bus), place, variables)


@pytest.mark.timeout(400)
async def test_no_machine_is_forgotten_or_had_twice(play: Play) -> None:
    kind = play.place.kind
    definition = Definition({"small": kind}, idle=1.0, spin_up=60.0, look=0.5, silence=20.0)
    journal = await play.journal()
    await journal.decide(lambda _: (Defined(definition), "a burst is coming"))
    tasks = await play.enqueue(10)
    died = []
    for point in POINTS:
        status = await play.control(point)
        assert status == -9, (point, play.words[-20:])
        died.append(point)
    await journal.catch_up()
    await journal.decide(lambda _: (Stopped(), "that was all"))
    assert await play.control() == 0, play.words[-20:]

    assert died == list(POINTS)
    await until(lambda: not play.place.machines(), "all machines have gone")
    await journal.catch_up()
    assert journal.state.machines == {}
    ended = [await play.client.get(task) for task in tasks]
    assert [task.state.outcome for task in ended if isinstance(task.state, Ended)] == (
        [Outcome.COMPLETED] * 10
    )
    assert 1 <= play.most <= MOST
    wanted = [noted.machine for noted in await _facts(play) if isinstance(noted, Wanted)]
    assert len(wanted) == len(set(wanted)) and journal.state.gone.get("stray", 0) == 0


@pytest.mark.timeout(400)
async def test_a_machine_that_is_drained_is_called_back(play: Play) -> None:
    """It goes on with the task it has; the controller dies when it has written that it will."""
    client, kind = play.client, replace(play.place.kind, slots=2)

    async def wish(most: int) -> None:
        kinds = {"small": replace(kind, most=most)}
        wished = Definition(kinds, idle=600.0, spin_up=120.0, look=0.5, silence=60.0)
        await journal.decide(lambda _: (Defined(wished), f"{most} are wished"))

    async def is_drained() -> bool:
        return any(one.drained for one in await client.agents())

    journal = await play.journal()
    await wish(1)
    [first] = await play.enqueue(1, "sleep", "1000")
    controller = asyncio.create_task(play.control("recalled"))
    try:
        await until(lambda: _runs(client, first))
        await wish(0)
        await until(is_drained)
        [second] = await play.enqueue(1)
        await wish(1)
        assert await controller == -9, play.words[-20:]
        controller = asyncio.create_task(play.control())
        [done] = await client.wait(second)
        assert isinstance(done.state, Ended) and done.state.outcome is Outcome.COMPLETED
        assert len((await client.get(first)).attempts) == 1 and await _runs(client, first)
        await client.abort(first)
        await journal.decide(lambda _: (Stopped(), "that was all"))
        assert await controller == 0, play.words[-20:]
    finally:
        controller.cancel()
        await asyncio.gather(controller, return_exceptions=True)
    wanted = [noted.machine for noted in await _facts(play) if isinstance(noted, Wanted)]
    assert wanted == ["burst-small-1"]


async def _runs(client: Client, task: str) -> bool:
    return isinstance((await client.get(task)).state, Running)


async def _facts(play: Play) -> list[Fact]:
    journal = autoscaler_journal(play.client, "burst")
    return [noted.fact for noted in await journal.catch_up()]


@pytest.mark.timeout(400)
async def test_a_machine_that_its_owner_takes_back_is_replaced(play: Play) -> None:
    if not isinstance(play.place, Instances):
        pytest.skip("only a cloud takes machines back")
    definition = Definition({"small": play.place.kind}, idle=60.0, look=0.5, silence=5.0)
    journal = await play.journal()
    await journal.decide(lambda _: (Defined(definition), "wished"))
    await play.client.enqueue(
        Spec(entry=Command(("sleep", "60")), name="t", queue="burst", manager="none")
    )
    controller = asyncio.create_task(play.control())

    async def stages() -> list[tuple[str, Stage]]:
        await journal.catch_up()
        return [(one.name, one.stage) for one in journal.state.machines.values()]

    async def is_here() -> bool:
        return ("burst-small-1", Stage.HERE) in await stages()

    async def is_replaced() -> bool:
        return any(name == "burst-small-2" for name, _ in await stages())

    try:
        await until(is_here)
        [instance] = play.place.cloud.running()
        play.place.cloud.preempt(instance)
        await until(is_replaced)
    finally:
        controller.cancel()
        await asyncio.gather(controller, return_exceptions=True)
    assert journal.state.gone == {"lost": 1}
