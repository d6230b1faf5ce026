"""The dashboard's pages on a big history, while a fleet is at work:

    uv run benchmarks/big_history.py --store DIR
    uv run benchmarks/dashboard.py --store DIR [--rounds N] [--points N] [--tasks N]

Starts a server, a projector and the dashboard on the store, asks for each page's first view, first
with nothing else going on, then while points, lines, samples and tasks come in as from a busy fleet
(live_load.py), and tells how far the projector was behind meanwhile. The store grows by what comes.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import ground
import msgspec
from big_history import Facts, read_facts
from live_load import Rates, Running, play, read_running

from evq.core.bus.connect import Login
from evq.core.errors import ProjectorAway
from evq.core.questions import Head, Named, Sql
from evq.core.sdk.client import Client
from evq.projector.store import Database, database_file

LIMIT = 0.3
"""Seconds until a page's first view is there, at the server's side."""

SETTLE_SECONDS = 5.0
LOOK_SECONDS = 0.1

View = Callable[[Client], Awaitable[object]]


class Chosen(msgspec.Struct, frozen=True):
    """What the pages are opened for: a task of the usual size, and a hundred to compare."""

    running: list[Running]
    usual: str
    compared: list[str]


def choose(store: Path) -> Chosen:
    """Look into the database before a projector holds it."""
    database = Database(database_file(store))
    try:
        ended = [
            task
            for (task,) in database.rows(
                "SELECT task FROM _tasks WHERE state = 'completed' AND project = 'vision'"
                " ORDER BY origin DESC LIMIT 1000"
            )
        ]
        return Chosen(read_running(database), ended[0], ended[::10])
    finally:
        database.close()


def pages(facts: Facts, chosen: Chosen) -> dict[str, list[Named | Sql]]:
    """What each page asks when it is opened."""

    def of_task(task: str) -> list[Named | Sql]:
        return [
            _named("show", task=task),
            _named("logs", task=task, limit=500),
            _named("events", task=task),
            _named("metrics", task=task),
            _named("curve", tasks=[task], pixels=800),
            _named("task_curve", task=task),
        ]

    return {
        "workers and queues": [
            *(_named(name) for name in ("agents", "queues", "machine", "machine_gpus")),
            _named("machine_tasks"),
        ],
        "… one worker, 3 days": [
            _named("machine", agent="gpu-001"),
            _named("machine_gpus", agent="gpu-001"),
            _named("machine_curve", agent="gpu-001", hours=72),
        ],
        "queue depth, 24 h": [_named("queue_depth")],
        "tasks": [_named("tasks")],
        "… the 500th page": [_named("tasks", offset=50_000)],
        "… failed ones of a user": [_named("tasks", states=["failed"], user="ada")],
        "a task": of_task(chosen.usual),
        f"… with a metric of {facts.plan.longest:,} points": of_task(facts.longest),
        "… a thousandth of it": [
            _named("curve", tasks=[facts.longest], start=5_000_000, end=5_010_000, pixels=800)
        ],
        f"compare {len(chosen.compared)}": [
            _named("curve", tasks=chosen.compared, names=["train/loss"], pixels=400)
        ],
        "a query of one's own": [Sql("SELECT state, count(*) FROM tasks GROUP BY ALL")],
    }


def _named(name: str, **params: Any) -> Named:
    # A page follows the log from what it was told, so that it need not wait for the newest.
    return Named(name, params, fresh=False)


async def _all(client: Client, question: Named | Sql) -> int:
    rows = 0
    async for part in client.answer(question):
        if not isinstance(part, Head):
            rows += len(part)
    return rows


async def time_view(client: Client, questions: list[Named | Sql]) -> float:
    """Seconds until all of them, asked at once, are answered."""
    began = time.perf_counter()
    await asyncio.gather(*(_all(client, question) for question in questions))
    return time.perf_counter() - began


class Lag:
    """How far the projection is behind the log, looked at all the time."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def watch(self, client: Client) -> None:
        """For the log's last event, measure how long it takes to be in the database."""
        while True:
            began = time.monotonic()
            last = await client.bus.log.last_seq()
            while await _seq(client) < last:
                await asyncio.sleep(LOOK_SECONDS / 10)
            self.seconds.append(time.monotonic() - began)
            await asyncio.sleep(LOOK_SECONDS)


async def _seq(client: Client) -> int:
    async for part in client.answer(Named("resolve", {"prefix": "none"}, fresh=False)):
        if isinstance(part, Head):
            return part.seq
    raise AssertionError("an answer has a head")


