"""A queue's limit over agents and servers that die: never more live than there are permits."""

from __future__ import annotations

import duckdb
import oracle
from scene import LEASE, Scene
from waiting import until

from evq.core.events import Claimed, Outcome, Started

LIMIT = 2

LIVE = """
SELECT coalesce(max(live), 0) FROM (
    SELECT sum(CASE kind WHEN 'claimed' THEN 1 ELSE -1 END) OVER (ORDER BY seq) AS live
    FROM ev WHERE kind IN ('claimed', 'finished', 'retry', 'lost'))
"""


async def most_live(scene: Scene) -> int:
    """How many attempts were live at once, by SQL over the log."""
    stored = await oracle.read(scene.client.bus.log)
    rows = [(row["seq"], row["kind"]) for row in map(oracle.row, stored)]
    with duckdb.connect() as store:
        store.execute("CREATE TABLE ev (seq BIGINT, kind VARCHAR)")
        store.executemany("INSERT INTO ev VALUES (?, ?)", rows)
        (found,) = store.execute(LIVE).fetchone() or (0,)
    return int(found)


async def held(scene: Scene) -> list[str]:
    """The tasks that hold permits."""
    return [permit.task for permit in (await scene.client.tally("q")).permits.held]


async def _holds(scene: Scene, tasks: list[str]) -> bool:
    return sorted(await held(scene)) == sorted(tasks)


async def test_sixty_tasks_of_three_agents_two_at_a_time(scene: Scene) -> None:
    await scene.client.limit_queue("q", LIMIT, None, "a test")
    agents = [await scene.agent(name, "--slots", "2") for name in ("one", "two", "three")]
    tasks = [await scene.enqueue("seconds=0.05", losses=50) for _ in range(60)]
    for number, agent in enumerate(agents):
        await scene.event(tasks[10 * (number + 1)], Claimed)
        agent.kill()
        await scene.agent(agent.name, "--slots", "2")
    await scene.event(tasks[40], Claimed)
    await scene.restart_server()
    for task in tasks:
        assert (await scene.end(task)).outcome is Outcome.COMPLETED
    assert await most_live(scene) == LIMIT
    assert await held(scene) == []
    await scene.verdict()


async def test_permits_of_an_agent_that_never_comes_back_are_free_after_a_lease(
    scene: Scene,
) -> None:
    """Both permits are held by the dead, so that nobody looks into the queue."""
    await scene.client.limit_queue("q", LIMIT, None, "a test")
    one = await scene.agent("one", "--slots", "2")
    gate = scene.gate("go")
    tasks = [await scene.enqueue(f"until={gate}") for _ in range(3)]
    for task in tasks[:2]:
        await scene.event(task, Started)
    await scene.agent("two", "--slots", "3")
    killed = scene.clock()
    one.kill()
    gate.touch()
    for task in tasks:
        assert (await scene.end(task)).outcome is Outcome.COMPLETED
    first = min(scene.when(task, Claimed, 2) for task in tasks[:2])
    print(f"\nfrom kill -9 to the next claim: {first - killed:.1f} s, a lease is {LEASE:g} s")
    assert await most_live(scene) == LIMIT
    await until(lambda: scene.kinds(tasks[2])[-1] == "finished1")
    assert await held(scene) == []
    await scene.verdict()


async def test_a_limit_that_comes_late_counts_what_runs(scene: Scene) -> None:
    gate = scene.gate("go")
    await scene.agent("one", "--slots", "4")
    running = [await scene.enqueue(f"until={gate}") for _ in range(3)]
    for task in running:
        await scene.runs(task)
    await scene.client.limit_queue("q", 3, None, "a test")
    await until(lambda: _holds(scene, running))
    late = [await scene.enqueue("seconds=0.05") for _ in range(4)]
    await scene.passes(2 * LEASE)
    assert [scene.kinds(task) for task in late] == [[]] * 4
    gate.touch()
    for task in running + late:
        assert (await scene.end(task)).outcome is Outcome.COMPLETED
    assert await most_live(scene) == 3
    assert await held(scene) == []
    await scene.verdict()
