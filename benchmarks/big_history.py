"""A big fleet with a long history, in a folder that `evq up --store` takes:

    uv run benchmarks/big_history.py --store DIR [--tasks N] [--machines N] [--points N] …

The log is real: all of a task's life, what it said, and the samples of the last hours are messages
on a server, and the database is made of them by the projector's own rebuild. Only what the stream
of samples would no longer hold, the minutes and hours before, is written into the database. In a
folder that was filled before, only the database is made again.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import ground
import msgspec
from history import History, Message, Plan, Tenure
from machines import CONFIG, Held
from old_samples import write_old_samples
from voice import SECOND

from evq.core import subjects, wire
from evq.core.bus.connect import Bus, Login, connect
from evq.core.sdk.author import now
from evq.projector import main as projector
from evq.projector.store import Database, database_file

FACTS = "history.json"
IN_FLIGHT = 500


class Facts(msgspec.Struct, frozen=True):
    """What one wants to know of a store that was made: `longest` is the task with the metric
    `train/loss` of millions of points."""

    plan: Plan
    longest: str
    messages: int
    hours: float = 2.0
    """How far back there are samples in full."""


def read_facts(store: Path) -> Facts:
    """The facts of a store."""
    return msgspec.json.decode((store / FACTS).read_bytes(), type=Facts)


class Holders:
    """Who had each GPU, asked for in the order of time."""

    def __init__(self, history: History) -> None:
        self._tenures = history.tenures
        self._at = dict.fromkeys(history.tenures, 0)
        self._gpus = history.plan.gpus

    def held(self, machine: int, at: int) -> list[Held | None]:
        """The attempts that have the machine's GPUs."""
        return [self._one((machine, gpu), at) for gpu in range(self._gpus)]

    def _one(self, place: tuple[int, int], at: int) -> Held | None:
        tenures: list[Tenure] = self._tenures.get(place, [])
        number = self._at.get(place, 0)
        while number < len(tenures) and tenures[number].until <= at:
            number += 1
        self._at[place] = number
        if number < len(tenures) and tenures[number].since <= at:
            return tenures[number].held
        return None


def samples(history: History, hours: float) -> Iterator[Message]:
    """What the agents say of their machines in the last hours."""
    every, plan = CONFIG.report_every, history.plan
    holders = Holders(history)
    for number in range(int(hours * 3600 / every)):
        for machine, agent in enumerate(history.machines.names):
            ago = hours * 3600 - (number + machine / plan.machines) * every
            at = plan.end - int(ago * SECOND)
            sample = history.machines.sample(machine, number, at, holders.held(machine, at))
            yield subjects.samples(agent), wire.encode_sample(sample)


async def publish(bus: Bus, messages: Iterator[Message]) -> int:
    """Store the messages, of which one in many is waited for; how many there are."""
    sent: Counter[str] = Counter()
    began = told = time.monotonic()
    for subject, data in messages:
        stream = subject.partition(".")[0]
        sent[stream] += 1
        if sent[stream] % IN_FLIGHT:
            await bus.client.publish(subject, data)
        else:
            await bus.requests.request(subject, data, timeout=120)
        if time.monotonic() > told + 10:
            told = time.monotonic()
            print(f"{sent.total():,} messages in {told - began:.0f} s", flush=True)
    await bus.client.flush(120)
    streams = {"evq": bus.log, "evqtel": bus.telemetry, "evqsam": bus.samples}
    for name, count in sent.items():
        while await streams[name].last_seq() < count:
            await asyncio.sleep(0.1)
    return sent.total()


async def make(plan: Plan, hours: float, store: Path) -> None:
    """Fill a new store."""
    history = History(plan)
    began = time.monotonic()
    with ground.server(store, "120s") as login:
        async with connect(login, "bench", patience=30) as bus:
            await bus.prepare()
            count = await publish(bus, history.messages())
            assert await bus.log.last_seq() == history.seq, "the server is not ours alone"
            count += await publish(bus, samples(history, hours))
        ground.line("stored", f"{count:,}", f"messages in {time.monotonic() - began:.0f} s")
        await _make_database(login, store, plan, hours)
    facts = Facts(plan, history.longest_task, count, hours)
    (store / FACTS).write_bytes(msgspec.json.encode(facts))


async def make_again(store: Path) -> None:
    """Make the database of a store that was filled before."""
    facts = read_facts(store)
    with ground.server(store, "120s") as login:
        await _make_database(login, store, facts.plan, facts.hours)


async def _make_database(login: Login, store: Path, plan: Plan, hours: float) -> None:
    assert await projector.run(login, store, rebuild=True) == 0
    began = time.monotonic()
    path = database_file(store)
    database = Database(path)
    try:
        # Those of the database before are taken over, if that was not too different.
        if not database.rows("SELECT 1 FROM _machine_minutes WHERE seq = 0 LIMIT 1"):
            write_old_samples(database, plan, hours)
        database.checkpoint()
        for table in ("_tasks", "_attempts", "_events", "_metrics", "_logs", "_gpu_minutes"):
            rows = database.rows(f"SELECT count(*) FROM {table}")[0][0]
            ground.line(table.strip("_"), f"{rows:,}", "rows")
    finally:
        database.close()
    ground.line("older minutes and hours", f"{time.monotonic() - began:.0f} s")
    ground.line("the database", f"{path.stat().st_size / 2**20:,.0f} MiB")


def main() -> int:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", type=Path, required=True, help="a new folder, or one of ours")
    usual = msgspec.structs.asdict(Plan(end=now()))
    for name, value in usual.items():
        parser.add_argument(f"--{name}", type=type(value), default=value)
    parser.add_argument("--samples", type=float, default=2.0, help="hours of samples in full")
    arguments = vars(parser.parse_args())
    store, hours = arguments.pop("store"), arguments.pop("samples")
    if (store / FACTS).exists():
        asyncio.run(make_again(store))
        return 0
    store.mkdir(mode=0o700, parents=True)
    asyncio.run(make(Plan(**arguments), hours, store))
    return 0


if __name__ == "__main__":
    sys.exit(main())
