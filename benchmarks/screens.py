"""Pictures of every page of the dashboard, light and dark, with a busy fleet behind them.

    uv run benchmarks/screens.py [--out docs/screens] [--width 1400]

The fleet is played, as for `screens_top.py`: a real server, projector and dashboard, real events,
presence, samples and telemetry, and nobody behind them. The browser is Chromium.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import random
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
from ground import client, folder, server
from playwright.async_api import Browser, Playwright, async_playwright
from screens_services import services
from screens_top import WORKERS, live, play, projector, sample

from evq.core import events, subjects, wire
from evq.core.bus.connect import Login
from evq.core.sdk.author import now
from evq.core.sdk.client import Client
from evq.core.spec import After, Command, Spec
from evq.core.state import Task

STEPS = 400
LONG = {"services"}
"""Pages that are shown as a whole, however long they are."""
QUALITY = 60
"""Of the JPEG files, in percent: they are for a look, and stay small."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/screens"))
    parser.add_argument("--width", type=int, default=1400)
    options = parser.parse_args()
    asyncio.run(pictures(options.out, options.width))


async def pictures(out: Path, width: int) -> None:
    """Play a fleet, and write a picture of each page in each colour scheme."""
    out.mkdir(parents=True, exist_ok=True)
    chance = random.Random(11)
    with folder() as home, server(home, sync="60s") as login:
        async with client(login) as opened, projector(home, login, opened):
            await play(opened, chance)
            await machines(opened, chance)
            told = [await train(opened, number, chance) for number in range(3)]
            service = await sweep(opened, chance)
            decided = await services(opened, chance)
            pages = {
                "workers": "/",
                "worker": f"/workers/{WORKERS[0]}",
                "queue": "/queues/default",
                "tasks": "/tasks",
                "task": f"/tasks/{told[0].id}",
                "compare": f"/compare?tasks={','.join(task.id for task in told)}",
                "services": f"{decided}&task={service}",
                "sql": "/sql?name=wait-percentiles",
            }
            async with dashboard(home, login) as link, async_playwright() as playwright:
                browser = await chromium(playwright)
                for scheme in ("light", "dark"):
                    await take(browser, link, scheme, pages, out, width)
                await browser.close()


async def chromium(playwright: Playwright) -> Browser:
    """The machine's own, without a window."""
    return await playwright.chromium.launch(
        executable_path=shutil.which("chromium"), chromium_sandbox=False, args=["--disable-gpu"]
    )


async def take(
    browser: Browser, link: str, scheme: str, pages: dict[str, str], out: Path, width: int
) -> None:
    """The pages in one colour scheme."""
    size = {"width": width, "height": 900 if width > 600 else 844}
    context = await browser.new_context(color_scheme=scheme, viewport=size)  # type: ignore[arg-type]
    page = await context.new_page()
    await page.goto(link)
    base = link.partition("/?")[0]
    for name, path in pages.items():
        await page.goto(base + path)
        await page.wait_for_load_state("networkidle")
        # Charts are drawn after the page is there, and say nothing when they are done.
        await page.wait_for_timeout(1500)
        file = out / f"{name}-{scheme}.jpg"
        await page.screenshot(path=file, type="jpeg", quality=QUALITY, full_page=name in LONG)
        print(f"{file}  {file.stat().st_size // 1024} KiB")
    await context.close()


@asynccontextmanager
async def dashboard(home: Path, login: Login) -> AsyncIterator[str]:
    """A real one; its link."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "evq.projector.web", "--listen", "127.0.0.1:0"),
        *("--store", str(home / "dashboard")),
        env={**os.environ, "EVQ_LOGIN": msgspec.json.encode(login).decode()},
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    try:
        line = (await process.stderr.readline()).decode()
        yield next(word for word in line.split() if word.startswith("http"))
    finally:
        process.terminate()
        await process.wait()


async def machines(opened: Client, chance: random.Random) -> None:
    """What the workers saw of their machines within the last hours."""
    for worker in WORKERS:
        count = 8 if worker.startswith("gpu") else 0
        for minutes in range(180, 0, -3):
            taken = {f"{worker}-{n}" for n in range(count) if chance.random() < 0.8}
            seen = sample(worker, count, taken, chance)
            seen = msgspec.structs.replace(
                seen, number=200 - minutes, at=now() - minutes * 60 * 10**6
            )
            data = wire.encode_sample(seen)
            await opened.bus.samples.publish(
                subjects.samples(worker), data, f"{worker}-{minutes}-past"
            )


async def train(opened: Client, number: int, chance: random.Random) -> Task:
    """A task that runs and says what training says."""
    rate = (0.1, 0.03, 0.01)[number]
    command = ("train.py", "--lr", str(rate), "--epochs", "10")
    receipt = await opened.enqueue(
        Spec(
            entry=Command(command),
            name="train.py",
            queue="default",
            user="ada",
            host="box",
            project="vision",
            tags=("resnet",),
        )
    )
    await live(opened, receipt.task, WORKERS[number], 0, chance, end=False)
    task = await opened.get(receipt.task)
    began = now() - STEPS * 10**6
    steps = range(STEPS)
    loss = [2.3 * math.exp(-step * rate / 9) + chance.uniform(0, 0.08) for step in steps]
    for name, values in {"loss": loss, "accuracy": [1 - one / 2.6 for one in loss]}.items():
        record = events.Metric(
            attempt=1,
            claim=task.attempts[0].claim,
            at=tuple(began + step * 10**6 for step in steps),
            name=(name,) * STEPS,
            step=tuple(steps),
            value=tuple(values),
        )
        await say(opened, task, record)
    lines = [f"epoch {step // 40} step {step} loss {loss[step]:.4f}" for step in steps]
    await say(
        opened,
        task,
        events.Log(
            attempt=1,
            claim=task.attempts[0].claim,
            first=0,
            at=tuple(began + step * 10**6 for step in steps),
            stream="o" * STEPS,
            text=tuple(lines),
        ),
    )
    return task


async def sweep(opened: Client, chance: random.Random) -> str:
    """A service that has made tasks, some of which await others; its id."""
    made = Spec(
        entry=Command(("sweep.py",)), name="sweep.py", queue="services", user="eva", host="b"
    )
    parent = (await opened.enqueue(made)).task
    await live(opened, parent, WORKERS[-1], 0, chance, end=False)
    trials = []
    for number in range(5):
        trial = Spec(
            entry=Command(("trial.py",)),
            name=f"trial {number}",
            queue="night",
            user="eva",
            host="b",
            parent=parent,
        )
        trials.append((await opened.enqueue(trial)).task)
    for number, task in enumerate(trials[:3]):
        await live(opened, task, WORKERS[number], 1, chance, end=number < 2)
    best = Spec(
        entry=Command(("best.py",)),
        name="keep the best",
        queue="night",
        user="eva",
        host="b",
        parent=parent,
        after=tuple(After(task, "any") for task in trials),
    )
    await opened.enqueue(best)
    return parent


async def say(opened: Client, task: Task, record: events.Telemetry) -> None:
    """Publish a record as the task's agent would."""
    subject = subjects.telemetry(task.spec.queue, task.id, "played")
    data = wire.encode_telemetry(record)
    await opened.bus.telemetry.publish(subject, data, os.urandom(8).hex())


if __name__ == "__main__":
    main()
