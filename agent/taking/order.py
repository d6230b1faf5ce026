"""In which order an agent looks at its queues."""

from __future__ import annotations

from typing import Protocol

from ...core.errors import UsageError
from ...core.subjects import Level


class Order(Protocol):
    """An order of several queues; inside a queue a higher priority always comes first."""

    one_at_a_time: bool
    """Whether every task taken may change the order."""

    def arrange(self, levels: list[Level]) -> list[Level]:
        """The levels in the order in which to look at them now."""
        ...

    def took(self, queue: str) -> None:
        """A task of `queue` was taken."""
        ...


class Strict:
    """All of the first queue before any of the second."""

    one_at_a_time = False

    def __init__(self, queues: tuple[str, ...]) -> None:
        self._rank = {queue: number for number, queue in enumerate(queues)}

    def arrange(self, levels: list[Level]) -> list[Level]:
        return sorted(levels, key=lambda level: (self._rank[level.queue], -level.priority))

    def took(self, queue: str) -> None:
        """Nothing changes."""


class RoundRobin:
    """One of each queue in turn; a queue that has nothing gives its turn away."""

    one_at_a_time = True

    def __init__(self, queues: tuple[str, ...]) -> None:
        self._queues = queues
        self._first = 0

    def arrange(self, levels: list[Level]) -> list[Level]:
        count = len(self._queues)
        rank = {queue: (number - self._first) % count for number, queue in enumerate(self._queues)}
        return sorted(levels, key=lambda level: (rank[level.queue], -level.priority))

    def took(self, queue: str) -> None:
        self._first = (self._queues.index(queue) + 1) % len(self._queues)


def make_order(name: str, queues: tuple[str, ...]) -> Order:
    """The order called `name`. Raises `UsageError`."""
    match name:
        case "strict":
            return Strict(queues)
        case "round-robin":
            return RoundRobin(queues) if len(queues) > 1 else Strict(queues)
        case _:
            raise UsageError(
                f"there is no order {name!r}",
                why="an agent knows strict and round-robin",
                fix="--order round-robin",
            )
