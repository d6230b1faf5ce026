"""A run of a pipeline on the terminal: its graph, and where each step is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...services.pipeline.definition import Definition
from ...services.pipeline.drawing import draw
from ...services.pipeline.graph import graph
from ...services.pipeline.overview import StepView, overview
from ...services.pipeline.run import Run
from .. import output
from ..output import Column
from ..tasks.render import age, colored, iso, span

MARKS = {
    "waits": "○",
    "runs": "◐",
    "completed": "●",
    "failed": "✘",
    "timed_out": "✘",
    "aborted": "■",
    "skipped": "◌",
}


def facts(run: Run) -> dict[str, Any]:
    """What `--json` prints of a run."""
    return {
        "run": run.name,
        "pipeline": run.definition.name,
        "state": run.state,
        "why": run.ended.evidence if run.ended else "",
        "params": run.definition.params,
        "created": iso(run.at),
        "ended": iso(run.ended_at),
        "by": run.by,
        "steps": [
            {
                "step": one.step,
                "state": one.state,
                "after": run.graph.parents[one.step],
                "parts": one.total,
                "ended": one.ended,
                "cached": one.reused,
                "seconds": one.seconds,
                "tasks": one.tasks,
                "why": one.evidence,
            }
            for one in overview(run)
        ],
    }


def say_runs(found: Sequence[Run]) -> None:
    """A table of runs."""
    columns = [
        Column("RUN", style=output.bold),
        Column("STATE", style=colored),
        Column("STEPS", right=True),
        Column("CACHED", right=True),
        Column("AGE", right=True),
        Column("TOOK", right=True),
        Column("BY", soft=True),
    ]
    output.say_table(columns, [_row(one) for one in found])


def _row(run: Run) -> tuple[object, ...]:
    steps = overview(run)
    over = sum(one.state not in ("waits", "runs") for one in steps)
    reused = sum(one.reused for one in steps)
    return (
        run.name,
        run.state,
        f"{over}/{len(steps)}",
        reused or "",
        age(run.at),
        _took(run),
        run.by,
    )


def _took(run: Run) -> str:
    return span((run.ended_at - run.at) / 1e6) if run.ended_at else ""


def say_run(run: Run, local: bool = False) -> None:
    """The graph of a run, how it stands, and what may be done about it; a `local` one is over."""
    views = {one.step: one for one in overview(run)}
    steps = {name: (MARKS[one.state], _words(one)) for name, one in views.items()}
    _draw(run.graph.order, run.graph.parents, steps)
    why = run.ended.evidence if run.ended else ""
    took = f" in {_took(run)}" if run.ended else ""
    output.say()
    output.say(f"run {output.bold(run.name)} {colored(run.state)}{took}{f': {why}' if why else ''}")
    for one in views.values():
        if one.evidence and one.state != "completed":
            output.say(f"  {one.step}: {one.evidence}")
            if not local and (
                unfit := [task for name, task in one.tasks.items() if _failed(run, name)]
            ):
                output.say(f"  {output.dim('look')} evq show {unfit[0]}")
    if run.ended and run.state != "completed" and not local:
        output.say(f"  {output.dim('go on')} evq pipeline resume {run.name}")


def _words(one: StepView) -> str:
    count = f" [{one.ended}/{'?' if one.total is None else one.total}]" if one.each else ""
    parts = [f"{output.bold(one.step)}{count}", _how(one)]
    if one.seconds is not None:
        parts.append(span(one.seconds))
    if one.reused:
        parts.append(output.dim("cached" if one.reused == one.ended else f"{one.reused} cached"))
    if not one.each:
        parts += map(output.dim, one.tasks.values())
    return "  ".join(parts)


def _how(one: StepView) -> str:
    """`completed`, or `4 completed, 1 failed`."""
    if len(one.outcomes) < 2:
        return colored(one.state)
    return ", ".join(f"{count} {colored(outcome)}" for outcome, count in one.outcomes.items())


def _failed(run: Run, part: str) -> bool:
    result = run.result(part)
    return result is not None and result.outcome != "completed"


def say_plan(definition: Definition) -> None:
    """The graph of a pipeline that was not run."""
    found = graph(definition)
    steps = {name: (MARKS["waits"], output.bold(name)) for name in found.order}
    _draw(found.order, found.parents, steps)


def _draw(
    order: Sequence[str],
    parents: Mapping[str, tuple[str, ...]],
    steps: Mapping[str, tuple[str, str]],
) -> None:
    """The graph with a mark and words for each step, the words below each other."""
    lines = draw(order, parents)
    width = max(len(one.left) + 1 + len(one.right) for one in lines)
    for one in lines:
        if one.step:
            mark, words = steps[one.step]
            rails = len(one.left) + 1 + len(one.right)
            output.say(f"{one.left}{mark}{one.right}{' ' * (width - rails)}  {words}")
        else:
            output.say(one.left)
