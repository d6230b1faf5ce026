"""`evq why`: what a task waits for, checked fact by fact."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ..core.errors import ProjectorAway
from ..core.presence import AgentPresence
from ..core.questions import Named
from ..core.state import Claimed, Ended, Queued, Running, Task
from . import output
from .completion import complete_task
from .document import brief_facts
from .gang import gang_reasons
from .logs import last_lines
from .options import json_option
from .remedy import LAST_LINES, explanation, failed, remedies
from .render import now, span
from .selectors import resolve
from .session import call
from .show import next_commands, sentence

if TYPE_CHECKING:
    from ..core.sdk.client import Client


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
    found, members, agents, place, lines = call(lambda client: _ask(client, task))
    reasons = reasons_for(found, agents, place) + gang_reasons(members, agents)
    if as_json:
        output.say_json(
            brief_facts(found)
            | {
                "reasons": [{"ok": ok, "text": text} for ok, text in reasons],
                "position": place.get("position") if place else None,
                "agents": [one.agent for one in agents if found.spec.queue in one.queues],
                "last_lines": lines,
                "try": [command for command, _ in remedies(found)],
            }
        )
        return
    output.say(f"task {output.bold(found.id)}  {sentence(found)}")
    for ok, text in reasons:
        output.say(f"  {_mark(ok)} {text}")
    for line in explanation(found, lines):
        output.say(line)
    output.say(output.dim(next_commands(found)))


def _mark(ok: bool) -> str:
    if output.can_print("✔✘"):
        return click.style("✔", fg="green") if ok else click.style("✘", fg="red")
    return click.style("ok", fg="green") if ok else click.style("no", fg="red")


async def _ask(
    client: Client, selector: str
) -> tuple[Task, list[Task], list[AgentPresence], dict[str, Any] | None, list[str]]:
    task = await client.get(await resolve(client, selector))
    place = None
    if isinstance(task.state, Queued):
        try:
            rows = [row async for row in client.rows(Named("why", {"task": task.id}))]
            place = rows[0] if rows else None
        except ProjectorAway:
            pass
    lines = await last_lines(client, task, LAST_LINES) if failed(task) else []
    members = await client.members(task) if task.spec.gang else []
    return task, members, await client.agents(), place, lines


def reasons_for(
    task: Task, agents: list[AgentPresence], place: dict[str, Any] | None
) -> list[tuple[bool, str]]:
    """The facts that matter in the task's state, and whether each is as it should be."""
    match task.state:
        case Queued():
            return _waiting(task, task.state, agents, place)
        case Claimed(attempt) | Running(attempt):
            there = any(one.instance == attempt.instance for one in agents)
            if there:
                return [(True, f"agent {attempt.agent} is there and has it")]
            lease = span(attempt.lease)
            return [
                (
                    False,
                    f"agent {attempt.agent} is silent; once that lasts {lease}, "
                    "another agent takes the task",
                )
            ]
        case Ended():
            return []  # the sentence says it


def _waiting(
    task: Task, state: Queued, agents: list[AgentPresence], place: dict[str, Any] | None
) -> list[tuple[bool, str]]:
    queue = task.spec.queue
    found: list[tuple[bool, str]] = []
    rest = state.delay - (now() - state.since) / 1e6
    if rest > 0:
        found.append((False, f"it failed {task.failures} times and is due in {span(rest)}"))
    if place and place.get("position"):
        before = int(place["position"]) - 1
        text = f"{before} tasks of queue {queue} run before it" if before else "it is the next one"
        found.append((not before, f"{text} in queue {queue}" if not before else text))
        if before and place.get("median_run_seconds"):
            run = span(float(place["median_run_seconds"]))
            found.append((True, f"tasks of this queue ran {run} at the median lately"))
    serving = [one for one in agents if queue in one.queues]
    if not serving:
        others = ", ".join(sorted({name for one in agents for name in one.queues}))
        found.append(
            (
                False,
                f"no agent serves queue {queue}"
                + (f"; served are: {others}" if others else ", and no agent is there at all")
                + f"  (evq agent --queues {queue})",
            )
        )
        return found
    for one in serving:
        found.append(_agent_reason(one, queue))
    return found


def _agent_reason(agent: AgentPresence, queue: str) -> tuple[bool, str]:
    if agent.draining:
        return False, f"agent {agent.agent} is being stopped and takes nothing more"
    if agent.paused:
        return False, f"agent {agent.agent} has paused: {agent.paused}"
    busy, first = len(agent.claims), agent.queues[0]
    if busy >= agent.slots:
        return False, f"agent {agent.agent}: all {agent.slots} slots are busy"
    if agent.order == "strict" and first != queue:
        return True, f"agent {agent.agent} has a free slot, but serves {first} first"
    return True, f"agent {agent.agent} has {agent.slots - busy} of {agent.slots} slots free"
