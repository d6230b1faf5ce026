"""The nats-server dies, for a moment or for longer than a lease: no training run may suffer."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

from processes import AgentProcess
from scene import LEASE, Scene
from waiting import until

from evq.core.events import Claimed, Finished, Metric, Outcome, Started
from evq.core.spec import Command, Spec


async def first_attempt_completed(scene: Scene, task: str) -> None:
    end = await scene.end(task)
    assert isinstance(end, Finished)
    assert (end.outcome, end.attempt) == (Outcome.COMPLETED, 1), scene.kinds(task)


async def test_a_server_that_restarts_costs_no_attempt(scene: Scene) -> None:
    go = scene.gate("go")
    await scene.agent("one", "--slots", "2")
    await scene.agent("two", "--slots", "2")
    tasks = [await scene.enqueue(f"until={go}", "lines=1") for _ in range(3)]
    for task in tasks:
        await scene.event(task, Started)
    scene.server.kill()
    scene.server.start()
    # Two more leases under a server that has forgotten who is there.
    await scene.passes(2 * LEASE)
    go.touch()
    for task in tasks:
        await first_attempt_completed(scene, task)
    await scene.verdict()


async def test_a_server_away_for_long_freezes_and_thaws(scene: Scene) -> None:
    go = scene.gate("go")
    one = await scene.agent("one")
    await scene.agent("two")
    task = await scene.enqueue(f"until={go}", "lines=1", "metrics")
    child = (await scene.event(task, Started)).pid
    await scene.runs(task)
    scene.server.kill()
    await scene.frozen(child)
    ticks = scene.steps(task)
    await scene.passes(4.0)
    assert scene.steps(task) == ticks, "it ran although its lease had run out"
    scene.server.start()
    await until(lambda: len(scene.steps(task)) > len(ticks) + 5)
    go.touch()
    await first_attempt_completed(scene, task)
    said = await scene.lines(task)
    numbers = [int(line.split()[2]) for line in said if line.startswith("line ")]
    steps = [step for step in scene.steps(task) if step.endswith("tick")]
    assert numbers == list(range(len(steps)))
    assert [line.split(":")[0] for line in said if not line.startswith("line ")] == [
        "frozen",
        "thawed",
    ]
    times = [at for record in await scene.records(task) for at in getattr(record, "at", ())]
    assert max(after - before for before, after in pairwise(sorted(times))) > 3_000_000, (
        "lines have the times at which they were said: there was an outage between them"
    )
    points = [record for record in await scene.records(task) if isinstance(record, Metric)]
    assert [step for record in points for step in record.step] == numbers
    assert one.process.poll() is None
    await scene.verdict()


async def ended_while_away(scene: Scene, one: AgentProcess, *words: str) -> tuple[str, Path]:
    """A task of agent `one` that ends while the server is away, and where its result lies."""
    go = scene.gate("go")
    task = await scene.enqueue(f"until={go}", *words)
    child = (await scene.event(task, Started)).pid
    await scene.runs(task)
    scene.server.kill()
    go.touch()
    result = scene.folder / "state" / "agents" / one.name / "results" / f"{task}-1.json"
    await until(result.exists, "a result on disk")
    assert json.loads(result.read_bytes())["finish"]["outcome"] == "completed", child
    return task, result


async def test_the_result_of_a_dead_agent_is_handed_in_by_the_next_of_its_name(
    scene: Scene,
) -> None:
    one = await scene.agent("one", "--lease", "10")
    task, result = await ended_while_away(scene, one, "lines=1")
    one.kill()
    scene.server.start()
    await scene.agent("one", "--lease", "10")
    await first_attempt_completed(scene, task)
    await until(lambda: not result.exists())
    steps = [step for step in scene.steps(task) if step.endswith("tick")]
    numbers = await scene.numbers(task, len(steps))
    assert numbers == list(range(len(steps)))
    await scene.verdict()


async def test_the_result_of_a_command_that_took_the_server_along_is_kept(scene: Scene) -> None:
    one = await scene.agent("one", "--lease", "10")
    ran = scene.folder / "ran"
    script = f"kill -9 {scene.server.pid}; echo once >> {ran}"
    spec = Spec(entry=Command(("sh", "-c", script)), name="brief", queue="q", manager="none")
    task = (await scene.client.enqueue(spec)).task
    result = scene.folder / "state" / "agents" / one.name / "results" / f"{task}-1.json"
    await until(result.exists, "a result on disk")
    one.kill()
    scene.server.kill()
    scene.server.start()
    await scene.agent("one", "--lease", "10")
    await first_attempt_completed(scene, task)
    assert ran.read_text() == "once\n"
    (attempt,) = (await scene.client.get(task)).attempts
    assert attempt.launch is not None and attempt.launch.argv[:2] == ("sh", "-c")


async def test_a_result_on_disk_that_came_too_late_is_refused(scene: Scene) -> None:
    # A task that froze before it has seen the gate would have no result.
    one = await scene.agent("one", "--on-disconnect", "run")
    task, result = await ended_while_away(scene, one)
    one.kill()
    scene.server.start()
    await scene.agent("two")
    end = await scene.end(task)
    assert isinstance(end, Finished) and end.attempt == 2
    await scene.agent("one")
    await until(lambda: not result.exists())
    await scene.verdict()


async def test_policy_run_lets_the_task_run_on(scene: Scene) -> None:
    go = scene.gate("go")
    await scene.agent("one", "--on-disconnect", "run")
    task = await scene.enqueue(f"until={go}")
    await scene.runs(task)
    scene.server.kill()
    await scene.passes(LEASE + 1.0)
    ticks = len(scene.steps(task))
    await until(lambda: len(scene.steps(task)) > ticks + 5, "it runs without a lease")
    scene.server.start()
    go.touch()
    await first_attempt_completed(scene, task)
    await scene.verdict()


async def test_policy_stop_ends_the_task_and_runs_it_again(scene: Scene) -> None:
    go = scene.gate("go")
    await scene.agent("one", "--on-disconnect", "stop")
    task = await scene.enqueue(f"until={go}")
    child = (await scene.event(task, Started)).pid
    await scene.runs(task)
    scene.server.kill()
    await scene.ends(child)
    scene.server.start()
    await scene.event(task, Claimed, attempt=2)
    await scene.runs(task, attempt=2)
    go.touch()
    end = await scene.end(task)
    assert isinstance(end, Finished)
    assert (end.outcome, end.attempt) == (Outcome.COMPLETED, 2)
    assert "lost1" in scene.kinds(task)
    await scene.verdict()


async def test_a_spool_that_is_full_costs_lines_and_no_task(scene: Scene) -> None:
    go = scene.gate("go")
    options = ("--on-disconnect", "run", "--spool-bytes", "20000")
    await scene.agent("one", *options)
    task = await scene.enqueue(f"until={go}", "lines=20", "width=200")
    await scene.runs(task)
    scene.server.kill()
    ticks = len(scene.steps(task))
    await until(lambda: len(scene.steps(task)) > ticks + 60)
    scene.server.start()
    back = len(scene.steps(task))
    await until(lambda: len(scene.steps(task)) > back + 60)
    go.touch()
    await first_attempt_completed(scene, task)
    said, left_out = await scene.lines_with_holes(task)
    marked = [line for line in said if "lines were left out" in line]
    assert left_out > 0
    assert sum(int(line.split()[0]) for line in marked) == left_out
    await scene.verdict()


async def test_a_full_spool_at_the_end_is_told_too(scene: Scene) -> None:
    go = scene.gate("go")
    options = ("--on-disconnect", "run", "--spool-bytes", "20000")
    await scene.agent("one", *options)
    task = await scene.enqueue(f"until={go}", "lines=20", "width=200")
    await scene.runs(task)
    child = (await scene.event(task, Started)).pid
    scene.server.kill()
    ticks = len(scene.steps(task))
    await until(lambda: len(scene.steps(task)) > ticks + 60)
    go.touch()
    await scene.ends(child)
    scene.server.start()
    await first_attempt_completed(scene, task)
    said, left_out = await scene.lines_with_holes(task)
    marked = [line for line in said if "lines were left out" in line]
    assert left_out > 0
    assert sum(int(line.split()[0]) for line in marked) == left_out
    await scene.verdict()
