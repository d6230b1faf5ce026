"""For how long an agent will be busy, as far as the history of its queues tells."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from ..fleet.presence import AgentPresence


class QueueLoad(msgspec.Struct, frozen=True):
    """What waits in a queue, and how many seconds its tasks held a slot lately, at the median;
    null if none has ended."""

    queued: int = 0
    median_seconds: float | None = None


def waiting(agent: AgentPresence, loads: Mapping[str, QueueLoad]) -> int:
    """How many tasks wait in the queues that the agent serves."""
    return sum(loads.get(queue, QueueLoad()).queued for queue in agent.queues)


def serving_slots(agents: Iterable[AgentPresence]) -> Mapping[str, int]:
    """How many slots of agents that take tasks serve each queue."""
    found: dict[str, int] = {}
    for agent in agents:
        for queue in agent.queues if agent.takes else ():
            found[queue] = found.get(queue, 0) + agent.slots
    return found


def busy_seconds(
    agent: AgentPresence,
    slots: Mapping[str, int],
    loads: Mapping[str, QueueLoad],
    now: int,
) -> float | None:
    """Seconds until the agent has done what it runs and its share of what waits; None if a queue
    that this stands on has no history.

    What waits in a queue is shared by the `slots` that serve it; `now` is in microseconds. A task
    that runs longer than its queue's median is taken to end at once.
    """
    work = 0.0
    for one in agent.running:
        if (median := loads.get(one.queue, QueueLoad()).median_seconds) is None:
            return None
        work += max(0.0, median - (now - one.since) / 1e6)
    for queue in agent.queues if agent.takes else ():
        load = loads.get(queue, QueueLoad())
        if load.queued and load.median_seconds is None:
            return None
        work += load.queued * (load.median_seconds or 0.0) * agent.slots / slots[queue]
    return work / agent.slots
