"""A day of samples: `python benchmarks/samples_day.py [--machines N] [--gpus N] [--hours N]`.

Fills a private server with what so many agents tell of machines with so many GPUs in that time, at
the default rate, each GPU with a task of an hour. Then a database is made of it, and asked: what a
day costs on the wire, on the disk and in time.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import ground
from machines import CONFIG, Held, Machines

from evq.core import subjects, wire
from evq.core.bus.connect import Bus, connect
from evq.projector import main as projector
from evq.projector.samples.columns import HOUR, KINDS, MINUTE
from evq.projector.samples.roll_up import drop, roll_up
from evq.projector.store import Database, database_file

TASK_SECONDS = 3600
IN_FLIGHT = 500

QUESTIONS = {
    "the fleet now": "SELECT agent, cpu.mean, memory.last FROM machine_latest",
    "all GPUs now": "SELECT agent, gpu, utilisation.mean, memory.last FROM gpu_latest",
    "a GPU's day by minute": "SELECT ts, utilisation.mean, power.max FROM gpu_minutes"
    " WHERE gpu = $gpu ORDER BY ts",
    "a machine's day by minute": "SELECT ts, cpu.mean, memory.max FROM machine_minutes"
    " WHERE agent = $agent ORDER BY ts",
    "a GPU's last hour in full": "SELECT ts, utilisation.mean FROM gpu_samples"
    " WHERE gpu = $gpu AND ts > (SELECT max(ts) FROM machine_latest) - INTERVAL 1 HOUR ORDER BY ts",
    "the fleet's day by hour": "SELECT ts, avg(utilisation.mean), sum(power.mean)"
    " FROM gpu_hours GROUP BY ts ORDER BY ts",
    "GPUs idle in the last hour": "SELECT agent, gpu FROM gpu_minutes"
    " WHERE ts > (SELECT max(ts) FROM machine_latest) - INTERVAL 1 HOUR"
    " GROUP BY agent, gpu HAVING max(utilisation.max) < 5",
    "a task's curve": "SELECT ts, cpu.mean, gpu.mean, memory.max FROM task_minutes"
    " WHERE claim = $claim ORDER BY ts",
}


class Fleet:
    """Machines each of whose GPUs has a task of an hour, and what their agents say of them."""

    def __init__(self, machines: int, gpus: int) -> None:
        self._machines = Machines(machines, gpus)
        chance = random.Random(6)
        self.ids = self._machines.ids
        self._tasks = [[f"{chance.getrandbits(60):012x}"[-12:] for _ in range(gpus)]
                       for _ in range(machines)]  # fmt: skip

    def samples(self, seconds: float, end: int) -> Iterator[tuple[str, bytes]]:
        """All that is said in the `seconds` before `end`, as it would come."""
        every = CONFIG.report_every
        for number in range(int(seconds / every)):
            for machine, agent in enumerate(self._machines.names):
                ago = seconds - (number + 1 + machine / len(self.ids)) * every
                held = self._held(machine, int(number * every / TASK_SECONDS) + 1)
                sample = self._machines.sample(machine, number, end - int(ago * 1e6), held)
                yield subjects.samples(agent), wire.encode_sample(sample)

    def _held(self, machine: int, generation: int) -> list[Held | None]:
        tasks = self._tasks[machine]
        first = (generation * len(self.ids) + machine) * len(tasks) + 1
        return [
            Held(first + place, f"{name[:-2]}{generation:02}", 1)
            for place, name in enumerate(tasks)
        ]


async def fill(bus: Bus, fleet: Fleet, seconds: float) -> tuple[int, int]:
    """Store the fleet's samples; how many there are, and their bytes."""
    count = size = 0
    for subject, data in fleet.samples(seconds, time.time_ns() // 1000):
        count, size = count + 1, size + len(data)
        if count % IN_FLIGHT:
            await bus.client.publish(subject, data)
        else:
            await bus.requests.request(subject, data, timeout=60)
    await bus.client.flush(60)
    return count, size


def took(work: Callable[[], Any], times: int = 1) -> float:
    """The median of the seconds that it takes."""
    found = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        found.append(time.perf_counter() - began)
    return statistics.median(found)


def used(database: Database) -> int:
    """Bytes of the file that hold something."""
    database.checkpoint()
    found = database.rows(
        "SELECT block_size * used_blocks FROM pragma_database_size()"
        " WHERE database_name = current_database()"
    )
    return int(found[0][0])


def count_rows(database: Database, table: str) -> str:
    """How many rows a table has, for people."""
    return f"{database.rows(f'SELECT count(*) FROM {table}')[0][0]:,} rows"


def ask(database: Database, fleet: Fleet) -> None:
    """Time the questions."""
    values = {
        "gpu": fleet.ids[len(fleet.ids) // 2][0],
        "agent": f"gpu-{len(fleet.ids) // 2:03}",
        "claim": database.rows("SELECT max(claim) - 5 FROM task_latest")[0][0],
    }
    for what, sql in QUESTIONS.items():
        given = {name: value for name, value in values.items() if f"${name}" in sql}
        seconds = took(partial(database.rows, sql, given), 5)
        rows = len(database.rows(sql, given))
        ground.line(what, f"{seconds * 1000:.1f} ms", f"{rows:,} rows")


def sum_up_again(database: Database) -> None:
    """Time what is done a minute, an hour and a day after another, for the whole day at once."""
    for kind in KINDS:
        for unit in (MINUTE, HOUR):
            database.execute(f"DELETE FROM {kind.rolled(unit)}")
    database.execute("DELETE FROM _rolled WHERE seq > 0")
    now = time.time()
    for unit in (MINUTE, HOUR):
        seconds = took(partial(roll_up, database, unit, now))
        ground.line(f"sum up by {unit}", f"{seconds:.1f} s", count_rows(database, f"_gpu_{unit}s"))
    full = used(database)
    seconds = took(partial(drop, database, now))
    left = used(database)
    ground.line("drop samples", f"{seconds:.2f} s", count_rows(database, "_gpu_samples"))
    ground.line("samples in full, on the disk", f"{(full - left) / 2**20:.0f} MiB")
    ground.line("minutes and hours, on the disk", f"{left / 2**20:.0f} MiB")


async def bench(machines: int, gpus: int, hours: float, folder: Path) -> None:
    """Fill, make the database, ask, print."""
    fleet, store = Fleet(machines, gpus), folder / "store"
    print(f"{machines} machines with {gpus} GPUs each, {hours:g} h")
    with ground.server(folder, "120s") as login:
        async with connect(login, "bench", patience=10) as bus:
            await bus.prepare()
            began = time.perf_counter()
            count, size = await fill(bus, fleet, hours * 3600)
            filling = time.perf_counter() - began
            assert await bus.samples.last_seq() == count
        ground.line("messages", f"{count:,}", f"generated and stored in {filling:.0f} s")
        ground.line("a message", f"{size / count:.0f} B", f"{size / 2**20:.0f} MiB in all")
        rate = size / (hours * 3600) / 2**10
        ground.line("on the wire", f"{rate:.0f} KiB/s")
        files = [file for file in (folder / "nats").rglob("*.blk") if "EVQSAM" in str(file)]
        stored = sum(file.stat().st_size for file in files)
        ground.line("the stream, on the disk", f"{stored / 2**20:.0f} MiB")
        began = time.perf_counter()
        assert await projector.run(login, store, rebuild=True) == 0
        seconds = time.perf_counter() - began
        ground.line(
            "read into the database", f"{seconds:.1f} s", f"{count / seconds:,.0f} messages/s"
        )
        day = hours * 3600 / seconds
        ground.line("that is", f"{day:.0f} times", "as fast as it came")
    database = Database(database_file(store))
    try:
        for kind in KINDS:
            ground.line(kind.name, count_rows(database, kind.samples))
        ask(database, fleet)
        sum_up_again(database)
    finally:
        database.close()


def main() -> int:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--machines", type=int, default=200)
    parser.add_argument("--gpus", type=int, default=8)
    parser.add_argument("--hours", type=float, default=24.0)
    arguments = parser.parse_args()
    with ground.folder() as folder:
        asyncio.run(bench(arguments.machines, arguments.gpus, arguments.hours, folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
