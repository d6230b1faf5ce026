"""How well attempts were packed onto GPUs, beside the best packing that is found afterwards."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Attempt:
    """An attempt as it was: how many GPUs, from when until when, in seconds."""

    gpus: int
    begin: float
    end: float

    @property
    def seconds(self) -> float:
        return self.end - self.begin

    @property
    def work(self) -> float:
        """GPU-seconds."""
        return self.gpus * self.seconds


ORDERS: dict[str, Callable[[Attempt], tuple[float, ...]]] = {
    "as they began": lambda one: (one.begin,),
    "longest first": lambda one: (-one.seconds,),
    "largest first": lambda one: (-one.work,),
    "widest first": lambda one: (-one.gpus, -one.seconds),
}
"""Orders in which a list scheduler packs; none is always the best."""


def makespan(attempts: Iterable[Attempt], gpus: int) -> float:
    """Seconds that `gpus` GPUs need for these, when each begins as soon as it fits.

    Whoever does not fit is passed by, so that a GPU is idle only if nobody fits it. This knows
    all attempts from the beginning; what it gives is a packing that is possible, if perhaps not
    the very best.
    """
    waiting = list(attempts)
    running: list[tuple[float, int]] = []
    now, free, last = 0.0, gpus, 0.0
    while waiting:
        left = []
        for attempt in waiting:
            if attempt.gpus <= free:
                free -= attempt.gpus
                heapq.heappush(running, (now + attempt.seconds, attempt.gpus))
                last = max(last, now + attempt.seconds)
            else:
                left.append(attempt)
        waiting = left
        if waiting:
            now, freed = heapq.heappop(running)
            free += freed
            while running and running[0][0] == now:
                free += heapq.heappop(running)[1]
    return last


def best(attempts: Sequence[Attempt], gpus: int) -> tuple[float, str]:
    """The seconds of the best packing that was found, and the order that gave it."""
    found = {name: makespan(sorted(attempts, key=order), gpus) for name, order in ORDERS.items()}
    name = min(found, key=lambda name: found[name])
    return found[name], name
