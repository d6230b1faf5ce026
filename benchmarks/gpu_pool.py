"""Eight GPUs out of a file, one agent, kill -9 again and again: is any GPU in two attempts?

    uv run benchmarks/gpu_pool.py [--tasks 200] [--kills 20] [--longest 5] [--seed 1]
        [--order round-robin] [--patience 20] [--least 0.95]

The agent serves `dual=2,single=1`. While tasks of random size and length run, it is killed and
started again. Then the log is asked by SQL for a GPU that two attempts had at once, and the
traces that the tasks left beside it (a lock for each GPU) are looked at, too.

The use of the GPUs is compared to the best packing that is found afterwards: a list scheduler
that knows all completed attempts from the beginning packs them, with the durations that they
had, in several orders, and the best counts. What the kills cost counts on both sides: the time
without an agent, from each kill to the next agent's first word, and the GPU-seconds of the lost
attempts up to the kill, which the packing is charged as if all GPUs had shared them evenly.

Exits with 1 if a GPU was in two attempts, a task did not complete, or the use of the GPUs is
below `--least` of the best.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import sys
import time
from pathlib import Path

from ground import folder, line
from packing import Attempt, best
from soak import nats_server

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "fault"))

import oracle
from scene import Scene

from evq.core.events import Claimed, Finished, Lost, Outcome
from evq.core.ports import Stored
from evq.core.questions import Named
from evq.core.subjects import LIFECYCLE_STREAM, SAMPLES_STREAM, TELEMETRY_STREAM
from evq.projector.answers import parameters_for
from evq.projector.projection import Batch, Projection
from evq.projector.store import Database

GPUS = 8
QUEUES = {"dual": 2, "single": 1}
SHARE_OF_DUALS = 1 / 3
SHORTEST = 0.1
"""The shortest task's part of the longest."""


class PoolSoak:
    """One run: tasks, kills, and what the log says of them."""

    def __init__(self, scene: Scene, options: argparse.Namespace) -> None:
        self.scene = scene
        self.options = options
        self.dice = random.Random(options.seed)
        self.queues: dict[str, str] = {}
        self.kills: list[float] = []
        self.ups: list[float] = []
        self._readings = scene.folder / "gpus.json"
        self._readings.write_text(json.dumps({"gpus": [{"id": f"GPU-{n}"} for n in range(GPUS)]}))

    async def run(self) -> None:
        """Enqueue all, then kill; returns when all tasks have ended."""
        for queue in QUEUES:
            await self.scene.queue(queue)
        for _ in range(self.options.tasks):
            await self._enqueue()
        await self._start()
        for _ in range(self.options.kills):
            await asyncio.sleep(self.dice.uniform(0.3, 1.5) * self.options.longest)
            self.scene.agents[-1].kill()
            # Behind the kill: nothing that is lost with the agent was claimed later.
            self.kills.append(time.time())
            await self._start()
        for task, _ in self.scene.acked:
            await self._end(task)

    async def _enqueue(self) -> None:
        queue = "dual" if self.dice.random() < SHARE_OF_DUALS else "single"
        seconds = self.options.longest * self.dice.uniform(SHORTEST, 1)
        words = (f"seconds={seconds:.3f}", "gpus")
        task = await self.scene.enqueue(*words, queue=queue, losses=1000)
        self.queues[task] = queue

    async def _start(self) -> None:
        """Start the agent, and note when it is there."""
        counts = ",".join(f"{queue}={count}" for queue, count in QUEUES.items())
        agent = await self.scene.agent(
            "pool",
            *("--queues", ",".join(QUEUES), "--queue-gpus", counts),
            *("--gpu-readings", str(self._readings), "--order", self.options.order),
            *("--patience", str(self.options.patience), "--lease", "10"),
        )
        self.ups.append(time.time())
        agent.look()

    async def _end(self, task: str) -> None:
        while True:
            try:
                await self.scene.end(task)
                return
            except TimeoutError:
                print(f"  task {task} of {self.queues[task]} still waits", flush=True)

    # --- what happened --------------------------------------------------------------------------

    def attempts(self) -> tuple[list[Attempt], list[Attempt]]:
        """Those that completed, and those that a kill ended, up to the kill."""
        completed, lost = [], []
        for task in self.queues:
            for event in self.scene.history(task):
                if isinstance(event, Claimed):
                    gpus = len(event.gpus)
                elif isinstance(event, Finished | Lost):
                    begin = self.scene.when(task, Claimed, event.attempt)
                    end = self.scene.when(task, type(event), event.attempt)
                    if isinstance(event, Finished):
                        completed.append(Attempt(gpus, begin, end))
                    else:
                        killed = next(at for at in self.kills if at >= begin)
                        lost.append(Attempt(gpus, begin, min(end, killed)))
        return completed, lost

    def waits(self, queue: str) -> list[float]:
        """Seconds from the first agent's word to the first claim of each task."""
        return [
            self.scene.when(task, Claimed, 1) - self.ups[0]
            for task, its in self.queues.items()
            if its == queue
        ]

    @property
    def without_agent(self) -> float:
        """Seconds from each kill to the next agent's first word, together."""
        return sum(up - kill for kill, up in zip(self.kills, self.ups[1:], strict=True))


