"""A picture of `evq top` in 80 columns and 24 lines, with a busy fleet behind it.

    uv run benchmarks/screens_top.py [--keys "4 enter"] [--out docs/top.svg]

The fleet is played: a real server, real events, presence and samples, and nobody behind them.
`--keys` are pressed before the picture is taken.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import msgspec
from ground import client, folder, server

from evq.cli.top.app import Top
from evq.core import subjects, wire
from evq.core.bus.connect import Login
from evq.core.decide import Claim, Finish, Holder, Start
from evq.core.errors import ProjectorAway
from evq.core.events import Launch, Outcome
from evq.core.fleet.presence import AgentPresence, RunningTask, encode_presence
from evq.core.fleet.resources import Device, Offer
from evq.core.fleet.samples import Gpus, Machine, Sample
from evq.core.handle import handle
from evq.core.sdk.author import Author, now
from evq.core.sdk.client import Client
from evq.core.sdk.live import live_fleet
from evq.core.spec import Command, Spec

WORKERS = ("gpu-01", "gpu-02", "gpu-03", "gpu-04", "cpu-01")
USERS = ("ada", "ben", "eva", "ida")
NAMES = ("train.py", "sweep.py", "evaluate.py", "tokenize.py", "distill.py")
MEMORY = 80 * 2**30
SECONDS = 900
"""For how long the played workers are there."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", default="")
    parser.add_argument("--out", type=Path, default=Path("docs/top.svg"))
    options = parser.parse_args()
    asyncio.run(picture(options.keys.split(), options.out))


async def picture(keys: list[str], out: Path) -> None:
    """Play a fleet and write what `evq top` shows of it."""
    with folder() as home, server(home, sync="60s") as login:
        async with client(login) as opened, projector(home, login, opened):
            await play(opened, random.Random(7))
            async with live_fleet(opened) as fleet:
                await fleet.caught_up()
                top = Top(opened, fleet, read_only=False)
                async with top.run_test(size=(80, 24)) as pilot:
                    await pilot.press(*keys)
                    await pilot.pause(1.0)
                    out.write_text(without_fonts(top.export_screenshot(title="evq top")))
    print(f"{out}  {out.stat().st_size // 1024} KiB")


@asynccontextmanager
async def projector(home: Path, login: Login, opened: Client) -> AsyncIterator[None]:
    """A real one, from the moment when it answers."""
    (home / "projector").mkdir()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "evq.projector", "--store", str(home / "projector")),
        env={**os.environ, "EVQ_LOGIN": msgspec.json.encode(login).decode()},
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        while True:
            with suppress(ProjectorAway):
                await opened.projected()
                break
            await asyncio.sleep(0.1)
        yield
    finally:
        process.terminate()
        await process.wait()


def without_fonts(svg: str) -> str:
    """The picture without the fonts that it would fetch from elsewhere."""
    bare = re.sub(r"<!--.*?-->", "", svg, flags=re.S)
    return re.sub(r"@font-face \{.*?\}\s*", "", bare, flags=re.S)


async def play(opened: Client, chance: random.Random) -> None:
    """Tasks that wait, run and have ended, and the workers that have them."""
    specs = [spec(chance) for _ in range(90)]
    receipts = await opened.enqueue_many(specs)
    tasks = iter([receipt.task for receipt in receipts])
    for worker in WORKERS:
        running = []
        for slot in range(8 if worker.startswith("gpu") else 4):
            for _ in range(chance.randrange(3)):
                await live(opened, next(tasks), worker, 0, chance, end=True)
            if chance.random() < 0.85:
                running.append(await live(opened, next(tasks), worker, slot, chance, end=False))
        await be_there(opened, worker, running, chance)


def spec(chance: random.Random) -> Spec:
    """What somebody might ask for."""
    queue, name = chance.choice(["default", "default", "night"]), chance.choice(NAMES)
    user = chance.choice(USERS)
    return Spec(entry=Command((name,)), name=name, queue=queue, user=user, host="box", gpus=1)


