"""How soon a task starts, and how many short ones get through, beside the machine's own limits.

    uv run benchmarks/dispatch.py [--tasks 2000] [--slots 2]

Limits measured in the same run: posix_spawn and wait of /bin/true; a durable append to the
stream; a pull and a spawn without lease, fence or log.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import time

import uvloop
from ground import agent, agents, client, folder, line, server

from evq.core.bus.connect import Login
from evq.core.events import Claimed, Envelope, Finished
from evq.core.ports import Entry
from evq.core.sdk.author import now
from evq.core.sdk.client import Client
from evq.core.spec import Command, Spec
from evq.core.subjects import Level, hint
from evq.core.wire import decode

TRUE = "/bin/true"


def spec(queue: str) -> Spec:
    """A task that does nothing."""
    return Spec(entry=Command((TRUE,)), name="true", queue=queue, manager="none")


def spawn_limit(seconds: float = 2.0) -> float:
    """Processes a second by posix_spawn and wait, one after the other."""
    count, end = 0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        os.waitpid(os.posix_spawn(TRUE, [TRUE], {}), 0)
        count += 1
    return count / seconds


async def append_limit(opened: Client, count: int = 500) -> float:
    """Durable appends a second, one after the other."""
    began = time.perf_counter()
    for number in range(count):
        await opened.bus.log.append(Entry(f"evq.x.bench.{number}", b"x" * 300, f"bench-{number}"))
    return count / (time.perf_counter() - began)


async def raw_latency(opened: Client, count: int = 200) -> float:
    """Median seconds from publish to a spawned process, with nothing in between but a pull."""
    level = Level("raw", 5)
    await opened.bus.hints.ensure(level)
    seconds = []
    for number in range(count):
        waiting = asyncio.ensure_future(opened.bus.hints.take_first([level], 20))
        await asyncio.sleep(0.01)
        began = time.perf_counter()
        await opened.bus.log.append(Entry(hint(level, f"t{number}"), b"x" * 300, f"raw-{number}"))
        delivery = await waiting
        assert delivery
        pid = os.posix_spawn(TRUE, [TRUE], {})
        seconds.append(time.perf_counter() - began)
        os.waitpid(pid, 0)
        await delivery.done()
    return statistics.median(seconds)


async def idle_latency(opened: Client, count: int = 200) -> tuple[float, float, float]:
    """Seconds from before enqueue to the spawn in an idle agent: median, 95 %, and to the end."""
    starts: list[float] = []
    ends: list[float] = []
    for _ in range(count):
        began = now()
        receipt = await opened.enqueue(spec("idle"))
        task = await ended(opened, receipt.task)
        attempt = task.past[-1]
        assert attempt.launch and attempt.end
        starts.append((attempt.launch.at - began) / 1e6)
        ends.append((attempt.end.at - began) / 1e6)
        await asyncio.sleep(0.02)
    starts.sort()
    return statistics.median(starts), starts[int(len(starts) * 0.95)], statistics.median(ends)


async def ended(opened: Client, task: str):  # type: ignore[no-untyped-def]
    """The task once it has ended."""
    while True:
        found = await opened.get(task)
        if found.past and found.past[-1].end:
            return found
        await asyncio.sleep(0.005)


async def drain(opened: Client, login: Login, home, tasks: int, slots: int) -> float:  # type: ignore[no-untyped-def]
    """Tasks a second from the first claim to the last end."""
    await opened.enqueue_many([spec("drain")] * tasks)
    before = await opened.bus.log.last_seq()
    options = ("--queues", "drain", "--slots", str(slots), "--name", "drain")
    with agent(home / "drain", login, *options):
        times = await seen(opened, before + 1, tasks)
    return (tasks - 1) / (max(times) - min(times)) * 1e6


async def seen(opened: Client, start: int, tasks: int) -> list[int]:
    """When each task was first claimed and finished, as the agent's clock has it."""
    times: list[int] = []
    finished = 0
    async with opened.bus.log.follow(start, ["evq.t.drain.*"]) as batches:
        async for batch in batches:
            for stored in batch:
                message = decode(stored.data)
                assert isinstance(message, Envelope)
                if isinstance(message.event, Claimed | Finished):
                    times.append(message.at)
                finished += isinstance(message.event, Finished)
            if finished >= tasks:
                return times
    return times


async def measure(tasks: int, slots: int) -> None:
    """Everything, one after the other, on one server with durable writes."""
    line("posix_spawn of /bin/true, one by one", f"{spawn_limit():.0f}/s", "limit")
    with folder() as home, server(home) as login:
        async with client(login) as opened:
            line("durable append, one by one", f"{await append_limit(opened):.0f}/s", "limit")
            raw = await raw_latency(opened)
            line("pull and spawn alone, median", f"{raw * 1e3:.2f} ms", "limit")
            options = ("--queues", "idle", "--slots", str(slots), "--name", "idle")
            with agent(home / "idle", login, *options):
                await agents(opened, 1)
                await idle_latency(opened, 20)
                median, late, end = await idle_latency(opened)
            line(
                "enqueue to process started, idle, median",
                f"{median * 1e3:.2f} ms",
                f"{median / raw:.1f} x",
            )
            line("the same, 95 of 100", f"{late * 1e3:.2f} ms")
            line("enqueue to finished in the log, median", f"{end * 1e3:.2f} ms")
            began = time.perf_counter()
            count = 300
            for _ in range(count):
                await opened.enqueue(spec("many"))
            line("enqueue, one by one", f"{count / (time.perf_counter() - began):.0f}/s")
            began = time.perf_counter()
            await opened.enqueue_many([spec("many")] * 20_000)
            line("enqueue, many at once", f"{20_000 / (time.perf_counter() - began):.0f}/s")
            rate = await drain(opened, login, home, tasks, slots)
            line(f"drain of {tasks} tasks, {slots} slots", f"{rate:.0f}/s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=2000)
    parser.add_argument("--slots", type=int, default=2)
    options = parser.parse_args()
    uvloop.run(measure(options.tasks, options.slots))


if __name__ == "__main__":
    main()
