"""What a step's references are in a run: the values that other steps gave."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...core.errors import UsageError
from .facts import Result
from .references import Reference, resolve, within
from .run import Run

MOST_ITEMS = 1000


class NotYet(Exception):
    """A value is asked for that a step has not given yet."""


def part_name(step: str, index: int | None) -> str:
    """The name of one item's part of a step, or of the whole step."""
    return step if index is None else f"{step}[{index}]"


def split(part: str) -> tuple[str, int | None]:
    """The step of a part, and which item it is for."""
    step, bracket, rest = part.partition("[")
    return step, int(rest[:-1]) if bracket else None


def items(run: Run, step: str) -> list[Any] | None:
    """The items that a step with `each` runs for, null for a step that runs once.

    Raises `NotYet`, or `UsageError` if what the step names is no list.
    """
    wanted = run.definition.steps[step].each
    if wanted is None:
        return None
    if other := run.graph.along.get(step):
        return items(run, other)
    found = resolve(wanted, lambda reference: look(run, step, None, reference))
    if not isinstance(found, list):
        raise UsageError(
            f"step {step} cannot run for each of {found!r}",
            why=f"{wanted!r} is no list",
            fix="each = [1, 2, 3], or a reference to a list",
        )
    if len(found) > MOST_ITEMS:
        raise UsageError(
            f"step {step} cannot run for each of {len(found)} items",
            why=f"{MOST_ITEMS} are the most",
            fix="let each part do several: a list of lists",
        )
    return found


def parts(run: Run, step: str) -> list[str]:
    """The parts of a step. Raises as `items`."""
    found = items(run, step)
    if found is None:
        return [step]
    return [part_name(step, index) for index in range(len(found))]


def look(run: Run, step: str, index: int | None, reference: Reference) -> Any:
    """The value of a reference that this step's part holds. Raises `NotYet`, `UsageError`."""
    path = reference.path
    match reference.source:
        case "params":
            return within(run.definition.params, path, "params")
        case "item":
            return within((items(run, step) or [])[index or 0], path, "item")
        case "index":
            return index
        case "run":
            return run.name if path[0] == "name" else run.definition.name
        case "steps":
            return _given(run, step, index, path)


def _given(run: Run, step: str, index: int | None, path: Sequence[str]) -> Any:
    other = path[0]
    if run.definition.steps[other].each is None or follows(run, step, other):
        one = part_name(other, None if run.definition.steps[other].each is None else index)
        return _value(run, one, path[1:])
    return [_value(run, one, path[1:]) for one in parts(run, other)]


def follows(run: Run, step: str, other: str) -> bool:
    """Whether each part of `step` goes with the one of `other` at the same place."""
    along = run.graph.along.get(step)
    return along is not None and (along == other or follows(run, along, other))


def _value(run: Run, part: str, path: Sequence[str]) -> Any:
    result = run.result(part)
    if result is None:
        raise NotYet(part)
    kind, rest = path[0], tuple(path[1:])
    if result.outcome != "completed":
        # It failed, and the pipeline goes on all the same.
        return result.task or None if kind == "task" else None
    match kind:
        case "task":
            return result.task
        case "artifacts":
            _check_saved(result, rest[0])
            return f"{result.task}:{rest[0]}"
        case "metrics":
            return within(result.metrics, rest, f"steps.{part}.metrics")
        case _:
            return within(result.outputs, rest, f"steps.{part}.outputs")


def _check_saved(result: Result, name: str) -> None:
    if name not in result.artifacts:
        raise UsageError(
            f"{result.part} has saved no artifact {name}",
            why=f"it has saved {', '.join(result.artifacts[:5]) or 'none'}",
            fix=f"evq.save({name!r}) in the step",
        )
