"""Which trials are hopeless, judged by Optuna's pruners as their metrics arrive."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .facts import Judged, Point
from .state import SweepState, Trial
from .study import RUNG, make_study, seen_by

if TYPE_CHECKING:
    import optuna


class Pruner:
    """Looks at running trials, one point after the other.

    It has a bench for each trial that runs, a study with those it is compared with, and makes that
    anew only when one of them has changed.
    """

    def __init__(self) -> None:
        self._benches: dict[int, _Bench] = {}

    def judge(self, sweep: SweepState, number: int, points: tuple[Point, ...]) -> Judged | None:
        """What the last of the trial's points means; null if it means nothing new."""
        trials = company(sweep, number)
        bench = self._benches.get(number)
        if bench is None or not bench.suits(trials, points):
            bench = self._benches[number] = _Bench(sweep, trials, number)
        step, value = points[-1]
        hopeless, marks = bench.judge(points)
        if not hopeless and not marks:
            return None
        return Judged(number=number, step=step, value=value, hopeless=hopeless, attrs=marks)

    def forget(self, number: int) -> None:
        """Nothing more of this trial is going to be judged."""
        self._benches.pop(number, None)


def company(sweep: SweepState, number: int) -> list[Trial]:
    """The trials that this one is compared with, itself among them; each at its number's place."""
    if sweep.plan.reproducible:
        return [*seen_by(sweep, number), sweep.trials[number]]
    return list(sweep.trials)


class _Bench:
    """A study in which one trial has the points that it has told so far."""

    def __init__(self, sweep: SweepState, trials: list[Trial], number: int) -> None:
        self._trials = trials
        self._number = number
        self._told: tuple[Point, ...] = ()
        self._study = make_study(sweep, trials)
        self._storage = self._study._storage
        self._id = self._trial._trial_id

    def suits(self, trials: list[Trial], points: tuple[Point, ...]) -> bool:
        """Whether nothing is different but that the trial has told more."""
        return trials == self._trials and points[: len(self._told)] == self._told

    def judge(self, points: tuple[Point, ...]) -> tuple[bool, dict[str, float]]:
        """Whether the trial is hopeless, and the rungs that it has passed since."""
        for step, value in points[len(self._told) :]:
            self._storage.set_trial_intermediate_value(self._id, step, value)
        self._told = points
        hopeless = bool(self._study.pruner.prune(self._study, self._trial))  # numpy has its own
        before = self._trials[self._number].attrs
        after = self._trial.system_attrs
        marks = {key: after[key] for key in after.keys() - before.keys() if key.startswith(RUNG)}
        return hopeless, marks

    @property
    def _trial(self) -> optuna.trial.FrozenTrial:
        return self._study.get_trials(deepcopy=False)[self._number]
