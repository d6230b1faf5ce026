"""An agent tells of its machine, and of what its tasks take of it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evq.agent.limits.cgroups import Cgroups
from evq.core import wire
from evq.core.fleet.quiet import quiet_tasks, quiet_words
from evq.core.fleet.samples import Sample
from evq.core.sdk.author import now
from evq.core.sdk.waiting import explain
from evq.core.spec import Limits

MEBI = 2**20
LOOKING = ("--sample-every", "0.05", "--report-every", "0.3")

BUSY = """
import os
held = bytearray(150 * 2**20)
if os.fork() == 0:
    while True:
        pass
os.wait()
"""

lacking = Cgroups(Path("/nonexistent"), "probe").lacking


async def samples(queue: Any, agent: Any) -> list[Sample]:
    found = []
    for stored in await queue.client.bus.samples.history(f"evqsam.{agent.name}"):
        sample = wire.decode_sample(stored.data)
        assert isinstance(sample, Sample)
        found.append(sample)
    return found


@pytest.mark.parametrize("limits", [None, Limits(memory=2**30)], ids=["tree", "cgroup"])
async def test_a_task_has_its_share(
    queue: Any, start_agent: Callable[..., Any], until: Any, limits: Limits | None
) -> None:
    if limits and "memory" in lacking:
        pytest.skip(lacking["memory"])
    agent = start_agent([queue], *LOOKING).ready()
    id = await queue.enqueue(sys.executable, "-c", BUSY, limits=limits)

    async def busy() -> Sample | None:
        for sample in await samples(queue, agent):
            shares = sample.shares
            # Before it has its child, the first one is as busy.
            if shares and (cpu := shares.cpu[0]) and cpu[1] > 20 and shares.processes[0][1] > 1:
                return sample
        return None

    sample = await until(busy)
    task = await queue.client.get(id)
    assert sample.shares.task == (id,)
    assert (sample.shares.claim, sample.shares.attempt) == ((task.attempts[0].claim,), (1,))
    assert 150 <= sample.shares.memory[0][2] < 400
    assert sample.shares.processes[0][1] == 2
    await queue.client.abort(id, "enough")
    await queue.ended(id)
    last = (await samples(queue, agent))[-1].number

    async def over() -> bool:
        newest = (await samples(queue, agent))[-1]
        return newest.number > last + 1 and newest.shares is None

    await until(over)


async def test_reports_can_be_off(queue: Any, start_agent: Callable[..., Any]) -> None:
    agent = start_agent([queue], "--sample-every", "0.05", "--report-every", "0").ready()
    await queue.run("true")
    assert await samples(queue, agent) == []


async def test_a_task_that_says_and_does_nothing_is_quiet(
    queue: Any, start_agent: Callable[..., Any], until: Any, gate: Any
) -> None:
    agent = start_agent([queue], *LOOKING, "--quiet-after", "0.5").ready()
    id = await queue.enqueue("sh", "-c", f"echo begin; {gate.wait}; while :; do :; done")

    async def quiet() -> int | None:
        there = [one for one in await queue.client.agents() if one.agent == agent.name]
        return quiet_tasks(there).get(id)

    since = await until(quiet)
    attempt = (await queue.client.get(id)).attempts[0]
    assert attempt.claimed < since
    before = now()
    found = await explain(queue.client, await queue.client.get(id))
    (said,) = [one.text.partition(":")[0] for one in found.reasons if not one.ok]
    second = 1_000_000
    moments = range(before, now() + second, second)
    assert said in {f"it is {quiet_words(since, moment)}" for moment in moments}
    await gate.reached()
    gate.open()

    async def works() -> bool:
        return await quiet() is None

    await until(works)
    await queue.client.abort(id, "enough")
