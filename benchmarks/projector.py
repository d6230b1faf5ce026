"""How fast the projector is: `python benchmarks/projector.py [--messages N]`.

Fills a private server with the messages of tasks that lived a usual life, then measures, each in
a process of its own: reading the streams and doing nothing (what no projector can beat), a
rebuild of the database, and its verification. A task's life here is six lifecycle events, two
messages with 50 points of metrics each and two with 20 log lines each.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import ground

from evq.core import events, subjects, wire
from evq.core.bus.connect import Bus, Login, connect
from evq.core.bus.loop import loop_factory
from evq.core.spec import Command, Spec
from evq.projector import main as projector
from evq.projector.store import Database, database_file

MESSAGES_PER_TASK = 10
POINTS, LINES = 50, 20
IN_FLIGHT = 500
CONCURRENT = 200
"""How many tasks live at the same time, their messages interleaved."""

LEVEL = subjects.Level("default", 5)


def lives(count: int) -> Iterator[tuple[str, bytes]]:
    """The messages of `count` tasks, interleaved as those of busy agents would be."""
    chance = random.Random(1)
    alive: list[Iterator[tuple[str, bytes]]] = []
    seq = [0]
    started = 0
    while alive or started < count:
        while len(alive) < CONCURRENT and started < count:
            alive.append(life(f"{chance.getrandbits(60):012x}"[-12:], seq, chance))
            started += 1
        place = chance.randrange(len(alive))
        message = next(alive[place], None)
        if message is None:
            alive[place] = alive[-1]
            alive.pop()
        else:
            yield message


def life(task: str, seq: list[int], chance: random.Random) -> Iterator[tuple[str, bytes]]:
    """The messages of one task; `seq` counts those of the lifecycle stream."""
    agent = f"agent{chance.randrange(20)}"
    own = subjects.lifecycle("default", task)
    said = subjects.telemetry("default", task, agent)
    now = 1_780_000_000_000_000 + seq[0] * 1000

    def fact(subject: str, event: events.Lifecycle, by: str = agent) -> tuple[str, bytes]:
        seq[0] += 1
        envelope = events.Envelope(id=f"{seq[0]:020x}", at=now, by=by, event=event)
        return subject, wire.encode(envelope)

    argv = ("python", "train.py", "--lr", f"{chance.random():.4f}")
    spec = Spec(
        entry=Command(argv),
        name="train",
        queue="default",
        params={"lr": argv[3], "seed": str(chance.randrange(1000))},
        user="ada",
        host="box",
    )
    yield fact(subjects.hint(LEVEL, task), events.Enqueued(task, spec), "ada@box")
    claimed = events.Claimed(
        attempt=1, agent=agent, instance="i" * 16, slot=0, hint=seq[0], lease=30
    )
    message = fact(own, claimed)
    claim = seq[0]
    yield message
    yield fact(own, events.Phase(attempt=1, name="source", seconds=0.4, cached=True))
    yield fact(own, events.Phase(attempt=1, name="environment", seconds=1.5, cached=True))
    started = events.Started(attempt=1, pid=4711, argv=argv, host=agent, folder="/run/evq")
    yield fact(own, started)
    for part in range(2):
        steps = range(part * POINTS, (part + 1) * POINTS)
        metric = events.Metric(
            attempt=1,
            claim=claim,
            at=tuple(now + step for step in steps),
            name=("train/loss", "val/acc") * (POINTS // 2),
            step=tuple(steps),
            value=tuple(chance.random() for _ in steps),
        )
        yield said, wire.encode_telemetry(metric)
        log = events.Log(
            attempt=1,
            claim=claim,
            first=part * LINES,
            at=(now,) * LINES,
            stream="o" * LINES,
            text=tuple(f"step {step} loss {chance.random():.5f}" for step in range(LINES)),
        )
        yield said, wire.encode_telemetry(log)
    usage = events.Usage(wall=60.0, cpu=55.0, max_rss=2**30)
    outcome = events.Outcome.COMPLETED
    yield fact(own, events.Finished(attempt=1, outcome=outcome, exit_code=0, usage=usage))


async def fill(bus: Bus, tasks: int) -> None:
    """Store the lives of `tasks` tasks: of each stream, one message in many is waited for."""
    sent: Counter[str] = Counter()
    for subject, data in lives(tasks):
        stream = subject.partition(".")[0]
        sent[stream] += 1
        if sent[stream] % IN_FLIGHT:
            await bus.client.publish(subject, data)
        else:
            await bus.requests.request(subject, data, timeout=60)
    await bus.client.flush(60)


async def read_bare(login: Login) -> int:
    """Read both streams to their ends and count."""
    async with connect(login, "bench", patience=10) as bus:
        counts = []
        for stream in (bus.log, bus.telemetry):
            last, count = await stream.last_seq(), 0
            async with stream.follow(1) as batches:
                async for batch in batches:
                    count += len(batch)
                    if batch[-1].seq >= last:
                        break
            counts.append(count)
    return sum(counts)


def timed(name: str, login: Login, store: Path) -> float:
    """Seconds that this script's part `name` takes in a process of its own."""
    command = [sys.executable, __file__, "--part", name, login.server, str(store)]
    environment = {**os.environ, "EVQ_TOKEN": login.token or ""}
    began = time.perf_counter()
    subprocess.run(command, check=True, env=environment)
    return time.perf_counter() - began


def part(name: str, address: str, store: Path) -> int:
    """One measured part."""
    login = Login(server=address, token=os.environ["EVQ_TOKEN"])
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        if name == "read":
            return 0 if runner.run(read_bare(login)) else 1
        rebuild, verify = name == "rebuild", name == "verify"
        return runner.run(projector.run(login, store, rebuild=rebuild, verify=verify))


async def bench(messages: int, folder: Path) -> None:
    """Fill, measure, print."""
    tasks = messages // MESSAGES_PER_TASK
    store = folder / "store"
    with ground.server(folder, "120s") as login:
        async with connect(login, "bench", patience=10) as bus:
            await bus.prepare()
            began = time.perf_counter()
            await fill(bus, tasks)
            filling = time.perf_counter() - began
            stored = await bus.log.last_seq() + await bus.telemetry.last_seq()
        assert stored == tasks * MESSAGES_PER_TASK, f"{stored} messages were stored"
        measured = {"fill": filling}
        for name in ("read", "rebuild", "verify"):
            measured[name] = timed(name, login, store)
    print(
        f"{tasks:,} tasks, {stored:,} messages, {tasks * 2 * (POINTS + LINES):,} points and lines"
    )
    for name, seconds in measured.items():
        print(f"{name:10} {seconds:8.1f} s {stored / seconds:12,.0f} messages/s")
    path = database_file(store)
    database = Database(path)
    rows = database.rows("SELECT (SELECT count(*) FROM _metrics) + (SELECT count(*) FROM _logs)")
    database.close()
    print(f"database   {path.stat().st_size / 2**20:8.1f} MiB, {rows[0][0]:,} points and lines")


def main() -> int:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--part", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part:
        name, address, store = arguments.part
        return part(name, address, Path(store))
    with ground.folder() as folder:
        asyncio.run(bench(arguments.messages, folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
