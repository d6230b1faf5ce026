"""What is in one queue, counted as tasks come and go."""

from __future__ import annotations

import heapq
from collections import Counter, deque
from statistics import median

from ...events import Outcome
from .line import Line
from .rows import LiveTask

ENDS = frozenset(outcome.value for outcome in Outcome)
"""The states in which a task has ended."""

LATELY = 100
"""Tasks that the medians stand on."""


class Tally:
    """The counts of a queue, its line, and how long its tasks waited and were held lately."""

    def __init__(self) -> None:
        self.states: Counter[str] = Counter()
        self.line = Line()
        self._waits: deque[float] = deque(maxlen=LATELY)
        self._holds: deque[float] = deque(maxlen=LATELY)
        self._oldest: list[tuple[int, str]] = []
        """A heap of those that wait, and of some that no longer do."""

    def begin(self, waiting: list[LiveTask]) -> None:
        """Let these wait in the queue, which was empty."""
        self.line.begin(waiting)
        self._oldest = [(task.since, task.id) for task in waiting]
        heapq.heapify(self._oldest)

    def remember(self, waits: list[float], holds: list[float]) -> None:
        """How many seconds tasks waited, and were held by an agent, the latest first."""
        self._waits.extend(reversed(waits))
        self._holds.extend(reversed(holds))

    def add(self, task: LiveTask) -> None:
        """A task waits here now."""
        self.line.add(task)
        heapq.heappush(self._oldest, (task.since, task.id))

    def remove(self, task: LiveTask) -> None:
        """A task no longer waits here, or not as it did."""
        self.line.remove(task)

    def oldest(self, tasks: dict[str, LiveTask], queue: str) -> int | None:
        """Since when the task waits that waits longest."""
        while self._oldest:
            since, name = self._oldest[0]
            task = tasks.get(name)
            if task and task.state == "queued" and (task.queue, task.since) == (queue, since):
                return since
            heapq.heappop(self._oldest)
        return None

    def learn(self, before: LiveTask | None, after: LiveTask) -> None:
        """Learn how long it took from a task that was claimed for the first time, or has ended."""
        if before is None:
            return
        if not before.attempts and after.attempts and after.claimed is not None:
            self._waits.append(max(0.0, (after.claimed - after.enqueued) / 1e6))
        if not before.has_ended and after.ended is not None and after.claimed is not None:
            self._holds.append(max(0.0, (after.ended - after.claimed) / 1e6))

    @property
    def wait_median(self) -> float | None:
        """Seconds that its tasks waited lately."""
        return median(self._waits) if self._waits else None

    @property
    def hold_median(self) -> float | None:
        """Seconds that agents had its tasks lately."""
        return median(self._holds) if self._holds else None
