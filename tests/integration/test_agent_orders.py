"""An agent in its administrator's hands: drained, resumed, stopped, by events that it hears."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from evq.core.events import (
    AgentDown,
    AgentDraining,
    AgentPaused,
    AgentPruned,
    AgentResumed,
    Claimed,
    DrainRequested,
    Lost,
    PruneRequested,
    ResumeRequested,
    Started,
    StopRequested,
)


async def present(client: Any, name: str) -> Any:
    return next((agent for agent in await client.agents() if agent.agent == name), None)


async def test_a_drained_agent_takes_nothing_and_what_runs_goes_on(
    queue: Any, gate: Any, start_agent: Any, until: Any
) -> None:
    agent = start_agent([queue], "--slots", "2", "--lease", "300").ready()
    runs = await queue.enqueue("sh", "-c", gate.wait)
    await gate.reached()
    await queue.client.order(DrainRequested(agent.name, "new driver"))
    paused = await queue.agent_event(agent.name, AgentPaused)
    me = queue.client.author.by
    assert paused.reason == f"drained by {me}: new driver"
    waits = await queue.enqueue("true")

    async def told() -> Any:
        found = await present(queue.client, agent.name)
        return found.drained and found

    found = await until(told)
    assert (found.drained.by, found.drained.reason) == (me, "new driver")
    assert found.paused == str(found.drained) and not found.takes and found.claims
    gate.open()
    assert (await queue.ended(runs)).name_of_state == "completed"
    assert await queue.envelopes(waits) == []
    await queue.client.order(ResumeRequested(agent.name))
    await queue.agent_event(agent.name, AgentResumed)
    assert (await queue.ended(waits)).attempts[0].agent == agent.name


async def test_it_stays_drained_over_a_restart(queue: Any, start_agent: Any) -> None:
    first = start_agent([queue]).ready()
    await queue.client.order(DrainRequested(first.name, "bios"))
    await queue.agent_event(first.name, AgentPaused)
    first.process.kill()
    await first.over()
    second = start_agent([queue], name=first.name).ready()
    assert (await present(queue.client, first.name)).drained.reason == "bios"
    task = await queue.enqueue("true")
    await queue.agent_event(first.name, AgentPaused, 2)
    assert await queue.envelopes(task) == []
    await queue.client.order(ResumeRequested(first.name))
    await queue.ended(task)
    second.terminate()
    assert await second.over() == 0


async def test_drained_gpus_are_given_to_nobody_until_they_are_resumed(
    queue: Any, start_agent: Any, tmp_path: Path
) -> None:
    gpus = [{"id": f"GPU-{number}", "name": "A100", "memory": 80 * 2**30} for number in (0, 1)]
    readings = tmp_path / "gpus.json"
    readings.write_bytes(msgspec.json.encode({"gpus": gpus}))
    options = ("--gpu-readings", str(readings), "--slots", "2")
    agent = start_agent([queue], *options).ready()
    await queue.client.order(DrainRequested(agent.name, "fan", ("GPU-0",)))
    agent.terminate()
    assert await agent.over() == 0
    # What was ordered holds from the first moment on.
    agent = start_agent([queue], *options, name=agent.name).ready()
    first = await queue.enqueue("sh", "-c", "exec sleep 60", gpus=1)
    second = await queue.enqueue("true", gpus=1)
    assert (await queue.event(first, Claimed)).gpus == ("GPU-1",)
    there = await present(queue.client, agent.name)
    assert there.takes and there.drained_gpus == ("GPU-0",)
    assert await queue.envelopes(second) == []
    await queue.client.order(ResumeRequested(agent.name, "", ("GPU-0",)))
    ended = await queue.ended(second)
    assert ended.attempts[0].gpus == ("GPU-0",)
    await queue.client.abort(first, "enough")


async def test_one_that_was_drained_before_it_ever_was_there(queue: Any, start_agent: Any) -> None:
    name = f"later-{queue.name}"
    await queue.client.order(DrainRequested(name))
    start_agent([queue], name=name).ready()
    found = await present(queue.client, name)
    assert found.drained and found.paused == f"drained by {queue.client.author.by}"


async def test_it_prunes_its_caches_and_says_what_went(
    queue: Any, start_agent: Any, tmp_path: Path
) -> None:
    agent = start_agent([queue]).ready()
    folder = agent.folder / "cache" / "artifacts" / "ab"
    folder.mkdir(parents=True)
    for name, age in (("ab-old", 9 * 86_400), ("ab-new", 60)):
        (folder / name).write_bytes(b"x" * 5000)
        os.utime(folder / name, (time.time() - age,) * 2)
    await queue.client.order(PruneRequested(agent.name, 7 * 86_400.0, ("environments",)))
    pruned = await queue.agent_event(agent.name, AgentPruned)
    assert (pruned.entries, pruned.kinds) == (0, {})
    order = PruneRequested(agent.name, 7 * 86_400.0, reason="the disk is small")
    await queue.client.order(order)
    pruned = await queue.agent_event(agent.name, AgentPruned, 2)
    assert (pruned.entries, pruned.kinds, pruned.reason) == (1, {"artifacts": 1}, order.reason)
    assert pruned.size >= 5000 and [one.name for one in folder.iterdir()] == ["ab-new"]


async def test_stop_ends_it_after_its_tasks(queue: Any, gate: Any, start_agent: Any) -> None:
    agent = start_agent([queue], "--lease", "300").ready()
    task = await queue.enqueue("sh", "-c", gate.wait)
    await gate.reached()
    instance = (await present(queue.client, agent.name)).instance
    await queue.client.order(StopRequested(agent.name, "of another life"))
    await queue.client.order(StopRequested(agent.name, instance, "moves"))
    why = f"stopped by {queue.client.author.by}: moves"
    assert (await queue.agent_event(agent.name, AgentDraining)).reason == why
    gate.open()
    assert (await queue.ended(task)).name_of_state == "completed"
    assert await agent.over() == 0
    assert (await queue.agent_event(agent.name, AgentDown)).reason == why


async def test_stop_now_gives_its_tasks_back(queue: Any, start_agent: Any) -> None:
    agent = start_agent([queue], "--lease", "300").ready()
    task = await queue.enqueue("sh", "-c", "exec sleep 60", losses=0)
    await queue.event(task, Started)
    instance = (await present(queue.client, agent.name)).instance
    await queue.client.order(StopRequested(agent.name, instance, now=True))
    assert await agent.over() == 0
    assert (await queue.event(task, Lost)).why == "its agent was stopped"
    assert (await queue.client.get(task)).losses == 0


async def test_after_the_drain_s_timeout_tasks_are_given_back(queue: Any, start_agent: Any) -> None:
    agent = start_agent([queue], "--drain-timeout", "0.2").ready()
    task = await queue.enqueue("sh", "-c", "exec sleep 60", losses=0)
    await queue.event(task, Started)
    agent.terminate()
    assert await agent.over() == 0
    assert (await queue.client.get(task)).name_of_state == "queued"


# --- without a server ---------------------------------------------------------------------------


@pytest.fixture
def start(own_nats_server: Any, apart: Any, start_agent: Any) -> Any:
    """Start an agent of one name there."""

    def start(lease: float = 1) -> Any:
        login = own_nats_server.login
        return start_agent([apart], "--lease", str(lease), name="one", login=login).ready()

    return start


async def test_an_idle_agent_ends_without_its_server(own_nats_server: Any, start: Any) -> None:
    agent = start()
    own_nats_server.kill()
    agent.terminate()
    assert await agent.over() == 0


async def test_it_gives_its_task_back_and_that_is_told_later(
    own_nats_server: Any, apart: Any, start: Any, gate: Any
) -> None:
    agent = start()
    command = f"[ $EVQ_ATTEMPT = 2 ] || {gate.wait}"
    task = await apart.enqueue("sh", "-c", command, losses=0)
    await apart.event(task, Started)
    own_nats_server.kill()
    agent.terminate()
    assert await agent.over() == 0
    assert "the server has been away for a lease: ending without it" in agent.said
    own_nats_server.start()
    start()
    assert (await apart.event(task, Lost)).cause == "drained"
    ended = await apart.ended(task)
    assert (ended.name_of_state, ended.losses, len(ended.attempts)) == ("completed", 0, 2)


async def test_what_ended_meanwhile_is_told_later(
    own_nats_server: Any, apart: Any, start: Any, gate: Any
) -> None:
    agent = start(lease=5)  # so that the command ends before it would be frozen
    task = await apart.enqueue("sh", "-c", gate.wait)
    await gate.reached()
    own_nats_server.pause()
    agent.terminate()
    gate.open()
    own_nats_server.kill()
    assert await agent.over() == 0
    own_nats_server.start()
    start()
    ended = await apart.ended(task)
    assert (ended.name_of_state, len(ended.attempts)) == ("completed", 1)