@contextmanager
def process(login: Login, *argv: str) -> Iterator[subprocess.Popen[bytes]]:
    """One of evq's processes, ended behind the block."""
    environment = {**os.environ, "EVQ_LOGIN": msgspec.json.encode(login).decode()}
    started = subprocess.Popen([sys.executable, "-P", "-m", *argv], env=environment)
    try:
        yield started
    finally:
        started.terminate()
        started.wait()


@asynccontextmanager
async def load(
    login: Login, facts: Facts, running: list[Running], rates: Rates
) -> AsyncIterator[None]:
    """The fleet at work, in a process of its own, while the block runs."""
    order = msgspec.json.encode([login, running, facts.plan.machines, facts.plan.gpus, rates])
    argv = [sys.executable, __file__, "--store", ".", "--play"]
    worker = subprocess.Popen(argv, stdin=subprocess.PIPE)
    assert worker.stdin
    worker.stdin.write(order)
    worker.stdin.close()
    try:
        await asyncio.sleep(SETTLE_SECONDS)
        assert worker.poll() is None, "the fleet stopped"
        yield
    finally:
        worker.terminate()
        worker.wait()


def play_fleet() -> None:
    """Be the fleet, as the order on the standard input says."""
    order = msgspec.json.decode(
        sys.stdin.buffer.read(), type=tuple[Login, list[Running], int, int, Rates]
    )
    asyncio.run(play(*order))


async def measure(client: Client, views: dict[str, list[Named | Sql]], rounds: int) -> None:
    """Open every page so many times, and print how long it took."""
    took: dict[str, list[float]] = {name: [] for name in views}
    for number in range(rounds + 1):
        for name, questions in views.items():
            seconds = await time_view(client, questions)
            if number:  # the first time is a warm-up
                took[name].append(seconds)
    for name, seconds in took.items():
        median, high = statistics.median(seconds), sorted(seconds)[int(0.95 * len(seconds))]
        ground.line(name, f"{median * 1000:.0f} ms", f"95 %: {high * 1000:5.0f} ms{_over(median)}")


def _over(seconds: float) -> str:
    return f"   {seconds / LIMIT:.1f} times the limit" if seconds > LIMIT else ""


async def bench(store: Path, rounds: int, rates: Rates) -> None:
    """Start, ask, print."""
    facts, chosen = read_facts(store), choose(store)
    views = pages(facts, chosen)
    cores, busy = os.cpu_count(), os.getloadavg()[0]
    print(f"{platform.machine()}, {cores} cores, load {busy:.1f}: {facts.plan.tasks:,} tasks,")
    print(f"{facts.plan.machines} workers × {facts.plan.gpus} GPUs, {facts.plan.points:,} points")
    with ground.server(store) as login:
        async with ground.client(login) as client:
            with process(login, "evq.projector", "--store", str(store)):
                await _answers(client)
                print("first views, nothing else going on:")
                await measure(client, views, rounds)
                async with load(login, facts, chosen.running, rates):
                    await _under_load(client, views, rounds, rates)


async def _under_load(
    client: Client, views: dict[str, list[Named | Sql]], rounds: int, rates: Rates
) -> None:
    print(f"a second: {rates.points:,.0f} points, {rates.lines:,.0f} lines, {rates.tasks:g} tasks")
    lag = Lag()
    watching = asyncio.create_task(lag.watch(client))
    began, before = time.monotonic(), await _streams(client)
    await measure(client, views, rounds)
    seconds, after = time.monotonic() - began, await _streams(client)
    watching.cancel()
    with suppress(asyncio.CancelledError):
        await watching
    ground.line("messages came", f"{(after - before) / seconds:,.0f} /s", f"for {seconds:.0f} s")
    high = sorted(lag.seconds)[int(0.95 * len(lag.seconds))]
    median = statistics.median(lag.seconds)
    ground.line("an event is in the database after", f"{median:.2f} s", f"95 %: {high:.2f} s")
    ground.line("at the longest", f"{max(lag.seconds):.2f} s")


async def _streams(client: Client) -> int:
    bus = client.bus
    return sum([await one.last_seq() for one in (bus.log, bus.telemetry, bus.samples)])


async def _answers(client: Client) -> None:
    while True:
        with suppress(ProjectorAway):
            await _seq(client)
            return
        await asyncio.sleep(0.1)


def main() -> int:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--play", action="store_true", help=argparse.SUPPRESS)
    for name, value in msgspec.structs.asdict(Rates()).items():
        parser.add_argument(f"--{name}", type=float, default=value, help="a second")
    arguments = vars(parser.parse_args())
    if arguments.pop("play"):
        play_fleet()
        return 0
    store, rounds = arguments.pop("store"), arguments.pop("rounds")
    asyncio.run(bench(store, rounds, Rates(**arguments)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
