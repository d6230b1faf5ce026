"""The autoscaler's decisions, without machines: they are played by a small world."""

from __future__ import annotations

from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evq.core.errors import UsageError
from evq.core.fleet.resources import Request
from evq.core.journal import Noted
from evq.services.autoscaler.capacity import Room, Waiting, missing
from evq.services.autoscaler.definition import Definition, Kind, read_definition
from evq.services.autoscaler.facts import (
    Defined,
    Ending,
    Fact,
    Launched,
    Refused,
    Stage,
    State,
    Stopped,
    Wanted,
    evolve,
)
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


def test_a_machine_comes_for_each_task_up_to_the_limit() -> None:
    world = World(Definition({"small": SMALL}))
    world.wait(7)
    world.turn()
    assert kinds(world) == ["small"] * 5
    assert [one.machine for one in facts(world, Wanted)] == [f"a-small-{n}" for n in range(1, 6)]


def facts(world: World, kind: type[Any]) -> list[Any]:
    return [one.fact for one in world.journal if isinstance(one.fact, kind)]


def test_the_cheapest_kind_that_fits_is_taken_and_filled() -> None:
    world = World(Definition({"small": SMALL, "big": BIG}))
    world.wait(1)
    world.wait(3, gpus=1)
    world.wait(1, gpus=8)
    world.turn()
    assert kinds(world) == ["big", "big", "small"]


def test_what_is_on_its_way_counts() -> None:
    world = World(Definition({"small": SMALL}))
    world.wait(2)
    world.turn()
    assert world.turn() == []
    world.wait(1)
    world.turn()
    assert kinds(world) == ["small"] * 3


def test_a_budget_is_kept() -> None:
    world = World(Definition({"small": SMALL}, budget=2.5))
    world.wait(9)
    world.turn()
    assert kinds(world) == ["small"] * 2
    assert "2.00 of 2.5 an hour" in world.journal[2].words


def test_an_idle_machine_is_drained_then_ended_then_gone() -> None:
    world = World(Definition({"small": SMALL}, idle=60))
    world.wait(1)
    world.turn()
    world.arrive()
    world.turn()
    assert [one.stage for one in world.state.machines.values()] == [Stage.HERE]
    world.agents = {name: world.now for name in world.agents}
    world.now += 61 * SECOND
    assert names(world.turn()) == ["Draining", "Ending"]
    assert names(world.turn()) == ["Gone"]
    assert world.state.machines == {} and world.machines == {}
    assert world.state.gone == {"idle": 1}
    assert world.state.cost(world.now) == pytest.approx(61 / 3600)


def drained_while_busy() -> World:
    """One machine at work, which is drained because none is wished any more, and one slot free."""
    world = World(Definition({"small": msgspec.structs.replace(SMALL, slots=2)}))
    world.wait(1)
    world.turn()
    world.arrive()
    world.turn()
    wish(world, most=0)
    assert names(world.turn()) == ["Draining"]
    assert world.drained == {"a-small-1"}
    return world


def wish(world: World, **changes: Any) -> None:
    kind = msgspec.structs.replace(SMALL, slots=2, **changes)
    world.note(Defined(Definition({"small": kind})), "others are wished")


def test_a_machine_that_is_drained_is_called_back_when_work_comes() -> None:
    world = drained_while_busy()
    world.wait(1)
    assert world.turn() == []  # none is wished
    wish(world)
    # What is on its way back counts: no other one is added meanwhile.
    assert names(world.decide()) == ["Recalled"]
    assert world.decide() == [] and world.drained
    assert names(world.turn()) == ["Arrived"]
    assert not world.drained
    [machine] = world.state.machines.values()
    assert (machine.name, machine.stage, machine.cause) == ("a-small-1", Stage.HERE, None)
    assert "is called back: t0 waits in q" in world.journal[-2].words


def test_the_least_are_called_back_too() -> None:
    world = drained_while_busy()
    wish(world, least=1)
    assert names(world.turn()) == ["Recalled", "Arrived"]


