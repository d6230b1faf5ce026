"""kill -9 of everything that runs a task: the agent, the supervisor, the forkserver, the task."""

from __future__ import annotations

import os
import signal

import psutil
from evq.core.events import Cause, Claimed, Finished, Lost, Outcome, Started
from scene import Scene, until


def gone(pid: int) -> bool:
    """Whether no process of that number is alive."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


async def test_the_task_of_a_killed_agent_runs_elsewhere(scene: Scene) -> None:
    go = scene.gate("go")
    one = await scene.agent("one")
    task = await scene.enqueue(f"until={go}")
    pid = (await scene.event(task, Started)).pid
    await scene.runs(task)
    two = await scene.agent("two")
    one.kill()
    await until(lambda: gone(pid))
    claimed = await scene.event(task, Claimed, attempt=2)
    assert claimed.agent == two.name
    await scene.runs(task, attempt=2)
    go.touch()
    end = await scene.end(task)
    assert (end.outcome, end.attempt) == (Outcome.COMPLETED, 2)
    lost = await scene.event(task, Lost)
    assert lost.cause is Cause.LOST_AGENT
    assert scene.kinds(task) == [
        "claimed1", "started1", "lost1", "claimed2", "started2", "finished2",
    ]  # fmt: skip
    await scene.verdict()
