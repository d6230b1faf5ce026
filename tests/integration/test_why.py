"""`evq why` in prepared situations: a real server, real agents, a real projector and the verb."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from lab import Lab

from evq.core.events import DrainRequested
from evq.core.queueing.queues import QueuePaused
from evq.core.spec import After, Limits

READY = "the projector answers"


@pytest.fixture
async def why(
    nats_server: Any, client: Any, tmp_path: Path, until: Callable[..., Any]
) -> AsyncIterator[Callable[[str], Any]]:
    """`await why(task)` is what `evq why TASK --json` prints, while a projector answers."""
    store = tmp_path / "projector"
    store.mkdir()
    login = msgspec.json.encode(nats_server.login).decode()
    said = store / "said"
    with said.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "evq.projector", "--store", str(store)],
            env={**os.environ, "EVQ_LOGIN": login},
            stderr=log,
        )
    environment = {**os.environ, "EVQ_SERVER": nats_server.url, "EVQ_TOKEN": "test"}
    environment["HOME"] = str(tmp_path)

    async def asked(task: str) -> Any:
        words = [sys.executable, "-m", "evq.cli.main", "why", task, "--json"]
        done = await asyncio.to_thread(
            subprocess.run, words, env=environment, cwd=tmp_path, capture_output=True, timeout=60
        )
        assert done.returncode == 0, done.stderr.decode()
        return msgspec.json.decode(done.stdout)

    try:
        await until(lambda: READY in said.read_text() or process.poll() is not None)
        assert process.poll() is None, said.read_text()
        yield asked
    finally:
        process.terminate()
        process.wait()


def has(agent: Any, task: str) -> bool:
    return any(live.task == task for live in agent.running)


async def says(client: Any, agent: str, what: Callable[[Any], object]) -> bool:
    """Whether an agent's own word of itself is so by now; it takes a moment to say it."""
    return any(one.agent == agent and what(one) for one in await client.agents())


async def test_a_paused_queue(why, queue, start_agent):
    await queue.client.change_queue(QueuePaused(queue.name, "the disks are moved"))
    start_agent([queue]).ready()
    found = await why(await queue.enqueue("true"))
    assert found["waits_for"] == "queue_paused"
    assert "the disks are moved" in found["because"]
    assert f"evq queue resume {queue.name}" in found["because"]


async def test_no_gpu(why, queue, start_agent):
    agent = start_agent([queue], "--gpus", "none").ready()
    found = await why(await queue.enqueue("true", gpus=2))
    assert found["waits_for"] == "no_machine"
    assert found["because"] == f"agent {agent.name} can never run it: it lacks 2 GPUs, has 0"
    assert found["served_by"][0]["never"] == ["2 GPUs, has 0"]
    assert found["start_unknown"] == "somebody has to do something first"


async def test_a_label_is_missing(why, queue, other_queue, start_agent):
    names = [start_agent([queue], "--label", "gpu=v100").ready().name for _ in range(2)]
    right = start_agent([other_queue], "--label", "gpu=a100").ready()
    task = await queue.enqueue("true", needs={"gpu": "a100"})
    found = await why(task)
    assert found["waits_for"] == "no_machine"
    lacking = {one["agent"]: one["never"] for one in found["served_by"]}
    assert set(lacking) == set(names)
    assert all(one == ["label gpu=a100, is v100"] for one in lacking.values())
    move = f"evq move {task} --to {other_queue.name}"
    assert f"{right.name}: could run it, but serves {other_queue.name}  ({move})" in [
        one["text"] for one in found["reasons"]
    ]


async def test_behind_others(why, queue, start_agent, gate, until):
    agent = start_agent([queue]).ready()
    for _ in range(6):
        await queue.run("true")
    first = await queue.enqueue("sh", "-c", gate.wait)
    await gate.reached()
    await until(lambda: says(queue.client, agent.name, lambda one: has(one, first)))
    second, third = await queue.enqueue("true"), await queue.enqueue("true")
    found = await why(third)
    assert (found["waits_for"], found["position"]) == ("behind", 2)
    assert found["because"] == f"1 task of queue {queue.name} goes before it"
    assert found["served_by"][0]["lacks"] == ["no slot"]
    assert found["start"]["runs"] == 6
    assert found["start"]["low"] <= found["start"]["seconds"] <= found["start"]["high"]
    # It is the first in line now, and waits for the slot alone.
    found = await why(second)
    assert (found["waits_for"], found["position"]) == ("no_room", 1)
    assert f"{agent.name}: its slot is busy" in [one["text"] for one in found["reasons"]]
    gate.open()
    await asyncio.gather(*(queue.ended(task) for task in (first, second, third)))


