"""A sweep as its facts made it: the fold of its journal."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from ...core.ids import task_id_for_key
from ...core.journal import Noted
from ...core.spec import Spec
from .definition import MOST_IGNORED, Definition, Value
from .facts import (
    Created,
    End,
    Extended,
    Fact,
    Finished,
    Judged,
    Point,
    Proposed,
    Resumed,
    Stopped,
    TrialEnded,
    Weighed,
)


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """One choice of parameters, and what became of it. `hopeless` is the point at which the pruner
    gave it up; `end` is null as long as its task has not ended."""

    number: int
    params: dict[str, Value]
    began: int
    attrs: dict[str, object] = {}
    hopeless: Point | None = None
    end: End | None = None
    ended: int = 0
    values: tuple[float, ...] = ()
    points: tuple[Point, ...] = ()
    words: str = ""


class SweepState(msgspec.Struct, frozen=True, kw_only=True):
    """A sweep, before which nothing is known but its name.

    `trials` have their numbers as places. `limit` is how many are wanted by now, `seconds` how long
    the sweep may propose from `began` on. `runs` counts how often it has come to an end.
    """

    name: str
    definition: Definition | None = None
    base: Spec | None = None
    began: int = 0
    trials: tuple[Trial, ...] = ()
    limit: int | None = None
    seconds: float | None = None
    stop: Stopped | None = None
    finished: str = ""
    runs: int = 0
    kept: tuple[int, ...] = ()
    importances: dict[str, float] = {}

    @property
    def plan(self) -> Definition:
        """The definition of a sweep that exists."""
        assert self.definition is not None
        return self.definition

    @property
    def open(self) -> list[Trial]:
        """The trials whose tasks have not ended."""
        return [trial for trial in self.trials if trial.end is None]

    @property
    def most_failures(self) -> int | None:
        """How many failed trials end it; null if any number may fail."""
        if self.plan.failures is None and self.plan.failed == "ignore":
            return MOST_IGNORED
        return self.plan.failures

    @property
    def failures(self) -> int:
        """How many trials failed for good."""
        return sum(trial.end == "failed" for trial in self.trials)

    @property
    def best(self) -> list[Trial]:
        """The complete trials, the best first. With several objectives only those are there than
        which none is better in all."""
        complete = [trial for trial in self.trials if trial.end == "complete"]
        if self.definition is None or len(self.plan.objective) > 1:
            return [one for one in complete if not any(self._beats(two, one) for two in complete)]
        return sorted(complete, key=lambda trial: self._cost(trial))

    def _cost(self, trial: Trial) -> tuple[float, ...]:
        """The values of a trial, turned so that less is better."""
        return tuple(
            value if objective.goal == "minimize" else -value
            for objective, value in zip(self.plan.objective, trial.values, strict=True)
        )

    def _beats(self, one: Trial, other: Trial) -> bool:
        costs = list(zip(self._cost(one), self._cost(other), strict=True))
        return all(a <= b for a, b in costs) and any(a < b for a, b in costs)


def key_of(sweep: str, number: int) -> str:
    """The key of a trial's task, by which it is the same task whoever enqueues it, and when."""
    return f"sweep-{sweep}-{number}"


def task_of(sweep: str, number: int) -> str:
    """The id of a trial's task."""
    return task_id_for_key(key_of(sweep, number))


def evolve(sweep: SweepState, noted: Noted[Fact]) -> SweepState:
    """The sweep after one more fact."""
    match noted.fact:
        case Created(definition, base):
            return replace(
                sweep,
                definition=definition,
                base=base,
                began=noted.at,
                limit=definition.trials,
                seconds=definition.timeout,
            )
        case Proposed(number=number, params=params, attrs=attrs):
            trial = Trial(number=number, params=params, began=noted.at, attrs=dict(attrs))
            return replace(sweep, trials=(*sweep.trials, trial))
        case Judged(number=number, step=step, value=value, hopeless=hopeless, attrs=attrs):
            trial = sweep.trials[number]
            given_up = (step, value) if hopeless else trial.hopeless
            return _with(sweep, replace(trial, attrs=trial.attrs | attrs, hopeless=given_up))
        case TrialEnded(number=number, state=state, values=values, points=points):
            trial = sweep.trials[number]
            return _with(
                sweep,
                replace(
                    trial,
                    end=state,
                    ended=noted.at,
                    values=values,
                    points=points,
                    words=noted.words,
                ),
            )
        case Extended(trials, seconds):
            return replace(
                sweep,
                limit=None if sweep.limit is None else sweep.limit + trials,
                seconds=None if sweep.seconds is None else sweep.seconds + seconds,
                stop=None,
                finished="",
            )
        case Stopped() as stop:
            return replace(sweep, stop=stop)
        case Resumed():
            return replace(sweep, stop=None, finished="")
        case Weighed(importances):
            return replace(sweep, importances=importances)
        case Finished(kept):
            return replace(sweep, finished=noted.words, kept=kept, runs=sweep.runs + 1)


def _with(sweep: SweepState, trial: Trial) -> SweepState:
    trials = (*sweep.trials[: trial.number], trial, *sweep.trials[trial.number + 1 :])
    return replace(sweep, trials=trials)
