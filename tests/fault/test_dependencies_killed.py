"""Tasks that wait for others, while agents and the server are killed: none is forgotten."""

from __future__ import annotations

from itertools import pairwise

from scene import Scene

from evq.core.events import Claimed, DependenciesEnded, Finished, Outcome
from evq.core.spec import After


def seq(scene: Scene, task: str, kind: type, last: bool = False) -> int:
    """The sequence of the task's first (or last) event of a kind."""
    return scene.sequences(task, kind)[-1 if last else 0]


async def test_layers_of_tasks_run_one_after_the_other(scene: Scene) -> None:
    """Five layers of four, each task after all of the layer before."""
    names = ("one", "two", "three")
    agents = [await scene.agent(name, "--slots", "2") for name in names]
    layers: list[list[str]] = [[]]
    for number in range(5):
        after = tuple(After(task) for task in layers[-1])
        layers.append(
            [
                await scene.enqueue(f"seconds=0.0{number + 1}", losses=50, after=after)
                for _ in range(4)
            ]
        )
    await scene.event(layers[1][0], Claimed)
    await scene.restart_server()
    for number, agent in enumerate(agents):
        await scene.event(layers[number + 2][0], Claimed)
        agent.kill()
        await scene.agent(agent.name, "--slots", "2")
    for task in layers[-1]:
        assert (await scene.end(task)).outcome is Outcome.COMPLETED
    for before, after_it in pairwise(layers[1:]):
        for task in after_it:
            begun = seq(scene, task, Claimed)
            assert all(seq(scene, one, Finished, last=True) < begun for one in before)
            heard = [event for event in scene.history(task) if isinstance(event, DependenciesEnded)]
            assert sorted(end.task for one in heard for end in one.ends) == sorted(before)
    await scene.verdict()


async def test_what_waits_for_a_lost_task_waits_for_its_last_attempt(scene: Scene) -> None:
    gate = scene.gate("go")
    one = await scene.agent("one")
    first = await scene.enqueue(f"until={gate}", losses=3)
    second = await scene.enqueue("seconds=0.01", after=(After(first),))
    await scene.runs(first)
    one.kill()
    await scene.agent("two")
    await scene.runs(first, attempt=2)
    assert scene.kinds(second) == []
    gate.touch()
    assert (await scene.end(second)).outcome is Outcome.COMPLETED
    assert seq(scene, first, Finished) < seq(scene, second, Claimed)
    await scene.verdict()
