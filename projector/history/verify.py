"""What retention should have left, found out from the log alone."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Set

import msgspec

from ...core.cleaning.cleaned import What
from ...core.events import Cleaned, Metric
from ...core.retention import MOST_POINTS, Trimmed
from ...core.state import Ended, Task
from ..store import Database

Bound = tuple[int, int]
"""The sequence and the moment up to which an attempt's telemetry is touched."""


class Trims(msgspec.Struct):
    """By claim, what was to go: of curves, and of lines."""

    thinned: dict[int, Bound] = {}
    dropped: dict[int, Bound] = {}
    gone: dict[What, dict[int, int]] = msgspec.field(
        default_factory=lambda: {"metrics": {}, "logs": {}}
    )
    """What was let go of single tasks, by claim the sequence up to which telemetry went."""

    def note(self, event: Trimmed, tasks: Iterable[Task]) -> None:
        """What an event means for tasks as they are at its place in the log."""
        for task in tasks:
            if isinstance(task.state, Ended):
                for attempt in task.attempts:
                    for before, found in (
                        (event.metrics, self.thinned),
                        (event.logs, self.dropped),
                    ):
                        if before is not None and task.state.at < before:
                            found.setdefault(attempt.claim, (event.telemetry, before))

    def note_cleaned(self, event: Cleaned, task: Task) -> None:
        """What an event means for its task, as that is at the event's place in the log."""
        for what in event.what:
            if what in self.gone:
                self.gone[what] |= {one.claim: event.telemetry for one in task.attempts}

    def is_gone(self, what: What, claim: int, seq: int) -> bool:
        """Whether a record of telemetry was let go."""
        return seq <= self.gone[what].get(claim, 0)

    def forget(self, pending: Set[int]) -> None:
        """Leave out attempts for which it was not carried out yet."""
        for claim in pending:
            self.thinned.pop(claim, None)
            self.dropped.pop(claim, None)


class Curve(msgspec.Struct):
    """A curve in few words."""

    n: int = 0
    first: float = math.nan
    last: float = math.nan
    low: float = math.inf
    high: float = -math.inf

    def add(self, value: float) -> None:
        """The next point."""
        if not self.n:
            self.first = value
        self.n += 1
        self.last = value
        if math.isfinite(value):
            self.low, self.high = min(self.low, value), max(self.high, value)

    def is_thinned_to(self, other: Curve) -> bool:
        """Whether the other can be what is left of this."""
        few = self.n <= MOST_POINTS
        return (
            (other.n == self.n if few else other.n <= self.n)
            and (other.low, other.high) == (self.low, self.high)
            and _same(self.first, other.first)
            and _same(self.last, other.last)
        )


def _same(one: float, other: float) -> bool:
    return one == other or (math.isnan(one) and math.isnan(other))


Curves = dict[tuple[int, str], Curve]


def add_points(curves: Curves, record: Metric) -> None:
    """What a record says of an attempt whose curves were thinned."""
    for name, value in zip(record.name, record.value, strict=True):
        curves.setdefault((record.claim, name), Curve()).add(float(value))


def compare_curves(
    database: Database, said: Curves, tasks: Mapping[int, tuple[str, int]]
) -> list[str]:
    """The curves that cannot be what thinning leaves of what the stream says."""
    found = {
        (claim, name): Curve(n, first, last, math.inf if low is None else low,
                             -math.inf if high is None else high)
        for claim, name, n, first, last, low, high in database.rows(
            "SELECT claim, name, count(*), arg_min(value, place), arg_max(value, place),"
            " min(value) FILTER (isfinite(value)), max(value) FILTER (isfinite(value))"
            " FROM _metrics WHERE claim IN (SELECT unnest($1::BIGINT[])) GROUP BY claim, name",
            [list({claim for claim, _ in said})],
        )
    }  # fmt: skip
    return [
        f"task {tasks[claim][0]}: {name} is not what is left of its curve"
        for (claim, name), curve in sorted(said.items())
        if not curve.is_thinned_to(found.get((claim, name), Curve()))
    ]
