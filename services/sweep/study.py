"""A sweep as an Optuna study: what it proposes, what it weighs, and how it is exported.

The study is made anew from the sweep each time, and the sampler's seed follows from the sweep's
seed and the trial's number. So a proposal depends on nothing but the journal: whoever goes on with
a sweep, and wherever, proposes what the one before would have.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from datetime import datetime
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from ...core.errors import Conflict, UsageError
from .definition import Asha, Choice, Definition, Dimension, Hyperband, Integer, Median, Real, Value
from .facts import Proposed
from .grid import grid, is_active
from .state import SweepState, Trial, task_of

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
    from optuna.study import Study
    from optuna.trial import FrozenTrial

RUNG = "completed_rung_"
"""How Optuna's marks of successive halving begin."""

FEW_FOR_WEIGHING = 8
"""Complete trials; of fewer one cannot say what matters."""


def load_optuna() -> Any:
    """Optuna, silenced. Raises `UsageError` if it is not installed."""
    try:
        import optuna
    except ImportError as error:
        raise _missing(error) from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    return optuna


def check_able(plan: Definition) -> None:
    """Raises `UsageError` if what the sweep needs is not installed here."""
    try:
        for package in ("optuna", "cmaes") if plan.sampler == "cma-es" else ("optuna",):
            import_module(package)
    except ImportError as error:
        raise _missing(error) from error


def _missing(error: ImportError) -> UsageError:
    return UsageError(
        "sweeps need Optuna, which is not installed here",
        why=f"{error}; it comes with the extra `sweep`",
        fix="pip install 'evq[sweep]'",
    )


def propose(sweep: SweepState) -> Proposed | None:
    """The next trial; null if a grid has no other combination."""
    number = len(sweep.trials)
    plan = sweep.plan
    if plan.sampler == "grid":
        points = grid(plan.space)
        if number >= len(points):
            return None
        return Proposed(number=number, task=task_of(sweep.name, number), params=points[number])
    study = make_study(sweep, seen_by(sweep, number))
    study.sampler = _sampler(plan, number)
    trial = study.ask()
    params: dict[str, Value] = {}
    for name, dimension in plan.space.items():
        if is_active(dimension, params):
            params[name] = _suggest(trial, name, dimension)
    stored = study.get_trials(deepcopy=False)[-1].system_attrs
    # What TPE notes there stands in the parameters as well.
    attrs = {key: value for key, value in stored.items() if not key.startswith("tpe:")}
    task = task_of(sweep.name, number)
    return Proposed(number=number, task=task, params=params, attrs=attrs)


def seen_by(sweep: SweepState, number: int) -> list[Trial]:
    """The trials before this one as it may see them. In a reproducible sweep the results of those
    that could still run beside it are hidden, whether they are there or not."""
    before = sweep.trials[:number]
    if not sweep.plan.reproducible:
        return list(before)
    sure = max(0, number - sweep.plan.concurrency + 1)
    return [*before[:sure], *map(_as_begun, before[sure:])]


def _as_begun(trial: Trial) -> Trial:
    """A trial without what came of it."""
    attrs = {key: value for key, value in trial.attrs.items() if not key.startswith(RUNG)}
    return Trial(number=trial.number, params=trial.params, began=trial.began, attrs=attrs)


def make_study(sweep: SweepState, trials: Sequence[Trial], storage: Any = None) -> Study:
    """A study that holds these trials, in memory if no storage is given."""
    optuna = load_optuna()
    study: Study = optuna.create_study(
        study_name=sweep.name,
        storage=storage or optuna.storages.InMemoryStorage(),
        directions=[objective.goal for objective in sweep.plan.objective],
        sampler=optuna.samplers.RandomSampler(),
        pruner=make_pruner(sweep.plan),
    )
    for trial in trials:
        study.add_trial(frozen(sweep.plan, trial))
    return study


def frozen(plan: Definition, trial: Trial) -> FrozenTrial:
    """The trial as Optuna knows it."""
    optuna = load_optuna()
    states = optuna.trial.TrialState
    state = {
        None: states.RUNNING,
        "complete": states.COMPLETE,
        "pruned": states.PRUNED,
        "failed": states.FAIL,
        "stopped": states.FAIL,
    }[trial.end]
    made: FrozenTrial = optuna.trial.create_trial(
        state=state,
        params=trial.params,
        distributions={name: distribution(plan.space[name]) for name in trial.params},
        values=trial.values or None,
        system_attrs=dict(trial.attrs),
        intermediate_values=dict(trial.points),
    )
    return made


