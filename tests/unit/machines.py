"""A small world for an autoscaler: machines, agents and tasks, without any of them."""

from __future__ import annotations

from typing import Any

import msgspec

from evq.core.fleet.resources import Request
from evq.core.journal import Noted
from evq.services.autoscaler.capacity import Room, Waiting
from evq.services.autoscaler.definition import Definition, Kind
from evq.services.autoscaler.facts import Defined, Fact, Launched, Stage, State, evolve
from evq.services.autoscaler.planning import Agent, Look, Shown, plan

SMALL = Kind(driver="local", queues=("q",), most=5, cost=1.0)
BIG = Kind(driver="local", queues=("q",), gpus=2, most=2, cost=10.0)
SECOND = 1_000_000


class World:
    """Machines, agents and tasks as the shell would see them, and a journal that survives."""

    def __init__(self, definition: Definition, now: int = 1_000 * SECOND) -> None:
        self.now = now
        self.journal: list[Noted[Fact]] = []
        self.state = State()
        self.machines: dict[str, Shown] = {}
        self.agents: dict[str, int | None] = {}
        self.drained = set[str]()
        self.silent: dict[str, int] = {}
        self.tasks: list[Waiting] = []
        self.most = 0
        self.note(Defined(definition), "wished")

    def note(self, fact: Fact, words: str) -> None:
        noted = Noted(len(self.journal) + 1, self.now, "x", words, fact)
        again = msgspec.convert(msgspec.to_builtins(fact), Fact)
        assert again == fact
        self.journal.append(noted)
        self.state = evolve(self.state, noted)

    def look(self) -> Look:
        agents = {
            name: Agent(
                Room(
                    self.state.kinds[name.split("-")[1]].queues,
                    self.state.kinds[name.split("-")[1]].offer,
                ),
                name not in self.drained,
                idle,
                name in self.drained,
            )
            for name, idle in self.agents.items()
        }
        return Look(
            self.now,
            tuple(self.tasks),
            agents,
            self.silent,
            dict(self.machines),
            frozenset({"local"}),
        )

    def decide(self) -> list[Fact]:
        """All decisions there are now, and what a shell does about them."""
        found: list[Fact] = []
        while decision := plan("a", self.state, self.look()):
            self.note(*decision)
            found.append(decision[0])
            assert len(found) < 100
        return found

    def act(self) -> None:
        for name, machine in list(self.state.machines.items()):
            if machine.stage is Stage.WANTED:
                self.machines[name] = Shown(f"ref-{name}", machine.kind)
                self.most = max(self.most, len(self.machines))
                self.note(Launched(name, f"ref-{name}"), "launched")
            elif machine.stage is Stage.DRAINING:
                self.drained.add(name)
            elif machine.stage is Stage.RECALLED:
                self.drained.discard(name)
            elif machine.stage is Stage.ENDING:
                self.machines.pop(name, None)
                self.agents.pop(name, None)

    def turn(self) -> list[Fact]:
        found = self.decide()
        self.act()
        return [*found, *self.decide()]

    def wait(self, count: int, **asks: Any) -> None:
        self.tasks += [
            Waiting(f"t{len(self.tasks) + n}", "q", Request(**asks), self.now) for n in range(count)
        ]

    def arrive(self) -> None:
        for name in self.machines:
            self.agents.setdefault(name, None if self.tasks else self.now)
            if self.tasks:
                self.tasks.pop(0)


def names(found: list[Fact]) -> list[str]:
    return [type(fact).__name__ for fact in found]


def kinds(world: World) -> list[str]:
    return sorted(one.kind for one in world.state.machines.values())


def facts(world: World, kind: type[Any]) -> list[Any]:
    return [one.fact for one in world.journal if isinstance(one.fact, kind)]
