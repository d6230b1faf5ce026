"""What a member of a gang does before its command runs: it waits until all the others are there."""

from __future__ import annotations

import msgspec

from .. import state
from ..events import Cause
from ..fleet.resources import request_of
from ..state import Task

GATHER = "gather"
"""The step of set-up in which a member waits for the others."""


class Gathering(msgspec.Struct, frozen=True, kw_only=True):
    """A member that an agent has while others of its gang are missing; `origin` is the sequence
    of the gang's first member in the log, `size` what each asks for, as a class."""

    gang: str
    origin: int
    rank: int
    nodes: int
    queue: str
    priority: int
    size: str

    @property
    def age(self) -> tuple[int, int]:
        """Its place among all gangs: the lower one goes first."""
        return (-self.priority, self.origin)


def gathering(task: Task) -> Gathering | None:
    """What is said of a task whose gang is yet to start; None for any other."""
    spec, attempt = task.spec, task.live
    if spec.gang is None or isinstance(task.state, state.Held | state.Ended):
        return None
    if attempt and (attempt.assembled or attempt.disband):
        return None
    return Gathering(
        gang=spec.gang.id,
        origin=task.origin - spec.gang.rank,
        rank=spec.gang.rank,
        nodes=spec.nodes,
        queue=task.place.queue,
        priority=task.place.priority,
        size=request_of(spec).size,
    )


def has_gathered(task: Task) -> bool:
    """Whether nothing is left for the member to do but to wait for the others."""
    attempt = task.live
    if attempt is None or attempt.launch or attempt.assembled or attempt.disband or task.abort:
        return False
    step = attempt.phases[-1] if attempt.phases else None
    return step is not None and step.name == GATHER and step.seconds is None


def withdrawals(task: Task) -> int:
    """How often in a row the task was given back because its gang was not complete."""
    count = 0
    for attempt in reversed(task.past):
        if attempt.end is None or attempt.end.cause is not Cause.GANG or attempt.assembled:
            break
        count += 1
    return count
