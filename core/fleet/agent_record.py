"""What the log last said of an agent: the one fold of agents' events.

The projector keeps it as a row, and live screens beside the agent's own presence.
"""

from __future__ import annotations

import msgspec

from ..moments import writable
from ..queueing.orders import Drains, drained_gpus, obey, whole
from . import agents as events


class AgentRecord(msgspec.Struct, frozen=True, kw_only=True):
    """An agent as its events tell, and a row of `_agents`. One that was first seen when it went has
    no more than that.

    `drains` are the orders in force, as JSON, from which the columns after it follow.
    """

    agent: str
    instance: str
    host: str | None = None
    pid: int | None = None
    state: str
    queues: tuple[str, ...] = ()
    queue_order: str | None = None
    slots: int | None = None
    version: str | None = None
    cpus: int | None = None
    memory: int | None = None
    platform: str | None = None
    python: str | None = None
    started: int | None = None
    last_event: int
    reason: str | None = None
    services: bool = False
    drains: str = "[]"
    drained: int | None = None
    drained_by: str | None = None
    drain_reason: str | None = None
    drained_gpus: tuple[str, ...] = ()


def evolve_agent(
    before: AgentRecord | None, at: int, by: str, event: events.AgentEvent
) -> AgentRecord | None:
    """An agent's record after an event; null if the event is of an instance that was replaced."""
    when = writable(at)
    match event:
        case events.AgentUp():
            row = AgentRecord(
                agent=event.agent,
                instance=event.instance,
                host=event.host,
                pid=event.pid,
                state="up",
                queues=event.queues,
                queue_order=event.order,
                slots=event.slots,
                version=event.version,
                cpus=event.cpus,
                memory=event.memory,
                platform=event.platform,
                python=event.python,
                started=when,
                last_event=when,
                services=event.services,
            )
            return _with_drains(row, _drains(before))
        case events.DrainRequested() | events.ResumeRequested():
            if before is None:
                before = AgentRecord(agent=event.agent, instance="", state="down", last_event=when)
            return _with_drains(before, obey(_drains(before), at, by, event))
        case events.StopRequested() | events.PruneRequested() | events.AgentPruned():
            return before  # what the agent makes of an order, it says itself
        case events.AgentDraining(agent, instance, reason):
            state = "draining"
        case events.AgentDown(agent, instance, reason):
            state = "down"
        case events.AgentPaused(agent, instance, reason):
            state = "paused"
        case events.AgentResumed(agent, instance, reason):
            state = "up"
        case events.AgentLost(agent, instance, reason):
            state = "lost"
    if before is None:
        before = AgentRecord(agent=agent, instance=instance, state=state, last_event=when)
    if before.instance != instance:
        return None
    return msgspec.structs.replace(before, state=state, last_event=when, reason=reason)


def _drains(row: AgentRecord | None) -> Drains:
    return msgspec.json.decode(row.drains, type=Drains) if row else ()


def _with_drains(row: AgentRecord, drains: Drains) -> AgentRecord:
    drain = whole(drains)
    return msgspec.structs.replace(
        row,
        drains=msgspec.json.encode(drains).decode(),
        drained=writable(drain.at) if drain else None,
        drained_by=drain.by if drain else None,
        drain_reason=drain.reason if drain else None,
        drained_gpus=drained_gpus(drains),
    )
