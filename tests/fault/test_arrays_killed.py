"""An array over agents and servers that die: no more at once than may, and all of them come."""

from __future__ import annotations

import sys

from scene import WITNESS, Scene
from test_limits_killed import most_live

from evq.core.arrays.giving import load_turns
from evq.core.events import Claimed, Outcome
from evq.core.spec import Command, Spec
from evq.core.subjects import any_hint

AT_ONCE = 2


async def test_forty_members_of_three_agents_two_at_a_time(scene: Scene) -> None:
    argv = (sys.executable, "-S", str(WITNESS), str(scene.truth), "seconds=0.05")
    spec = Spec(entry=Command(argv), name="w{index}", queue="q", manager="none", losses=50)
    receipt = await scene.client.enqueue_array(spec, range(40), AT_ONCE)
    for task in receipt.tasks:
        (hint, *_) = await scene.client.bus.log.history(any_hint(task))
        scene.acked.append((task, hint.seq))
    agents = [await scene.agent(name, "--slots", "2") for name in ("one", "two", "three")]
    for number, agent in enumerate(agents):
        await scene.event(receipt.tasks[8 * (number + 1)], Claimed)
        agent.kill()
        await scene.agent(agent.name, "--slots", "2")
    await scene.event(receipt.tasks[32], Claimed)
    await scene.restart_server()
    for task in receipt.tasks:
        assert (await scene.end(task)).outcome is Outcome.COMPLETED
    assert await most_live(scene) <= AT_ONCE
    turns = (await load_turns(scene.client.bus.log, receipt.array)).turns
    assert (turns.have, turns.following) == ((), None)
    await scene.verdict()