def test_one_that_has_not_heard_or_is_ended_or_cannot_run_it_is_not_called_back() -> None:
    world = drained_while_busy()
    wish(world)
    world.drained.clear()
    world.wait(1)
    assert world.decide() == []  # its agent takes tasks still
    world.drained.add("a-small-1")
    world.machines["a-small-1"] = Shown("ref", "small", "preempted")
    assert names(world.decide()) == ["Ending", "Wanted"]
    world = drained_while_busy()
    wish(world)
    world.wait(1, gpus=1)
    assert world.turn() == []


def test_to_stop_calls_nothing_back_and_waits_for_what_comes_back() -> None:
    world = drained_while_busy()
    world.wait(1)
    world.note(Stopped(), "that is all")
    assert world.turn() == []
    wish(world)
    assert names(world.decide()) == ["Recalled"]
    world.note(Stopped(), "that is all")
    # Its agent may be at a task that nobody has seen yet: it is drained anew, not ended.
    assert names(world.turn()) == ["Arrived", "Draining"]


def test_a_drain_that_came_late_is_undone() -> None:
    world = World(Definition({"small": SMALL}))
    world.wait(1)
    world.turn()
    world.arrive()
    world.turn()
    world.drained.add("a-small-1")
    assert names(world.turn()) == ["Recalled", "Arrived"]


def test_the_least_stay() -> None:
    world = World(Definition({"small": msgspec.structs.replace(SMALL, least=2)}, idle=60))
    world.turn()
    world.arrive()
    world.turn()
    world.now += 3600 * SECOND
    assert world.turn() == []
    assert kinds(world) == ["small"] * 2


def test_stuck_lost_and_preempted_are_told_apart() -> None:
    world = World(Definition({"small": SMALL}, spin_up=100, silence=30))
    world.wait(3)
    world.turn()
    one, two, three = list(world.machines)
    world.agents = {one: None, two: None}
    world.tasks.clear()
    world.turn()
    world.now += 101 * SECOND
    world.machines[one] = Shown("r", "small", "preempted")
    del world.agents[two]
    world.silent = {two: world.now - 31 * SECOND}
    causes = {fact.machine: fact.cause for fact in world.turn() if isinstance(fact, Ending)}
    assert causes == {one: "preempted", two: "lost", three: "stuck"}
    assert world.machines == {}


def test_a_driver_that_does_not_answer_loses_no_machine() -> None:
    world = World(Definition({"small": SMALL}, silence=30))
    world.wait(1)
    world.turn()
    world.arrive()
    world.turn()
    [name] = world.machines
    del world.agents[name]
    look = msgspec.structs.replace(
        world.look(), machines={}, asked=frozenset(), silent={name: world.now - 3600 * SECOND}
    )
    assert plan("a", world.state, look) is None


