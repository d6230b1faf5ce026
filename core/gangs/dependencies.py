"""Tasks that wait for others: which of them are still awaited, and which ended in the wrong way."""

from __future__ import annotations

from ..events import DependencyEnd, Outcome
from ..spec import After, On
from ..state import Ended, Task


def satisfies(outcome: Outcome, on: On) -> bool:
    """Whether an end is the one that was waited for."""
    match on:
        case "ok":
            return outcome is Outcome.COMPLETED
        case "failed":
            return outcome is not Outcome.COMPLETED
        case "any":
            return True


def pending(task: Task) -> tuple[After, ...]:
    """What the task has heard of no end yet."""
    ended = {end.task for end in task.ends}
    return tuple(one for one in task.spec.after if one.task not in ended)


def wrong_end(task: Task) -> str:
    """Why the task can never run, in words: an awaited task ended in another way. Else empty."""
    wanted = {one.task: one.on for one in task.spec.after}
    for end in task.ends:
        on = wanted.get(end.task)
        if on and not satisfies(end.outcome, on):
            return f"task {end.task} {end.outcome.phrase}, {_WANTED[on]}"
    return ""


_WANTED: dict[On, str] = {
    "ok": "and this one was to run after it completed",
    "failed": "and this one was to run after it failed",
    "any": "",
}


def ends_of(tasks: list[Task]) -> tuple[DependencyEnd, ...]:
    """The ends of those that have ended."""
    return tuple(
        DependencyEnd(task.id, task.state.outcome)
        for task in tasks
        if isinstance(task.state, Ended)
    )
