"""What can happen to a sweep: a closed union of facts, which its journal holds in order."""

from __future__ import annotations

from typing import Literal

import msgspec

from ...core.spec import Spec
from .definition import Definition, Value

End = Literal["complete", "pruned", "failed", "stopped"]
"""How a trial can end. The words are Optuna's, but for `stopped`: it was aborted with the sweep."""

Point = tuple[int, float]
"""A step and the objective's metric there."""


class Created(msgspec.Struct, frozen=True, tag_field="kind", tag="created"):
    """The sweep exists: what it is to try, and the task that each trial is made from."""

    definition: Definition
    base: Spec


class Proposed(
    msgspec.Struct, frozen=True, tag_field="kind", tag="proposed", omit_defaults=True, kw_only=True
):
    """A trial is going to run, as this `task`. `attrs` is what the sampler wants to find again."""

    number: int
    task: str
    params: dict[str, Value]
    attrs: dict[str, int | float | str | list[float]] = {}


class Judged(
    msgspec.Struct, frozen=True, tag_field="kind", tag="judged", omit_defaults=True, kw_only=True
):
    """The pruner looked at a running trial: it is hopeless, and going to be aborted, or it passed
    a rung, of which `attrs` is the mark."""

    number: int
    step: int
    value: float
    hopeless: bool
    attrs: dict[str, float] = {}


class TrialEnded(
    msgspec.Struct, frozen=True, tag_field="kind", tag="ended", omit_defaults=True, kw_only=True
):
    """A trial's task has ended. `values` are those of the objectives, in their order; `points` what
    others may be judged by."""

    number: int
    state: End
    values: tuple[float, ...] = ()
    points: tuple[Point, ...] = ()


class Extended(msgspec.Struct, frozen=True, tag_field="kind", tag="extended"):
    """More trials are wanted, and, if the sweep has a time limit, so many more seconds."""

    trials: int = 0
    seconds: float = 0.0


class Stopped(msgspec.Struct, frozen=True, tag_field="kind", tag="stopped"):
    """Nothing more is proposed. Trials that run are aborted, unless they may `finish`."""

    reason: str
    finish: bool = False


class Resumed(msgspec.Struct, frozen=True, tag_field="kind", tag="resumed"):
    """A stopped sweep goes on."""

    reason: str


class Weighed(msgspec.Struct, frozen=True, tag_field="kind", tag="weighed"):
    """How much each parameter matters for the first objective, as shares of 1."""

    importances: dict[str, float]


class Finished(msgspec.Struct, frozen=True, tag_field="kind", tag="finished"):
    """No trial runs and none is going to. `kept` are the best, by number."""

    kept: tuple[int, ...] = ()


Fact = Created | Proposed | Judged | TrialEnded | Extended | Stopped | Resumed | Weighed | Finished
