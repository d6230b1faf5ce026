"""A sweep as it is printed: in a line, in a table, as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...services.sweep.decide import best_text, counts, params_text, short_text, values_text
from ...services.sweep.state import SweepState, Trial, task_of
from .. import output
from ..output import Column
from ..tasks.render import iso, span
from .sweep_base import command

BEST = 5
"""Trials that are shown if not all of them are asked for."""

Seen = Mapping[int, tuple[int | None, float]]
"""The newest step and value of trials that run, by number."""


def row_of(state: SweepState) -> tuple[object, ...]:
    """A sweep in a table of sweeps."""
    ends = [trial.end for trial in state.trials]
    done = sum(counts(state, trial) for trial in state.trials if trial.end)
    trials = f"{done}/{state.limit}" if state.limit else str(done)
    best = best_text(state, state.best)
    return state.name, state_word(state), trials, ends.count("pruned"), state.failures, best


def state_word(state: SweepState) -> str:
    """`runs`, `stopped` or `finished`."""
    if state.stop:
        return "stopped"
    return "finished" if state.finished else "runs"


def document(state: SweepState) -> dict[str, Any]:
    """What `--json` prints of a sweep."""
    return {
        "sweep": state.name,
        "state": state_word(state),
        "began": iso(state.began),
        "words": state.finished,
        "limit": state.limit,
        "objective": [objective.metric for objective in state.plan.objective],
        "best": [trial.number for trial in state.best[: state.plan.keep or BEST]],
        "kept": state.kept,
        "importances": state.importances,
        "trials": [trial_document(state, trial) for trial in state.trials],
    }


def trial_document(state: SweepState, trial: Trial) -> dict[str, Any]:
    return {
        "number": trial.number,
        "task": task_of(state.name, trial.number),
        "state": trial.end or ("hopeless" if trial.hopeless else "running"),
        "params": trial.params,
        "values": trial.values,
        "began": iso(trial.began),
        "ended": iso(trial.ended) if trial.ended else None,
        "words": trial.words,
    }


def headline(state: SweepState) -> str:
    """How far a sweep is, in one line."""
    ends = [trial.end for trial in state.trials]
    counted = {word: ends.count(word) for word in ("complete", "pruned", "failed", "stopped")}
    told = [f"{count} {word}" for word, count in counted.items() if count]
    if state.open:
        told.append(f"{len(state.open)} running")
    of = f" of {state.limit}" if state.limit else ""
    return f"{state_word(state)}: {len(ends)}{of} trials, {', '.join(told) or 'none yet'}"


def trial_table(
    state: SweepState, trials: Sequence[Trial], seen: Seen | None = None
) -> tuple[list[Column], list[tuple[object, ...]]]:
    """Trials as a table. `seen` are the newest points of those that run, by number."""
    names = list(state.plan.space)
    columns = [
        Column("TRIAL", right=True),
        Column("STATE"),
        *(Column(one.metric.upper(), right=True) for one in state.plan.objective),
        Column("STEP", right=True),
        *(Column(name, right=True, soft=True) for name in names),
        Column("TOOK", right=True),
        Column("TASK", style=output.dim),
    ]
    rows: list[tuple[object, ...]] = []
    for trial in trials:
        step, value = _newest(trial, seen or {})
        values = [f"{one:.6g}" for one in trial.values] or [
            "" if value is None else f"{value:.6g}",
            *("" for _ in state.plan.objective[1:]),
        ]
        params = (short_text(trial.params[name]) if name in trial.params else "" for name in names)
        took = span((trial.ended - trial.began) / 1e6) if trial.ended else ""
        word = trial.end or ("hopeless" if trial.hopeless else "running")
        shown = "" if step is None else step
        task = task_of(state.name, trial.number)
        rows.append((trial.number, word, *values, shown, *params, took, task))
    return columns, rows


def _newest(trial: Trial, seen: Seen) -> tuple[int | None, float | None]:
    if trial.points:
        return trial.points[-1]
    return seen.get(trial.number) or trial.hopeless or (None, None)


def say_best(state: SweepState) -> None:
    if not state.best:
        output.note(f"no trial of {state.name} is complete")
        return
    many = len(state.plan.objective) > 1
    for trial in state.best if many else state.best[:1]:
        value = values_text(state, trial.values)
        output.say(f"{output.bold(f'best trial {trial.number}')}: {value}")
        output.say(f"  {params_text(trial.params)}")
        output.say(f"  {output.dim('again')}   {command(state.plan, trial.params)}")
        exactly = f"evq clone {task_of(state.name, trial.number)}"
        output.say(f"  {output.dim('exactly')} {exactly}")
