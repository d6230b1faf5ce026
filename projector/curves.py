"""The question `curve`: metrics as a screen shows them, at most one row for each of its columns.

What to read of each is looked up first. Of a long metric these are its pieces, unless so little
of it is wanted that its points are few; else its points, between its first and its last place in
the order of all, so that zones leave out the rest of the table.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from ..core.errors import UsageError
from ..core.queries import ANY, Parameter, Query
from .store import Answer, Ask

MOST_CURVES = 500
PIECES_PER_PIXEL = 4
"""With fewer pieces a column would show what lies beside it, too: then points are read."""

_AXES = {"step": "{}step", "time": "epoch_us({}ts)"}


class Wanted(msgspec.Struct, frozen=True):
    """The parameters: which metrics of which tasks, and the part to show, as steps or as
    microseconds since 1970; null for all."""

    tasks: list[str]
    names: list[str] | None = None
    axis: Literal["step", "time"] = "step"
    start: float | None = None
    end: float | None = None
    pixels: int = 500


QUESTION = Query(
    "curve",
    "",
    parameters=(
        Parameter("tasks", ANY, required=True),
        *(Parameter(name, ANY) for name in ("names", "start", "end")),
        Parameter("axis", ANY, default="step"),
        Parameter("pixels", ANY, default=500),
    ),
)
"""It has no text of its own: the queries below are put together."""

_FIND = """
SELECT a.task, a.attempt, l.claim, l.name, l.since, l.place, {first} AS x0, {last} AS x1,
    coalesce(max(p.place), -1) AS covered
FROM (SELECT * FROM _attempts WHERE task IN (SELECT unnest($tasks::VARCHAR[]))) a
JOIN _metric_latest l USING (claim) LEFT JOIN _metric_pieces p USING (claim, name)
WHERE x0 IS NOT NULL
    AND ($names::VARCHAR[] IS NULL OR l.name IN (SELECT unnest($names::VARCHAR[])))
GROUP BY ALL ORDER BY l.name, a.task, a.attempt LIMIT {most}"""

_PIECES_WITHIN = """
SELECT count(*), min(first_place), max(place) FROM _metric_pieces
WHERE claim = $claim AND name = $name AND {last} >= $start AND {first} <= $end"""

_DRAW = """
WITH seen AS (
    SELECT place, {x} AS x, step, ts, value, low, high, n, gaps FROM _metric_pieces
    WHERE claim = $claim AND name = $name AND place <= $covered
    UNION ALL
    SELECT place, {x}, step, ts, value, CASE WHEN isfinite(value) THEN value END AS finite, finite,
        1, (NOT isfinite(value))::INTEGER
    FROM _metrics WHERE claim = $claim AND name = $name AND place BETWEEN $first AND $last)
SELECT $task AS task, $attempt AS attempt, $name AS name,
    floor((x - $start) * $pixels / ($end - $start + 1))::INTEGER AS pixel,
    max(step) AS step, max(ts) AS ts, arg_max(value, place) AS value, min(low) AS low,
    max(high) AS high, sum(n)::BIGINT AS n, sum(gaps)::BIGINT AS gaps
FROM seen WHERE x BETWEEN $start AND $end GROUP BY pixel ORDER BY pixel"""

COLUMNS = [
    ("task", "VARCHAR"),
    ("attempt", "INTEGER"),
    ("name", "VARCHAR"),
    ("pixel", "INTEGER"),
    ("step", "BIGINT"),
    ("ts", "TIMESTAMP"),
    ("value", "DOUBLE"),
    ("low", "DOUBLE"),
    ("high", "DOUBLE"),
    ("n", "BIGINT"),
    ("gaps", "BIGINT"),
]


class _Curve(msgspec.Struct, frozen=True):
    """A metric of an attempt: where its points stand, and from where to where it is drawn."""

    task: str
    attempt: int
    claim: int
    name: str
    since: int
    place: int
    x0: float
    x1: float
    covered: int


def curve(ask: Ask, parameters: Mapping[str, Any]) -> Answer:
    """What to draw of each attempt's metric: its rows from left to right. Raises `UsageError`."""
    try:
        wanted = msgspec.convert(parameters, Wanted)
    except msgspec.ValidationError as error:
        raise UsageError("curve cannot be asked like this", why=str(error)) from error
    found = _find(ask, wanted)
    if not found:
        return Answer(COLUMNS, [])
    start = min(one.x0 for one in found) if wanted.start is None else wanted.start
    end = max(one.x1 for one in found) if wanted.end is None else wanted.end
    wanted = msgspec.structs.replace(
        wanted, start=start, end=max(start, end), pixels=min(max(wanted.pixels, 1), 10_000)
    )
    return Answer(COLUMNS, [row for one in found for row in _draw(ask, one, wanted)])


def _find(ask: Ask, wanted: Wanted) -> list[_Curve]:
    axis = _AXES[wanted.axis]
    # A first step may be larger than the last, where a loop begins anew.
    first, last = axis.format("l.first_"), axis.format("l.")
    sql = _FIND.format(
        first=f"least({first}, {last})", last=f"greatest({first}, {last})", most=MOST_CURVES
    )
    rows = ask(sql, {"tasks": wanted.tasks, "names": wanted.names}).rows
    return [_Curve(*row) for row in rows]


def _draw(ask: Ask, one: _Curve, wanted: Wanted) -> list[tuple[Any, ...]]:
    covered, first, last = _places(ask, one, wanted)
    values = {
        "task": one.task,
        "attempt": one.attempt,
        "claim": one.claim,
        "name": one.name,
        "covered": covered,
        "first": first,
        "last": last,
        "start": wanted.start,
        "end": wanted.end,
        "pixels": wanted.pixels,
    }
    return ask(_DRAW.format(x=_AXES[wanted.axis].format("")), values).rows


def _places(ask: Ask, one: _Curve, wanted: Wanted) -> tuple[int, int, int]:
    """Up to which place pieces are read, and from where to where points."""
    if one.covered < 0:
        return -1, one.since, one.place
    axis = _AXES[wanted.axis]
    sql = _PIECES_WITHIN.format(first=axis.format("first_"), last=axis.format(""))
    values = {"claim": one.claim, "name": one.name, "start": wanted.start, "end": wanted.end}
    ((count, first, last),) = ask(sql, values).rows
    if count >= PIECES_PER_PIXEL * wanted.pixels:
        return one.covered, one.covered + 1, one.place
    # What is wanted may reach into the points behind the last piece, or lie there altogether.
    return (
        -1,
        one.covered + 1 if first is None else first,
        (last if last is not None and last < one.covered else one.place),
    )
