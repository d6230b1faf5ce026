"""What a sweep does next: from what is known to one fact and its words. No clock, no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

from msgspec.structs import replace

from ...core import units
from ...core.outcomes import Outcome
from ...core.state import Ended
from .curve import Curve
from .definition import Asha, Hyperband, Median, Value
from .facts import Fact, Finished, Judged, Point, Proposed, TrialEnded, Weighed
from .pruner import Pruner
from .state import SweepState, Trial
from .study import propose, weigh

Decision = tuple[Fact, str]

WEIGH_EVERY = 10
"""Complete trials."""


def next_trial(sweep: SweepState, now: int) -> Decision | None:
    """The next trial, if there is room for one and the sweep wants one."""
    if sweep.finished or ending(sweep, now) or not has_room(sweep):
        return None
    proposed = propose(sweep)
    return (proposed, proposal_text(proposed)) if proposed else None


def first_trials(sweep: SweepState, count: int) -> tuple[Trial, ...]:
    """The trials with which the sweep would begin, as far as they are known before any has run."""
    while len(sweep.trials) < count and (proposed := propose(sweep)):
        trial = Trial(
            number=proposed.number, params=proposed.params, began=0, attrs=dict(proposed.attrs)
        )
        sweep = replace(sweep, trials=(*sweep.trials, trial))
    return sweep.trials


def has_room(sweep: SweepState) -> bool:
    """Whether another trial may begin beside those that run."""
    most = sweep.plan.concurrency
    if sweep.plan.reproducible:
        # It must know all those that it is chosen by, however long the others take.
        return all(trial.end for trial in sweep.trials[: len(sweep.trials) - most + 1])
    return len(sweep.open) < most


def ending(sweep: SweepState, now: int) -> str:
    """Why no other trial is going to be proposed; empty if one is."""
    plan, failures = sweep.plan, sweep.failures
    if sweep.stop:
        return f"stopped: {sweep.stop.reason}"
    if sweep.most_failures is not None and failures >= sweep.most_failures:
        return f"{failures} trials failed, and no more than {sweep.most_failures} may"
    counted = sum(counts(sweep, trial) for trial in sweep.trials)
    if sweep.limit is not None and counted >= sweep.limit:
        return f"all {sweep.limit} trials are done"
    if sweep.seconds is not None and now >= sweep.began + sweep.seconds * 1e6:
        return f"its time of {units.duration_text(sweep.seconds)} is over"
    if plan.sampler == "grid" and propose(sweep) is None:
        return f"all {len(sweep.trials)} points of the grid are done"
    return ""


def counts(sweep: SweepState, trial: Trial) -> bool:
    """Whether the trial is one of those that were wanted."""
    ignored = trial.end == "failed" and sweep.plan.failed == "ignore"
    return trial.end != "stopped" and not ignored


def finish(sweep: SweepState, now: int) -> Decision | None:
    """The end, if nothing runs and nothing is going to."""
    if sweep.finished or sweep.open:
        return None
    why = ending(sweep, now)
    if not why:
        return None
    best = sweep.best
    kept = tuple(trial.number for trial in best[: sweep.plan.keep]) if sweep.plan.keep else ()
    return Finished(kept), f"{why}; {best_text(sweep, best)}"


def judgement(
    sweep: SweepState, number: int, point: Point, points: Sequence[Point], pruner: Pruner
) -> Decision | None:
    """What a trial's newest point says of it, if it says anything."""
    trial = sweep.trials[number]
    if sweep.plan.prune is None or trial.hopeless or trial.end:
        return None
    step, value = point
    metric = sweep.plan.objective[0].metric
    if not isfinite(value):
        # JSON knows no such numbers, and what the value was the words say.
        lost = Judged(number=number, step=step, value=0.0, hopeless=True)
        return lost, f"trial {number} is hopeless: {metric} is {value} at step {step}"
    judged = pruner.judge(sweep, number, tuple(points))
    if judged is None:
        return None
    if not judged.hopeless:
        return judged, f"trial {number} goes on: {metric} {value:.6g} at step {step} passes"
    return (
        judged,
        f"trial {number} is hopeless: {metric} {value:.6g} at step {step}, {reproach(sweep)}",
    )


