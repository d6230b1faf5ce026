"""What an autoscaler saves under a bursty load, and what that costs in waiting:

    uv run benchmarks/autoscaler.py [--bursts 3] [--tasks 10] [--gap 30] [--most 5]

The same bursts are run twice: by machines that come and go (agents as processes of this machine)
and by a pool of as many as may come, which stands all the time. Costs are machine-seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import msgspec
import uvloop
from ground import agent, agents, client, folder, line, server

from evq.core.bus.connect import Login
from evq.core.journal import holder_of
from evq.core.sdk.client import Client
from evq.core.spec import Command, Spec
from evq.core.state import Ended, Task
from evq.services.autoscaler.controller import serve
from evq.services.autoscaler.definition import Definition, Kind
from evq.services.autoscaler.facts import Defined, Stopped, Wanted
from evq.services.autoscaler.journal import autoscaler_journal

QUEUE = "burst"
HOUR = 3600.0


class Run(msgspec.Struct):
    """One way to run the bursts: machine-seconds, and the seconds that each task waited."""

    cost: float
    waits: list[float]
    machines: int


async def bursts(opened: Client, count: int, tasks: int, gap: float) -> list[Task]:
    """Enqueue them one after another; the tasks when all have ended."""
    spec = Spec(entry=Command(("sleep", "2")), name="t", queue=QUEUE, manager="none")
    names: list[str] = []
    for number in range(count):
        if number:
            await asyncio.sleep(gap)
        names += [one.task for one in await opened.enqueue_many([spec] * tasks)]
    while True:
        found = [await opened.get(name) for name in names]
        if all(isinstance(one.state, Ended) for one in found):
            return found
        await asyncio.sleep(0.2)


def waits(tasks: list[Task]) -> list[float]:
    """How long each waited for its agent, in seconds."""
    return [(task.attempts[0].claimed - task.enqueued) / 1e6 for task in tasks]


@asynccontextmanager
async def controller(opened: Client, name: str) -> AsyncIterator[asyncio.Task[None]]:
    """The autoscaler at work in this process."""
    work = asyncio.create_task(serve(opened, name, holder_of("bench", 1), lambda words: None))
    try:
        yield work
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)


async def scaled(home: Path, login: Login, args: argparse.Namespace) -> Run:
    """The bursts by machines that come and go."""
    os.environ |= {"EVQ_SERVER": login.server, "EVQ_TOKEN": str(login.token)}
    place = {"folder": str(home / "machines")}
    kind = Kind(driver="local", queues=(QUEUE,), most=args.most, cost=HOUR, place=place)
    definition = Definition({"small": kind}, idle=args.idle, look=1.0)
    async with client(login) as opened:
        journal = autoscaler_journal(opened, "bench")
        await journal.load()
        await journal.decide(lambda _: (Defined(definition), "the bursts are coming"))
        async with controller(opened, "bench") as work:
            tasks = await bursts(opened, args.bursts, args.tasks, args.gap)
            await journal.catch_up()
            await journal.decide(lambda _: (Stopped(), "that was all"))
            await work
        again = autoscaler_journal(opened, "bench")
        decided = await again.catch_up()
        machines = sum(isinstance(noted.fact, Wanted) for noted in decided)
        return Run(again.state.spent, waits(tasks), machines)


async def fixed(home: Path, login: Login, args: argparse.Namespace) -> Run:
    """The bursts by a pool that stands all the time."""
    with ExitStack() as pool:
        for number in range(args.most):
            words = ("--queues", QUEUE, "--name", f"fixed-{number}")
            pool.enter_context(agent(home / str(number), login, *words))
        async with client(login) as opened:
            await agents(opened, args.most)
            begun = time.monotonic()
            tasks = await bursts(opened, args.bursts, args.tasks, args.gap)
            cost = args.most * (time.monotonic() - begun)
            return Run(cost, waits(tasks), args.most)


def report(what: str, run: Run) -> None:
    """A row for each figure."""
    ordered = sorted(run.waits)
    line(f"{what}: machine-seconds", f"{run.cost:.0f}", f"{run.machines} machines")
    late = ordered[int(len(ordered) * 0.95)]
    line("  a task waited", f"{statistics.median(ordered):.1f} s", f"95 %: {late:.1f} s")


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bursts", type=int, default=3)
    parser.add_argument("--tasks", type=int, default=10)
    parser.add_argument("--gap", type=float, default=30.0)
    parser.add_argument("--most", type=int, default=5)
    parser.add_argument("--idle", type=float, default=3.0)
    args = parser.parse_args()
    print(f"{args.bursts} bursts of {args.tasks} tasks of 2 s, {args.gap:g} s apart")
    runs = []
    for way in (fixed, scaled):
        with folder() as home, server(home) as login:
            runs.append(await way(home, login, args))
            report("a fixed pool" if way is fixed else "an autoscaler", runs[-1])
    line("the autoscaler's cost beside the pool's", f"{runs[1].cost / runs[0].cost:.0%}")


if __name__ == "__main__":
    uvloop.run(main())
