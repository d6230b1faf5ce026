"""What a task that is held waits for: other tasks, and how each is to end."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from ...gangs.dependencies import pending, satisfies
from ...spec import On
from ...state import Task
from ...words.phrases import count_of
from .verdict import Reason, Verdict

if TYPE_CHECKING:
    from ..client import Client

_WORDS: dict[On, str] = {"ok": "complete", "failed": "fail", "any": "end"}


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


def turn_verdict(task: Task) -> Verdict | None:
    """Why the member of an array waits, if it waits for its turn alone."""
    array = task.spec.array
    if array is None or task.has_turn or pending(task):
        return None
    text = f"its turn has not come: {array.most} of array {array.id} stand in line or run at once"
    return Verdict("turn", text, (), (), None, "other members have to end first")


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
