"""How soon a log and a curve show what a task has just said, in a real browser:

    uv run benchmarks/following.py [--store DIR] [--count 60] [--every 0.5]

Server, projector, dashboard, agent and task are real, the browser is Chromium. The task prints a
line and says a point now and then, each with the time at which it does; the page notes when each is
drawn. First with nothing else going on, then while points, lines, samples and tasks come in as from
a busy fleet (live_load.py). Without a `--store` that big_history.py has made, a small one is made.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import statistics
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import ground
from big_history import make, read_facts
from dashboard import answers, dashboard, load, process
from history import Plan
from live_load import Rates
from msgspec.structs import replace
from playwright.async_api import Browser, Page, async_playwright
from screens import chromium
from views import Chosen, choose

from evq.core.sdk.author import now
from evq.core.sdk.client import Client
from evq.core.spec import Command, Spec

QUEUE = "following"
SMALL = Plan(end=0, tasks=2000, machines=20, days=2, points=200_000, longest=50_000, lines=50_000)
PATIENCE = 60.0

TASK = """
import os, sys, time, evq
while not os.path.exists(sys.argv[3]):
    time.sleep(0.05)
for number in range(int(sys.argv[1])):
    at = time.time()
    print("written at", at, flush=True)
    evq.log({"written": at}, step=number)
    time.sleep(float(sys.argv[2]))
"""
"""It begins when the file is there that its third argument names."""

# What is new is noted in the frame that shows it.
SEE = """
    const now = () => (performance.timeOrigin + performance.now()) / 1000;
    window.delays = [];
    const note = (moments) => requestAnimationFrame(() => requestAnimationFrame(() => {
        for (const moment of moments) window.delays.push(now() - moment);
    }));
"""
SEE_LOG = f"""() => {{ {SEE}
    new MutationObserver((changes) => note(changes.flatMap(({{addedNodes}}) => [...addedNodes])
        .map((row) => row.textContent.match(/written at ([0-9.]+)/)).filter(Boolean)
        .map((found) => Number(found[1]))
    )).observe(document.querySelector(".evq-log"), {{childList: true}});
}}"""
SEE_CURVE = f"""() => {{ {SEE}
    let last = 0;
    const look = () => {{
        const place = document.querySelector(".evq-curves-chart");
        const drawn = place && getElement(Number(place.id.slice(1))).chart?.getOption();
        const line = drawn?.series?.find((one) => one.id.startsWith("v") && one.name === "written");
        const moments = (line?.data ?? []).map((point) => point[1]).filter((at) => at > last);
        if (moments.length) {{ last = Math.max(...moments); note(moments); }}
        requestAnimationFrame(look);
    }};
    look();
}}"""


async def follow(
    opened: Client, browser: Browser, home: Path, link: str, count: int, every: float
) -> None:
    """Let a task speak, look at its two pages, and print how late each showed what it said."""
    gate = home / secrets.token_hex(4)
    argv = (sys.executable, "-c", TASK, str(count), str(every), str(gate))
    spec = Spec(entry=Command(argv), name="speak", queue=QUEUE, manager="none")
    task = (await opened.enqueue(spec)).task
    base = link.partition("/?")[0]
    log, curve = await browser.new_page(), await browser.new_page()
    await _see(log, link, f"{base}/tasks/{task}", SEE_LOG)
    await _see(curve, link, f"{base}/tasks/{task}?tab=curves", SEE_CURVE)
    gate.touch()
    patience = (count * every + PATIENCE) * 1000
    for name, page in {"a line is seen after": log, "a point is seen after": curve}.items():
        await page.wait_for_function(f"() => window.delays.length >= {count}", timeout=patience)
        _print(name, await page.evaluate("window.delays"))
        await page.close()


async def _see(page: Page, link: str, address: str, script: str) -> None:
    # Each page has a window of its own: in one that lies behind another, frames are rare.
    await page.goto(link)
    await page.goto(address)
    await page.wait_for_selector(".evq-log" if script is SEE_LOG else ".evq-curves")
    await page.evaluate(script)


def _print(name: str, delays: list[float]) -> None:
    median, high = statistics.median(delays), sorted(delays)[int(0.95 * len(delays))]
    late = sum(delay > 1 for delay in delays)
    beside = f"95 %: {high:.2f} s  at the longest {max(delays):.2f} s"
    ground.line(name, f"{median:.2f} s", beside + (f"  {late} LATER THAN A SECOND" if late else ""))


async def bench(store: Path, chosen: Chosen, count: int, every: float, rates: Rates) -> None:
    """Both, alone and beside a fleet."""
    facts = read_facts(store)
    with ground.server(store) as login:
        async with ground.client(login) as opened, async_playwright() as playwright:
            with (
                process(login, "evq.projector", "--store", str(store)),
                ground.agent(store, login, "--name", "speaker", "--queues", QUEUE),
            ):
                await answers(opened)
                with dashboard(login, store) as web:
                    browser = await chromium(playwright)
                    print("nothing else going on:")
                    await follow(opened, browser, store, web.link, count, every)
                    async with load(login, facts, chosen.running, rates):
                        print(f"a second: {rates.points:,.0f} points, {rates.lines:,.0f} lines,")
                        print(f"{rates.tasks:g} tasks, on {facts.plan.machines} workers:")
                        await follow(opened, browser, store, web.link, count, every)
                    await browser.close()


@contextmanager
def history(store: Path | None) -> Iterator[Path]:
    """The store, or a small one."""
    if store:
        yield store
        return
    with ground.folder() as home:
        asyncio.run(make(replace(SMALL, end=now()), 0.1, home))
        yield home


def main() -> int:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", type=Path)
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--every", type=float, default=0.5, help="seconds")
    options = parser.parse_args()
    with history(options.store) as store:
        asyncio.run(bench(store, choose(store), options.count, options.every, Rates()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
