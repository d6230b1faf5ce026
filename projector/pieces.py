"""Long metrics in pieces: what is drawn of ten million points must not take ten million reads.

A metric that has grown long is summed up behind its newest points: each piece stands for a run of
points, with its first and last place in the order, what it began and ended with, and its lowest and
highest finite value. The points stay what they are; pieces can be made again from them any time.
"""

from __future__ import annotations

from .store import Database

LONG = 20_000
"""Points; shorter metrics are read as they are."""

STEP = 4096
"""How many new points a metric must have before it is summed up further."""

PIECE = 256

_DUE = """
SELECT l.claim, l.name, coalesce(p.place, l.since - 1)
FROM _metric_latest l LEFT JOIN (
    SELECT claim, name, max(place) AS place, sum(n) AS n FROM _metric_pieces GROUP BY ALL) p
USING (claim, name)
WHERE l.n >= $1 AND l.n - coalesce(p.n, 0) >= $2 AND l.place > coalesce(p.place, -1)
    AND l.claim NOT IN (SELECT claim FROM _cleaned WHERE metrics)"""

_SUM_UP = f"""
INSERT INTO _metric_pieces
SELECT claim, name, min(place), max(place), arg_min_null(step, place), arg_max_null(step, place),
    arg_min(ts, place), arg_max(ts, place), arg_max(value, place),
    min(value) FILTER (isfinite(value)), max(value) FILTER (isfinite(value)), count(*),
    count(*) FILTER (NOT isfinite(value))
FROM (SELECT *, (row_number() OVER (ORDER BY place) - 1) // {PIECE} AS piece
    FROM _metrics WHERE claim = $1 AND name = $2 AND place > $3)
GROUP BY claim, name, piece ORDER BY min(place)"""


def sum_up_long(database: Database) -> None:
    """Sum up what is due of each long metric."""
    for claim, name, covered in database.rows(_DUE, [LONG, STEP]):
        with database.transaction():
            database.execute(_SUM_UP, [claim, name, covered])


def forget_pieces_after(database: Database, place: int) -> None:
    """Undo what was summed up with points from `place` on; in the transaction that deletes them."""
    database.execute("DELETE FROM _metric_pieces WHERE place >= $1", [place])
