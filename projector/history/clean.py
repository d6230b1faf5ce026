"""What somebody let go of single tasks goes from the database, in small steps.

As with retention (`trim`), the event says up to which record of telemetry it goes, so that the same
log leaves the same rows in whatever order the two streams are read. Which attempts it is about are
those that its task has where the event stands.
"""

from __future__ import annotations

import time

from ..store import Database
from .trim import STEP_SECONDS

_CLAIMS_AT_ONCE = 1000

_NEXT = """
SELECT claim, seq FROM _cleaned WHERE NOT done AND telemetry <= $1 ORDER BY claim, seq LIMIT $2"""


def step(database: Database, telemetry: int, seconds: float = STEP_SECONDS) -> bool:
    """Take away some of what is due, for about so many seconds; whether that was the last of it.

    `telemetry` is how far that stream is in the database.
    """
    until = time.monotonic() + seconds
    due = database.rows(_NEXT, [telemetry, _CLAIMS_AT_ONCE])
    if not due:
        return False
    while due:
        _take_away(database, due)
        due = database.rows(_NEXT, [telemetry, _CLAIMS_AT_ONCE])
        if time.monotonic() > until:
            break
    return not due


def _take_away(database: Database, due: list[tuple[int, int]]) -> None:
    bounds = [due[0][0], due[-1][0]]
    with database.transaction():
        database.execute(
            "CREATE OR REPLACE TEMP TABLE now_cleaned AS SELECT c.* FROM _cleaned c"
            " JOIN (SELECT unnest($1::BIGINT[]) AS claim, unnest($2::BIGINT[]) AS seq)"
            " USING (claim, seq)",
            [[claim for claim, _ in due], [seq for _, seq in due]],
        )
        for table, kind, place in (
            ("_metrics", "metrics", "place >> 20"),
            ("_metric_pieces", "metrics", "place >> 20"),
            ("_logs", "logs", "seq"),
        ):
            database.execute(
                f"DELETE FROM {table} USING now_cleaned c WHERE {table}.claim = c.claim"
                f" AND c.{kind} AND {table}.claim BETWEEN $1 AND $2"
                f" AND {table}.{place} <= c.telemetry",
                bounds,
            )
        database.execute(
            "UPDATE _cleaned SET done = true FROM now_cleaned n"
            " WHERE _cleaned.claim = n.claim AND _cleaned.seq = n.seq"
        )


def take_over(database: Database) -> None:
    """Let the figures of curves that were let go stand as they are in the attached database: the
    stream may have lost the points that they were reckoned from."""
    if not database.rows(
        "SELECT 1 FROM duckdb_tables() WHERE database_name = 'old' AND table_name = '_cleaned'"
    ):
        return
    with database.transaction():
        database.execute(
            "CREATE OR REPLACE TEMP TABLE gone AS SELECT DISTINCT claim FROM old._cleaned"
            " WHERE done AND metrics AND claim IN (SELECT claim FROM _cleaned)"
        )
        database.execute("DELETE FROM _metric_latest WHERE claim IN (FROM gone)")
        database.execute(
            "INSERT INTO _metric_latest BY NAME"
            " SELECT * FROM old._metric_latest WHERE claim IN (FROM gone)"
        )
