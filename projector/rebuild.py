"""A new database from the log, beside the old one, and in its place once it is complete."""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import suppress
from pathlib import Path

from ..core.bus.connect import Bus
from ..core.errors import Conflict, EvqError
from .follow import Follower, Rhythm, Say, following
from .store import Attached, Database, attach

RHYTHM = Rhythm(seconds=0.5, messages=40_000, size=64 * 2**20, checkpoint="512MB")
_TELL_SECONDS = 5.0


async def rebuild_database(bus: Bus, path: Path, say: Say) -> int:
    """Build the database anew and put it in the place of the one at `path`.

    The old one is held all the while, so that nobody else can write it: a projector that runs is
    a `Conflict`. Telemetry that the stream no longer holds is taken over from it.
    """
    new = path.with_name(path.name + ".new")
    _remove(new)
    began = time.monotonic()
    try:
        async with following(bus, new, say, RHYTHM) as follower:
            firsts = (await bus.telemetry.info()).state.first_seq
            _, old = await follower.read(lambda database: _take_over(database, path, firsts, say))
            await _reach_the_end(bus, follower, say)
            _, counts = await follower.read(lambda database: _finish(database, old))
            seqs = follower.position
        _swap(new, path, held=old is not None)
    except BaseException:
        _remove(new)
        raise
    seconds = time.monotonic() - began
    say(
        f"rebuilt {path} from {sum(seqs):,} messages in {seconds:.1f} s"
        f" ({sum(seqs) / seconds:,.0f}/s): " + ", ".join(f"{n:,} {what}" for what, n in counts)
    )
    return 0


def _take_over(database: Database, path: Path, first: int, say: Say) -> Attached | None:
    """Hold the old database, and copy what only it still has."""
    if not path.exists():
        return None
    try:
        old = attach(database, path)
    except Conflict:
        raise
    except EvqError as error:
        say(f"the old database cannot be read, so nothing is taken over from it: {error}")
        return None
    for table, rows in old.copy_telemetry_before(first):
        say(f"took over {rows:,} rows of {table} that the stream no longer holds")
    return old


async def _reach_the_end(bus: Bus, follower: Follower, say: Say) -> None:
    running = asyncio.ensure_future(follower.run())
    try:
        while True:
            ends = (await bus.log.last_seq(), await bus.telemetry.last_seq())
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


def _finish(database: Database, old: Attached | None) -> list[tuple[str, int]]:
    if old:
        old.detach()
    database.checkpoint()
    return [
        (name, database.rows(f"SELECT count(*) FROM {table}")[0][0])
        for name, table in (
            ("tasks", "_tasks"),
            ("attempts", "_attempts"),
            ("events", "_events"),
            ("metric points", "_metrics"),
            ("log lines", "_logs"),
            ("dead letters", "_dead_letters"),
        )
    ]


def _swap(new: Path, path: Path, held: bool) -> None:
    if path.exists() and not held:
        with suppress(EvqError):
            # It cannot be read, or appeared meanwhile: whoever holds it must not lose it.
            Database(path).close()
    wal = path.with_name(path.name + ".wal")
    wal.unlink(missing_ok=True)
    new.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _remove(new: Path) -> None:
    for file in (new, new.with_name(new.name + ".wal")):
        file.unlink(missing_ok=True)
