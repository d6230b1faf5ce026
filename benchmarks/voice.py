"""What a running task says: messages with points of its metrics, and with lines of its log."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from itertools import chain, zip_longest

from words import METRICS, lines

from evq.core import events, wire

POINTS_PER_MESSAGE, LINES_PER_MESSAGE = 500, 200
LONGEST_PER_MESSAGE = 2000
SECOND = 1_000_000
NOISE = 2**16

Message = tuple[int, bytes]
"""When it is said (microseconds), and a record."""


class Voice:
    """Makes records; noise is made once, for to draw each anew would take most of the time."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.made = 0
        """How many of usual metrics there are so far."""
        self._noise = [chance.gauss(0, 0.03) for _ in range(2 * NOISE)]

    def say(
        self, attempt: int, claim: int, at: int, seconds: float, points: int, said: int
    ) -> Iterator[Message]:
        """`points` points of several metrics and `said` lines in `seconds` from `at` on."""
        metrics = self._chance.choice(METRICS)
        self.made += points
        values = self._metrics(attempt, claim, at, seconds, points, metrics)
        text = self._lines(attempt, claim, at, seconds, said)
        pairs = zip_longest(values, text)
        yield from sorted(one for one in chain.from_iterable(pairs) if one is not None)

    def say_long(
        self, attempt: int, claim: int, at: int, seconds: float, points: int
    ) -> Iterator[Message]:
        """One metric of so many points."""
        return self._metrics(attempt, claim, at, seconds, points, ("train/loss",))

    def points(self, attempt: int, claim: int, at: int, first: int, count: int) -> bytes:
        """A message with so many points of one metric, from step `first` on."""
        record = events.Metric(
            attempt=attempt,
            claim=claim,
            at=(at,) * count,
            name=("train/loss",) * count,
            step=tuple(range(first, first + count)),
            value=tuple(self._noise[:count]),
        )
        return wire.encode_telemetry(record)

    def lines(self, attempt: int, claim: int, at: int, first: int, count: int) -> bytes:
        """A message with so many lines, from number `first` on."""
        record = events.Log(
            attempt=attempt,
            claim=claim,
            first=first,
            at=(at,) * count,
            stream="o" * count,
            text=lines(first, count, self._chance),
        )
        return wire.encode_telemetry(record)

    def _metrics(
        self,
        attempt: int,
        claim: int,
        at: int,
        seconds: float,
        points: int,
        names: tuple[str, ...],
    ) -> Iterator[Message]:
        size = LONGEST_PER_MESSAGE if points >= 1_000_000 else POINTS_PER_MESSAGE
        kinds = len(names)
        size -= size % kinds
        apart = seconds * SECOND / max(points, 1)
        diverges = points * 0.8 if self._chance.random() < 0.02 else math.inf
        high, decay = self._chance.uniform(1, 10), 20 / max(points, 1)
        for first in range(0, points, size):
            count = min(size, points - first)
            count -= count % kinds
            if not count:
                return
            times = tuple(int(at + apart * number) for number in range(first, first + count))
            level = 0.1 + high / (1 + decay * first)
            start = int(self._chance.random() * NOISE)
            values: tuple[float | str, ...]
            if first < diverges:
                noise = self._noise[start : start + count]
                values = tuple([round(level * (1 + one), 5) for one in noise])
            else:
                values = ("nan",) * count
            record = events.Metric(
                attempt=attempt,
                claim=claim,
                at=times,
                name=names * (count // kinds),
                step=tuple([number // kinds for number in range(first, first + count)]),
                value=values,  # type: ignore[arg-type]
            )
            yield times[-1], wire.encode_telemetry(record)

    def _lines(
        self, attempt: int, claim: int, at: int, seconds: float, said: int
    ) -> Iterator[Message]:
        apart = seconds * SECOND / max(said, 1)
        for first in range(0, said, LINES_PER_MESSAGE):
            count = min(LINES_PER_MESSAGE, said - first)
            when = int(at + apart * (first + count))
            yield when, self.lines(attempt, claim, when, first, count)
