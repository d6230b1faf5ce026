"""`evq queues`: which there are, what waits and runs in each, and who serves them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from ...core.errors import ProjectorAway
from ...core.fleet.presence import AgentPresence
from ...core.questions import Named
from .. import output
from ..calling import call
from ..options import as_of_option, json_option
from ..output import Column
from ..tasks.render import iso, span, timestamp

if TYPE_CHECKING:
    from ...core.past import When
    from ...core.queueing.queues import QueueState
    from ...core.sdk.client import Client

COUNTED = ("queued", "claimed", "running", "completed", "failed", "aborted", "timed_out")
TOLD = ("next_task", "next_name", "next_user", "waits", "wait_median_seconds", "wait_high_seconds")


@click.command()
@as_of_option
@json_option
def queues(as_of: When | None, as_json: bool) -> None:
    """Print the queues: what waits in each, what runs, and which agents serve it.

    WAIT is the median of what started tasks of the last day had waited.

    \b
    Examples:
      evq queues
      evq queues --json | jq '.[] | select(.agents == [])'
    """
    found = call(all_queues, as_of=as_of)
    if as_json:
        output.say_json(found)
        return
    columns = [
        Column("QUEUE", style=output.bold),
        Column("STATE", soft=True),
        *(Column(title, right=True) for title in ("QUEUED", "RUNNING", "DONE", "FAILED")),
        Column("OLDEST", right=True),
        Column("WAIT", right=True),
        Column("NEXT", soft=True),
        Column("SLOTS", right=True),
        Column("AGENTS", soft=True),
    ]
    if found:
        output.say_table(columns, [_row(one) for one in found])
    else:
        output.note("there is no queue yet; the first task makes one: evq enqueue SCRIPT")


def _row(one: Mapping[str, Any]) -> tuple[object, ...]:
    next_task = " ".join(filter(None, (one["next_task"], one["next_user"])))
    return (
        one["queue"],
        state_words(one),
        one["queued"],
        _sum(one["claimed"], one["running"]),
        one["completed"],
        _sum(one["failed"], one["timed_out"]),
        span(one["oldest_wait_seconds"]),
        span(one["wait_median_seconds"]),
        next_task,
        one["slots"],
        ", ".join(one["agents"]) or "nobody serves it",
    )


def state_words(queue: Mapping[str, Any]) -> str:
    """`open`, or `paused: maintenance`."""
    return f"paused: {queue['reason']}" if queue["state"] == "paused" else str(queue["state"])


def _sum(*counts: int | None) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


async def all_queues(client: Client) -> list[dict[str, Any]]:
    """The queues there are; the counts are null while no projector answers."""
    return [one for one in await every_queue(client) if one["state"] != "deleted"]


async def every_queue(client: Client) -> list[dict[str, Any]]:
    """The queues there are or were."""
    agents, counts, named = await asyncio.gather(
        client.agents(), _counts(client), client.queue_names()
    )
    names = named | set(counts) | {name for one in agents for name in one.queues}
    states = {} if counts else await client.queues()
    return [queue_facts(name, agents, counts, states.get(name)) for name in sorted(names)]


def queue_facts(
    name: str,
    agents: list[AgentPresence],
    counts: Mapping[str, Mapping[str, Any]],
    known: QueueState | None,
) -> dict[str, Any]:
    """A queue: from the projector's counts if there are any, else as far as the log tells."""
    serving = [one for one in agents if name in one.queues and not one.draining]
    row = counts.get(name, {})
    pause = known.pause if known else None
    return {
        "queue": name,
        "state": row.get("state") or (known.name_of_state if known else "open"),
        "since": iso(timestamp(row.get("since")) or (pause.at if pause else None)),
        "by": row.get("by") or (pause.by if pause else None),
        "reason": row.get("reason") or (pause.reason if pause else None),
        "description": row.get("description") or (known.description if known else ""),
        "fair": known.fair if known else False,
        "created": iso(timestamp(row.get("created")) or (known.created if known else None)),
        **{state: row.get(state, 0 if counts else None) for state in COUNTED},
        "oldest_wait_seconds": row.get("oldest_wait_seconds"),
        **{field: row.get(field) for field in TOLD},
        "slots": sum(one.slots for one in serving if one.takes),
        "agents": [one.agent for one in serving],
    }


async def _counts(client: Client) -> dict[str, dict[str, Any]]:
    try:
        return {row["queue"]: row async for row in client.rows(Named("queues"))}
    except ProjectorAway:
        return {}
