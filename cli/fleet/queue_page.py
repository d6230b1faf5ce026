"""The page of one queue: what the log, the agents and the projector know of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from ...core.errors import NotFound, ProjectorAway
from ...core.fleet.presence import AgentPresence
from ...core.questions import Named
from ...core.queueing.permits import Permits
from ...core.queueing.queues import QueueState, rules_text
from .. import output
from ..output import Column, dim
from ..tasks.render import age, span
from .limit import limit_facts, limit_text
from .queues import every_queue, queue_facts

if TYPE_CHECKING:
    from ...core.sdk.client import Client

SHOWN = 10
LABEL = 9

Row = dict[str, Any]


class QueueView(msgspec.Struct, frozen=True):
    """All about a queue. `depth` and `next` are empty while no projector answers."""

    state: QueueState
    facts: Row
    agents: Sequence[AgentPresence]
    depth: Sequence[Row] = ()
    next: Sequence[Row] = ()
    permits: Permits | None = None


async def ask(client: Client, name: str) -> QueueView:
    """What there is to say of the queue `name`. Raises `NotFound`."""
    state, agents, listed, tally = await asyncio.gather(
        client.queues(), client.agents(), every_queue(client), client.tally(name)
    )
    known = state.get(name, QueueState(name))
    facts = next((one for one in listed if one["queue"] == name), None)
    if facts is None and not known.seq:
        raise NotFound(
            f"there is no queue {name}",
            why="nobody made it, serves it, or enqueued a task there",
            fix=f"evq queue create {name}, or evq queues",
        )
    serving = [one for one in agents if name in one.queues]
    facts = facts or queue_facts(name, serving, {}, known)
    try:
        depth, line = await asyncio.gather(
            _rows(client, "depth", {"queue": name}), waiting_rows(client, name, SHOWN)
        )
    except ProjectorAway:
        depth, line = [], []
    return QueueView(known, facts, serving, depth, line, tally.permits)


async def waiting_rows(client: Client, name: str, limit: int) -> list[Row]:
    """The tasks that wait in the queue, the next one first."""
    return await _rows(client, "line", {"queue": name, "limit": limit})


async def _rows(client: Client, question: str, params: Row) -> list[Row]:
    return [row async for row in client.rows(Named(question, params))]


def queue_document(view: QueueView) -> Row:
    """The queue as JSON."""
    limits = limit_facts(view.permits) if view.permits and view.permits.limited else None
    return view.facts | {"depth": view.depth, "next": view.next, "limit": limits}


def page(view: QueueView) -> None:
    """Print the queue for people."""
    facts, known = view.facts, view.state
    output.say(f"queue {output.bold(known.name)}  {_state(view)}")
    for label, text in (
        ("for", facts["description"]),
        ("shared", rules_text(known)),
        ("waiting", _waiting(facts)),
        ("running", str((facts["claimed"] or 0) + (facts["running"] or 0))),
        ("limit", limit_text(view.permits) if view.permits and view.permits.limited else ""),
        ("waits", _waits(facts)),
        ("served by", _served(view)),
    ):
        if text:
            output.say(f"  {dim(label.ljust(LABEL))} {text}")
    if len(view.depth) > 1 or any(row["class"] != "c0" for row in view.depth):
        output.say()
        _depth_table(view.depth)
    if view.next:
        output.say()
        next_table(view.next)
    output.say()
    verbs = ("resume", "peek") if known.pause else ("pause", "peek")
    output.say(dim("next  " + "   ".join(f"evq queue {verb} {known.name}" for verb in verbs)))


def _state(view: QueueView) -> str:
    pause = view.state.pause
    if pause:
        return f"paused {age(pause.at)} ago by {pause.by}: {pause.reason}"
    return str(view.facts["state"])


def _waiting(facts: Row) -> str:
    if facts["queued"] is None:
        return "unknown, as no projector answers"
    oldest = span(facts["oldest_wait_seconds"])
    return f"{facts['queued']}, the oldest for {oldest}" if facts["queued"] else "nothing"


def _waits(facts: Row) -> str:
    if not facts["waits"]:
        return ""
    tasks = output.count_of(facts["waits"], "task")
    median, most = span(facts["wait_median_seconds"]), span(facts["wait_high_seconds"])
    return f"{median} at the median, 90% within {most}, of the last day's {tasks}"


def _served(view: QueueView) -> str:
    return ", ".join(_agent(one) for one in view.agents) or (
        f"nobody; evq agent --queues {view.state.name} serves it"
    )


def _agent(one: AgentPresence) -> str:
    if one.draining:
        return f"{one.agent} (being stopped)"
    if one.paused:
        return f"{one.agent} (paused: {one.paused})"
    return f"{one.agent} ({len(one.claims)}/{one.slots} busy)"


def _depth_table(rows: Sequence[Row]) -> None:
    columns = [
        Column("PRIORITY", right=True),
        Column("CLASS", soft=True),
        Column("QUEUED", right=True),
        Column("OLDEST", right=True),
    ]
    output.say_table(
        columns,
        [
            (row["priority"], row["class"], row["queued"], span(row["oldest_seconds"]))
            for row in rows
        ],
    )


def next_table(rows: Sequence[Row]) -> None:
    """Print tasks that wait, in their order."""
    columns = [
        Column("#", right=True),
        Column("TASK", style=output.bold),
        Column("USER"),
        Column("PRIORITY", right=True),
        Column("WAITING", right=True),
        Column("NAME", soft=True),
    ]
    output.say_table(
        columns,
        [
            (
                row["position"],
                row["task"],
                row["user"],
                row["priority"],
                span(row["wait_seconds"]),
                row["name"],
            )
            for row in rows
        ],
    )
    if rows and rows[-1]["position"] < rows[-1]["total"]:
        output.note(dim(f"{rows[-1]['total']} wait in all"))
