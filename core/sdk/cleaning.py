"""What tasks left behind goes: first the event of each task, then what it speaks of.

Content goes only if no task names it any more, as of a look at the log that was begun after the
content was listed; what somebody counts on since then stays (`ports.Objects`, `ports.Depot`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec

from .. import subjects, wire
from ..bus.connect import Bus
from ..cleaning.cleaned import Cleaned
from ..decide import Clean, Rejected, decide
from ..entries import event_entry
from ..events import Log, Metric
from ..handle import find
from ..notebooks import PREFIX as NOTEBOOK
from ..ports import Depot, Entry, Lying, Objects, WrongSequence
from ..state import Task
from .artifacts import open_depot
from .author import Author

AT_ONCE = 200
"""Events in a batch; the server takes 1000."""

CODE = "code"
"""Where code lies, and notebooks with their outputs, beside the depots of artifacts."""

PREFIXES = ("base-", "snap-", NOTEBOOK)
"""How names of bundles of code and of notebooks begin; what else lies there is no task's."""

CONTENT_AGE = 86_400.0
"""Seconds for which content is left alone: it is stored, or touched, before a task names it."""


class Wish(msgspec.Struct, frozen=True):
    """A task, and what of it is to go."""

    task: str
    command: Clean


async def clean_all(bus: Bus, author: Author, wishes: Sequence[Wish]) -> list[tuple[str, Cleaned]]:
    """Write down what goes of tasks, in a few batches; the tasks and their events.

    A task of which nothing may go, or to which something happens meanwhile, is left as it is.
    """
    done: list[tuple[str, Cleaned]] = []
    end = await bus.telemetry.last_seq()
    for start in range(0, len(wishes), AT_ONCE):
        entries: list[tuple[str, Cleaned, Entry]] = []
        for wish in wishes[start : start + AT_ONCE]:
            task = await find(bus.log, wish.task)
            command = msgspec.structs.replace(wish.command, telemetry=end)
            if written := _entry(author, task, command):
                entries.append((task.id, *written))
        done += await _append(bus, entries)
    return done


def _entry(author: Author, task: Task, command: Clean) -> tuple[Cleaned, Entry] | None:
    try:
        event = decide(task, command)
    except Rejected:
        return None
    assert isinstance(event, Cleaned)
    return event, event_entry(task, author.envelope(event))


async def _append(
    bus: Bus, entries: Sequence[tuple[str, Cleaned, Entry]]
) -> list[tuple[str, Cleaned]]:
    if not entries:
        return []
    try:
        await bus.log.append_all([entry for _, _, entry in entries])
        return [(task, event) for task, event, _ in entries]
    except WrongSequence:
        if len(entries) == 1:
            return []
    # Something happened to one of them: the others go on their own.
    return [one for entry in entries for one in await _append(bus, [entry])]


async def lying(bus: Bus, place: str) -> list[Lying]:
    """What lies in a depot, or of code and notebooks.

    Raises `ArtifactFailed` for a depot out of reach.
    """
    found = [one async for one in _place(bus, place).all()]
    return [one for one in found if _is_a_tasks(one)] if place == CODE else found


def _is_a_tasks(one: Lying) -> bool:
    return not one.whole or one.digest.startswith(PREFIXES)


def unnamed(
    contents: Sequence[Lying], named: Collection[str], at: int, age: float = CONTENT_AGE
) -> list[Lying]:
    """What of that nobody names, and nobody has stored or touched for `age` seconds before `at`
    (microseconds since 1970). What is not whole is of an upload that was given up."""
    before = at - round(age * 1e6)
    return [one for one in contents if not (one.whole and one.digest in named) and one.at < before]


async def remove(bus: Bus, place: str, one: Lying) -> bool:
    """Remove content, unless somebody counts on it since it was listed; whether it is gone."""
    return await _place(bus, place).remove(one)


def _place(bus: Bus, name: str) -> Objects | Depot:
    return bus.objects if name == CODE else open_depot(bus, name)


async def forget_telemetry(bus: Bus, task: Task, event: Cleaned) -> int:
    """Take what goes of a task out of the stream of telemetry; how many messages that were.

    What else the task said there, such as parameters, stays.
    """
    kinds = tuple(kind for what, kind in (("logs", Log), ("metrics", Metric)) if what in event.what)
    if not kinds:
        return 0
    count = 0
    for stored in await bus.telemetry.history(subjects.telemetry(task.spec.queue, task.id, "*")):
        if stored.seq <= event.telemetry and isinstance(wire.decode_telemetry(stored.data), kinds):
            await bus.telemetry.forget(stored.seq)
            count += 1
    return count
