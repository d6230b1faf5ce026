"""What is drawn of a metric is what its points are, however it was read."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from evq.core.errors import UsageError
from evq.projector.curves import COLUMNS, curve
from evq.projector.pieces import LONG, PIECE, STEP, sum_up_long
from evq.projector.store import Answer, Database
from evq.projector.telemetry import forget_after, sum_up

TELEMETRY = "EVQTEL"
Row = dict[str, Any]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(tmp_path / "evq.duckdb")
    opened.start(TELEMETRY, "now")
    yield opened
    opened.close()


class Metric:
    """Points of one metric of an attempt, in messages of 1000 points between those of others."""

    def __init__(self, database: Database, claim: int, task: str = "t", attempt: int = 1) -> None:
        self.database, self.claim, self.task, self.attempt = database, claim, task, attempt
        self.name = "loss"
        self.points: list[tuple[int | None, int, float]] = []
        database.execute(
            "INSERT INTO _attempts (claim, task, attempt) VALUES ($1, $2, $3)",
            [claim, task, attempt],
        )

    def say(self, count: int, *, stride: int = 1, steps: bool = True) -> None:
        """Add `count` points, a second apart; every hundredth is none, and one is infinite."""
        begin = len(self.points)
        last = self.database.rows("SELECT coalesce(max(place), 0) >> 20 FROM _metrics")[0][0]
        sql = f"""
            INSERT INTO _metrics
            SELECT (({last} + 1 + i // 1000) << 20) + i % 1000, {self.claim}, '{self.task}',
                {self.attempt}, make_timestamp(1000000 * ({begin} + i)::BIGINT), '{self.name}',
                {f"({begin} + i) * {stride}" if steps else "NULL"},
                CASE WHEN i % 100 = 7 THEN 'nan'::DOUBLE WHEN i = 50 THEN 'inf'::DOUBLE
                    ELSE round(10 * sin(({begin} + i) / 50.0), 3) END
            FROM range({count}) r(i)"""
        with self.database.transaction():
            self.database.execute(sql)
            sum_up(self.database, last + 1)
        self.points += self.database.rows(
            "SELECT step, epoch_us(ts), value FROM _metrics WHERE claim = $1 AND place >= $2"
            " ORDER BY place",
            [self.claim, (last + 1) << 20],
        )


def draw(database: Database, **parameters: Any) -> list[Row]:
    def ask(sql: str, values: Mapping[str, Any]) -> Answer:
        return database.answer(sql, values)

    answer = curve(ask, parameters)
    names = [name for name, _ in COLUMNS]
    return [dict(zip(names, row, strict=True)) for row in answer.rows]


def expected(
    metric: Metric, start: float, end: float, pixels: int, axis: str = "step"
) -> list[Row]:
    """The same in plain Python, from the points."""
    columns: dict[int, list[tuple[int | None, int, float]]] = {}
    for point in metric.points:
        x = point[0] if axis == "step" else point[1]
        if x is not None and start <= x <= end:
            pixel = math.floor((x - start) * pixels / (end - start + 1))
            columns.setdefault(pixel, []).append(point)
    rows = []
    for pixel, points in sorted(columns.items()):
        finite = [value for _, _, value in points if math.isfinite(value)]
        rows.append(
            {
                "pixel": pixel,
                "last": points[-1][0],
                "low": min(finite, default=None),
                "high": max(finite, default=None),
                "n": len(points),
                "gaps": len(points) - len(finite),
            }
        )
    return rows


def compare(rows: list[Row], wanted: list[Row]) -> None:
    assert [
        {"pixel": row["pixel"], "last": row["step"]}
        | {key: row[key] for key in ("low", "high", "n", "gaps")}
        for row in rows
    ] == wanted


def pieces(database: Database) -> list[tuple[Any, ...]]:
    return database.rows("FROM _metric_pieces ORDER BY claim, place")


def test_a_short_metric_is_drawn_from_its_points(database: Database) -> None:
    metric = Metric(database, 5)
    metric.say(1000)
    sum_up_long(database)
    assert not pieces(database)
    compare(draw(database, tasks=["t"], pixels=90), expected(metric, 0, 999, 90))


@pytest.mark.parametrize("axis", ["step", "time"])
def test_a_part_of_a_long_metric_is_drawn_from_its_points(database: Database, axis: str) -> None:
    metric = Metric(database, 5)
    metric.say(50_000)
    sum_up_long(database)
    metric.say(2000)
    unit = 1 if axis == "step" else 1_000_000
    for first, last in ((10_000, 10_999), (49_500, 50_700), (51_000, 51_500), (0, 300)):
        start, end = first * unit, last * unit
        rows = draw(database, tasks=["t"], pixels=100, axis=axis, start=start, end=end)
        compare(rows, expected(metric, start, end, 100, axis))


def test_the_whole_of_a_long_metric_is_drawn_from_pieces(database: Database) -> None:
    metric = Metric(database, 5)
    for _ in range(3):
        metric.say(40_000)
        sum_up_long(database)
    metric.say(2000)
    assert sum(piece[11] for piece in pieces(database)) == 120_000
    pixels = 100
    rows = draw(database, tasks=["t"], pixels=pixels)
    assert len(rows) == pixels
    assert sum(row["n"] for row in rows) == 122_000
    assert sum(row["gaps"] for row in rows) == sum(
        not math.isfinite(value) for _, _, value in metric.points
    )
    # A piece stands where it ends, so that a column may hold one piece of its neighbour's.
    width = 122_000 / pixels
    for row in rows:
        first, last = row["pixel"] * width - PIECE, (row["pixel"] + 1) * width
        near = [v for s, _, v in metric.points if s is not None and first <= s <= last]
        finite = [value for value in near if math.isfinite(value)]
        assert min(finite) <= row["low"] <= row["high"] <= max(finite)
    lowest = min(value for _, _, value in metric.points if math.isfinite(value))
    assert min(row["low"] for row in rows) == lowest


def test_a_metric_is_summed_up_step_by_step_as_it_grows(database: Database) -> None:
    metric = Metric(database, 5)
    metric.say(LONG - 1)
    sum_up_long(database)
    assert not pieces(database)
    metric.say(1)
    sum_up_long(database)
    assert sum(piece[11] for piece in pieces(database)) == LONG
    metric.say(STEP - 1)
    sum_up_long(database)
    assert sum(piece[11] for piece in pieces(database)) == LONG
    metric.say(1)
    sum_up_long(database)
    assert sum(piece[11] for piece in pieces(database)) == LONG + STEP


def test_a_metric_some_of_whose_points_were_dropped_is_summed_up_once(database: Database) -> None:
    metric = Metric(database, 5)
    metric.say(60_000)
    database.execute("DELETE FROM _metrics WHERE step % 3 > 0 AND step < 59_000")
    sum_up_long(database)
    before = pieces(database)
    assert sum(piece[11] for piece in before) < 60_000 - STEP
    database.execute("UPDATE _metrics SET value = 0")
    sum_up_long(database)
    assert pieces(database) == before


def test_pieces_of_points_that_the_stream_lost_are_made_again(database: Database) -> None:
    metric = Metric(database, 5)
    metric.say(40_000)
    sum_up_long(database)
    kept = database.rows("SELECT place >> 20 FROM _metrics WHERE step = 29999")[0][0]
    forget_after(database, kept)
    del metric.points[30_000:]
    compare(
        draw(database, tasks=["t"], pixels=50, start=29_000, end=29_999),
        expected(metric, 29_000, 29_999, 50),
    )
    metric.say(20_000)
    sum_up_long(database)
    assert sum(piece[11] for piece in pieces(database)) == 50_000
    assert sum(row["n"] for row in draw(database, tasks=["t"], pixels=30)) == 50_000


def test_each_attempt_of_each_task_is_a_curve_on_one_axis(database: Database) -> None:
    first, again = Metric(database, 5), Metric(database, 9, attempt=2)
    other = Metric(database, 7, task="u")
    for metric, count in ((first, 100), (other, 400), (again, 200)):
        metric.say(count)
    rows = draw(database, tasks=["t", "u"], names=["loss"], pixels=40)
    curves = {(row["task"], row["attempt"]) for row in rows}
    assert curves == {("t", 1), ("t", 2), ("u", 1)}
    for metric in (first, again, other):
        own = [
            row for row in rows if (row["task"], row["attempt"]) == (metric.task, metric.attempt)
        ]
        compare(own, expected(metric, 0, 399, 40))
    assert not draw(database, tasks=["t"], names=["accuracy"])
    assert not draw(database, tasks=["nobody"])


def test_a_stretch_without_numbers_is_a_gap(database: Database) -> None:
    metric = Metric(database, 5)
    metric.say(100)
    database.execute("UPDATE _metrics SET value = 'nan' WHERE step BETWEEN 40 AND 49")
    rows = draw(database, tasks=["t"], pixels=10)
    gap = rows[4]
    assert (gap["low"], gap["high"], gap["n"], gap["gaps"]) == (None, None, 10, 10)
    assert math.isnan(gap["value"])


def test_a_metric_without_steps_is_drawn_by_time_only(database: Database) -> None:
    metric = Metric(database, 5)
    metric.say(100, steps=False)
    assert not draw(database, tasks=["t"])
    rows = draw(database, tasks=["t"], axis="time", pixels=10)
    compare(rows, expected(metric, 0, 99_000_000, 10, "time"))


def test_what_makes_no_curve_is_refused_in_words(database: Database) -> None:
    with pytest.raises(UsageError, match="cannot be asked like this"):
        draw(database, tasks=["t"], axis="sideways")
    with pytest.raises(UsageError):
        draw(database, tasks=["t"], pixels="many")
