"""What a schedule does next, and the task that it enqueues. No clock: moments are given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from ...core.spec import After, Spec
from ...core.words.phrases import count_of
from .facts import Defined, Due, Fact, Skipped, State

LATE = 60_000_000
"""Microseconds after which a due time counts as missed."""

TAG = "schedule:"

DueBetween = Callable[[int, int], Sequence[int]]
"""The due times later than one moment and not later than another."""


def decide(
    state: State, now: int, due_between: DueBetween, *, last_runs: bool
) -> tuple[Fact, str] | None:
    """The next fact and its words; null if nothing is due, or the last one is not yet done.

    `last_runs` says that what was enqueued last has not ended.
    """
    definition = state.definition
    if definition is None or state.pending:
        return None
    if state.asked:
        return Due(now, state.asked[0]), "runs now, as somebody asked"
    if state.paused:
        return None
    due = due_between(state.until, now)
    if not due:
        return None
    missed, wanted = _by_policy(definition, due, now)
    zone = definition.when.zone
    if missed:
        times = _times(missed, zone)
        words = f"leaves out {times}: missed, and catch-up is {_policy(definition)}"
        return Skipped(missed[0], missed[-1], len(missed)), words
    at = wanted[0]
    if last_runs and definition.overlap == "skip":
        assert state.last is not None
        words = f"leaves out {clock(at, zone)}: {state.last.text} has not ended"
        return Skipped(at, at, 1), words
    late = " after all" if now - at > LATE else ""
    return Due(at), f"runs{late} for {clock(at, zone)}"


def _by_policy(
    definition: Defined, due: Sequence[int], now: int
) -> tuple[Sequence[int], Sequence[int]]:
    """The due times that are left out, and those that run."""
    match definition.catch_up:
        case "none":
            kept = int(now - due[-1] <= LATE)
        case "last":
            kept = 1
        case "all":
            kept = definition.most
    begin = max(0, len(due) - kept)
    return due[:begin], due[begin:]


def _policy(definition: Defined) -> str:
    return f"all, up to {definition.most}" if definition.catch_up == "all" else definition.catch_up


def _times(due: Sequence[int], zone: str) -> str:
    if len(due) == 1:
        return clock(due[0], zone)
    first, last = clock(due[0], zone), clock(due[-1], zone)
    return f"{count_of(len(due), 'due time')} from {first} to {last}"


def clock(at: int, zone: str) -> str:
    """A moment on the clock of a time zone: `2026-11-26 03:00 CET`."""
    moment = datetime.fromtimestamp(at / 1e6, UTC).astimezone(ZoneInfo(zone))
    seconds = f":{moment:%S}" if moment.second else ""
    return f"{moment:%Y-%m-%d %H:%M}{seconds} {moment:%Z}"


def key_of(name: str, due: Due) -> str:
    """The key of a due time's task: however often it is enqueued, there is one."""
    if due.asked:
        return f"schedule-{name}-asked-{due.asked}"
    return f"schedule-{name}-{datetime.fromtimestamp(due.at / 1e6, UTC):%Y%m%dT%H%M%S}Z"


def task_for(name: str, state: State, due: Due, *, unended: Sequence[str]) -> Spec:
    """The task of a due time; it finds the time, as in ISO 8601, in the variable `EVQ_DUE`.

    `unended` are the tasks of the last time that have not ended.
    """
    definition = state.definition
    assert definition is not None
    spec = definition.spec
    after = spec.after
    if unended and definition.overlap == "queue":
        after = tuple(After(task, "any") for task in unended)
    at = datetime.fromtimestamp(due.at / 1e6, UTC).isoformat(timespec="seconds")
    return replace(
        spec,
        key=key_of(name, due),
        tags=tuple(dict.fromkeys((*spec.tags, TAG + name))),
        variables={**spec.variables, "EVQ_DUE": at},
        after=after,
    )
