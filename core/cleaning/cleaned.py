"""The event by which what a task left behind goes, and what is known of it after that."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from ..state import Task

What = Literal["logs", "metrics", "artifacts", "code", "notebooks"]
"""What may go of a task: its lines, the points of its curves, what it saved, its snapshot, its
notebooks with their outputs."""

ALL: tuple[What, ...] = ("logs", "metrics", "artifacts", "code", "notebooks")


class Cleaned(
    msgspec.Struct, frozen=True, tag_field="kind", tag="cleaned", omit_defaults=True, kw_only=True
):
    """Somebody lets go what the task's attempts left behind; the task itself stays.

    `what` is some of `logs`, `metrics`, `artifacts`, `code` and `notebooks`, `size` their bytes,
    about. `telemetry` is the sequence of the last record that this is about.
    """

    what: tuple[What, ...]
    reason: str
    telemetry: int = 0
    size: int = 0


class Removal(msgspec.Struct, frozen=True):
    """Something went of the first so many attempts of a task; `at` in microseconds since 1970."""

    what: What
    attempts: int
    at: int
    by: str
    reason: str


def removal_of(task: Task, what: What, attempt: int | None = None) -> Removal | None:
    """How something went of an attempt, or of the last one; null if it did not."""
    number = len(task.attempts) if attempt is None else attempt
    found = next((one for one in task.removed if one.what == what), None)
    return found if found and number <= found.attempts else None


def removal_text(removal: Removal) -> str:
    """When it went, and by whom: `logs were removed on 2026-11-26 by ada@box: too old`."""
    verb = "was" if removal.what == "code" else "were"
    day = _day(removal.at)
    return f"{removal.what} {verb} removed on {day} by {removal.by}: {removal.reason}"


def removal_texts(task: Task) -> list[str]:
    """All that went of a task, in a line for each time."""
    times = dict.fromkeys((one.at, one.by, one.reason) for one in task.removed)
    texts = []
    for at, by, reason in times:
        some = [one for one in task.removed if (one.at, one.by, one.reason) == (at, by, reason)]
        texts.append(
            f"{', '.join(one.what for one in some)} removed on {_day(at)} by {by}: {reason}"
        )
    return texts


def _day(at: int) -> str:
    return datetime.fromtimestamp(at / 1e6, UTC).strftime("%Y-%m-%d")


def removed_after(task: Task, at: int, by: str, event: Cleaned) -> tuple[Removal, ...]:
    """All that went of a task, after one more event."""
    others = (one for one in task.removed if one.what not in event.what)
    count = len(task.attempts)
    return (*others, *(Removal(what, count, at, by, event.reason) for what in event.what))


def left_of(task: Task) -> tuple[What, ...]:
    """What a task may still have of all that can go."""
    have = {
        "logs": bool(task.attempts),
        "metrics": bool(task.attempts),
        "artifacts": any(attempt.saved for attempt in task.attempts),
        "code": task.spec.code is not None,
        "notebooks": any(attempt.notebook for attempt in task.attempts),
    }
    return tuple(what for what in ALL if have[what] and not removal_of(task, what))
