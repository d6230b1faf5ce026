"""Points of a curve, thinned to what a screen can show."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

MOST = 1200
"""Points of a curve that are kept; more are put together in pairs."""


class Point(msgspec.Struct, frozen=True):
    """One or several values of a metric: the last one, and the lowest and highest finite ones.

    `at` is when the last one was said, in microseconds. A value is null if it is not finite.
    """

    at: int
    step: int | None
    value: float | None
    low: float | None
    high: float | None


class Curve:
    """A metric's points in the order in which they were said."""

    def __init__(self, name: str, points: Sequence[Point] = (), unit: str = "") -> None:
        self.name = name
        self.unit = unit
        self.points = list(points)

    @property
    def last(self) -> Point | None:
        """The last point, if there is one."""
        return self.points[-1] if self.points else None

    def add(self, at: int, step: int | None, value: float) -> bool:
        """One value more; false if it was known."""
        if self.points and at <= self.points[-1].at:
            return False
        kept = value if math.isfinite(value) else None
        self.points.append(Point(at, step, kept, kept, kept))
        if len(self.points) > MOST:
            self.points = thinned(self.points)
        return True


def thinned(points: Sequence[Point]) -> list[Point]:
    """Each pair of points as one, but for the last ones."""
    pairs = zip(points[::2], points[1::2], strict=False)
    rest = [points[-1]] if len(points) % 2 else []
    return [_both(first, second) for first, second in pairs] + rest


def _both(first: Point, second: Point) -> Point:
    lows = [one for one in (first.low, second.low) if one is not None]
    highs = [one for one in (first.high, second.high) if one is not None]
    return Point(
        second.at,
        second.step,
        second.value,
        min(lows, default=None),
        max(highs, default=None),
    )


def point_of(row: dict[str, Any]) -> Point:
    """A row of the answer to `curve`."""
    return Point(
        moment(row["ts"]), row["step"], *(finite(row[key]) for key in ("value", "low", "high"))
    )


def moment(written: str) -> int:
    """A time of a projector's answer, in microseconds."""
    return round(datetime.fromisoformat(written).timestamp() * 1e6)


def finite(value: Any) -> float | None:
    """A number, or null for what is none: JSON has words for NaN and the infinities."""
    return value if isinstance(value, int | float) and math.isfinite(value) else None
