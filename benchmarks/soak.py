"""Short tasks under steady kill -9: is each one run to its end exactly once?

    uv run benchmarks/soak.py [--tasks 300] [--agents 3] [--seconds 30] [--seed 1]

While tasks are enqueued, one agent after the other is killed and started again, and the
nats-server is killed twice. Then the log is judged (tests/fault/invariants.sql), and so are the
traces that the tasks left beside it. Exits with 1 if anything is wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import random
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from ground import folder, line

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "fault"))

import oracle
from scene import Scene

from evq.core.errors import EvqError
from evq.core.events import Aborted, Claimed, Finished, Lost, Outcome
from evq.core.ports import BusAway

TESTS = Path(__file__).parents[1] / "tests"
LENGTH = (0.05, 0.4)
"""Seconds that a task takes."""

PAUSE = (1.5, 3.5)
"""Seconds between two kills of agents."""


def nats_server(home: Path) -> Any:
    """The nats-server that tests mistreat."""
    found = importlib.util.spec_from_file_location("stage", TESTS / "conftest.py")
    assert found and found.loader
    stage = importlib.util.module_from_spec(found)
    found.loader.exec_module(stage)
    home.mkdir()
    return stage.NatsServer(home)


class Soak:
    """One run: what is done to evq, and when."""

    def __init__(self, scene: Scene, options: argparse.Namespace) -> None:
        self.scene = scene
        self.options = options
        self.kills: list[tuple[float, str]] = []
        self.server_kills = 0

    async def run(self) -> None:
        """Enqueue and kill; returns when all tasks have ended."""
        for number in range(self.options.agents):
            await self.scene.agent(f"agent-{number}", "--slots", "2")
        async with asyncio.TaskGroup() as trouble:
            trouble.create_task(self._kill_agents())
            trouble.create_task(self._kill_server())
            trouble.create_task(self._enqueue())
        for task, _ in self.scene.acked:
            await self.scene.end(task)

    async def _enqueue(self) -> None:
        dice = random.Random(self.options.seed)
        for number in range(self.options.tasks):
            await self._enqueue_one(f"seconds={dice.uniform(*LENGTH):.3f}", f"soak-{number}")
            await asyncio.sleep(self.options.seconds * 0.8 / self.options.tasks)

    async def _enqueue_one(self, words: str, key: str) -> None:
        while True:
            try:
                # The key makes a second try harmless when the first one's answer was lost.
                await self.scene.enqueue(words, key=key, losses=1000)
                return
            except (BusAway, EvqError):
                await asyncio.sleep(0.2)

    async def _kill_agents(self) -> None:
        dice = random.Random(self.options.seed)
        end = time.monotonic() + self.options.seconds
        while time.monotonic() < end:
            await asyncio.sleep(dice.uniform(*PAUSE))
            victim = dice.choice([a for a in self.scene.agents if a.process.poll() is None])
            self.kills.append((time.time(), victim.name))
            victim.kill()
            self.scene.start_agent(victim.name, "--slots", "2")

    async def _kill_server(self) -> None:
        for _ in range(2):
            await asyncio.sleep(self.options.seconds / 3)
            self.scene.server.kill()
            await asyncio.sleep(0.5)
            await asyncio.to_thread(self.scene.server.start)
            self.server_kills += 1

    def retakes(self) -> list[float]:
        """Seconds from the kill of an agent to the next claim of each task that it had."""
        found: list[float] = []
        for task, _ in self.scene.acked:
            holders: dict[int, str] = {}
            for event in self.scene.history(task):
                if isinstance(event, Claimed):
                    holders[event.attempt] = event.agent
                elif isinstance(event, Lost):
                    found += self._retake(task, event.attempt, holders[event.attempt])
        return found

    def _retake(self, task: str, attempt: int, holder: str) -> list[float]:
        claimed = self.scene.when(task, Claimed, attempt)
        again = self.scene.when(task, Claimed, attempt + 1)
        return [again - at for at, name in self.kills if name == holder and at >= claimed][:1]


def percent(values: list[float], share: int) -> float:
    """The value that `share` percent of all do not pass."""
    return statistics.quantiles(values, n=100, method="inclusive")[share - 1]


async def judge(soak: Soak) -> bool:
    """Print the report; whether all is well."""
    scene = soak.scene
    stored = await oracle.read(scene.client.bus.log)
    rows = [oracle.row(message) for message in stored]
    broken = oracle.violations(rows, scene.acked)
    tasks = {task for task, _ in scene.acked}
    ends = [event for task in tasks for event in scene.history(task) if _is_end(event)]
    good = sum(event.outcome is Outcome.COMPLETED for event in ends if isinstance(event, Finished))
    doubles, overlaps = scene.doubles(), scene.overlaps()
    line("agents killed with -9", str(len(soak.kills)))
    line("nats-servers killed with -9", str(soak.server_kills))
    line("enqueues acknowledged", str(len(scene.acked)))
    line("tasks completed", str(good))
    line("terminal events", str(len(ends)))
    line("attempts", str(sum(row["kind"] == "claimed" for row in rows)))
    if len(retakes := soak.retakes()) > 1:
        line("from kill to the next claim, median", f"{statistics.median(retakes):.2f} s")
        line("… 99 %", f"{percent(retakes, 99):.2f} s", f"{len(retakes)} tasks")
    line("lives beside another (file lock)", str(len(doubles)), " ".join(doubles))
    line("attempts that outlived their successor", str(len(overlaps)), " ".join(overlaps))
    line("broken invariants", str(len(broken)), str(broken or ""))
    expected = soak.options.tasks
    whole = len(tasks) == good == len(ends) == expected
    return whole and not (doubles or overlaps or broken)


def _is_end(event: Any) -> bool:
    return isinstance(event, Finished | Aborted)


async def main(options: argparse.Namespace) -> int:
    """Run once; the exit status."""
    with folder() as home:
        server = nats_server(home / "nats")
        try:
            async with Scene(server, home) as scene:
                soak = Soak(scene, options)
                began = time.monotonic()
                await soak.run()
                print(f"{options.tasks} tasks, {options.agents} agents, seed {options.seed}")
                line("seconds", f"{time.monotonic() - began:.1f}")
                fine = await judge(soak)
        finally:
            server.close()
    return 0 if fine else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=300)
    parser.add_argument("--agents", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=30.0, help="how long there is trouble")
    parser.add_argument("--seed", type=int, default=1)
    sys.exit(asyncio.run(main(parser.parse_args())))
