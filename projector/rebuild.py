"""A new database from the log, beside the old one, and in its place once it is complete."""

from __future__ import annotations

import asyncio
import math
import os
import time
from contextlib import suppress
from pathlib import Path

from ..core.bus.connect import Bus
from ..core.subjects import SAMPLES_STREAM, TELEMETRY_STREAM
from .follow import Follower, Say, following
from .history import clean, trim
from .inbox import Rhythm
from .samples.roll_up import KEEP_SECONDS
from .samples.write import take_over
from .store import Database, Failed
from .telemetry import sum_up

RHYTHM = Rhythm(
    seconds=0.5, samples=0.5, messages=40_000, size=64 * 2**20, checkpoint="512MB", trims=False
)
_TELL_SECONDS = 5.0

# The tables of telemetry, and how to tell the rows from before the stream's first message.
_OF_TELEMETRY = {
    "_metrics": "place >> 20 < $1",
    "_logs": "seq < $1",
    "_remarks": "seq < $1",
    "_progress": "seq < $1",
    "_dead_letters": "stream = 'EVQTEL' AND seq < $1",
}
_COUNTED = {
    "tasks": "_tasks",
    "attempts": "_attempts",
    "events": "_events",
    "metric points": "_metrics",
    "log lines": "_logs",
    "samples": "_machine_samples",
    "dead letters": "_dead_letters",
}


async def rebuild_database(
    bus: Bus, path: Path, say: Say, keep_samples: float = KEEP_SECONDS
) -> int:
    """Build the database anew and put it in the place of the one at `path`.

    The old one is held all the while, so that nobody else can write it: a projector that runs is
    a `Conflict`. Telemetry and samples that their streams no longer hold are taken over from it.
    """
    new = path.with_name(path.name + ".new")
    _remove(new)
    began = time.monotonic()
    try:
        async with following(bus, new, say, RHYTHM, keep_samples) as follower:
            said = (await bus.telemetry.info()).state.first_seq
            seen = (await bus.samples.info()).state.first_seq
            held = await follower.alone(
                lambda database: _take_over(database, path, said, seen, say)
            )
            await _reach_the_end(bus, follower, say)
            await follower.alone(lambda database: _settle(database, held))
            counts = await follower.alone(lambda database: _replace(database, path, held))
            messages = sum(follower.position)
    finally:
        _remove(new)
    seconds = time.monotonic() - began
    say(
        f"rebuilt {path} from {messages:,} messages in {seconds:.1f} s"
        f" ({messages / seconds:,.0f}/s): " + ", ".join(f"{n:,} {what}" for what, n in counts)
    )
    return 0


def _take_over(database: Database, path: Path, said: int, seen: int, say: Say) -> bool:
    """Hold the old database, and copy what only it still has; false if there is none.

    `said` and `seen` are where the streams of telemetry and of samples begin.
    """
    if not path.exists():
        return False
    try:
        database.attach(path)
    except Failed as error:
        say(f"the old database cannot be read, and nothing is taken over from it: {error}")
        return False
    try:
        streams = _same_streams(database)
        if TELEMETRY_STREAM in streams:
            _copy_telemetry(database, said, say)
        if SAMPLES_STREAM in streams:
            with database.transaction():
                take_over(database, seen)
    except Failed as error:
        say(f"the old database is too different, and nothing is taken over from it: {error}")
    return True


def _same_streams(database: Database) -> set[str]:
    """The streams that the old database was made from, unless one of them is another now."""
    question = "SELECT stream, created FROM {}_positions"
    old, new = (dict(database.rows(question.format(place))) for place in ("old.", ""))
    return set(old) if old.items() <= new.items() else set()


def _copy_telemetry(database: Database, first: int, say: Say) -> None:
    with database.transaction():
        for table, condition in _OF_TELEMETRY.items():
            database.execute(
                f"INSERT INTO {table} BY NAME SELECT * FROM old.{table} WHERE {condition}", [first]
            )
            rows = database.rows(f"SELECT count(*) FROM {table}")[0][0]
            if rows:
                say(f"took over {rows:,} rows of {table} that the stream no longer holds")
        sum_up(database, 0)
        _take_over_lineage(database)


def _take_over_lineage(database: Database) -> None:
    """Copies of telemetry can go on: the same stream gives the same rows."""
    if database.rows(
        "SELECT 1 FROM duckdb_tables() WHERE database_name = 'old' AND table_name = '_lineage'"
    ):
        database.execute(
            "UPDATE _lineage SET name = old.name FROM old._lineage AS old"
            " WHERE old.stream = _lineage.stream AND old.stream = $1",
            [TELEMETRY_STREAM],
        )


async def _reach_the_end(bus: Bus, follower: Follower, say: Say) -> None:
    running = asyncio.ensure_future(follower.run())
    try:
        while True:
            streams = (bus.log, bus.telemetry, bus.samples)
            ends = [await stream.last_seq() for stream in streams]
            if all(own >= end for own, end in zip(follower.position, ends, strict=True)):
                return
            waiting = asyncio.ensure_future(follower.reach(ends))
            done, _ = await asyncio.wait(
                {running, waiting}, timeout=_TELL_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )
            waiting.cancel()
            if running in done:
                running.result()
            if not done:
                say(f"{sum(follower.position):,} of {sum(ends):,} messages")
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


def _settle(database: Database, held: bool) -> None:
    """Carry out what retention asks for, as it was carried out in the old database."""
    read = database.positions()[TELEMETRY_STREAM].seq
    trim.step(database, read, math.inf)
    clean.step(database, read, math.inf)
    if held and TELEMETRY_STREAM in _same_streams(database):
        with suppress(Failed):  # the old one may be too different
            trim.take_over(database)
            clean.take_over(database)


def _replace(database: Database, path: Path, held: bool) -> list[tuple[str, int]]:
    """Rename the new file while both are held, so that nobody can slip in between."""
    if held:
        database.checkpoint_old()
    elif path.exists():
        with suppress(Failed):
            database.attach(path)  # made since we looked: whoever holds it must not lose it
    database.checkpoint()
    path.with_name(path.name + ".wal").unlink(missing_ok=True)
    database.path.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return [
        (what, database.rows(f"SELECT count(*) FROM {table}")[0][0])
        for what, table in _COUNTED.items()
    ]


def _remove(new: Path) -> None:
    for file in (new, new.with_name(new.name + ".wal")):
        file.unlink(missing_ok=True)
