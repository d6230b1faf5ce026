"""Tasks that wait for others: `--after` as it is typed, and what is said of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, get_args

from ...core.errors import UsageError
from ...core.spec import After, On
from ...core.state import Task
from ..selectors import resolve_all

if TYPE_CHECKING:
    from ...core.sdk.client import Client

NONE = "none"
"""What leaves out the dependencies of the task that is cloned."""


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
    return tuple(
        [
            After(task, on)
            for selector, on in map(split, words)
            for task in await resolve_all(client, [selector])
        ]
    )


def after_text(task: Task) -> str:
    """`k3f9… ok (completed), 9xq2… any`, for one line."""
    heard = {end.task: end.outcome.value for end in task.ends}
    return ", ".join(
        f"{one.task} {one.on}" + (f" ({heard[one.task]})" if one.task in heard else "")
        for one in task.spec.after
    )