def distribution(dimension: Dimension) -> BaseDistribution:
    """A parameter's range as Optuna knows it."""
    distributions = load_optuna().distributions
    found: BaseDistribution
    match dimension:
        case Choice(choices):
            found = distributions.CategoricalDistribution(choices)
        case Integer(low, high, step, log):
            found = distributions.IntDistribution(low, high, log=log, step=step)
        case Real(low, high, step, log):
            found = distributions.FloatDistribution(low, high, log=log, step=step)
    return found


def _suggest(trial: optuna.Trial, name: str, dimension: Dimension) -> Value:
    match dimension:
        case Choice(choices):
            return cast("Value", trial.suggest_categorical(name, choices))
        case Integer(low, high, step, log):
            return trial.suggest_int(name, low, high, step=step, log=log)
        case Real(low, high, step, log):
            return trial.suggest_float(name, low, high, step=step, log=log)


def _sampler(plan: Definition, number: int) -> BaseSampler:
    samplers = load_optuna().samplers
    seed = seed_of(plan.seed, number)
    made: BaseSampler
    if plan.sampler == "cma-es":
        made = samplers.CmaEsSampler(
            seed=seed,
            independent_sampler=samplers.RandomSampler(seed),
            warn_independent_sampling=False,
        )
    elif plan.sampler == "tpe":
        made = samplers.TPESampler(seed=seed)
    else:
        made = samplers.RandomSampler(seed)
    return made


def seed_of(seed: int, number: int) -> int:
    """The seed with which a trial is proposed."""
    digest = hashlib.sha256(f"{seed} {number}".encode()).digest()
    return int.from_bytes(digest[:4], "big")


def make_pruner(plan: Definition) -> BasePruner:
    """The pruner of the definition, which remembers nothing but what stands in the trials."""
    pruners = load_optuna().pruners
    made: BasePruner
    match plan.prune:
        case None:
            made = pruners.NopPruner()
        case Median(startup, warmup, interval):
            made = pruners.MedianPruner(startup, warmup, interval)
        case Asha(least, factor):
            made = pruners.SuccessiveHalvingPruner(least, factor)
        case Hyperband(most, least, factor):
            made = pruners.HyperbandPruner(least, most, factor)
    return made


def weigh(sweep: SweepState) -> dict[str, float]:
    """How much each parameter matters for the first objective; empty while too few trials are
    complete or nothing differs."""
    complete = [trial for trial in sweep.trials if trial.end == "complete"]
    if len(complete) < FEW_FOR_WEIGHING or len({trial.values[0] for trial in complete}) < 2:
        return {}
    optuna = load_optuna()
    study = make_study(sweep, complete)
    # It weighs what makes a value low.
    sign = 1 if sweep.plan.objective[0].goal == "minimize" else -1
    try:
        with warnings.catch_warnings(action="ignore"):
            found = optuna.importance.get_param_importances(
                study,
                evaluator=optuna.importance.PedAnovaImportanceEvaluator(),
                target=lambda trial: sign * trial.values[0],
            )
    except (ValueError, RuntimeError):
        return {}  # no parameter that all trials have
    return {name: round(float(share), 4) for name, share in found.items()}


def export(sweep: SweepState, url: str) -> int:
    """Write the sweep as a study into an Optuna storage, and return how many trials that are.

    Raises `Conflict` if a study of this name is there.
    """
    optuna = load_optuna()
    storage = optuna.storages.RDBStorage(url)
    try:
        study = make_study(sweep, (), storage)
    except optuna.exceptions.DuplicatedStudyError:
        raise Conflict(
            f"{url} holds a study {sweep.name} already", fix="name another file"
        ) from None
    for trial in sweep.trials:
        one = frozen(sweep.plan, trial)
        one.datetime_start = datetime.fromtimestamp(trial.began / 1e6)
        if trial.end:
            one.datetime_complete = datetime.fromtimestamp(trial.ended / 1e6)
        one.user_attrs = {"evq_task": task_of(sweep.name, trial.number)}
        study.add_trial(one)
    study.set_metric_names([objective.metric for objective in sweep.plan.objective])
    return len(sweep.trials)
