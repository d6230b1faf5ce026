"""Judges a log: loads it whole into DuckDB and asks every invariant in `invariants.sql`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import msgspec

from evq.core import wire
from evq.core.events import Again, Enqueued, Envelope
from evq.core.ports import Log, Stored
from evq.core.subjects import parse_hint, parse_lifecycle

COLUMNS = {
    "seq": "BIGINT",
    "at": "BIGINT",
    "id": "VARCHAR",
    "by": "VARCHAR",
    "task": "VARCHAR",
    "kind": "VARCHAR",
    "attempt": "INTEGER",
    "agent": "VARCHAR",
    "instance": "VARCHAR",
    "hint": "BIGINT",
    "outcome": "VARCHAR",
    "cause": "VARCHAR",
    "origin": "BIGINT",
    "retries": "INTEGER",
    "losses": "INTEGER",
}

Row = Mapping[str, Any]


def invariants() -> dict[str, str]:
    """The queries by name."""
    text = (Path(__file__).parent / "invariants.sql").read_text()
    parts = (part.partition("\n") for part in text.split("-- name: ")[1:])
    return {name.strip(): query for name, _, query in parts}


async def read(log: Log) -> list[Stored]:
    """Every message of the log, up to the last there is now."""
    last = await log.last_seq()
    found: list[Stored] = []
    if last:
        async with log.follow(1) as batches:
            async for batch in batches:
                found += batch
                if batch[-1].seq >= last:
                    break
    return found


def row(stored: Stored) -> dict[str, Any]:
    """A message as a row of `ev`."""
    envelope = wire.decode(stored.data)
    if not isinstance(envelope, Envelope):
        return {"seq": stored.seq, "id": f"?{stored.seq}", "kind": type(envelope).__name__.lower()}
    event = envelope.event
    facts: dict[str, Any] = msgspec.to_builtins(event)
    address = parse_lifecycle(stored.subject)
    hint = parse_hint(stored.subject)
    task = address[1] if address else hint.task if hint else None
    if isinstance(event, Enqueued | Again):
        task = event.task
    found = {
        "seq": stored.seq,
        "at": envelope.at,
        "id": envelope.id,
        "by": envelope.by,
        "task": task,
        **{name: facts[name] for name in COLUMNS if name in facts and name != "task"},
        "kind": str(event.__struct_config__.tag),
    }
    if isinstance(event, Enqueued):
        found |= {"retries": event.spec.retries, "losses": event.spec.losses}
    return found


def violations(
    rows: Iterable[Row], acked: Sequence[tuple[str, int]] = ()
) -> dict[str, list[tuple[Any, ...]]]:
    """By the name of each invariant that is broken, what breaks it."""
    with duckdb.connect() as store:
        columns = ", ".join(f'"{name}" {kind}' for name, kind in COLUMNS.items())
        store.execute(f"CREATE TABLE ev ({columns})")
        store.execute("CREATE TABLE acked (task VARCHAR, seq BIGINT)")
        _load(store, "ev", COLUMNS, [[row.get(name) for name in COLUMNS] for row in rows])
        _load(store, "acked", {"task": "", "seq": ""}, acked)
        answers = {name: store.execute(query).fetchall() for name, query in invariants().items()}
    return {name: found for name, found in answers.items() if found}


def _load(
    store: duckdb.DuckDBPyConnection,
    table: str,
    columns: Mapping[str, str],
    rows: Sequence[Sequence[Any]],
) -> None:
    if rows:
        one = f"({', '.join('?' * len(columns))})"
        for start in range(0, len(rows), 500):
            part = rows[start : start + 500]
            store.execute(
                f"INSERT INTO {table} VALUES {', '.join([one] * len(part))}",
                [value for row in part for value in row],
            )
