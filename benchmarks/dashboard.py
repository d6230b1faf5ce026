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
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from http import HTTPStatus
from pathlib import Path

import ground
import msgspec
from big_history import Facts, read_facts
from live_load import Rates, Running, play
from views import OWN_QUERY, choose, page_paths, page_questions

from evq.core.bus.connect import Login
from evq.core.errors import ProjectorAway
from evq.core.questions import Head, Named, Sql
from evq.core.sdk.client import Client

LIMIT = 0.3
"""Seconds until a page's first view is there, at the server's side."""

SETTLE_SECONDS = 5.0
LOOK_SECONDS = 0.1

Timed = Callable[[], Awaitable[object]]


def asked(client: Client, questions: list[Named | Sql]) -> Timed:
    """All the questions of a page, at once."""

    async def ask() -> None:
        await asyncio.gather(*(_all(client, question) for question in questions))

    return ask


async def _all(client: Client, question: Named | Sql) -> None:
    async for _ in client.answer(question):
        pass


class Web:
    """The dashboard's own process, asked over HTTP."""

    def __init__(self, link: str) -> None:
        self.link = link
        self._base, _, self._token = link.partition("/?token=")

    def get(self, path: str) -> int:
        """Fetch a page as a whole; its status."""
        request = urllib.request.Request(self._base + path)
        request.add_header("Authorization", f"Bearer {self._token}")
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                answer.read()
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    def opened(self, path: str) -> Timed:
        """Opening a page."""
        return lambda: asyncio.to_thread(self.get, path)


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
def dashboard(login: Login, store: Path) -> Iterator[Web]:
    """The dashboard, as soon as it says where it is."""
    environment = {**os.environ, "EVQ_LOGIN": msgspec.json.encode(login).decode()}
    argv = [sys.executable, "-P", "-m", "evq.projector.web", "--store", str(store)]
    started = subprocess.Popen(
        [*argv, "--listen", "127.0.0.1:0"], env=environment, stderr=subprocess.PIPE, text=True
    )
    assert started.stderr
    try:
        link = next(line for line in started.stderr if "the dashboard is at" in line)
        yield Web(link.split()[-1])
    finally:
        started.terminate()
        started.wait()


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


async def measure(views: dict[str, Timed], rounds: int) -> None:
    """Open every page so many times, and print how long it took."""
    took: dict[str, list[float]] = {name: [] for name in views}
    for number in range(rounds + 1):
        for name, view in views.items():
            began = time.perf_counter()
            await view()
            if number:  # the first time is a warm-up
                took[name].append(time.perf_counter() - began)
    for name, seconds in took.items():
        median, high = statistics.median(seconds), sorted(seconds)[int(0.95 * len(seconds))]
        ground.line(name, f"{median * 1000:.0f} ms", f"95 %: {high * 1000:5.0f} ms{_over(median)}")


def _over(seconds: float) -> str:
    return f"   {seconds / LIMIT:.1f} times the limit" if seconds > LIMIT else ""


async def bench(store: Path, rounds: int, rates: Rates) -> None:
    """Start, ask, print."""
    facts, chosen = read_facts(store), choose(store)
    cores, busy = os.cpu_count(), os.getloadavg()[0]
    print(f"{platform.machine()}, {cores} cores, load {busy:.1f}: {facts.plan.tasks:,} tasks,")
    print(f"{facts.plan.machines} workers × {facts.plan.gpus} GPUs, {facts.plan.points:,} points")
    with ground.server(store) as login:
        async with ground.client(login) as client:
            with process(login, "evq.projector", "--store", str(store)):
                await answers(client)
                with dashboard(login, store) as web:
                    views = {
                        name: asked(client, questions)
                        for name, questions in page_questions(facts, chosen).items()
                    }
                    for path in page_paths(facts, chosen):
                        if await asyncio.to_thread(web.get, path) == HTTPStatus.OK:
                            views["GET " + path.partition("?")[0]] = web.opened(path)
                    print("first views, nothing else going on:")
                    began = time.perf_counter()
                    await _all(client, OWN_QUERY)
                    seconds = time.perf_counter() - began
                    ground.line("the first query of one's own", f"{seconds:.1f} s", "with a copy")
                    await measure(views, rounds)
                    async with load(login, facts, chosen.running, rates):
                        await _under_load(client, views, rounds, rates)


async def _under_load(client: Client, views: dict[str, Timed], rounds: int, rates: Rates) -> None:
    print(f"a second: {rates.points:,.0f} points, {rates.lines:,.0f} lines, {rates.tasks:g} tasks")
    lag = Lag()
    watching = asyncio.create_task(lag.watch(client))
    began, before = time.monotonic(), await _streams(client)
    await measure(views, rounds)
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


async def answers(client: Client) -> None:
    """Return when a projector does."""
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
