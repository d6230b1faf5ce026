"""What a trigger waits for: events, metrics that cross a line, queues that are long."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Literal

import msgspec

from ...core import events
from ...core.errors import UsageError
from ...core.events import Metric
from ...core.fleet.agents import AgentDown, AgentLost, AgentPaused, AgentResumed, AgentUp
from ...core.queueing.queues import QueuePaused, QueueResumed
from ...core.sdk.services import TAG as SERVICE_TAG
from ...core.spec import Spec
from ...core.units import duration_text

KINDS = {
    "enqueued": "a task was enqueued",
    "started": "an attempt's command runs, and has for 5 ms",
    "retry": "an attempt ended without success, and the task runs again",
    "lost": "an attempt's agent went away, and the task runs again",
    "ended": "a task ended, however",
    "completed": "a task completed",
    "failed": "a task failed, with no retry left",
    "aborted": "a task was aborted",
    "timed-out": "a task ran out of time",
    "agent-up": "an agent began",
    "agent-down": "an agent ended in order",
    "agent-lost": "an agent went without a word",
    "agent-paused": "an agent takes nothing more, such as for want of disk",
    "agent-resumed": "an agent that had paused goes on",
    "queue-paused": "somebody paused a queue",
    "queue-resumed": "somebody resumed a queue",
}
"""What `--on` can name, and when that is."""

Op = Literal[">", ">=", "<", "<="]

_COMPARE: dict[Op, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
_LINE = re.compile(r"\s*(\S+?)\s*(>=|<=|>|<)\s*(\S+)\s*")


class Filter(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which tasks, agents or queues are meant; what is empty lets all through, and `name` and
    `agent` may hold `*`."""

    project: str = ""
    queue: str = ""
    tag: str = ""
    name: str = ""
    user: str = ""
    agent: str = ""

    def takes(self, spec: Spec) -> bool:
        """Whether a task with this spec is meant."""
        return (
            self.project in ("", spec.project)
            and self.queue in ("", spec.queue)
            and self.user in ("", spec.user)
            and (self.tag in spec.tags if self.tag else not _is_service(spec))
            and fnmatchcase(spec.name, self.name or "*")
        )


def _is_service(spec: Spec) -> bool:
    """Whether a task is a controller: nobody means those who does not name them by a tag."""
    return any(tag.startswith(SERVICE_TAG) for tag in spec.tags)


class Events(msgspec.Struct, frozen=True, tag_field="on", tag="events"):
    """Events of these kinds; see `KINDS`."""

    kinds: tuple[str, ...]
    which: Filter = Filter()


class Crossing(msgspec.Struct, frozen=True, tag_field="on", tag="metric", kw_only=True):
    """A metric of a task crosses a line, for the first time in the task's life."""

    metric: str
    op: Op
    value: float
    which: Filter = Filter()

    def point(self, record: Metric) -> int | None:
        """The number of the first point of the record that is beyond the line, if one is."""
        beyond = _COMPARE[self.op]
        for number, (name, value) in enumerate(zip(record.name, record.value, strict=True)):
            if name == self.metric and beyond(float(value), self.value):
                return number
        return None


class LongQueue(msgspec.Struct, frozen=True, tag_field="on", tag="queue", kw_only=True):
    """More than so many tasks have waited in a queue for so many seconds without a break."""

    queue: str
    more_than: int
    seconds: float = 0.0


Condition = Events | Crossing | LongQueue


def check_kinds(kinds: tuple[str, ...]) -> tuple[str, ...]:
    """`kinds` if all of them are known, else raise `UsageError`."""
    for kind in kinds:
        if kind not in KINDS:
            raise UsageError(
                f"nothing is called {kind!r} that a trigger could wait for",
                why=f"known are {', '.join(KINDS)}",
                fix="--on failed",
            )
    return kinds


def read_crossing(written: str, which: Filter) -> Crossing:
    """What `loss > 10` says. Raises `UsageError`."""
    found = _LINE.fullmatch(written)
    try:
        value = float(found[3]) if found else float("nan")
    except ValueError:
        value = float("nan")
    if found is None or value != value:
        raise UsageError(
            f"{written!r} is no line that a metric could cross",
            why="it is a metric, one of > >= < <=, and a number",
            fix='--metric "loss > 10"',
        )
    return Crossing(metric=found[1], op=_op(found[2]), value=value, which=which)


def _op(written: str) -> Op:
    return next(op for op in _COMPARE if op == written)


def condition_text(on: Condition) -> str:
    """The condition in short: `failed, project vision`."""
    match on:
        case Events(kinds, which):
            return ", ".join((" or ".join(kinds), *_filter_words(which)))
        case Crossing(metric=metric, op=op, value=value, which=which):
            return ", ".join((f"{metric} {op} {value:g}", *_filter_words(which)))
        case LongQueue(queue=queue, more_than=most, seconds=seconds):
            lasting = f" for {duration_text(seconds)}" if seconds else ""
            return f"queue {queue} longer than {most}{lasting}"


def _filter_words(which: Filter) -> list[str]:
    return [f"{name} {value}" for name, value in msgspec.structs.asdict(which).items() if value]


def kinds_of(event: events.Event) -> frozenset[str]:
    """What a trigger calls the event; empty if it cannot wait for it."""
    match event:
        case events.Enqueued():
            return frozenset({"enqueued"})
        case events.Started():
            return frozenset({"started"})
        case events.Retry():
            return frozenset({"retry"})
        case events.Lost():
            return frozenset({"lost"})
        case events.Finished(outcome=outcome):
            return frozenset({"ended", outcome.value.replace("_", "-")})
        # That other tasks have ended may be the end of one that awaits them.
        case events.Aborted() | events.DependenciesEnded():
            return frozenset({"ended", "aborted"})
        case AgentUp():
            return frozenset({"agent-up"})
        case AgentDown():
            return frozenset({"agent-down"})
        case AgentLost():
            return frozenset({"agent-lost"})
        case AgentPaused():
            return frozenset({"agent-paused"})
        case AgentResumed():
            return frozenset({"agent-resumed"})
        case QueuePaused():
            return frozenset({"queue-paused"})
        case QueueResumed():
            return frozenset({"queue-resumed"})
        case _:
            return frozenset()
