"""Whether what happened is what a trigger waits for; asks the log about tasks where it must."""

from __future__ import annotations

from collections import OrderedDict
from fnmatch import fnmatchcase

from ...core.events import Cause, DependenciesEnded, Enqueued
from ...core.sdk.client import Client
from ...core.sdk.watch import Measured, Seen
from ...core.spec import Spec
from ...core.state import Ended, Task
from .actions import TAG
from .conditions import Crossing, Events, Filter, kinds_of
from .describing import last_words, words_of
from .facts import Matched

KNOWN = 10_000
"""How many tasks' specs are kept."""


class Matcher:
    """Looks at what happens with the eyes of triggers."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._specs: OrderedDict[str, Spec] = OrderedDict()

    async def event(self, name: str, on: Events, seen: Seen) -> Matched | None:
        """The match of the trigger `name` that an event is, if it is one."""
        event = seen.envelope.event
        kinds = kinds_of(event)
        if not kinds & set(on.kinds):
            return None
        at = seen.envelope.at
        if seen.task is None:
            who = getattr(event, "agent", "") or getattr(event, "queue", "")
            if not _takes(on.which, event):
                return None
            words = words_of(who, seen.envelope, None)
            return Matched(id=str(seen.seq), seq=seen.seq, at=at, words=words)
        spec = event.spec if isinstance(event, Enqueued) else await self._spec(seen.task)
        if not on.which.takes(spec) or f"{TAG}{name}" in spec.tags:
            return None
        task = await self._client.get(seen.task)
        if isinstance(event, DependenciesEnded) and not _ended_at(task, at):
            return None
        return Matched(
            id=str(seen.seq),
            seq=seen.seq,
            at=at,
            words=words_of(f"task {seen.task}", seen.envelope, spec),
            task=seen.task,
            lines=await last_words(self._client, task) if "ended" in kinds else (),
        )

    async def metric(self, name: str, on: Crossing, told: Measured) -> Matched | None:
        """The same for points of a metric."""
        number = on.point(told.record)
        if number is None:
            return None
        spec = await self._spec(told.task)
        if not on.which.takes(spec) or f"{TAG}{name}" in spec.tags:
            return None
        step, value = told.record.step[number], float(told.record.value[number])
        where = "" if step is None else f" at step {step}"
        said = f"{on.metric} is {value:g}{where}, {on.op} {on.value:g}"
        return Matched(
            id=f"metric-{told.seq}",
            seq=told.seq,
            at=told.record.at[number],
            words=f"task {told.task} ({spec.name}): {said}",
            task=told.task,
        )

    async def _spec(self, task: str) -> Spec:
        if task not in self._specs:
            self._specs[task] = (await self._client.get(task)).spec
            if len(self._specs) > KNOWN:
                self._specs.popitem(last=False)
        return self._specs[task]


def _ended_at(task: Task, at: int) -> bool:
    """Whether the event of that moment was the end of the task."""
    state = task.state
    return isinstance(state, Ended) and state.at == at and state.cause is Cause.DEPENDENCY


def _takes(which: Filter, event: object) -> bool:
    """Whether an agent or a queue is meant."""
    agent, queue = getattr(event, "agent", ""), getattr(event, "queue", "")
    return fnmatchcase(agent, which.agent or "*") and which.queue in ("", queue)
