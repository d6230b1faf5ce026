"""The question `curve`: metrics as a screen shows them, at most one row for each of its columns.

What to read of each is looked up first. Of a long metric these are its pieces, unless so little
of it is wanted that its points are few; else its points, between its first and its last place in
the order of all, so that zones leave out the rest of the table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import msgspec

from ..core.errors import UsageError
from ..core.queries import ANY, Parameter, Query
from .store import Answer, Ask

MOST_CURVES = 500
MOST_PIXELS = 10_000
PIECES_PER_PIXEL = 4
"""With fewer pieces a column would show what lies beside it, too: then points are read."""

_NEAR = 1024 << 20
"""Points of so many records of telemetry are read in less time than another query is planned."""

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

_WANTED = """
SELECT unnest($claims::BIGINT[]) AS claim, unnest($names::VARCHAR[]) AS name,
    unnest($tasks::VARCHAR[]) AS task, unnest($attempts::INTEGER[]) AS attempt"""

_PIECES = f"""
SELECT task, attempt, name, place, {{x}} AS x, step, ts, value, low, high, n, gaps
FROM _metric_pieces JOIN ({_WANTED}) USING (claim, name) WHERE place <= $covered"""

_POINTS = f"""
SELECT w.task, w.attempt, name, place, {{x}} AS x, step, ts, value,
    CASE WHEN isfinite(value) THEN value END AS low, low AS high, 1 AS n,
    (NOT isfinite(value))::INTEGER AS gaps
FROM _metrics JOIN ({_WANTED}) w USING (claim, name) WHERE place BETWEEN $first AND $last"""

_DRAW = """
SELECT task, attempt, name, floor((x - $start) * $pixels / ($end - $start + 1))::INTEGER AS pixel,
    max(step) AS step, max(ts) AS ts, arg_max(value, place) AS value, min(low) AS low,
    max(high) AS high, sum(n)::BIGINT AS n, sum(gaps)::BIGINT AS gaps
FROM ({seen}) WHERE x BETWEEN $start AND $end GROUP BY ALL"""

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
    """A metric of an attempt: where its points stand, the part of the axis that they take up, and
    up to which place there are pieces of it, if there are."""

    task: str
    attempt: int
    claim: int
    name: str
    since: int
    place: int
    x0: float
    x1: float
    covered: int


class _Read(msgspec.Struct):
    """What is read at once: points of some metrics from one place to another, and, if `covered` is
    not negative, pieces up to there."""

    curves: list[_Curve]
    first: int
    last: int
    covered: int = -1


def curve(ask: Ask, parameters: Mapping[str, Any]) -> Answer:
    """What to draw of each attempt's metric: its rows from left to right. Raises `UsageError`."""
    try:
        wanted = msgspec.convert(parameters, Wanted)
    except msgspec.ValidationError as error:
        raise UsageError("@curve cannot be asked like this", why=str(error)) from error
    found = _find(ask, wanted)
    if not found:
        return Answer(COLUMNS, [])
    start = min(one.x0 for one in found) if wanted.start is None else wanted.start
    end = max(one.x1 for one in found) if wanted.end is None else wanted.end
    wanted = msgspec.structs.replace(
        wanted, start=start, end=max(start, end), pixels=min(max(wanted.pixels, 1), MOST_PIXELS)
    )
    short = [one for one in found if one.covered < 0]
    reads = [_read_long(ask, one, wanted) for one in found if one.covered >= 0]
    rows = [row for read in (*_together(short), *reads) for row in _draw(ask, read, wanted)]
    rows.sort(key=lambda row: (row[2], *row[:2], row[3]))
    return Answer(COLUMNS, rows)


def _find(ask: Ask, wanted: Wanted) -> list[_Curve]:
    axis = _AXES[wanted.axis]
    # A first step may be larger than the last, where a loop begins anew.
    first, last = axis.format("l.first_"), axis.format("l.")
    sql = _FIND.format(
        first=f"least({first}, {last})", last=f"greatest({first}, {last})", most=MOST_CURVES
    )
    rows = ask(sql, {"tasks": wanted.tasks, "names": wanted.names}).rows
    return [_Curve(*row) for row in rows]


def _together(curves: Iterable[_Curve]) -> list[_Read]:
    """Metrics whose points lie near each other's are read at once: to plan a query costs as much
    as to read the points of a few tasks. Near is what is no further than the points reach, or
    than little is between."""
    reads: list[_Read] = []
    reach = _NEAR
    for one in sorted(curves, key=lambda one: one.since):
        reach = max(reach, one.place - one.since)
        if reads and one.since <= reads[-1].last + reach:
            reads[-1].curves.append(one)
            reads[-1].last = max(reads[-1].last, one.place)
        else:
            reads.append(_Read([one], one.since, one.place))
    return reads


def _read_long(ask: Ask, one: _Curve, wanted: Wanted) -> _Read:
    axis = _AXES[wanted.axis]
    sql = _PIECES_WITHIN.format(first=axis.format("first_"), last=axis.format(""))
    values = {"claim": one.claim, "name": one.name, "start": wanted.start, "end": wanted.end}
    ((count, first, last),) = ask(sql, values).rows
    if count >= PIECES_PER_PIXEL * wanted.pixels:
        return _Read([one], one.covered + 1, one.place, one.covered)
    # What is wanted may reach into the points behind the last piece, or lie there altogether.
    if first is None:
        return _Read([one], one.covered + 1, one.place)
    return _Read([one], first, last if last < one.covered else one.place)


def _draw(ask: Ask, read: _Read, wanted: Wanted) -> list[tuple[Any, ...]]:
    values: dict[str, Any] = {
        "claims": [one.claim for one in read.curves],
        "names": [one.name for one in read.curves],
        "tasks": [one.task for one in read.curves],
        "attempts": [one.attempt for one in read.curves],
        "first": read.first,
        "last": read.last,
        "start": wanted.start,
        "end": wanted.end,
        "pixels": wanted.pixels,
    }
    seen = _POINTS
    if read.covered >= 0:
        seen = f"{_PIECES} UNION ALL {_POINTS}"
        values["covered"] = read.covered
    return ask(_DRAW.format(seen=seen.format(x=_AXES[wanted.axis].format(""))), values).rows
