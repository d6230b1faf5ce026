"""Samples into the database, and out of it again when their stream has lost them."""

from __future__ import annotations

from ...core.subjects import SAMPLES_STREAM
from ..store import Database
from .columns import HOUR, KINDS, MINUTE, UNITS
from .record import Seen

# A record is taken apart once, by DuckDB, which leaves the interpreter to others meanwhile. What
# the JSON holds was looked at before: from_json makes a null of whatever does not fit.
_TAKE_APART = """
INSERT INTO incoming
SELECT r.agent, seq, r FROM (SELECT seq, _sample(record) AS r FROM appender_data)"""
_TYPES = {"seq": "BIGINT", "record": "VARCHAR"}


def write_samples(database: Database, seen: Seen) -> None:
    """Add what a batch holds; in the transaction of its position."""
    if seen.samples:
        database.execute(
            "CREATE OR REPLACE TEMP TABLE incoming AS FROM _latest_samples WITH NO DATA"
        )
        database.append_by(_TAKE_APART, _TYPES, seen.samples)
        for kind in KINDS:
            database.execute(
                f"INSERT INTO {kind.samples} BY NAME FROM _{kind.name}_rows('incoming')"
            )
        database.delete("_latest_samples", "agent", list(seen.latest))
        database.execute(
            "INSERT INTO _latest_samples FROM incoming WHERE seq IN (SELECT unnest($1::BIGINT[]))",
            [list(seen.latest.values())],
        )
    database.append("_dead_letters", seen.dead)


def forget_samples_after(database: Database, seq: int) -> None:
    """Undo what came after `seq`: the stream has lost it; see `telemetry.forget_after`.

    What was summed up with it is summed up again.
    """
    with database.transaction():
        database.execute("DELETE FROM _rolled WHERE seq > $1", [seq])
        marks = {unit: last_mark(database, unit) for unit in UNITS}
        for kind in KINDS:
            database.execute(f"DELETE FROM {kind.samples} WHERE seq > $1", [seq])
            for unit in UNITS:
                database.execute(f"DELETE FROM {kind.rolled(unit)} WHERE seq > $1", [marks[unit]])
        database.execute("DELETE FROM _latest_samples WHERE seq > $1", [seq])
        database.execute(
            "DELETE FROM _dead_letters WHERE stream = $1 AND seq > $2", [SAMPLES_STREAM, seq]
        )
        database.move(SAMPLES_STREAM, seq)
        database.break_lineage(SAMPLES_STREAM)


def last_mark(database: Database, unit: str) -> int:
    """The sequence up to which everything is summed up by `unit`."""
    return int(database.rows("SELECT max(seq) FROM _rolled WHERE unit = $1", [unit])[0][0])


def take_over(database: Database, first: int) -> None:
    """Copy from the attached database what was before `first`, where the stream begins now.

    What was summed up across that point comes out of samples again.
    """
    for kind in KINDS:
        database.execute(
            f"INSERT INTO {kind.samples} BY NAME FROM old.{kind.samples} WHERE seq < $1", [first]
        )
    database.execute(
        "INSERT INTO _latest_samples BY NAME FROM old._latest_samples WHERE seq < $1", [first]
    )
    database.execute(
        "INSERT INTO _dead_letters BY NAME FROM old._dead_letters WHERE stream = $1 AND seq < $2",
        [SAMPLES_STREAM, first],
    )
    minutes = "SELECT coalesce(max(seq), 0) FROM old._rolled WHERE unit = 'minute' AND seq < $1"
    mark = int(database.rows(minutes, [first])[0][0])
    database.execute("INSERT INTO _rolled FROM old._rolled WHERE seq <= $1 AND seq > 0", [mark])
    for unit in (MINUTE, HOUR):
        reached = last_mark(database, unit)
        for kind in KINDS:
            table = kind.rolled(unit)
            database.execute(
                f"INSERT INTO {table} BY NAME FROM old.{table} WHERE seq <= $1", [reached]
            )