async def test_a_drained_worker(why, queue, start_agent, until):
    agent = start_agent([queue]).ready()
    await queue.client.order(DrainRequested(agent.name, "a new driver"))
    await until(lambda: says(queue.client, agent.name, lambda one: one.drained))
    found = await why(await queue.enqueue("true"))
    assert found["waits_for"] == "agents_closed"
    assert f"agent {agent.name} could run it, but it is drained by" in found["because"]
    assert "a new driver" in found["because"]


async def test_nobody_watches_the_queue(why, queue):
    found = await why(await queue.enqueue("true"))
    assert found["waits_for"] == "no_agent"
    assert found["because"].startswith(f"no agent serves queue {queue.name}")
    assert found["served_by"] == []


async def test_a_dependency(why, queue, start_agent, gate):
    start_agent([queue], "--slots", "2").ready()
    first = await queue.enqueue("sh", "-c", gate.wait)
    await gate.reached()
    second = await queue.enqueue("true", after=(After(first),))
    found = await why(second)
    assert found["waits_for"] == "dependency"
    assert found["because"] == f"it waits for task {first} to complete"
    gate.open()
    await queue.ended(second)


async def test_a_limit(why, queue, start_agent, gate):
    await queue.client.limit_queue(queue.name, 1, None, "one licence")
    start_agent([queue], "--slots", "2").ready()
    first = await queue.enqueue("sh", "-c", gate.wait)
    await gate.reached()
    second = await queue.enqueue("true")
    found = await why(second)
    assert found["waits_for"] == "limit"
    assert "1" in found["because"]
    assert queue.name in found["because"]
    gate.open()
    await asyncio.gather(queue.ended(first), queue.ended(second))


async def test_a_schedule_window(why, queue, start_agent, until):
    day = (datetime.now() + timedelta(days=3)).strftime("%a").lower()
    agent = start_agent([queue], "--schedule", day, "--time-zone", "UTC").ready()
    await until(lambda: says(queue.client, agent.name, lambda one: one.paused))
    found = await why(await queue.enqueue("true"))
    assert found["waits_for"] == "agents_closed"
    assert "but it has paused: outside its schedule until" in found["because"]


async def test_about_to_start(why, queue, start_agent, until):
    agent = start_agent([queue], "--lease", "60").ready()
    await until(lambda: says(queue.client, agent.name, lambda one: True))
    # It would take the task within a millisecond.
    agent.process.send_signal(signal.SIGSTOP)
    try:
        task = await queue.enqueue("true")
        found = await why(task)
    finally:
        agent.process.send_signal(signal.SIGCONT)
    assert found["waits_for"] == "about_to_start"
    assert found["because"] == f"it is next: agent {agent.name} takes it any moment"
    assert found["served_by"][0]["ready"]
    assert found["start"]["high"] == 0
    await queue.ended(task)


async def test_passed_by_and_reserved(why, queue, start_agent, gates, until):
    agent = start_agent([queue], "--cpus", "2", "--slots", "4", "--patience", "0.2").ready()
    places = gates(2)
    first = await queue.enqueue("sh", "-c", places[0].wait, limits=Limits(cpus=1))
    await places[0].reached()
    wide = await queue.enqueue("true", limits=Limits(cpus=2))
    # It goes past the wide one, which does not fit.
    second = await queue.enqueue("sh", "-c", places[1].wait, limits=Limits(cpus=0.5))
    await places[1].reached()

    async def reserved():
        agents = await queue.client.agents()
        return any(one.agent == agent.name and wide in one.reserved for one in agents)

    await until(reserved)
    found = await why(wide)
    assert found["waits_for"] == "no_room"
    (served,) = found["served_by"]
    assert (served["lacks"], served["passed_by"]) == (["2 CPUs, has 0.5"], 1)
    assert found["reasons"][-1]["text"].endswith("it keeps room for it now")
    narrow = await queue.enqueue("true", limits=Limits(cpus=0.5))
    found = await why(narrow)
    assert found["waits_for"] == "behind"
    assert found["served_by"][0]["kept_for"] == f"task {wide} of queue {queue.name}"
    for place in places:
        place.open()
    await asyncio.gather(*(queue.ended(task) for task in (first, second, wide, narrow)))


async def test_a_retry_that_is_not_due(why, queue, start_agent, tmp_path):
    lab = Lab(queue.client, tmp_path)
    task = await lab.enqueue(queue=queue.name, retries=9)
    for _ in range(7):  # so often that it is due in a minute
        await lab.fail(task)
    start_agent([queue]).ready()
    found = await why(task)
    assert found["waits_for"] == "retry_delay"
    assert found["because"].startswith("it failed 7 times and is due in")
