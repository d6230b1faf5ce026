"""Whether there is room for all of a gang at once, by what the agents say of themselves.

A gang that holds some places while it waits for others keeps them from everybody else, and two
that do so may wait for each other for ever. So a member is taken only if all find room, an old
gang excepted, and a younger gang gives way to an older one. See docs/decisions/0021.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..fleet.presence import AgentPresence
from ..fleet.resources import Offer, Request, lacks, parse_size
from ..gangs.gather import Gathering
from .permits import Permits


def places(request: Request, offer: Offer) -> int:
    """How many tasks with this request fit into the offer side by side."""
    count = 0
    most = _gpu_places(request, offer)
    while count < most and not lacks(request, offer):
        count += 1
        offer = offer.without(request)
    return count


def _gpu_places(request: Request, offer: Offer) -> int:
    """How many of them the GPUs are enough for."""
    if not request.gpus:
        return offer.slots
    share = request.gpu_memory
    free = [device for device in offer.devices if device.takes(share)]
    if share is None:
        return len(free) // request.gpus
    return sum(device.free_memory // share for device in free) // request.gpus


def largest(gang: Gathering, agents: Iterable[AgentPresence]) -> int:
    """How many members could run at once if the agents that serve its queue had nothing else."""
    serving = (one for one in agents if gang.queue in one.queues)
    return sum(places(_request(gang, one), one.offer) for one in serving)


def free(gang: Gathering, agents: Iterable[AgentPresence]) -> int:
    """For how many members there is room now."""
    serving = (one for one in agents if one.takes and gang.queue in one.queues)
    return sum(places(_request(gang, one), one.free) for one in serving)


def _request(gang: Gathering, agent: AgentPresence) -> Request:
    """What a member wants on this agent, whose queue may give each task some GPUs."""
    return agent.request(parse_size(gang.size), gang.queue)


def older_gangs(gang: Gathering, agents: Sequence[AgentPresence]) -> dict[str, Gathering]:
    """Gangs that gather, too, and go first, by their ids."""
    seen = (one for agent in agents for one in agent.gathering)
    return {one.gang: one for one in seen if one.gang != gang.gang and one.age < gang.age}


def missing(gang: Gathering, agents: Iterable[AgentPresence]) -> int:
    """How many members of a gang no agent has."""
    there = {one.rank for agent in agents for one in agent.gathering if one.gang == gang.gang}
    return gang.nodes - len(there)


def too_large(gang: Gathering, agents: Sequence[AgentPresence]) -> str:
    """Why the gang cannot run whatever else ends; empty if it can."""
    most = largest(gang, agents)
    if most >= gang.nodes:
        return ""
    return (
        f"its gang needs {gang.nodes} places at once, and the agents that serve {gang.queue} "
        f"have {most} for it"
    )


def over_limit(gang: Gathering, permits: Permits) -> str:
    """Why the limit of the gang's queue lets it never run; empty if it does."""
    limits = [one for one in (permits.most, permits.per_user) if one is not None]
    if not limits or min(limits) >= gang.nodes:
        return ""
    return (
        f"its gang needs {gang.nodes} places at once, and queue {gang.queue} lets {min(limits)} run"
    )


def few_permits(
    gang: Gathering, permits: Permits, user: str, agents: Iterable[AgentPresence]
) -> str:
    """Why the queue's limit does not let all members run now that no agent has yet, one that is
    about to be claimed among them; empty if it does."""
    mine = sum(one.user == user for one in permits.held)
    pairs = ((permits.most, len(permits.held)), (permits.per_user, mine))
    left = min((most - held for most, held in pairs if most is not None), default=None)
    if left is None or left > missing(gang, agents):
        return ""
    return f"the limit of queue {gang.queue} lets {left} more run, too few for its gang"


def no_room(gang: Gathering, agents: Sequence[AgentPresence]) -> str:
    """Why not all members find room now; empty if they do.

    What older gangs that gather still need is theirs.
    """
    wanted = missing(gang, agents)
    room = free(gang, agents)
    older = [
        one
        for one in older_gangs(gang, agents).values()
        if any({one.queue, gang.queue} <= set(agent.queues) for agent in agents)
    ]
    kept = sum(missing(one, agents) for one in older)
    if room - kept >= wanted:
        return ""
    words = f"{wanted} members of its gang wait for room, and there is room for {max(room, 0)}"
    if kept:
        words += f", which gang {min(older, key=lambda one: one.age).gang} needs, as it is older"
    return words


def must_give_way(gang: Gathering, me: AgentPresence, agents: Sequence[AgentPresence]) -> str:
    """Why this agent's member leaves its place to an older gang; empty if it does not."""
    for other in sorted(older_gangs(gang, agents).values(), key=lambda one: one.age):
        here = other.queue in me.queues and not lacks(_request(other, me), me.offer)
        if here and free(other, agents) < missing(other, agents):
            return f"gang {other.gang} is older, and may need this place"
    return ""
