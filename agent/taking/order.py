"""In which order an agent looks at its queues."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from ...core.queueing import queue_order
from ...core.subjects import Level


class Order(Protocol):
    """An order of several queues; inside a queue a higher priority always comes first."""

    one_at_a_time: bool
    """Whether every task taken may change the order."""

    def arrange(self, levels: Iterable[Level]) -> list[Level]:
        """The levels in the order in which to look at them now."""
        ...

    def took(self, queue: str) -> None:
        """A task of `queue` was taken; nothing waited in the queues arranged before it."""
        ...

    def before(self, level: Level, other: Level) -> bool:
        """Whether tasks of `level` always go before those of `other`, however long these wait."""
        ...


class Strict:
    """All of the first queue before any of the second."""

    one_at_a_time = False

    def __init__(self, queues: tuple[str, ...]) -> None:
        self._rank = {queue: number for number, queue in enumerate(queues)}

    def arrange(self, levels: Iterable[Level]) -> list[Level]:
        return sorted(levels, key=self._place)

    def took(self, queue: str) -> None:
        """Nothing changes."""

    def before(self, level: Level, other: Level) -> bool:
        return self._place(level) < self._place(other)

    def _place(self, level: Level) -> tuple[int, int]:
        return (self._rank[level.queue], -level.priority)


class RoundRobin:
    """One of each queue in turn; a queue that has nothing gives its turn away."""

    one_at_a_time = True

    def __init__(self, queues: tuple[str, ...]) -> None:
        self._queues = queues
        self._first = 0

    def arrange(self, levels: Iterable[Level]) -> list[Level]:
        count = len(self._queues)
        rank = {queue: (number - self._first) % count for number, queue in enumerate(self._queues)}
        return sorted(levels, key=lambda level: (rank[level.queue], -level.priority))

    def took(self, queue: str) -> None:
        self._first = (self._queues.index(queue) + 1) % len(self._queues)

    def before(self, level: Level, other: Level) -> bool:
        return _more_urgent(level, other)


class Weighted:
    """Each queue in proportion to its weight, and as evenly spread as can be.

    Every task taken gives each queue that may have work its weight as credit, and costs the one
    that it came from the sum of them; the largest credit is next. A queue without work saves no
    credit for later.
    """

    one_at_a_time = True

    def __init__(self, weights: dict[str, int]) -> None:
        """`weights` holds all queues, in the agent's order."""
        self._weights = weights
        self._credit = dict.fromkeys(weights, 0)
        self._line: list[str] = []
        """The queues as they were last arranged."""

    def arrange(self, levels: Iterable[Level]) -> list[Level]:
        found = list(levels)
        places = {queue: place for place, queue in enumerate(self._weights)}
        self._line = sorted(
            {level.queue for level in found},
            key=lambda queue: (-self._credit[queue] - self._weights[queue], places[queue]),
        )
        rank = {queue: number for number, queue in enumerate(self._line)}
        return sorted(found, key=lambda level: (rank[level.queue], -level.priority))

    def took(self, queue: str) -> None:
        working = self._line[self._line.index(queue) :] if queue in self._line else [queue]
        for name in self._weights:
            self._credit[name] = self._credit[name] + self._weights[name] if name in working else 0
        self._credit[queue] -= sum(self._weights[name] for name in working)

    def before(self, level: Level, other: Level) -> bool:
        return _more_urgent(level, other)


def _more_urgent(level: Level, other: Level) -> bool:
    return level.queue == other.queue and level.priority > other.priority


def make_order(name: str, queues: tuple[str, ...]) -> Order:
    """The order called `name`. Raises `UsageError`."""
    match queue_order.parse(name, queues):
        case queue_order.Weights(weights):
            return Weighted(weights)
        case "round-robin" if len(queues) > 1:
            return RoundRobin(queues)
        case "strict" | "round-robin":
            return Strict(queues)
