"""The dashboard's pages on a big history, while a fleet is at work:

    uv run benchmarks/big_history.py --store DIR
    uv run benchmarks/dashboard.py --store DIR [--rounds N] [--every SECONDS] [--points N]

Starts a server, a projector and the dashboard on the store, and opens each page once in a browser,
to hear what it asks. Then each first view is taken many times without one: the page itself, and the
answers to all that it asks, a page each second, as by several people at once. First with nothing
else going on, then while points, lines, samples and tasks come in as from a busy fleet
(live_load.py), a process that stands for other machines, and so leaves this one's processors to the
server, the projector and the dashboard first. Tells how far the projector was behind meanwhile. The
store grows by what comes.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import platform
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from http import HTTPStatus
from pathlib import Path
from threading import Thread

import ground
import msgspec
from big_history import Facts, read_facts
from live_load import Rates, Running, play
from playwright.async_api import async_playwright
from screens import chromium
from views import OWN_QUERY, Chosen, Questions, asked_by, choose, paths

from evq.core.bus.connect import Login
from evq.core.errors import ProjectorAway
from evq.core.questions import Head, Named, Sql
from evq.core.sdk.client import Client

LIMIT = 0.3
"""Seconds until a page's first view is there, at the server's side."""

SETTLE_SECONDS = 5.0
LOOK_SECONDS = 0.1


class View(msgspec.Struct):
    """A page, where it is one, and what is asked for it; with the seconds that both took."""

    path: str | None
    questions: Questions
    fetched: list[float] = msgspec.field(default_factory=list)
    answered: list[float] = msgspec.field(default_factory=list)

    @property
    def seconds(self) -> list[float]:
        """How long the whole took, each time."""
        return [sum(parts) for parts in zip(self.fetched, self.answered, strict=True)]


async def open_view(client: Client, web: Web, view: View) -> None:
    """Fetch the page, then ask all its questions at once; keep how long that took."""
    began = time.perf_counter()
    if view.path:
        await asyncio.to_thread(web.get, view.path)
    fetched = time.perf_counter()
    await asyncio.gather(*(_all(client, question) for question in view.questions))
    view.fetched.append(fetched - began)
    view.answered.append(time.perf_counter() - fetched)


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

    def address(self, path: str) -> str:
        """Where a page is."""
        return self._base + path


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
        # Read on, or it would wait for us once it has said enough.
        Thread(target=sys.stderr.writelines, args=(started.stderr,), daemon=True).start()
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
    argv = ["nice", sys.executable, __file__, "--store", ".", "--play"]
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


async def measure(
    client: Client, web: Web, views: dict[str, View], rounds: int, every: float
) -> None:
    """Open every page so many times, one each `every` seconds; print how long it took."""
    for number in range(rounds + 1):
        for view in views.values():
            if number == 1:  # the first time was a warm-up
                view.fetched.clear()
                view.answered.clear()
            began = time.perf_counter()
            await open_view(client, web, view)
            await asyncio.sleep(max(0.0, began + every - time.perf_counter()))
    for name, view in views.items():
        _print(name, view)
    over = [name for name, view in views.items() if high(view.seconds) > LIMIT]
    verdict = "OVER IT: " + "; ".join(over) if over else "none is over it"
    print(f"  of all first views 95 % within {LIMIT * 1000:.0f} ms: {verdict}")


def _print(name: str, view: View) -> None:
    median = statistics.median
    worst = high(view.seconds)
    beside = f"95 %: {worst * 1000:4.0f} ms"
    beside += f"{f'  {worst / LIMIT:.1f} TIMES THE LIMIT' if worst > LIMIT else '':<24}"
    if view.path:
        beside += f"page {_both(view.fetched)} ms"
        beside += f", {len(view.questions)} answers {_both(view.answered)} ms"
    ground.line(name, f"{median(view.seconds) * 1000:.0f} ms", beside)


def _both(seconds: list[float]) -> str:
    """The median and what 95 % do not exceed, in milliseconds."""
    return f"{statistics.median(seconds) * 1000:3.0f} / {high(seconds) * 1000:4.0f}"


def high(seconds: list[float]) -> float:
    """What 95 % of them do not exceed."""
    return sorted(seconds)[math.ceil(0.95 * len(seconds)) - 1]


async def find_views(client: Client, web: Web, facts: Facts, chosen: Chosen) -> dict[str, View]:
    """Open each page once in a browser: the views that there are, with what they ask."""
    views = {}
    async with async_playwright() as playwright:
        browser = await chromium(playwright)
        page = await browser.new_page()
        await page.goto(web.link)
        for name, path in paths(facts, chosen).items():
            status = await asyncio.to_thread(web.get, path)
            assert status == HTTPStatus.OK, f"{path} answers {status}"
            views[name] = View(path, await asked_by(client, page, web.address(path)))
        await browser.close()
    return views | {"a query of one's own": View(None, [OWN_QUERY])}


async def bench(store: Path, rounds: int, every: float, rates: Rates) -> None:
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
                    views = await find_views(client, web, facts, chosen)
                    print("first views, nothing else going on:")
                    began = time.perf_counter()
                    await _all(client, OWN_QUERY)
                    seconds = time.perf_counter() - began
                    ground.line("the first query of one's own", f"{seconds:.1f} s", "with a copy")
                    await measure(client, web, views, rounds, every)
                    async with load(login, facts, chosen.running, rates):
                        await _under_load(client, web, views, rounds, every, rates)


async def _under_load(
    client: Client, web: Web, views: dict[str, View], rounds: int, every: float, rates: Rates
) -> None:
    print(f"a second: {rates.points:,.0f} points, {rates.lines:,.0f} lines, {rates.tasks:g} tasks")
    lag = Lag()
    watching = asyncio.create_task(lag.watch(client))
    began, before = time.monotonic(), await _streams(client)
    await measure(client, web, views, rounds, every)
    seconds, after = time.monotonic() - began, await _streams(client)
    watching.cancel()
    with suppress(asyncio.CancelledError):
        await watching
    ground.line("messages came", f"{(after - before) / seconds:,.0f} /s", f"for {seconds:.0f} s")
    median, most = statistics.median(lag.seconds), high(lag.seconds)
    ground.line("an event is in the database after", f"{median:.2f} s", f"95 %: {most:.2f} s")
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
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--every", type=float, default=1.0, help="seconds from page to page")
    parser.add_argument("--play", action="store_true", help=argparse.SUPPRESS)
    for name, value in msgspec.structs.asdict(Rates()).items():
        parser.add_argument(f"--{name}", type=float, default=value, help="a second")
    arguments = vars(parser.parse_args())
    if arguments.pop("play"):
        play_fleet()
        return 0
    store, rounds, every = (arguments.pop(name) for name in ("store", "rounds", "every"))
    asyncio.run(bench(store, rounds, every, Rates(**arguments)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
