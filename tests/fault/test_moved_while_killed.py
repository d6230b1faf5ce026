"""Tasks are moved and dequeued while agents are killed: each runs to one end, or never."""

from __future__ import annotations

import asyncio
import random

from scene import Scene
from waiting import until

from evq.core.decide import Move, Rejected
from evq.core.events import Dequeued

TASKS = 40
KILLS = 6


async def test_moves_and_dequeues_while_agents_are_killed(scene: Scene) -> None:
    chance = random.Random(4)
    await scene.queue("q", express=True)
    tasks = [await scene.enqueue("seconds=0.5", losses=KILLS) for _ in range(TASKS)]
    waiting = list(tasks)

    async def play() -> None:
        """Move them until none waits; one that was lost with its agent is left alone."""
        while waiting:
            task, rank = chance.choice(waiting), chance.choice([None, chance.uniform(-10, 10)])
            try:
                if chance.random() < 0.01:
                    await scene.client.dequeue(task, "not this one")
                else:
                    await scene.client.put(task, Move("q", 5, rank, "chance"))
            except Rejected:
                waiting.remove(task)

    async def kill() -> None:
        # Nobody takes a task yet, so whatever ends is dequeued, and by then most were moved.
        await until(ended, "a task is dequeued")
        agents = [await scene.agent(f"a{number}", "--slots", "2") for number in range(3)]
        for number in range(KILLS):
            goal = min(TASKS, ended() + 3)
            await until(lambda: ended() >= goal)  # noqa: B023
            agents.pop(0).kill()
            agents.append(await scene.agent(f"b{number}", "--slots", "2"))

    def ended() -> int:
        return sum(bool(scene.ended(task)) for task in tasks)

    await asyncio.gather(play(), kill())
    ends = [await scene.end(task) for task in tasks]
    assert 0 < sum(isinstance(end, Dequeued) for end in ends) < TASKS
    assert sum("moved" in scene.kinds(task) for task in tasks) > TASKS / 2
    lost = [task for task in tasks if "lost1" in scene.kinds(task)]
    assert lost, "nobody died with a task"
    await scene.verdict()
