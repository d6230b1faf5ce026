"""Services: each a sub-agent with limits of its own; whoever is greedy or stuck harms nobody."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evq.agent.config import Config
from evq.agent.limits.cgroups import Cgroups
from evq.core.errors import UsageError
from evq.core.events import AgentUp, Cause, Started
from evq.core.fleet import services
from evq.core.fleet.services import LIMITS, parse_limits, unfit, with_limits
from evq.core.spec import Command, Limits, Spec

MIB = 2**20

lacking = Cgroups(Path("/nonexistent"), "probe").lacking
needs_cgroups = pytest.mark.skipif(
    bool(lacking), reason="; ".join(f"{name}: {why}" for name, why in lacking.items())
)

BOMB = """
import os
while True:
    try:
        os.fork()
    except OSError:
        pass
"""

HOGS = {
    "cpu": ("sh", "-c", "while :; do :; done & while :; do :; done"),
    "flood": ("yes", "a line that says nothing, again and again"),
    "bomb": (sys.executable, "-c", BOMB),
}


@pytest.fixture
def start(start_agent: Callable[..., Any], queue: Any) -> Callable[..., Any]:
    """An agent for services, with a lease so long that no renewal comes to the rescue."""

    def start(*options: str) -> Any:
        limits = "--service-limits=memory=64MiB,cpus=0.5,processes=40"
        common = ("--services", "--slots", "12", limits, "--lease", "300", "--grace", "1")
        return start_agent([queue], *common, *options).ready()

    return start


async def test_each_is_a_sub_agent_of_its_own(
    start: Any, queue: Any, gate: Any, until: Any
) -> None:
    agent = start()
    task = await queue.enqueue("sh", "-c", gate.wait, name="monitor")
    await gate.reached()

    async def listed() -> Any:
        found = next(one for one in await queue.client.agents() if one.agent == agent.name)
        return found.running and found

    found = await until(listed)
    assert found.services and found.slots == 12
    (running,) = found.running
    assert (running.task, running.queue) == (task, queue.name)
    assert found.sub_agent(running) == f"{agent.name}/monitor"
    assert (await queue.agent_event(agent.name, AgentUp)).services
    gate.open()
    assert (await queue.ended(task)).name_of_state == "completed"


@needs_cgroups
async def test_beside_greedy_ones_the_others_go_on_and_begin(
    start: Any, queue: Any, gates: Any
) -> None:
    start()
    (quiet,) = gates(1)
    lives = await queue.enqueue("sh", "-c", f"{quiet.wait}; echo still here", name="quiet")
    await quiet.reached()
    hogs = [await queue.enqueue(*argv, name=name, grace=0.1) for name, argv in HOGS.items()]
    for hog in hogs:
        await queue.event(hog, Started)
    memory = await queue.run("tail", "/dev/zero", name="memory")
    assert memory.state.cause == Cause.OOM_HOST and "limit is 64MiB" in memory.state.evidence
    again = await queue.run("sh", "-c", "echo begun", name="another")
    assert await queue.lines(again.id, "o") == ["begun"]
    quiet.open()
    assert (await queue.ended(lives)).name_of_state == "completed"
    assert await queue.lines(lives, "o") == ["still here"]
    for hog in hogs:
        await queue.client.abort(hog, "enough")
        assert (await queue.ended(hog)).name_of_state == "aborted"


@needs_cgroups
async def test_what_a_task_asks_for_itself_counts(start: Any, queue: Any) -> None:
    start()
    hoard = "import sys; hoard = bytearray(100 * 2**20); print(len(hoard))"
    limits = Limits(memory=200 * MIB)
    asked = await queue.run("python3", "-c", hoard, limits=limits)
    assert asked.name_of_state == "completed"
    assert (await queue.run("python3", "-c", hoard)).state.cause == Cause.OOM_HOST


def test_limits_are_read_and_joined() -> None:
    assert parse_limits("") == LIMITS
    assert parse_limits("memory=1GiB,cpus=0.5") == Limits(2**30, 0.5, LIMITS.processes)
    assert with_limits(None, LIMITS) == LIMITS
    assert with_limits(Limits(cpus=4.0), LIMITS) == Limits(LIMITS.memory, 4.0, LIMITS.processes)
    for text in ("memory=lots", "cpus", "gpus=1", "processes=1.5"):
        with pytest.raises(UsageError, match="is no limit for services"):
            parse_limits(text)


def spec(**more: Any) -> Spec:
    return Spec(entry=Command(("true",)), name="n", queue=services.QUEUE, **more)


@pytest.mark.parametrize(
    ("wish", "why"),
    [
        ({"gpus": 1}, "it asks for GPUs"),
        ({"gpu_memory": 2**30}, "it asks for GPUs"),
        ({"nodes": 2}, "it asks for 2 machines"),
        ({"limits": Limits(memory=64 * 2**30)}, "it asks for 64GiB of memory"),
        ({"limits": Limits(cpus=8)}, "it asks for 8 processors"),
        ({"torch_backend": "cu126"}, "it asks for a build of torch"),
        ({}, ""),
    ],
)
def test_what_does_not_go_with_a_service(wish: dict[str, Any], why: str) -> None:
    assert "; ".join(unfit(spec(**wish))).startswith(why)
    assert bool(list(unfit(spec(**wish)))) == bool(why)


def test_an_agent_for_services_limits_what_asks_for_nothing(tmp_path: Path) -> None:
    plain = Config(queues=("q",), state=tmp_path, cache=tmp_path)
    light = Config(queues=("q",), state=tmp_path, cache=tmp_path, services=True)
    assert plain.limits_of(spec()) is None
    assert light.limits_of(spec()) == LIMITS
    assert light.limits_of(spec(limits=Limits(processes=9))) == with_limits(
        Limits(processes=9), LIMITS
    )
