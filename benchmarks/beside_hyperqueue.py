"""The same two figures of HyperQueue, on this machine in this minute, to hold evq's against.

    uv run --with hyperqueue benchmarks/beside_hyperqueue.py [--tasks 2000] [--slots 2]

HyperQueue keeps its tasks in memory here (its journal is off, as by default), evq writes each
event to the disk before it says so. Both run /bin/true; a first and a last task that touch a
file give the times of HyperQueue's drain, because its client looks only once a second.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

import uvloop
from dispatch import TRUE, drain, idle_latency, spawn_limit
from ground import agent, agents, client, folder, line, server
from hyperqueue import Job, LocalCluster  # type: ignore[import-not-found]
from hyperqueue.cluster import WorkerConfig  # type: ignore[import-not-found]

PAUSE = 0.02
LATENCIES = 100


def touched(path: Path) -> float:
    """When the file appeared; waits for it."""
    while not path.exists():
        time.sleep(0.0005)
    return path.stat().st_mtime


def hyperqueue_latency(opened: object, home: Path) -> float:
    """Median seconds from before submit to a process that has touched its file."""
    seconds = []
    for number in range(LATENCIES):
        mark, job = home / f"latency-{number}", Job()
        job.program(["/bin/touch", str(mark)])
        began = time.time()
        opened.submit(job)  # type: ignore[attr-defined]
        seconds.append(touched(mark) - began)
        time.sleep(PAUSE)
    return statistics.median(seconds)


def hyperqueue_drain(opened: object, home: Path, tasks: int) -> float:
    """Tasks a second between the first and the last task of one job."""
    job, first, last = Job(), home / "first", home / "last"
    for argv in (["/bin/touch", str(first)], *[[TRUE]] * tasks, ["/bin/touch", str(last)]):
        job.program(argv)
    opened.submit(job)  # type: ignore[attr-defined]
    return tasks / (touched(last) - touched(first))


def hyperqueue(tasks: int, slots: int) -> tuple[float, float]:
    """Its latency in seconds and its drain in tasks a second."""
    with tempfile.TemporaryDirectory(prefix="evq-hq-") as name, LocalCluster() as cluster:
        os.chdir(name)
        cluster.start_worker(WorkerConfig(cores=slots))
        opened = cluster.client()
        hyperqueue_drain(opened, Path(name), 50)
        for mark in ("first", "last"):
            Path(name, mark).unlink()
        latency = hyperqueue_latency(opened, Path(name))
        return latency, hyperqueue_drain(opened, Path(name), tasks)


async def evq(tasks: int, slots: int) -> tuple[float, float]:
    """The same of evq, with a lease, a fence and a durable log."""
    with folder() as home, server(home) as login:
        async with client(login) as opened:
            options = ("--queues", "idle", "--slots", str(slots), "--name", "idle")
            with agent(home / "idle", login, *options):
                await agents(opened, 1)
                await idle_latency(opened, 20)
                latency, _, _ = await idle_latency(opened, LATENCIES)
            return latency, await drain(opened, login, home, tasks, slots)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=2000)
    parser.add_argument("--slots", type=int, default=2)
    options = parser.parse_args()
    line("posix_spawn of /bin/true, one by one", f"{spawn_limit():.0f}/s", "limit")
    their_latency, their_rate = hyperqueue(options.tasks, options.slots)
    our_latency, our_rate = uvloop.run(evq(options.tasks, options.slots))
    line("HyperQueue: submit to a touched file, idle", f"{their_latency * 1e3:.2f} ms")
    line(
        "evq: enqueue to process started, idle",
        f"{our_latency * 1e3:.2f} ms",
        f"{our_latency / their_latency:.2f} x",
    )
    line(f"HyperQueue: drain, {options.slots} slots", f"{their_rate:.0f}/s")
    line(
        f"evq: drain, {options.slots} slots",
        f"{our_rate:.0f}/s",
        f"{our_rate / their_rate:.2f} x",
    )


if __name__ == "__main__":
    main()
