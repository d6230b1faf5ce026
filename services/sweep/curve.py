"""What a running trial has told of its objectives."""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite

from ...core.events import Metric
from .definition import Definition, Median
from .facts import Point

MOST_POINTS = 500
"""Points that are kept of a trial; of more, every other one is."""


class Curve:
    """The points of the first objective that others may be judged by, and of every objective what
    its value is going to be."""

    def __init__(self, plan: Definition) -> None:
        self._plan = plan
        self.restart()

    def restart(self) -> None:
        """The task runs again: what an earlier attempt said counts no more."""
        self.points: tuple[Point, ...] = ()
        self._stride = self._plan.prune.interval if isinstance(self._plan.prune, Median) else 1
        self._said: dict[str, list[float]] = {}
        """By metric, its last value, its least and its largest."""
        self._counted = 0

    def read(self, record: Metric) -> Iterator[Point]:
        """Take in what was said, and give each point of the first objective that is to be judged.
        One whose value is no finite number is not kept."""
        first = self._plan.objective[0].metric
        wanted = {objective.metric for objective in self._plan.objective}
        for name, step, given in zip(record.name, record.step, record.value, strict=True):
            if name not in wanted:
                continue
            value = float(given)
            self._note(name, value)
            if name == first:
                step = self._counted if step is None else step
                self._counted += 1
                if self._is_due(step) and (not isfinite(value) or self._keeps((step, value))):
                    yield step, value

    def _keeps(self, point: Point) -> bool:
        """Keep the point, unless there are so many now that it is one of those to go."""
        self.points = (*self.points, point)
        if len(self.points) > MOST_POINTS:
            self._stride *= 2
            self.points = tuple(one for one in self.points if one[0] % self._stride == 0)
        return self.points[-1:] == (point,)

    def _is_due(self, step: int) -> bool:
        later = not self.points or step > self.points[-1][0]
        return step >= 0 and later and step % self._stride == 0

    def _note(self, name: str, value: float) -> None:
        known = self._said.setdefault(name, [value, value, value])
        known[0] = value
        known[1] = min(known[1], value)
        known[2] = max(known[2], value)

    def values(self) -> tuple[float, ...]:
        """The values of the objectives. Raises `ValueError`, in words, if one is missing."""
        found = []
        for objective in self._plan.objective:
            if objective.metric not in self._said:
                raise ValueError(f"it reported no {objective.metric}")
            place = ("last", "min", "max").index(objective.value)
            value = self._said[objective.metric][place]
            if not isfinite(value):
                raise ValueError(f"its {objective.metric} is {value}")
            found.append(value)
        return tuple(found)