def test_a_refusal_makes_it_wait_longer_each_time() -> None:
    world = World(Definition({"small": SMALL}))
    world.wait(1)
    pauses = []
    for _ in range(4):
        [wanted] = world.decide()
        world.note(Refused(wanted.machine), "no more of these today")
        begun = world.now
        while not plan("a", world.state, world.look()):
            world.now += SECOND
        pauses.append((world.now - begun) // SECOND)
    assert pauses == [15, 30, 60, 120]


def test_a_stray_is_ended() -> None:
    world = World(Definition({"small": SMALL}))
    world.machines["a-small-77"] = Shown("ref", "small")
    [ending, _] = world.turn()
    assert ending == Ending("a-small-77", "stray", "small", "ref")
    assert world.machines == {} and world.state.machines == {}


def test_stopping_ends_all_and_a_new_wish_begins_again() -> None:
    definition = Definition({"small": SMALL})
    world = World(definition)
    world.wait(3)
    world.turn()
    world.arrive()
    world.turn()
    world.wait(5)
    world.note(Stopped(), "that is all")
    world.turn()
    world.agents = {name: world.now for name in world.agents}
    world.turn()
    assert world.state.machines == {} and world.machines == {}
    world.note(Defined(definition), "again")
    world.turn()
    assert len(world.machines) == 5
    names = [one.machine for one in facts(world, Wanted)]
    assert len(names) == len(set(names))


def test_a_kind_that_is_not_wished_any_more_goes() -> None:
    world = World(Definition({"small": SMALL}))
    world.wait(2)
    world.turn()
    world.arrive()
    world.turn()
    world.note(Defined(Definition({"big": BIG})), "other machines")
    world.turn()
    world.agents = {name: world.now for name in world.agents}
    world.turn()
    assert world.state.machines == {} and world.machines == {}


@settings(max_examples=60)
@given(st.integers(0, 2**32))
def test_whatever_happens_no_limit_is_broken_and_all_go_in_the_end(seed: int) -> None:
    """Machines vanish, are taken back and never come; the shell dies between any two steps."""
    dice = Random(seed)
    definition = Definition(
        {"small": SMALL, "big": BIG}, most=6, budget=23.0, idle=60, spin_up=120, silence=30
    )
    world = World(definition)
    for _ in range(40):
        world.now += dice.randrange(30) * SECOND
        match dice.randrange(8):
            case 0:
                world.wait(dice.randrange(6), gpus=dice.randrange(3))
            case 1:
                world.arrive()
            case 2:
                world.agents = {name: world.now for name in world.agents}
            case 3 if world.machines:
                name = dice.choice(sorted(world.machines))
                world.machines.pop(name)
                world.agents.pop(name, None)
                world.silent[name] = world.now
            case 4 if world.machines:
                name = dice.choice(sorted(world.machines))
                condition = dice.choice(["preempted", "dead"])
                world.machines[name] = Shown("r", name.split("-")[1], condition)  # type: ignore[arg-type]
            case 5:
                world.decide()  # and dies before it acts
            case 6 if wanted := [
                one for one in world.state.machines.values() if one.stage is Stage.WANTED
            ]:
                # It dies when the machine is there, and before it says so.
                world.machines[wanted[0].name] = Shown("r", wanted[0].kind)
            case _:
                world.turn()
        there = world.state.machines.values()
        assert len(there) <= 6
        assert sum(world.state.kinds[one.kind].cost for one in there) <= 23.0
        assert world.machines.keys() <= {one.name for one in there}
    world.tasks.clear()
    for _ in range(12):
        world.now += 200 * SECOND
        world.silent = {n: 0 for n in world.state.machines if n not in world.agents}
        world.agents = {n: 0 for n in world.agents if n in world.machines}
        world.turn()
    assert world.state.machines == {} and world.machines == {}


@given(st.lists(st.integers(0, 4), max_size=12))
def test_what_is_missing_has_room_for_all_that_fits(gpus: list[int]) -> None:
    definition = Definition({"small": SMALL, "big": BIG})
    waiting = [Waiting(str(n), "q", Request(gpus=one), 0) for n, one in enumerate(gpus)]
    rooms = [
        Room(("q",), definition.kinds[kind].offer) for kind, _ in missing(definition, waiting, [])
    ]
    assert list(missing(definition, waiting, rooms)) == []


TEXT = """
most = 8
idle = "10m"
[kinds.small]
driver = "docker"
queues = ["default"]
memory = "16G"
most = 5
place.image = "evq-agent"
"""


def test_a_definition_is_read() -> None:
    found = read_definition(TEXT, "a.toml")
    assert (found.most, found.idle, found.kinds["small"].memory) == (8, 600.0, 16 * 2**30)
    assert found.kinds["small"].place == {"image": "evq-agent"}


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("most = 8", "most = 0", "most is 0"),
        ('"10m"', '"soon"', "not a duration"),
        ("[kinds.small]", "[kinds.'a b']", "cannot be the name"),
        ('"docker"', '"magic"', "does not describe an autoscaler"),
        ("most = 5", "least = 7", "at least 7 and at most 1"),
        ("most = 5", "mots = 5", "unknown field"),
        ('["default"]', "[]", "serves no queue"),
        ("idle", "= idle", "is no TOML"),
    ],
)
def test_a_wrong_definition_is_refused_in_words(old: str, new: str, says: str) -> None:
    with pytest.raises(UsageError) as refused:
        read_definition(TEXT.replace(old, new), "a.toml")
    assert says in str(refused.value)
