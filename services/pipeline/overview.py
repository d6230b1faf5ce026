"""Where the steps of a run are, for people."""

from __future__ import annotations

from collections import Counter

import msgspec

from ...core.errors import UsageError
from .run import Done, Live, Run
from .values import NotYet, parts, split


class StepView(msgspec.Struct, frozen=True, kw_only=True):
    """A step of a run. `state` is `waits`, `runs`, or how it ended: its worst part's outcome.

    `total` is how many parts it has, null if that is not known yet; `ended` how many have
    ended, `reused` how many of those were taken from the cache, `outcomes` how they ended.
    `seconds` are from the first plan to the last end, null before. `tasks` are those of its
    parts, by their names.
    """

    step: str
    state: str
    each: bool
    total: int | None
    ended: int
    reused: int
    outcomes: dict[str, int]
    began: int | None
    seconds: float | None
    tasks: dict[str, str]
    evidence: str


_WORST = ("failed", "timed_out", "aborted", "skipped", "completed")


def overview(run: Run) -> list[StepView]:
    """The steps in the order in which they can run."""
    return [_view(run, step) for step in run.graph.order]


def _view(run: Run, step: str) -> StepView:
    known = {name: one for name, one in run.parts.items() if split(name)[0] == step}
    done = [one for one in known.values() if isinstance(one, Done)]
    outcomes = Counter[str](one.result.outcome for one in done)
    total = _total(run, step)
    over = total is not None and len(done) >= total
    state = "waits"
    if any(isinstance(one, Live) for one in known.values()) or (known and not over):
        state = "runs" if run.ended is None else "waits"
    if over or (run.ended and outcomes):
        state = next((one for one in _WORST if one in outcomes), "completed")
    began = [one.began if isinstance(one, Done) else one.at for one in known.values()]
    started = [at for at in began if at is not None]
    ends = [one.at for one in done]
    return StepView(
        step=step,
        state=state,
        each=run.definition.steps[step].each is not None,
        total=total,
        ended=len(done),
        reused=sum(one.result.reused for one in done),
        outcomes=dict(outcomes),
        began=min(started, default=None),
        seconds=(max(ends) - min(started)) / 1e6 if over and started else None,
        tasks={name: _task(one) for name, one in known.items() if _task(one)},
        evidence=next((one.result.evidence for one in done if one.result.evidence), ""),
    )


def _task(one: Live | Done) -> str:
    return one.task if isinstance(one, Live) else one.result.task


def _total(run: Run, step: str) -> int | None:
    if step in run.parts:
        return 1
    try:
        return len(parts(run, step))
    except (NotYet, UsageError):
        return None