async def live(
    opened: Client, id: str, worker: str, slot: int, chance: random.Random, *, end: bool
) -> RunningTask:
    """Let a worker take a task, and end it or not."""
    author, log = Author(worker), opened.bus.log
    task = await opened.get(id)
    gpus = (f"{worker}-{slot}",)
    claim = Claim(worker, worker, slot=slot, hint=task.place.hint, lease=30.0, waited=0, gpus=gpus)
    task = (await handle(log, author, task, claim)).task
    holder = Holder(worker, 1)
    launch = Launch(now(), 4000 + slot, ("python", task.spec.name), worker, "/work")
    task = (await handle(log, author, task, Start(holder, launch))).task
    if end:
        outcome, code = chance.choice([(Outcome.COMPLETED, 0)] * 4 + [(Outcome.FAILED, 1)])
        await handle(log, author, task, Finish(holder, outcome, exit_code=code))
    return RunningTask(
        task=id,
        attempt=1,
        name=task.spec.name,
        user=task.spec.user,
        slot=slot,
        since=now() - chance.randrange(10**10),
        queue=task.spec.queue,
        gpus=gpus,
    )


async def be_there(
    opened: Client, worker: str, running: list[RunningTask], chance: random.Random
) -> None:
    """Say what a worker says of itself and of its machine."""
    count = 8 if worker.startswith("gpu") else 0
    taken = {gpu for one in running for gpu in one.gpus}
    devices = tuple(
        Device(
            id=f"{worker}-{n}",
            index=n,
            name="NVIDIA H100",
            memory=MEMORY,
            free_memory=0 if f"{worker}-{n}" in taken else MEMORY,
            held=f"{worker}-{n}" in taken,
        )
        for n in range(count)
    )
    slots = count or 4
    offer = Offer(slots, 64, 2**39, devices)
    presence = AgentPresence(
        agent=worker,
        instance=worker,
        host=f"{worker}.lab",
        pid=812,
        queues=("default", "night"),
        order="strict",
        slots=slots,
        claims=tuple(range(len(running))),
        since=now() - 10**12,
        offer=offer,
        free=msgspec.structs.replace(offer, slots=slots - len(running)),
        running=tuple(running),
    )
    await opened.bus.presence.put(f"{worker}.{worker}", encode_presence(presence), SECONDS)
    data = wire.encode_sample(sample(worker, count, taken, chance))
    await opened.bus.samples.publish(subjects.samples(worker), data, f"{worker}-0")


def sample(worker: str, count: int, taken: set[str], chance: random.Random) -> Sample:
    """What a worker sees of its machine."""

    def figure(low: float, high: float) -> tuple[float, float, float]:
        mean = chance.uniform(low, high)
        return mean, mean, mean

    busy = [f"{worker}-{n}" in taken for n in range(count)]
    gpus = Gpus(
        index=tuple(range(count)),
        id=tuple(f"{worker}-{n}" for n in range(count)),
        name=("NVIDIA H100",) * count,
        total=(MEMORY // 2**20,) * count,
        limit=(700,) * count,
        utilisation=tuple(figure(70, 99) if one else figure(0, 1) for one in busy),
        memory_utilisation=tuple(figure(30, 80) for _ in busy),
        memory=tuple(figure(20_000, 78_000) if one else figure(1, 500) for one in busy),
        temperature=tuple(figure(50, 80) if one else figure(30, 35) for one in busy),
        power=tuple(figure(300, 690) if one else figure(60, 80) for one in busy),
        clock=(None,) * count,
        memory_clock=(None,) * count,
        outside=(None,) * count,
        trouble=("",) * count,
    )
    machine = Machine(cpu=figure(30, 90), memory=figure(100_000, 400_000), memory_total=2**19)
    return Sample(
        agent=worker,
        instance=worker,
        number=0,
        at=now(),
        seconds=10.0,
        readings=20,
        machine=machine,
        gpus=gpus,
    )


if __name__ == "__main__":
    main()
