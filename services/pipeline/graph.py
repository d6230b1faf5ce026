"""Which step waits for which, from what each takes of the others."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from graphlib import CycleError, TopologicalSorter
from typing import Any

import msgspec

from ...core.errors import UsageError
from .definition import Definition, Step
from .references import Reference, parse, references


class Graph(msgspec.Struct, frozen=True):
    """The steps in an order in which they can run, each with those that it waits for.

    `along` names for a step the one whose parts it follows one to one, if any.
    """

    order: tuple[str, ...]
    parents: dict[str, tuple[str, ...]]
    along: dict[str, str]

    def descendants(self, steps: set[str]) -> set[str]:
        """These steps and all that come after them."""
        found = set(steps)
        for name in self.order:
            if found.intersection(self.parents[name]):
                found.add(name)
        return found


def taken(step: Step) -> Iterator[Reference]:
    """Every reference of a step."""
    for value in given(step):
        yield from references(value)


def given(step: Step) -> tuple[Any, ...]:
    """What of a step may hold references."""
    return (
        step.each,
        step.command,
        step.args,
        step.arguments,
        step.set,
        step.variables,
        step.inputs,
    )


def graph(found: Definition, where: str = "the pipeline") -> Graph:
    """The graph of a pipeline. Raises `UsageError` for unknown names, cycles, misplaced items."""
    parents: dict[str, tuple[str, ...]] = {}
    along: dict[str, str] = {}
    for name, step in found.steps.items():
        if other := _followed(step):
            along[name] = other
        for reference in taken(step):
            _check(found, name, step, reference, where)
        wanted = [*step.after, *(one.step for one in taken(step) if one.step)]
        for parent in wanted:
            if parent not in found.steps:
                raise _unknown(where, name, parent, "step", found.steps)
        parents[name] = tuple(dict.fromkeys(wanted))
    for name, other in along.items():
        if found.steps[other].each is None:
            raise UsageError(
                f"{where}: step {name} cannot run once for each of {other}",
                why=f"{other} runs once, not for each item of a list",
                fix=f'each = "${{steps.{other}.outputs.NAME}}" for the items of what it gave out',
            )
    try:
        order = tuple(TopologicalSorter(parents).static_order())
    except CycleError as error:
        raise UsageError(
            f"{where}: the steps wait for each other in a circle",
            why=" → ".join(reversed(error.args[1])),
            fix="take one of these references or `after` away",
        ) from error
    return Graph(_as_written(found, parents, order), parents, along)


def _as_written(
    found: Definition, parents: dict[str, tuple[str, ...]], order: tuple[str, ...]
) -> tuple[str, ...]:
    """An order in which they can run, and otherwise that of the file."""
    placed: list[str] = []
    waiting = [name for name in found.steps if name in order]
    while waiting:
        name = next(one for one in waiting if set(parents[one]) <= set(placed))
        waiting.remove(name)
        placed.append(name)
    return tuple(placed)


def _followed(step: Step) -> str | None:
    """The step whose parts this one follows one to one: `each = "${steps.NAME}"`."""
    if isinstance(step.each, str) and step.each.startswith("${") and step.each.endswith("}"):
        one = parse(step.each[2:-1])
        return one.step if len(one.path) == 1 else None
    return None


def _check(found: Definition, name: str, step: Step, one: Reference, where: str) -> None:
    match one.source:
        case "params" if one.path[0] not in found.params:
            raise _unknown(where, name, one.path[0], "parameter", found.params)
        case "item" | "index" if step.each is None:
            raise UsageError(
                f"{where}: step {name} has no {one.text}",
                why="it runs once, not for each item of a list",
                fix="each = [1, 2, 3]",
            )
        case "steps" if len(one.path) == 1 and step.each != one.text:
            raise UsageError(
                f"{where}: step {name} takes {one.text}, which is no value",
                why="a step gives outputs, metrics, artifacts and its task",
                fix=f"${{steps.{one.path[0]}.outputs.NAME}}",
            )
        case _:
            return


def _unknown(where: str, name: str, wanted: str, what: str, known: Any) -> UsageError:
    near = get_close_matches(wanted, known, n=1)
    return UsageError(
        f"{where}: step {name} names a {what} {wanted}, which is not there"
        + (f"; did you mean {near[0]}?" if near else ""),
        why=f"there is {', '.join(known) or 'none'}",
        fix=f"edit {where}",
    )
