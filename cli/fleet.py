"""`evq workers`: who is there; asked of the server itself."""

from __future__ import annotations

from typing import Any

import click

from ..core.presence import AgentPresence
from . import output
from .options import json_option
from .output import Column
from .render import age, iso
from .session import call


@click.command()
@json_option
def workers(as_json: bool) -> None:
    """Print the agents that are there now: where they are, what they serve, how busy they are.

    \b
    Examples:
      evq workers
      evq workers --json | jq -r '.[].host'
    """
    found = call(lambda client: client.agents())
    if as_json:
        output.say_json([_facts(one) for one in found])
        return
    columns = [
        Column("AGENT", style=output.bold),
        Column("HOST"),
        Column("BUSY", right=True),
        Column("STATE"),
        Column("UP", right=True),
        Column("ORDER"),
        Column("QUEUES", soft=True),
    ]
    rows = [
        (
            one.agent,
            one.host,
            f"{len(one.claims)}/{one.slots}",
            f"paused: {one.paused}" if _state(one) == "paused" else _state(one),
            age(one.since) if one.since else "",
            one.order,
            ", ".join(one.queues),
        )
        for one in found
    ]
    if rows:
        output.say_table(columns, rows)
    else:
        output.note("no agent is there; evq agent starts one on this machine")


def _state(agent: AgentPresence) -> str:
    if agent.draining:
        return "draining"
    if agent.paused:
        return "paused"
    return "busy" if agent.claims else "idle"


def _facts(agent: AgentPresence) -> dict[str, Any]:
    return {
        "agent": agent.agent,
        "host": agent.host,
        "pid": agent.pid,
        "queues": agent.queues,
        "order": agent.order,
        "slots": agent.slots,
        "busy": len(agent.claims),
        "state": _state(agent),
        "paused": agent.paused,
        "since": iso(agent.since) if agent.since else None,
        "claims": agent.claims,
    }
