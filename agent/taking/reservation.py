"""When an agent keeps room free for a task that was passed by for too long, and what that means.

Pure decisions; `lookout` carries them out. See docs/decisions/0022.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from ...core.fleet.presence import AgentPresence
from ...core.fleet.resources import Offer, Request, gpus_for, lacks
from ...core.subjects import Level

LAST_RESORT = 2
"""Patiences after which any agent reserves, even if another is nearer to having the room."""


class Passed(msgspec.Struct):
    """The first task of a level that waits while others of lower rank begin.

    `since` is when the agent first saw it, on the agent's own clock, `times` how many tasks it
    has begun past it.
    """

    level: Level
    task: str
    rank: float
    since: float
    times: int = 0


def only_waits_for_slot(request: Request, free: Offer) -> bool:
    """Whether nothing else is missing: then nobody can be taken in its stead."""
    return not lacks(request, msgspec.structs.replace(free, slots=1))


def nearest(level: Level, agents: Mapping[str, AgentPresence]) -> str | None:
    """Which agent, by its key, is nearest to having the room that the level's tasks need.

    Only such count as have it when nothing runs on them. All agents that look agree, up to the
    age of what they know of each other.
    """
    able = {}
    for key, agent in agents.items():
        request = agent.request(level.request, level.queue)
        serves = agent.takes and level.queue in agent.queues
        if serves and not lacks(request, agent.offer):
            able[key] = (bool(agent.reserved), _missing_part(request, agent.free), key)
    return min(able, key=lambda key: able[key], default=None)


def _missing_part(request: Request, free: Offer) -> float:
    """The part of what is asked for that is missing now, of whatever is missing most."""
    pairs = [
        (1, free.slots),
        (request.cpus or 0, free.cpus),
        (request.memory or 0, free.memory),
        (request.gpus, gpus_for(request, free)),
    ]
    return max(1 - min(1.0, max(0.0, has / wants)) for wants, has in pairs if wants)
