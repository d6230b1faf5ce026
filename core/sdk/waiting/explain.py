"""Why a task waits: asked of the log, the agents and a projector, and put in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from ...errors import ProjectorAway
from ...fleet.presence import AgentPresence
from ...fleet.quiet import quiet_tasks, quiet_words
from ...handle import load_gang
from ...questions import Named
from ...state import Claimed, Ended, Held, Queued, Running, Task
from ...words.phrases import span
from ..author import now
from ..autoscalers import autoscalers_for
from .dependencies import Dependency, dependencies_of, held_verdict, turn_verdict
from .forecast import Before, Forecast, History
from .forecast import Held as HeldSlot
from .gangs import gang_reasons
from .verdict import FAR, Facts, Reason, Verdict, is_served, verdict

if TYPE_CHECKING:
    from ..client import Client


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Why a task is in the state it is in.

    `waits` says what it waits for and when it starts, and is null unless it waits; `reasons` are
    all facts, each with whether it is as it should be. `position` is its place in its queue, null
    if it stands in none or no projector answers. `agents` are those that are there.
    """

    task: Task
    waits: Verdict | None
    reasons: tuple[Reason, ...]
    position: int | None
    agents: tuple[AgentPresence, ...]

    @property
    def start(self) -> Forecast | None:
        """When it starts, with the error of that, as far as it is known."""
        return self.waits.start if self.waits else None

    @property
    def start_text(self) -> str:
        """When it starts, in words; empty unless it waits."""
        return start_text(self.waits) if self.waits else ""


async def explain(client: Client, task: Task) -> Explanation:
    """Why `task`, as it is now, is in the state it is in. Needs no projector, but says more with
    one."""
    return explanation_of(await facts_of(client, task), await dependencies_of(client, task))


async def facts_of(client: Client, task: Task) -> Facts:
    """What is known about a task's wait; `explanation_of` says what follows, which may take a
    while where a forecast has to play through much."""
    waits = isinstance(task.state, Queued)
    position, before, history = await _ask_projector(client, task) if waits else (None, [], None)
    facts = Facts(
        task=task,
        agents=await client.agents(),
        queue=await client.queue(task.place.queue),
        position=position,
        before=before,
        history=history,
        permits=(await client.tally(task.place.queue)).permits,
        now=now(),
        members=await load_gang(client.bus.log, task) if task.spec.gang else [],
    )
    if not waits or is_served(facts):
        return facts
    return msgspec.structs.replace(
        facts, autoscalers=await autoscalers_for(client, task.place.queue)
    )


def explanation_of(facts: Facts, dependencies: Sequence[Dependency]) -> Explanation:
    """The explanation that follows from what is known."""
    waits = _verdict(facts, dependencies)
    reasons = waits.reasons if waits else holder_reasons(facts.task, facts.agents, facts.now)
    for ok, text in gang_reasons(facts.members, facts.agents, facts.permits):
        if not waits or text != waits.text:
            reasons = (*reasons, Reason(ok, text))
    return Explanation(
        task=facts.task,
        waits=waits,
        reasons=reasons,
        position=facts.position,
        agents=tuple(facts.agents),
    )


def _verdict(facts: Facts, dependencies: Sequence[Dependency]) -> Verdict | None:
    match facts.task.state:
        case Held():
            return turn_verdict(facts.task) or held_verdict(dependencies)
        case Queued():
            return verdict(facts)
        case Claimed() | Running() | Ended():
            return None


async def _ask_projector(
    client: Client, task: Task
) -> tuple[int | None, list[Before], History | None]:
    """Its place, who stands before it, and how long tasks took; nothing if nobody answers."""
    try:
        places = await _rows(client, Named("why", {"task": task.id}))
        # What is asked after a fresh answer is as fresh.
        params = {"task": task.id, "limit": FAR}
        before = await _rows(client, Named("ahead", params, fresh=False))
        held = await _rows(client, Named("held", fresh=False))
    except ProjectorAway:
        return None, [], None
    return (
        places[0]["position"] if places else None,
        [Before(row["name"], row["size"]) for row in before],
        History([HeldSlot(row["queue"], row["name"], row["seconds"]) for row in held]),
    )


async def _rows(client: Client, question: Named) -> list[dict[str, Any]]:
    return [row async for row in client.rows(question)]


def holder_reasons(task: Task, agents: Sequence[AgentPresence], at: int) -> tuple[Reason, ...]:
    """Whether the agent that has the task is there, and whether the task does anything, as of `at`
    (microseconds); nothing of a task that nobody has."""
    match task.state:
        case Claimed(attempt) | Running(attempt):
            if any(one.instance == attempt.instance for one in agents):
                there = Reason(True, f"agent {attempt.agent} is there and has it")
                quiet = quiet_words(quiet_tasks(agents).get(task.id), at)
                text = f"it is {quiet}: no output, no metric, and it uses neither CPU nor GPU"
                return (there, Reason(False, text)) if quiet else (there,)
            lease = span(attempt.lease)
            text = (
                f"agent {attempt.agent} is silent; once that lasts {lease}, "
                "another agent takes the task"
            )
            return (Reason(False, text),)
        case Held() | Queued() | Ended():
            return ()  # the sentence says it


def start_text(waits: Verdict) -> str:
    """When it starts, as far as that can be told."""
    start = waits.start
    if start is None:
        return f"its start is unknown: {waits.start_unknown}"
    if start.high < 1:
        return "it starts at once"
    return (
        f"it starts in about {span(start.seconds)} ({span(start.low)} to {span(start.high)}), "
        f"if tasks take as long as the last {start.runs} of its queue"
    )
