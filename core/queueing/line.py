"""The line of a queue: where a task would stand between two others.

A line is ordered by priority, the highest first, and by rank inside a priority, the lowest
first. So a place in it is a priority and a rank, and whoever is put between two tasks takes on a
priority that fits there.
"""

from __future__ import annotations

import msgspec


class Standing(msgspec.Struct, frozen=True):
    """A task that waits, and what its place follows from."""

    task: str
    priority: int
    rank: float


class Spot(msgspec.Struct, frozen=True):
    """A place for a task; without a rank it is the end of the priority."""

    priority: int
    rank: float | None


def spots_between(
    ahead: Standing | None, behind: Standing | None, priority: int, count: int
) -> list[Spot] | None:
    """Places for `count` tasks, in their order, behind `ahead` and before `behind`.

    They keep `priority` if it fits there. None if the two stand so close that no number lies
    between their ranks.
    """
    if behind:
        priority = max(priority, behind.priority)
    if ahead:
        priority = min(priority, ahead.priority)
    low = ahead.rank if ahead and ahead.priority == priority else None
    high = behind.rank if behind and behind.priority == priority else None
    if high is None:
        return [Spot(priority, None)] * count
    if low is None:
        return [Spot(priority, high - count + number) for number in range(count)]
    step = (high - low) / (count + 1)
    ranks = [low + step * number for number in range(1, count + 1)]
    if any(one >= other for one, other in zip([low, *ranks], [*ranks, high], strict=True)):
        return None
    return [Spot(priority, rank) for rank in ranks]
