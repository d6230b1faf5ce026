"""The runs of one attempt, as its MLflow client sees them. Nothing here outlives the process."""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..ticket import Ticket
from .bodies import Batch, Metric, Pair, RunCreate, RunUpdate
from .refusal import Refusal

EXPERIMENT = "0"
"""The id of every experiment: a task is one, whatever it is called."""

ARTIFACTS = "mlflow-artifacts:"
"""Tells a client to send artifacts to the server that it logs to."""

NAME = "mlflow.runName"
"""The tag that a run's name is, too."""

HISTORY = 10_000
"""Points of each metric that a client can ask back; evq itself has them all."""

MOST_RUNS = 1_000
MOST_NAMES = 10_000
"""Runs of an attempt, and metrics, parameters or tags of a run or model."""


def put(kept: dict[str, str], said: list[Pair]) -> None:
    """Keep what is said under its names. Raises `Refusal` if there are too many."""
    check_room(kept, {pair.key for pair in said})
    kept.update((pair.key, pair.value) for pair in said)


def check_room(kept: Mapping[str, Any], names: set[str]) -> None:
    """Raise `Refusal` if there is no room for these names."""
    if len(kept.keys() | names) > MOST_NAMES:
        raise Refusal(f"{MOST_NAMES} names are in use already, evq takes no more")


@dataclass
class Run:
    """`prefix` is what stands before the names of its metrics among the task's."""

    id: str
    name: str
    prefix: str
    user: str = ""
    began: int = field(default_factory=lambda: int(time.time() * 1000))
    ended: int | None = None
    status: str = "RUNNING"
    taken: bool = False
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    history: dict[str, deque[Metric]] = field(default_factory=dict)

    def keep(self, batch: Batch) -> None:
        """What was logged now, and replaces what was logged before."""
        check_room(self.history, {one.key for one in batch.metrics})
        put(self.params, batch.params)
        put(self.tags, batch.tags)
        for metric in batch.metrics:
            self.history.setdefault(metric.key, deque(maxlen=HISTORY)).append(metric)

    def info(self) -> dict[str, Any]:
        """It as MLflow's RunInfo."""
        return {
            "run_id": self.id,
            "run_uuid": self.id,
            "run_name": self.name,
            "experiment_id": EXPERIMENT,
            "user_id": self.user,
            "status": self.status,
            "start_time": self.began,
            "end_time": self.ended,
            "artifact_uri": f"{ARTIFACTS}/{self.id}",
            "lifecycle_stage": "active",
        }

    def data(self) -> dict[str, Any]:
        """It as MLflow's RunData: of each metric the last point."""
        return {
            "metrics": [points[-1] for points in self.history.values()],
            "params": [Pair(key, value) for key, value in self.params.items()],
            "tags": [Pair(key, value) for key, value in self.tags.items()],
        }


class Runs:
    """All runs of an attempt. The first that a client asks for is the attempt's own."""

    def __init__(self, ticket: Ticket) -> None:
        self.ticket = ticket
        self.experiment = "Default"
        self._runs = {ticket.run: Run(ticket.run, ticket.run, "")}
        self._names = itertools.count(2)

    def __iter__(self) -> Iterator[Run]:
        return iter(self._runs.values())

    def get(self, id: str) -> Run:
        """The run of this id. Raises `Refusal`."""
        if run := self._runs.get(id):
            run.taken = True
            return run
        raise Refusal(
            f"there is no run {id!r} in task {self.ticket.task}; evq serves a task its own runs",
            "RESOURCE_DOES_NOT_EXIST",
            status=404,
        )

    def create(self, wish: RunCreate) -> Run:
        """A run as a client wishes it. Raises `Refusal`."""
        own = self._runs[self.ticket.run]
        if own.taken:
            if len(self._runs) >= MOST_RUNS:
                raise Refusal(f"task {self.ticket.task} has {MOST_RUNS} runs, evq takes no more")
            number = next(self._names)
            name = wish.name or f"run-{number}"
            prefix = name if all(one.prefix != f"{name}/" for one in self) else f"{name}-{number}"
            run = Run(f"{self.ticket.run}-{number}", name, f"{prefix}/")
            self._runs[run.id] = run
        else:
            run, own.taken = own, True
            run.name = wish.name or run.name
        run.user = wish.user_id
        run.began = wish.start_time or run.began
        run.keep(Batch(tags=wish.tags))
        return run

    def update(self, run: Run, wish: RunUpdate) -> None:
        """Take over what a client says of a run as such."""
        run.status = wish.status or run.status
        run.ended = wish.end_time if wish.end_time is not None else run.ended
        run.name = wish.run_name or run.name
