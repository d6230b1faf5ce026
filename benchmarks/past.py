"""How fast moments are looked back at: `python benchmarks/past.py [--tasks N] [--alive N]`.

Fills a database with tasks that lived a usual life, so many of them at the same time, on 200 agents
with 8 GPUs each. Then asks what the page of workers and queues asks, of moments all over the
history: first far apart, then side by side, as those under a slider are. No server is needed: the
projection is given the messages themselves.
"""

from __future__ import annotations

import argparse
import gc
import random
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import projector
from evq.core import events, subjects, wire
from evq.core.past import Moment
from evq.core.ports import Stored
from evq.core.queries import values_for
from evq.core.subjects import LIFECYCLE_STREAM, SAMPLES_STREAM, TELEMETRY_STREAM
from evq.projector.catalogue import questions
from evq.projector.past.connection import Past
from evq.projector.projection import Batch, Projection
from evq.projector.store import Database

AGENTS, GPUS = 200, 8
BATCH = 20_000
PAGE = ("queues", "recorded_agents", "live_attempts", "workload")
"""What the page of workers and queues asks."""

MOMENTS = 20
STEP = 0.001
"""Of the history, from one place of the slider to the next."""


def log(tasks: int, alive: int) -> Iterator[Stored]:
    """The lifecycle stream: agents that come, then tasks."""
    projector.CONCURRENT = alive
    seq = 0
    for number in range(AGENTS):
        seq += 1
        up = events.AgentUp(
            agent=f"agent{number}", instance="i" * 16, host=f"host{number}", pid=1, slots=GPUS,
            queues=("default",), order="strict", version="1", cpus=64, memory=2**38,
            platform="linux", python="3.11", gpus=tuple(f"G-{number}-{gpu}" for gpu in range(GPUS)),
        )  # fmt: skip
        envelope = events.Envelope(id=f"up{number}", at=1_780_000_000_000_000, by="agent", event=up)
        yield Stored(seq, subjects.agent_events(f"agent{number}"), wire.encode(envelope))
    for subject, data in projector.lives(tasks):
        if not subject.startswith("evqtel."):
            seq += 1
            yield Stored(seq, subject, data)


def fill(database: Database, tasks: int, alive: int) -> int:
    """Project it all; returns the last sequence."""
    for stream in (LIFECYCLE_STREAM, TELEMETRY_STREAM, SAMPLES_STREAM):
        database.start(stream, "then")
    projection = Projection(database)
    batch: list[Stored] = []
    for stored in log(tasks, alive):
        batch.append(stored)
        if len(batch) == BATCH:
            projection.apply(Batch(batch))
            batch = []
    projection.apply(Batch(batch))
    database.checkpoint()
    return projection.lifecycle


def page(past: Past, moment: Moment) -> tuple[float, float]:
    """Seconds until the moment is there, and until the page is answered, too."""
    began = time.perf_counter()
    with past.at(moment) as tables:
        there = time.perf_counter()
        for name in PAGE:
            query = questions()[name]
            tables.answer(query.text, values_for(query, {}))
    return there - began, time.perf_counter() - began


def say(what: str, figures: Sequence[tuple[float, float]]) -> None:
    """Print the median and the longest."""
    moments, pages = ([1000 * seconds for seconds in one] for one in zip(*figures, strict=True))
    print(
        f"{what:12} moment {statistics.median(moments):6.0f} ms,"
        f" with the page {statistics.median(pages):6.0f} ms, at most {max(pages):6.0f} ms"
    )


def main() -> None:
    """Parse the arguments, fill, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--alive", type=int, default=2000, help="tasks alive at the same time")
    arguments = parser.parse_args()
    gc.set_threshold(100_000, 20, 100)
    with tempfile.TemporaryDirectory() as folder:
        database = Database(Path(folder) / "past.duckdb", checkpoint="512MB")
        began = time.perf_counter()
        last = fill(database, arguments.tasks, arguments.alive)
        seconds = time.perf_counter() - began
        size = database.path.stat().st_size / 2**20
        print(f"{arguments.tasks:,} tasks, {last:,} events, {size:.0f} MiB, in {seconds:.1f} s")
        clock = dict(database.rows("SELECT seq, epoch_us(ts) FROM _events"))

        def moment(share: float) -> Moment:
            seq = max(1, int(last * share))
            return Moment(seq, clock[seq])

        past, chance = Past(database.beside()), random.Random(1)
        page(past, moment(0.5))
        with past.at(moment(0.5)) as tables:
            alive = tables.rows("SELECT count(*) FROM _then_tasks")[0][0]
        print(f"{alive:,} tasks were alive in the middle of it")
        say("far apart", [page(past, moment(chance.random())) for _ in range(MOMENTS)])
        say("side by side", [page(past, moment(0.5 + STEP * n)) for n in range(MOMENTS)])
        past.close()
        database.close()


if __name__ == "__main__":
    main()
