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

from evq.agent.config import Config
from evq.core import subjects, wire
from evq.core.bus.connect import Bus, connect
from evq.core.fleet.samples import Figure, Gpus, Machine, Processes, Sample, Shares
from evq.projector import main as projector
from evq.projector.samples.columns import HOUR, KINDS, MINUTE
from evq.projector.samples.roll_up import drop, roll_up
from evq.projector.store import Database, database_file

CONFIG = Config(queues=("q",), state=Path(), cache=Path())
CORES = 64
TASK_SECONDS = 3600
IN_FLIGHT = 500
KINDS_OF_FIGURE = 4096
"""How many different figures of each kind there are: to make each anew would take hours."""

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


class Tables:
    """Figures to choose from."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._made: dict[tuple[float, float, int], list[Figure]] = {}

    def pick(self, least: float, most: float, places: int = 0) -> Figure:
        """Some figure between the two."""
        known = self._made.get((least, most, places))
        if known is None:
            known = [self._make(least, most, places) for _ in range(KINDS_OF_FIGURE)]
            self._made[least, most, places] = known
        return known[int(self._chance.random() * KINDS_OF_FIGURE)]

    def _make(self, least: float, most: float, places: int) -> Figure:
        low, middle, high = sorted(
            round(self._chance.uniform(least, most), places or None) for _ in range(3)
        )
        return (middle, high, low)


class Fleet:
    """Machines whose GPUs are busy, and what their agents say of them."""

    def __init__(self, machines: int, gpus: int) -> None:
        self._chance = chance = random.Random(5)
        self._tables = Tables(chance)
        self._gpus = gpus
        self.ids = [
            [f"GPU-{chance.getrandbits(128):032x}" for _ in range(gpus)] for _ in range(machines)
        ]
        self._tasks = [[f"{chance.getrandbits(60):012x}"[-12:] for _ in range(gpus)]
                       for _ in range(machines)]  # fmt: skip

    def samples(self, seconds: float, end: int) -> Iterator[tuple[str, bytes]]:
        """All that is said in the `seconds` before `end`, as it would come."""
        every = CONFIG.report_every
        for number in range(int(seconds / every)):
            for machine, _ in enumerate(self.ids):
                agent = f"gpu-{machine:03}"
                ago = seconds - (number + 1 + machine / len(self.ids)) * every
                sample = self._sample(machine, agent, number, end - int(ago * 1e6))
                yield subjects.samples(agent), wire.encode_sample(sample)

    def _sample(self, machine: int, agent: str, number: int, at: int) -> Sample:
        pick, count = self._tables.pick, self._gpus
        places = range(count)
        memory = [(20_000 + 5000 * place,) * 3 for place in places]
        generation = int(number * CONFIG.report_every / TASK_SECONDS) + 1
        claims = tuple(
            (generation * len(self.ids) + machine) * count + place + 1 for place in places
        )
        tasks = tuple(f"{name[:-2]}{generation:02}" for name in self._tasks[machine])
        return Sample(
            agent=agent,
            instance=f"{machine:012x}",
            number=number,
            at=at,
            seconds=CONFIG.report_every,
            readings=int(CONFIG.report_every / CONFIG.sample_every),
            machine=Machine(
                cpu=pick(20, 60, 1),
                load=pick(20, 40, 1),
                temperature=pick(50, 70),
                memory=pick(200_000, 210_000),
                memory_total=1_031_000,
                swap=(0, 0, 0),
                swap_total=0,
                disk=(900_000, 900_000, 900_000),
                disk_total=3_600_000,
                disk_read=pick(0, 200_000),
                disk_write=pick(0, 100_000),
                net_in=pick(0, 100_000),
                net_out=pick(0, 10_000),
            ),
            cores=tuple(int(pick(0, 100)[0]) for _ in range(CORES)),
            gpus=Gpus(
                index=tuple(places),
                id=tuple(self.ids[machine]),
                name=("NVIDIA A100-SXM4-80GB",) * count,
                total=(81_920,) * count,
                limit=(400,) * count,
                utilisation=tuple(pick(60, 100) for _ in places),
                memory_utilisation=tuple(pick(20, 60) for _ in places),
                memory=tuple(memory),
                temperature=tuple(pick(55, 70) for _ in places),
                power=tuple(pick(200, 400) for _ in places),
                clock=tuple(pick(1300, 1410) for _ in places),
                memory_clock=((1593, 1593, 1593),) * count,
                outside=((0, 0, 0),) * count,
                trouble=("",) * count,
            ),
            processes=Processes(
                gpu=tuple(places),
                pid=tuple(10_000 + claim for claim in claims),
                user=("ada",) * count,
                name=("python",) * count,
                memory=tuple(taken[0] for taken in memory),
                claim=claims,
            ),
            shares=Shares(
                claim=claims,
                task=tasks,
                attempt=(1,) * count,
                cpu=tuple(pick(300, 700) for _ in places),
                memory=tuple(pick(20_000, 21_000) for _ in places),
                processes=((9, 9, 9),) * count,
                gpu=tuple(pick(60, 100) for _ in places),
                gpu_memory=tuple(memory),
            ),
        )


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
