"""Are the samples in the database what the stream says? Counted, as far back as it reaches."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator

from ...core.ports import Stored
from ..fold import Strange
from ..store import Database
from .columns import GPU, HOUR, KINDS, MACHINE, MINUTE, TASK
from .record import read
from .write import last_mark

Readings = Counter[tuple[str, str]]
"""How often each kind of thing was looked at, by its name and the agent's."""


async def compare_samples(
    database: Database, messages: AsyncIterator[Stored], first: int
) -> list[str]:
    """The differences to `messages`, all that the stream has from sequence `first` on.

    What was summed up together with samples that it no longer has is left out.
    """
    ((mark,),) = database.rows(
        "SELECT min(seq) FROM _rolled WHERE unit = $1 AND seq >= $2", [MINUTE, first - 1]
    )
    since = first - 1 if mark is None else int(mark)
    said: Readings = Counter()
    async for stored in messages:
        if stored.seq > since:
            said += _readings(stored)
    return _differences("the stream", said, _stored(database, since)) + _differences(
        "their minutes", *_minutes_and_hours(database)
    )


def _readings(stored: Stored) -> Readings:
    try:
        sample = read(stored)
    except Strange:
        return Counter()
    rows = {
        MACHINE.name: 1,
        GPU.name: len(sample.gpus.id) if sample.gpus else 0,
        TASK.name: len(sample.shares.claim) if sample.shares else 0,
    }
    return Counter({(kind, sample.agent): n * sample.readings for kind, n in rows.items()})


def _stored(database: Database, since: int) -> Readings:
    """What minutes hold, and the samples that are not summed up yet."""
    fresh = max(since, last_mark(database, MINUTE))
    found: Readings = Counter()
    for kind in KINDS:
        found += _sums(database, kind.name, f"{kind.rolled(MINUTE)} WHERE seq > {since}")
        found += _sums(database, kind.name, f"{kind.samples} WHERE seq > {fresh}")
    return found


def _minutes_and_hours(database: Database) -> tuple[Readings, Readings]:
    minutes: Readings = Counter()
    hours: Readings = Counter()
    mark = last_mark(database, HOUR)
    # Minutes from before may have gone, whole hours of them at once.
    ((gone,),) = database.rows(
        "SELECT coalesce(max((data->>'minutes')::BIGINT), 0) FROM _events WHERE kind = 'trimmed'"
    )
    kept = f"ts >= date_trunc('hour', make_timestamp({gone}::BIGINT))"
    for kind in KINDS:
        minutes += _sums(
            database, kind.name, f"{kind.rolled(MINUTE)} WHERE seq <= {mark} AND {kept}"
        )
        hours += _sums(database, kind.name, f"{kind.rolled(HOUR)} WHERE {kept}")
    return minutes, hours


def _sums(database: Database, kind: str, source: str) -> Readings:
    rows = database.rows(f"SELECT agent, sum(readings)::BIGINT FROM {source} GROUP BY agent")
    return Counter({(kind, agent): readings for agent, readings in rows})


def _differences(where: str, said: Readings, found: Readings) -> list[str]:
    return [
        f"agent {agent}: {found[kind, agent]} readings of a {kind} in the database,"
        f" {said[kind, agent]} in {where}"
        for kind, agent in sorted(said.keys() | found.keys())
        if said[kind, agent] != found[kind, agent]
    ]
