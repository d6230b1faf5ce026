"""Gangs on the command line: the members' lines side by side, and all of them in a few words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import click

from ...core.container import read_arguments
from ...core.errors import UsageError
from ...core.fleet.presence import AgentPresence
from ...core.fleet.resources import request_of
from ...core.gangs.gang import decisive, member_origin
from ...core.handle import load
from ...core.queueing.room import places
from ...core.sdk.following import Happened, Item, follow_all, newborn
from ...core.spec import Spec
from ...core.state import Ended, Task
from ..tasks.document import exit_status
from ..tasks.render import colored, end_text, marked, span

if TYPE_CHECKING:
    from ...core.sdk.client import Client

COLORS = ("cyan", "magenta", "green", "yellow", "blue")
"""For the ranks' labels, in turn."""


def rank_label(rank: int, nodes: int) -> str:
    """What stands before a line of one rank, among those of others."""
    width = len(str(nodes - 1))
    return click.style(f"[{rank:>{width}}] ", fg=COLORS[rank % len(COLORS)])


async def follow_members(
    client: Client, members: Sequence[Task], tell: Callable[[int, Item], None]
) -> list[Task]:
    """Call `tell` with each thing that happens to a member, and its rank; return all of them when
    they have ended."""
    after = [await newborn(client.bus, one.origin) for one in members]
    async with aclosing(follow_all(client.bus, after)) as items:
        async for rank, item in items:
            tell(rank, item)
            if isinstance(item, Happened):
                after[rank] = item.task
    return after


async def member(client: Client, task: Task, rank: int) -> Task:
    """One member of the task's gang, as of now."""
    if task.spec.gang is None or task.spec.gang.rank == rank:
        return task
    return await load(client.bus.log, member_origin(task, rank))


def chosen_ranks(gang: Task, written: str | None) -> list[int]:
    """The ranks that `--rank` names: one, or `all`; without it the task's own."""
    spec = gang.spec
    if spec.gang is None:
        if written not in (None, "0", "all"):
            raise _no_rank(gang, written)
        return [0]
    if written is None:
        return [spec.gang.rank]
    if written == "all":
        return list(range(spec.nodes))
    if written.isdigit() and int(written) < spec.nodes:
        return [int(written)]
    raise _no_rank(gang, written)


def _no_rank(gang: Task, written: str | None) -> UsageError:
    nodes = gang.spec.nodes
    why = f"its ranks are 0 to {nodes - 1}" if nodes > 1 else "it runs on one node"
    return UsageError(f"task {gang.id} has no rank {written}", why=why, fix="--rank all")


def spread(members: Sequence[Task]) -> float | None:
    """Seconds between the first and the last start of the last common attempt, by the clocks of
    their machines; null if not all have started."""
    launches = [one.attempts[-1].launch if one.attempts else None for one in members]
    starts = [launch.at for launch in launches if launch]
    if len(starts) < len(members):
        return None
    return round((max(starts) - min(starts)) / 1e6, 6)


def gang_facts(members: Sequence[Task]) -> dict[str, Any]:
    """A gang as JSON: its members by rank, and whose end was decisive."""
    first = decisive(members)
    assert first.spec.gang is not None
    return {
        "id": first.spec.gang.id,
        "nodes": first.spec.nodes,
        "state": first.name_of_state,
        "decisive_rank": first.spec.gang.rank,
        "spread_seconds": spread(members),
        "members": [
            {
                "rank": rank,
                "task": one.id,
                "state": one.name_of_state,
                "agent": one.attempts[-1].agent if one.attempts else None,
                "cause": one.state.cause if isinstance(one.state, Ended) else None,
                "exit_status": exit_status(one) if isinstance(one.state, Ended) else None,
            }
            for rank, one in enumerate(members)
        ],
    }


def gang_warnings(spec: Spec, agents: Sequence[AgentPresence]) -> list[str]:
    """What may keep a gang that was just enqueued from running, or its members from meeting."""
    if spec.nodes == 1:
        return []
    found = []
    serving = [one for one in agents if spec.queue in one.queues]
    request = request_of(spec)
    most = sum(places(request, one.offer) for one in serving)
    if serving and most < spec.nodes:
        found.append(
            f"it needs {spec.nodes} places at once, and the agents of queue {spec.queue!r} have "
            f"{most} for it, so it waits"
        )
    arguments = read_arguments(spec.container.args) if spec.container else None
    if arguments and arguments.network != "host":
        found.append(
            "in containers with networks of their own its ranks do not find each other: "
            "--docker-arg=--network=host"
        )
    return found


def member_lines(members: Sequence[Task]) -> list[str]:
    """One line for each rank: which task it is, where it is, how it is."""
    lines = []
    for rank, one in enumerate(members):
        agent = one.attempts[-1].agent if one.attempts else ""
        state = one.state
        how = end_text(state.exit_code, state.cause) if isinstance(state, Ended) else ""
        words = [f"rank {rank}", one.id, colored(marked(one.name_of_state)), agent, how]
        lines.append("  ".join(filter(None, words)))
    if (seconds := spread(members)) is not None:
        lines.append(f"all started within {span(seconds) if seconds >= 1 else _ms(seconds)}")
    return lines


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"
