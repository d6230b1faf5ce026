"""`evq why`: what a task waits for, checked fact by fact."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from ...core.errors import ProjectorAway
from ...core.fleet.presence import AgentPresence
from ...core.handle import load_gang
from ...core.questions import Named
from ...core.state import Claimed, Ended, Held, Queued, Running, Task
from .. import output
from ..completion import complete_task
from ..options import json_option
from ..selectors import resolve
from ..session import call
from ..submit.after import Dependency, dependencies_of, held_verdict
from ..submit.gang import gang_reasons
from ..tasks.document import brief_facts
from ..tasks.logs import last_lines
from ..tasks.remedy import LAST_LINES, explanation, failed, remedies
from ..tasks.render import now, span
from ..tasks.show import next_commands, sentence
from .forecast import Before, Forecast, History
from .forecast import Held as HeldSlot
from .waiting import FAR, Facts, Reason, Verdict, View, verdict

if TYPE_CHECKING:
    from ...core.sdk.client import Client


@click.command()
@click.argument("task", default="@", shell_complete=complete_task)
@json_option
def why(task: str, as_json: bool) -> None:
    """Say why a task is in the state it is in: by default the last one you enqueued.

    \b
    Examples:
      evq why
      evq why k3f9 --json
    """
    facts, dependencies, lines = call(lambda client: ask(client, task))
    found = facts.task
    waits = _verdict(facts, dependencies)
    reasons = waits.reasons if waits else holder_reasons(found, facts.agents)
    for ok, text in gang_reasons(facts.members, facts.agents, facts.permits):
        if not waits or text != waits.text:
            reasons = (*reasons, Reason(ok, text))
    if as_json:
        output.say_json(
            brief_facts(found)
            | _waiting_facts(waits)
            | {
                "reasons": [{"ok": one.ok, "text": one.text} for one in reasons],
                "position": facts.position,
                "agents": [one.agent for one in facts.agents if found.place.queue in one.queues],
                "last_lines": lines,
                "try": [command for command, _ in remedies(found)],
            }
        )
        return
    output.say(f"task {output.bold(found.id)}  {sentence(found)}")
    if waits:
        output.say(f"  {output.bold(waits.text)}")
    for reason in reasons:
        output.say(f"  {_mark(reason.ok)} {reason.text}")
    if waits:
        output.say(output.dim(f"  {start_text(waits)}"))
    for line in explanation(found, lines):
        output.say(line)
    output.say(output.dim(next_commands(found)))


def _verdict(facts: Facts, dependencies: Sequence[Dependency]) -> Verdict | None:
    match facts.task.state:
        case Held():
            return held_verdict(dependencies)
        case Queued():
            return verdict(facts)
        case Claimed() | Running() | Ended():
            return None


def _mark(ok: bool) -> str:
    if output.can_print("✔✘"):
        return click.style("✔", fg="green") if ok else click.style("✘", fg="red")
    return click.style("ok", fg="green") if ok else click.style("no", fg="red")


async def ask(client: Client, selector: str) -> tuple[Facts, list[Dependency], list[str]]:
    """What is known of a task, what it awaits, and its last lines if it failed."""
    task = await client.get(await resolve(client, selector))
    waits = isinstance(task.state, Queued)
    lines = await last_lines(client, task, LAST_LINES) if failed(task) else []
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
    return facts, await dependencies_of(client, task), lines


async def _ask_projector(
    client: Client, task: Task
) -> tuple[int | None, list[Before], History | None]:
    """Its place, who stands before it, and how long tasks took; nothing if nobody answers."""
    try:
        places = await _rows(client, "why", task=task.id)
        before = await _rows(client, "ahead", task=task.id, limit=FAR)
        held = await _rows(client, "held")
    except ProjectorAway:
        return None, [], None
    return (
        places[0]["position"] if places else None,
        [Before(row["name"], row["size"]) for row in before],
        History([HeldSlot(row["queue"], row["name"], row["seconds"]) for row in held]),
    )


async def _rows(client: Client, name: str, **params: Any) -> list[dict[str, Any]]:
    return [row async for row in client.rows(Named(name, params))]


def holder_reasons(task: Task, agents: Sequence[AgentPresence]) -> tuple[Reason, ...]:
    """Whether the agent that has the task is there; nothing of a task that nobody has."""
    match task.state:
        case Claimed(attempt) | Running(attempt):
            if any(one.instance == attempt.instance for one in agents):
                return (Reason(True, f"agent {attempt.agent} is there and has it"),)
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


def _waiting_facts(waits: Verdict | None) -> dict[str, Any]:
    return {
        "waits_for": waits.cause if waits else None,
        "because": waits.text if waits else None,
        "start": _start_facts(waits.start) if waits and waits.start else None,
        "start_unknown": waits.start_unknown if waits else "",
        "served_by": [_view_facts(view) for view in waits.views] if waits else [],
    }


def _start_facts(start: Forecast) -> dict[str, Any]:
    return {
        "seconds": round(start.seconds, 3),
        "low": round(start.low, 3),
        "high": round(start.high, 3),
        "runs": start.runs,
    }


def _view_facts(view: View) -> dict[str, Any]:
    return {
        "agent": view.agent.agent,
        "ready": view.ready,
        "never": view.never,
        "lacks": view.lacks,
        "closed": view.closed,
        "kept_for": view.kept,
        "passed_by": view.passed.times if view.passed else 0,
    }
