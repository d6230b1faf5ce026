"""What an autoscaler sees: the work that waits, the agents that are there, and the machines."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from itertools import islice

from ...core.fleet.presence import AgentPresence
from ...core.fleet.resources import parse_size
from ...core.sdk.author import now
from ...core.sdk.live import LiveFleet, LiveQueue
from .capacity import Room, Waiting
from .drivers import Driver
from .facts import Stage, State
from .orders import is_ours
from .planning import Agent, Look, Shown

MOST_WAITING = 5_000
"""Tasks of a queue that are looked at: more do not fit on all the machines one may have."""

ORPHAN_SECONDS = 10.0
"""How long an agent may be away before its tasks count as work that waits."""


class Eyes:
    """Looks, and remembers since when agents are idle or silent."""

    def __init__(self, name: str, fleet: LiveFleet, say: Callable[[str], None]) -> None:
        """Those of the autoscaler `name`. `say` is told when a driver does not answer, and when it
        does again."""
        self._name = name
        self._fleet = fleet
        self._say = say
        self._idle: dict[str, int] = {}
        self._silent: dict[str, int] = {}
        self._alone: dict[str, int] = {}
        self._silent_drivers = set[str]()

    async def look(self, state: State, drivers: Mapping[str, Driver]) -> Look:
        """What there is now."""
        machines: dict[str, Shown] = {}
        asked = set[str]()
        answers = await asyncio.gather(
            *(driver.machines() for driver in drivers.values()), return_exceptions=True
        )
        for name, answer in zip(drivers, answers, strict=True):
            if isinstance(answer, dict):
                machines |= answer
                asked.add(name)
                if name in self._silent_drivers:
                    self._say(f"the {name} driver answers again")
            elif name not in self._silent_drivers:
                self._say(f"the {name} driver does not answer: {answer}")
        self._silent_drivers = set(drivers) - asked
        moment = now()
        agents = dict(self._agents(moment))
        return Look(
            moment,
            (*self._orphans(state, agents, moment), *self._waiting(state)),
            agents,
            self._missing(state, agents, moment),
            machines,
            frozenset(asked),
        )

    def _agents(self, moment: int) -> Iterator[tuple[str, Agent]]:
        for name, agent in self._fleet.agents.items():
            if agent.presence is None:
                self._idle.pop(name, None)
                continue
            if agent.busy:
                self._idle.pop(name, None)
            else:
                self._idle.setdefault(name, moment)
            yield name, self._agent(agent.queues, agent.presence, self._idle.get(name))

    def _agent(
        self, queues: tuple[str, ...], presence: AgentPresence, idle_since: int | None
    ) -> Agent:
        drained = is_ours(self._name, presence.drains)
        return Agent(Room(queues, presence.free), presence.takes, idle_since, drained)

    def _missing(self, state: State, agents: Mapping[str, Agent], moment: int) -> dict[str, int]:
        """Since when the agents of machines that were there are not."""
        were = (Stage.HERE, Stage.DRAINING, Stage.RECALLED)
        gone = [
            one.name
            for one in state.machines.values()
            if one.stage in were and one.name not in agents
        ]
        self._silent = {name: self._silent.get(name, moment) for name in gone}
        return self._silent

    def _orphans(self, state: State, agents: Mapping[str, Agent], moment: int) -> Iterator[Waiting]:
        """Tasks whose agent is gone: where nobody else serves their queue, nobody takes them over,
        and so they do not even wait."""
        queues = _queues(state)
        without = {
            task.id: task
            for task in self._fleet.with_agents()
            if task.queue in queues and task.agent not in agents
        }
        self._alone = {name: self._alone.get(name, moment) for name in without}
        for name, since in self._alone.items():
            if moment - since > ORPHAN_SECONDS * 1e6:
                task = without[name]
                yield Waiting(name, task.queue, parse_size(task.size), since)

    def _waiting(self, state: State) -> Iterator[Waiting]:
        for name in sorted(_queues(state)):
            queue = self._fleet.queues.get(name)
            if queue is None or queue.state != "open":
                continue
            line = self._fleet.line(name, MOST_WAITING)
            for task in islice(line, _room_in(queue)):
                yield Waiting(
                    task.id, name, parse_size(task.size), task.waits_since or task.enqueued
                )


def _queues(state: State) -> set[str]:
    return {queue for kind in state.kinds.values() for queue in kind.queues}


def _room_in(queue: LiveQueue) -> int:
    """How many more of a queue's tasks may be live at once."""
    most = queue.permits.most
    return MOST_WAITING if most is None else max(0, most - queue.busy)
