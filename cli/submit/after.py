"""Tasks that wait for others: `--after` as it is typed, and what is said of them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, get_args

import msgspec

from ...core.errors import UsageError
from ...core.gangs.dependencies import satisfies
from ...core.spec import After, On
from ...core.state import Task
from ..fleet.waiting import Reason, Verdict
from ..output import count_of
from ..selectors import resolve

if TYPE_CHECKING:
    from ...core.sdk.client import Client

NONE = "none"
"""What leaves out the dependencies of the task that is cloned."""

_WORDS: dict[On, str] = {"ok": "complete", "failed": "fail", "any": "end"}


def split(word: str) -> tuple[str, On]:
    """The selector and the condition in `TASK[:ok|failed|any]`. Raises `UsageError`."""
    selector, _, on = word.partition(":")
    for known in get_args(On):
        if (on or "ok") == known and selector:
            return selector, known
    raise UsageError(
        f"--after {word} names no task and how it is to end",
        why="it wants a task, and one of ok, failed, any behind a colon; ok is the default",
        fix=f"--after {selector or '@'}:any",
    )


async def resolve_after(client: Client, words: Sequence[str]) -> tuple[After, ...]:
    """The dependencies that were typed. Raises `NotFound` or `UsageError`."""
    return tuple([After(await resolve(client, selector), on) for selector, on in map(split, words)])


class Dependency(msgspec.Struct, frozen=True):
    """A task that is awaited, how it is to end, and what is known of it now. `met` is null as
    long as it has not ended."""

    task: str
    on: On
    state: str
    name: str
    met: bool | None

    @property
    def text(self) -> str:
        """`task k3f9… (prepare.py) is to complete: running`."""
        name = f" ({self.name})" if self.name else ""
        return f"task {self.task}{name} is to {_WORDS[self.on]}: {self.state}"


async def dependencies_of(client: Client, task: Task) -> list[Dependency]:
    """What the task waits or waited for. What it has heard counts, whatever came later."""
    heard = {end.task: end.outcome for end in task.ends}
    known = await asyncio.gather(*(client.get(one.task) for one in task.spec.after))
    return [
        Dependency(
            task=one.task,
            on=one.on,
            state=heard[one.task].value if one.task in heard else awaited.name_of_state,
            name=awaited.spec.name,
            met=satisfies(heard[one.task], one.on) if one.task in heard else None,
        )
        for one, awaited in zip(task.spec.after, known, strict=True)
    ]


def held_verdict(dependencies: Sequence[Dependency]) -> Verdict:
    """Why a task that is held waits."""
    waiting = [one for one in dependencies if one.met is None]
    reasons = tuple(Reason(one.met is True, one.text) for one in dependencies)
    text = (
        f"it waits for {len(waiting)} of the {count_of(len(dependencies), 'task')} that it awaits"
    )
    if len(waiting) == 1:
        text = f"it waits for task {waiting[0].task} to {_WORDS[waiting[0].on]}"
    return Verdict("dependency", text, reasons, (), None, "other tasks have to end first")


def after_text(task: Task) -> str:
    """`k3f9… ok (completed), 9xq2… any`, for one line."""
    heard = {end.task: end.outcome.value for end in task.ends}
    return ", ".join(
        f"{one.task} {one.on}" + (f" ({heard[one.task]})" if one.task in heard else "")
        for one in task.spec.after
    )
