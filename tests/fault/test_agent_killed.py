"""kill -9 of everything that runs a task: the agent, the supervisor, the forkserver, the task."""

from __future__ import annotations

import os
import signal

from scene import Scene
from waiting import until

from evq.core.events import Cause, Claimed, Finished, Lost, Outcome, Started


async def test_the_task_of_a_killed_agent_runs_elsewhere(scene: Scene) -> None:
    go = scene.gate("go")
    one = await scene.agent("one")
    task = await scene.enqueue(f"until={go}")
    pid = (await scene.event(task, Started)).pid
    await scene.runs(task)
    await scene.agent("two")
    killed = scene.clock()
    one.kill()
    await scene.ends(pid)
    dead = scene.clock()
    assert (await scene.event(task, Claimed, attempt=2)).agent == "two"
    print(f"\nfrom kill -9 to the child's end: {dead - killed:.3f} s,", end=" ")
    print(f"to the second claim: {scene.when(task, Claimed, 2) - killed:.3f} s")
    await scene.runs(task, attempt=2)
    go.touch()
    end = await scene.end(task)
    assert isinstance(end, Finished)
    assert (end.outcome, end.attempt) == (Outcome.COMPLETED, 2)
    assert (await scene.event(task, Lost)).cause is Cause.LOST_AGENT
    assert scene.kinds(task) == [
        "claimed1", "started1", "lost1", "claimed2", "started2", "finished2",
    ]  # fmt: skip
    await scene.verdict()


async def test_an_agent_back_under_its_name_takes_its_own_task_over(scene: Scene) -> None:
    one = await scene.agent("one")
    go = scene.gate("go")
    task = await scene.enqueue(f"until={go}")
    await scene.runs(task)
    one.kill()
    await scene.agent("one")
    await scene.runs(task, attempt=2)
    go.touch()
    assert (await scene.end(task)).outcome is Outcome.COMPLETED
    first = await scene.event(task, Claimed, attempt=1)
    second = await scene.event(task, Claimed, attempt=2)
    assert first.agent == second.agent and first.instance != second.instance
    await scene.verdict()


async def infrastructure_fails(scene: Scene, *pids: int, task: str, go: str) -> None:
    """Kill these processes of attempt 1; attempt 2 must finish the task."""
    child = (await scene.event(task, Started)).pid
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    await scene.ends(child)
    assert (await scene.event(task, Lost)).cause is Cause.INFRASTRUCTURE
    await scene.runs(task, attempt=2)
    scene.gate(go).touch()
    end = await scene.end(task)
    assert isinstance(end, Finished)
    assert (end.outcome, end.attempt) == (Outcome.COMPLETED, 2)
    await scene.verdict()


async def test_a_killed_supervisor_costs_an_attempt(scene: Scene) -> None:
    one = await scene.agent("one")
    task = await scene.enqueue(f"until={scene.gate('go')}")
    await scene.runs(task)
    supervisor = one.supervisor_of((await scene.event(task, Started)).pid).pid
    await infrastructure_fails(scene, supervisor, task=task, go="go")


async def test_a_killed_supervisor_and_forkserver_cost_an_attempt(scene: Scene) -> None:
    one = await scene.agent("one")
    task = await scene.enqueue(f"until={scene.gate('go')}")
    await scene.runs(task)
    child = (await scene.event(task, Started)).pid
    both = (one.forkserver_of(child).pid, one.supervisor_of(child).pid)
    await infrastructure_fails(scene, *both, task=task, go="go")


async def test_a_killed_forkserver_costs_nothing(scene: Scene) -> None:
    one = await scene.agent("one", "--slots", "2")
    go = scene.gate("go")
    task = await scene.enqueue(f"until={go}")
    await scene.runs(task)
    forkserver = one.forkserver_of((await scene.event(task, Started)).pid).pid
    os.kill(forkserver, signal.SIGKILL)
    await scene.ends(forkserver)
    beside = await scene.enqueue()
    assert (await scene.end(beside)).outcome is Outcome.COMPLETED
    go.touch()
    end = await scene.end(task)
    assert isinstance(end, Finished)
    assert (end.outcome, end.attempt) == (Outcome.COMPLETED, 1)
    await scene.verdict()


async def test_a_killed_task_failed_by_a_signal(scene: Scene) -> None:
    await scene.agent("one")
    task = await scene.enqueue("die", retries=1)
    failed = await scene.enqueue("die")
    end = await scene.end(failed)
    assert isinstance(end, Finished)
    assert (end.outcome, end.cause, end.exit_code) == (Outcome.FAILED, Cause.SIGNAL, -9)
    assert (await scene.end(task)).outcome is Outcome.COMPLETED
    assert [kind for kind in scene.kinds(task) if "started" not in kind] == [
        "claimed1", "retry1", "claimed2", "finished2",
    ]  # fmt: skip
    await scene.verdict()


async def test_a_task_that_kills_its_agents_is_given_up(scene: Scene) -> None:
    task = await scene.enqueue("kill-agent", losses=1)
    for attempt in (1, 2):
        agent = await scene.agent(f"victim-{attempt}")
        await scene.event(task, Claimed, attempt=attempt)
        await until(lambda agent=agent: agent.process.poll() is not None)
    await scene.agent("third")
    end = await scene.end(task)
    assert isinstance(end, Finished)
    assert (end.outcome, end.cause) == (Outcome.FAILED, Cause.LOST_AGENT)
    assert await scene.end(await scene.enqueue())
    assert {step for step in scene.steps(task)} <= {"1 begin", "1 end", "2 begin", "2 end"}
    await scene.verdict()
