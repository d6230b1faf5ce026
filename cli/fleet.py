"""`evq queues`: what waits, and who serves it; asked of the server itself."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from ..core.errors import ProjectorAway
from ..core.ports import BusAway
from ..core.presence import AgentPresence
from ..core.questions import Named
from . import output
from .options import json_option
from .output import Column
from .render import span
from .session import call

if TYPE_CHECKING:
    from ..core.sdk.client import Client

COUNTED = ("queued", "claimed", "running", "completed", "failed", "aborted", "timed_out")


@click.command()
@json_option
def queues(as_json: bool) -> None:
    """Print the queues: what waits in each, what runs, and which agents serve it.

    \b
    Examples:
      evq queues
      evq queues --json | jq '.[] | select(.agents == [])'
    """
    found = call(_queues)
    if as_json:
        output.say_json(found)
        return
    columns = [
        Column("QUEUE"),
        *(Column(title, right=True) for title in ("QUEUED", "RUNNING", "DONE", "FAILED")),
        Column("OLDEST", right=True),
        Column("SLOTS", right=True),
        Column("AGENTS", soft=True),
    ]
    rows = [
        (
            one["queue"],
            one["queued"],
            _sum(one["claimed"], one["running"]),
            one["completed"],
            _sum(one["failed"], one["timed_out"]),
            span(one["oldest_wait_seconds"]),
            one["slots"],
            ", ".join(one["agents"]) or "nobody serves it",
        )
        for one in found
    ]
    if rows:
        output.say_table(columns, rows)
    else:
        output.note("there is no queue yet; the first task makes one: evq enqueue SCRIPT")


def _sum(*counts: int | None) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


async def _queues(client: Client) -> list[dict[str, Any]]:
    """The queues; the counts are null while no projector answers."""
    (agents, counts), named = await asyncio.gather(_agents_and_counts(client), _named(client))
    names = named | set(counts) | {name for one in agents for name in one.queues}
    found = []
    for name in sorted(names):
        serving = [one for one in agents if name in one.queues and not one.draining]
        row = counts.get(name, {})
        found.append(
            {
                "queue": name,
                **{state: row.get(state, 0 if counts else None) for state in COUNTED},
                "oldest_wait_seconds": row.get("oldest_wait_seconds"),
                "slots": sum(one.slots for one in serving if one.takes),
                "agents": [one.agent for one in serving],
            }
        )
    return found


async def _named(client: Client) -> set[str]:
    try:
        return {level.queue for level in await client.bus.hints.levels()}
    except BusAway:
        return set()  # a server that evq has not used before


async def _agents_and_counts(
    client: Client,
) -> tuple[Sequence[AgentPresence], dict[str, dict[str, Any]]]:
    agents = await client.agents()
    try:
        return agents, {row["queue"]: row async for row in client.rows(Named("queues"))}
    except ProjectorAway:
        return agents, {}
