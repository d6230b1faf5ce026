"""Retention, carried out: what the log says is to go goes from the database, in small steps.

The event is folded where it stands in the log: then it is written down which attempts it is about,
and nothing that comes later changes that. Their points and lines go as soon as telemetry is read
as far as it was when the event was written. So the same log leaves the same rows, in whatever order
the two streams are read, and each curve is thinned once.
"""

from __future__ import annotations

import time

from ...core.retention import MOST_POINTS, STRETCHES, Trimmed
from ..samples.columns import HOUR, KINDS, MINUTE
from ..samples.write import last_mark
from ..store import Database
from ..telemetry import sum_up

STEP_SECONDS = 0.5
_POINTS_AT_ONCE = 1_000_000
_CLAIMS_AT_ONCE = 1000

_NOTE = """
INSERT INTO _trimmed
SELECT * FROM (
    SELECT a.claim, $seq::BIGINT AS seq, $telemetry::BIGINT AS telemetry,
        CASE WHEN t.ended < make_timestamp($metrics::BIGINT) AND a.claim NOT IN (
            SELECT claim FROM _trimmed WHERE metrics IS NOT NULL)
            THEN make_timestamp($metrics::BIGINT) END AS metrics,
        CASE WHEN t.ended < make_timestamp($logs::BIGINT) AND a.claim NOT IN (
            SELECT claim FROM _trimmed WHERE logs IS NOT NULL)
            THEN make_timestamp($logs::BIGINT) END AS logs,
        false AS done
    FROM _attempts a JOIN _tasks t USING (task) WHERE t.ended IS NOT NULL)
WHERE metrics IS NOT NULL OR logs IS NOT NULL"""

_NEXT = """
WITH waiting AS (
    SELECT seq, claim, coalesce((
        SELECT sum(n) FROM _metric_latest l WHERE l.claim = t.claim), 0) AS points
    FROM _trimmed t
    WHERE NOT done AND telemetry <= $1 AND seq = (SELECT min(seq) FROM _trimmed WHERE NOT done))
SELECT seq, claim FROM waiting
QUALIFY sum(points) OVER (ORDER BY claim) - points < $2 ORDER BY claim LIMIT $3"""

_KEPT = f"""
CREATE OR REPLACE TEMP TABLE kept AS
WITH points AS (
    SELECT m.claim, m.name, m.place, m.value,
        count(*) OVER (PARTITION BY m.claim, m.name) AS n,
        ntile({STRETCHES}) OVER (PARTITION BY m.claim, m.name ORDER BY m.place) AS stretch
    FROM _metrics m JOIN now_going t USING (claim)
    WHERE t.metrics IS NOT NULL AND m.claim BETWEEN $1 AND $2
        AND m.place < (t.telemetry + 1) << 20),
chosen AS (
    SELECT max(place) AS last, CASE WHEN stretch = 1 THEN min(place) END AS first,
        min({{'v': value, 'p': place}}) FILTER (isfinite(value)) AS low,
        max({{'v': value, 'p': -place}}) FILTER (isfinite(value)) AS high,
        min(place) FILTER (NOT isfinite(value)) AS odd
    FROM points WHERE n > {MOST_POINTS} GROUP BY claim, name, stretch)
SELECT unnest([last, first, low.p, -high.p, odd]) AS place FROM chosen
UNION ALL SELECT place FROM points WHERE n <= {MOST_POINTS}"""

_THIN = """
DELETE FROM _metrics USING now_going t
WHERE _metrics.claim = t.claim AND _metrics.claim BETWEEN $1 AND $2 AND _metrics.ts < t.metrics
    AND _metrics.place < (t.telemetry + 1) << 20
    AND NOT EXISTS (SELECT 1 FROM kept WHERE kept.place = _metrics.place)"""

_DROP_LINES = """
DELETE FROM _logs USING now_going t
WHERE _logs.claim = t.claim AND _logs.claim BETWEEN $1 AND $2 AND _logs.ts < t.logs
    AND _logs.seq <= t.telemetry"""


