"""The autoscaler's decisions, without machines: they are played by a small world."""

from __future__ import annotations

from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from machines import BIG, SECOND, SMALL, World, facts, kinds, names

from evq.core.errors import UsageError
from evq.core.fleet.resources import Request
from evq.services.autoscaler.capacity import Room, Waiting, missing
from evq.services.autoscaler.definition import Definition, read_definition
from evq.services.autoscaler.facts import (
    Defined,
    Ending,
    Left,
    Refused,
    Stage,
    Stopped,
    Wanted,
)
from evq.services.autoscaler.planning import Shown, plan


def test_a_machine_comes_for_each_task_up_to_the_limit() -> None:
    world = World(Definition({"small": SMALL}))
    world.wait(7)
    world.turn()
    assert kinds(world) == ["small"] * 5
    assert [one.machine for one in facts(world, Wanted)] == [f"a-small-{n}" for n in range(1, 6)]


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


def test_machines_stay_when_the_terminal_is_left() -> None:
    world = World(Definition({"small": SMALL}))
    world.wait(2)
    world.turn()
    before = world.state
    world.note(Left(), "it has ended in its terminal")
    assert (world.state.machines, world.state.stopped) == (before.machines, False)
    assert world.state.words == "it has ended in its terminal"


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