def reproach(sweep: SweepState) -> str:
    """What the pruner holds against a hopeless trial."""
    match sweep.plan.prune:
        case Median():
            return "and its best is worse than the median of the others there"
        case Asha(factor=factor) | Hyperband(factor=factor):
            return f"which is not among the best 1/{factor} of those that came so far"
        case None:
            return ""


def end_of(sweep: SweepState, number: int, state: Ended, curve: Curve) -> Decision:
    """What became of a trial whose task has ended and said all it had to say."""
    trial = sweep.trials[number]

    def ended(end: TrialEnded, words: str) -> Decision:
        return end, f"trial {number} {words}"

    if trial.hopeless:
        step, _ = trial.hopeless
        points = tuple(one for one in curve.points if one[0] <= step)
        pruned = TrialEnded(number=number, state="pruned", points=points)
        return ended(pruned, f"was pruned at step {step}")
    if sweep.stop and state.outcome == Outcome.ABORTED:
        stopped = TrialEnded(number=number, state="stopped", points=curve.points)
        return ended(stopped, "was aborted: the sweep was stopped")
    failed = TrialEnded(number=number, state="failed", points=curve.points)
    if state.outcome != Outcome.COMPLETED:
        return ended(failed, f"failed: it {state.outcome.phrase}, {state.evidence}".rstrip(", "))
    try:
        values = curve.values()
    except ValueError as error:
        return ended(failed, f"failed: {error}")
    complete = TrialEnded(number=number, state="complete", values=values, points=curve.points)
    shown = values_text(sweep, values)
    best = sweep.best
    if len(values) == 1 and (not best or _is_better(sweep, values[0], best[0].values[0])):
        shown += ", the best so far"
    return ended(complete, f"is complete: {shown}")


def _is_better(sweep: SweepState, value: float, than: float) -> bool:
    return value < than if sweep.plan.objective[0].goal == "minimize" else value > than


def weighed(sweep: SweepState, *, at_end: bool = False) -> Decision | None:
    """How much each parameter matters, every so many complete trials and at the end."""
    complete = sum(trial.end == "complete" for trial in sweep.trials)
    if complete % WEIGH_EVERY and not (at_end and sweep.trials):
        return None
    importances = weigh(sweep)
    if not importances or importances == sweep.importances:
        return None
    most = max(importances, key=lambda name: importances[name])
    return Weighed(importances), f"{most} matters most, by {importances[most]:.0%}"


# --- words ------------------------------------------------------------------------------------


def proposal_text(proposed: Proposed) -> str:
    """A trial that is going to run, in words."""
    return f"trial {proposed.number}: {params_text(proposed.params)}"


def params_text(params: dict[str, Value]) -> str:
    """Parameters for people: `lr=0.01 layers=3`."""
    return " ".join(f"{name}={short_text(value)}" for name, value in params.items())


def short_text(value: Value) -> str:
    """A value in a few letters."""
    return f"{value:.4g}" if isinstance(value, float) else value_text(value)


def value_text(value: Value) -> str:
    """A value as a command line has it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def values_text(sweep: SweepState, values: Sequence[float]) -> str:
    """The objectives' values for people: `loss 0.123`."""
    pairs = zip(sweep.plan.objective, values, strict=True)
    return ", ".join(f"{objective.metric} {value:.6g}" for objective, value in pairs)


def best_text(sweep: SweepState, best: Sequence[Trial]) -> str:
    """The best trial in words."""
    if not best:
        return "no trial is complete"
    if len(sweep.plan.objective) > 1:
        return f"none beats trials {', '.join(str(trial.number) for trial in best)}"
    one = best[0]
    shown = f"{values_text(sweep, one.values)} with {params_text(one.params)}"
    return f"the best is trial {one.number}: {shown}"
