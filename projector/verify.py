"""Is the database what the log says? An independent look, one part of the tasks after another.

The tasks are folded again from the log's first event by the one fold, without the projection's
batches, caches and lookups, and every row that follows is compared with the row that is there,
both ways. A log of any length is folded in bounded memory: each pass takes the tasks whose name
falls into its part.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec

from ..core import wire
from ..core.bus.connect import Bus
from ..core.bus.stream import Stream
from ..core.cleaning.cleaned import What
from ..core.errors import NotFound
from ..core.events import Cleaned, Envelope, Log, Metric
from ..core.handle import absorb, from_hint, load_queues
from ..core.ports import Stored
from ..core.retention import Trimmed
from ..core.state import Task
from ..core.subjects import (
    HISTORY_EVENTS,
    LIFECYCLE_STREAM,
    SAMPLES_STREAM,
    TELEMETRY_STREAM,
    parse_hint,
    parse_lifecycle,
    parse_telemetry,
    query_events,
)
from . import saved
from .follow import Say
from .history.verify import Curves, Trims, add_points, compare_curves
from .identity import check_identity
from .past.verify import compare_events
from .rows import attempt_row, phase_rows, queue_row, task_row
from .samples.verify import compare_samples
from .store import Database, Position

TASKS_AT_ONCE = 100_000
_SHOWN = 20


async def verify_database(bus: Bus, path: Path, say: Say) -> int:
    """Compare the database with the log up to its position; 0 if they agree, else 1."""
    began = time.monotonic()
    database = await asyncio.to_thread(_open, path)
    try:
        positions = database.positions()
        await _check_streams(bus, positions)
        trims = Trims()
        end = positions[LIFECYCLE_STREAM].seq
        differences = await _compare_lifecycle(bus, database, end, trims, say)
        differences += await _compare_queues(bus, database, positions[LIFECYCLE_STREAM].seq)
        log = _messages(bus.log, positions[LIFECYCLE_STREAM].seq)
        differences += await compare_events(database, log)
        differences += await _compare_saved(bus, database, positions[LIFECYCLE_STREAM].seq)
        differences += await _compare_telemetry(
            bus, database, positions[TELEMETRY_STREAM].seq, trims
        )
        differences += await _compare_samples(bus, database, positions[SAMPLES_STREAM].seq)
    finally:
        database.close()
    for difference in differences[:_SHOWN]:
        say(difference)
    verdict = (
        f"{len(differences)} differences" if differences else "the database is what it must be"
    )
    say(f"{verdict}; looked at in {time.monotonic() - began:.1f} s")
    return 1 if differences else 0


def _open(path: Path) -> Database:
    if not path.exists():
        raise NotFound(f"there is no database {path}", fix="evq projector makes one")
    return Database(path)


async def _compare_samples(bus: Bus, database: Database, last: int) -> list[str]:
    first = (await bus.samples.info()).state.first_seq
    return await compare_samples(database, _messages(bus.samples, last), first)


async def _check_streams(bus: Bus, positions: dict[str, Position]) -> None:
    for stream in (bus.log, bus.telemetry, bus.samples):
        info = await stream.info()
        now = Position(info.created, info.state.last_seq)
        check_identity(stream.name, positions[stream.name], now)


async def _messages(stream: Stream, last: int) -> AsyncIterator[Stored]:
    """The messages of a stream up to `last`."""
    # A stream that never had a message begins at 0, and so does what was read of it.
    if last == 0 or (await stream.info()).state.first_seq > last:
        return
    async with stream.follow(1) as batches:
        async for batch in batches:
            for stored in batch:
                if stored.seq <= last:
                    yield stored
                if stored.seq >= last:
                    return


# --- lifecycle --------------------------------------------------------------------------------


async def _compare_lifecycle(
    bus: Bus, database: Database, last: int, trims: Trims, say: Say
) -> list[str]:
    passes = database.rows("SELECT count(*) FROM _tasks")[0][0] // TASKS_AT_ONCE + 1
    differences: list[str] = []
    for part in range(passes):
        tasks: dict[str, Task] = {}
        async for stored in _messages(bus.log, last):
            if stored.subject == HISTORY_EVENTS:
                _note_trim(trims, stored, tasks)
            elif _part(stored.subject.rsplit(".", 1)[1], passes) == part:
                _fold_one(tasks, stored)
                _note_cleaned(trims, stored, tasks)
        found = await asyncio.to_thread(_compare, database, tasks, part, passes)
        differences += found
        say(f"{len(tasks):,} tasks compared, part {part + 1} of {passes}")
    return differences


def _note_trim(trims: Trims, stored: Stored, tasks: dict[str, Task]) -> None:
    message = wire.decode(stored.data)
    if isinstance(message, Envelope) and isinstance(message.event, Trimmed):
        trims.note(message.event, tasks.values())


def _note_cleaned(trims: Trims, stored: Stored, tasks: dict[str, Task]) -> None:
    place = parse_lifecycle(stored.subject)
    message = wire.decode(stored.data) if place else None
    task = tasks.get(place[1]) if place else None
    if task and isinstance(message, Envelope) and isinstance(message.event, Cleaned):
        trims.note_cleaned(message.event, task)


def _part(name: str, passes: int) -> int:
    return int(hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()[:8], 16) % passes


def _fold_one(tasks: dict[str, Task], stored: Stored) -> None:
    if hint := parse_hint(stored.subject):
        try:
            name, task, _ = from_hint(stored)
        except NotFound:
            return
        if task and name == hint.task:
            tasks.setdefault(name, task)
    elif place := parse_lifecycle(stored.subject):
        queue, name = place
        known = tasks.get(name)
        if known and known.spec.queue == queue:
            tasks[name] = absorb(known, stored)


def _compare(database: Database, tasks: dict[str, Task], part: int, passes: int) -> list[str]:
    attempts = [(name, attempt) for name, task in tasks.items() for attempt in task.attempts]
    expected: dict[str, list[msgspec.Struct]] = {
        "_tasks": [task_row(task) for task in tasks.values()],
        "_attempts": [attempt_row(name, attempt) for name, attempt in attempts],
        "_phases": [row for name, attempt in attempts for row in phase_rows(name, attempt)],
    }
    return [
        f"{table}: {difference}"
        for table, rows in expected.items()
        for difference in _differences(database, table, rows, part, passes)
    ]


def _differences(
    database: Database, table: str, rows: list[msgspec.Struct], part: int, passes: int
) -> list[str]:
    database.execute(f"CREATE OR REPLACE TEMP TABLE expected AS FROM {table} LIMIT 0")
    database.append(table, rows, into="expected")
    # The same part as `_part` takes.
    actual = f"SELECT * FROM {table} WHERE ('0x' || md5(task)[:8])::BIGINT % {passes} = {part}"
    columns, ours = _except(database, actual, "SELECT * FROM expected")
    _, missing = _except(database, "SELECT * FROM expected", actual)
    texts = []
    for key in sorted(ours.keys() | missing.keys()):
        there, wanted = ours.get(key), missing.get(key)
        task = (there or wanted or {})["task"]
        if there and wanted:
            wrong = [name for name in columns if there[name] != wanted[name]]
            texts.append(f"task {task}: {', '.join(wrong)} differ from the log")
        else:
            texts.append(f"task {task}: {'not in the log' if there else 'not in the database'}")
    return texts


_Row = dict[str, Any]


def _except(database: Database, some: str, others: str) -> tuple[list[str], dict[Any, _Row]]:
    """The rows of `some` that are not among `others`, by their key and their number under it."""
    answer = database.answer(f"({some}) EXCEPT ALL ({others})", {})
    columns = [name for name, _ in answer.columns]
    found: dict[Any, _Row] = {}
    for values in answer.rows:
        row = dict(zip(columns, values, strict=True))
        key: tuple[Any, ...] = (values[0], row.get("place", 0))
        while key in found:
            key = (*key, 0)
        found[key] = row
    return columns, found


async def _compare_queues(bus: Bus, database: Database, last: int) -> list[str]:
    queues = await load_queues(bus.log, last)
    expected = {name: queue_row(queue).fold for name, queue in queues.items()}
    found = dict(database.rows("SELECT queue, fold FROM _queues"))
    return [
        f"_queues: queue {name}: it is not what the log says"
        for name in sorted(expected.keys() | found.keys())
        if expected.get(name) != found.get(name)
    ]


async def _compare_saved(bus: Bus, database: Database, last: int) -> list[str]:
    stored = await bus.log.history(query_events("*"))
    expected = saved.fold(one for one in stored if one.seq <= last)
    found = {query.name: query for query in saved.read(database.rows(saved.READ))}
    return [
        f"_saved_queries: query {name}: it is not what the log says"
        for name in sorted(expected.keys() | found.keys())
        if expected.get(name) != found.get(name)
    ]


# --- telemetry --------------------------------------------------------------------------------


_SETTLED = "claim NOT IN (SELECT claim FROM _cleaned WHERE NOT done)"


async def _compare_telemetry(bus: Bus, database: Database, last: int, trims: Trims) -> list[str]:
    """Compare how many points and lines each task has, as far back as the stream reaches."""
    trims.forget({claim for (claim,) in database.rows("SELECT claim FROM _trimmed WHERE NOT done")})
    unsettled = {claim for (claim,) in database.rows("SELECT claim FROM _cleaned WHERE NOT done")}
    curves: Curves = {}
    claims = {
        claim: (task, attempt)
        for claim, task, attempt in await asyncio.to_thread(
            database.rows, "SELECT claim, task, attempt FROM _attempts"
        )
    }
    points: Counter[str] = Counter()
    lines: Counter[str] = Counter()
    first = (await bus.telemetry.info()).state.first_seq
    async for stored in _messages(bus.telemetry, last):
        place = parse_telemetry(stored.subject)
        record = wire.decode_telemetry(stored.data)
        if not place or not isinstance(record, Log | Metric):
            continue
        task = place[1]
        if claims.get(record.claim) != (task, record.attempt) or record.claim in unsettled:
            continue
        what: What = "metrics" if isinstance(record, Metric) else "logs"
        if trims.is_gone(what, record.claim, stored.seq):
            continue
        if isinstance(record, Metric):
            if record.claim in trims.thinned and record.claim in trims.gone["metrics"]:
                continue
            if record.claim in trims.thinned:
                add_points(curves, record)
            else:
                points[task] += len(record.at)
        elif len(record.at) == len(record.text) == len(record.stream):
            bound, before = trims.dropped.get(record.claim, (0, 0))
            lines[task] += sum(stored.seq > bound or at >= before for at in record.at)
    return await asyncio.to_thread(
        lambda: (
            _count_differences(
                database,
                "points",
                "(FROM _metrics WHERE claim NOT IN (SELECT claim FROM _trimmed WHERE done"
                f" AND metrics IS NOT NULL) AND {_SETTLED}) WHERE place >> 20",
                first,
                points,
            )
            + (compare_curves(database, curves, claims) if first <= 1 else [])
            + _count_differences(
                database, "log lines", f"(FROM _logs WHERE {_SETTLED}) WHERE seq", first, lines
            )
        )
    )


def _count_differences(
    database: Database, what: str, source: str, first: int, said: Counter[str]
) -> list[str]:
    found = dict(database.rows(f"SELECT task, count(*) FROM {source} >= $1 GROUP BY task", [first]))
    return [
        f"task {task}: {found.get(task, 0)} {what} in the database, {said[task]} in the log"
        for task in sorted(said.keys() | found.keys())
        if said[task] != found.get(task, 0)
    ]
