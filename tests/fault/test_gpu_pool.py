"""GPUs under kill -9: none in two attempts, neither in the log nor between processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from scene import Scene

from evq.core.events import Claimed, Lost, Outcome, Started

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "gpu_pool.py"


@pytest.mark.timeout(200)
def test_no_gpu_is_in_two_attempts_however_often_the_agent_is_killed() -> None:
    """The benchmark in its short form; how well it packs is no matter of so few tasks."""
    argv = [sys.executable, str(BENCHMARK), "--tasks", "24", "--kills", "4", "--longest", "1"]
    done = subprocess.run(
        [*argv, "--patience", "2", "--least", "0", "--seed", "5"],
        capture_output=True,
        text=True,
        timeout=180,
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr


def recorded(scene: Scene, count: int) -> tuple[str, ...]:
    """The options for an agent on a machine with so many GPUs, whoever asks in this scene."""
    file = scene.folder / "gpus.json"
    file.write_text(json.dumps({"gpus": [{"id": f"GPU-{n}"} for n in range(count)]}))
    return ("--gpu-readings", str(file))


async def test_another_agent_of_the_machine_gets_a_dead_ones_gpu_without_a_lease(
    scene: Scene,
) -> None:
    gpus = recorded(scene, 1)
    go = scene.gate("go")
    one = await scene.agent("one", *gpus, "--lease", "60")
    first = await scene.enqueue("gpus", f"until={go}", gpus=1)
    await scene.runs(first)
    await scene.agent("two", *gpus, "--lease", "60")
    second = await scene.enqueue("gpus", f"until={go}", gpus=1)
    one.kill()
    claimed = await scene.event(second, Claimed)
    lost = await scene.event(first, Lost)
    assert (claimed.agent, claimed.gpus) == ("two", ("GPU-0",)) and lost.attempt == 1
    assert scene.seq(first, Lost) < scene.seq(second, Claimed), "first out, then in"
    go.touch()
    for task in (first, second):
        assert (await scene.end(task)).outcome is Outcome.COMPLETED
    await scene.verdict()


async def test_a_task_keeps_its_gpu_while_a_process_of_a_killed_agent_lives(scene: Scene) -> None:
    gpus = recorded(scene, 1)
    one = await scene.agent("one", *gpus)
    go = scene.gate("go")
    task = await scene.enqueue("gpus", f"until={go}", gpus=1)
    pid = (await scene.event(task, Started)).pid
    await scene.runs(task)
    supervisor = one.supervisor_of(pid).pid
    os.kill(supervisor, signal.SIGSTOP)
    one.kill()
    await scene.agent("two", *gpus)
    other = await scene.enqueue("gpus", gpus=1)
    # Agent two takes tasks, but not this one.
    assert (await scene.end(await scene.enqueue())).outcome is Outcome.COMPLETED
    assert scene.history(other) == []
    os.kill(supervisor, signal.SIGCONT)
    await scene.ends(pid)
    go.touch()
    for one_of_both in (task, other):
        assert (await scene.end(one_of_both)).outcome is Outcome.COMPLETED
    await scene.verdict()