def overlaps(stored: list[Stored], home: Path) -> tuple[int, int]:
    """How many rows the view of claims has, and the question for overlaps. It is SQL."""
    database = Database(home / "judge.duckdb")
    for stream in (LIFECYCLE_STREAM, TELEMETRY_STREAM, SAMPLES_STREAM):
        database.start(stream, "now")
    Projection(database).apply(Batch(stored))
    sql, given = parameters_for(Named("gpu_overlaps", {"days": 1}))
    found = database.answer(sql, given).rows
    ((claims,),) = database.rows("SELECT count(*) FROM gpu_claims")
    database.close()
    return claims, len(found)


def judge_use(soak: PoolSoak) -> float:
    """Print how the GPUs were used; returns the part of the best packing."""
    completed, lost = soak.attempts()
    both = [*completed, *lost]
    span = max(one.end for one in both) - min(one.begin for one in both) - soak.without_agent
    spoilt = sum(one.work for one in lost)
    packed, order = best(completed, GPUS)
    least = packed + spoilt / GPUS
    work = sum(one.work for one in both)
    line("seconds without an agent", f"{soak.without_agent:.1f}", f"{len(soak.kills)} kills")
    line("GPU-seconds of completed attempts", f"{work - spoilt:.1f}")
    line("GPU-seconds of lost attempts", f"{spoilt:.1f}", f"{len(lost)} attempts")
    line("use of the GPUs", f"{work / GPUS / span:.1%}", f"{span:.1f} s")
    line("… in the best packing", f"{work / GPUS / least:.1%}", f"{least:.1f} s, {order}")
    line("… of the best", f"{least / span:.1%}")
    return least / span


async def judge(soak: PoolSoak, home: Path) -> bool:
    """Print the report; whether all is well."""
    scene = soak.scene
    stored = await oracle.read(scene.client.bus.log)
    broken = oracle.violations([oracle.row(message) for message in stored], scene.acked)
    claims, double = overlaps(stored, home)
    ends = [event for task in soak.queues for event in scene.history(task)]
    good = sum(isinstance(one, Finished) and one.outcome is Outcome.COMPLETED for one in ends)
    line("tasks completed", f"{good} of {len(soak.queues)}")
    line("agents killed with -9", str(len(soak.kills)))
    line("GPUs given to attempts (rows of gpu_claims)", str(claims))
    line("a GPU in two attempts, by SQL over the log", str(double))
    seen = [*scene.doubles(), *scene.overlaps()]
    line("a GPU or a task in two processes, by locks", str(len(seen)), " ".join(seen))
    line("broken invariants", str(len(broken)), str(broken or ""))
    for queue in QUEUES:
        waits = soak.waits(queue)
        middle = f"median {statistics.median(waits):.1f} s of {len(waits)} tasks"
        line(f"longest wait in {queue}", f"{max(waits):.1f} s", middle)
    share = judge_use(soak)
    whole = good == len(soak.queues) == soak.options.tasks
    return whole and not (double or seen or broken) and share >= soak.options.least


async def main(options: argparse.Namespace) -> int:
    """Run once; the exit status."""
    with folder() as home:
        server = nats_server(home / "nats")
        try:
            async with Scene(server, home) as scene:
                soak = PoolSoak(scene, options)
                await soak.run()
                print(f"{options.tasks} tasks, order {options.order}, seed {options.seed}")
                fine = await judge(soak, home)
        finally:
            server.close()
    return 0 if fine else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=200)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--longest", type=float, default=5.0, help="seconds of the longest task")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--order", default="round-robin")
    parser.add_argument("--patience", type=float, default=20.0, help="before room is kept")
    parser.add_argument("--least", type=float, default=0.95, help="part of the best packing")
    sys.exit(asyncio.run(main(parser.parse_args())))
