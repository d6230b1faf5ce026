"""Gangs whose agents are killed, and whose server is, in each stage."""

from __future__ import annotations

import pytest
from gang import SCRIPT, enqueue, gathering

from evq.core.events import (
    AgentDraining,
    Assembled,
    Cause,
    Claimed,
    Disbanded,
    Finished,
    Lost,
    Outcome,
    Started,
)

LEASE = ("--lease", "2", "--grace", "1", "--allow-setup")


@pytest.fixture
def last_of_three(tmp_path):
    """A set-up script that two of three get through at once, and the file that the third waits
    for."""
    return SCRIPT.format(folder=tmp_path), tmp_path / "open"


def by_name(agents):
    return {agent.name: agent for agent in (agent.ready() for agent in agents)}


def of(history, kind, rank=None):
    return [event for one, _, event in history if isinstance(event, kind) and rank in (None, one)]


async def test_an_agent_killed_while_its_member_gathers(
    queue, start_agent, last_of_three, until
) -> None:
    script, opened = last_of_three
    agents = by_name(start_agent([queue], "--slots", "1", *LEASE) for _ in range(4))
    gang = await enqueue(queue, "true", nodes=3, setup=script)
    first, second = await gathering(gang, until)
    victim = (await gang.tasks())[first].live.agent
    agents[victim].process.kill()
    await queue.event(gang.ids[first], Lost)
    opened.touch()
    tasks = await gang.ended()
    assert [task.name_of_state for task in tasks] == ["completed"] * 3
    assert [task.losses for task in tasks] == [1, 1, 1]
    assert victim not in {task.past[-1].agent for task in tasks}
    history = await gang.history()
    lost = of(history, Lost, first)[0]
    assert lost.cause is Cause.LOST_AGENT
    told = of(history, Disbanded, second)[0]
    assert told.again and told.spent == "losses" and f"rank {first} was lost" in told.evidence
    # Nobody had started, and all started together in the end.
    assert len(of(history, Assembled)) == 3


async def test_an_agent_killed_while_the_gang_runs(queue, start_agent) -> None:
    agents = by_name(start_agent([queue], *LEASE) for _ in range(3))
    code = "echo here; test $EVQ_ATTEMPT = 2 || sleep 1000"
    gang = await enqueue(queue, "sh", "-c", code, nodes=2, losses=1)
    for task in gang.ids:
        await queue.line(task, "here")
    victim = (await gang.tasks())[1].live.agent
    agents[victim].process.kill()
    tasks = await gang.ended()
    assert [task.name_of_state for task in tasks] == ["completed"] * 2
    assert [len(task.past) for task in tasks] == [2, 2]
    assert [task.losses for task in tasks] == [1, 1]
    assert [task.past[0].end.cause for task in tasks] == [Cause.GANG, Cause.LOST_AGENT]


async def test_an_agent_that_is_stopped_while_its_member_gathers(
    queue, start_agent, last_of_three, until
) -> None:
    """Another agent takes the member's place; the others go on waiting, and it costs nobody."""
    script, opened = last_of_three
    agents = by_name(start_agent([queue], "--slots", "1", *LEASE) for _ in range(4))
    gang = await enqueue(queue, "true", nodes=3, setup=script)
    first, second = await gathering(gang, until)
    # An agent that is told to stop gives a member back by itself if it knows others to be missing.
    await queue.line(gang.ids[first], f"rank {first} waits for rank {3 - first - second} to be set")
    agent = agents[(await gang.tasks())[first].live.agent]
    agent.terminate()
    await queue.agent_event(agent.name, AgentDraining)
    agent.terminate()
    assert (await queue.event(gang.ids[first], Lost)).cause is Cause.DRAINED
    await queue.event(gang.ids[first], Claimed, 2)
    opened.touch()
    tasks = await gang.ended()
    assert [task.name_of_state for task in tasks] == ["completed"] * 3
    assert [task.losses for task in tasks] == [0, 0, 0]
    assert len(tasks[second].past) == 1
    assert not of(await gang.history(), Disbanded)


async def test_a_gang_whose_agents_are_killed_too_often_fails(queue, start_agent) -> None:
    agent = start_agent([queue], "--slots", "2", *LEASE).ready()
    gang = await enqueue(queue, "sleep", "1000", nodes=2, losses=0)
    await gang.events(Started)
    agent.process.kill()
    start_agent([queue], "--slots", "2", *LEASE).ready()
    tasks = await gang.ended()
    assert [task.state.outcome for task in tasks] == [Outcome.FAILED] * 2
    causes = {task.state.cause for task in tasks}
    assert Cause.LOST_AGENT in causes and causes <= {Cause.LOST_AGENT, Cause.GANG}
    assert len(of(await gang.history(), Started)) == len(of(await gang.history(), Finished)) == 2