def note(database: Database, seq: int, event: Trimmed) -> None:
    """Write down what the event at `seq` is about; in the transaction of its position."""
    database.execute(
        _NOTE,
        {
            "seq": seq,
            "telemetry": event.telemetry,
            "metrics": event.metrics,
            "logs": event.logs,
        },
    )
    if event.minutes is not None:
        _drop_minutes(database, event.minutes)


def _drop_minutes(database: Database, before: int) -> None:
    """Whole hours of minutes, if the hours hold them."""
    mark = last_mark(database, HOUR)
    for kind in KINDS:
        database.execute(
            f"DELETE FROM {kind.rolled(MINUTE)}"
            " WHERE ts < date_trunc('hour', make_timestamp($1::BIGINT)) AND seq <= $2",
            [before, mark],
        )


def step(database: Database, telemetry: int, seconds: float = STEP_SECONDS) -> bool:
    """Take away some of what is due, for about so many seconds; whether that was the last of it.

    `telemetry` is how far that stream is in the database.
    """
    until = time.monotonic() + seconds
    due = _next(database, telemetry)
    if not due:
        return False
    while due:
        _take_away(database, due[0][0], [claim for _, claim in due])
        due = _next(database, telemetry)
        if time.monotonic() > until:
            break
    return not due


def _next(database: Database, telemetry: int) -> list[tuple[int, int]]:
    """Some attempts that are due, each with the event that it is due for."""
    return database.rows(_NEXT, [telemetry, _POINTS_AT_ONCE, _CLAIMS_AT_ONCE])


def _take_away(database: Database, seq: int, claims: list[int]) -> None:
    bounds = [claims[0], claims[-1]]
    with database.transaction():
        database.execute(
            "CREATE OR REPLACE TEMP TABLE now_going AS FROM _trimmed"
            " WHERE seq = $1 AND claim IN (SELECT unnest($2::BIGINT[]))",
            [seq, claims],
        )
        database.execute(_KEPT, bounds)
        database.execute(_THIN, bounds)
        database.execute(_DROP_LINES, bounds)
        database.execute(
            "UPDATE _trimmed SET done = true"
            " WHERE seq = $1 AND claim IN (SELECT unnest($2::BIGINT[]))",
            [seq, claims],
        )


def take_over(database: Database) -> None:
    """Let what the attached database had kept of thinned curves stand as it was there: of a stream
    that has lost its beginning other points would be chosen."""
    if not database.rows(
        "SELECT 1 FROM duckdb_tables() WHERE database_name = 'old' AND table_name = '_trimmed'"
    ):
        return
    ((read,),) = database.rows("SELECT seq FROM old._positions WHERE stream = 'EVQTEL'")
    with database.transaction():
        database.execute(
            "CREATE OR REPLACE TEMP TABLE thinned AS"
            " SELECT claim, max(telemetry) AS telemetry FROM old._trimmed"
            " WHERE done AND metrics IS NOT NULL AND claim IN (SELECT claim FROM _trimmed)"
            " GROUP BY claim"
        )
        database.execute(
            "DELETE FROM _metrics USING thinned t WHERE _metrics.claim = t.claim"
            " AND _metrics.place < (t.telemetry + 1) << 20"
        )
        database.execute(
            "INSERT INTO _metrics BY NAME SELECT m.* FROM old._metrics m JOIN thinned t"
            " USING (claim) WHERE m.place < (t.telemetry + 1) << 20"
        )
        database.execute("DELETE FROM _metric_latest WHERE claim IN (SELECT claim FROM thinned)")
        database.execute(
            "INSERT INTO _metric_latest BY NAME"
            " SELECT * FROM old._metric_latest WHERE claim IN (SELECT claim FROM thinned)"
        )
        sum_up(database, int(read) + 1, "claim IN (SELECT claim FROM thinned)")
