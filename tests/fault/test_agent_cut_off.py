"""An agent that is stopped, or cut off from the server: nobody lives twice, nothing ends twice."""

from __future__ import annotations

import pytest
from cable import Cable
from processes import AgentProcess
from scene import Scene
from waiting import until

from evq.core.events import Finished, Outcome, Started


async def completed(scene: Scene, task: str, attempt: int) -> None:
    end = await scene.end(task)
    assert isinstance(end, Finished)
    assert (end.outcome, end.attempt) == (Outcome.COMPLETED, attempt), scene.kinds(task)


async def one_at_work(
    scene: Scene, go: str, *options: str, url: str | None = None
) -> tuple[AgentProcess, str]:
    """Agent `one` runs a task; `two` has nothing to do."""
    one = await scene.agent("one", *options, url=url)
    task = await scene.enqueue(f"until={scene.gate(go)}")
    await scene.runs(task)
    await scene.agent("two")
    return one, task


async def test_a_stopped_agent_loses_its_task_and_finds_out(scene: Scene) -> None:
    one, task = await one_at_work(scene, "go")
    child = (await scene.event(task, Started)).pid
    one.pause()
    await scene.frozen(child)
    await scene.runs(task, attempt=2)
    one.resume()
    await scene.ends(child)
    scene.gate("go").touch()
    await completed(scene, task, attempt=2)
    beside = await scene.enqueue()
    assert (await scene.end(beside)).outcome is Outcome.COMPLETED
    assert one.process.poll() is None
    await scene.verdict()


async def test_the_result_of_a_stopped_agent_is_refused(scene: Scene) -> None:
    one, task = await one_at_work(scene, "go")
    child = (await scene.event(task, Started)).pid
    one.pause()
    scene.gate("go").touch()
    await scene.ends(child)
    await completed(scene, task, attempt=2)
    one.resume()
    log = scene.folder / "one.agent-log"
    await until(lambda: "is not ours any more" in log.read_text() or "refused" in log.read_text())
    assert scene.kinds(task).count("finished2") == 1
    await scene.verdict()


async def test_a_cut_shorter_than_a_lease_costs_nothing(
    scene: Scene, cable: tuple[Cable, str]
) -> None:
    wire, url = cable
    _, task = await one_at_work(scene, "go", "--lease", "20", url=url)
    for _ in range(3):
        wire.cut()
        wire.mend()
        ticks = len(scene.steps(task))
        await until(lambda ticks=ticks: len(scene.steps(task)) > ticks + 20)
    scene.gate("go").touch()
    await completed(scene, task, attempt=1)
    await scene.verdict()


async def test_a_cut_longer_than_a_lease_gives_the_task_to_another(
    scene: Scene, cable: tuple[Cable, str]
) -> None:
    wire, url = cable
    one, task = await one_at_work(scene, "go", url=url)
    child = (await scene.event(task, Started)).pid
    wire.cut()
    await scene.frozen(child)
    await scene.runs(task, attempt=2)
    wire.mend()
    await scene.ends(child)
    scene.gate("go").touch()
    await completed(scene, task, attempt=2)
    assert one.process.poll() is None
    await scene.verdict()


@pytest.mark.parametrize("word", ["claimed", "started", "finished"])
async def test_a_lost_acknowledgement_changes_nothing(
    scene: Scene, cable: tuple[Cable, str], word: str
) -> None:
    wire, url = cable
    go = scene.gate("go")
    # Longer than agent two takes to come up: until then, agent one hears nothing.
    await scene.agent("one", "--lease", "20", url=url)
    wire.mute_at = f'"kind":"{word}"'.encode()
    task = await scene.enqueue(f"until={go}")
    if word == "finished":
        await scene.runs(task)
        go.touch()
    await wire.muted.wait()
    await until(lambda: f"{word}1" in scene.kinds(task))
    await scene.agent("two")
    wire.mend()
    await scene.runs(task)
    go.touch()
    await completed(scene, task, attempt=1)
    beside = await scene.enqueue()
    assert (await scene.end(beside)).outcome is Outcome.COMPLETED
    assert scene.kinds(task) == ["claimed1", "started1", "finished1"]
    await scene.verdict()


async def test_an_abort_reaches_an_agent_that_was_cut_off(
    scene: Scene, cable: tuple[Cable, str]
) -> None:
    wire, url = cable
    await scene.agent("one", url=url)
    task = await scene.enqueue(f"until={scene.gate('never')}")
    child = (await scene.event(task, Started)).pid
    await scene.runs(task)
    wire.cut()
    await scene.client.abort(task, "changed my mind")
    await scene.frozen(child)
    wire.mend()
    await scene.ends(child)
    end = await scene.end(task)
    assert (end.outcome, end.attempt) == (Outcome.ABORTED, 1)
    assert end.evidence == "changed my mind"
    await scene.verdict()


async def test_an_aborted_task_of_a_dead_agent_does_not_run_again(scene: Scene) -> None:
    one, task = await one_at_work(scene, "never")
    one.kill()
    await scene.client.abort(task, "changed my mind")
    end = await scene.end(task)
    assert (end.outcome, end.attempt) == (Outcome.ABORTED, 1)
    assert "2 begin" not in scene.steps(task)
    await scene.verdict()


async def test_a_server_that_stands_still_costs_no_attempt(scene: Scene) -> None:
    """Connections stand, nobody answers; the first words after it must not be misread."""
    _, task = await one_at_work(scene, "go")
    child = (await scene.event(task, Started)).pid
    for _ in range(2):
        scene.server.pause()
        await scene.frozen(child)
        await scene.passes(2.0)
        scene.server.resume()
        ticks = len(scene.steps(task))
        await until(lambda ticks=ticks: len(scene.steps(task)) > ticks + 20, "thawed")
    scene.gate("go").touch()
    await completed(scene, task, attempt=1)
    await scene.verdict()
