"""Whether this agent takes a member of a gang now, or leaves its place to others."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable

from ...core.bus.connect import Bus
from ...core.fleet.presence import AgentPresence, decode_presence
from ...core.gangs.gather import Gathering, gathering
from ...core.queueing.granting import load_tally
from ...core.queueing.room import few_permits, no_room, over_limit, too_large
from ...core.state import Task
from ..config import Config
from . import patience


async def all_agents(bus: Bus, presence: Callable[[], AgentPresence]) -> list[AgentPresence]:
    """The agents that are there, at first this one as it is now. Raises `BusAway`."""
    values = (await bus.presence.all()).values()
    found = [one for value in values if (one := decode_presence(value))]
    me = presence()
    return [me, *(one for one in found if one.instance != me.instance)]


def jittered(seconds: float) -> float:
    """About so long, so that agents that wait for the same thing do not come at once."""
    return seconds * random.uniform(0.9, 1.1)


class Admission:
    """The members of gangs that this agent considers, and its verdict on each."""

    def __init__(self, bus: Bus, config: Config, presence: Callable[[], AgentPresence]) -> None:
        """`presence` is what the agent says of itself now; it includes `considered`."""
        self._bus = bus
        self._gather = config.gather
        self._presence = presence
        self._considered: dict[str, Gathering] = {}

    def considered(self, held: Iterable[Task]) -> tuple[Gathering, ...]:
        """The members that wait for others here: those of the tasks it has, and those it is about
        to take. A place that is kept for one of them is not free, but it is not lost either."""
        found = {one.id: seen for one in held if one.live and (seen := gathering(one))}
        return tuple((self._considered | found).values())

    async def put_off(self, task: Task) -> float:
        """0 if the member may be claimed, else seconds after which one may look again.

        Raises `BusAway`. `settled` must follow when the claim was made or not.
        """
        seen = gathering(task)
        if seen is None:
            return 0.0
        self._considered[task.id] = seen
        permits = (await load_tally(self._bus.log, seen.queue)).permits
        agents = await all_agents(self._bus, self._presence)
        waited = await self._bus.log.age(patience.waits_since(task))
        if too_large(seen, agents) or over_limit(seen, permits):
            return jittered(patience.put_off(waited))
        short = no_room(seen, agents) or few_permits(seen, permits, task.spec.user, agents)
        if short and not patience.is_old(waited, self._gather):
            return jittered(patience.put_off(waited))
        return 0.0

    def settled(self, task_id: str) -> None:
        """The task is among the agent's own now, or put off."""
        self._considered.pop(task_id, None)
