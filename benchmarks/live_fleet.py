"""What a live fleet costs: to begin with many tasks that wait, and to follow many claims.

    uv run benchmarks/live_fleet.py [--tasks 100000] [--claims 1000]

The server and the projector are real. The claims are written beforehand, and read by a fleet that
stood still meanwhile, so that the processor time is its own.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from pathlib import Path

from ground import client, folder, line, server
from screens_top import projector

from evq.core.decide import Claim
from evq.core.handle import handle
from evq.core.sdk.client import Client
from evq.core.sdk.live.fleet import LiveFleet
from evq.core.spec import Command, Spec

SPEC = Spec(entry=Command(("train", "--lr", "0.1")), name="train", queue="default", manager="none")
PART = 2000
AT_ONCE = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--claims", type=int, default=1000)
    options = parser.parse_args()
    asyncio.run(measure(options.tasks, options.claims))


async def measure(tasks: int, claims: int) -> None:
    """Print both costs."""
    with folder() as home, server(home, sync="60s") as login:
        async with client(login) as opened, projector(home, login, opened):
            for _ in range(0, tasks, PART):
                await opened.enqueue_many([SPEC] * PART)
            while await opened.projected() < await opened.bus.log.last_seq():
                await asyncio.sleep(0.2)
            fleet = LiveFleet(opened, ended=1000, events=500)
            before, began = memory(), time.monotonic()
            await fleet.begin()
            line(f"begun with {len(fleet.tasks)} tasks", f"{time.monotonic() - began:.2f} s")
            line("memory for them", f"{memory() - before:.0f} MiB")

            waiting = [task.id for task in fleet.line("default", claims)]
            for start in range(0, claims, AT_ONCE):
                await asyncio.gather(*(claim(opened, id) for id in waiting[start:][:AT_ONCE]))
            end = await opened.bus.log.last_seq()
            began, busy = time.monotonic(), time.process_time()
            running = asyncio.create_task(fleet.run())
            seen = 0
            while fleet.seq < end:
                seen = (await fleet.changed(seen, rest=0)).version
            line(f"{claims} claims followed", f"{time.monotonic() - began:.2f} s")
            line("processor time for them", f"{time.process_time() - busy:.2f} s")
            assert fleet.queues["default"].claimed == claims
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def claim(opened: Client, id: str) -> None:
    """Take a task, as an agent does."""
    task = await opened.get(id)
    command = Claim("a", "i", slot=0, hint=task.place.hint, lease=30.0, waited=0)
    await handle(opened.bus.log, opened.author, task, command)


def memory() -> float:
    """MiB that this process has in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20


if __name__ == "__main__":
    main()
